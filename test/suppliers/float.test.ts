// Prepaid balances against a simulated supplier whose books are the truth: read, expected, reserved, warned about.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Simulator } from '../../adapters/simulator.js';
import { atomic } from '../../src/db/atomic.js';
import { readAccountEvents } from '../../src/suppliers/events.js';
import { countFloats, type FloatRow, listFloats } from '../../src/suppliers/float.js';
import { makeWorld, type World } from '../kit/world.js';

const HOUR = 3_600_000;
let world: World;
let simulator: Simulator;

beforeEach(async () => {
  world = await makeWorld();
  simulator = await world.addSupplier('a', { simulator: { balance_e4: 10_000_000 } });
  await world.addSku('card', { vault_rank: 'never', attempts_max: 1 });
  await world.addSource('card', 'a');
});
afterEach(async () => {
  await world.close();
});

const read = () => world.gateway.jobs.runNow('read_floats');
const row = async (): Promise<FloatRow> =>
  (await world.database.read('floats').where({ account: 'a' }).first()) as FloatRow;
const floats = () => listFloats(world.database.read, { now: world.clock.now(), target_days: 3 });
const types = async () => (await readAccountEvents(world.database.read, 'a', 10)).map(({ type }) => type);

describe('reading', () => {
  test('happens once a minute, in one process', async () => {
    const other = world.another();
    expect((await read()) + (await other.jobs.runNow('read_floats'))).toBe(1);
    expect(await row()).toMatchObject({
      balance_e4: 10_000_000,
      currency: 'CNY',
      read_at: world.clock.now(),
      failures: 0,
    });
    world.clock.advance(59_999);
    expect(await read()).toBe(0);
    world.clock.advance(1);
    expect(await read()).toBe(1);
  });

  test('that fails keeps the last balance, and is tried again later and later', async () => {
    await read();
    simulator.fault('garbage', { endpoint: 'balance', times: 2 });
    world.clock.advance(60_000);
    expect(await read()).toBe(0);
    expect(await row()).toMatchObject({ balance_e4: 10_000_000, failures: 1 });
    world.clock.advance(60_000);
    await read();
    const { failures, next_at } = await row();
    expect([failures, next_at - world.clock.now()]).toEqual([2, 120_000]);
    world.clock.advance(120_000);
    expect(await read()).toBe(1);
    expect(await row()).toMatchObject({ failures: 0 });
  });
});

describe('the expected balance', () => {
  test('is what was read, less what was bought since, less what open attempts may cost', async () => {
    await read();
    world.clock.advance(120_000);
    const { order } = await world.place({ sku: 'card', quantity: 2 });
    await world.runUntilRest(order.order_id);
    simulator.fault('late');
    await world.place({ sku: 'card' });
    await world.idle();
    // Two units at 9.80 delivered; one accepted under a ceiling of 9.996.
    expect(await floats()).toMatchObject([
      { balance_e4: 10_000_000, reserved_e4: 196_000 + 99_960, expected_e4: 9_704_040 },
    ]);
    world.clock.advance(120_000);
    await read();
    // Both are in the reading by now.
    expect(await floats()).toMatchObject([{ balance_e4: 9_706_000, reserved_e4: 0 }]);
  });

  test('holds back for a purchase of unknown fate, however old', async () => {
    await read();
    world.clock.advance(120_000);
    simulator.fault('hang');
    const placed = await world.place({ sku: 'card' });
    await world.idle();
    expect(await world.attempts(placed.order.order_id)).toMatchObject([{ state: 'unknown' }]);
    world.clock.advance(10 * 60_000);
    await read();
    expect(await floats()).toMatchObject([{ reserved_e4: 99_960 }]);
    simulator.release();
  });
});

