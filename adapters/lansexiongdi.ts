// 蓝色兄弟 Lanse Xiongdi, open API 7.x: direct recharge of memberships, game credit and oil cards; mainland China.
// Protocol: showdoc.com.cn/lsxd; a reseller platform offers the same document under the name 飞速源 (feisuyuan).
// What surprised us
// - One order is one unit: `number` is always 1.
// - A reply to an order names neither their id nor a cost, so our number is the only handle on it.
// - `version` and `extendParameter` are sent but not signed; `notifyUrl` is signed (a public client that leaves it out
//   contradicts both published examples).
// - Only status 03 is a failure, and "no order" proves nothing: they name no delay after which it would.
import type { Desk, Message, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import { acknowledge, byRefusal, byStatus, known, orUnreadable, rejected, saidNo, unanswered } from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postForm } from './kit/sending.js';
import { compactJson, type Fields, joinFields, md5, sameHex } from './kit/signing.js';

const OK = '0000';
const TAKEN = '2000';
const NO_ORDER = '1012';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const UNSIGNED = ['sign', 'version', 'extendParameter'];
const CALLBACK_SIGNED = ['merchantId', 'outTradeNo', 'rechargeAccount', 'status'];
const ACCOUNT_TYPES: Readonly<Record<string, string>> = { mobile: '1', phone: '1', qq: '2', other: '0' };

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const lansexiongdi: Supplier = {
  code: 'lansexiongdi',
  name: '蓝色兄弟 Lanse Xiongdi',
  region: 'CN',
  delivers: ['recharge'],
  base_urls: { live: null, sandbox: 'http://test.openapi.1688sup.cn' },
  credentials: {
    merchantId: 'Merchant number, from their account manager together with the production host.',
    key: 'Signing key that belongs to the merchant number; signs requests and callbacks.',
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 30_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: false,
    reference_format: { max_length: 64, alphabet: 'alphanumeric' },
    reversible: false,
  },
  statuses: {
    '01': 'delivered',
    '02': 'accepted',
    '03': { refused: 'declined' },
    '04': 'unknown',
  },
  refusals: {
    '1000': 'credentials',
    '1001': 'request_invalid',
    '1002': 'credentials',
    '1003': 'credentials',
    '1004': 'credentials',
    '1005': 'duplicate',
    '1006': 'sku_unknown',
    '1007': 'sku_unknown',
    '1008': 'float_low',
    '1009': 'sku_unknown',
    '1010': 'sku_unknown',
    '1011': 'recipient_invalid',
    // Not among the codes they call a definite failure of an order.
    '1012': null,
    '1099': 'busy',
    '1100': 'recipient_invalid',
    '1101': 'recipient_invalid',
    '1102': 'recipient_invalid',
    '1999': null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    if (purchase.quantity !== 1) {
      return { outcome: 'refused', reason: 'limit_reached', message: 'nothing was sent: one order is one unit' };
    }
    const reply = await call(wire, '/recharge/order', orderFields(purchase, wire), true);
    const told = { message: read.maybeTextAt(reply, 'message') };
    const code = read.textAt(reply, 'code');
    return code === TAKEN ? { outcome: 'accepted', ...known(told) } : byRefusal(lansexiongdi, code, told);
  },

  async lookup(purchase, wire) {
    const reply = await call(wire, '/recharge/query', { outTradeNo: purchase.reference });
    const code = read.textAt(reply, 'code');
    const message = read.maybeTextAt(reply, 'message');
    if (code === NO_ORDER) return { outcome: 'absent', message: message ?? code };
    if (code !== OK) return unanswered(message ?? code);
    if ((read.maybeTextAt(reply, 'outTradeNo') ?? purchase.reference) !== purchase.reference) {
      return unanswered('they answered about another order');
    }
    return statusOutcome(reply);
  },

  async listOffers(_cursor, wire) {
    const reply = await call(wire, '/recharge/product', {});
    expectOk(reply);
    return { offers: read.listAt(reply, 'products').map(offerOf), next: null };
  },

  async readBalance(wire) {
    const reply = await call(wire, '/recharge/info', {});
    expectOk(reply);
    return read.moneyAt(reply, 'balance', lansexiongdi.money);
  },

  readCallback(message, desk) {
    return orUnreadable(() => {
      const fields = fieldsOf(message);
      if (!sameHex(read.textAt(fields, 'sign'), callbackSignature(desk, fields))) {
        return rejected('signature', 'the sign field does not fit the key of this account');
      }
      return {
        reference: read.textAt(fields, 'outTradeNo'),
        supplier_reference: null,
        outcome: statusOutcome(fields),
        trust: 'authenticated',
        acknowledge: acknowledge('success'),
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields({ reference, product, recipient }: Purchase, wire: Wire): Fields {
  const { account = '', account_type, extra } = recipient;
  return {
    outTradeNo: reference,
    productId: product,
    // One of their samples trims what it signs, so nothing may be left to trim.
    rechargeAccount: account.trim(),
    accountType: accountType(account.trim(), account_type),
    number: 1,
    notifyUrl: wire.callback_url,
    ...(extra && Object.keys(extra).length > 0 ? { extendParameter: compactJson(extra) } : {}),
  };
}

function accountType(account: string, named: string | undefined): string {
  if (named === undefined) return /^1\d{10}$/.test(account) ? '1' : '0';
  return ACCOUNT_TYPES[named.toLowerCase()] ?? (/^[012]$/.test(named) ? named : '0');
}

async function call(wire: Wire, route: string, fields: Fields, buys = false): Promise<unknown> {
  const merchantId = wire.credential('merchantId');
  const sent = { merchantId, ...fields, timeStamp: read.secondsText(wire.now), version: '1.0' };
  const sign = signature(wire, joinFields(sent, { omit: UNSIGNED }));
  return read.readJson(await postForm(wire, route, { ...sent, sign }, { headers: FORM, buys }));
}

function signature(desk: Desk, text: string): string {
  return md5(`${text}&key=${desk.credential('key')}`, 'HEX');
}

function callbackSignature(desk: Desk, fields: Fields): string {
  return signature(desk, joinFields(fields, { order: CALLBACK_SIGNED }));
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function expectOk(reply: unknown): void {
  const code = read.textAt(reply, 'code');
  if (code !== OK) throw saidNo(lansexiongdi, code, read.maybeTextAt(reply, 'message'));
}

function statusOutcome(fields: unknown): Outcome {
  const status = read.textAt(fields, 'status').padStart(2, '0');
  return byStatus(lansexiongdi, status, { message: read.maybeTextAt(fields, 'message') });
}

function fieldsOf({ body }: Message): Readonly<Record<string, unknown>> {
  const text = read.bodyText(body);
  return text.trimStart().startsWith('{') ? read.objectAt(read.parseJson(text), '') : read.parseForm(text);
}

// No stock and no shelf state: what is listed may be bought, what is not listed is not authorised.
function offerOf(row: unknown): Offer {
  return {
    product: read.textAt(row, 'product_id'),
    name: read.maybeTextAt(row, 'item_name') ?? read.textAt(row, 'product_id'),
    kind: 'recharge',
    cost: read.maybeMoneyAt(row, 'channel_price', lansexiongdi.money) ?? null,
    stock: null,
    available: true,
  };
}
