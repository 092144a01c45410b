// DT One DVS (formerly TransferTo): airtime, data, PINs and gift cards of the whole world. Protocol: dvs-api-doc.dtone.com
// and the clients at github.com/dtone.
// What surprised us
// - Only the class of a status decides; the words behind it give the reason.
// - A used reference is refused with 1007001 and not replayed: that says "it is here, ask", never "it failed".
// - Callbacks are not signed, so whatever they say only makes us ask.
// - A product is `<id>`, and `<id>:<amount>:<unit>` for a free amount: what we pay, or with `:destination` behind it what
//   the recipient gets.
import type { Found, Money, Offer, Outcome, Purchase, Reason, Supplier, Wire } from './kit/contract.js';
import { acknowledge, byRefusal, byStatus, code, each, orUnreadable, saidNo, unanswered } from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson, withQuery } from './kit/sending.js';
import { basic } from './kit/signing.js';

const PAGE_SIZE = 100;

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const dtone: Supplier = {
  code: 'dtone',
  name: 'DT One',
  region: 'global',
  delivers: ['recharge', 'code'],
  base_urls: { live: 'https://dvs-api.dtone.com/v1', sandbox: 'https://preprod-dvs-api.dtone.com/v1' },
  credentials: {
    api_key: 'API key, from the account manager; live and pre-production have one each.',
    api_secret: 'API secret that belongs to the key.',
  },
  options: {
    unit: { help: 'Unit of the balance that pays, such as USD or EUR.', default: 'USD' },
    identifier: { help: "The credit party's field for the order's account.", default: 'mobile_number' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 60_000 },
  money: { currency: null, unit: 'main' },
  promises: {
    repeat_reference: 'is_rejected',
    lookup_by: 'reference',
    // "After a grace period", which they do not name. Their slowest synchronous answer takes three minutes.
    absence: { proves_not_bought_after_ms: 600_000 },
    callback_trust: 'hint',
    cost_guard: false,
    reference_format: { max_length: 32, alphabet: 'alphanumeric_dash' },
    reversible: true,
  },
  statuses: {
    ...each([1, 2, 5], 'accepted'),
    '7': 'delivered',
    ...each([3, 4, 8, 9], { refused: 'declined' }),
  },
  refusals: {
    ...each([1000400, 1003002, 1003003, 1003101, 1003201, 1005503], 'request_invalid'),
    '1000401': 'credentials',
    ...each([1000404, 1008004], 'declined'),
    '1000429': 'busy',
    ...each([1003001, 1005004, 1005005, 1005006], 'sku_unknown'),
    ...each([1005003, 1006003, 1006503], 'recipient_invalid'),
    ...each([1006001, 1006009], 'float_low'),
    ...each([1007001, 1009001, 1009503], null),
    // Why a transaction was refused, behind the class in the words of its status.
    ...each(['INVALID-CREDIT-PARTY', 'BARRED-CREDIT-PARTY', 'INELIGIBLE-CREDIT-PARTY'], 'recipient_invalid'),
    'OPERATOR-CURRENTLY-UNAVAILABLE': 'maintenance',
    'INSUFFICIENT-BALANCE': 'float_low',
    LIMITATIONS: 'limit_reached',
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    if (purchase.quantity !== 1) {
      return { outcome: 'refused', reason: 'limit_reached', message: 'DT One sells one unit per transaction' };
    }
    const headers = { ...authorized(wire), 'content-type': 'application/json' };
    const reply = await postJson(wire, '/async/transactions', orderBody(purchase, wire), { headers, buys: true });
    const body = read.readJson(reply);
    return reply.status >= 400 ? refusedBy(body) : transactionOutcome(body);
  },

  async lookup(purchase, wire): Promise<Found> {
    const { reference, supplier_reference } = purchase;
    const one = supplier_reference && `/transactions/${encodeURIComponent(supplier_reference)}`;
    const { status, body } = await get(wire, one || withQuery('/transactions', { external_id: reference }));
    if (status >= 400) return unanswered(errorsOf(body).join(', '));
    if (supplier_reference) return transactionOutcome(body);
    const rows = read.listAt(body, '');
    if (rows.length === 0) return { outcome: 'absent' };
    const ours = rows.filter((row) => read.maybeTextAt(row, 'external_id') === reference);
    if (ours.length !== 1) return unanswered(`of ${rows.length} transactions ${ours.length} have this reference`);
    return transactionOutcome(ours[0]);
  },

  async listOffers(cursor, wire) {
    const page = read.pageOf(cursor);
    const { status, headers, body } = await get(wire, withQuery('/products', { page, per_page: PAGE_SIZE }));
    if (status >= 400) throw saidNo(dtone, errorsOf(body)[0]);
    const rows = read.listAt(body, '');
    const next = headers['x-next-page'] ?? read.nextPage(page, rows.length, PAGE_SIZE);
    return { offers: rows.map(offerOf), next: next || null };
  },

  async readBalance(wire) {
    const { status, body } = await get(wire, '/balances');
    if (status >= 400) throw saidNo(dtone, errorsOf(body)[0]);
    const balances = read.listAt(body, '');
    const ours = balances.find((one) => read.maybeTextAt(one, 'unit') === wire.option('unit'));
    const paying = ours ?? balances[balances.length === 1 ? 0 : -1];
    return read.money(read.textAt(paying, 'available'), read.textAt(paying, 'unit'));
  },

  readCallback({ body }) {
    return orUnreadable(() => {
      const transaction = read.objectAt(read.parseJson(read.bodyText(body)), '');
      return {
        reference: read.textAt(transaction, 'external_id'),
        supplier_reference: read.textAt(transaction, 'id'),
        outcome: transactionOutcome(transaction),
        trust: 'hint',
        acknowledge: acknowledge('ok'),
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function authorized(wire: Wire): Record<string, string> {
  return { authorization: basic(wire.credential('api_key'), wire.credential('api_secret')) };
}

async function get(wire: Wire, url: string) {
  const { status, headers, body } = await wire.send({ method: 'GET', url, headers: authorized(wire) });
  return { status, headers, body: read.readJson({ status, headers, body }) };
}

function orderBody(purchase: Purchase, wire: Wire): object {
  const [id = '', amount, unit = wire.option('unit'), side = 'source'] = purchase.product.split(':');
  return {
    external_id: purchase.reference,
    product_id: numeric(id),
    auto_confirm: true,
    ...partiesOf(purchase, wire.option('identifier')),
    ...(amount && { calculation_mode: `${side.toUpperCase()}_AMOUNT` }),
    ...(amount && { [side]: { amount: numeric(amount), unit, unit_type: 'CURRENCY' } }),
    callback_url: wire.callback_url || undefined,
  };
}

// Digits go out as a JSON number; anything else is no id or amount of theirs and they will say so.
const numeric = (text: string) => (/^\d{1,15}(\.\d{1,8})?$/.test(text) ? Number(text) : text);

// What else a product asks for comes as `sender.last_name`, or bare for the credit party: `account_qualifier`.
function partiesOf({ recipient }: Purchase, identifier: string): Record<string, Record<string, string>> {
  const { account, extra = {} } = recipient;
  const parties: Record<string, Record<string, string>> = {};
  for (const [name, value] of Object.entries(extra)) {
    const [, party = CREDIT, field = name] = /^(sender|beneficiary|debit_party_identifier)\.(.+)$/.exec(name) ?? [];
    parties[party] = { ...parties[party], [field]: value };
  }
  const number = identifier === 'mobile_number' && /^\d+$/.test(account ?? '') ? `+${account}` : account;
  return number ? { ...parties, [CREDIT]: { ...parties[CREDIT], [identifier]: number } } : parties;
}
const CREDIT = 'credit_party_identifier';

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

function errorsOf(body: unknown): [string, ...string[]] {
  const [, ...more] = read.listAt(body, 'errors').map((error) => read.textAt(error, 'code'));
  return [read.textAt(body, 'errors.0.code'), ...more];
}

// Of several errors the doubtful one counts.
function refusedBy(body: unknown): Outcome {
  const doubtful = errorsOf(body).find((one) => typeof dtone.refusals[one] !== 'string');
  return byRefusal(dtone, doubtful ?? errorsOf(body)[0], { message: read.maybeTextAt(body, 'errors.0.message') });
}

function transactionOutcome(transaction: unknown): Outcome {
  const words = read.maybeTextAt(transaction, 'status.message');
  const told = { supplier_reference: read.textAt(transaction, 'id'), message: words };
  const outcome = byStatus(dtone, read.textAt(transaction, 'status.class.id'), told, () => goodsOf(transaction));
  if (outcome.outcome === 'refused') return { ...outcome, reason: reasonOf(words) ?? outcome.reason };
  const cost = costOf(transaction);
  return cost ? { ...outcome, cost } : outcome;
}

// `DECLINED-INVALID-CREDIT-PARTY`; a reason that no table holds leaves it at the class.
function reasonOf(words = ''): Reason | null {
  const reason = /^[A-Z]+-(LIMITATIONS|.+)/.exec(words)?.[1] ?? '';
  return (Object.hasOwn(dtone.refusals, reason) && dtone.refusals[reason]) || null;
}

function goodsOf(transaction: unknown) {
  const [pin, serial] = ['pin.code', 'pin.serial'].map((path) => read.maybeTextAt(transaction, path));
  const receipt = read.maybeTextAt(transaction, 'operator_reference');
  return { ...(pin || serial ? { codes: [code({ pin, serial })] } : {}), ...(receipt ? { receipt } : {}) };
}

function costOf(row: unknown): Money | undefined {
  const [amount, unit, fee = '0'] = PRICE.map((name) => read.maybeTextAt(row, `prices.wholesale.${name}`));
  if (!amount || !unit) return undefined;
  return { ...read.money(amount, unit), amount_e4: read.toE4(amount) + read.toE4(fee) };
}
const PRICE = ['amount', 'unit', 'fee'];

// The amounts of a ranged product are bounds: its cost is known only when the amount is named.
function offerOf(row: unknown): Offer {
  const type = read.textAt(row, 'type');
  const [region, brand] = ['country.iso_code', 'name'].map((path) => read.maybeTextAt(row, `operator.${path}`));
  return {
    product: read.textAt(row, 'id'),
    name: read.textAt(row, 'name'),
    kind: type.includes('_PIN_') ? 'code' : 'recharge',
    cost: (type.startsWith('FIXED') && costOf(row)) || null,
    stock: null,
    available: true,
    ...(region && { region }),
    ...(brand && { brand }),
  };
}
