// 大猿人 Dayuanren: a recharge system (phone credit, data, electricity, QQ) that many operators run on domains of their
// own, also under other names (wnfuwu, youmi, boyanyun); mainland China.
// Protocol: the vendor's interface document V2.0 at kancloud.cn/m644454938/aaaaaaa. What surprised us
// - There are no error codes: `errno` is 0 or not 0, and only `errmsg` tells why. A number that exists is told by words
//   too, so whatever sounds like it is `duplicate`, never a plain no. HTTP other than 200 says nothing.
// - Every parameter sent is signed, empty ones as `name=`: we send none empty, and check callbacks over all that arrives.
// - State 3 is "partly charged": the money is settled in part, so a person must decide. `charge_kami` is a receipt.
// - One order is one recharge: there is no quantity. Nothing limits a replay but the number, so use https.

import type { Refused, Unknown, Wire } from './kit/contract.js';
import { type Desk, type Offer, type Outcome, type Purchase, type Supplier, Unreadable } from './kit/contract.js';
import {
  acknowledge,
  byRefusal,
  byStatus,
  known,
  orUnreadable,
  rejected,
  saidNo,
  unanswered,
  unmapped,
} from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postForm } from './kit/sending.js';
import { type Fields, joinFields, md5, pairsOf, sameHex } from './kit/signing.js';

