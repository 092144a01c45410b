// The built-in supplier of `simulator.ts`: for the demo, tests and drills; it sells nothing. JSON over HTTP, requests and
// callbacks signed with HMAC-SHA256 over method, path with query, time in ms, nonce and the SHA-256 of the body.
// `simulatedLike` makes variants whose promises are weaker, for a simulator started to behave that way.

import type {
  Acknowledgement,
  Code,
  Desk,
  Found,
  Message,
  Offer,
  Outcome,
  Promises,
  Supplier,
  Wire,
} from './kit/contract.js';
import { signedHeaders } from './kit/counter.js';
import {
  acknowledge,
  byRefusal,
  byStatus,
  code,
  offerNotice,
  orUnreadable,
  rejected,
  saidNo,
  unanswered,
} from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { compactJson, sameText } from './kit/signing.js';

const STALE_MS = 300_000;
const RECEIVED: Acknowledgement = acknowledge('received');
const REFUSED: Acknowledgement = acknowledge('refused', 'text/plain; charset=utf-8', 401);

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const simulated: Supplier = {
  code: 'simulated',
  name: 'Built-in simulator',
  region: 'global',
  delivers: ['code', 'recharge'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    app_key: 'Key the simulator was started with.',
    app_secret: 'Secret the simulator was started with; signs requests and callbacks.',
  },
  limits: { requests: null, per_ms: 1000, concurrency: 16, deadline_ms: 10_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: 'returns_original',
    lookup_by: 'reference',
    absence: { proves_not_bought_after_ms: 2000 },
    callback_trust: 'authenticated',
    cost_guard: true,
    reference_format: { max_length: 64, alphabet: 'alphanumeric_dash' },
    reversible: true,
  },
  statuses: {
    accepted: 'accepted',
    delivered: 'delivered',
    refused: { refused: 'declined' },
    reversed: { refused: 'declined' },
  },
  refusals: {
    out_of_stock: 'out_of_stock',
    price_changed: 'cost_changed',
    float_low: 'float_low',
    product_unknown: 'sku_unknown',
    recipient_invalid: 'recipient_invalid',
    duplicate_reference: 'duplicate',
    bad_request: 'request_invalid',
    bad_signature: 'credentials',
    credentials: 'credentials',
    maintenance: 'maintenance',
    busy: 'busy',
    declined: 'declined',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const body = compactJson({
      reference: purchase.reference,
      product: purchase.product,
      quantity: purchase.quantity,
      account: purchase.recipient.account,
      cost_max: purchase.cost_ceiling ? read.decimalText(purchase.cost_ceiling.amount_e4) : undefined,
      callback_url: wire.callback_url || undefined,
    });
    const reply = await call(wire, 'POST', '/v1/orders', body);
    const error = errorOf(reply);
    return error ? byRefusal(simulated, error, { message: read.maybeTextAt(reply, 'message') }) : orderOutcome(reply);
  },

  async lookup(purchase, wire): Promise<Found> {
    const reply = await call(wire, 'GET', `/v1/orders?reference=${encodeURIComponent(purchase.reference)}`);
    const error = errorOf(reply);
    if (error === 'order_not_found') return { outcome: 'absent', message: error };
    return error ? unanswered(error) : orderOutcome(reply);
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const reply = await call(wire, 'GET', `/v1/offers?page=${page}`);
    const error = errorOf(reply);
    if (error) throw saidNo(simulated, error);
    const rows = read.listAt(reply, 'offers');
    const [size, total] = [read.integerAt(reply, 'page_size'), read.integerAt(reply, 'total')];
    return { offers: rows.map(offerOf), next: read.nextPage(page, rows.length, size, total) };
  },

  async readBalance(wire) {
    const reply = await call(wire, 'GET', '/v1/balance');
    const error = errorOf(reply);
    if (error) throw saidNo(simulated, error);
    return read.money(read.textAt(reply, 'balance'), read.textAt(reply, 'currency'));
  },

  readCallback(message, desk) {
    return orUnreadable(() => {
      if (!isSigned(message, desk)) return rejected('signature', 'the signature does not fit the secret', REFUSED);
      if (!(Math.abs(desk.now - Number(message.headers['x-sim-time'])) <= STALE_MS)) {
        return rejected('stale', 'the time is too far from our clock', REFUSED);
      }
      const told = read.parseJson(read.bodyText(message.body));
      const products = read.itemsAt(told, 'products').map((product) => read.textAt(product, ''));
      if (products.length > 0) return offerNotice(products, RECEIVED);
      const order = read.objectAt(told, 'order');
      return {
        reference: read.textAt(order, 'reference'),
        supplier_reference: read.textAt(order, 'order_id'),
        outcome: orderOutcome(order),
        trust: 'authenticated',
        acknowledge: RECEIVED,
      };
    });
  },
};

/** The same supplier under another code, with some of its promises changed. */
export function simulatedLike(code: string, promises: Partial<Promises>): Supplier {
  return { ...simulated, code, promises: { ...simulated.promises, ...promises } };
}

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function call(wire: Wire, method: 'GET' | 'POST', url: string, body = ''): Promise<unknown> {
  const app_key = wire.credential('app_key');
  const message = { app_key, method, path: url, now: wire.now, nonce: wire.nonce(24), body };
  const headers = { 'content-type': 'application/json', ...signedHeaders(wire.credential('app_secret'), message) };
  const request = method === 'POST' ? ({ method, url, headers, body, buys: true } as const) : { method, url, headers };
  return read.readJson(await wire.send(request));
}

function isSigned({ headers, body, url }: Message, desk: Desk): boolean {
  const [time, nonce] = [Number(headers['x-sim-time']), headers['x-sim-nonce'] ?? ''];
  const app_key = desk.credential('app_key');
  const expected = signedHeaders(desk.credential('app_secret'), {
    app_key,
    method: 'POST',
    path: url,
    now: time,
    nonce,
    body,
  });
  return headers['x-sim-key'] === app_key && sameText(headers['x-sim-signature'], expected['x-sim-signature']);
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function errorOf(reply: unknown): string | undefined {
  return read.maybeTextAt(reply, 'error');
}

function orderOutcome(order: unknown): Outcome {
  const told = {
    supplier_reference: read.textAt(order, 'order_id'),
    cost: read.money(read.textAt(order, 'cost'), read.textAt(order, 'currency')),
  };
  return byStatus(simulated, read.textAt(order, 'status'), told, () => {
    const [units, quantity] = [read.integerAt(order, 'delivered_units'), read.integerAt(order, 'quantity')];
    const receipt = read.maybeTextAt(order, 'receipt');
    const codes = read.listAt(order, 'codes').map(codeOf);
    if (receipt !== undefined) return { receipt };
    return units < quantity ? { codes, short: { units } } : { codes };
  });
}

function codeOf(row: unknown): Code {
  const text = (name: string) => read.maybeTextAt(row, name);
  return code({ number: text('number'), pin: text('pin'), serial: text('serial') });
}

function offerOf(row: unknown): Offer {
  const stock = read.maybeTextAt(row, 'stock') === undefined ? null : read.integerAt(row, 'stock');
  return {
    product: read.textAt(row, 'product'),
    name: read.textAt(row, 'name'),
    kind: read.textAt(row, 'kind') === 'recharge' ? 'recharge' : 'code',
    cost: read.money(read.textAt(row, 'cost'), read.textAt(row, 'currency')),
    stock,
    available: stock !== 0,
  };
}