describe('routing', () => {
  test('leaves the account before it runs dry: no order is placed that the float does not cover', async () => {
    simulator.setBalance(99_960 * 10 + 5_000);
    await read();
    world.clock.advance(120_000);
    const placed = await Promise.all(Array.from({ length: 40 }, () => world.place({ sku: 'card' })));
    const orders = await Promise.all(placed.map(({ order }) => world.runUntilRest(order.order_id)));
    expect(orders.filter(({ state }) => state === 'delivered')).toHaveLength(10);
    expect(await world.database.read('attempts').count({ n: '*' }).first()).toEqual({ n: 10 });
    const last = await world.database.read('order_events').where({ type: 'sources_exhausted' }).first();
    expect((last as { data: string }).data).toContain('float_enough');
    // The supplier never had to say no, so the account is open.
    expect(await world.database.read('accounts').where({ account: 'a' }).first()).toMatchObject({ paused_at: null });
  });

  test('two processes planning at once never count on the same money', async () => {
    simulator.setBalance(99_960 * 10 + 5_000);
    await read();
    world.clock.advance(120_000);
    const other = world.another();
    const request = (at: number) => ({
      external_id: `x-${at}`,
      sku: 'card',
      quantity: 1,
      recipient: null,
      max_unit_price_e4: null,
      currency: null,
      allow_partial: false,
      deliver_before: null,
      callback_url: null,
      metadata: null,
    });
    await Promise.all(
      Array.from({ length: 40 }, (_, at) =>
        (at % 2 ? world.gateway : other).orders.place({ storefront: 'mall', request: request(at) }),
      ),
    );
    await world.idle();
    expect(simulator.books().orders).toBe(10);
    expect(await world.database.read('attempts').count({ n: '*' }).first()).toEqual({ n: 10 });
  });

  test('keeps the least balance that the operator wants there', async () => {
    await world.database.write('accounts').where({ account: 'a' }).update({ float_min_e4: 9_850_000 });
    await read();
    const question = [{ account: 'a', currency: 'CNY', ceiling_e4: 99_960 }];
    const left = await atomic(world.database, 'test', (trx) => countFloats(trx, question, world.clock.now()));
    expect(left.get('a')).toBe(150_000);
  });

  test('counts nothing where there is plenty, where the currency is another, or where the reading is old', async () => {
    simulator.setBalance(10_000_000_000);
    await read();
    const count = (currency: string, now = world.clock.now()) =>
      atomic(world.database, 'test', (trx) => countFloats(trx, [{ account: 'a', currency, ceiling_e4: 99_960 }], now));
    expect((await count('CNY')).size).toBe(0);
    world.clock.advance(60_000);
    simulator.setBalance(500_000);
    await read();
    expect((await count('CNY')).get('a')).toBe(500_000);
    expect((await count('USD')).size).toBe(0);
    expect((await count('CNY', world.clock.now() + HOUR)).size).toBe(0);
  });
});

describe('runway', () => {
  /** Spends this much an hour for six hours. */
  async function spend(an_hour_e4: number): Promise<void> {
    let balance_e4 = 10_000_000;
    await read();
    for (let hour = 0; hour < 6; hour++) {
      world.clock.advance(HOUR);
      balance_e4 -= an_hour_e4;
      simulator.setBalance(balance_e4);
      await read();
    }
  }

  test('is what is left at the pace of the last six hours, and is warned about once', async () => {
    await spend(1_000_000);
    const [float] = await floats();
    expect(float).toMatchObject({
      balance_e4: 4_000_000,
      spent_24h_e4: 6_000_000,
      spent_7d_e4: 6_000_000,
      warned: 'low',
    });
    expect(float!.runway_h!).toBeCloseTo(4, 5);
    world.clock.advance(60_000);
    await read();
    expect(await types()).toEqual(['float_low']);
  });

  test('turns critical, and recovers with a top-up, which is kept', async () => {
    await spend(1_400_000);
    expect(await row()).toMatchObject({ warned: 'critical' });
    simulator.setBalance(60_000_000);
    world.clock.advance(60_000);
    await read();
    expect(await row()).toMatchObject({ warned: 'none' });
    expect(await types()).toEqual(['float_rose', 'float_recovered', 'float_critical', 'float_low']);
  });

  test('is not told while nothing is spent', async () => {
    await read();
    expect(await floats()).toMatchObject([{ runway_h: null, top_up_e4: 0, warned: 'none' }]);
  });

  test('the top-up list names what brings the account to its days, the shortest runway first', async () => {
    await world.addSupplier('b');
    await spend(1_000_000);
    const list = await floats();
    expect(list.map(({ account }) => account)).toEqual(['a', 'b']);
    // Six million in the six hours that were watched are 24 million a day, for three days, less four million.
    expect(list[0]!.top_up_e4).toBe(68_000_000);
  });
});
