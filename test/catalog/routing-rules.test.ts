// The routing rules that the catalog feeds: an unapproved cost, an old offer, another currency, a float near its end.
// Each by itself on plain candidates, and then with real orders.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { simulated, simulatedLike } from '../../adapters/simulated.js';
import { setRate } from '../../src/catalog/currencies.js';
import { type Candidate, costCeiling, RULES, rankCandidates } from '../../src/orders/routing.js';
import { CANDIDATE, WANT } from '../kit/candidates.js';
import { makeWorld, type World } from '../kit/world.js';

function keeps(rule: string, candidate: Partial<Candidate>): boolean {
  return RULES.find(({ name }) => name === rule)!.keeps({ ...CANDIDATE, ...candidate }, WANT);
}

describe('cost_settled', () => {
  test.each([
    ['settled', false, true],
    ['pending', false, false],
    ['pending', true, true],
    ['rejected', false, false],
    ['rejected', true, true],
    ['expired', false, false],
    ['expired', true, false],
  ] as const)('%s with a ceiling held upstream %s: %s', (cost_state, has_cost_guard, kept) => {
    expect(keeps('cost_settled', { cost_state, has_cost_guard })).toBe(kept);
  });
});

test('fresh: an old offer is bought from only where the supplier holds the ceiling', () => {
  expect(keeps('fresh', { is_fresh: false })).toBe(false);
  expect(keeps('fresh', { is_fresh: false, has_cost_guard: true })).toBe(true);
  expect(keeps('fresh', { is_fresh: true })).toBe(true);
});

test('cost_covered: up to the price, in its own currency, and never without a rate', () => {
  expect(keeps('cost_covered', { cost_e4: 100_000 })).toBe(true);
  expect(keeps('cost_covered', { cost_e4: 100_001 })).toBe(false);
  expect(keeps('cost_covered', { price_cap_e4: null, cost_compared_e4: null })).toBe(false);
});

test('float_enough: what is left must cover the attempt’s ceiling', () => {
  const ceiling = costCeiling(CANDIDATE, WANT);
  expect(ceiling).toBe(199_920);
  expect(keeps('float_enough', { float_left_e4: ceiling })).toBe(true);
  expect(keeps('float_enough', { float_left_e4: ceiling - 1 })).toBe(false);
  expect(keeps('float_enough', { float_left_e4: null })).toBe(true);
});

test('the ceiling has a little room and ends at the price, in the candidate’s currency', () => {
  expect(costCeiling({ ...CANDIDATE, cost_e4: 99_000 }, WANT)).toBe(200_000);
  expect(costCeiling({ ...CANDIDATE, cost_e4: 13_000, currency: 'USD', price_cap_e4: 13_100 }, WANT)).toBe(26_200);
});

test('candidates are ranked by what they cost in the order’s currency', () => {
  const dollars = {
    ...CANDIDATE,
    source: 'usd',
    cost_e4: 13_000,
    currency: 'USD',
    cost_compared_e4: 93_600,
    price_cap_e4: 13_888,
  };
  expect(rankCandidates([CANDIDATE, dollars], WANT).ranked.map(({ source }) => source)).toEqual(['usd', 'src_1']);
});

describe('with real orders', () => {
  let world: World;
  beforeEach(async () => {
    const trusting = simulatedLike('trusting', { cost_guard: false });
    const { listOffers: _, ...unlisted } = simulatedLike('unlisted', { cost_guard: false });
    const adapters: Record<string, typeof simulated> = { simulated, trusting, unlisted };
    world = await makeWorld({ supplierFor: (adapter) => adapters[adapter]! });
    await world.addSku('card', { vault_rank: 'never' });
  });
  afterEach(async () => {
    await world.close();
  });

  async function buy(): Promise<{ state: string; skipped: string }> {
    const { order } = await world.place({ sku: 'card' });
    const { state } = await world.runUntilRest(order.order_id);
    const events = await world.events(order.order_id);
    const { skipped } = JSON.parse(
      events.find(({ type }) => type === 'sources_exhausted' || type === 'attempt_planned')!.data,
    ) as {
      skipped: { account: string; rule: string }[];
    };
    const of_suppliers = skipped.filter(({ account }) => account !== 'vault');
    return { state, skipped: of_suppliers.map(({ account, rule }) => `${account}: ${rule}`).join() };
  }

  test('an old offer of a supplier that takes no ceiling is left out until it is read again', async () => {
    await world.addSupplier('b', { adapter: 'trusting' });
    await world.addSource('card', 'b');
    world.clock.advance(2 * 3_600_000 + 1);
    expect(await buy()).toEqual({ state: 'failed', skipped: 'b: fresh' });
    await world.gateway.jobs.runNow('sweep_offers');
    expect(await buy()).toEqual({ state: 'delivered', skipped: '' });
  });

  test('a SKU’s own limit counts, and a supplier that lists nothing is exempt', async () => {
    await world.database.write('skus').where({ sku: 'card' }).update({ stale_after_ms: 60_000 });
    await world.addSupplier('b', { adapter: 'trusting' });
    await world.addSupplier('c', { adapter: 'unlisted' });
    await world.addSource('card', 'b', { priority: 1 });
    await world.addSource('card', 'c', { priority: 2 });
    world.clock.advance(60_001);
    expect(await buy()).toEqual({ state: 'delivered', skipped: 'b: fresh' });
    expect(world.simulators.c!.books().orders).toBe(1);
  });

  test('a source in another currency is bought at the rate, under a ceiling in its own currency', async () => {
    const simulator = await world.addSupplier('usd', {
      simulator: { currency: 'USD', products: [{ product: 'code-10', kind: 'code', cost_e4: 13_600, stock: null }] },
    });
    const source = await world.addSource('card', 'usd', { cost_e4: 13_600 });
    await world.database.write('sources').where({ source }).update({ currency: 'USD' });
    expect(await buy()).toEqual({ state: 'failed', skipped: 'usd: cost_covered' });
    const rate = { currency: 'USD', base: 'CNY', by: 'Li', as_of: world.clock.now() };
    await setRate(world.database, { ...rate, rate: '7.20' }, world.clock.now());
    expect(await buy()).toEqual({ state: 'delivered', skipped: '' });
    const attempt = await world.database.read('attempts').first();
    // 13_600 and 2 % are 13_872; the storefront's 10 yuan are 13_888 at 7.20.
    expect(attempt).toMatchObject({ cost_ceiling_e4: 13_872, cost_e4: 13_600, currency: 'USD' });
    expect(simulator.books().charged_e4).toBe(13_600);
    // At 7.36 the same dollars cost more than the storefront pays; a week later no rate is young enough.
    await setRate(world.database, { ...rate, rate: '7.36' }, world.clock.now());
    expect(await buy()).toEqual({ state: 'failed', skipped: 'usd: cost_covered' });
    await setRate(world.database, { ...rate, rate: '7.20' }, world.clock.now());
    world.clock.advance(8 * 24 * 3_600_000);
    expect(await buy()).toEqual({ state: 'failed', skipped: 'usd: cost_covered' });
  });
});
