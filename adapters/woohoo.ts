// Woohoo by Pine Labs (Qwikcilver), REST V3: Indian brand gift cards, in rupees, from a prepaid "svc" wallet.
// Protocol: their signing samples at github.com/qwikcilver/qwikgiftapioauth2sign, and the REST V3 guide they hand out.
// What surprised us
// - Two calls open a session. The signature covers the absolute URL and the body with sorted keys, percent-encoded whole;
//   amounts go out as texts, because a float is written differently by every JSON library and breaks it.
// - A used reference is refused with 5313 and not replayed: that says "it is here, ask", never "it failed".
// - A card may have any of number, PIN, activation code, activation URL and barcode: all that is there is kept.
// - There are no callbacks, and no way to read the wallet. Their way to kill an order in doubt (`reverse`) is not used.
// - A product is `<sku>:<price>`, the price in rupees as text: `100.00`. The references of an account begin with the
//   prefix they assigned, which must never change.
import type { Code, Desk, Found, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import { byRefusal, byStatus, code, each, range, saidNo, unanswered } from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson, withQuery } from './kit/sending.js';
import { compactJson, hmac, percentEncode, sortQuery } from './kit/signing.js';

const ROOT = '/rest/v3';
const PAGE_SIZE = 100;
const CARDS_MAX = 500;
const ADDRESS = 'firstname lastname email telephone line1 line2 city region postcode'.split(' ');
/** How long a token without a readable end is kept. */
const SESSION_MS = 600_000;

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const woohoo: Supplier = {
  code: 'woohoo',
  name: 'Woohoo (Pine Labs)',
  region: 'IN',
  delivers: ['code'],
  // The live host is assigned to each client.
  base_urls: { live: null, sandbox: 'https://sandbox.woohoo.in' },
  credentials: {
    clientId: 'Consumer key, handed out at provisioning.',
    clientSecret: 'Consumer secret; also signs every request.',
    username: 'API user, handed out at provisioning.',
    password: 'Password of the API user.',
  },
  options: {
    refno_prefix: { help: 'Prefix they assigned to our order numbers; never change it.', default: '' },
    syncOnly: { help: 'true: cards in the answer or a no; false: they may take their time.', default: 'true' },
    category: { help: 'Catalogue category that holds our products; empty for the root they name.', default: '' },
    country: { help: 'Country of the buyer, which is us.', default: 'IN' },
    ...Object.fromEntries(
      ADDRESS.map((name) => [name, { help: `The buyer's ${name}; the buyer is us.`, default: '' }]),
    ),
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 60_000 },
  money: { currency: 'INR', unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    // "Once a settle delay has passed", which they do not name.
    absence: { proves_not_bought_after_ms: 600_000 },
    callback_trust: 'none',
    cost_guard: false,
    reference_format: { max_length: 32, alphabet: 'alphanumeric' },
    reversible: true,
  },
  statuses: {
    COMPLETE: 'delivered',
    ...each(['PROCESSING', 'PENDING'], 'accepted'),
    CANCELED: { refused: 'declined' },
  },
  refusals: {
    ...each(['401', '403'], 'credentials'),
    ...each([5313, 6053], null),
    ...each([5035, 5038], 'float_low'),
    ...each([5318, 11429], 'sku_unknown'),
    ...each([5320, 5321, 6051, 6052], 'declined'),
    ...each([5036, 5311, 5312, 5342, 5334, 5335, 8221, 5080, 5103, 11273, 11292], 'request_invalid'),
    ...each(range(11135, 11138), 'out_of_stock'),
    ...each([11159, ...range(11139, 11143), 11146], 'limit_reached'),
    ...each(range(10910, 10914), 'busy'),
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async session(wire) {
    const [clientId, clientSecret] = [wire.credential('clientId'), wire.credential('clientSecret')];
    const [username, password] = [wire.credential('username'), wire.credential('password')];
    const verified = await opened(wire, '/oauth2/verify', { clientId, username, password });
    const authorizationCode = read.textAt(verified, 'authorizationCode');
    const body = await opened(wire, '/oauth2/token', { clientId, clientSecret, authorizationCode });
    const token = read.textAt(body, 'token');
    return { token, expires_in_ms: lifeOf(token, wire.now) };
  },

  async place(purchase, wire) {
    const { status, body } = await call(wire, `${ROOT}/orders`, orderBody(purchase, wire));
    if (status < 400) return orderOutcome(body, wire);
    return byRefusal(woohoo, errorOf(status, body), { message: read.maybeTextAt(body, 'message') });
  },

  async lookup(purchase, wire): Promise<Found> {
    const { status, body } = await call(wire, `${ROOT}/order/${refnoOf(purchase, wire)}/status`);
    if (status === 400 && errorOf(status, body) === '5320') return { outcome: 'absent' };
    return status >= 400 ? unanswered(errorOf(status, body)) : orderOutcome(body, wire);
  },

  async listOffers(cursor, wire) {
    const [category, offset] = cursor === null ? [await categoryOf(wire), '0'] : cursor.split('/');
    const from = read.pageOf(offset ?? '');
    const url = withQuery(`${ROOT}/catalog/categories/${category}/products`, { offset: from, limit: PAGE_SIZE });
    const { status, body } = await call(wire, url);
    if (status >= 400) throw saidNo(woohoo, errorOf(status, body));
    const rows = read.listAt(body, 'products');
    const next = rows.length < PAGE_SIZE ? null : `${category}/${from + PAGE_SIZE}`;
    return { offers: rows.flatMap(offersOf), next };
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function opened(wire: Parameters<NonNullable<Supplier['session']>>[0], url: string, fields: object) {
  const reply = await postJson(wire, url, fields, { headers: { 'content-type': 'application/json', accept: '*/*' } });
  const body = read.readJson(reply);
  if (reply.status >= 400) throw saidNo(woohoo, String(reply.status), read.maybeTextAt(body, 'message'));
  return body;
}

function lifeOf(token: string, now: number): number {
  try {
    const claims = read.parseJson(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return Math.max(0, read.integerAt(claims, 'exp') * 1000 - now);
  } catch {
    return SESSION_MS;
  }
}

async function call(wire: Wire, path: string, order?: object): Promise<{ status: number; body: unknown }> {
  const url = wire.base_url + path;
  const parts = [order ? 'POST' : 'GET', percentEncode(sortQuery(url))];
  if (order) parts.push(percentEncode(compactJson(order, { sort: 'deep' })));
  const headers = {
    'content-type': 'application/json',
    accept: '*/*',
    authorization: `Bearer ${await wire.token()}`,
    dateAtClient: read.timeText(wire.now, 'yyyy-MM-ddTHH:mm:ss.SSSZ', 'Z'),
    signature: hmac('sha512', wire.credential('clientSecret'), parts.join('&')),
  };
  const get = () => wire.send({ method: 'GET', url: path, headers });
  const reply = await (order ? postJson(wire, path, order, { headers, buys: true }) : get());
  return { status: reply.status, body: read.readJson(reply) };
}

const refnoOf = ({ reference }: Purchase, desk: Desk) => desk.option('refno_prefix') + reference;

function orderBody(purchase: Purchase, desk: Desk): object {
  const [sku, price] = purchase.product.split(':');
  const refno = refnoOf(purchase, desk);
  const total = price && /^\d/.test(price) ? read.decimalText(read.toE4(price) * purchase.quantity, 2) : undefined;
  const address = Object.fromEntries([...ADDRESS, 'country'].map((name) => [name, desk.option(name)]));
  return {
    address: { ...address, billToThis: true },
    payments: [{ code: 'svc', amount: total, poNumber: refno }],
    refno,
    products: [{ sku, price, qty: purchase.quantity, currency: 356 }],
    syncOnly: desk.option('syncOnly') !== 'false',
    deliveryMode: 'API',
  };
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function errorOf(status: number, body: unknown): string {
  return status === 401 || status === 403 ? String(status) : (read.maybeTextAt(body, 'code') ?? String(status));
}

// The status alone has no cards: they are read by the order's id, and may still be in the making, or gone.
async function orderOutcome(order: unknown, wire: Wire): Promise<Outcome> {
  const id = read.textAt(order, 'orderId');
  const status = read.textAt(order, 'status');
  const told = { supplier_reference: id, cost: status === 'CANCELED' ? undefined : costOf(order) };
  const cards = read.itemsAt(order, 'cards');
  const outcome = byStatus(woohoo, status, told, () => ({ codes: cards.map(cardOf) }));
  if (outcome.outcome !== 'delivered' || cards.length > 0) return outcome;
  const url = withQuery(`${ROOT}/order/${encodeURIComponent(id)}/cards/`, { offset: 0, limit: CARDS_MAX });
  // What was bought stays bought when its cards cannot be read yet: a lookup reads them.
  const reply = await call(wire, url).catch(() => ({ status: 409, body: null }));
  const state = read.maybeTextAt(reply.body, 'state') ?? (reply.status === 410 ? 'CANCELED' : 'PROCESSING');
  if (reply.status >= 400) return byStatus(woohoo, state, { supplier_reference: id });
  return { ...outcome, codes: read.itemsAt(reply.body, 'cards').map(cardOf) };
}

function costOf(order: unknown) {
  const amount = read.maybeTextAt(order, 'payments.0.amount');
  return amount ? read.money(amount, read.maybeTextAt(order, 'currency.code') ?? 'INR') : undefined;
}

// Four places for up to five texts: what finds none of its own is kept beside the others as serial.
function cardOf(card: unknown): Code {
  const [number, pin, activation, link, barcode, validity] = CARD_PATHS.map((path) => read.maybeTextAt(card, path));
  const texts = { number: number ?? barcode, pin: pin ?? activation };
  const rest = [pin && activation, number && barcode !== number && barcode].filter(Boolean).join(' ');
  return code({ ...texts, link, serial: rest || undefined, expires_at: read.expiryOf(validity, '+05:30') });
}
const CARD_PATHS = ['cardNumber', 'cardPin', 'activationCode', 'activationUrl', 'barcode', 'validity'];

async function categoryOf(wire: Wire): Promise<string> {
  const chosen = wire.option('category');
  if (chosen) return chosen;
  const { status, body } = await call(wire, `${ROOT}/catalog/categories`);
  if (status >= 400) throw saidNo(woohoo, errorOf(status, body));
  return read.firstTextAt(body, ['id', '0.id']) ?? read.textAt(body, 'categories.0.id');
}

// Costs are terms of the contract, and stock is not told: a product that is listed is on sale.
function offersOf(row: unknown): Offer[] {
  const sku = read.textAt(row, 'sku');
  const name = read.maybeTextAt(row, 'name') ?? sku;
  const offer: Offer = { product: sku, name, kind: 'code', cost: null, stock: null, available: true, region: 'IN' };
  const prices = read.itemsAt(row, 'price.denominations').map((price) => read.money(read.textAt(price, ''), 'INR'));
  if (prices.length === 0) return [offer];
  return prices.map((face_value) => {
    const amount = read.decimalText(face_value.amount_e4, 2);
    return { ...offer, product: `${sku}:${amount}`, name: `${name} ${amount}`, face_value };
  });
}
