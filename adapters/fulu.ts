// 福禄 Fulu open platform, API 2.0: direct recharge of games and memberships, and card codes; mainland China.
// Protocol: as public clients (C#, PHP, Go) agree on it; the goods list as one Go SDK reads it. What surprised us
// - Signed is the JSON text with its characters sorted: our requests, the `result` of their replies, their callbacks.
// - Cards are in no reply to an order and in no callback: a lookup reads them, AES-256-ECB under the AppSecret.
// - "Not found" is believed ten minutes after the attempt, not before: their own clients' rule.
// - The callback address is set with the account, not by an order. A refund has a callback of its own, whose states no
//   source lists: `unknown`. Phone credit and data have no product id but calls of their own; they are not offered here.
import { type Desk, type Outcome, type Purchase, type Supplier, Unreadable, type Wire } from './kit/contract.js';
import { aesDecrypt } from './kit/legacy.js';
import * as outcomes from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { compactJson, type Fields, fieldText, md5, pairsOf, sameHex, sortCharacters } from './kit/signing.js';

const PATH = '/api/getway';
const ZONE = '+08:00';
const JSON_TYPE = { 'content-type': 'application/json' };
const KINDS = { 卡密: 'code', 直充: 'recharge' } as Readonly<Record<string, 'code' | 'recharge'>>;
// A fixed list of names: of names of his own choice, a stranger could make another message with the same characters.
const ORDER_SIGNED = ['order_id', 'charge_finish_time', 'customer_order_no', 'order_status', 'recharge_description'];
const PRODUCT_SIGNED = ['product_id', 'price', 'buy_num', 'operator_serial_number'];
const REFUND_SIGNED = ['order_id', 'customer_order_no', 'refund_time', 'refund_status', 'refund_description'];
const COMMON = { version: '2.0', format: 'json', charset: 'utf-8', sign_type: 'md5', app_auth_token: '' };
const EXTRAS = ['charge_game_name', 'charge_type', 'charge_password', 'charge_ip', 'contact_qq', 'contact_tel'];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const fulu: Supplier = {
  code: 'fulu',
  name: '福禄 Fulu',
  region: 'CN',
  delivers: ['recharge', 'code'],
  base_urls: { live: 'https://openapi.fulu.com', sandbox: 'http://pre.openapi.fulu.com' },
  credentials: {
    app_key: 'app_key of the merchant, from the console of the Fulu open platform.',
    AppSecret: 'AppSecret that belongs to it (32 characters); signs everything and opens the cards.',
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 30_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    absence: { proves_not_bought_after_ms: 600_000 },
    callback_trust: 'authenticated',
    cost_guard: false,
    reference_format: { max_length: 50, alphabet: 'alphanumeric' },
    reversible: true,
  },
  statuses: {
    untreated: 'accepted',
    processing: 'accepted',
    success: 'delivered',
    failed: { refused: 'declined' },
  },
  refusals: {
    // A common parameter is missing or wrong: key, sign, timestamp, address.
    ...each(1000, 1019, 'credentials'),
    ...each(2002, 2003, 'credentials'),
    '3000': 'request_invalid',
    ...each(3001, 3002, 'sku_unknown'),
    ...each(3003, 3004, 'maintenance'),
    '3005': 'out_of_stock',
    ...each(3006, 3007, 'declined'),
    '3008': 'request_invalid',
    ...each(4000, 4001, 'request_invalid'),
    '4002': 'recipient_invalid',
    '4003': 'declined',
    '4004': 'recipient_invalid',
    ...each(4008, 4009, null),
    '4010': 'duplicate',
    '5000': null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const method = purchase.kind === 'code' ? 'fulu.order.card.add' : 'fulu.order.direct.add';
    const { code, message, result } = await call(wire, method, orderBody(purchase), true);
    return code === '0' ? orderOutcome(result, purchase, wire) : outcomes.byRefusal(fulu, code, { message });
  },

  async lookup(purchase, wire) {
    const { code, message, result } = await call(wire, 'fulu.order.info.get', {
      customer_order_no: purchase.reference,
    });
    if (code === '4011') return { outcome: 'absent', message: message ?? code };
    return code === '0' ? orderOutcome(result, purchase, wire) : outcomes.unanswered(message ?? code);
  },

  async listOffers(_cursor, wire) {
    const { code, message, result } = await call(wire, 'fulu.goods.list.get', {});
    if (code !== '0') throw outcomes.saidNo(fulu, code, message);
    return { offers: read.listAt(result, '').map(offerOf), next: null };
  },

  async readBalance(wire) {
    const { code, message, result } = await call(wire, 'fulu.user.info.get', {});
    if (code !== '0') throw outcomes.saidNo(fulu, code, message);
    return read.moneyAt(result, 'balance', fulu.money);
  },

  readCallback(message, desk) {
    return outcomes.orUnreadable(() => {
      const text = read.bodyText(message.body) || (/\?.*/.exec(message.url)?.[0] ?? '');
      const received = read.objectAt(text.startsWith('{') ? read.parseJson(text) : read.parseForm(text), '');
      const order = 'refund_status' in received ? REFUND_SIGNED : [...ORDER_SIGNED, ...PRODUCT_SIGNED];
      const fields = Object.fromEntries(pairsOf(received, { order, empty: 'keep' }));
      if (!sameHex(read.textAt(received, 'sign'), signature(desk, compactJson(fields)))) {
        return outcomes.rejected('signature', 'the sign field does not fit the AppSecret of this account');
      }
      return {
        reference: read.textAt(fields, 'customer_order_no'),
        supplier_reference: read.maybeTextAt(fields, 'order_id') ?? null,
        outcome: callbackOutcome(fields),
        trust: 'authenticated',
        acknowledge: outcomes.acknowledge('success'),
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function each<T>(first: number, last: number, reason: T): Record<string, T> {
  return Object.fromEntries(Array.from({ length: last - first + 1 }, (_, at) => [String(first + at), reason]));
}

function orderBody({ kind, product, reference, quantity, recipient }: Purchase): Fields {
  // The id is a number in their JSON; anything else is no product of theirs and they will say so.
  const product_id = /^[1-9]\d*$/.test(product) ? BigInt(product) : product;
  if (kind === 'code') return { product_id, buy_num: quantity, customer_order_no: reference };
  const { account, region, server, role, extra = {} } = recipient;
  return {
    product_id,
    customer_order_no: reference,
    charge_account: account,
    buy_num: quantity,
    charge_game_region: region,
    charge_game_srv: server,
    charge_game_role: role,
    ...Object.fromEntries(EXTRAS.map((name) => [name, extra[name]])),
  };
}

// One URL takes all calls, so an account may name it whole. A no without a result has nothing that could be signed.
async function call(wire: Wire, method: string, biz: Fields, buys = false) {
  const timestamp = read.timeText(wire.now, 'yyyy-MM-dd HH:mm:ss', ZONE);
  const fields = { app_key: wire.credential('app_key'), method, timestamp, ...COMMON, biz_content: compactJson(biz) };
  const body = compactJson({ ...fields, sign: signature(wire, compactJson(fields)) });
  const url = wire.base_url.endsWith(PATH) ? wire.base_url : PATH;
  const reply = read.readJson(await postJson(wire, url, body, { headers: JSON_TYPE, buys }));
  const code = read.textAt(reply, 'code');
  const text = fieldText(read.at(reply, 'result'));
  const is_signed = sameHex(read.maybeTextAt(reply, 'sign'), signature(wire, text));
  if (!is_signed && (code === '0' || text !== '')) throw new Unreadable('a sign that does not fit', 'bad_signature');
  return { code, message: read.maybeTextAt(reply, 'message'), result: code === '0' ? read.parseJson(text) : null };
}

function signature(desk: Desk, text: string): string {
  return md5(sortCharacters(text) + desk.credential('AppSecret'));
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function orderOutcome(order: unknown, { kind, quantity, reference }: Purchase, desk: Desk): Outcome {
  if ((read.maybeTextAt(order, 'customer_order_no') ?? reference) !== reference) throw new Unreadable('another order');
  const bought = read.maybeTextAt(order, 'buy_num') === undefined ? quantity : read.integerAt(order, 'buy_num');
  const told = {
    supplier_reference: read.maybeTextAt(order, 'order_id'),
    cost: read.timesQuantity(read.maybeMoneyAt(order, 'order_price', fulu.money), bought),
  };
  const cards = read.itemsAt(order, 'cards').map((card) => openCard(card, desk));
  const codes = cards.map(({ code }) => code);
  const state = read.textAt(order, 'order_state');
  // A success of cards is one once they are there.
  const word = state === 'success' && kind === 'code' && cards.length === 0 ? 'processing' : state;
  const outcome = outcomes.byStatus(fulu, word, told, () => (kind === 'code' ? { codes } : receiptOf(order)));
  if (kind === 'recharge' || cards.length === 0 || ['accepted', 'unknown'].includes(outcome.outcome)) return outcome;
  if (outcome.outcome === 'delivered' && cards.every(({ is_open }) => is_open)) return outcome;
  const message = 'there are cards, but the order failed or they do not open with the AppSecret of this account';
  return { outcome: 'unknown', doubt: 'codes_missing', codes, ...outcomes.known({ ...told, message }) };
}

function openCard(card: unknown, desk: Desk) {
  const sealed = { number: read.maybeTextAt(card, 'card_number'), pin: read.maybeTextAt(card, 'card_pwd') };
  const expires_at = read.expiryOf(read.maybeTextAt(card, 'card_deadline'), ZONE);
  const rules = { mode: 'ecb', key: Buffer.from(desk.credential('AppSecret')) } as const;
  const open = (text?: string) => text && read.bodyText(aesDecrypt(Buffer.from(text, 'base64'), rules));
  try {
    return { code: outcomes.code({ number: open(sealed.number), pin: open(sealed.pin), expires_at }), is_open: true };
  } catch {
    return { code: outcomes.code({ ...sealed, expires_at }), is_open: false };
  }
}

function receiptOf(order: unknown): { receipt?: string } {
  const receipt = read.maybeTextAt(order, 'operator_serial_number');
  return receipt === undefined ? {} : { receipt };
}

function callbackOutcome(fields: Fields): Outcome {
  const told = {
    supplier_reference: read.maybeTextAt(fields, 'order_id'),
    cost: fields.buy_num === '1' ? read.maybeMoneyAt(fields, 'price', fulu.money) : undefined,
    message: read.firstTextAt(fields, ['recharge_description', 'refund_description']),
  };
  if ('refund_status' in fields) return outcomes.unmapped(`refund ${fields.refund_status}`, told);
  return outcomes.byStatus(fulu, read.textAt(fields, 'order_status'), told, () => receiptOf(fields));
}

function offerOf(row: unknown) {
  return {
    product: read.textAt(row, 'product_id'),
    name: read.textAt(row, 'product_name'),
    kind: KINDS[read.maybeTextAt(row, 'product_type') ?? ''] ?? null,
    cost: read.maybeMoneyAt(row, 'purchase_price', fulu.money) ?? null,
    stock: read.maybeTextAt(row, 'stock_status') === '断货' ? 0 : null,
    available: (read.maybeTextAt(row, 'sales_status') ?? '上架') === '上架',
  };
}
