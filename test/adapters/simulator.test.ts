// The built-in supplier over real HTTP: every fault, what the adapter concludes from it, and what the books say.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Agent, request } from 'undici';
import type {
  Callback,
  Found,
  Message,
  NotTheirs,
  Outcome,
  Purchase,
  Supplier,
  Wire,
  WireRequest,
} from '../../adapters/kit/contract.js';
import { WireFailure } from '../../adapters/kit/contract.js';
import { checkOutcome, doubtOf, outcomeOf, watchPurchase } from '../../adapters/kit/doubt.js';
import { FAULTS, type FaultName, type FaultRule } from '../../adapters/kit/faults.js';
import { simulated } from '../../adapters/simulated.js';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../adapters/simulator.js';

const NOW = Date.UTC(2026, 0, 1);
const TIMEOUT_MS = 400;
const PRODUCTS = [
  { product: 'gift', kind: 'code', cost_e4: 48_715, stock: null },
  { product: 'phone', kind: 'recharge', cost_e4: 97_500, stock: 3 },
] as const;

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator({
    products: [...PRODUCTS],
    balance_e4: 10_000_000,
    clock: () => NOW,
    ...options,
  });
  open.push(() => simulator.close());
  return simulator;
}

/** A wire over undici with just enough judgement for loopback: refused connections never left, all else may have. */
function wireTo(simulator: Simulator, callback_url = ''): Wire {
  const agent = new Agent({ pipelining: 1 });
  open.push(() => agent.destroy());
  const credentials: Record<string, string> = { app_key: simulator.app_key, app_secret: simulator.app_secret };
  let nonces = 0;
  return {
    now: NOW,
    base_url: simulator.url,
    callback_url,
    credential: (name) => credentials[name]!,
    option: () => '',
    nonce: (length) => `n${++nonces}-${Math.random().toString(36).slice(2)}`.padEnd(length, 'x'),
    uuid: () => crypto.randomUUID(),
    token: async () => '',
    send: (sent) => sendBy(agent, simulator.url, sent),
  };
}

async function sendBy(agent: Agent, base_url: string, { method, url, headers, body }: WireRequest) {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const reply = await request(base_url + url, {
      dispatcher: agent,
      method,
      headers: headers ?? {},
      body: body ?? null,
      signal,
    });
    const bytes = Buffer.from(await reply.body.arrayBuffer());
    return { status: reply.statusCode, headers: reply.headers as Record<string, string>, body: bytes };
  } catch (error) {
    const { code = '', name } = error as { code?: string; name: string };
    if (code === 'ECONNREFUSED') throw new WireFailure('refused', false, { cause: error });
    throw new WireFailure(name === 'TimeoutError' ? 'timeout' : 'reset', true, { cause: error });
  }
}

function purchase(changes: Partial<Purchase> = {}): Purchase {
  return {
    reference: 'GW1',
    product: 'gift',
    kind: 'code',
    quantity: 2,
    recipient: {},
    cost_ceiling: null,
    ...changes,
  };
}

async function place(wire: Wire, wanted: Purchase, supplier: Supplier = simulated): Promise<Outcome> {
  const watched = watchPurchase(wire);
  try {
    return checkOutcome(wanted, await supplier.place(wanted, watched.wire));
  } catch (error) {
    return outcomeOf(error, watched.facts);
  }
}
async function lookup(wire: Wire, wanted: Purchase): Promise<Found> {
  try {
    return checkOutcome(wanted, await simulated.lookup!(wanted, wire));
  } catch (error) {
    return doubtOf(error);
  }
}

const texts = (found: Found): string[] => ('codes' in found ? (found.codes ?? []) : []).map(({ pin }) => pin!.reveal());

