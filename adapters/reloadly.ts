// Reloadly: airtime, data, PINs and gift cards in 140 countries. Protocol: docs.reloadly.com. Utility bills are left out:
// they cannot be asked for by our reference, so they would need weaker promises. What surprised us
// - Airtime and gift cards have a host, a balance and a token each, so an account of ours is one of the two: its base URL
//   says which, `https://giftcards.reloadly.com` or `https://topups.reloadly.com`.
// - A product is `<operator or product id>:<amount>`, in the card's currency for gift cards, else in ours, or with `:local`
//   behind it in the recipient's. An order never holds gift-card codes: they are read by its id.
// - Which error a repeated reference gets is not documented, so an error without a known code is doubt.
import type { Desk, Found, Money, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { getQuery, postJson, withQuery } from './kit/sending.js';
import { hmacSha256, sameHex } from './kit/signing.js';

const { each } = say;
const AIRTIME = '/operators?includeBundles=true&includeData=true&includePin=true&suggestedAmounts=true';
const CARDS = '/products?includeRange=true&includeFixed=true';
const STALE_MS = 300_000;
const SOLD_OUT = /out of stock|not in stock|insufficient stock/i;

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const reloadly: Supplier = {
  code: 'reloadly',
  name: 'Reloadly',
  region: 'global',
  delivers: ['recharge', 'code'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    client_id: 'Client id, from the dashboard under Developers, API settings; the sandbox has its own.',
    client_secret: 'Secret that belongs to the client id.',
    webhook_secret: 'Signing secret of the webhook of this service, shown where its URL is registered.',
  },
  options: {
    auth_url: { help: 'Where tokens are issued.', default: 'https://auth.reloadly.com/oauth/token' },
    countryCode: { help: 'ISO 3166 code of the phones, for orders that name no region.', default: '' },
    senderName: { help: 'Sender that is named on gift-card orders.', default: 'Gateway' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 90_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    // They name no grace period; half an hour is how long they say a failed number rests.
    absence: { proves_not_bought_after_ms: 1_800_000 },
    callback_trust: 'hint',
    cost_guard: false,
    reference_format: { max_length: 36, alphabet: 'alphanumeric_dash' },
    reversible: true,
  },
  statuses: {
    ...each(['PROCESSING', 'PENDING'], 'accepted'),
    SUCCESSFUL: 'delivered',
    ...each(['FAILED', 'REFUNDED'], { refused: 'declined' }),
  },
  refusals: {
    ...each(['INVALID_CREDENTIALS', 'INVALID_AUDIENCE', 'INVALID_TOKEN', 'TOKEN_EXPIRED'], 'credentials'),
    ...each(['INACTIVE_ACCOUNT', 'ACCOUNT_NOT_FOUND', '401', '403'], 'credentials'),
    ...each(['OPERATOR_UNAVAILABLE_OR_CURRENTLY_INACTIVE', 'COUNTRY_NOT_SUPPORTED'], 'sku_unknown'),
    ...each(['INVALID_AMOUNT_FOR_OPERATOR', 'INVALID_AMOUNT', 'INVALID_SENDER_PHONE'], 'request_invalid'),
    ...each(['COULD_NOT_AUTO_DETECT_OPERATOR', 'INVALID_RECIPIENT_PHONE', 'INVALID_PHONE_NUMBER'], 'recipient_invalid'),
    ...each(['MAX_DAILY_TRANSACTION_AMOUNT_REACHED', 'MAX_DAILY_TRANSACTION_COUNT_REACHED'], 'limit_reached'),
    ...each(['TOPUP_TRANSACTION_FAILED', 'TRANSACTION_CANNOT_BE_PROCESSED_AT_THE_MOMENT'], null),
    INSUFFICIENT_BALANCE: 'float_low',
    OPERATOR_NOT_IN_SERVICE: 'maintenance',
    PHONE_RECENTLY_RECHARGED: 'duplicate',
    ...{ 'out of stock': 'out_of_stock', '404': 'declined', '429': 'busy' },
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async session(wire) {
    const keys = { client_id: wire.credential('client_id'), client_secret: wire.credential('client_secret') };
    const asked = { ...keys, grant_type: 'client_credentials', audience: wire.base_url };
    const reply = await postJson(wire, wire.option('auth_url'), asked);
    const body = read.readJson(reply);
    if (reply.status >= 400) throw say.saidNo(reloadly, errorOf(reply.status, body));
    return { token: read.textAt(body, 'access_token'), expires_in_ms: read.integerAt(body, 'expires_in') * 1000 };
  },

  async place(purchase, wire) {
    const is_card = sellsCards(wire, purchase);
    if (!is_card && purchase.quantity > 1)
      return { outcome: 'refused', reason: 'limit_reached', message: 'they sell one top-up at a time' };
    const order = orderBody(is_card, purchase, wire);
    const { error, body } = await call(wire, is_card, is_card ? '/orders' : '/topups', order);
    if (error) return say.byRefusal(reloadly, error, { message: read.maybeTextAt(body, 'message') });
    return orderOutcome(body, is_card, wire);
  },

  async lookup(purchase, wire): Promise<Found> {
    const [id, is_card] = [purchase.supplier_reference, sellsCards(wire, purchase)];
    const reports = is_card ? '/reports/transactions' : '/topups/reports/transactions';
    const one = is_card ? `${reports}/${id}` : `/topups/${id}/status`;
    const search = withQuery(reports, { customIdentifier: purchase.reference });
    const { error, body } = await call(wire, is_card, id ? one : search);
    if (error) return say.unanswered(error);
    if (id) return orderOutcome(body, is_card, wire);
    const rows = read.listAt(body, 'content');
    const ours = rows.filter((row) => read.maybeTextAt(row, 'customIdentifier') === purchase.reference);
    if (rows.length === 0) return { outcome: 'absent' };
    if (ours.length !== 1) return say.unanswered(`of ${rows.length} transactions ${ours.length} have this reference`);
    return orderOutcome(ours[0], is_card, wire);
  },

  async listOffers(cursor, wire) {
    const [page, is_card] = [read.pageOf(cursor), sellsCards(wire)];
    const { error, body } = await call(wire, is_card, withQuery(is_card ? CARDS : AIRTIME, { page, size: 200 }));
    if (error) throw say.saidNo(reloadly, error);
    const rows = read.listAt(body, 'content');
    const next = read.maybeTextAt(body, 'last') === 'true' ? null : read.nextPage(page, rows.length, 200);
    return { offers: rows.flatMap(offersOf), next };
  },

  async readBalance(wire) {
    const { error, body } = await call(wire, sellsCards(wire), '/accounts/balance');
    if (error) throw say.saidNo(reloadly, error);
    return read.money(read.textAt(body, 'balance'), read.textAt(body, 'currencyCode'));
  },

  readCallback({ headers, body }, desk) {
    return say.orUnreadable(() => {
      const stamp = headers['x-reloadly-request-timestamp'] ?? '';
      const signed = hmacSha256(desk.credential('webhook_secret'), `${read.bodyText(body)}:${stamp}`);
      if (!sameHex(headers['x-reloadly-signature'], signed)) return say.rejected('signature', 'not signed by them');
      if (Math.abs(desk.now - read.parseTime(stamp, 'Z')) > STALE_MS) return say.rejected('stale', 'from another time');
      const event = read.parseJson(read.bodyText(body));
      const [status, type] = [read.textAt(event, 'data.status'), read.maybeTextAt(event, 'type')];
      const is_unread = status === 'SUCCESSFUL' && type?.startsWith('giftcard');
      return {
        reference: read.maybeTextAt(event, 'data.customIdentifier') ?? null,
        supplier_reference: read.maybeTextAt(event, 'data.transactionId') ?? null,
        outcome: is_unread ? { outcome: 'accepted' } : say.byStatus(reloadly, status, {}),
        trust: 'hint',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

const sellsCards = ({ base_url }: Desk, purchase?: Purchase) =>
  /\/\/(giftcards|topups)/.test(base_url) ? base_url.includes('//giftcards') : purchase?.kind === 'code';
function orderBody(is_card: boolean, { product, reference, quantity, recipient }: Purchase, desk: Desk): object {
  const numeric = (part: string) => (/^\d+(\.\d+)?$/.test(part) ? Number(part) : part);
  const [id, amount, unit] = product.split(':').map(numeric);
  const [customIdentifier, senderName] = [reference, desk.option('senderName')];
  if (is_card) return { productId: id, quantity, unitPrice: amount, senderName, customIdentifier };
  const { account, region = desk.option('countryCode') } = recipient;
  const phone = account ? { countryCode: region || undefined, number: account } : undefined;
  const to = account?.includes('@') ? { recipientEmail: account } : { recipientPhone: phone };
  return { operatorId: id, amount, useLocalAmount: unit === 'local', customIdentifier, ...to };
}

async function call(wire: Wire, is_card: boolean, url: string, order?: object, version = 'v1') {
  const accept = `application/com.reloadly.${is_card ? 'giftcards' : 'topups'}-${version}+json`;
  const headers = { accept, authorization: `Bearer ${await wire.token()}`, 'content-type': 'application/json' };
  const sent = order ? postJson(wire, url, order, { headers, buys: true }) : getQuery(wire, url, {}, { headers });
  const reply = await sent;
  const body = read.readJson(reply);
  return { body, error: reply.status >= 400 ? errorOf(reply.status, body) : null };
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

const errorOf = (status: number, body: unknown) =>
  read.maybeTextAt(body, 'errorCode') ??
  (status === 400 && SOLD_OUT.test(read.maybeTextAt(body, 'message') ?? '') ? 'out of stock' : String(status));
async function orderOutcome(reply: unknown, is_card: boolean, wire: Wire): Promise<Outcome> {
  // Airtime by its id has its status beside it, and older answers have none: then it is still at work.
  const order = read.at(reply, 'transaction') ?? reply;
  const status = read.maybeTextAt(order, 'status') ?? read.maybeTextAt(reply, 'status') ?? 'PROCESSING';
  const is_no = typeof reloadly.statuses[status] === 'object';
  const told = { supplier_reference: read.textAt(order, 'transactionId'), cost: is_no ? undefined : costOf(order) };
  const [pin, serial, validity, receipt] = PARTS.map((path) => read.maybeTextAt(order, path));
  const codes = pin || serial ? { codes: [say.code({ pin, serial, expires_at: read.expiryOf(validity, 'Z') })] } : {};
  const found = say.byStatus(reloadly, status, told, () => ({ ...codes, ...(receipt ? { receipt } : {}) }));
  // A code that came before its time is kept. What was bought stays bought when its cards cannot be read yet.
  if (found.outcome === 'accepted' && pin) return { ...found, outcome: 'unknown', doubt: 'supplier_said', ...codes };
  if (found.outcome !== 'delivered' || !is_card) return found;
  const url = `/orders/transactions/${told.supplier_reference}/cards`;
  const cards = await call(wire, is_card, url, undefined, 'v2').catch(() => null);
  if (!cards || cards.error) return { outcome: 'accepted', ...say.known(told) };
  return { ...found, codes: read.itemsAt(cards.body, '').map(cardOf) };
}
const PARTS = ['pinDetail.code', 'pinDetail.serial', 'pinDetail.validity', 'operatorTransactionId'];
function cardOf(card: unknown) {
  const [number, pin, url] = ['cardNumber', 'pinCode', 'redemptionUrl'].map((path) => read.maybeTextAt(card, path));
  return say.code({ pin, ...(!url && /^https?:/i.test(number ?? '') ? { link: number } : { number, link: url }) });
}
function costOf(order: unknown): Money | undefined {
  const at = (path: string) => read.maybeTextAt(order, path);
  const [charged, currency, asked] = [at('balanceInfo.cost'), at('balanceInfo.currencyCode'), at('requestedAmount')];
  if (charged && currency) return read.money(charged, currency);
  const [whole, named] = asked ? [asked, at('requestedAmountCurrencyCode')] : [at('amount'), at('currencyCode')];
  const less = read.toE4((asked && at('discount')) || '0');
  return whole && named ? { ...read.money(whole, named), amount_e4: read.toE4(whole) - less } : undefined;
}

// A free amount has no offer of its own: the SKU names it. A cost is less their discount, plus the fee on a card.
function offersOf(row: unknown): Offer[] {
  const [is_card, at] = [read.at(row, 'productId') !== undefined, (path: string) => read.maybeTextAt(row, path)];
  const product = at('productId') ?? at('operatorId') ?? read.textAt(row, 'id');
  const name = at('productName') ?? at('name') ?? product;
  const kind = is_card || at('pin') === 'true' ? 'code' : 'recharge';
  const available = (at('status') ?? 'ACTIVE') === 'ACTIVE';
  const offer: Offer = { product, name, kind, cost: null, stock: null, available };
  const charged = read.itemsAt(row, is_card ? 'fixedSenderDenominations' : 'fixedAmounts');
  const faces = is_card ? read.itemsAt(row, 'fixedRecipientDenominations') : charged;
  const left = BigInt(1_000_000 - read.toE4(at('discountPercentage') ?? at('internationalDiscount') ?? '0'));
  const offers = faces.map((face, index) => {
    const face_value = read.money(read.textAt(face, ''), at(is_card ? 'recipientCurrencyCode' : 'senderCurrencyCode'));
    const price = read.money(read.maybeTextAt(charged[index], '') ?? '0', at('senderCurrencyCode'));
    const less = Number((BigInt(price.amount_e4) * left + 999_999n) / 1_000_000n);
    const cost = less > 0 ? { ...price, amount_e4: less + read.toE4(at('senderFee') ?? '0') } : null;
    const amount = read.decimalText(face_value.amount_e4);
    return { ...offer, product: `${product}:${amount}`, name: `${name} ${amount}`, cost, face_value };
  });
  return offers.length > 0 ? offers : [offer];
}
