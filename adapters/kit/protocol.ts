// What a simulated supplier needs to speak a supplier's own protocol: the parts of a protocol, and the desk its counter
// works at. Counters check signatures by the protocol's text alone, never by the functions that made the signature.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { type Endpoint, type Fault, type Refusal, twistOf } from './faults.js';
import type { OrderRequest, Shop, ShopOptions, ShopOrder, ShopProduct } from './shop.js';

/** A request as it arrived; `url` is path and query, `path` is without the query. */
export interface Call {
  method: string;
  url: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: Buffer;
}
export interface Answer {
  status: number;
  /** An object is sent as JSON, a text as it is. */
  body: object | string;
  headers?: Record<string, string>;
  order?: ShopOrder;
}
export interface Route {
  endpoint: Endpoint;
  /** What faults are matched by. */
  order: { product: string; account: string | null } | null;
  /** Does it, with what the fault does to the order. */
  answer: (fault: Fault | null) => Answer;
}
/** A callback, ready to be sent by POST. */
export interface Notice {
  headers: Record<string, string>;
  body: string;
}
export interface Counter {
  /** Which call a request is; an answer for one that is not believed, null for none of the protocol's. */
  route(call: Call): Route | Answer | null;
  /** Callback of an order as it stands, under these credentials; null where the protocol sends none. */
  notice?(order: ShopOrder, to: { url: string; credentials: Credentials }): Notice | null;
  /** Spoils a reply the way these two faults say. Without it the counter does not show them. */
  spoil?(fault: 'unmapped' | 'no_codes', body: object): object;
}
export type Credentials = Readonly<Record<string, string>>;
/** A no in the protocol's words: HTTP status and code. */
export type No = readonly [status: number, word: string | number];

/** One supplier's wire format over the shop. Refusals that it has no word for are told as `bad_request`. */
export interface Protocol {
  /** Code of the adapter that speaks it. */
  code: string;
  /** Path that all calls begin with; belongs to the base URL of an account. */
  root: string;
  currency: string;
  repeat: ShopOptions['repeat'];
  /** What the shop sells unless told otherwise, under the names that sources use. */
  products: readonly ShopProduct[];
  credentials: Credentials;
  /** Name of the credential that signs callbacks: a stranger has another one. */
  callback_secret?: string;
  /** What an account's options must be to work with a simulator at this base URL. */
  options?: (url: string) => Record<string, string>;
  refusals: Partial<Record<Refusal, No>> & { bad_request: No };
  sayNo: (status: number, word: string | number) => Answer;
  open(desk: CounterDesk): Counter;
}

/** Where a counter works: the shop's books, a clock in milliseconds, and who may buy. */
export interface CounterDesk {
  shop: Shop;
  clock: () => number;
  credentials: Credentials;
  /** A no, in the protocol's words. */
  refuse(reason: Refusal): Answer;
  /** The call that buys; null for an order that cannot be read. `show` answers for what was bought. */
  ordering(request: OrderRequest | null, show: (order: ShopOrder) => Answer): Route;
}

export function deskOf(
  protocol: Protocol,
  { shop, clock, credentials }: Pick<CounterDesk, 'shop' | 'clock' | 'credentials'>,
): CounterDesk {
  const refuse = (reason: Refusal) => protocol.sayNo(...(protocol.refusals[reason] ?? protocol.refusals.bad_request));
  const ordering: CounterDesk['ordering'] = (request, show) => ({
    endpoint: 'order',
    order: request,
    answer: (fault) => {
      if (!request) return refuse('bad_request');
      const price_e4 = shop.product(request.product)?.cost_e4 ?? 0;
      const bought = shop.buy(request, twistOf(fault, { quantity: request.quantity, price_e4 }));
      return 'error' in bought ? refuse(bought.error) : { ...show(bought.order), order: bought.order };
    },
  });
  return { shop, clock, credentials, refuse, ordering };
}

/** A call that only reads. */
export function reading(endpoint: Exclude<Endpoint, 'order'>, answer: () => Answer, order?: ShopOrder | null): Route {
  return { endpoint, order: order ?? null, answer: () => (order ? { ...answer(), order } : answer()) };
}

/** What a stranger claims of an order: delivered, with false goods. */
export function forgedOrder(order: ShopOrder): ShopOrder {
  const false_code = (_: unknown, at: number) => ({ number: `FALSE${at}`, pin: 'FALSE', serial: 'FALSE' });
  const codes = order.kind === 'code' ? Array.from({ length: order.quantity }, false_code) : [];
  return { ...order, status: 'delivered', delivered_units: order.quantity, codes, receipt: 'FALSE' };
}

/** An order as it was asked for; what the protocol has no field for is left out. */
export function orderFor(asked: Asked): OrderRequest {
  const unasked = { quantity: 1, account: null, cost_max_e4: null, callback_url: null };
  return { ...unasked, ...asked, reference: String(asked.reference) };
}

type Asked = { reference: unknown; product: string } & Partial<Omit<OrderRequest, 'reference' | 'product'>>;

export function ok(body: object): Answer {
  return { status: 200, body };
}

/** The tokens a counter has given out. */
export function tokenBook(clock: () => number) {
  const ends_at = new Map<string, number>();
  return {
    issue(token: string, life_ms: number): string {
      ends_at.set(token, clock() + life_ms);
      return token;
    },
    /** What the bearer token of a request is worth. */
    stateOf({ authorization = '' }: IncomingHttpHeaders): 'open' | 'ended' | 'unknown' {
      const end = ends_at.get(/^Bearer (.+)$/.exec(authorization)?.[1] ?? '');
      return end === undefined ? 'unknown' : end > clock() ? 'open' : 'ended';
    },
  };
}

/** Digest of text as lower-case hex, straight from the platform. */
export function digestOf(name: 'md5' | 'sha1' | 'sha256', text: string | Buffer): string {
  return createHash(name).update(text).digest('hex');
}
/** Keyed digest as lower-case hex, straight from the platform. */
export function keyedDigestOf(name: 'sha1' | 'sha256' | 'sha512', secret: string, text: string | Buffer): string {
  return createHmac(name, secret).update(text).digest('hex');
}
/** Equal, to the letter. */
export function isSame(left: unknown, right: string): boolean {
  const [a, b] = [Buffer.from(String(left)), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
/** JSON with its names in ASCII order: the outermost ones, or those at every depth. */
export function sortedJson(value: unknown, depth: 'top' | 'deep'): string {
  const sort = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(sort);
    if (typeof node !== 'object' || node === null) return node;
    const members = Object.entries(node).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(depth === 'top' ? members : members.map(([name, member]) => [name, sort(member)]));
  };
  return JSON.stringify(sort(value));
}
/** Fields of a JSON object as JavaScript reads them. Throws on anything else. */
export function fieldsOf(body: Buffer | string): Record<string, unknown> {
  const fields: unknown = JSON.parse(body.toString());
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) throw new Error('not a JSON object');
  return fields as Record<string, unknown>;
}
