// 卡卡云 Kakayun, docking API v3: white-label shops that sell recharges (goodstype 1) and codes (goodstype 0); China.
// Protocol: showdoc.com.cn/2592446100589081.
// What surprised us
// - Only order/create goes to the shop's own host; everything else goes to one fixed host, or fails.
// - A failed order (4) need not have been refunded, and a finished one (5) may be: `refundstatus` tells.
// - Status 2, unpaid, is a failure in their table, but a public client waits on it: see the option `unpaid`.
// - Callbacks are signed over JSON text of their lists, as PHP writes it, with the numbers exactly as received.
// - A callback is repeated for 75 minutes and they do not say whether it is stamped anew, so no age is refused.
import type { Code, Desk, Offer, Outcome, Purchase, Recipient, Supplier, Wire } from './kit/contract.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { type Fields, fieldText, joinFields, md5, sameHex } from './kit/signing.js';

const [OK, NO_ORDER] = ['1', '1301'] as const;
const PAGE_SIZE = 50;
const JSON_TYPE = { 'content-type': 'application/json;charset=utf-8' };
/** Their `attachtype` of a field is its place in this list, from 1; an extra field may also be named by its number. */
const ATTACH_TYPES = (
  'account server region game province city id_number id_type name phone user_id charge_mode account_type ' +
  'game_account address extension company'
).split(' ');

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const kakayun: Supplier = {
  code: 'kakayun',
  name: '卡卡云 Kakayun',
  region: 'CN',
  delivers: ['recharge', 'code'],
  base_urls: { live: null, sandbox: 'http://qqlogin.yxp8.cn' },
  credentials: {
    userid: 'Merchant id (商户ID), from the owner of the shop.',
    key: 'Merchant KEY (商户KEY) that belongs to the id; signs requests and callbacks.',
  },
  options: {
    query_url: { help: 'Host of every call but order/create.', default: 'http://public.kky.v3.api.kakayun.vip' },
    unpaid: { help: 'Status 2, unpaid: `accepted` waits on; `refused` is what their table says.', default: 'accepted' },
  },
  // That of order/get. The lists are slower still (goods/all once per 5 s) and answer 404, too frequent.
  limits: { requests: 180, per_ms: 60_000, concurrency: 4, deadline_ms: 15_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    // After which time 1301 can be relied on is not established.
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: true,
    reference_format: { max_length: 32, alphabet: 'alphanumeric' },
    reversible: true,
  },
  statuses: {
    ...say.each(['0', '1', '2', '3'], 'accepted'),
    ...say.each(['1 with cards', '5'], 'delivered'),
    ...say.each(['2 refused', '4'], { refused: 'declined' }),
    ...say.each(['4 part refunded', '5 refunded'], 'unknown'),
  },
  refusals: {
    '-1': 'declined',
    ...say.each([401, 402, 403, 1000, 1001, 1002], 'credentials'),
    '404': 'busy',
    '1205': 'duplicate',
    ...say.each([1206, 1207, 1209, 1214], 'sku_unknown'),
    ...say.each([1208, 1211, 1212], 'recipient_invalid'),
    '1210': 'cost_changed',
    '1213': 'float_low',
    ...say.each([1200, 1201, 1202, 1203, 1204, 1300, 1301, 1400, 1401], 'request_invalid'),
    '9999': null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const reply = await call(wire, '/order/create', orderFields(purchase, wire), true);
    const word = read.textAt(reply, 'code');
    const message = read.maybeTextAt(reply, 'msg');
    if (word !== OK) return say.byRefusal(kakayun, word, { message });
    return say.byStatus(kakayun, '0', { supplier_reference: read.maybeTextAt(reply, 'data.orderno'), message });
  },

  async lookup(purchase, wire) {
    const reply = await call(wire, '/order/get', { usorderno: purchase.reference });
    const word = read.textAt(reply, 'code');
    const message = read.maybeTextAt(reply, 'msg') ?? word;
    if (word === NO_ORDER) return { outcome: 'absent', message };
    if (word !== OK) return say.unanswered(message);
    return orderOutcome(read.objectAt(reply, 'data'), wire);
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const rows = read.listAt(await ask(wire, '/goods/all', { page, limit: PAGE_SIZE }), 'data');
    return { offers: rows.map(offerOf), next: read.nextPage(page, rows.length, PAGE_SIZE) };
  },

  // To where they tell is set in their console: our callback address.
  async watchOffers(products, wire) {
    await ask(wire, '/goods/subscribe', { goodsid: products });
  },

  async readBalance(wire) {
    return read.moneyAt(await ask(wire, '/user/info', {}), 'data.money', kakayun.money);
  },

  readCallback(message, desk) {
    return say.orUnreadable(() => {
      const body = read.objectAt(read.parseJson(read.bodyText(message.body)), '');
      if (!sameHex(read.maybeTextAt(body, 'sign'), signature(desk, body))) {
        return say.rejected('signature', 'the sign field does not fit the key of this account');
      }
      if (read.at(body, 'orderno') === undefined) return say.offerNotice([read.textAt(body, 'goodsid')]);
      return {
        reference: read.maybeTextAt(body, 'usorderno') ?? null,
        supplier_reference: read.textAt(body, 'orderno'),
        outcome: orderOutcome(body, desk),
        // Kinds 2 and 3, verification and logistics, are reserved: what their status speaks of is not established.
        trust: ['0', '1'].includes(read.maybeTextAt(body, 'push_type') ?? '0') ? 'authenticated' : 'hint',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields(purchase: Purchase, wire: Wire): Fields {
  const { cost_ceiling } = purchase;
  return {
    goodsid: purchase.product,
    buynum: purchase.quantity,
    usorderno: purchase.reference,
    attach: purchase.kind === 'recharge' ? attachOf(purchase.recipient) : undefined,
    callbackurl: wire.callback_url || undefined,
    maxmoney: cost_ceiling ? read.decimalText(cost_ceiling.amount_e4) : undefined,
  };
}

// The account alone goes as a text, several fields as a list.
function attachOf({ extra, ...named }: Recipient): string | object | undefined {
  const fields = [...Object.entries(named), ...Object.entries(extra ?? {})].filter(([, value]) => value !== '');
  if (fields.length === 0 || (fields.length === 1 && named.account)) return named.account || undefined;
  const typeOf = (name: string) => (ATTACH_TYPES.includes(name) ? String(ATTACH_TYPES.indexOf(name) + 1) : name);
  return fields.map(([name, value]) => ({ attachtype: typeOf(name), value }));
}

async function call(wire: Wire, route: string, fields: Fields, buys = false): Promise<unknown> {
  const host = buys ? '' : wire.option('query_url');
  const body = { userid: wire.credential('userid'), timestamp: Number(read.secondsText(wire.now)), ...fields };
  const signed = { ...body, sign: signature(wire, body) };
  return read.readJson(await postJson(wire, `${host}/dockapiv3${route}`, signed, { headers: JSON_TYPE, buys }));
}

async function ask(wire: Wire, route: string, fields: Fields): Promise<unknown> {
  const reply = await call(wire, route, fields);
  const word = read.textAt(reply, 'code');
  if (word !== OK) throw say.saidNo(kakayun, word, read.maybeTextAt(reply, 'msg'));
  return reply;
}

function signature(desk: Desk, fields: Fields): string {
  const texts = Object.entries(fields).map(([name, value]) => [name, signedText(value)] as const);
  return md5(joinFields(Object.fromEntries(texts), { omit: ['sign'] }) + desk.credential('key'));
}

// PHP writes these two line ends as escapes even where it leaves every other character as it is.
function signedText(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return fieldText(value).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function orderOutcome(order: unknown, desk: Desk): Outcome {
  const codes = codesOf(order);
  const status = read.textAt(order, 'status');
  const refund = read.maybeTextAt(order, 'refundstatus') ?? '0';
  const receipt = read.maybeTextAt(order, 'receipt');
  const reason = read.maybeTextAt(order, 'refundreceipt') ?? receipt;
  const is_owed = status === '4' && ['0', '3'].includes(refund);
  const told = {
    supplier_reference: read.maybeTextAt(order, 'orderno'),
    cost: read.maybeMoneyAt(order, 'money', kakayun.money),
    message: codes.length > 0 ? undefined : is_owed ? `not refunded, ask them: ${reason ?? ''}` : reason,
  };
  let word = status;
  if (status === '1' && codes.length > 0) word = '1 with cards';
  if (status === '2' && desk.option('unpaid') === 'refused') word = '2 refused';
  if (status === '4' && refund === '2') word = '4 part refunded';
  if (status === '5' && refund !== '0') word = '5 refunded';
  const outcome = say.byStatus(kakayun, word, told, () => (codes.length > 0 ? { codes } : receipt ? { receipt } : {}));
  return outcome.outcome === 'unknown' && codes.length > 0 ? { ...outcome, codes } : outcome;
}

// `cards` came in September 2025; before it, and where it says nothing, there is only the free text.
function codesOf(order: unknown): Code[] {
  const cards = read.itemsAt(order, 'cards').map((card) =>
    say.code({
      number: read.maybeTextAt(card, 'card_no'),
      pin: read.maybeTextAt(card, 'card_pwd'),
      expires_at: read.expiryOf(read.maybeTextAt(card, 'card_expire_at'), '+08:00'),
    }),
  );
  const texts = read.itemsAt(order, 'cardlist').map((text) => say.code({ pin: read.maybeTextAt(text, '') }));
  const are_told = cards.length > 0 && cards.every(({ number, pin }) => number ?? pin);
  return are_told || texts.length === 0 ? cards : texts;
}

function offerOf(row: unknown): Offer {
  const type = read.maybeTextAt(row, 'goodstype');
  const stock = read.maybeTextAt(row, 'stock');
  return {
    product: read.textAt(row, 'goodsid'),
    name: read.textAt(row, 'goodsname'),
    kind: type === '1' ? 'recharge' : type === '0' ? 'code' : null,
    cost: read.maybeMoneyAt(row, 'goodsprice', kakayun.money) ?? null,
    stock: stock === undefined || stock.startsWith('-') ? null : read.integerAt(row, 'stock'),
    available: read.maybeTextAt(row, 'goodsstatus') === '1',
  };
}
