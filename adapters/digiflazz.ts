// Digiflazz: Indonesian airtime, data, e-wallets, game credit, vouchers and electricity tokens, prepaid, in whole rupiah.
// Protocol: developer.digiflazz.com/api/buyer. Postpaid bills (inquiry, then payment) are not sold here.
// What surprised us
// - There is no query: the same order sent again tells its state, for 90 days. After that, or if the first one never
//   arrived, it BUYS. So `lookup` resends only for a caller who sets `resend`, who keeps a minute between any two.
// - The result code decides, not the HTTP status; a "timeout" among the codes (01, 70) is a final failure.
// - 49 says that the number was used by another order of ours: doubt, never a failure.
// - `sn` is the receipt of a recharge and the code of a code product; parts between `/` are left together.
import type { Desk, Found, Kind, Message, Offer, Outcome, Purchase, Supplier, Wire } from './kit/contract.js';
import * as say from './kit/outcomes.js';
import * as read from './kit/reading.js';
import { postJson } from './kit/sending.js';
import { compactJson, hmac, md5, sameText } from './kit/signing.js';

const DAY_MS = 86_400_000;
// Refused before anything was written down: said of a resend, they tell nothing about what was sent before it.
const UNRECORDED = [
  '40',
  '41',
  '42',
  '43',
  '44',
  '45',
  '47',
  '49',
  '56',
  ...say.range(61, 69),
  ...say.range(80, 83),
  '87',
  '88',
];

// ── Facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const digiflazz: Supplier = {
  code: 'digiflazz',
  name: 'Digiflazz',
  region: 'ID',
  delivers: ['recharge', 'code'],
  // Tests run on the same host, with the development key or the option `testing`.
  base_urls: { live: 'https://api.digiflazz.com/v1', sandbox: 'https://api.digiflazz.com/v1' },
  credentials: {
    username: 'Buyer name, from the member area under Pengaturan Koneksi → API.',
    apiKey: 'Production or development key, from the same place; our address must be on its whitelist.',
    webhook_secret: 'Secret set with the webhook; signs callbacks. Without one none is believed.',
  },
  options: {
    testing: { help: 'true to mark every order as a test.', default: 'false' },
    callbacks: {
      help: 'unsigned if the webhook has no secret: its callbacks then only make us ask.',
      default: 'signed',
    },
    customer_no: { help: 'Number to name on orders that have no recipient.', default: '' },
    zone_separator: { help: 'What stands between player id and zone in customer_no.', default: '' },
  },
  limits: { requests: null, per_ms: 1000, concurrency: 4, deadline_ms: 60_000 },
  money: { currency: 'IDR', unit: 'main' },
  promises: {
    repeat_reference: { returns_original_within_ms: 90 * DAY_MS },
    lookup_by: 'resend',
    absence: 'proves_nothing',
    callback_trust: 'authenticated',
    cost_guard: true,
    reference_format: { max_length: 32, alphabet: 'alphanumeric_dash' },
    reversible: true,
  },
  statuses: {
    Sukses: 'delivered',
    Pending: 'accepted',
    Gagal: { refused: 'declined' },
    '00': 'delivered',
    '03': 'accepted',
    '99': 'accepted',
  },
  refusals: {
    ...say.each(['01', '02', 50, 64, 70, 74], 'declined'),
    ...say.each([40, 87], 'request_invalid'),
    ...say.each([41, 42, 45, 80, 81, 82], 'credentials'),
    ...say.each([43, 53, 67], 'sku_unknown'),
    ...say.each([44, 61], 'float_low'),
    ...say.each([47, 63, 65], 'duplicate'),
    ...say.each([51, 52, 54, 57, 59, 60, 72, 73, 84, 88], 'recipient_invalid'),
    ...say.each([55, 58, 62, 66, 71], 'maintenance'),
    ...say.each([56, 68], 'out_of_stock'),
    ...say.each([83, 85, 86], 'busy'),
    '69': 'cost_changed',
    '49': null,
  },

  // ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async place(purchase, wire) {
    if (purchase.quantity !== 1) {
      return { outcome: 'refused', reason: 'limit_reached', message: 'Digiflazz sells one unit per order' };
    }
    return orderOutcome(await order(purchase, wire), purchase.kind);
  },

  async lookup(purchase, wire): Promise<Found> {
    if (!purchase.resend) return say.unanswered('they are asked by sending the order again, which was not allowed');
    const sent = await order(purchase, wire);
    const rc = read.maybeTextAt(sent, 'rc') ?? '';
    return UNRECORDED.includes(rc)
      ? say.unanswered(`the resend was refused: ${rc}`)
      : orderOutcome(sent, purchase.kind);
  },

  async listOffers(_cursor, wire) {
    const data = await call(wire, '/price-list', { cmd: 'prepaid' }, 'pricelist');
    if (!Array.isArray(data)) throw say.saidNo(digiflazz, read.textAt(data, 'rc'), read.maybeTextAt(data, 'message'));
    return { offers: data.map((row) => offerOf(row, wire.now)), next: null };
  },

  async readBalance(wire) {
    const data = await call(wire, '/cek-saldo', { cmd: 'deposit' }, 'depo');
    const deposit = read.maybeMoneyAt(data, 'deposit', digiflazz.money);
    if (deposit === undefined) throw say.saidNo(digiflazz, read.textAt(data, 'rc'), read.maybeTextAt(data, 'message'));
    return deposit;
  },

  readCallback(message, desk) {
    return say.orUnreadable(() => {
      if (!isSigned(message, desk)) {
        return say.rejected('signature', 'the signature does not fit the webhook secret of this account');
      }
      const body = read.parseJson(read.bodyText(message.body));
      // A ping of the webhook is about no order, and wants to be received all the same.
      if (!read.at(body, 'data')) return say.rejected('unreadable', 'no order in it: a ping', say.acknowledge('ok'));
      const data = read.objectAt(body, 'data');
      return {
        reference: read.textAt(data, 'ref_id'),
        supplier_reference: read.maybeTextAt(data, 'trx_id') ?? null,
        outcome: orderOutcome(data, 'code'),
        trust: 'authenticated',
        acknowledge: say.RECEIVED,
      };
    });
  },
};

