// dujiao-next seen from the shop: HMAC-SHA256 over method, path, time and the MD5 of the body, both ways. An order never
// answers with its codes; they are read by the order's number.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, keyedDigestOf, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const ROOT = '/api/v1/upstream';
const STALE_S = 60;
const STATUS: Record<ShopStatus, string> = {
  accepted: 'fulfilling',
  delivered: 'completed',
  refused: 'canceled',
  reversed: 'refunded',
};

export const dujiaoNextProtocol: Protocol = {
  code: 'dujiao-next',
  root: '',
  currency: 'CNY',
  repeat: 'returns_original',
  products: [
    { product: '1017', kind: 'code', cost_e4: 98_700, stock: null, name: 'Gift code 10' },
    { product: '1018', kind: 'recharge', cost_e4: 97_500, stock: null, name: 'Recharge 10' },
  ],
  credentials: { api_key: 'dj-key', api_secret: 'dj-secret-6b0c' },
  callback_secret: 'api_secret',
  refusals: {
    credentials: [401, 'invalid_signature'],
    bad_request: [400, 'bad_request'],
    product_unknown: [404, 'product_not_found'],
    float_low: [402, 'insufficient_balance'],
    out_of_stock: [409, 'insufficient_stock'],
  },
  sayNo: (status, word) => ({ status, body: { ok: false, error_code: word, error_message: String(word) } }),

  open(desk) {
    return {
      route: (call) => (isSigned(call, desk) ? routeOf(call, desk) : desk.refuse('credentials')),
      notice(order, { credentials }) {
        const event = { event: 'order.status', ...placedJson(order, desk), downstream_order_no: order.reference };
        const stamp = seconds(desk.clock());
        const body = JSON.stringify({ ...event, ...goodsOf(order), timestamp: Number(stamp) });
        const text = ['POST', `${ROOT}/callback`, stamp, digestOf('md5', body)].join('\n');
        const headers = {
          'content-type': 'application/json',
          'dujiao-next-api-key': credentials.api_key!,
          'dujiao-next-timestamp': stamp,
          'dujiao-next-signature': keyedDigestOf('sha256', credentials.api_secret!, text),
        };
        return { headers, body };
      },
    };
  },
};

function isSigned({ method, path, headers, body }: Call, { credentials, clock }: CounterDesk): boolean {
  const stamp = String(headers['dujiao-next-timestamp']);
  const text = `${method}\n${path}\n${stamp}\n${digestOf('md5', body)}`;
  return (
    headers['dujiao-next-api-key'] === credentials.api_key &&
    Math.abs(clock() / 1000 - Number(stamp)) <= STALE_S &&
    isSame(headers['dujiao-next-signature'], keyedDigestOf('sha256', credentials.api_secret!, text))
  );
}

function routeOf({ method, path, query, body }: Call, desk: CounterDesk): Route | null {
  const { shop } = desk;
  const call = `${method} ${path.slice(ROOT.length)}`;
  if (call === 'POST /orders') {
    return desk.ordering(orderRequestOf(fieldsOf(body)), (order) => ok(placedJson(order, desk)));
  }
  if (call.startsWith('GET /orders/')) {
    const order = shop.byId(call.slice('GET /orders/'.length));
    const absent = dujiaoNextProtocol.sayNo(404, 'order_not_found');
    return reading('lookup', () => (order ? ok({ ...placedJson(order, desk), ...goodsOf(order) }) : absent), order);
  }
  if (call === 'POST /ping') {
    const site = { site_name: 'shop', protocol_version: '1.0', user_id: 1, currency: shop.currency };
    return reading('balance', () => ok({ ...site, balance: decimalText(shop.balance_e4, 2) }));
  }
  if (call === 'GET /products') {
    const [page, size] = [Number(query.get('page') ?? 1), Number(query.get('page_size') ?? 20)];
    const items = shop.products.slice((page - 1) * size, page * size).map(productJson);
    return reading('offers', () => ok({ items, total: shop.products.length, page, page_size: size }));
  }
  return null;
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const form = fields.manual_form_data as { account?: string } | undefined;
  return orderFor({
    reference: fields.downstream_order_no,
    product: String(fields.sku_id),
    quantity: Number(fields.quantity),
    account: form?.account ?? null,
    callback_url: (fields.callback_url as string | undefined) ?? null,
  });
}

function placedJson({ order_id, status, cost_e4 }: ShopOrder, { shop }: CounterDesk): object {
  const amount = decimalText(cost_e4, 2);
  return {
    order_id: Number(order_id),
    order_no: `DJ${order_id}`,
    status: STATUS[status],
    amount,
    currency: shop.currency,
  };
}

function goodsOf({ kind, status, codes }: ShopOrder): object {
  if (status !== 'delivered') return {};
  const payload = codes.map(({ number, pin }) => `${number}----${pin}`).join('\n');
  return { fulfillment: { type: kind === 'code' ? 'auto' : 'manual', status: 'delivered', payload } };
}

function productJson({ product, kind, cost_e4, stock, name }: ShopProduct): object {
  const price_amount = decimalText(cost_e4, 2);
  const stock_status =
    stock === null ? 'unlimited' : stock > 20 ? 'in_stock' : stock > 0 ? 'low_stock' : 'out_of_stock';
  const sku = { id: Number(product), sku_code: product, price_amount, stock_status, stock_quantity: stock ?? -1 };
  const fulfillment_type = kind === 'code' ? 'auto' : 'manual';
  const skus = [{ ...sku, is_active: true }];
  return {
    id: Number(product),
    title: { 'zh-CN': name ?? product },
    price_amount,
    fulfillment_type,
    is_active: true,
    skus,
  };
}

function seconds(at_ms: number): string {
  return String(Math.floor(at_ms / 1000));
}

function ok(body: object): Answer {
  return { status: 200, body: { ok: true, ...body } };
}