const ROOT = '/yrapi.php';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
/** The entry of `refusals` for a no whose words hold none of the others. */
const OTHER = 'errno not 0';
// What an order may hold beside the account, by the names it has in the recipient's extra fields.
const EXTRAS = ['amount', 'area', 'ytype', 'id_card_no', 'city', 'param1', 'param2', 'param3'];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const dayuanren: Supplier = {
  code: 'dayuanren',
  name: '大猿人 Dayuanren',
  region: 'CN',
  delivers: ['recharge'],
  base_urls: { live: null, sandbox: null },
  credentials: {
    userid: 'Merchant id, from the console of the operator.',
    apikey: 'Signing key that belongs to it; signs requests and callbacks.',
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
    reversible: false,
  },
  statuses: {
    '-1': { refused: 'declined' },
    '0': 'accepted',
    '1': 'delivered',
    '2': { refused: 'declined' },
    '3': 'unknown',
  },
  // Words that `errmsg` may hold; the first that it holds counts.
  refusals: {
    已存在: 'duplicate',
    已经存在: 'duplicate',
    重复: 'duplicate',
    余额不足: 'float_low',
    [OTHER]: 'declined',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    if (purchase.quantity !== 1) {
      return { outcome: 'refused', reason: 'limit_reached', message: 'nothing was sent: one order is one recharge' };
    }
    const reply = await call(wire, 'recharge', orderFields(purchase, wire), true);
    if (errorOf(reply) !== null) return refusalOf(reply);
    const told = {
      supplier_reference: read.maybeTextAt(reply, 'data.order_number'),
      cost: read.maybeMoneyAt(reply, 'data.total_price', dayuanren.money),
    };
    return { outcome: 'accepted', ...known(told) };
  },

  async lookup(purchase, wire) {
    const reply = await call(wire, 'check', { out_trade_nums: purchase.reference });
    const error = errorOf(reply);
    if (error !== null) return unanswered(error);
    const rows = read.itemsAt(reply, 'data');
    const row = rows.find((one) => read.maybeTextAt(one, 'out_trade_num') === purchase.reference);
    if (row !== undefined) return orderOutcome(row);
    return rows.length === 0 ? { outcome: 'absent', message: 'no such order' } : unanswered('another order came back');
  },

  async listOffers(_cursor, wire) {
    const reply = await call(wire, 'product', {});
    expectOk(reply);
    const categories = read.listAt(reply, 'data');
    return { offers: categories.flatMap((category) => read.itemsAt(category, 'products').map(offerOf)), next: null };
  },

  async readBalance(wire) {
    const reply = await call(wire, 'user', {});
    expectOk(reply);
    return read.moneyAt(reply, 'data.balance', dayuanren.money);
  },

  readCallback(message, desk) {
    return orUnreadable(() => {
      const text = read.bodyText(message.body);
      const fields = read.objectAt(text.startsWith('{') ? read.parseJson(text) : read.parseForm(text), '');
      if (!sameHex(read.textAt(fields, 'sign'), signature(desk, fields))) {
        return rejected('signature', 'the sign field does not fit the apikey of this account');
      }
      return {
        reference: read.textAt(fields, 'out_trade_num'),
        supplier_reference: read.maybeTextAt(fields, 'order_number') ?? null,
        outcome: orderOutcome(fields),
        trust: 'authenticated',
        acknowledge: acknowledge('success'),
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields({ reference, product, recipient, cost_ceiling }: Purchase, wire: Wire): Fields {
  const { account, region, extra = {} } = recipient;
  return {
    area: region,
    ...Object.fromEntries(EXTRAS.map((name) => [name, extra[name]]).filter(([, value]) => value)),
    out_trade_num: reference,
    product_id: product,
    mobile: account,
    notify_url: wire.callback_url,
    // Above this they refuse; it must never be more than we allow.
    price: cost_ceiling ? read.decimalText(cost_ceiling.amount_e4) : undefined,
  };
}

// An account's address may end before or after the program's name. An empty field would be signed as `name=`: none goes out.
async function call(wire: Wire, action: string, fields: Fields, buys = false): Promise<unknown> {
  const sent = Object.fromEntries(pairsOf({ userid: wire.credential('userid'), ...fields }, { order: 'given' }));
  const url = `${wire.base_url.endsWith(ROOT) ? '' : ROOT}/index/${action}`;
  const reply = await postForm(wire, url, { ...sent, sign: signature(wire, sent) }, { headers: FORM, buys });
  const answer = read.readJson(reply);
  if (reply.status !== 200) throw new Unreadable(`HTTP ${reply.status}`, 'unreadable', reply.status);
  return answer;
}

function signature(desk: Desk, fields: Fields): string {
  return md5(`${joinFields(fields, { omit: ['sign'], empty: 'keep' })}&apikey=${desk.credential('apikey')}`, 'HEX');
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Null for a yes, else their words. */
function errorOf(reply: unknown): string | null {
  const errno = read.textAt(reply, 'errno');
  return errno === '0' ? null : (read.maybeTextAt(reply, 'errmsg') ?? errno);
}

/** Only a number that is not 0 is a no; any other `errno` is none of theirs. */
function refusalOf(reply: unknown): Refused | Unknown {
  const errno = read.textAt(reply, 'errno');
  const message = errorOf(reply) ?? errno;
  return /^-?\d+$/.test(errno) ? byRefusal(dayuanren, wordIn(message), { message }) : unmapped(errno, { message });
}

function wordIn(message: string): string {
  return Object.keys(dayuanren.refusals).find((word) => message.includes(word)) ?? OTHER;
}

function expectOk(reply: unknown): void {
  const error = errorOf(reply);
  if (error !== null) throw saidNo(dayuanren, wordIn(error), error);
}

// Some deployments say `status` for `state`.
function orderOutcome(order: unknown): Outcome {
  const word = read.firstTextAt(order, ['state', 'status']);
  if (word === undefined) throw new Unreadable('state is missing');
  const told = {
    supplier_reference: read.maybeTextAt(order, 'order_number'),
    message: read.maybeTextAt(order, 'remark'),
  };
  const receipt = read.firstTextAt(order, ['charge_kami', 'voucher']);
  return byStatus(dayuanren, word, told, () => (receipt === undefined ? {} : { receipt }));
}

function offerOf(row: unknown): Offer {
  const face_value = read.maybeMoneyAt(row, 'y_price', dayuanren.money);
  return {
    product: read.textAt(row, 'id'),
    name: read.maybeTextAt(row, 'name') ?? read.textAt(row, 'id'),
    kind: 'recharge',
    cost: read.maybeMoneyAt(row, 'price', dayuanren.money) ?? null,
    stock: null,
    available: read.maybeTextAt(row, 'api_open') === '1',
    ...(face_value ? { face_value } : {}),
  };
}
