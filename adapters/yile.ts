// 亿乐 Yile SUP, customer openapi: memberships, social services and cards behind many 社区 sites; mainland China.
// Protocol: as public clients agree on it (third_yile.php of suisui-shop, two more); no vendor document was seen.
// What surprised us
// - The token covers the request's URI and time, never its body: use https only.
// - An order can be read by their id alone, and no source says what a repeated customer_order_id does. An order whose
//   reply was lost therefore waits for a person.
// - The keys of `buy_params` differ by goods: one client uses value1, value2…, another names such as url. Goods/Show
//   tells them; the account option names the one for the account, extra fields of the recipient go out by their names.
// - Codes come, if at all, with the reply to the order (`faka`, `kmdata`). No reply names a cost.
import type { Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import { byRefusal, byStatus, codesFromLines, known, saidNo, unanswered, unmapped } from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { compactJson, fieldText, pathOf, sha1 } from './kit/signing.js';

const ROOT = '/openapi/customer';
const PAGE_SIZE = 50;
/** The entry of `refusals` for a no whose words hold none of the others. */
const OTHER = 'code not 0';
const REFUNDED = '8';

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const yile: Supplier = {
  code: 'yile',
  name: '亿乐 Yile SUP',
  region: 'CN',
  delivers: ['recharge', 'code'],
  base_urls: { live: 'https://sup.yileyuns.com', sandbox: null },
  credentials: {
    AppId: 'AppId of our customer account, from the console of the platform.',
    AppSecret: 'AppSecret that belongs to it; part of every token.',
  },
  options: {
    account_param: {
      help: "Key of buy_params that takes the recipient's account, as Goods/Show names it.",
      default: 'value1',
    },
    order_by: { help: 'goods_id, or goods_sn where the platform orders by serial number.', default: 'goods_id' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 30_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'buys_again',
    lookup_by: 'supplier_reference',
    absence: 'proves_nothing',
    callback_trust: 'none',
    cost_guard: false,
    reference_format: { max_length: 32, alphabet: 'alphanumeric' },
    reversible: false,
  },
  statuses: {
    '1': 'accepted',
    '2': 'accepted',
    '3': 'accepted',
    '4': 'accepted',
    '5': 'accepted',
    '6': 'delivered',
    '7': { refused: 'declined' },
    '8': { refused: 'declined' },
    '9': 'unknown',
  },
  // Words that `message` may hold; the first that it holds counts.
  refusals: {
    已存在: 'duplicate',
    重复: 'duplicate',
    商品不存在: 'sku_unknown',
    余额不足: 'float_low',
    [OTHER]: 'declined',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const reply = await call(wire, '/Goods/Buy', compactJson(orderBody(purchase, wire)), true);
    const error = errorOf(reply);
    if (error === null) return placedOutcome(reply);
    const word = read.textAt(reply, 'code');
    return /^-?\d+$/.test(word)
      ? byRefusal(yile, wordIn(error), { message: error })
      : unmapped(word, { message: error });
  },

  async lookup(purchase, wire) {
    const id = purchase.supplier_reference;
    if (id === undefined) return unanswered('their id is not known, and our number cannot be asked by');
    const reply = await call(wire, '/Order/Show', compactJson({ ids: [numberOf(id)] }));
    const error = errorOf(reply);
    if (error !== null) return unanswered(error);
    const rows = read.itemsAt(reply, 'data');
    if (rows.length === 0) return { outcome: 'absent', message: 'no such order' };
    // A row need not name its id; then it must be the only one.
    const row = rows.find((one) => (read.maybeTextAt(one, 'id') ?? (rows.length === 1 ? id : '')) === id);
    return row === undefined ? unanswered('another order came back') : orderOutcome(row, id, purchase);
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const asked = compactJson({ page, page_size: PAGE_SIZE, goods_category_id: null });
    const reply = expectOk(await call(wire, '/Goods/List', asked));
    const rows = read.listAt(reply, Array.isArray(read.at(reply, 'data')) ? 'data' : 'data.data');
    const field = wire.option('order_by') === 'goods_sn' ? 'serial_number' : 'id';
    return { offers: rows.map((row) => offerOf(row, field)), next: read.nextPage(page, rows.length, PAGE_SIZE) };
  },

  async readBalance(wire) {
    const reply = expectOk(await call(wire, '/CustomerAccount/Show'));
    return read.moneyAt(reply, 'data.balance', yile.money);
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderBody({ product, quantity, recipient, reference }: Purchase, wire: Wire): object {
  const { account, extra } = recipient;
  return {
    ...(wire.option('order_by') === 'goods_sn' ? { goods_sn: product } : { goods_id: numberOf(product) }),
    buy_number: quantity,
    buy_params: { ...(account ? { [wire.option('account_param')]: account } : {}), ...extra },
    customer_order_id: reference,
  };
}

// Ids are numbers in their JSON; what is none goes out as it is.
function numberOf(id: string): bigint | string {
  return /^(0|[1-9]\d*)$/.test(id) ? BigInt(id) : id;
}

/** POSTs the body, or GETs where there is none. */
async function call(wire: Wire, action: string, body?: string, buys = false): Promise<unknown> {
  const url = ROOT + action;
  const AppId = wire.credential('AppId');
  const AppTimestamp = read.secondsText(wire.now);
  const AppToken = sha1(AppId + wire.credential('AppSecret') + pathOf(wire.base_url + url) + AppTimestamp);
  const headers = { AppId, AppTimestamp, AppToken };
  if (body === undefined) return read.readJson(await wire.send({ method: 'GET', url, headers }));
  return read.readJson(
    await postJson(wire, url, body, { headers: { ...headers, 'content-type': 'application/json' }, buys }),
  );
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Null for a yes, else their words. */
function errorOf(reply: unknown): string | null {
  const word = read.textAt(reply, 'code');
  return word === '0' ? null : (read.maybeTextAt(reply, 'message') ?? word);
}

function wordIn(message: string): string {
  return Object.keys(yile.refusals).find((word) => message.includes(word)) ?? OTHER;
}

function expectOk(reply: unknown): unknown {
  const error = errorOf(reply);
  if (error !== null) throw saidNo(yile, wordIn(error), error);
  return reply;
}

// Codes may come at once; what else becomes of the order a lookup tells. A yes without an order is no answer.
function placedOutcome(reply: unknown): Outcome {
  const data = read.objectAt(reply, 'data');
  const told = { supplier_reference: read.firstTextAt(data, ['id', 'order_sn']) };
  const texts = read.itemsAt(data, 'kmdata').map(fieldText);
  const codes = texts.flatMap(codesFromLines);
  // What the members of an object would mean, no source says: it is kept whole, for a person.
  if (texts.some((text) => /^[{[]/.test(text))) {
    return { outcome: 'unknown', doubt: 'codes_missing', codes, ...known(told) };
  }
  if (codes.length > 0) return { outcome: 'delivered', codes, ...known(told) };
  return told.supplier_reference ? { outcome: 'accepted', ...known(told) } : unanswered('they named no order');
}

function orderOutcome(row: unknown, id: string, { quantity }: Purchase): Outcome {
  const status = read.textAt(row, 'status');
  const told = { supplier_reference: id };
  // Whether all of it was refunded, no reply shows; of a single unit there is no part.
  if (status !== REFUNDED || quantity === 1) return byStatus(yile, status, told);
  const message = 'refunded, perhaps in part: check the amount';
  return { outcome: 'unknown', doubt: 'supplier_said', ...known({ ...told, message }) };
}

function offerOf(row: unknown, field: string): Offer {
  return {
    product: read.textAt(row, field),
    name: read.maybeTextAt(row, 'name') ?? read.textAt(row, field),
    kind: null,
    cost: read.maybeMoneyAt(row, 'price', yile.money) ?? null,
    stock: null,
    available: read.maybeTextAt(row, 'is_close') !== '1',
  };
}
