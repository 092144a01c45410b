// 卡速售 Kasushou 2.0: white-label platforms that sell codes (goods_type 1) and recharges (goods_type 2); China.
// Protocol: doc.kasushou.com/api/v2api.
// What surprised us
// - An order is never answered with codes: they are read by order/info.
// - 400 is the one code for every no, told by `msg` alone. What a repeated external_orderno is told is not established:
//   words that speak of a repeat make us doubt, all others are a plain no.
// - Codes in a callback stand outside its signature: they are never taken from it, and make it a hint.
// - Requests are signed with `/` as it is, callbacks with `\/`. The second is read from their sample code and has met no
//   real message, so a callback signed the first way is theirs, too.
// - A refunded order (5) may still list its codes.
import type { Desk, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { compactJson, type Fields, fieldText, sameHex, sha1 } from './kit/signing.js';

const OK = '200';
const TAKEN = '1';
const PAGE_SIZE = 100;
const UNSIGNED = ['sign', 'card_list', 'express_list'];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const kasushou: Supplier = {
  code: 'kasushou',
  name: '卡速售 Kasushou',
  region: 'CN',
  delivers: ['code', 'recharge'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    UserId: 'Interface appid of the customer, from the platform under API.',
    apikey: 'Interface key that belongs to the appid; signs requests and callbacks.',
  },
  options: {
    safe_price: {
      // Too low a price only makes them refuse; too high a one guards nothing.
      help: 'What safe_price is there: `unit`, the price of one; `total`, that of the order; `none`, send none.',
      default: 'unit',
    },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 30_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: true,
    reference_format: { max_length: 32, alphabet: 'alphanumeric' },
    reversible: true,
  },
  statuses: {
    '1': 'accepted',
    '2': 'accepted',
    '3': 'delivered',
    '4': { refused: 'declined' },
    '5': 'unknown',
    '5 in full': { refused: 'declined' },
    '-1': { refused: 'declined' },
  },
  refusals: { '400': 'declined', '400, a repeat': 'duplicate', '500': null },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const reply = await call(wire, '/api/v1/order/buy', orderFields(purchase, wire), true);
    const word = wordOf(reply);
    const message = read.maybeTextAt(reply, 'msg');
    if (word !== OK) return say.byRefusal(kasushou, word, { message });
    const order = read.objectAt(reply, 'data');
    return say.byStatus(kasushou, TAKEN, { ...toldOf(order), message });
  },

  async lookup(purchase, wire) {
    const asked = { day: 0, external_orderno: purchase.reference, ordersn: '' };
    const reply = await call(wire, '/api/v1/order/info', asked);
    if (wordOf(reply) !== OK) return say.unanswered(read.maybeTextAt(reply, 'msg') ?? wordOf(reply));
    if (read.at(reply, 'data') === undefined) return say.unanswered('they answered without data');
    const orders = read.itemsAt(reply, 'data');
    const ours = orders.find((order) => read.maybeTextAt(order, 'external_orderno') === purchase.reference);
    if (orders.length === 0) return { outcome: 'absent', message: 'they list no such order' };
    if (!ours && orders.length > 1) return say.unanswered('they answered about other orders');
    return orderOutcome(ours ?? orders[0]);
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const asked = { cate_id: 0, keyword: '', limit: PAGE_SIZE, page };
    const reply = await call(wire, '/api/v1/goods/list', asked);
    expectOk(reply);
    const rows = read.listAt(reply, 'data.list');
    return { offers: rows.map(offerOf), next: read.nextPage(page, rows.length, PAGE_SIZE) };
  },

  async readBalance(wire) {
    const reply = await call(wire, '/api/v1/user/info', {});
    expectOk(reply);
    return read.moneyAt(reply, 'data.balance', kasushou.money);
  },

  readCallback(message, desk) {
    return say.orUnreadable(() => {
      const fields = say.fieldsOf(message);
      if (!isSigned(fields, desk))
        return say.rejected('signature', 'the sign field does not fit the apikey of this account');
      if (isGoods(fields)) return say.offerNotice([read.textAt(fields, 'id')]);
      const has_codes = !['', '[]'].includes(fieldText(fields.card_list));
      return {
        reference: read.maybeTextAt(fields, 'external_orderno') ?? null,
        supplier_reference: read.textAt(fields, 'ordersn'),
        outcome: orderOutcome({ ...fields, card_list: undefined }),
        trust: has_codes ? 'hint' : 'authenticated',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields(purchase: Purchase, wire: Wire): Fields {
  const { account, extra } = purchase.recipient;
  const attach = { ...(account ? { recharge_account: account } : {}), ...extra };
  return {
    id: /^\d{1,15}$/.test(purchase.product) ? Number(purchase.product) : purchase.product,
    quantity: purchase.quantity,
    external_orderno: purchase.reference,
    url: wire.callback_url || undefined,
    safe_price: safePrice(purchase, wire.option('safe_price')),
    mark: '',
    attach: purchase.kind === 'recharge' && Object.keys(attach).length > 0 ? attach : undefined,
  };
}

function safePrice({ cost_ceiling, quantity }: Purchase, meaning: string): string | undefined {
  if (!cost_ceiling || meaning === 'none') return undefined;
  return read.decimalText(Math.floor(cost_ceiling.amount_e4 / (meaning === 'total' ? 1 : quantity)));
}

async function call(wire: Wire, url: string, fields: Fields, buys = false): Promise<unknown> {
  const body = compactJson(fields, { sort: 'top' });
  const Timestamp = String(wire.now);
  const Sign = sha1(Timestamp + body + wire.credential('apikey'));
  const headers = { UserId: wire.credential('UserId'), Timestamp, Sign };
  return read.readJson(await postJson(wire, url, body, { headers, buys }));
}

// Of news of goods only the id and the time are signed.
function isGoods(fields: Fields): boolean {
  return fields.ordersn === undefined && fields.id !== undefined;
}

function isSigned(fields: Fields, desk: Desk): boolean {
  const time = read.textAt(fields, 'time');
  const is_signed = (name: string) => (isGoods(fields) ? ['id', 'time'].includes(name) : !UNSIGNED.includes(name));
  const signed = Object.entries(fields).filter(([name]) => is_signed(name));
  // They speak of texts only; a JSON message may hold numbers, and what was signed then is not said.
  const texts = signed.map(([name, value]) => [name, value === null ? value : fieldText(value)]);
  return [signed, texts].some((pairs) =>
    [true, false].some((escape_slashes) => {
      const json = compactJson(Object.fromEntries(pairs), { sort: 'top', escape_slashes });
      return sameHex(read.maybeTextAt(fields, 'sign'), sha1(time + json + desk.credential('apikey')));
    }),
  );
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function wordOf(reply: unknown): string {
  const word = read.textAt(reply, 'code');
  return word === '400' && /重复|已存在/.test(read.maybeTextAt(reply, 'msg') ?? '') ? '400, a repeat' : word;
}

function expectOk(reply: unknown): void {
  const word = wordOf(reply);
  if (word !== OK) throw say.saidNo(kasushou, word, read.maybeTextAt(reply, 'msg'));
}

function toldOf(order: unknown) {
  return {
    supplier_reference: read.maybeTextAt(order, 'ordersn'),
    cost: read.maybeMoneyAt(order, 'total_price', kasushou.money),
  };
}

function orderOutcome(order: unknown): Outcome {
  const status = read.textAt(order, 'status');
  const told = toldOf(order);
  const back = read.maybeMoneyAt(order, 'has_back_money', kasushou.money);
  const is_whole = told.cost !== undefined && told.cost.amount_e4 > 0 && told.cost.amount_e4 === back?.amount_e4;
  const codes = read.itemsAt(order, 'card_list').map((card) =>
    say.code({
      number: read.maybeTextAt(card, 'card_no'),
      pin: read.maybeTextAt(card, 'card_password'),
      expires_at: read.expiryOf(read.maybeTextAt(card, 'end_time'), '+08:00'),
    }),
  );
  const message = codes.length > 0 ? undefined : read.maybeTextAt(order, 'recharge_hints');
  const word = status === '5' && is_whole ? '5 in full' : status;
  return say.byStatus(kasushou, word, { ...told, message }, () => (codes.length > 0 ? { codes } : {}));
}

function offerOf(row: unknown): Offer {
  const type = read.maybeTextAt(row, 'goods_type');
  const stock = read.maybeTextAt(row, 'stock_num');
  const face_value = read.maybeMoneyAt(row, 'face_value', kasushou.money);
  return {
    product: read.textAt(row, 'id'),
    name: read.textAt(row, 'goods_name'),
    kind: type === '1' ? 'code' : type === '2' ? 'recharge' : null,
    cost: read.maybeMoneyAt(row, 'goods_price', kasushou.money) ?? null,
    stock: stock === undefined || stock.startsWith('-') ? null : read.integerAt(row, 'stock_num'),
    available: read.maybeTextAt(row, 'status') === '1',
    ...(face_value ? { face_value } : {}),
  };
}
