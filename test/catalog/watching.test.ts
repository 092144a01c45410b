// Suppliers that tell only of products they were asked to watch: each source's product is asked for once.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { ShopProduct } from '../../adapters/kit/shop.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
const product = (at: number): ShopProduct => ({
  product: String(1_000 + at),
  kind: 'code',
  cost_e4: 50_000,
  stock: 9,
  name: `Card ${at}`,
});

beforeEach(async () => {
  world = await makeWorld();
  const products = Array.from({ length: 130 }, (_, at) => product(at));
  await world.addSupplier('kky', {
    simulator: { protocol: 'kakayun', products },
    // The protocol's own limit spaces calls by real time, which is not what is tested.
    limits: { requests: null },
  });
  await world.addSku('card', { vault_rank: 'never' });
});
afterEach(() => world.close());

const watch = () => world.gateway.jobs.runNow('watch_offers');
const unwatched = async (): Promise<number> =>
  (await world.database.read('sources').where({ account: 'kky' }).whereNull('watched_at')).length;

test('every source is asked for, a hundred at a time, and then no more', async () => {
  for (let at = 0; at < 130; at++) await world.addSource('card', 'kky', { product: product(at).product });
  expect(await watch()).toBe(100);
  expect(await watch()).toBe(30);
  expect(await unwatched()).toBe(0);
  expect(await watch()).toBe(0);
});

test('what they refuse is asked for again, and nothing is believed meanwhile', async () => {
  await world.addSource('card', 'kky', { product: 'no-such-goods' });
  expect(await watch()).toBe(0);
  expect(await unwatched()).toBe(1);
  await world.database
    .write('sources')
    .where({ account: 'kky' })
    .update({ product: product(3).product });
  expect(await watch()).toBe(1);
});

test('a source that is off, an account that is paused, and a supplier that tells unasked are not asked for', async () => {
  await world.addSupplier('a');
  await world.addSource('card', 'a', { product: 'code-10' });
  const off = await world.addSource('card', 'kky', { product: product(1).product });
  await world.database.write('sources').where({ source: off }).update({ is_enabled: 0 });
  expect(await watch()).toBe(0);
  await world.database.write('sources').where({ source: off }).update({ is_enabled: 1 });
  await world.database.write('accounts').where({ account: 'kky' }).update({ paused_at: 1 });
  expect(await watch()).toBe(0);
  await world.database.write('accounts').where({ account: 'kky' }).update({ paused_at: null });
  expect(await watch()).toBe(1);
});
