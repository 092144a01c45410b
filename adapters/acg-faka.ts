// Any acg-faka 异次元发卡 shop as an upstream shop: codes, and goods that its owner delivers by hand.
// Protocol: the server's own code, github.com/lizhipay/acg-faka (app/Controller/Shared, app/Util/Str.php).
// - An order is paid at once and `secret` holds its codes, or a sentence that stands where they are still to come. The
//   goods' own sentences are known to their owner only: list them in the account's waiting_texts.
// - An order can be read by their number only. A lost reply takes it away, and a repeat of ours is refused without it:
//   such an order waits for a person. Our number has a column of 19 characters. app_key is not sent: it need not be.
// - Prices of the list are retail. Ours are [category_factory] of the config, or factory_price of the inventory; a shop
//   that resells may list its own cost there: then set `costs` to inventory.
// - A product is their goods' code; with a race or skus `code?race=…&sku[name]=…`, percent-encoded.
import { type Offer, type Outcome, type Purchase, type Supplier, Unreadable, type Wire } from './kit/contract.js';
import { byRefusal, byStatus, codesFromLines, known, saidNo, unanswered, unmapped } from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postForm } from './kit/sending.js';
import { type Fields, md5, percentEncode, phpQuery } from './kit/signing.js';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const OTHER = 'other business text';
// So many inventories are read within one deadline.
const GOODS_PER_PAGE = 10;

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const acgFaka: Supplier = {
  code: 'acg-faka',
  name: '异次元发卡 acg-faka (shared store)',
  region: 'CN',
  delivers: ['code', 'recharge'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    app_id: 'Numeric id of our user at the shop, from its user centre.',
    app_key: 'Secret that belongs to it, from the same page.',
  },
  options: {
    currency: { help: 'Currency of the shop; no reply names one.', default: 'CNY' },
    contact: { help: "Contact to order under; empty: the recipient's account, else our reference.", default: '' },
    waiting_texts: { help: "The goods' own delivery sentences, one a line; none of them is a code.", default: '' },
    costs: { help: 'list, or inventory: which asks once more for each of the goods.', default: 'list' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 2, deadline_ms: 30_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'supplier_reference',
    absence: 'proves_nothing',
    callback_trust: 'none',
    cost_guard: false,
    reference_format: { max_length: 19, alphabet: 'alphanumeric' },
    reversible: false,
  },
  // Sentences that `secret` may hold, less their last mark.
  statuses: {
    '正在发货中，请耐心等待，如有疑问，请联系客服': 'accepted',
    '订单正在人工审核中，通过后会立即发货，请耐心等待': 'accepted',
    '很抱歉，有人在你付款之前抢走了商品，请联系客服': 'unknown',
  },
  refusals: {
    'The request ID already exists': 'duplicate',
    商户ID不存在: 'credentials',
    密钥错误: 'credentials',
    余额不足: 'float_low',
    库存不足: 'out_of_stock',
    该卡已被他人抢走啦: 'out_of_stock',
    当前商品已停售: 'sku_unknown',
    该商品未开放对接: 'sku_unknown',
    商品不存在: 'sku_unknown',
    [OTHER]: 'declined',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const { error, data } = await call(wire, '/shared/commodity/trade', orderFields(purchase, wire), true);
    if (error !== null) return byRefusal(acgFaka, wordIn(error), { message: error });
    return secretOutcome(read.objectAt(data, ''), purchase, wire);
  },

  async lookup(purchase, wire) {
    const tradeNo = purchase.supplier_reference;
    if (tradeNo === undefined) return unanswered('their order number is not known, and ours cannot be asked by');
    const { error, data } = await call(wire, '/shared/commodity/query', { tradeNo });
    if (error !== null) return error.includes('订单不存在') ? { outcome: 'absent', message: error } : unanswered(error);
    const status = read.maybeTextAt(data, 'status') ?? '1';
    if (status !== '1') return status === '0' ? unanswered('they call it unpaid') : unmapped(status);
    return secretOutcome({ tradeNo, ...read.objectAt(data, '') }, purchase, wire);
  },

  async listOffers(cursor, wire) {
    const categories = read.listAt(await dataOf(wire, '/shared/commodity/items'), '');
    const goods = categories.flatMap((category) => read.itemsAt(category, 'children'));
    const currency = wire.option('currency');
    if (wire.option('costs') === 'list') return { offers: goods.flatMap((one) => offersOf(one, currency)), next: null };
    const page = read.pageOf(cursor);
    const here = goods.slice((page - 1) * GOODS_PER_PAGE, page * GOODS_PER_PAGE);
    const offers: Offer[] = [];
    for (const one of here) {
      const asked = { sharedCode: read.textAt(one, 'code'), race: '' };
      const told = read.objectAt(await dataOf(wire, '/shared/commodity/inventory', asked), '');
      const now = { ...read.objectAt(one, ''), ...told, stock: told.count, our_price: told.factory_price };
      offers.push(...offersOf(now, currency));
    }
    return { offers, next: read.nextPage(page, here.length, GOODS_PER_PAGE, goods.length) };
  },

  async readBalance(wire) {
    const shop = await dataOf(wire, '/shared/authentication/connect');
    return read.money(read.textAt(shop, 'balance'), wire.option('currency'));
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields({ reference, product, quantity, recipient }: Purchase, wire: Wire): Fields {
  const [shared_code, ...choice] = product.split('?');
  const { sku = '{}', ...form } = { ...recipient.extra, ...read.parseForm(choice.join('?')) };
  const skus = Object.entries(read.objectAt(read.parseJson(sku), '')).map(([name, value]) => [`sku[${name}]`, value]);
  return {
    contact: wire.option('contact') || recipient.account || reference,
    password: '',
    race: '',
    ...form,
    ...Object.fromEntries(skus),
    // Last, so that no field of the goods' form takes the place of one of these.
    shared_code,
    num: quantity,
    card_id: 0,
    device: 0,
    request_no: reference,
  };
}

async function call(wire: Wire, route: string, fields: Fields, buys = false) {
  const sent = { ...fields, app_id: wire.credential('app_id') };
  const body = phpQuery({ ...sent, sign: signature(sent, wire.credential('app_key')) });
  const reply = await postForm(wire, route, body, { headers: FORM, buys });
  const answer = read.readJson(reply);
  const word = read.textAt(answer, 'code');
  if (reply.status !== 200) throw new Unreadable(`HTTP ${reply.status}`, 'unreadable', reply.status);
  if (word === '200') return { data: read.at(answer, 'data'), error: null };
  if (!/^-?\d+$/.test(word)) throw new Unreadable('code is not a number', 'unmapped');
  return { data: null, error: read.textAt(answer, 'msg') };
}

async function dataOf(wire: Wire, route: string, fields: Fields = {}): Promise<unknown> {
  const { error, data } = await call(wire, route, fields);
  if (error !== null) throw saidNo(acgFaka, wordIn(error), error);
  return data;
}

// PHP's http_build_query, URL-decoded: the raw text. Names are sorted by what stands before a bracket; empty ones go.
function signature(fields: Fields, key: string): string {
  const top = ([name]: [string, unknown]) => name.split('[')[0]!;
  const filled = Object.entries(fields).filter((pair) => pair[1] !== '' || top(pair) !== pair[0]);
  const sorted = filled.sort((a, b) => (top(a) < top(b) ? -1 : top(a) > top(b) ? 1 : 0));
  return md5(`${phpQuery(Object.fromEntries(sorted), (text) => text)}&key=${key}`);
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function wordIn(message: string): string {
  return Object.keys(acgFaka.refusals).find((word) => message.includes(word)) ?? OTHER;
}

function secretOutcome(order: unknown, { kind }: Purchase, wire: Wire): Outcome {
  const amount = read.maybeTextAt(order, 'amount') ?? '';
  const told = {
    supplier_reference: read.maybeTextAt(order, 'tradeNo'),
    // An amount that cannot be read must not cost us the codes.
    cost: /^\d+(\.\d+)?$/.test(amount) ? read.money(amount, wire.option('currency')) : undefined,
  };
  const secret = read
    .itemsAt(order, 'secret')
    .map((text) => read.maybeTextAt(text, '') ?? '')
    .join('\n');
  const sentence = Object.keys(acgFaka.statuses).find((text) => secret.includes(text));
  if (sentence !== undefined) return byStatus(acgFaka, sentence, told);
  const waiting = wire
    .option('waiting_texts')
    .trim()
    .split(/\s*\n\s*/);
  if (waiting.some((text) => text !== '' && secret.includes(text))) return { outcome: 'accepted', ...known(told) };
  const codes = codesFromLines(secret);
  if (kind === 'code') return { outcome: 'delivered', codes, ...known(told) };
  const message = 'only a person can tell whether their text is the delivery or a sentence of the goods';
  return { outcome: 'unknown', doubt: 'supplier_said', codes, ...known({ ...told, message }) };
}

// One offer for each race of the goods. `our_price` is there only if the inventory was asked.
function offersOf(goods: unknown, currency: string): Offer[] {
  const price = (text: string | undefined) => (Number(text ?? 0) > 0 ? read.money(text!, currency) : null);
  const is_manual = read.maybeTextAt(goods, 'delivery_way') === '1';
  const no_stock = is_manual || read.maybeTextAt(goods, 'stock') === undefined;
  const config = read.maybeTextAt(goods, 'config') ?? '';
  const costs = new Map(section(config, 'category_factory'));
  const offer: Offer = {
    product: read.textAt(goods, 'code'),
    name: read.textAt(goods, 'name'),
    kind: is_manual ? 'recharge' : 'code',
    cost: price(read.maybeTextAt(goods, 'our_price')),
    stock: no_stock ? null : read.integerAt(goods, 'stock'),
    available: true,
  };
  const races = section(config, 'category').map(([race]) => ({
    ...offer,
    product: `${offer.product}?race=${percentEncode(race)}`,
    name: `${offer.name} · ${race}`,
    cost: price(costs.get(race)),
    stock: null,
  }));
  return races.length > 0 ? races : [offer];
}

/** Names and values of one section of an INI text. */
function section(config: string, name: string): [string, string][] {
  const lines =
    config
      .split(/^\[/m)
      .find((part) => part.startsWith(`${name}]`))
      ?.split(/[\r\n]+/) ?? [];
  return lines.filter((line) => line.includes('=')).map((line) => line.split('=', 2) as [string, string]);
}
