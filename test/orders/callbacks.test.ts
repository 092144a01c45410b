// Messages from suppliers: a thousand that cross two orders, two accounts, or come again change nothing; each is kept,
// sealed, and counted.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { signedHeaders } from '../../adapters/kit/counter.js';
import type { AttemptRow } from '../../src/orders/store.js';
import { makeWorld, type World } from '../kit/world.js';

const ORDERS = 10;
let world: World;
let attempts: AttemptRow[];

beforeEach(async () => {
  world = await makeWorld({ options: { public_url: 'http://127.0.0.1:9' } });
  await world.addSku('airtime', { kind: 'recharge' });
  for (const account of ['a', 'b']) {
    await world.addSupplier(account, {
      simulator: { app_key: `key-${account}`, app_secret: `secret-of-${account}-0123456789` },
    });
    await world.addSource('airtime', account, { priority: account === 'a' ? 1 : 2 });
  }
  world.simulators.a!.fault('late', { times: ORDERS });
  for (let at = 0; at < ORDERS; at++)
    await world.place({ sku: 'airtime', recipient: { account: `1390000${1000 + at}` } });
  await world.idle();
  attempts = (await world.database.read('attempts').orderBy('attempt_id')) as AttemptRow[];
  expect(attempts.map((attempt) => attempt.state)).toEqual(Array.from({ length: ORDERS }, () => 'accepted'));
});
afterEach(async () => {
  await world.close();
});

/** A message as the supplier of `account` would sign it. */
function signed(account: 'a' | 'b', order: object, nonce: string) {
  const url = `/callbacks/${account}`;
  const body = JSON.stringify({ event: 'order', order });
  const simulator = world.simulators[account]!;
  const headers = signedHeaders(simulator.app_secret, {
    app_key: simulator.app_key,
    method: 'POST',
    path: url,
    now: world.clock.now(),
    nonce,
    body,
  });
  return { headers: { 'content-type': 'application/json', ...headers }, body: Buffer.from(body), url };
}

const delivered = (attempt: AttemptRow, order_id: string | null) => ({
  reference: attempt.reference,
  order_id,
  status: 'delivered',
  quantity: 1,
  delivered_units: 1,
  cost: '9.7500',
  currency: 'CNY',
  codes: [],
  receipt: 'R-1',
});

async function snapshot(): Promise<unknown> {
  const columns = ['attempt_id', 'state', 'settled_by', 'supplier_reference', 'cost_e4'];
  return [
    await world.database.read('orders').select('order_id', 'state', 'version').orderBy('order_id'),
    await world.database.read('attempts').select(columns).orderBy('attempt_id'),
  ];
}

test('a thousand crossed, misdirected and repeated messages change nothing', async () => {
  const before = await snapshot();
  for (let at = 0; at < 500; at++) {
    const one = attempts[at % ORDERS]!;
    const other = attempts[(at + 1 + Math.floor(at / ORDERS)) % ORDERS]!;
    const crossed = one === other ? 'SIM-OF-NOBODY' : other.supplier_reference;
    // Our reference of one order with their number of another, rightly signed.
    await world.gateway.receiveCallback('a', signed('a', delivered(one, crossed), `nonce-crossed-${at}`));
    // Rightly signed by supplier b, about an order of supplier a.
    await world.gateway.receiveCallback('b', signed('b', delivered(one, one.supplier_reference), `nonce-other-${at}`));
  }
  await world.idle();
  expect(await snapshot()).toEqual(before);
  const kept = (await world.database.read('callbacks').select('result').count({ n: '*' }).groupBy('result')) as {
    result: string;
    n: number;
  }[];
  expect(Object.fromEntries(kept.map(({ result, n }) => [result, Number(n)]))).toEqual({
    crossed: expect.any(Number),
    unknown_order: ORDERS,
  });
});

test('the right message settles its order once, however often it comes', async () => {
  const attempt = attempts[0]!;
  const message = signed('a', delivered(attempt, attempt.supplier_reference), 'nonce-right-0');
  await Promise.all(Array.from({ length: 50 }, () => world.gateway.receiveCallback('a', message)));
  const settled = await snapshot();
  for (let at = 0; at < 450; at++) await world.gateway.receiveCallback('a', message);
  expect(await snapshot()).toEqual(settled);
  expect(await world.order(attempt.order_id)).toMatchObject({ state: 'delivered', delivered_quantity: 1 });
  expect((await world.attempts(attempt.order_id))[0]).toMatchObject({
    state: 'delivered',
    settled_by: 'callback',
    cost_e4: 97_500,
  });
  expect(await world.database.read('callbacks').count({ n: '*' }).first()).toEqual({ n: 1 });
});
