// The figures of the database as gauges: right, by one elected process, and gone when they would lie.
import { afterEach, expect, test } from '@jest/globals';
import type { Gateway } from '../../src/main.js';
import { QUEUES } from '../../src/metric-words.js';
import { makeWorld, type World } from '../kit/world.js';
import { readScrape, type Scrape } from './scrape.js';

let world: World;
afterEach(() => world.close());

async function scrape(gateway: Gateway): Promise<Scrape> {
  return readScrape((await gateway.metrics.render()).body);
}
async function refreshed(gateway: Gateway): Promise<Scrape> {
  await gateway.jobs.runNow('gauges');
  return scrape(gateway);
}

test('open orders, unknown attempts and due work are counted, with the time of the oldest', async () => {
  world = await makeWorld();
  const alpha = await world.addSupplier('alpha');
  await world.addSupplier('beta');
  await world.addSku('top-up', { kind: 'recharge' });
  await world.addSource('top-up', 'alpha');
  alpha.fault('hang', { times: 1 });
  alpha.fault('bad_gateway', { times: 9, endpoint: 'lookup' });
  const began_at = world.clock.now();
  await world.place({ sku: 'top-up', recipient: { account: '13900001111' } });
  await world.idle();
  alpha.release();
  world.clock.advance(3_600_000 - 1);
  const before = await refreshed(world.gateway);
  expect(before.value('kamigate_orders_open', { state: 'sourcing' })).toBe(1);
  expect(before.value('kamigate_orders_open', { state: 'held' })).toBe(0);
  expect(before.value('kamigate_orders_open_oldest_timestamp_seconds', { state: 'sourcing' })).toBe(began_at / 1_000);
  expect(before.value('kamigate_unknown_outcomes', { supplier: 'alpha' })).toBe(1);
  expect(before.value('kamigate_unknown_outcomes', { supplier: 'beta' })).toBe(0);
  expect(before.value('kamigate_unknown_outcome_oldest_timestamp_seconds', { supplier: 'alpha' })).toBe(
    began_at / 1_000,
  );
  expect(before.value('kamigate_unknown_outcome_oldest_timestamp_seconds', { supplier: 'beta' })).toBe(0);
  expect(before.value('kamigate_jobs_pending', { queue: 'look_up' })).toBe(1);
  expect(before.value('kamigate_jobs_oldest_timestamp_seconds', { queue: 'resume_orders' })).toBe(0);
  expect(before.value('kamigate_orders_unsent_oldest_timestamp_seconds')).toBe(0);
  expect(before.value('kamigate_leader', { role: 'exporter' })).toBe(1);

  world.clock.advance(60_000);
  await world.gateway.jobs.runNow('resume_orders');
  const after = await refreshed(world.gateway);
  expect(after.value('kamigate_orders_open', { state: 'sourcing' })).toBe(0);
  expect(after.value('kamigate_orders_open', { state: 'held' })).toBe(1);
});

test('an order that nobody takes up shows as unsent', async () => {
  world = await makeWorld();
  await world.addSupplier('alpha');
  await world.addSku('top-up', { kind: 'recharge' });
  await world.addSource('top-up', 'alpha');
  const { order } = await world.place({ sku: 'top-up', recipient: { account: '13900001111' } });
  await world.idle();
  const stuck = { state: 'sourcing', completed_at: null, due_at: world.clock.now() };
  await world.database
    .write('orders')
    .where({ order_id: order.order_id })
    .update({ ...stuck, delivered_quantity: 0 });
  world.clock.advance(900_000);
  const { value } = await refreshed(world.gateway);
  expect(value('kamigate_orders_unsent_oldest_timestamp_seconds')).toBeGreaterThan(0);
  expect(value('kamigate_jobs_oldest_timestamp_seconds', { queue: 'resume_orders' })).toBe(stuck.due_at / 1_000);
});

