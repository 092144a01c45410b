// Suggestions for unmapped products: what fits and why, what speaks against, and a person's word on it.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Offer } from '../../adapters/kit/contract.js';
import { acceptMapping, dismissProduct, listUnmapped } from '../../src/catalog/suggestions.js';
import { listOffer } from '../kit/offers.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
beforeEach(async () => {
  world = await makeWorld();
  await world.addSupplier('a');
  await addSku('STEAM-CN-50', 'Steam 钱包充值卡 50元', {
    brand: 'Steam',
    region: 'CN',
    face_value_e4: 500_000,
    face_currency: 'CNY',
  });
  await addSku('STEAM-CN-100', 'Steam 钱包充值卡 100元', {
    brand: 'Steam',
    region: 'CN',
    face_value_e4: 1_000_000,
    face_currency: 'CNY',
  });
  await addSku('STEAM-US-50', 'Steam Wallet 50 USD', {
    brand: 'Steam',
    region: 'US',
    face_value_e4: 500_000,
    face_currency: 'USD',
  });
  await addSku('VIDEO-MONTH', '腾讯视频会员 月卡', {});
});
afterEach(async () => {
  await world.close();
});

async function addSku(sku: string, name: string, cells: object): Promise<void> {
  await world.addSku(sku, { vault_rank: 'never' });
  await world.database
    .write('skus')
    .where({ sku })
    .update({ name, ...cells });
}

async function listed(product: string, name: string, more: Partial<Offer> = {}): Promise<void> {
  const cost = { amount_e4: 480_000, currency: 'CNY' };
  await listOffer(world, 'a', {
    product,
    name,
    kind: 'code',
    cost,
    stock: 5,
    available: true,
    ...more,
  });
}

const suggested = async (product: string) =>
  (await listUnmapped(world.database.read, { limit: 50 }))
    .find((row) => row.product === product)
    ?.suggestions.map(({ sku }) => sku);

describe('a suggestion', () => {
  test('follows face value, brand and region, and says so', async () => {
    await listed('1', 'STEAM卡', { brand: 'steam', region: 'cn', face_value: { amount_e4: 500_000, currency: 'CNY' } });
    const [row] = await listUnmapped(world.database.read, { account: 'a', limit: 10 });
    expect(row!.suggestions).toHaveLength(1);
    expect(row!.suggestions[0]).toMatchObject({ sku: 'STEAM-CN-50' });
    expect(row!.suggestions[0]!.because.slice(0, 3)).toEqual([
      'the same face value, 50 CNY',
      'the same brand, Steam',
      'the same region, CN',
    ]);
  });

  test('reads denominations and words from the name where nothing else is said', async () => {
    await listed('1', 'steam钱包充值卡 １００元 自动发货');
    expect((await suggested('1'))?.[0]).toBe('STEAM-CN-100');
    expect(await suggested('1')).not.toContain('STEAM-CN-50');
  });

  test('finds Chinese names that differ a little', async () => {
    await listed('1', '腾讯视频VIP会员月卡');
    expect(await suggested('1')).toEqual(['VIDEO-MONTH']);
  });

  test.each([
    ['another face value', { face_value: { amount_e4: 200_000, currency: 'CNY' } }],
    ['another currency', { face_value: { amount_e4: 500_000, currency: 'EUR' } }],
    ['another kind', { kind: 'recharge' as const }],
    ['another brand', { brand: 'Razer', face_value: { amount_e4: 500_000, currency: 'CNY' } }],
  ])('is not made against %s', async (_, more) => {
    await listed('1', 'Steam 钱包充值卡 50元', more);
    expect(await suggested('1')).not.toContain('STEAM-CN-50');
  });

  test('is not made for what has nothing in common', async () => {
    await listed('1', 'Spotify Premium');
    expect(await suggested('1')).toEqual([]);
  });
});

describe('a person', () => {
  test('accepts: the source is bought from once the sweep has judged its cost', async () => {
    await listed('code-10', 'Gift code 10');
    const { source } = await acceptMapping(
      world.database,
      { account: 'a', product: 'code-10', sku: 'VIDEO-MONTH', by: 'Li' },
      world.clock.now(),
    );
    expect(await suggested('code-10')).toBeUndefined();
    expect(await world.database.read('sources').where({ source }).first()).toMatchObject({
      accepted_by: 'Li',
      cost_e4: null,
    });
    world.clock.advance(1_000);
    await world.gateway.jobs.runNow('sweep_offers');
    expect(await world.database.read('sources').where({ source }).first()).toMatchObject({
      cost_e4: 98_000,
      currency: 'CNY',
    });
    const { order } = await world.place({ sku: 'VIDEO-MONTH' });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
  });

  test('dismisses: it is not suggested again, though it changes', async () => {
    await listed('1', 'Steam 钱包充值卡 50元');
    await dismissProduct(world.database, { account: 'a', product: '1', by: 'Li' }, world.clock.now());
    world.clock.advance(1_000);
    await listed('1', 'Steam 钱包充值卡 50元 new');
    expect(await suggested('1')).toBeUndefined();
  });

  test.each([
    ['a product that is not listed', { product: 'x', sku: 'VIDEO-MONTH', by: 'Li' }, 'not_found'],
    ['a SKU that is not there', { product: '1', sku: 'none', by: 'Li' }, 'not_found'],
    ['a SKU of the other kind', { product: 'r', sku: 'VIDEO-MONTH', by: 'Li' }, 'validation_failed'],
    ['nobody’s word', { product: '1', sku: 'VIDEO-MONTH', by: ' ' }, 'validation_failed'],
  ])('cannot accept %s', async (_, wanted, code) => {
    await listed('1', 'Steam 钱包充值卡 50元');
    await listed('r', 'Phone 50', { kind: 'recharge' });
    await expect(acceptMapping(world.database, { account: 'a', ...wanted }, world.clock.now())).rejects.toMatchObject({
      code,
    });
  });

  test('cannot accept twice', async () => {
    await listed('1', 'Steam 钱包充值卡 50元');
    const wanted = { account: 'a', product: '1', sku: 'STEAM-CN-50', by: 'Li' };
    await acceptMapping(world.database, wanted, world.clock.now());
    await expect(acceptMapping(world.database, wanted, world.clock.now())).rejects.toMatchObject({ code: 'conflict' });
  });
});
