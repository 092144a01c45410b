// Woohoo seen from the platform: two calls open a session, and every other request carries an HMAC-SHA512 over method,
// absolute URL and sorted body. There are no callbacks.
import { randomBytes } from 'node:crypto';
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { fieldsOf, isSame, keyedDigestOf, ok, orderFor, reading, sortedJson, tokenBook } from '../kit/protocol.js';
import { decimalText, toE4 } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const TOKEN_MS = 7 * 86_400_000;
const STATUS: Record<ShopStatus, string> = {
  accepted: 'PROCESSING',
  delivered: 'COMPLETE',
  refused: 'CANCELED',
  reversed: 'CANCELED',
};

export const woohooProtocol: Protocol = {
  code: 'woohoo',
  root: '',
  currency: 'INR',
  repeat: 'is_rejected',
  products: [{ product: 'EGCGBAMZ001:100.00', kind: 'code', cost_e4: 1_000_000, stock: null, name: 'Gift card 100' }],
  credentials: { clientId: 'wh-client', clientSecret: 'wh-secret-2d90', username: 'wh-user', password: 'wh-pass' },
  refusals: {
    credentials: [401, 401],
    bad_request: [400, 5312],
    duplicate_reference: [400, 5313],
    product_unknown: [400, 5318],
    declined: [400, 5321],
    float_low: [400, 5038],
    out_of_stock: [400, 11135],
    busy: [400, 10910],
  },
  sayNo: (status, code) => ({ status, body: { code, message: `error ${code}`, messages: [] } }),

  open(desk) {
    const sessions = { codes: new Set<string>(), tokens: tokenBook(desk.clock) };
    return {
      route(call) {
        if (call.path.startsWith('/oauth2/')) return sessionRoute(call, desk, sessions);
        const is_ours = sessions.tokens.stateOf(call.headers) === 'open' && isSigned(call, desk);
        return is_ours ? routeOf(call, desk) : desk.refuse('credentials');
      },
    };
  },
};

interface Sessions {
  codes: Set<string>;
  tokens: ReturnType<typeof tokenBook>;
}

function sessionRoute(
  { path, body }: Call,
  { credentials, clock, refuse }: CounterDesk,
  { codes, tokens }: Sessions,
): Route | Answer {
  const asked = fieldsOf(body);
  const isOurs = (names: string[]) => names.every((name) => isSame(asked[name], credentials[name]!));
  if (path === '/oauth2/verify' && isOurs(['clientId', 'username', 'password'])) {
    const authorizationCode = randomBytes(16).toString('hex');
    codes.add(authorizationCode);
    return reading('session', () => ok({ authorizationCode }));
  }
  // A code opens one session.
  const is_new =
    path === '/oauth2/token' && isOurs(['clientId', 'clientSecret']) && codes.delete(String(asked.authorizationCode));
  if (!is_new) return refuse('credentials');
  const exp = Math.floor((clock() + TOKEN_MS) / 1000);
  const parts = [{ alg: 'HS256' }, { exp, jti: randomBytes(8).toString('hex') }];
  const token = [...parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')), 'x'].join('.');
  return reading('session', () => ok({ token: tokens.issue(token, TOKEN_MS) }));
}

function isSigned({ method, url, headers, body }: Call, { credentials }: CounterDesk): boolean {
  const [path = '', queries] = `http://${headers.host}${url}`.split('?');
  const sorted = queries === undefined ? path : `${path}?${queries.split('&').sort().join('&')}`;
  const text = [method, encoded(sorted)];
  if (method === 'POST') text.push(encoded(sortedJson(fieldsOf(body), 'deep')));
  const is_dated = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(String(headers.dateatclient));
  return is_dated && isSame(headers.signature, keyedDigestOf('sha512', credentials.clientSecret!, text.join('&')));
}

function encoded(text: string): string {
  const escaped = (byte: number) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  const units = Array.from(Buffer.from(text), (byte) => ({ byte, unit: String.fromCharCode(byte) }));
  return units.map(({ byte, unit }) => (/[A-Za-z0-9\-_.~]/.test(unit) ? unit : escaped(byte))).join('');
}

function routeOf({ method, path, body }: Call, desk: CounterDesk): Route | Answer | null {
  const { shop } = desk;
  const call = `${method} ${path.replace('/rest/v3', '')}`;
  if (call === 'POST /orders') {
    const fields = fieldsOf(body);
    const request = orderRequestOf(fields);
    const paid = toE4((fields.payments as { amount: string }[])[0]!.amount);
    const due = (shop.product(request.product)?.cost_e4 ?? paid / request.quantity) * request.quantity;
    if (paid !== due) return woohooProtocol.sayNo(400, 5036);
    return desk.ordering(request, (order) => ({
      status: order.status === 'accepted' ? 202 : 201,
      body: { ...orderJson(order), ...(order.codes.length > 0 ? { cards: order.codes.map(cardJson) } : {}) },
    }));
  }
  const [, refno] = /^GET \/order\/(\w+)\/status$/.exec(call) ?? [];
  if (refno) {
    const order = shop.byReference(refno);
    return reading('lookup', () => (order ? ok(orderJson(order)) : woohooProtocol.sayNo(400, 5320)), order);
  }
  const [, id] = /^GET \/order\/(\w+)\/cards\/$/.exec(call) ?? [];
  if (id) return reading('lookup', () => cardsAnswer(shop.byId(id.replace(/^WH/, ''))));
  if (call === 'GET /catalog/categories') return reading('offers', () => ok({ id: 121 }));
  if (call !== 'GET /catalog/categories/121/products') return null;
  return reading('offers', () => ok({ products: shop.products.map(productJson) }));
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const [line] = fields.products as { sku: string; price: string; qty: number }[];
  return orderFor({ reference: fields.refno, product: `${line?.sku}:${line?.price}`, quantity: Number(line?.qty) });
}

function orderJson({ order_id, reference, status, cost_e4 }: ShopOrder): object {
  const payments = [{ code: 'svc', amount: decimalText(cost_e4, 2) }];
  const currency = { code: 'INR', numericCode: '356', symbol: '₹' };
  const state = STATUS[status];
  return { status: state, statusLabel: state, orderId: `WH${order_id}`, refno: reference, currency, payments };
}

function cardsAnswer(order: ShopOrder | null): Answer {
  if (order?.status === 'accepted') return { status: 409, body: { state: 'PROCESSING' } };
  if (order?.status !== 'delivered') return { status: 410, body: { state: 'CANCELED' } };
  return ok({ total: order.codes.length, cards: order.codes.map(cardJson) });
}

function cardJson({ number, pin }: ShopOrder['codes'][number]): object {
  return { cardNumber: number, cardPin: pin, activationCode: null, validity: '2027-01-01T00:00:00+05:30' };
}

function productJson({ product, name }: ShopProduct): object {
  const [sku, price] = product.split(':');
  return { sku, name, price: { type: 'SLAB', denominations: [price] }, currency: { code: 'INR' } };
}
