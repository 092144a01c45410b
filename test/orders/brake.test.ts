// Theft in bulk brakes itself while orders go on: a stolen key that empties a SKU's stock is stopped within a second or
// two, what suppliers deliver goes on, and a person is called.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
const LIMIT = 20;
const POOL = 1_000;

beforeEach(async () => {
  world = await makeWorld({ options: { vault_brake: { factor: 5, codes_min: LIMIT } } });
  await world.addSku('card', { quantity_max: 10 });
  await world.deposit(
    'card',
    Array.from({ length: POOL }, (_, at) => `C-${String(at).padStart(5, '0')}`),
  );
});
afterEach(() => world.close());

const brake = () => world.gateway.jobs.runNow('brake_vault');
const left = () => world.gateway.vault.available(world.database.read, 'card', POOL);

/** Orders so many a second, as fast as the key allows, with the job at its second. Returns how many codes were had. */
async function heist(orders_a_second: number, seconds: number): Promise<number> {
  let had = 0;
  for (let second = 0; second < seconds; second++) {
    for (let at = 0; at < orders_a_second; at++) {
      const { order } = await world.place({ sku: 'card' });
      if (order.state === 'delivered') had++;
    }
    world.clock.advance(1_000);
    await brake();
  }
  return had;
}

describe('a stolen key', () => {
  test.each([3, 10, 25])('at %i orders a second gets what is usual and one second more', async (speed) => {
    const had = await heist(speed, 30);
    expect(had).toBeGreaterThan(LIMIT);
    expect(had).toBeLessThanOrEqual(LIMIT + speed);
    expect(await left()).toBe(0);
    const { order } = await world.place({ sku: 'card' });
    expect(order).toMatchObject({ state: 'failed', reason: 'out_of_stock' });
  });

  test('is counted and told of once, however long it goes on', async () => {
    await heist(10, 20);
    const { body } = await world.gateway.metrics.render();
    expect(body).toMatch(/^kamigate_vault_brakes_total 1$/m);
    expect(await world.gateway.vault.control.freezes(world.database.read)).toMatchObject([
      { scope: 'sku', subject: 'card', frozen_by: 'vault' },
    ]);
  });

  test('that orders slowly is not told from a storefront', async () => {
    expect(await heist(2, 30)).toBe(60);
  });
});

test('what suppliers deliver goes on, and the stock is sold again when a person has lifted it', async () => {
  await heist(25, 2);
  await world.addSupplier('a');
  await world.addSource('card', 'a');
  const { order } = await world.place({ sku: 'card', quantity: 2 });
  expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
  expect((await world.attempts(order.order_id)).map(({ account, state }) => [account, state])).toEqual([
    ['vault', 'refused'],
    ['a', 'delivered'],
  ]);
  const { vault } = world.gateway;
  const [freeze] = await vault.control.freezes(world.database.read);
  await atomic(world.database, 'lift', (trx) =>
    vault.control.lift(trx, freeze!.freeze_id, { by: 'operator:li', reason: 'a sale' }),
  );
  world.clock.advance(11_000);
  await brake();
  expect((await world.place({ sku: 'card' })).order.state).toBe('delivered');
});

test('two orders as large as the SKU allows are no theft, and a storefront that reads its codes again is none', async () => {
  await world.addSku('bulk', { quantity_max: 50 });
  await world.deposit(
    'bulk',
    Array.from({ length: 200 }, (_, at) => `B-${at}`),
  );
  const orders = [];
  for (let at = 0; at < 2; at++) orders.push((await world.place({ sku: 'bulk', quantity: 50 })).order);
  for (const { order_id } of [...orders, ...orders, ...orders]) await world.codes(order_id);
  await brake();
  expect(await world.gateway.vault.control.freezes(world.database.read)).toEqual([]);
  await world.place({ sku: 'bulk', quantity: 1 });
  await brake();
  expect(await world.gateway.vault.control.freezes(world.database.read)).toMatchObject([{ subject: 'bulk' }]);
});

test('another SKU is not touched', async () => {
  await world.addSku('other');
  await world.deposit('other', ['O-1']);
  await heist(25, 2);
  expect((await world.place({ sku: 'other' })).order.state).toBe('delivered');
});

test('two processes that see it at once freeze it once', async () => {
  const other = world.another();
  for (let at = 0; at <= LIMIT; at++) await world.place({ sku: 'card' });
  await Promise.all([brake(), other.jobs.runNow('brake_vault')]);
  expect(await world.gateway.vault.control.freezes(world.database.read)).toHaveLength(1);
});
