// 星权益 Xingquanyi and the cqmeihu sales API under other brands (卡商网, 京兆云): memberships as recharges and codes; China.
// Protocol: xqy1.cn/api-doc.
// What surprised us
// - `server_error` says nothing about the purchase, by their own words; `error` is every other no. What a repeated
//   outer_order_id is told is not established: words that speak of a repeat make us doubt.
// - Codes may be missing from an order that has succeeded: it is then only accepted, and asked for again.
// - A card is card_no and card_password in the reply to an order, no and password in a lookup.
// - Cards and tickets of a callback are unsigned: they are never taken from it, and make it a hint.
// - Clients sign empty fields or skip them: we send none, and take a callback signed either way.
import type { Code, Desk, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postForm, postJson } from './kit/sending.js';
import { concatFields, type Fields, fieldText, md5, sameHex } from './kit/signing.js';

const OK = 'ok';
const ZONE = '+08:00';
const UNSIGNED = ['cards', 'tickets'];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const xingquanyi: Supplier = {
  code: 'xingquanyi',
  name: '星权益 Xingquanyi',
  region: 'CN',
  delivers: ['recharge', 'code'],
  // Each brand has its host: http://www.xqy1.cn, http://jingzhao.xhygo.cn.
  base_urls: { live: null, sandbox: null },
  credentials: {
    customer_id: 'Customer number (商家编号), from their purchasing site.',
    key: 'Signing key (密钥) that belongs to the number; signs requests and callbacks.',
  },
  options: {
    body: { help: 'How requests are written: `json`, or `form` for a brand that wants a form.', default: 'json' },
  },
  limits: { requests: 120, per_ms: 60_000, concurrency: 4, deadline_ms: 30_000 },
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
    ...say.each(['100', '101', '200 without codes'], 'accepted'),
    '200': 'delivered',
    '500': { refused: 'declined' },
    ...say.each(['501', '200 refunded'], 'unknown'),
  },
  refusals: {
    error: 'declined',
    'error, a repeat': 'duplicate',
    invalid_parameters: 'request_invalid',
    ...say.each(['invalid_sign', 'disabled_customer'], 'credentials'),
    request_frequency: 'busy',
    server_error: null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const reply = await call(wire, '/api/buy', orderFields(purchase, wire), true);
    const word = wordOf(reply);
    if (word !== OK) return say.byRefusal(xingquanyi, word, { message: read.maybeTextAt(reply, 'message') });
    return orderOutcome(read.objectAt(reply, 'data'), purchase);
  },

  async lookup(purchase, wire) {
    const reply = await call(wire, '/api/outer-order', { outer_order_id: purchase.reference });
    const word = wordOf(reply);
    // Which of their words says that there is no such order is not established.
    if (word !== OK) return say.unanswered(read.maybeTextAt(reply, 'message') ?? word);
    return orderOutcome(read.objectAt(reply, 'data'), purchase);
  },

  async listOffers(_cursor, wire) {
    const reply = await call(wire, '/api/product-list', {});
    expectOk(reply);
    return { offers: read.listAt(reply, 'data').map((row) => offerOf(row, wire.now)), next: null };
  },

  async readBalance(wire) {
    const reply = await call(wire, '/api/customer', {});
    expectOk(reply);
    return read.moneyAt(reply, 'data.balance', xingquanyi.money);
  },

  readCallback(message, desk) {
    return say.orUnreadable(() => {
      const fields = say.fieldsOf(message);
      // A form may carry a list as `cards[0][card_no]=…`.
      const unsigned = Object.keys(fields).filter((name) => UNSIGNED.includes(name.replace(/\[.*$/s, '')));
      const is_signed = (['drop', 'keep'] as const).some((empty) =>
        sameHex(read.maybeTextAt(fields, 'sign'), signature(desk, fields, { omit: ['sign', ...unsigned], empty })),
      );
      if (!is_signed) return say.rejected('signature', 'the sign field does not fit the key of this account');
      if (fields.event_type !== undefined) return say.offerNotice([read.textAt(fields, 'product_id')]);
      const has_codes = unsigned.some((name) => !['', '[]', 'null'].includes(fieldText(fields[name])));
      return {
        reference: read.maybeTextAt(fields, 'outer_order_id') ?? null,
        supplier_reference: read.textAt(fields, 'order_id'),
        outcome: orderOutcome({ ...fields, cards: undefined, tickets: undefined }),
        trust: has_codes ? 'hint' : 'authenticated',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderFields({ product, quantity, reference, recipient, cost_ceiling }: Purchase, wire: Wire): Fields {
  const { client_ip, ...extra } = recipient.extra ?? {};
  const items = Object.entries(extra).map(([title, value]) => [`recharge_template_input_items[${title}]`, value]);
  return {
    product_id: numberOf(product),
    quantity,
    recharge_account: recipient.account,
    outer_order_id: reference,
    notify_url: wire.callback_url,
    safe_cost: cost_ceiling ? read.decimalText(Math.floor(cost_ceiling.amount_e4 / quantity)) : undefined,
    client_ip,
    ...Object.fromEntries(items),
  };
}

function numberOf(text: string): number | string {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : text;
}

async function call(wire: Wire, url: string, asked: Fields, buys = false): Promise<unknown> {
  const filled = Object.entries(asked).filter(([, value]) => value !== undefined && value !== '');
  const fields: Fields = {
    customer_id: numberOf(wire.credential('customer_id')),
    timestamp: Number(read.secondsText(wire.now)),
    ...Object.fromEntries(filled),
  };
  const body = { ...fields, sign: signature(wire, fields) };
  const post = wire.option('body') === 'form' ? postForm : postJson;
  return read.readJson(await post(wire, url, body, { buys }));
}

function signature(desk: Desk, fields: Fields, rules: { omit?: string[]; empty?: 'drop' | 'keep' } = {}): string {
  return md5(desk.credential('key') + concatFields(fields, rules));
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function wordOf(reply: unknown): string {
  const word = read.textAt(reply, 'code');
  return word === 'error' && /重复|已存在/.test(read.maybeTextAt(reply, 'message') ?? '') ? 'error, a repeat' : word;
}

function expectOk(reply: unknown): void {
  const word = wordOf(reply);
  if (word !== OK) throw say.saidNo(xingquanyi, word, read.maybeTextAt(reply, 'message'));
}

function orderOutcome(order: unknown, purchase?: Purchase): Outcome {
  const codes = codesOf(order, purchase?.quantity);
  const refunded = read.maybeMoneyAt(order, 'refunded_amount', xingquanyi.money);
  const told = {
    supplier_reference: read.firstTextAt(order, ['order_id', 'id']),
    cost: read.maybeMoneyAt(order, 'total_price', xingquanyi.money),
    message: codes.length > 0 ? undefined : read.firstTextAt(order, ['recharge_info', 'state_info']),
  };
  let word = read.textAt(order, 'state');
  if (word === '200' && purchase?.kind === 'code' && codes.length === 0) word = '200 without codes';
  if (word.startsWith('200') && refunded && refunded.amount_e4 > 0) word = '200 refunded';
  const outcome = say.byStatus(xingquanyi, word, told, () => (codes.length > 0 ? { codes } : {}));
  return outcome.outcome === 'unknown' && codes.length > 0 ? { ...outcome, codes } : outcome;
}

// A product is delivered as cards or as tickets; where both are there the cards count if there is one for each unit.
function codesOf(order: unknown, quantity: number | undefined): Code[] {
  const expiry = (node: unknown) => read.expiryOf(read.maybeTextAt(node, 'expired_at'), ZONE);
  const cards = read.itemsAt(order, 'cards').map((card) =>
    say.code({
      number: read.firstTextAt(card, ['card_no', 'no']),
      pin: read.firstTextAt(card, ['card_password', 'password']),
      expires_at: expiry(card),
    }),
  );
  const tickets = read.itemsAt(order, 'tickets').map((ticket) => {
    const text = read.maybeTextAt(ticket, 'ticket');
    const part = /^https?:\/\//.test(text ?? '') ? { link: text } : { pin: text };
    return say.code({ number: read.maybeTextAt(ticket, 'no'), ...part, expires_at: expiry(ticket) });
  });
  return cards.length === quantity ? cards : [...cards, ...tickets];
}

function offerOf(row: unknown, now: number): Offer {
  const type = read.maybeTextAt(row, 'type') ?? '';
  const is_out = read.maybeTextAt(row, 'stock_state') === '2';
  const is_on = read.maybeTextAt(row, 'supply_state') === '1' && read.maybeTextAt(row, 'hold_state') !== '2';
  return {
    product: read.textAt(row, 'id'),
    name: [read.textAt(row, 'product_name'), read.maybeTextAt(row, 'name')].filter(Boolean).join(' · '),
    kind: type === '1' ? 'recharge' : ['2', '3'].includes(type) ? 'code' : null,
    cost: read.maybeMoneyAt(row, 'price', xingquanyi.money) ?? null,
    stock: is_out ? 0 : null,
    available: is_on && !is_out && !isBanned(row, now),
  };
}

function isBanned(row: unknown, now: number): boolean {
  const [from, to] = [read.maybeTextAt(row, 'ban_start_at'), read.maybeTextAt(row, 'ban_end_at')];
  if (from === undefined || to === undefined) return false;
  const time = read.timeText(now, 'HH:mm:ss', ZONE);
  return from <= to ? from <= time && time <= to : time >= from || time <= to;
}
