// 卡易信 Kayixin, customer API 3.0: wholesale platforms that sell recharges (goodsType 3) and codes (goodsType 1); China.
// Protocol: 7qsaa0ye9g.apifox.cn.
// What surprised us
// - 1000 is the one code they explain; every other one is a failure, told by `msg` alone. What a repeated outerNumber
//   does is not established: words that speak of a repeat make us doubt, all others are a plain no.
// - An order of `count` 1 is `multiple` units of theirs, paid as such.
// - Goods of several specs want a `sku` beside the goodsId: name the product `goodsId:sku`.
// - 3, done, can still become 5 or 9: refunded, in part or whole. Cards are encrypted in the callback only.
// - allCount and allPage seem to be labelled the wrong way round: the smaller one is the number of pages.
import type { Desk, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import { Unreadable } from './kit/contract.js';
import { aesDecrypt } from './kit/legacy.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { compactJson, md5, sameHex } from './kit/signing.js';

const VERSION = '3.0';
const OK = '1000';
const DONE = '3';
/** Only these cards are as good as new; the others are voided, used, or being voided. */
const CARD_UNUSED = ['0', '1'];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const kayixin: Supplier = {
  code: 'kayixin',
  name: '卡易信 Kayixin',
  region: 'CN',
  delivers: ['recharge', 'code'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    appId: 'Customer number (客户编号), sent as X-App-Id.',
    appSecret: 'Interface secret (接口秘钥), 32 characters; signs everything and opens the cards of callbacks.',
  },
  options: {
    empty_body: { help: 'Body of a call without fields: nothing, or {} where the site wants that.', default: '' },
    account_title: { help: "Title of the account's field in the goods' recharge template.", default: '充值账号' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 30_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'buys_again',
    lookup_by: 'reference',
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: true,
    reference_format: { max_length: 32, alphabet: 'alphanumeric' },
    reversible: true,
  },
  statuses: {
    ...say.each(['1', '2', '7', '8'], 'accepted'),
    ...say.each(['3', '9'], 'delivered'),
    ...say.each(['4', '5 in full'], { refused: 'declined' }),
    // 0 is unpaid, which an API order never is; 5 is refunded in part or not at all; 6 was "abnormal" in the old API.
    ...say.each(['0', '5', '6'], 'unknown'),
  },
  refusals: { 'not 1000': 'declined', 'not 1000, a repeat': 'duplicate' },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const reply = await call(wire, '/api/v3/order/create', compactJson(orderFields(purchase, wire)), true);
    const message = read.maybeTextAt(reply, 'msg');
    if (!isOk(reply)) return say.byRefusal(kayixin, wordOf(message), { message });
    const supplier_reference = read.textAt(reply, 'data.orderNumber');
    const cards = read.itemsAt(reply, 'data.cards');
    if (cards.length === 0) return { outcome: 'accepted', ...say.known({ supplier_reference, message }) };
    return withCards(say.byStatus(kayixin, DONE, { supplier_reference }), cards);
  },

  // Two orders may carry one outerNumber, so their own number is asked for as soon as it is known.
  async lookup(purchase, wire) {
    const orderNumber = purchase.supplier_reference ?? '';
    const outerNumber = orderNumber === '' ? purchase.reference : '';
    const reply = await call(wire, '/api/v3/order/getDetail', compactJson({ orderNumber, outerNumber }));
    if (!isOk(reply)) return say.unanswered(read.maybeTextAt(reply, 'msg') ?? read.textAt(reply, 'code'));
    const order = read.objectAt(reply, 'data');
    return withCards(orderOutcome(order), read.itemsAt(order, 'cards'));
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const reply = await call(wire, '/api/v3/goods/getList', compactJson({ page }));
    expectOk(reply);
    const rows = read.listAt(reply, 'data.items');
    const counts = ['allCount', 'allPage'].map((name) => read.maybeTextAt(reply, `data.${name}`));
    const pages = Math.min(...counts.map((text) => (text === undefined ? Number.POSITIVE_INFINITY : Number(text))));
    return { offers: rows.map(offerOf), next: rows.length === 0 || page >= pages ? null : String(page + 1) };
  },

  async readBalance(wire) {
    const reply = await call(wire, '/api/v3/user/getAccount', wire.option('empty_body'));
    expectOk(reply);
    return read.moneyAt(reply, 'data.balance', kayixin.money);
  },

  readCallback({ headers, body }, desk) {
    return say.orUnreadable(() => {
      const stamp = headers['x-timestamp'] ?? '';
      if (!/^\d{10}(\d{3})?$/.test(stamp) || !sameHex(headers['x-signature'], signature(desk, stamp, body))) {
        return say.rejected('signature', 'the X-Signature header does not fit the secret of this account');
      }
      const order = read.objectAt(read.parseJson(read.bodyText(body)), '');
      if (read.at(order, 'orderNumber') === undefined) return say.offerNotice([read.textAt(order, 'goodsId')]);
      return {
        reference: read.maybeTextAt(order, 'outerNumber') ?? null,
        supplier_reference: read.textAt(order, 'orderNumber'),
        outcome: withSealedCards(orderOutcome(order), read.maybeTextAt(order, 'cards'), desk),
        trust: 'authenticated',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields(purchase: Purchase, wire: Wire): object {
  const [goods = '', ...sku] = purchase.product.split(':');
  const { cost_ceiling, recipient } = purchase;
  const { account, extra } = recipient;
  const attach = [...(account ? [[wire.option('account_title'), account]] : []), ...Object.entries(extra ?? {})];
  return {
    goodsId: /^\d{1,15}$/.test(goods) ? Number(goods) : goods,
    count: purchase.quantity,
    notifyUrl: wire.callback_url,
    outerNumber: purchase.reference,
    safePrice: cost_ceiling ? Number(read.decimalText(cost_ceiling.amount_e4)) : undefined,
    sku: sku.join(':'),
    attach: attach.map(([name, value]) => ({ name, value })),
  };
}

async function call(wire: Wire, url: string, body: string, buys = false): Promise<unknown> {
  const stamp = read.secondsText(wire.now);
  const headers = {
    'Content-Type': 'application/json',
    'X-App-Id': wire.credential('appId'),
    'X-Version': VERSION,
    'X-Timestamp': stamp,
    'X-Signature': signature(wire, stamp, Buffer.from(body)),
  };
  const reply = await wire.send({ method: 'POST', url, headers, ...(body && { body }), ...(buys && { buys }) });
  const content = read.readJson(reply);
  // A code means something only in an answer of the application: an HTTP error is doubt, whatever stands in it.
  if (reply.status >= 400) throw new Unreadable(`HTTP ${reply.status}`, 'unreadable', reply.status);
  return content;
}

function signature(desk: Desk, stamp: string, body: Buffer): string {
  const head = desk.credential('appId') + desk.credential('appSecret') + VERSION + stamp;
  return md5(Buffer.concat([Buffer.from(head), body]));
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function isOk(reply: unknown): boolean {
  return String(read.integerAt(reply, 'code')) === OK;
}

function expectOk(reply: unknown): void {
  const message = read.maybeTextAt(reply, 'msg');
  if (!isOk(reply)) throw say.saidNo(kayixin, wordOf(message), message);
}

function wordOf(message = ''): string {
  return /重复|已存在/.test(message) ? 'not 1000, a repeat' : 'not 1000';
}

function orderOutcome(order: unknown): Outcome {
  const status = read.textAt(order, 'status');
  const cost = read.maybeMoneyAt(order, 'money', kayixin.money);
  const refund = read.maybeMoneyAt(order, 'retMoney', kayixin.money);
  const is_whole = cost !== undefined && cost.amount_e4 > 0 && cost.amount_e4 === refund?.amount_e4;
  const supplier_reference = read.maybeTextAt(order, 'orderNumber');
  const told = { supplier_reference, cost, message: read.maybeTextAt(order, 'result') };
  return say.byStatus(kayixin, status === '5' && is_whole ? '5 in full' : status, told);
}

// Cards of an order that is not done are not delivered; of one that is in doubt they are kept.
function withCards(outcome: Outcome, cards: readonly unknown[]): Outcome {
  if (cards.length === 0 || (outcome.outcome !== 'delivered' && outcome.outcome !== 'unknown')) return outcome;
  const { message: _, ...told } = outcome;
  const codes = cards.map((card) =>
    say.code({ number: read.maybeTextAt(card, 'cardNo'), pin: read.maybeTextAt(card, 'cardPwd') }),
  );
  const are_good = cards.every((card) => CARD_UNUSED.includes(read.maybeTextAt(card, 'status') ?? '0'));
  if (are_good) return { ...told, codes };
  const doubtful = say.known({ ...told, message: 'a card is used or void' });
  return { outcome: 'unknown', doubt: 'supplier_said', ...doubtful, codes };
}

function withSealedCards(outcome: Outcome, sealed: string | undefined, desk: Desk): Outcome {
  if (sealed === undefined) return outcome;
  try {
    const key = Buffer.from(desk.credential('appSecret'));
    const plain = aesDecrypt(Buffer.from(sealed, 'base64'), { mode: 'ecb', key });
    return withCards(outcome, read.listAt(read.parseJson(read.bodyText(plain)), ''));
  } catch {
    if (outcome.outcome !== 'delivered') return outcome;
    const told = { ...outcome, message: 'the cards do not open with the appSecret of this account' };
    return { outcome: 'unknown', doubt: 'codes_missing', ...say.known(told), codes: [say.code({ pin: sealed })] };
  }
}

function offerOf(row: unknown): Offer {
  const multiple = read.at(row, 'multiple') === undefined ? 1 : Math.max(1, read.integerAt(row, 'multiple'));
  const type = read.maybeTextAt(row, 'goodsType');
  const face_value = read.maybeMoneyAt(row, 'faceValue', kayixin.money);
  return {
    product: read.textAt(row, 'goodsId'),
    name: read.textAt(row, 'name'),
    kind: type === '3' ? 'recharge' : type === '1' ? 'code' : null,
    cost: read.timesQuantity(read.maybeMoneyAt(row, 'salesPrice', kayixin.money), multiple) ?? null,
    stock: null,
    // Several codes for one unit would be held at our border, every time.
    available: read.maybeTextAt(row, 'status') === '1' && !(type === '1' && multiple > 1),
    ...(face_value ? { face_value } : {}),
  };
}
