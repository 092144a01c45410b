// What the built-in supplier's calls mean: which call a request is, what the shop answers, in the protocol's JSON.
import type { IncomingMessage } from 'node:http';
import { type Endpoint, type Fault, twistOf } from './faults.js';
import * as read from './reading.js';
import type { OrderRequest, Shop, ShopError, ShopOrder } from './shop.js';
import { hmacSha256, sameText, sha256 } from './signing.js';

export interface Answer {
  status: number;
  body: object;
  order?: ShopOrder;
}
export interface Route {
  endpoint: Endpoint;
  /** What faults are matched by. */
  order: { product: string; account: string | null } | null;
  /** Does it, with what the fault does to the order. */
  answer: (fault: Fault | null) => Answer;
}

const PAGE_SIZE = 50;
const STALE_MS = 300_000;
const NONCES_KEPT = 20_000;

const ERROR_STATUS: Record<ShopError, number> = {
  out_of_stock: 409,
  price_changed: 409,
  float_low: 402,
  product_unknown: 404,
  recipient_invalid: 422,
  duplicate_reference: 409,
  bad_request: 400,
};

/** Which call a request is; null for none of the protocol's. */
export function routeOf(shop: Shop, request: IncomingMessage, body: Buffer): Route | null {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://host.invalid');
  const call = `${request.method} ${pathname}`;
  if (call === 'POST /v1/orders') {
    const order = orderRequestOf(body);
    return {
      endpoint: 'order',
      order,
      answer: (fault) => (order ? place(shop, order, fault) : refusal('bad_request')),
    };
  }
  if (call === 'GET /v1/orders') return lookupRoute(shop, shop.byReference(searchParams.get('reference') ?? ''));
  if (call.startsWith('GET /v1/orders/')) return lookupRoute(shop, shop.byId(pathname.slice('/v1/orders/'.length)));
  if (call === 'GET /v1/offers') {
    const page = Number(searchParams.get('page') ?? 1);
    return { endpoint: 'offers', order: null, answer: () => offers(shop, page) };
  }
  if (call === 'GET /v1/balance') {
    const body = { balance: read.decimalText(shop.balance_e4), currency: shop.currency };
    return { endpoint: 'balance', order: null, answer: () => ({ status: 200, body }) };
  }
  return null;
}

function place(shop: Shop, request: OrderRequest, fault: Fault | null): Answer {
  const price_e4 = shop.product(request.product)?.cost_e4 ?? 0;
  const bought = shop.buy(request, twistOf(fault, { quantity: request.quantity, price_e4 }));
  if ('error' in bought) return refusal(bought.error);
  const status = bought.order.status === 'accepted' ? 202 : 200;
  return { status, body: orderJson(shop, bought.order), order: bought.order };
}

function lookupRoute(shop: Shop, order: ShopOrder | null): Route {
  const absent = { status: 404, body: { error: 'order_not_found', message: 'there is no such order' } };
  return {
    endpoint: 'lookup',
    order,
    answer: () => (order ? { status: 200, body: orderJson(shop, order), order } : absent),
  };
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

function refusal(error: ShopError): Answer {
  return { status: ERROR_STATUS[error], body: { error, message: error.replaceAll('_', ' ') } };
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

/** The event of an order as it stands. */
export function eventOf(shop: Shop, order: ShopOrder): object {
  return { event: `order.${order.status}`, order: orderJson(shop, order) };
}

/** What a stranger would claim of it: delivered, with false codes. */
export function forgedEventOf(shop: Shop, order: ShopOrder): object {
  const codes = Array.from({ length: order.quantity }, (_, at) => ({
    number: `FALSE${at}`,
    pin: 'FALSE',
    serial: 'FALSE',
  }));
  const claim = { status: 'delivered', delivered_units: order.quantity, codes };
  return { event: 'order.delivered', order: { ...orderJson(shop, order), ...claim } };
}

/** Checks the signature of requests; remembers nonces, so that a captured request is refused. */
export function signatureGuard(account: { app_key: string; app_secret: string; clock: () => number }) {
  const nonces = new Set<string>();
  /** Why a request is not from the account, or null. */
  return ({ method, url, headers }: IncomingMessage, body: Buffer): string | null => {
    const [key, time, nonce, signature] = ['key', 'time', 'nonce', 'signature'].map((name) =>
      String(headers[`x-sim-${name}`] ?? ''),
    );
    if (key !== account.app_key) return 'the key is not known';
    const text = [method, url, time, nonce, sha256(body)].join('\n');
    if (!sameText(signature, hmacSha256(account.app_secret, text))) return 'the signature is wrong';
    if (!(Math.abs(account.clock() - Number(time)) <= STALE_MS)) return 'the time is too far off';
    if (!nonce || nonces.has(nonce)) return 'the nonce was used before';
    nonces.add(nonce);
    if (nonces.size > NONCES_KEPT) nonces.delete(nonces.values().next().value!);
    return null;
  };
}
