// 星海 Xinghai, API v1.9: recharges of phones, memberships, games, oil, electricity (itemType 0) and codes (itemType 1); China.
// Protocol: showdoc.com.cn/2167197494741781.
// What surprised us
// - A number may be used again once its order has failed: then the same request buys a second time. It must never be.
// - -16, repeated, is told of a number in use, whatever became of it: doubt, not a refusal.
// - The secret is signed as a parameter among the others, at its alphabetical place, and is never sent.
// - How the cardData of a callback becomes text in its signature is not established: unless it is signed as it came,
//   such a callback is a hint, and the codes are read by a query.
// - Orders may be asked for after 3 minutes (codes: 1), and only those of this month and the last.
// - Recharges can name a price, itemPrice; whether less than it is taken, too, is not established. Codes cannot, so the
//   cost of an order is not guarded.
import type { Code, Desk, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import { aesDecrypt } from './kit/legacy.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postForm } from './kit/sending.js';
import { type Fields, joinFields, md5, sameHex, sameText } from './kit/signing.js';

const OK = '00';
const PROCESSING = '1';
const DONE = '2';
const ZONE = '+08:00';
const DEADLINE_MS = 30_000;
/** A recharge that names one of these, or the account type `phone`, goes to the endpoint for phones. */
const PHONE_FIELDS = ['isp', 'provinceCode', 'provinceName', 'timeout'];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const xinghai: Supplier = {
  code: 'xinghai',
  name: '星海 Xinghai',
  region: 'CN',
  delivers: ['recharge', 'code'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    appId: 'Application id, from their sales contact together with host and port.',
    appSecret: 'Application secret; signs requests and callbacks and opens the codes. It is never sent.',
  },
  options: {
    item_price: { help: 'itemPrice of a recharge: `ceiling` of one unit, or `none`.', default: 'ceiling' },
  },
  // That of the query for codes; balance (once per 10 s) and item/query (once per 5 s) are slower still.
  limits: { requests: 10, per_ms: 1000, concurrency: 4, deadline_ms: DEADLINE_MS, first_lookup_after_ms: 180_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'buys_again',
    lookup_by: 'reference',
    // Three minutes after they were sent the order; ours may have been under way until our own deadline.
    absence: { proves_not_bought_after_ms: 180_000 + DEADLINE_MS },
    callback_trust: 'authenticated',
    cost_guard: false,
    reference_format: { max_length: 50, alphabet: 'alphanumeric' },
    reversible: false,
  },
  statuses: { '1': 'accepted', '2': 'delivered', '3': { refused: 'declined' } },
  refusals: {
    '-10': 'maintenance',
    '-12': 'declined',
    '-13': 'busy',
    '-14': 'credentials',
    '-15': 'sku_unknown',
    '-18': 'float_low',
    '-21': 'out_of_stock',
    // To be asked for: -16 is a repeat, -22 and -23 are extractions that timed out or broke, -99 is their system.
    ...Object.fromEntries(['-16', '-22', '-23', '-99'].map((word) => [word, null])),
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const { url, fields } = orderOf(purchase, wire);
    const reply = await call(wire, url, fields, true);
    const word = read.textAt(reply, 'code');
    const message = read.maybeTextAt(reply, 'msg');
    if (word === '-16') return { outcome: 'unknown', doubt: 'duplicate', ...say.known({ message }) };
    // They call -21 a failure of codes only.
    const refusal = word === '-21' && purchase.kind !== 'code' ? '-21 of a recharge' : word;
    if (word !== OK) return say.byRefusal(xinghai, refusal, { message });
    const orderStatus = cardsOf(reply).length > 0 ? DONE : PROCESSING;
    return orderOutcome({ ...read.objectAt(reply, ''), orderStatus }, wire);
  },

  async lookup(purchase, wire) {
    const reply = await call(wire, '/api/order/query', { outOrderId: purchase.reference });
    const word = read.textAt(reply, 'code');
    if (word !== OK) return say.unanswered(read.maybeTextAt(reply, 'msg') ?? word);
    if (read.textAt(reply, 'orderStatus') === '4') return { outcome: 'absent', message: 'orderStatus 4, not found' };
    return orderOutcome(reply, wire);
  },

  async listOffers(_cursor, wire) {
    const reply = await call(wire, '/api/item/query', {});
    expectOk(reply);
    return { offers: read.listAt(reply, 'data').map(offerOf), next: null };
  },

  async readBalance(wire) {
    const reply = await call(wire, '/api/account/balance', {});
    expectOk(reply);
    return read.moneyAt(reply, 'balance', xinghai.money);
  },

  readCallback(message, desk) {
    return say.orUnreadable(() => {
      const fields = read.parseForm(read.bodyText(message.body));
      const is_signed = sameHex(fields.sign, signature(desk, fields));
      const has_cards = Object.keys(fields).some((name) => name.startsWith('cardData'));
      if (!is_signed && !(has_cards && sameText(fields.appId, desk.credential('appId')))) {
        return say.rejected('signature', 'the sign field does not fit the secret of this account');
      }
      return {
        reference: read.textAt(fields, 'outOrderId'),
        supplier_reference: read.textAt(fields, 'orderId'),
        outcome: orderOutcome(is_signed ? fields : { ...fields, cardData: undefined }, desk),
        trust: is_signed ? 'authenticated' : 'hint',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderOf(purchase: Purchase, wire: Wire): { url: string; fields: Fields } {
  const { reference, product, kind, quantity, cost_ceiling } = purchase;
  const { account, account_type, region, server, extra = {} } = purchase.recipient;
  const ours = { outOrderId: reference, itemId: product, amount: quantity, callbackUrl: wire.callback_url };
  if (kind === 'code') return { url: '/api/card/get', fields: { phoneNo: account, ...extra, ...ours } };
  const has_price = cost_ceiling && wire.option('item_price') === 'ceiling';
  const is_phone = account_type === 'phone' || PHONE_FIELDS.some((name) => name in extra);
  return {
    url: is_phone && quantity === 1 ? '/api/hf/order/submit' : '/api/order/submit',
    fields: {
      ext2: region,
      ext3: server,
      ...extra,
      ...ours,
      uuid: account,
      // Up to three decimals, cut off: a ceiling may be told too low, but never too high.
      itemPrice: has_price ? read.decimalText(Math.floor(cost_ceiling.amount_e4 / quantity / 10) * 10) : undefined,
    },
  };
}

async function call(wire: Wire, url: string, asked: Fields, buys = false): Promise<unknown> {
  const timestamp = read.timeText(wire.now, 'yyyyMMddHHmmssSSS', ZONE);
  const filled = Object.entries(asked).filter(([, value]) => value !== undefined && value !== '');
  const fields = { ...Object.fromEntries(filled), appId: wire.credential('appId'), timestamp };
  const body = { ...fields, sign: signature(wire, fields) };
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return read.readJson(await postForm(wire, url, body, { headers, buys }));
}

function signature(desk: Desk, fields: Fields): string {
  return md5(joinFields({ ...fields, appSecret: desk.credential('appSecret') }, { omit: ['sign'] }));
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function expectOk(reply: unknown): void {
  const word = read.textAt(reply, 'code');
  if (word !== OK) throw say.saidNo(xinghai, word, read.maybeTextAt(reply, 'msg'));
}

function orderOutcome(order: unknown, desk: Desk): Outcome {
  const cards = cardsOf(order).map((card) => openCard(card, desk));
  const codes = cards.map((card) => card.code);
  const receipt = read.maybeTextAt(order, 'ext1');
  const told = {
    supplier_reference: read.maybeTextAt(order, 'orderId'),
    cost: read.maybeMoneyAt(order, 'cost', xinghai.money),
    message: codes.length > 0 ? undefined : read.firstTextAt(order, ['orderDesc', 'msg']),
  };
  const goods = codes.length > 0 ? { codes } : receipt ? { receipt } : {};
  const outcome = say.byStatus(xinghai, read.textAt(order, 'orderStatus'), told, () => goods);
  if (outcome.outcome !== 'delivered' || cards.every(({ is_open }) => is_open)) return outcome;
  const doubtful = say.known({ ...told, message: 'a card does not open with the appSecret of this account' });
  return { outcome: 'unknown', doubt: 'codes_missing', ...doubtful, codes };
}

function cardsOf(order: unknown): readonly unknown[] {
  const cards = read.at(order, 'cardData');
  return typeof cards === 'string' && cards !== ''
    ? read.listAt(read.parseJson(cards), '')
    : read.itemsAt(order, 'cardData');
}

// What does not open is kept as it came.
function openCard(card: unknown, desk: Desk): { code: Code; is_open: boolean } {
  const parts = ['cardNo', 'cardPwd', 'cardLink'].map((name) => openText(read.maybeTextAt(card, name), desk));
  const [number, pin, link] = parts.map(({ text }) => text);
  const expires_at = read.expiryOf(read.maybeTextAt(card, 'expireTime'), ZONE);
  return { code: say.code({ number, pin, link, expires_at }), is_open: parts.every(({ is_open }) => is_open) };
}

function openText(text: string | undefined, desk: Desk): { text: string | undefined; is_open: boolean } {
  if (text === undefined) return { text, is_open: true };
  try {
    const key = Buffer.from(desk.credential('appSecret'));
    return { text: read.bodyText(aesDecrypt(Buffer.from(text, 'base64'), { mode: 'ecb', key })), is_open: true };
  } catch {
    return { text, is_open: false };
  }
}

function offerOf(row: unknown): Offer {
  const type = read.maybeTextAt(row, 'itemType');
  return {
    product: read.textAt(row, 'itemId'),
    name: read.textAt(row, 'itemName'),
    kind: type === '0' ? 'recharge' : type === '1' ? 'code' : null,
    cost: read.maybeMoneyAt(row, 'price', xinghai.money) ?? null,
    stock: null,
    available: read.maybeTextAt(row, 'status') === '1',
  };
}