test('sources, stock and losing SKUs are counted as routing would see them', async () => {
  world = await makeWorld();
  await world.addSupplier('alpha');
  await world.addSupplier('beta');
  for (const sku of ['none', 'one', 'three', 'losing', 'low']) await world.addSku(sku, { price_e4: 100_000 });
  await world.addSource('one', 'alpha');
  await world.addSource('three', 'alpha');
  await world.addSource('three', 'alpha', { product: 'other' });
  await world.addSource('three', 'beta');
  await world.addSource('three', 'beta', { product: 'sold-out', stock: 0 });
  await world.addSource('losing', 'beta', { cost_e4: 120_000 });
  await world.deposit('low', ['L-1', 'L-2'], 50_000);
  await world.database
    .write('accounts')
    .where({ account: 'beta' })
    .update({ paused_at: 1, paused_reason: 'float_low' });
  const { value, samples } = await refreshed(world.gateway);
  // `losing` has beta alone, which is paused; `low` has the vault.
  expect(value('kamigate_skus_by_live_sources', { sources: '0' })).toBe(2);
  expect(value('kamigate_skus_by_live_sources', { sources: '1' })).toBe(2);
  expect(value('kamigate_skus_by_live_sources', { sources: '2' })).toBe(1);
  expect(value('kamigate_skus_by_live_sources', { sources: '3plus' })).toBe(0);
  expect(value('kamigate_margin_negative_skus')).toBe(1);
  expect(value('kamigate_offers', { supplier: 'beta', status: 'out_of_stock' })).toBe(1);
  expect(value('kamigate_supplier_enabled', { supplier: 'beta' })).toBe(0);
  expect(value('kamigate_supplier_circuit_state', { supplier: 'beta' })).toBe(3);
  expect(value('kamigate_supplier_circuit_state', { supplier: 'alpha' })).toBe(0);
  expect(value('kamigate_vault_skus', { stock_status: 'untracked' })).toBe(4);
  expect(value('kamigate_vault_skus', { stock_status: 'low' })).toBe(1);
  expect(value('kamigate_vault_codes', { state: 'available' })).toBe(2);
  expect(value('kamigate_vault_inventory_cost_amount')).toBe(10);
  expect(value('kamigate_vault_sku_available_codes', { sku: 'low' })).toBe(2);
  expect(samples.filter(({ name }) => name === 'kamigate_vault_sku_available_codes')).toHaveLength(1);
});

test('a change of cost is counted once, by who decided it', async () => {
  world = await makeWorld();
  await world.addSupplier('alpha');
  await refreshed(world.gateway);
  const change = {
    source: 's',
    sku: 'k',
    account: 'alpha',
    product: 'p',
    new_currency: 'CNY',
    rule: 'rise',
    created_at: 1,
  };
  await world.database.write('cost_changes').insert([
    { ...change, change_id: 'chg_1', old_cost_e4: 100, new_cost_e4: 150, state: 'pending', open_source: 's' },
    { ...change, change_id: 'chg_2', old_cost_e4: 100, new_cost_e4: 90, state: 'applied' },
  ]);
  for (let pass = 0; pass < 2; pass++) {
    world.clock.advance(60_000);
    await world.gateway.jobs.runNow('gauges');
  }
  const { value } = await scrape(world.gateway);
  const of = (direction: string, decision: string) =>
    value('kamigate_cost_changes_total', { supplier: 'alpha', direction, decision });
  expect([of('up', 'pending_approval'), of('down', 'auto_applied'), of('up', 'auto_applied')]).toEqual([1, 1, 0]);
  expect(value('kamigate_cost_approvals_pending')).toBe(1);
});

