// Runa (formerly WeGift): gift cards of the whole world as payout links, whose codes are revealed by a second call.
// Protocol: github.com/wegift/api-docs, version 2024-02-05. What surprised us
// - The idempotency key is our reference, a random UUID. Whatever was answered first is answered for 30 days, errors too;
//   after that the same key BUYS again. Where their id was lost, `lookup` sends the order again if `resend` is set.
// - A code may be issued only when it is first revealed, so it may be out of stock after the order succeeded. We reveal
//   at once and call it delivered only then. Revealing answers HTTP 200 for errors too.
// - A product is `<code>:<face value>:<currency>`; the currency must be the product's own.
import type { Code, Desk, Found, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson, withQuery } from './kit/sending.js';
import { compactJson, sameText, standardWebhook } from './kit/signing.js';

const VERSION = '2024-02-05';
const STALE_MS = 300_000;

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const runa: Supplier = {
  code: 'runa',
  name: 'Runa',
  region: 'global',
  delivers: ['code'],
  base_urls: { live: 'https://api.runa.io/v2', sandbox: 'https://playground.runa.io/v2' },
  credentials: {
    api_key: 'API key, from the Runa portal; those of the playground begin with XX.',
    webhook_secret: 'Signing secret of the webhook endpoint, whsec_…, from the Svix portal; signs callbacks.',
  },
  options: {
    currency: { help: 'Currency of the balance we watch, and of products that name none.', default: 'USD' },
    deliver: { help: 'code, which needs the Redemption API; or link, to pass on the payout link.', default: 'code' },
  },
  limits: { requests: 300, per_ms: 60_000, concurrency: 4, deadline_ms: 60_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: { returns_original_within_ms: 30 * 86_400_000 },
    lookup_by: 'resend',
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: false,
    reference_format: { max_length: 36, alphabet: 'uuid' },
    reversible: true,
  },
  statuses: {
    PROCESSING: 'accepted',
    COMPLETED: 'delivered',
    FAILED: { refused: 'declined' },
    ...say.each(['ACTIVE', 'CLAIMED', 'SUCCESS'], 'delivered'),
    ...say.each(['CANCELLED', 'EXPIRED', 'RE003', 'RE004', 'RE005', 'RE012'], { refused: 'declined' }),
    ...say.each(['RE006', 'RE007', 'RE008', 'RE009', 'RE010', 'RE999'], 'accepted'),
    ...say.each(['RE001', 'RE002', 'RE011', 'RE013'], 'unknown'),
  },
  refusals: {
    ...say.each(['unauthorized', 'invalid_api_key', 'forbidden', '401', '403'], 'credentials'),
    ...say.each(['ordering_restricted', 'insufficient_funds', 'payment_method_unavailable'], 'float_low'),
    ...say.each(['product_validation_error', 'currency_mismatch'], 'sku_unknown'),
    ...say.each(['validation_error', 'bad_request', 'invalid_execution_mode', 'pagination_error'], 'request_invalid'),
    ...say.each(['insecure_protocol', 'invalid_version', 'version_removed'], 'request_invalid'),
    not_found: 'declined',
    idempotency_validation_error: 'duplicate',
    ...say.each(['idempotency_in_progress', 'internal_server_error', 'timeout'], null),
    '429': 'busy',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const mode = purchase.quantity === 1 ? 'sync' : 'async';
    const headers = { 'X-Idempotency-Key': purchase.reference, 'X-Execution-Mode': mode, ...authorized(wire) };
    const reply = await postJson(wire, '/order', compactJson(orderBody(purchase, wire)), { headers, buys: true });
    const { error, body } = answerOf(reply);
    if (error) return say.byRefusal(runa, error, { message: read.maybeTextAt(body, 'message') });
    return orderOutcome(body, wire);
  },

  async lookup(purchase, wire): Promise<Found> {
    const id = purchase.supplier_reference;
    if (id) {
      const { error, body } = await get(wire, `/order/${encodeURIComponent(id)}`);
      return error ? say.unanswered(error) : orderOutcome(body, wire);
    }
    if (!purchase.resend) return say.unanswered('their id is not known, and asking by a resend was not allowed');
    const outcome = await runa.place(purchase, wire);
    // A no that was said before the key was looked at tells nothing about what was sent under it before.
    const is_unheard = 'reason' in outcome && ['credentials', 'busy', 'duplicate'].includes(outcome.reason);
    return is_unheard ? say.unanswered(outcome.message) : outcome;
  },

  async listOffers(cursor, wire) {
    const { error, body } = await get(wire, withQuery('/product', { after: cursor }));
    if (error) throw say.saidNo(runa, error);
    const rows = read.listAt(body, ['catalog', 'products', 'data'].find((name) => read.at(body, name)) ?? 'catalog');
    return { offers: rows.flatMap(offersOf), next: read.maybeTextAt(body, 'pagination.cursors.after') ?? null };
  },

  async readBalance(wire) {
    const currency = wire.option('currency');
    const { error, body } = await get(wire, withQuery('/balance', { currency }));
    if (error) throw say.saidNo(runa, error);
    const rows = read.itemsAt(body, '');
    const row = rows.find((one) => read.maybeTextAt(one, 'currency') === currency) ?? rows[rows.length === 1 ? 0 : -1];
    return read.money(read.textAt(row, 'balance'), read.textAt(row, 'currency'));
  },

  readCallback({ headers, body }, desk) {
    return say.orUnreadable(() => {
      const [id = '', stamp = ''] = ['svix-id', 'svix-timestamp'].map((name) => headers[name]);
      const signature = standardWebhook(desk.credential('webhook_secret'), id, stamp, body);
      const is_signed = headers['svix-signature']?.split(' ').some((one) => sameText(one, signature));
      if (!is_signed) return say.rejected('signature', 'no signature fits the webhook secret of this account');
      if (!(Math.abs(desk.now - Number(stamp) * 1000) <= STALE_MS)) return say.rejected('stale', 'far from our clock');
      const order = read.parseJson(read.bodyText(body));
      const [supplier_reference, product] = ['id', 'product_code'].map((name) => read.maybeTextAt(order, name));
      if (product) return say.offerNotice([product]);
      // What is about no order wants to be received all the same.
      if (!supplier_reference) return say.rejected('unreadable', 'no order in it', say.RECEIVED);
      const outcome = say.byStatus(runa, read.textAt(order, 'status'), { supplier_reference, cost: costOf(order) });
      return {
        reference: read.maybeTextAt(order, 'description') ?? null,
        supplier_reference,
        // The codes are still to be revealed.
        outcome: outcome.outcome === 'delivered' ? { ...outcome, outcome: 'accepted' } : outcome,
        trust: 'authenticated',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function authorized(wire: Wire): Record<string, string> {
  return { 'X-Api-Key': wire.credential('api_key'), 'X-Api-Version': VERSION, 'Content-Type': 'application/json' };
}

async function get(wire: Wire, url: string) {
  return answerOf(await wire.send({ method: 'GET', url, headers: authorized(wire) }));
}

// The same for every repeat: a key with another body is refused.
function orderBody({ product, reference, quantity }: Purchase, desk: Desk): object {
  const [value, amount = '', currency = desk.option('currency')] = product.split(':');
  const face_value = /^\d{1,9}(\.\d{1,4})?$/.test(amount) ? Number(amount) : undefined;
  const item = { face_value, distribution_method: { type: 'PAYOUT_LINK' }, products: { type: 'SINGLE', value } };
  const items = Array.from({ length: quantity }, () => item);
  const payment_method = { type: 'ACCOUNT_BALANCE', currency };
  return { payment_method, items, description: reference, metadata: { reference } };
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function answerOf(reply: Awaited<ReturnType<Wire['send']>>) {
  const body = read.readJson(reply);
  const is_no = reply.status >= 400 || reply.status < 200;
  return { body, error: is_no ? (read.maybeTextAt(body, 'type') ?? String(reply.status)) : null };
}

async function orderOutcome(order: unknown, wire: Wire): Promise<Outcome> {
  const status = read.textAt(order, 'status');
  const told = { supplier_reference: read.textAt(order, 'id'), cost: status === 'FAILED' ? undefined : costOf(order) };
  const outcome = say.byStatus(runa, status, told);
  if (outcome.outcome !== 'delivered') return outcome;
  // What was bought stays bought when its code cannot be read yet: a lookup reads it.
  const reveal = (item: unknown) => unitOf(item, wire).catch(() => ({ word: 'PROCESSING', codes: [] }));
  const units = await Promise.all(read.itemsAt(order, 'items').map(reveal));
  const codes = units.flatMap((unit) => unit.codes);
  const outcomes = units.map(({ word }) => say.byStatus(runa, word, { ...told, message: word }));
  const [worst] = ['unknown', 'accepted', 'refused'].flatMap((word) => outcomes.filter((one) => one.outcome === word));
  if (!worst) return { ...outcome, codes };
  if (worst.outcome === 'unknown') return { ...worst, codes };
  return codes.length === 0 ? worst : { ...say.known(told), outcome: 'unknown', doubt: 'codes_missing', codes };
}

// The state of one payout, and its code if it has one.
async function unitOf(item: unknown, wire: Wire): Promise<{ word: string; codes: Code[] }> {
  const word = read.maybeTextAt(item, 'payout.status') ?? 'ACTIVE';
  const link = read.firstTextAt(item, ['payout.url', 'redemption_url']);
  if (runa.statuses[word] !== 'delivered' || !link) return { word, codes: [] };
  const payout = say.code({ link, expires_at: expiryOf(read.maybeTextAt(item, 'payout.expiry_date')) });
  if (wire.option('deliver') === 'link') return { word, codes: [payout] };
  // Their word for where the code is must not lead us to a stranger.
  const { hostname } = new URL(link);
  if (!hostname.endsWith('.runa.io')) return { word: 'RE001', codes: [payout] };
  const reply = read.readJson(await wire.send({ method: 'GET', url: withQuery(link, { format: 'json' }) }));
  const said = read.firstTextAt(reply, ['error_code', 'e_code.error_code']) ?? read.textAt(reply, 'status');
  const meaning = runa.statuses[said];
  const kept = meaning === undefined || meaning === 'unknown' ? [payout] : [];
  return { word: said, codes: meaning === 'delivered' ? [codeOf(reply)] : kept };
}

function codeOf(reply: unknown): Code {
  const [value, pin, barcode, url, expiry] = PARTS.map((name) => read.maybeTextAt(reply, `e_code.${name}`));
  const [number, serial] = [...new Set([value, barcode])].filter((text) => text && text !== url);
  return say.code({ number, serial, pin, link: url, expires_at: expiryOf(expiry) });
}
const PARTS = ['code', 'pin', 'barcode_string', 'url', 'expiry_date'];

// The year 3000 stands for never.
const expiryOf = (text = '') => (text.startsWith('3000-01-01') ? undefined : read.expiryOf(text, 'Z'));

function costOf(order: unknown) {
  const [total, currency] = ['total_price', 'currency'].map((path) => read.maybeTextAt(order, path));
  return total && currency ? read.money(total, currency) : undefined;
}

// An open amount has no offer of its own: the SKU names it. 0.1 is ten percent off, before fees; rounded up.
function offersOf(row: unknown): Offer[] {
  const [product, currency] = [read.textAt(row, 'code'), read.textAt(row, 'currency')];
  const name = read.maybeTextAt(row, 'name') ?? product;
  const available = read.at(row, 'is_orderable') === true;
  const offer: Offer = { product, name, kind: 'code', cost: null, stock: null, available };
  const left = BigInt(10_000 - read.toE4(read.maybeTextAt(row, 'discount_multiplier') ?? '0'));
  const offers = read.itemsAt(row, 'gift_card.denominations.available_list').map((face) => {
    const face_value = read.money(read.textAt(face, ''), currency);
    const cost = { ...face_value, amount_e4: Number((BigInt(face_value.amount_e4) * left + 9_999n) / 10_000n) };
    const amount = read.decimalText(face_value.amount_e4);
    return { ...offer, product: `${product}:${amount}:${currency}`, name: `${name} ${amount}`, cost, face_value };
  });
  return offers.length > 0 ? offers : [offer];
}
