// Any dujiao-next (独角数卡 Next) card shop as an upstream site: codes, and goods that its owner fulfils by hand.
// Protocol: docs/en/api/integration-open-api.md of github.com/dujiao-next/document, and the shop's public server code.
// What surprised us
// - An order can be read only by their numeric id. If the reply to POST /orders is lost, the one way to learn the id is
//   to send the same order again: a known number returns the existing order, an unknown one BUYS. Their check and
//   insert are not one step, so two requests in flight at once may both buy. `lookup` therefore resends only for a
//   caller who sets `resend`, who must still want the purchase and must have waited until the first request has ended.
// - A repeat answers ok even for an order that failed to pay: only `status` tells.
// - The callback is signed over the constant path of their own client, not the path it was sent to.
import type { Callback, Desk, Kind, Message, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import * as conclude from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { compactJson, hmacSha256, md5, pathOf, sameText, sha256 } from './kit/signing.js';

const ROOT = '/api/v1/upstream';
const CALLBACK_PATH = `${ROOT}/callback`;
const PAGE_SIZE = 100;
// Their window is 60 s around their clock; a callback may wait in our queue for a while, and a repeat of it is harmless.
const STALE_MS = 300_000;
const JSON_TYPE = 'application/json';

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const dujiaoNext: Supplier = {
  code: 'dujiao-next',
  name: '独角数卡 Next (upstream site)',
  region: 'global',
  delivers: ['code', 'recharge'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    api_key: 'Key of the upstream API, from the shop owner or the shop console under Open API.',
    api_secret: 'Secret that belongs to the key; signs requests and callbacks.',
  },
  options: {
    signature: { help: 'v1, or v2 for forks that want a nonce and SHA-256 of the body.', default: 'v1' },
    currency: { help: 'Currency of the shop, as its /ping names it; offers do not name one.', default: 'CNY' },
    account_field: { help: "Field of the goods' form that takes the recipient's account.", default: 'account' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 30_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: 'returns_original',
    lookup_by: 'resend',
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: false,
    reference_format: { max_length: 64, alphabet: 'alphanumeric_dash' },
    reversible: true,
  },
  statuses: {
    pending_payment: 'unknown',
    ...conclude.each(['paid', 'fulfilling', 'partially_delivered'], 'accepted'),
    ...conclude.each(['delivered', 'completed', 'fulfilled'], 'delivered'),
    ...conclude.each(['canceled', 'cancelled', 'refunded'], { refused: 'declined' }),
    partially_refunded: 'unknown',
  },
  refusals: {
    ...conclude.each(
      ['missing_auth_headers', 'invalid_timestamp', 'timestamp_expired', 'invalid_signature'],
      'credentials',
    ),
    ...conclude.each(['invalid_api_key', 'user_disabled', 'unauthorized'], 'credentials'),
    ...conclude.each(['bad_request', 'invalid_callback_url'], 'request_invalid'),
    ...conclude.each(['sku_unavailable', 'product_unavailable', 'product_not_found'], 'sku_unknown'),
    ...conclude.each(['insufficient_balance', 'payment_failed'], 'float_low'),
    insufficient_stock: 'out_of_stock',
    internal_error: null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const reply = await call(wire, 'POST', '/orders', orderBody(purchase, wire));
    if (isOk(reply)) return placedOutcome(reply, purchase.kind);
    const told = { message: read.maybeTextAt(reply, 'error_message') };
    return conclude.byRefusal(dujiaoNext, read.textAt(reply, 'error_code'), told);
  },

  async lookup(purchase, wire) {
    if (purchase.supplier_reference === undefined) return resend(purchase, wire);
    const reply = await call(wire, 'GET', `/orders/${encodeURIComponent(purchase.supplier_reference)}`);
    if (isOk(reply)) return orderOutcome(reply);
    const error = read.textAt(reply, 'error_code');
    return error === 'order_not_found' ? { outcome: 'absent', message: error } : conclude.unanswered(error);
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const reply = await call(wire, 'GET', `/products?page=${page}&page_size=${PAGE_SIZE}`);
    if (!isOk(reply)) throw conclude.saidNo(dujiaoNext, read.textAt(reply, 'error_code'));
    const products = read.listAt(reply, 'items');
    const offers = products.flatMap((product) =>
      read.itemsAt(product, 'skus').map((sku) => offerOf(product, sku, wire.option('currency'))),
    );
    return { offers, next: read.nextPage(page, products.length, PAGE_SIZE, read.integerAt(reply, 'total')) };
  },

  async readBalance(wire) {
    const reply = await call(wire, 'POST', '/ping');
    if (!isOk(reply)) throw conclude.saidNo(dujiaoNext, read.textAt(reply, 'error_code'));
    return read.money(read.textAt(reply, 'balance'), read.textAt(reply, 'currency'));
  },

  readCallback(message, desk) {
    const refuse = (text: string) => conclude.acknowledge(compactJson({ ok: false, message: text }), JSON_TYPE);
    return conclude.orUnreadable(() => {
      const stamp = message.headers['dujiao-next-timestamp'] ?? '';
      if (!isSigned(message, desk, stamp)) {
        return conclude.rejected('signature', 'not signed with the secret of this account', refuse('signature'));
      }
      if (Math.abs(desk.now - Number(stamp) * 1000) > STALE_MS) {
        return conclude.rejected('stale', 'the timestamp is too far from our clock', refuse('timestamp'));
      }
      return callbackOf(read.parseJson(read.bodyText(message.body)));
    }, refuse('unreadable'));
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderBody(purchase: Purchase, wire: Wire): string {
  const { account, extra } = purchase.recipient;
  const form = { ...extra, ...(account ? { [wire.option('account_field')]: account } : {}) };
  return compactJson({
    // Digits go out as a number; anything else is no product of theirs and they will say so.
    sku_id: /^\d{1,15}$/.test(purchase.product) ? Number(purchase.product) : purchase.product,
    quantity: purchase.quantity,
    manual_form_data: Object.keys(form).length > 0 ? form : undefined,
    downstream_order_no: purchase.reference,
    callback_url: wire.callback_url,
  });
}

async function call(wire: Wire, method: 'GET' | 'POST', route: string, body = ''): Promise<unknown> {
  const url = ROOT + route;
  const timestamp = read.secondsText(wire.now);
  const nonce = wire.option('signature') === 'v2' ? wire.uuid() : undefined;
  const headers = {
    'Content-Type': JSON_TYPE,
    'Dujiao-Next-Api-Key': wire.credential('api_key'),
    'Dujiao-Next-Timestamp': timestamp,
    ...(nonce === undefined ? {} : { 'Dujiao-Next-Nonce': nonce }),
    'Dujiao-Next-Signature': signature(wire, method, pathOf(wire.base_url + url), timestamp, body, nonce),
  };
  const buys = method === 'POST' && route === '/orders';
  return read.readJson(await wire.send({ method, url, headers, ...(body ? { body } : {}), buys }));
}

function signature(desk: Desk, method: string, path: string, timestamp: string, body: string | Buffer, nonce?: string) {
  const lines = [method, path, timestamp, ...(nonce === undefined ? [md5(body)] : [nonce, sha256(body)])];
  return hmacSha256(desk.credential('api_secret'), lines.join('\n'));
}

function isSigned({ headers, body, url }: Message, desk: Desk, timestamp: string): boolean {
  if (!/^\d{10}$/.test(timestamp)) return false;
  const nonce = headers['dujiao-next-nonce'];
  return [CALLBACK_PATH, pathOf(url)].some((path) =>
    sameText(headers['dujiao-next-signature'], signature(desk, 'POST', path, timestamp, body, nonce)),
  );
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function isOk(reply: unknown): boolean {
  return read.textAt(reply, 'ok') === 'true';
}

function orderOutcome(order: unknown): Outcome {
  const currency = read.maybeTextAt(order, 'currency') ?? null;
  const told = {
    supplier_reference: read.firstTextAt(order, ['order_id', 'id']),
    cost: currency === null ? undefined : read.maybeMoneyAt(order, 'amount', { currency, unit: 'main' }),
  };
  return conclude.byStatus(dujiaoNext, read.textAt(order, 'status'), told, () => ({
    codes: conclude.codesFromLines(read.maybeTextAt(order, 'fulfillment.payload')),
  }));
}

// The reply to an order does not hold the codes, not even for an order that is already completed: they are read by id.
function placedOutcome(reply: unknown, kind: Kind): Outcome {
  read.textAt(reply, 'order_id');
  const outcome = orderOutcome(reply);
  if (outcome.outcome !== 'delivered' || kind === 'recharge' || read.at(reply, 'fulfillment')) return outcome;
  return { outcome: 'accepted', ...conclude.known(outcome) };
}

// A known number always answers ok, so these two prove that there was no order; the rest says nothing about it.
async function resend(purchase: Purchase, wire: Wire): Promise<Outcome> {
  if (!purchase.resend)
    return conclude.unanswered('their order id is not known, and asking by a resend was not allowed');
  const outcome = await dujiaoNext.place(purchase, wire);
  const is_proof = outcome.outcome !== 'refused' || outcome.supplier_reference !== undefined;
  if (is_proof || ['out_of_stock', 'float_low'].includes(outcome.reason)) return outcome;
  return conclude.unanswered(`the resend was refused: ${outcome.reason}`);
}

function callbackOf(body: unknown): Callback {
  return {
    reference: read.maybeTextAt(body, 'downstream_order_no') ?? null,
    supplier_reference: read.textAt(body, 'order_id'),
    outcome: placedOutcome(body, 'code'),
    trust: 'authenticated',
    acknowledge: conclude.acknowledge(compactJson({ ok: true, message: 'received' }), JSON_TYPE),
  };
}

function offerOf(product: unknown, sku: unknown, currency: string): Offer {
  const title = read.firstTextAt(product, ['title', 'title.zh-CN', 'title.zh-TW', 'title.en-US', 'title.en']);
  const price = read.maybeTextAt(sku, 'price_amount');
  const stock = read.maybeTextAt(sku, 'stock_quantity');
  const is_active = [sku, product].every((item) => read.maybeTextAt(item, 'is_active') !== 'false');
  return {
    product: read.textAt(sku, 'id'),
    name: [title, read.maybeTextAt(sku, 'sku_code')].filter(Boolean).join(' · '),
    kind: read.maybeTextAt(product, 'fulfillment_type') === 'manual' ? 'recharge' : 'code',
    cost: price === undefined ? null : read.money(price, currency),
    stock: stock === undefined || stock.startsWith('-') ? null : read.integerAt(sku, 'stock_quantity'),
    available: is_active && read.maybeTextAt(sku, 'stock_status') !== 'out_of_stock',
  };
}
