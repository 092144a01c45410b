// Tremendous: gift cards and prepaid rewards of the USA and many other countries, handed over as a link per reward.
// Protocol: developers.tremendous.com and github.com/tremendous-rewards/tremendous-node.
// What surprised us
// - The link comes once, in the answer to the order. `GET /orders` never has it: `generate_link` then makes a new one for
//   the same reward, without a charge. Links of one reward carry its id as their serial, so that nobody sells it twice.
// - One order is one reward. Three waiting states are written with spaces.
// - Only the HTTP status tells a no; 409 says that our reference holds another order: doubt, never a failure.
// - A product is `<id>:<face value>:<currency>`; without the currency it is the organisation's. The cost is known only
//   after the order, so offers have none.
import type { Found, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import {
  acknowledge,
  byRefusal,
  byStatus,
  code,
  each,
  known,
  orUnreadable,
  rejected,
  saidNo,
  unanswered,
} from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { compactJson, hmacSha256, sameHex } from './kit/signing.js';

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const tremendous: Supplier = {
  code: 'tremendous',
  name: 'Tremendous',
  region: 'US',
  delivers: ['code'],
  base_urls: { live: 'https://api.tremendous.com/api/v2', sandbox: 'https://testflight.tremendous.com/api/v2' },
  credentials: {
    api_key: 'API key, from the dashboard under Team settings, Developers; the sandbox has its own.',
    private_key: 'private_key of the webhook, as POST /webhooks answered it; signs callbacks.',
  },
  options: {
    funding_source_id: { help: 'What pays: balance, or the id of a funding source.', default: 'balance' },
    recipient_name: { help: 'Recipient that is named on rewards; nothing is sent to it.', default: 'Gateway' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 60_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: 'returns_original',
    lookup_by: 'reference',
    // A 404 says "not created"; a request of ours may still be on its way, and how long is not documented.
    absence: { proves_not_bought_after_ms: 600_000 },
    callback_trust: 'hint',
    cost_guard: false,
    reference_format: { max_length: 32, alphabet: 'alphanumeric_dash' },
    reversible: true,
  },
  statuses: {
    OPEN: 'accepted',
    ...each(['PENDING APPROVAL', 'PENDING INTERNAL PAYMENT APPROVAL', 'PENDING SETTLEMENT'], 'accepted'),
    EXECUTED: 'delivered',
    FAILED: { refused: 'float_low' },
    CANCELED: { refused: 'declined' },
  },
  refusals: {
    ...each([401, 403], 'credentials'),
    ...each([400, 404, 422], 'declined'),
    '402': 'float_low',
    '409': null,
    '429': 'busy',
    // A 422 whose detail speaks of the product.
    product: 'sku_unknown',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    if (purchase.quantity !== 1) {
      return { outcome: 'refused', reason: 'limit_reached', message: 'Tremendous sells one reward per order' };
    }
    const headers = { ...authorized(wire), 'content-type': 'application/json' };
    const reply = await postJson(wire, '/orders', compactJson(orderBody(purchase, wire)), { headers, buys: true });
    const body = read.readJson(reply);
    if (reply.status < 400) return orderOutcome(body, wire);
    const is_product = reply.status === 422 && /product/i.test(compactJson(read.at(body, 'errors') ?? ''));
    return byRefusal(tremendous, is_product ? 'product' : String(reply.status), { message: messageOf(body) });
  },

  async lookup({ reference, supplier_reference }, wire): Promise<Found> {
    const { status, body } = await get(wire, `/orders/${encodeURIComponent(supplier_reference ?? reference)}`);
    // Of an order whose id we hold they would not say that it was never made.
    if (status === 404 && !supplier_reference) return { outcome: 'absent', message: messageOf(body) };
    return status < 400 ? orderOutcome(body, wire) : unanswered(messageOf(body));
  },

  async listOffers(_cursor, wire) {
    const { status, body } = await get(wire, '/products');
    if (status >= 400) throw saidNo(tremendous, String(status), messageOf(body));
    return { offers: read.listAt(body, 'products').flatMap(offersOf), next: null };
  },

  async readBalance(wire) {
    const { status, body } = await get(wire, '/funding_sources');
    if (status >= 400) throw saidNo(tremendous, String(status), messageOf(body));
    const sources = read.listAt(body, 'funding_sources');
    const balance = sources.find((source) => read.maybeTextAt(source, 'method')?.toLowerCase() === 'balance');
    const currency = read.textAt(balance, 'meta.currency_code');
    const amount = read.maybeMoneyAt(balance, 'meta.available_amount', { currency, unit: 'main' });
    return amount ?? read.moneyAt(balance, 'meta.available_cents', { currency, unit: 'cent' });
  },

  readCallback({ headers, body }, desk) {
    return orUnreadable(() => {
      const signature = headers['tremendous-webhook-signature']?.replace(/^sha256=/, '');
      if (!sameHex(signature, hmacSha256(desk.credential('private_key'), body))) {
        return rejected('signature', 'the signature does not fit the private key of the webhook');
      }
      const event = read.parseJson(read.bodyText(body));
      return {
        reference: null,
        supplier_reference: read.textAt(event, 'payload.resource.id'),
        // It tells that something happened, not how the order stands.
        outcome: unanswered(read.textAt(event, 'event')),
        trust: 'hint',
        acknowledge: acknowledge('ok'),
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function authorized(wire: Wire): Record<string, string> {
  return { authorization: `Bearer ${wire.credential('api_key')}` };
}

async function get(wire: Wire, url: string): Promise<{ status: number; body: unknown }> {
  const reply = await wire.send({ method: 'GET', url, headers: authorized(wire) });
  return { status: reply.status, body: read.readJson(reply) };
}

// The same for every repeat: a repeat that differs in anything is refused with 409.
function orderBody({ product, reference }: Purchase, wire: Wire): object {
  const [id, face_value = '', currency_code] = product.split(':');
  // Digits go out as a JSON number; anything else is no amount and they will say so.
  const denomination = /^\d{1,9}(\.\d{1,4})?$/.test(face_value) ? Number(face_value) : undefined;
  return {
    external_id: reference,
    payment: { funding_source_id: wire.option('funding_source_id') },
    reward: {
      value: { denomination, currency_code },
      products: [id],
      delivery: { method: 'LINK' },
      recipient: { name: wire.option('recipient_name') },
    },
  };
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function messageOf(body: unknown): string {
  const message = read.at(body, 'errors.message');
  return typeof message === 'string' ? message : 'no message';
}

async function orderOutcome(body: unknown, wire: Wire): Promise<Outcome> {
  const order = read.objectAt(body, 'order');
  const status = read.textAt(order, 'status');
  const total = status === 'EXECUTED' ? read.maybeTextAt(order, 'payment.total') : undefined;
  const currency = read.maybeTextAt(order, 'payment.currency_code');
  const told = {
    supplier_reference: read.textAt(order, 'id'),
    cost: total && currency ? read.money(total, currency) : undefined,
  };
  const rewards = read.itemsAt(order, 'rewards');
  const links = rewards.map((reward) => read.maybeTextAt(reward, 'delivery.link'));
  const outcome = byStatus(tremendous, status, told, () => ({
    codes: rewards.map((reward, at) => linkOf(reward, links[at])),
  }));
  if (outcome.outcome !== 'delivered' || (links.length > 0 && !links.includes(undefined))) return outcome;
  return generated(rewards, { ...outcome, codes: outcome.codes ?? [] }, wire);
}

// Money is spent by now, so whatever is missing here is asked for again by a lookup.
async function generated(rewards: readonly unknown[], order: Outcome & { codes: object[] }, wire: Wire) {
  const [reward] = rewards;
  const waiting = { outcome: 'accepted' as const, ...known(order) };
  if (rewards.length !== 1) return { ...waiting, message: `the order names ${rewards.length} rewards` };
  const url = `/rewards/${encodeURIComponent(read.textAt(reward, 'id'))}/generate_link`;
  try {
    const reply = await wire.send({ method: 'POST', url, headers: authorized(wire) });
    const link = read.textAt(read.readJson(reply), 'reward.link');
    return { ...order, codes: [linkOf(reward, link)] } as Outcome;
  } catch (error) {
    return { ...waiting, message: `no link yet: ${error instanceof Error ? error.message : 'not readable'}` };
  }
}

function linkOf(reward: unknown, link: string | undefined) {
  const expires_at = read.expiryOf(read.maybeTextAt(reward, 'expires_at'), 'Z');
  return code({ link, serial: read.maybeTextAt(reward, 'id'), expires_at });
}

function offersOf(row: unknown): Offer[] {
  const id = read.textAt(row, 'id');
  const name = read.maybeTextAt(row, 'name') ?? id;
  const region = read.maybeTextAt(row, 'countries.0.abbr');
  const currency = read.maybeTextAt(row, 'currency_codes.0');
  const offer: Offer = { product: id, name, kind: 'code', cost: null, stock: null, available: true };
  const fixed = read.itemsAt(row, 'skus').flatMap((sku) => {
    const [min, max] = ['min', 'max'].map((path) => read.maybeTextAt(sku, path));
    return min !== undefined && min === max && currency ? [read.money(min, currency)] : [];
  });
  const offers = fixed.map((face_value) => {
    const amount = read.decimalText(face_value.amount_e4);
    return { ...offer, product: `${id}:${amount}:${face_value.currency}`, name: `${name} ${amount}`, face_value };
  });
  // A band of amounts has no offer of its own: the SKU names the amount.
  return (offers.length > 0 ? offers : [offer]).map((one) => (region ? { ...one, region } : one));
}
