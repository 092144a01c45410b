// The built-in supplier's own protocol, which the adapter `simulated` speaks: which call a request is, what the shop
// answers, and how both sides sign. It is as careful as a protocol can be, so that tests can break one thing at a time.
import { randomBytes } from 'node:crypto';
import type { Answer, Call, Counter, CounterDesk, No, Protocol, Route } from './protocol.js';
import { reading } from './protocol.js';
import * as read from './reading.js';
import type { OrderRequest, Shop, ShopOrder, ShopProduct } from './shop.js';
import { hmacSha256, sameText, sha256 } from './signing.js';

const PAGE_SIZE = 50;
const STALE_MS = 300_000;
const NONCES_KEPT = 20_000;

const PRODUCTS: ShopProduct[] = [
  { product: 'code-10', kind: 'code', cost_e4: 98_000, stock: null, name: 'Gift code 10' },
  { product: 'recharge-10', kind: 'recharge', cost_e4: 97_500, stock: null, name: 'Recharge 10' },
];

const REFUSALS = {
  out_of_stock: 409,
  price_changed: 409,
  float_low: 402,
  product_unknown: 404,
  recipient_invalid: 422,
  duplicate_reference: 409,
  bad_request: 400,
  maintenance: 423,
  busy: 429,
  credentials: 401,
  declined: 409,
} as const;

export const simulatedProtocol: Protocol = {
  code: 'simulated',
  root: '',
  currency: 'CNY',
  repeat: 'returns_original',
  products: PRODUCTS,
  credentials: { app_key: 'sim-key', app_secret: 'sim-secret-0123456789abcdef' },
  callback_secret: 'app_secret',
  refusals: Object.fromEntries(
    Object.entries(REFUSALS).map(([word, status]) => [word, [status, word]]),
  ) as unknown as Record<keyof typeof REFUSALS, No>,
  sayNo,
  open(desk) {
    const strangeness = signatureGuard(desk);
    return {
      route(call) {
        const stranger = strangeness(call);
        return stranger ? sayNo(401, 'bad_signature', stranger) : routeOf(desk, call);
      },
      notice(order, { url, credentials }) {
        const body = JSON.stringify({ event: `order.${order.status}`, order: orderJson(desk.shop, order) });
        const { pathname, search } = new URL(url);
        const nonce = randomBytes(12).toString('hex');
        const signed = { app_key: credentials.app_key!, method: 'POST', path: pathname + search, nonce, body };
        const headers = signedHeaders(credentials.app_secret!, { ...signed, now: desk.clock() });
        return { headers: { 'content-type': 'application/json', ...headers }, body };
      },
      spoil: (fault, body) => (fault === 'unmapped' ? { ...body, status: 'in_review' } : { ...body, codes: [] }),
    } satisfies Counter;
  },
};

/** Headers of a signed message, in either direction. */
export function signedHeaders(
  secret: string,
  message: { app_key: string; method: string; path: string; now: number; nonce: string; body: string | Buffer },
): Record<string, string> {
  const time = String(message.now);
  const text = [message.method, message.path, time, message.nonce, sha256(message.body)].join('\n');
  return {
    'x-sim-key': message.app_key,
    'x-sim-time': time,
    'x-sim-nonce': message.nonce,
    'x-sim-signature': hmacSha256(secret, text),
  };
}

function sayNo(status: number, word: string | number, message = String(word).replaceAll('_', ' ')): Answer {
  return { status, body: { error: word, message } };
}

function routeOf(desk: CounterDesk, { method, path, query, body }: Call): Route | null {
  const { shop } = desk;
  const call = `${method} ${path}`;
  if (call === 'POST /v1/orders') {
    return desk.ordering(orderRequestOf(body), (order) => ({
      status: order.status === 'accepted' ? 202 : 200,
      body: orderJson(shop, order),
    }));
  }
  if (call === 'GET /v1/orders') return lookup(shop, shop.byReference(query.get('reference') ?? ''));
  if (call.startsWith('GET /v1/orders/')) return lookup(shop, shop.byId(path.slice('/v1/orders/'.length)));
  if (call === 'GET /v1/offers') return reading('offers', () => offers(shop, Number(query.get('page') ?? 1)));
  if (call === 'GET /v1/balance') {
    const balance = { balance: read.decimalText(shop.balance_e4), currency: shop.currency };
    return reading('balance', () => ({ status: 200, body: balance }));
  }
  return null;
}

function lookup(shop: Shop, order: ShopOrder | null): Route {
  const answer = () =>
    order ? { status: 200, body: orderJson(shop, order) } : sayNo(404, 'order_not_found', 'there is no such order');
  return reading('lookup', answer, order);
}

function offers(shop: Shop, page: number): Answer {
  const { products, currency } = shop;
  const rows = products
    .slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)
    .map(({ product, kind, cost_e4, stock, name }) => ({
      product,
      name: name ?? product,
      kind,
      cost: read.decimalText(cost_e4),
      currency,
      stock,
    }));
  return { status: 200, body: { offers: rows, page, page_size: PAGE_SIZE, total: products.length } };
}

function orderRequestOf(body: Buffer): OrderRequest | null {
  try {
    const order = read.parseJson(body.toString());
    const ceiling = read.maybeTextAt(order, 'cost_max');
    return {
      reference: read.textAt(order, 'reference'),
      product: read.textAt(order, 'product'),
      quantity: read.integerAt(order, 'quantity'),
      account: read.maybeTextAt(order, 'account') ?? null,
      cost_max_e4: ceiling === undefined ? null : read.toE4(ceiling),
      callback_url: read.maybeTextAt(order, 'callback_url') ?? null,
    };
  } catch {
    return null;
  }
}

function orderJson(shop: Shop, order: ShopOrder): object {
  const { order_id, reference, product, quantity, status, delivered_units, codes, receipt } = order;
  const cost = read.decimalText(order.cost_e4);
  return {
    order_id,
    reference,
    product,
    quantity,
    status,
    cost,
    currency: shop.currency,
    delivered_units,
    codes,
    receipt,
  };
}

/** Checks the signature of requests; remembers nonces, so that a captured request is refused. */
function signatureGuard({ credentials, clock }: CounterDesk) {
  const nonces = new Set<string>();
  /** Why a request is not from the account, or null. */
  return ({ method, url, headers, body }: Call): string | null => {
    const [key, time, nonce, signature] = ['key', 'time', 'nonce', 'signature'].map((name) =>
      String(headers[`x-sim-${name}`] ?? ''),
    );
    if (key !== credentials.app_key) return 'the key is not known';
    const text = [method, url, time, nonce, sha256(body)].join('\n');
    if (!sameText(signature, hmacSha256(credentials.app_secret!, text))) return 'the signature is wrong';
    if (!(Math.abs(clock() - Number(time)) <= STALE_MS)) return 'the time is too far off';
    if (!nonce || nonces.has(nonce)) return 'the nonce was used before';
    nonces.add(nonce);
    if (nonces.size > NONCES_KEPT) nonces.delete(nonces.values().next().value!);
    return null;
  };
}
