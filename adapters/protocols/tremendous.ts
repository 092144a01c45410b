// Tremendous seen from the platform: a bearer key; one order is one reward, whose link is told once. The same order again
// is answered with the first one, a changed one with 409.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, keyedDigestOf, ok, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STATUS: Record<ShopStatus, string> = {
  accepted: 'PENDING SETTLEMENT',
  delivered: 'EXECUTED',
  refused: 'CANCELED',
  reversed: 'CANCELED',
};

export const tremendousProtocol: Protocol = {
  code: 'tremendous',
  root: '/api/v2',
  currency: 'USD',
  repeat: 'returns_original',
  products: [{ product: 'OKMHM2X2OHYV:10:USD', kind: 'code', cost_e4: 103_500, stock: null, name: 'Gift card' }],
  credentials: { api_key: 'TEST_key_7c1f', private_key: 'tm-webhook-key-3a' },
  callback_secret: 'private_key',
  refusals: {
    credentials: [401, 'unauthorized'],
    bad_request: [400, 'bad request'],
    float_low: [402, 'insufficient funds'],
    // Presence in the list is their only word on stock.
    out_of_stock: [422, 'product is not available'],
    product_unknown: [422, 'product is not known'],
    busy: [429, 'too many requests'],
    declined: [422, 'validation failed'],
  },
  sayNo: (status, message) => ({ status, body: { errors: { message } } }),

  open(desk) {
    /** Reference → digest of the order that came with it. */
    const known = new Map<string, string>();
    return {
      route(call) {
        const is_ours = isSame(call.headers.authorization, `Bearer ${desk.credentials.api_key}`);
        return is_ours ? routeOf(call, desk, known) : desk.refuse('credentials');
      },
      notice({ order_id, status }, { credentials }) {
        if (status === 'accepted') return null;
        const resource = { id: `TM${order_id}`, type: 'orders' };
        const uuid = `6f1f0d5e-0000-4000-8000-${order_id.padStart(12, '0')}`;
        const body = JSON.stringify({ event: `ORDERS.${STATUS[status]}`, uuid, payload: { resource } });
        const signature = keyedDigestOf('sha256', credentials.private_key!, body);
        const headers = { 'tremendous-webhook-signature': `sha256=${signature}` };
        return { headers: { 'content-type': 'application/json', ...headers }, body };
      },
    };
  },
};

function routeOf(call: Call, desk: CounterDesk, known: Map<string, string>): Route | Answer | null {
  const { shop } = desk;
  const [, kind, id = '', act] = call.path.slice(tremendousProtocol.root.length).split('/');
  if (call.method === 'POST' && kind === 'orders' && !id) return orderRoute(call, desk, known);
  if (call.method === 'GET' && kind === 'orders') {
    const order = shop.byReference(id) ?? shop.byId(id.replace(/^TM/, ''));
    const answer = () => (order ? ok(orderJson(order, desk, false)) : tremendousProtocol.sayNo(404, 'not found'));
    return reading('lookup', answer, order);
  }
  if (call.method === 'POST' && kind === 'rewards' && act === 'generate_link') {
    const order = shop.byId(id.replace(/^RW/, ''));
    const [code] = order?.status === 'delivered' ? order.codes : [];
    if (!code) return tremendousProtocol.sayNo(403, 'no such reward');
    return reading('lookup', () => ok({ reward: { id, link: `${linkOf(code)}/again` } }));
  }
  if (call.method !== 'GET') return null;
  if (kind === 'products') return reading('offers', () => ok({ products: shop.products.map(productJson) }));
  if (kind !== 'funding_sources') return null;
  const meta = { available_amount: Number(decimalText(shop.balance_e4)), currency_code: shop.currency };
  return reading('balance', () => ok({ funding_sources: [{ id: 'F1', method: 'balance', status: 'active', meta }] }));
}

function orderRoute({ body }: Call, desk: CounterDesk, known: Map<string, string>): Route | Answer {
  const request = orderRequestOf(fieldsOf(body));
  const digest = digestOf('sha256', body);
  const earlier = desk.shop.byReference(request.reference);
  if (earlier && known.get(request.reference) !== digest) return tremendousProtocol.sayNo(409, 'external_id is used');
  return desk.ordering(request, (order) => {
    known.set(request.reference, digest);
    return { status: earlier ? 201 : 200, body: orderJson(order, desk, !earlier) };
  });
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const { value, products, delivery } = fields.reward as {
    value: { denomination: unknown; currency_code: string };
    products: string[];
    delivery: { method: string };
  };
  if (delivery.method !== 'LINK' || products.length !== 1 || typeof value.denomination !== 'number') {
    throw new Error('only one product by link');
  }
  return orderFor({
    reference: fields.external_id,
    product: `${products[0]}:${value.denomination}:${value.currency_code}`,
  });
}

function orderJson(
  { order_id, reference, status, cost_e4, codes }: ShopOrder,
  { shop }: CounterDesk,
  with_link: boolean,
): object {
  const [code] = codes;
  const link = with_link && code ? { link: linkOf(code) } : {};
  const delivery = { method: 'LINK', status: status === 'delivered' ? 'SUCCEEDED' : 'PENDING', ...link };
  const payment = { total: Number(decimalText(cost_e4)), fees: 0, discount: 0, currency_code: shop.currency };
  const rewards = [{ id: `RW${order_id}`, order_id: `TM${order_id}`, delivery }];
  return { order: { id: `TM${order_id}`, external_id: reference, status: STATUS[status], payment, rewards } };
}

function linkOf({ number, pin }: { number: string; pin: string }): string {
  return `https://rewards.invalid/${number}/${pin}`;
}

function productJson({ product, name }: ShopProduct): object {
  const [id, face, currency] = product.split(':');
  const skus = [{ min: Number(face), max: Number(face) }];
  return { id, name: name ?? id, skus, currency_codes: [currency], countries: [{ abbr: 'US' }] };
}