test('balances come in the base currency, and not at all where there is no rate', async () => {
  world = await makeWorld();
  for (const account of ['alpha', 'beta', 'gamma']) await world.addSupplier(account);
  const floats = [
    { account: 'alpha', balance_e4: 1_000_000, currency: 'CNY' },
    { account: 'beta', balance_e4: 1_000_000, currency: 'USD' },
    { account: 'gamma', balance_e4: 1_000_000, currency: 'XAF' },
  ];
  const at = world.clock.now();
  await world.database
    .write('floats')
    .insert(floats.map((float) => ({ ...float, read_at: at, next_at: at, failures: 2 })));
  await world.database.write('rates').insert({
    ...{
      currency: 'USD',
      base: 'CNY',
      as_of: at - 1,
      rate_e8: 720_000_000,
      set_by: 'test',
      created_at: at,
      updated_at: at,
    },
  });
  const { value } = await refreshed(world.gateway);
  expect(value('kamigate_supplier_balance_amount', { supplier: 'alpha' })).toBe(100);
  expect(value('kamigate_supplier_balance_amount', { supplier: 'beta' })).toBe(720);
  expect(value('kamigate_supplier_balance_amount', { supplier: 'gamma' })).toBeUndefined();
  expect(value('kamigate_unconverted_amounts_total', { type: 'balance' })).toBe(1);
  expect(value('kamigate_sync_last_success_timestamp_seconds', { supplier: 'beta', type: 'balance' })).toBe(at / 1_000);
  expect(value('kamigate_sync_failures', { supplier: 'beta', type: 'balance' })).toBe(2);
});

test('one process is elected; the next one takes over when it stops, or when it was silent too long', async () => {
  world = await makeWorld();
  await world.addSupplier('alpha');
  const [first, second] = [world.gateway, world.another()];
  const has = async (gateway: Gateway) => (await refreshed(gateway)).value('kamigate_orders_open', { state: 'held' });
  expect(await has(first)).toBe(0);
  expect(await has(second)).toBeUndefined();

  await first.gauges.release();
  expect((await scrape(first)).value('kamigate_orders_open', { state: 'held' })).toBeUndefined();
  expect(await has(second)).toBe(0);
  expect(await has(first)).toBeUndefined();

  // Longer than the lease: what `second` still has is not shown any more, and `first` may have the role.
  world.clock.advance(61_000);
  expect((await scrape(second)).value('kamigate_leader', { role: 'exporter' })).toBe(0);
  expect(await has(first)).toBe(0);
});

test('the figures are not read more often than they are due, however often the job runs', async () => {
  world = await makeWorld();
  expect(await world.gateway.jobs.runNow('gauges')).toBe(3);
  expect(await world.gateway.jobs.runNow('gauges')).toBe(0);
  world.clock.advance(600_000);
  expect(await world.gateway.jobs.runNow('gauges')).toBe(3);
});

test('an account that is switched off disappears from the scrape', async () => {
  world = await makeWorld();
  await world.addSupplier('alpha');
  await world.addSupplier('beta');
  expect((await refreshed(world.gateway)).samples.some(({ labels }) => labels.supplier === 'beta')).toBe(true);
  await world.database.write('accounts').where({ account: 'beta' }).update({ is_enabled: 0 });
  world.clock.advance(600_000);
  const { samples } = await refreshed(world.gateway);
  expect(samples.filter(({ labels }) => labels.supplier === 'beta')).toEqual([]);
  expect(samples.some(({ labels }) => labels.supplier === 'alpha')).toBe(true);
});

test('a broken promise of the vault is counted once, and again only if there are more', async () => {
  world = await makeWorld();
  await world.addSku('gift');
  await world.deposit('gift', ['A-1', 'A-2', 'A-3']);
  await world.gateway.jobs.runNow('gauges');
  const violations = async () => {
    world.clock.advance(10_000);
    await world.gateway.jobs.runNow('gauges');
    await world.gateway.jobs.runNow('verify_vault');
    return (await scrape(world.gateway)).value('kamigate_vault_invariant_violations_total', { check: 'issued_state' });
  };
  expect(await violations()).toBe(0);
  const [code] = await world.database.read('codes').select('code_id').limit(1);
  await world.database.write('codes').where({ code_id: code.code_id }).update({ state: 'issued' });
  expect(await violations()).toBe(1);
  expect(await violations()).toBe(1);
});

test('every job of the table has its name in the set of queues', async () => {
  world = await makeWorld({ options: { alerts: { url: 'http://127.0.0.1:9/', format: 'generic', secret: null } } });
  expect(
    Object.keys(world.gateway.jobs.lastRuns()).filter((name) => !(QUEUES as readonly string[]).includes(name)),
  ).toEqual([]);
});