// ── Builders ───────────────────────────────────────────────────────────────────────────────────────────────────────

function order({ reference, product, recipient, cost_ceiling }: Purchase, wire: Wire): Promise<unknown> {
  const { account = wire.option('customer_no'), server } = recipient;
  const fields = {
    buyer_sku_code: product,
    customer_no: [account, server].filter(Boolean).join(wire.option('zone_separator')),
    ref_id: reference,
  };
  const guard = cost_ceiling?.currency === 'IDR' ? Number(read.decimalText(cost_ceiling.amount_e4, 0)) : undefined;
  const testing = wire.option('testing') === 'true' ? true : undefined;
  const extras = { max_price: guard, cb_url: wire.callback_url || undefined, testing };
  return call(wire, '/transaction', { ...fields, ...extras }, reference, true);
}

/** One call. `bound` is the text that its signature binds: the reference, or a constant word. */
async function call(wire: Wire, url: string, fields: object, bound: string, buys = false): Promise<unknown> {
  const username = wire.credential('username');
  const sign = md5(username + wire.credential('apiKey') + bound);
  const headers = { 'content-type': 'application/json' };
  const reply = await postJson(wire, url, compactJson({ username, ...fields, sign }), { headers, buys });
  const data = read.at(read.readJson(reply), 'data');
  return Array.isArray(data) ? data : read.objectAt(data, '');
}

function isSigned({ headers, body }: Message, desk: Desk): boolean {
  return sameText(
    headers['x-hub-signature']?.toLowerCase(),
    `sha1=${hmac('sha1', desk.credential('webhook_secret'), body)}`,
  );
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────────────

// Code and word must not contradict each other. A code that no table holds is doubt, whatever the word says.
function orderOutcome(data: unknown, kind: Kind): Outcome {
  const [rc, word] = [read.maybeTextAt(data, 'rc'), read.maybeTextAt(data, 'status')];
  const message = read.maybeTextAt(data, 'message');
  if (rc !== undefined && !Object.hasOwn(digiflazz.statuses, rc)) {
    const is_failed = word === undefined || word === 'Gagal';
    return is_failed ? say.byRefusal(digiflazz, rc, { message }) : say.unmapped(`${word}/${rc}`, { message });
  }
  const status = word ?? rc ?? read.textAt(data, 'status');
  const meaning = digiflazz.statuses[status];
  if (rc !== undefined && digiflazz.statuses[rc] !== meaning) return say.unmapped(`${status}/${rc}`, { message });
  const cost = typeof meaning === 'object' ? undefined : read.maybeMoneyAt(data, 'price', digiflazz.money);
  // The words of a success may quote the code.
  const told = { cost, message: meaning === 'delivered' ? undefined : message };
  return say.byStatus(digiflazz, status, told, () => goodsOf(read.maybeTextAt(data, 'sn'), kind));
}

// A callback does not say which kind it is about, so what may be a code is treated as one.
function goodsOf(sn: string | undefined, kind: Kind) {
  return kind === 'code' ? { codes: sn ? [say.code({ pin: sn })] : [] } : sn ? { receipt: sn } : {};
}

function offerOf(row: unknown, now: number): Offer {
  const is_true = (path: string) => ['true', '1'].includes(read.maybeTextAt(row, path) ?? '');
  const stock = is_true('unlimited_stock') ? null : read.integerAt(row, 'stock');
  const is_on = is_true('buyer_product_status') && is_true('seller_product_status');
  const brand = read.maybeTextAt(row, 'brand');
  return {
    product: read.textAt(row, 'buyer_sku_code'),
    name: read.textAt(row, 'product_name'),
    kind: null,
    cost: read.moneyAt(row, 'price', digiflazz.money),
    stock,
    available: is_on && (stock === null || stock > 0) && !isCutOff(row, now),
    region: 'ID',
    ...(brand ? { brand } : {}),
  };
}

// Presumably on Jakarta's clock; equal times mean no cut-off, and the window may run over midnight.
function isCutOff(row: unknown, now: number): boolean {
  const [start, end] = ['start_cut_off', 'end_cut_off'].map((path) => read.maybeTextAt(row, path)?.padStart(5, '0'));
  if (!start || !end || start === end) return false;
  const time = read.timeText(now, 'HH:mm', '+07:00');
  return start < end ? time >= start && time < end : time >= start || time < end;
}
