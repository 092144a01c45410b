// 福禄 Fulu open platform, API 2.0: direct recharge of games and memberships, and card codes; mainland China.
// Protocol: as public clients agree on it (C# `ChargeInterface.Fulu`, PHP `Rest\Fulu`, Go SDKs; the names in the goods
// list are those of one Go SDK); the vendor's own document is not public.
// What surprised us
// - Signed is the JSON text with its characters sorted: our requests, the `result` of their replies, their callbacks.
// - An order of cards never returns them and a callback does not hold them: a lookup reads them, each part AES-256-ECB
//   under the AppSecret. A card that does not open is kept as it came, and the order waits for a person.
// - "Not found" is believed ten minutes after the attempt, not before: their own clients' rule.
// - The callback address is set with the account, not by an order. A refund has a callback of its own, whose states no
//   source lists: `unknown`. Phone credit and data have no product id but calls of their own; they are not offered here.
import {
  type Code,
  type Desk,
  type Message,
  type Offer,
  type Outcome,
  type Purchase,
  type Supplier,
  Unreadable,
  type Wire,
} from './kit/contract.js';
import { aesDecrypt } from './kit/legacy.js';
import * as outcomes from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { compactJson, type Fields, fieldText, md5, pairsOf, sameHex, sortCharacters } from './kit/signing.js';

const PATH = '/api/getway';
const ZONE = '+08:00';
const NOT_FOUND = '4011';
const JSON_TYPE = { 'content-type': 'application/json' };
// The optional fields of a direct order that come from the recipient's extra fields, by their own names.
const EXTRAS =
  'charge_game_name charge_type charge_password charge_ip contact_qq contact_tel remaining_number external_biz_id';

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const fulu: Supplier = {
  code: 'fulu',
  name: '福禄 Fulu',
  region: 'CN',
  delivers: ['recharge', 'code'],
  base_urls: { live: 'https://openapi.fulu.com', sandbox: 'http://pre.openapi.fulu.com' },
  credentials: {
    app_key: 'app_key of the merchant, from the Fulu open platform console.',
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
    '4008': null,
    '4009': null,
    '4010': 'duplicate',
    '4011': null,
    '4012': null,
    '5000': null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const method = purchase.kind === 'code' ? 'fulu.order.card.add' : 'fulu.order.direct.add';
    const { code, message, result } = await call(wire, method, orderBody(purchase), true);
    return code === '0' ? orderOutcome(result, purchase, wire) : outcomes.byRefusal(fulu, code, { message });
  },

  async lookup(purchase, wire) {
    const asked = { customer_order_no: purchase.reference };
    const { code, message, result } = await call(wire, 'fulu.order.info.get', asked);
    if (code === NOT_FOUND) return { outcome: 'absent', message: message ?? code };
    if (code !== '0') return outcomes.unanswered(message ?? code);
    if ((read.maybeTextAt(result, 'customer_order_no') ?? purchase.reference) !== purchase.reference) {
      return outcomes.unanswered('they answered about another order');
    }
    return orderOutcome(result, purchase, wire);
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
      const received = fieldsOf(message);
      // All values are texts in what they sign.
      const fields = Object.fromEntries(pairsOf(received, { omit: ['sign'], empty: 'keep', order: 'given' }));
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
    ...Object.fromEntries(EXTRAS.split(' ').map((name) => [name, extra[name]])),
  };
}

interface Answer {
  code: string;
  message: string | undefined;
  result: unknown;
}

async function call(wire: Wire, method: string, biz: Fields, buys = false): Promise<Answer> {
  const fields = {
    app_key: wire.credential('app_key'),
    method,
    timestamp: read.timeText(wire.now, 'yyyy-MM-dd HH:mm:ss', ZONE),
    version: '2.0',
    format: 'json',
    charset: 'utf-8',
    sign_type: 'md5',
    app_auth_token: '',
    biz_content: compactJson(biz),
  };
  const body = compactJson({ ...fields, sign: signature(wire, compactJson(fields)) });
  // There is one URL for all, so an account may name it whole.
  const url = wire.base_url.endsWith(PATH) ? wire.base_url : PATH;
  return answerOf(read.readJson(await postJson(wire, url, body, { headers: JSON_TYPE, buys })), wire);
}