/** A gateway's end for callbacks; the promise of `until` resolves when so many have come. */
async function receiver(simulator: Simulator) {
  const came: (Callback | NotTheirs)[] = [];
  const waiting: { count: number; go: () => void }[] = [];
  const wire = wireTo(simulator);
  const server = createServer(async (incoming, response) => {
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part as Buffer);
    const message: Message = {
      headers: incoming.headers as Record<string, string>,
      body: Buffer.concat(parts),
      url: incoming.url!,
    };
    const read = simulated.readCallback!(message, wire);
    if ('products' in read) throw new Error('nothing here tells of products');
    came.push(read);
    const { status, body, content_type } = 'rejected' in read ? read.answer : read.acknowledge;
    response.writeHead(status, { 'content-type': content_type }).end(body);
    for (const { count, go } of waiting) if (came.length >= count) go();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(async () => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callbacks/simulated?account=a`;
  const until = (count: number) =>
    came.length >= count ? Promise.resolve() : new Promise<void>((go) => waiting.push({ count, go }));
  return { came, url, until };
}

describe('an honest sale', () => {
  test('delivers codes, and the books hold each to the ten-thousandth', async () => {
    const simulator = await start();
    const wire = wireTo(simulator);
    const outcome = await place(wire, purchase({ cost_ceiling: { amount_e4: 97_430, currency: 'CNY' } }));
    expect(outcome).toMatchObject({
      outcome: 'delivered',
      cost: { amount_e4: 97_430, currency: 'CNY' },
      supplier_reference: '700001',
    });
    const books = simulator.books();
    expect(books).toMatchObject({
      orders: 1,
      units: 2,
      charged_e4: 97_430,
      refunded_e4: 0,
      net_e4: 97_430,
      balance_e4: 10_000_000 - 97_430,
    });
    expect(books.by_reference.GW1!.codes.map(({ pin }) => pin)).toEqual(texts(outcome));
    expect(await simulated.readBalance!(wire)).toEqual({ amount_e4: 10_000_000 - 97_430, currency: 'CNY' });
    expect(await lookup(wire, purchase())).toMatchObject({ outcome: 'delivered', supplier_reference: '700001' });
    expect(texts(await lookup(wire, purchase()))).toEqual(texts(outcome));
    expect(await lookup(wire, purchase({ reference: 'GW2' }))).toMatchObject({ outcome: 'absent' });
  });
  test('a second simulator of the same name gives the same codes', async () => {
    const [one, two] = [await start({ name: 'twin' }), await start({ name: 'twin' })];
    const [left, right] = [await place(wireTo(one), purchase()), await place(wireTo(two), purchase())];
    expect(texts(left)).toHaveLength(2);
    expect(texts(left)).toEqual(texts(right));
  });
  test('a recharge has a receipt and takes stock', async () => {
    const simulator = await start();
    const wanted = purchase({ product: 'phone', kind: 'recharge', quantity: 2, recipient: { account: '13900001111' } });
    expect(await place(wireTo(simulator), wanted)).toMatchObject({ outcome: 'delivered', receipt: 'R700001' });
    expect(await place(wireTo(simulator), { ...wanted, reference: 'GW2' })).toMatchObject({
      outcome: 'refused',
      reason: 'out_of_stock',
    });
    expect(await place(wireTo(simulator), { ...wanted, reference: 'GW3', recipient: {} })).toMatchObject({
      reason: 'recipient_invalid',
    });
  });
  test('offers come in bounded pages', async () => {
    const products = Array.from({ length: 120 }, (_, at) => ({
      product: `p${at}`,
      kind: 'code' as const,
      cost_e4: at,
      stock: at % 7 || null,
    }));
    const wire = wireTo(await start({ products }));
    const seen: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const page: Awaited<ReturnType<NonNullable<Supplier['listOffers']>>> = await simulated.listOffers!(cursor, wire);
      seen.push(...page.offers.map(({ product }) => product));
      cursor = page.next;
      pages++;
    } while (cursor !== null && pages < 10);
    expect([pages, new Set(seen).size]).toEqual([3, 120]);
  });
  test('a stranger is refused, and so is a captured request', async () => {
    const simulator = await start();
    const stranger = { ...wireTo(simulator), credential: () => 'wrong' };
    expect(await place(stranger, purchase())).toMatchObject({ outcome: 'refused', reason: 'credentials' });
    const wire = { ...wireTo(simulator), nonce: () => 'always-the-same' };
    expect((await place(wire, purchase())).outcome).toBe('delivered');
    expect(await place(wire, purchase({ reference: 'GW2' }))).toMatchObject({
      outcome: 'refused',
      reason: 'credentials',
    });
    expect(simulator.books().orders).toBe(1);
  });
});

describe('a known reference', () => {
  test('returns the original, is rejected, or buys again, as the simulator was started', async () => {
    for (const [repeat, second, orders] of [
      ['returns_original', { outcome: 'delivered', supplier_reference: '700001' }, 1],
      ['is_rejected', { outcome: 'refused', reason: 'duplicate' }, 1],
      ['buys_again', { outcome: 'delivered', supplier_reference: '700002' }, 2],
    ] as const) {
      const simulator = await start({ repeat });
      const wire = wireTo(simulator);
      await place(wire, purchase());
      expect(await place(wire, purchase())).toMatchObject(second);
      expect([repeat, simulator.books().by_reference.GW1!.orders]).toEqual([repeat, orders]);
      expect(simulator.books().charged_e4).toBe(orders * 97_430);
    }
  });
});

/** Fault → what `place` concludes, how many orders the books hold, and what a lookup says then. */
interface Row {
  rule?: FaultRule;
  changes?: Partial<Purchase>;
  concludes: object;
  orders: 0 | 1;
  later: object;
}
const ABSENT = { outcome: 'absent' };
const DELIVERED = { outcome: 'delivered' };
const refuses = (reason: string): Row => ({ concludes: { outcome: 'refused', reason }, orders: 0, later: ABSENT });
const doubts = (doubt: string, more: Partial<Row> = {}): Row => ({
  concludes: { outcome: 'unknown', doubt },
  orders: 1,
  later: DELIVERED,
  ...more,
});
const ACCEPTS: Row = { concludes: { outcome: 'accepted' }, orders: 1, later: { outcome: 'accepted' } };
const DELIVERS: Row = { concludes: DELIVERED, orders: 1, later: DELIVERED };

const ROWS: Record<FaultName, Row> = {
  out_of_stock: refuses('out_of_stock'),
  maintenance: refuses('maintenance'),
  busy: refuses('busy'),
  float_low: refuses('float_low'),
  recipient_invalid: refuses('recipient_invalid'),
  credentials: refuses('credentials'),
  duplicate_reference: refuses('duplicate'),
  product_unknown: refuses('sku_unknown'),
  declined: refuses('declined'),
  accept_then_drop: doubts('reset'),
  bad_gateway: doubts('http_5xx'),
  empty_reply: doubts('unreadable'),
  garbage: doubts('unreadable'),
  unmapped: doubts('unmapped'),
  slow_drip: doubts('deadline', { rule: { after_ms: 60_000 } }),
  reset_after_body: doubts('reset'),
  hang: doubts('deadline'),
  no_codes: doubts('codes_missing'),
  late: ACCEPTS,
  callback_first: DELIVERS,
  callback_twice: DELIVERS,
  callback_forged: ACCEPTS,
  short: {
    concludes: { outcome: 'delivered', short: { units: 1 } },
    orders: 1,
    later: { outcome: 'delivered', short: { units: 1 } },
  },
  short_silent: doubts('codes_missing', { later: { outcome: 'unknown', doubt: 'codes_missing' } }),
  cost_changed: {
    changes: { cost_ceiling: { amount_e4: 97_430, currency: 'CNY' } },
    concludes: { outcome: 'refused', reason: 'cost_changed' },
    orders: 0,
    later: ABSENT,
  },
  reversed: { concludes: DELIVERED, orders: 1, later: { outcome: 'refused', reason: 'declined' } },
  repeated_codes: DELIVERS,
};

describe('every fault', () => {
  test.each(Object.keys(FAULTS) as FaultName[])('%s is concluded as it must be', async (name) => {
    const { rule = {}, changes = {}, concludes, orders, later } = ROWS[name];
    const simulator = await start();
    const wire = wireTo(simulator);
    simulator.fault(name, rule);
    expect(await place(wire, purchase(changes))).toMatchObject(concludes);
    expect(simulator.books().orders).toBe(orders);
    expect(await lookup(wire, purchase(changes))).toMatchObject(later);
    // Used up: the next purchase is honest.
    expect((await place(wire, purchase({ reference: 'GW2' }))).outcome).toBe('delivered');
  });

  test('faults of the reply may strike before anything was bought', async () => {
    for (const name of ['accept_then_drop', 'bad_gateway', 'empty_reply', 'hang'] as const) {
      const simulator = await start();
      const wire = wireTo(simulator);
      simulator.fault(name, { bought: false });
      expect(await place(wire, purchase())).toMatchObject({ outcome: 'unknown' });
      expect(await lookup(wire, purchase())).toMatchObject(ABSENT);
    }
  });
  test('a fault waits for its product, its account or its call, as often as told', async () => {
    const simulator = await start();
    const wire = wireTo(simulator);
    simulator.fault('out_of_stock', { product: 'phone' });
    simulator.fault('recipient_invalid', { account: '13900000000', times: 2 });
    simulator.fault('bad_gateway', { endpoint: 'lookup' });
    expect((await place(wire, purchase())).outcome).toBe('delivered');
    expect(await lookup(wire, purchase())).toMatchObject({ outcome: 'unknown', doubt: 'http_5xx' });
    const phone = purchase({
      reference: 'GW2',
      product: 'phone',
      kind: 'recharge',
      quantity: 1,
      recipient: { account: '13900000000' },
    });
    expect(await place(wire, phone)).toMatchObject({ reason: 'out_of_stock' });
    for (const _ of [1, 2]) expect(await place(wire, phone)).toMatchObject({ reason: 'recipient_invalid' });
    expect((await place(wire, phone)).outcome).toBe('delivered');
    expect(() => simulator.fault('flood')).toThrow('there is no fault "flood"');
  });
  test('an account may carry its own fault', async () => {
    const wire = wireTo(await start());
    const wanted = purchase({
      product: 'phone',
      kind: 'recharge',
      quantity: 1,
      recipient: { account: 'fault-busy-01' },
    });
    expect(await place(wire, wanted)).toMatchObject({ outcome: 'refused', reason: 'busy' });
  });
  test('a refused connection proves that nothing was bought, and the port comes back', async () => {
    const simulator = await start();
    const wire = wireTo(simulator);
    await simulator.stopListening();
    expect(await place(wire, purchase())).toMatchObject({ outcome: 'refused', reason: 'not_sent' });
    await simulator.listenAgain();
    expect((await place(wire, purchase())).outcome).toBe('delivered');
  });
  test('a silent call answers when released, and has bought once', async () => {
    const simulator = await start();
    const wire = wireTo(simulator);
    simulator.fault('hang');
    expect(await place(wire, purchase())).toMatchObject({ outcome: 'unknown', doubt: 'deadline' });
    expect(simulator.hanging).toBe(1);
    simulator.release();
    expect(simulator.hanging).toBe(0);
    expect(texts(await place(wire, purchase()))).toHaveLength(2);
    expect(simulator.books()).toMatchObject({ orders: 1, charged_e4: 97_430 });
  });
  test('a price above the ceiling is refused, and charged where no ceiling is named', async () => {
    const simulator = await start();
    simulator.fault('cost_changed', { cost_e4: 60_000 });
    expect(await place(wireTo(simulator), purchase())).toMatchObject({
      outcome: 'delivered',
      cost: { amount_e4: 120_000 },
    });
    expect(simulator.books().charged_e4).toBe(120_000);
  });
  test('codes given out twice are the same codes', async () => {
    const simulator = await start();
    const wire = wireTo(simulator);
    const first = texts(await place(wire, purchase()));
    simulator.fault('repeated_codes');
    expect(texts(await place(wire, purchase({ reference: 'GW2' })))).toEqual(first);
    expect(texts(await place(wire, purchase({ reference: 'GW3' })))).not.toEqual(first);
  });
  test('a short delivery that says so charges for no more', async () => {
    const simulator = await start();
    simulator.fault('short', { units: 2 });
    expect(await place(wireTo(simulator), purchase({ quantity: 5 }))).toMatchObject({
      outcome: 'delivered',
      short: { units: 2 },
    });
    expect(simulator.books()).toMatchObject({ units: 2, charged_e4: 97_430 });
  });
});

describe('callbacks', () => {
  test('a late delivery calls back with the codes, authenticated', async () => {
    const simulator = await start();
    const { came, url, until } = await receiver(simulator);
    simulator.fault('late');
    expect((await place(wireTo(simulator, url), purchase())).outcome).toBe('accepted');
    expect(simulator.deliver('GW1')).toBe(true);
    expect(simulator.deliver('GW1')).toBe(false);
    await until(1);
    expect(came[0]).toMatchObject({
      reference: 'GW1',
      supplier_reference: '700001',
      trust: 'authenticated',
      outcome: { outcome: 'delivered' },
    });
    expect(texts((came[0] as Callback).outcome)).toEqual(
      simulator.books().by_reference.GW1!.codes.map(({ pin }) => pin),
    );
    await simulator.settled();
    expect(simulator.callbacks).toEqual([
      expect.objectContaining({ event: 'order.delivered', status: 200, answer: 'received' }),
    ]);
  });
  test('a late delivery comes by itself after its time', async () => {
    const simulator = await start();
    const { came, url, until } = await receiver(simulator);
    simulator.fault('late', { after_ms: 5 });
    expect((await place(wireTo(simulator, url), purchase())).outcome).toBe('accepted');
    await until(1);
    expect(came[0]).toMatchObject({ outcome: { outcome: 'delivered' } });
  });
  test('a late failure gives the money back and says so', async () => {
    const simulator = await start();
    const { came, url, until } = await receiver(simulator);
    simulator.fault('late');
    await place(wireTo(simulator, url), purchase());
    expect(simulator.fail('GW1')).toBe(true);
    await until(1);
    expect(came[0]).toMatchObject({ outcome: { outcome: 'refused', reason: 'declined' } });
    expect(simulator.books()).toMatchObject({
      units: 0,
      charged_e4: 97_430,
      refunded_e4: 97_430,
      net_e4: 0,
      balance_e4: 10_000_000,
    });
  });
  test('it comes before the answer, or twice after it', async () => {
    const simulator = await start();
    const { came, url, until } = await receiver(simulator);
    simulator.fault('callback_first');
    await place(wireTo(simulator, url), purchase());
    expect(came).toHaveLength(1);
    simulator.fault('callback_twice');
    await place(wireTo(simulator, url), purchase({ reference: 'GW2' }));
    await until(3);
    expect(came.map((one) => 'reference' in one && one.reference)).toEqual(['GW1', 'GW2', 'GW2']);
  });
  test('one of a stranger is rejected', async () => {
    const simulator = await start();
    const { came, url, until } = await receiver(simulator);
    simulator.fault('callback_forged');
    await place(wireTo(simulator, url), purchase());
    await until(1);
    await simulator.settled();
    expect(came[0]).toMatchObject({ rejected: 'signature' });
    expect(simulator.callbacks).toEqual([expect.objectContaining({ forged: true, status: 401 })]);
    expect(simulator.books().by_reference.GW1!.status).toBe('accepted');
  });
  test('a reversal follows the delivery', async () => {
    const simulator = await start();
    const { came, url, until } = await receiver(simulator);
    simulator.fault('reversed');
    expect((await place(wireTo(simulator, url), purchase())).outcome).toBe('delivered');
    await until(1);
    expect(came[0]).toMatchObject({ outcome: { outcome: 'refused' } });
    expect(simulator.books()).toMatchObject({ units: 0, net_e4: 0 });
  });
  test('an address that nobody answers is remembered as unanswered', async () => {
    const simulator = await start();
    await place(wireTo(simulator, 'http://127.0.0.1:9/none'), purchase());
    await simulator.callBack('GW1');
    expect(simulator.callbacks).toEqual([expect.objectContaining({ reference: 'GW1', status: null })]);
    await expect(simulator.callBack('GW9')).rejects.toThrow('there is no order');
  });
});

describe('driven from another process', () => {
  const control = async (simulator: Simulator, order: object) => {
    const reply = await request(`${simulator.url}/_control`, { method: 'POST', body: JSON.stringify(order) });
    return { status: reply.statusCode, body: (await reply.body.json()) as Record<string, unknown> };
  };
  test('faults, deliveries, balance, products and the books', async () => {
    const simulator = await start();
    const wire = wireTo(simulator);
    expect(await control(simulator, { do: 'fault', fault: 'late', times: 1, product: 'gift' })).toEqual({
      status: 200,
      body: { done: true },
    });
    expect((await place(wire, purchase())).outcome).toBe('accepted');
    expect((await control(simulator, { do: 'deliver', reference: 'GW1' })).body).toEqual({ done: true });
    expect((await lookup(wire, purchase())).outcome).toBe('delivered');
    await control(simulator, { do: 'product', product: 'new', kind: 'code', cost_e4: 10, stock: 0 });
    expect(await place(wire, purchase({ reference: 'GW2', product: 'new' }))).toMatchObject({ reason: 'out_of_stock' });
    await control(simulator, { do: 'balance', amount_e4: 1 });
    expect(await place(wire, purchase({ reference: 'GW3' }))).toMatchObject({ reason: 'float_low' });
    const { body } = await request(`${simulator.url}/_control`);
    expect(await body.json()).toMatchObject({ books: { orders: 1, charged_e4: 97_430, balance_e4: 1 }, callbacks: [] });
    expect(await control(simulator, { do: 'dance' })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('use fault') },
    });
    expect(await control(simulator, { do: 'fault', fault: 'flood' })).toMatchObject({ status: 400 });
  });
});
