// Example supplier: copy this file to `adapters/<code>.ts`, rename `template`, register it, and add conversations.
// Header, facts, verbs, builders, readers, in this order. Here goes who they are, where the protocol is documented, and
// what surprised us. This one sells codes and recharges by JSON, signs with sorted MD5 and calls back.
import type { Acknowledgement, Code, Desk, Offer, Outcome, Purchase, Supplier, Wire } from './contract.js';
import { acknowledge, byRefusal, byStatus, code, orUnreadable, rejected, unanswered } from './outcomes.js';
import * as read from './reading.js';
import { postJson } from './sending.js';
import { type Fields, joinFields, md5, sameHex } from './signing.js';

const PAGE_SIZE = 100;
const RECEIVED: Acknowledgement = acknowledge('ok');

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const template: Supplier = {
  code: 'template',
  name: 'Example supplier',
  region: 'CN',
  delivers: ['code', 'recharge'],
  base_urls: { live: 'https://api.supplier.example', sandbox: null },
  credentials: {
    merchant: 'Merchant number, from the console under Settings.',
    key: 'Signing key, shown once under Settings → API.',
  },
  limits: { requests: 60, per_ms: 60_000, concurrency: 4, deadline_ms: 15_000 },
  money: { currency: 'CNY', unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    absence: { proves_not_bought_after_ms: 600_000 },
    callback_trust: 'authenticated',
    cost_guard: true,
    reference_format: { max_length: 32, alphabet: 'alphanumeric' },
    reversible: false,
  },
  statuses: {
    waiting: 'accepted',
    processing: 'accepted',
    success: 'delivered',
    failed: { refused: 'declined' },
    manual: 'unknown',
  },
  refusals: {
    bad_sign: 'credentials',
    no_balance: 'float_low',
    no_stock: 'out_of_stock',
    no_product: 'sku_unknown',
    price_changed: 'cost_changed',
    bad_account: 'recipient_invalid',
    number_used: 'duplicate',
    too_fast: 'busy',
    system_error: null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    const body = sign(wire, orderBody(purchase, wire));
    const reply = read.readJson(await postJson(wire, '/order/create', body, { buys: true }));
    const error = errorOf(reply);
    if (error) return byRefusal(template, error, { message: read.maybeTextAt(reply, 'message') });
    return outcomeOf(read.objectAt(reply, 'data'));
  },

  async lookup(purchase, wire) {
    const body = sign(wire, { order_no: purchase.reference });
    const reply = read.readJson(await postJson(wire, '/order/query', body));
    const error = errorOf(reply);
    if (error === 'no_order') return { outcome: 'absent' };
    if (error) return unanswered(error);
    return outcomeOf(read.objectAt(reply, 'data'));
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const reply = read.readJson(await postJson(wire, '/goods', sign(wire, { page, page_size: PAGE_SIZE })));
    const rows = read.listAt(reply, 'data.list');
    const total = read.integerAt(reply, 'data.total');
    return { offers: rows.map(offerOf), next: read.nextPage(page, rows.length, PAGE_SIZE, total) };
  },

  async readBalance(wire) {
    const reply = read.readJson(await postJson(wire, '/balance', sign(wire, {})));
    return read.moneyAt(reply, 'data.balance', template.money);
  },

  readCallback(message, desk) {
    return orUnreadable(() => {
      const body = read.objectAt(read.parseJson(read.bodyText(message.body)), '');
      if (!sameHex(read.maybeTextAt(body, 'sign'), signature(desk, body))) {
        return rejected('signature', 'the sign field does not fit the key of this account');
      }
      return {
        reference: read.textAt(body, 'order_no'),
        supplier_reference: read.maybeTextAt(body, 'id') ?? null,
        outcome: outcomeOf(body),
        trust: 'authenticated',
        acknowledge: RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function orderBody(purchase: Purchase, wire: Wire): Fields {
  return {
    order_no: purchase.reference,
    product: purchase.product,
    quantity: purchase.quantity,
    account: purchase.recipient.account,
    cost_max: purchase.cost_ceiling ? read.decimalText(purchase.cost_ceiling.amount_e4) : undefined,
    notify_url: wire.callback_url,
  };
}

function sign(wire: Wire, fields: Fields): Fields {
  const signed = { ...fields, merchant: wire.credential('merchant'), timestamp: read.secondsText(wire.now) };
  return { ...signed, sign: signature(wire, signed) };
}

function signature(desk: Desk, fields: Fields): string {
  return md5(`${joinFields(fields, { omit: ['sign'] })}&key=${desk.credential('key')}`);
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function errorOf(reply: unknown): string | null {
  const word = read.textAt(reply, 'code');
  return word === 'ok' ? null : word;
}

function outcomeOf(order: unknown): Outcome {
  const told = {
    supplier_reference: read.maybeTextAt(order, 'id'),
    cost: read.maybeMoneyAt(order, 'cost', template.money),
    message: read.maybeTextAt(order, 'message'),
  };
  return byStatus(template, read.textAt(order, 'status'), told, () => ({
    codes: read.itemsAt(order, 'cards').map(codeOf),
  }));
}

function codeOf(card: unknown): Code {
  return code({
    number: read.maybeTextAt(card, 'no'),
    pin: read.maybeTextAt(card, 'password'),
    expires_at: read.expiryOf(read.maybeTextAt(card, 'expires'), '+08:00'),
  });
}

function offerOf(row: unknown): Offer {
  return {
    product: read.textAt(row, 'id'),
    name: read.textAt(row, 'name'),
    kind: read.maybeTextAt(row, 'type') === '1' ? 'recharge' : 'code',
    cost: read.maybeMoneyAt(row, 'price', template.money) ?? null,
    stock: read.maybeTextAt(row, 'stock') === undefined ? null : read.integerAt(row, 'stock'),
    available: read.maybeTextAt(row, 'state') === 'on',
  };
}