function signature(desk: Desk, text: string): string {
  return md5(sortCharacters(text) + desk.credential('AppSecret'));
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

// A no without a result has nothing that could be signed; whatever says more must be signed.
function answerOf(reply: unknown, desk: Desk): Answer {
  const code = read.textAt(reply, 'code');
  const message = read.maybeTextAt(reply, 'message');
  const text = fieldText(read.at(reply, 'result'));
  if (text === '' && code !== '0') return { code, message, result: undefined };
  if (!sameHex(read.maybeTextAt(reply, 'sign'), signature(desk, text))) {
    throw new Unreadable('the sign of the reply does not fit its result', 'bad_signature');
  }
  return { code, message, result: code === '0' ? read.parseJson(text) : undefined };
}

function orderOutcome(order: unknown, { kind, quantity }: Purchase, desk: Desk): Outcome {
  const bought = read.maybeTextAt(order, 'buy_num') === undefined ? quantity : read.integerAt(order, 'buy_num');
  const told = {
    supplier_reference: read.maybeTextAt(order, 'order_id'),
    cost: read.timesQuantity(read.maybeMoneyAt(order, 'order_price', fulu.money), bought),
  };
  const cards = read.itemsAt(order, 'cards').map((card) => openCard(card, desk));
  const codes = cards.map(({ code }) => code);
  const outcome = outcomes.byStatus(fulu, read.textAt(order, 'order_state'), told, () =>
    kind === 'code' ? { codes } : receiptOf(order),
  );
  if (kind === 'recharge' || outcome.outcome === 'accepted') return outcome;
  // A success is one once its cards are there.
  if (cards.length === 0)
    return outcome.outcome === 'delivered' ? { outcome: 'accepted', ...outcomes.known(told) } : outcome;
  if (outcome.outcome === 'delivered' && cards.every(({ is_open }) => is_open)) return outcome;
  if (outcome.outcome === 'unknown') return { ...outcome, codes };
  const message = 'there are cards, but the order failed or they do not open with the AppSecret of this account';
  return { outcome: 'unknown', doubt: 'codes_missing', codes, ...outcomes.known({ ...told, message }) };
}

function openCard(card: unknown, desk: Desk): { code: Code; is_open: boolean } {
  const sealed = { number: read.maybeTextAt(card, 'card_number'), pin: read.maybeTextAt(card, 'card_pwd') };
  const expires_at = read.expiryOf(read.maybeTextAt(card, 'card_deadline'), ZONE);
  const key = Buffer.from(desk.credential('AppSecret'));
  const open = (text: string | undefined) =>
    text && read.bodyText(aesDecrypt(Buffer.from(text, 'base64'), { mode: 'ecb', key }));
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

function fieldsOf({ body, url }: Message): Readonly<Record<string, unknown>> {
  const text = read.bodyText(body) || new URL(url, 'https://host.invalid').search;
  return text.startsWith('{') ? read.objectAt(read.parseJson(text), '') : read.parseForm(text);
}

function callbackOutcome(fields: Fields): Outcome {
  const told = {
    supplier_reference: read.maybeTextAt(fields, 'order_id'),
    // Whether `price` is of one unit or of all, no source says.
    cost: fields.buy_num === '1' ? read.maybeMoneyAt(fields, 'price', fulu.money) : undefined,
    message: read.firstTextAt(fields, ['recharge_description', 'refund_description']),
  };
  const refund = read.maybeTextAt(fields, 'refund_status');
  if (refund !== undefined) return outcomes.unmapped(`refund ${refund}`, told);
  return outcomes.byStatus(fulu, read.textAt(fields, 'order_status'), told, () => receiptOf(fields));
}

function offerOf(row: unknown): Offer {
  const stock = read.maybeTextAt(row, 'stock_status');
  const face_value = read.maybeMoneyAt(row, 'face_value', fulu.money);
  const product = read.textAt(row, 'product_id');
  return {
    product,
    name: read.maybeTextAt(row, 'product_name') ?? product,
    kind: ({ 卡密: 'code', 直充: 'recharge' } as const)[read.maybeTextAt(row, 'product_type') ?? ''] ?? null,
    cost: read.maybeMoneyAt(row, 'purchase_price', fulu.money) ?? null,
    stock: stock === '断货' ? 0 : null,
    available: (read.maybeTextAt(row, 'sales_status') ?? '上架') === '上架',
    ...(face_value ? { face_value } : {}),
  };
}
