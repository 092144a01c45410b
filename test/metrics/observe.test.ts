// What happens is counted where it happens: once, under the right label, and only when it is committed.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { METRICS } from '../../src/metrics.js';
import { callOutcome, finishedAs, requestObserver } from '../../src/observe.js';
import { decide } from '../../src/orders/operator.js';
import { createMetrics } from '../../src/registry.js';
import { makeWorld, type World } from '../kit/world.js';
import { readScrape } from './scrape.js';

const SOURCES = join(import.meta.dirname, '../../src');

test('every metric of the table is counted somewhere in the program', () => {
  const program = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && name !== 'metrics.ts')
    .map((name) => readFileSync(join(SOURCES, name), 'utf8'))
    .join('\n');
  expect(Object.keys(METRICS).filter((name) => !program.includes(`'${name}'`))).toEqual([]);
});

describe('words', () => {
  test.each([
    ['place', 'delivered', 'ok'],
    ['place', 'accepted', 'ok'],
    ['lookup', 'absent', 'ok'],
    ['lookup', 'refused', 'ok'],
    ['place', 'float_low', 'float_low'],
    ['place', 'recipient_invalid', 'refused'],
    ['place', 'deadline', 'deadline'],
    ['place', 'codes_missing', 'unreadable'],
    ['place', 'unmapped', 'unreadable'],
    ['lookup', 'supplier_said', 'unknown'],
    ['place', 'breaker_open', 'breaker_open'],
  ] as const)('a call to %s that came to %s counts as %s', (operation, outcome, counted) => {
    expect(callOutcome({ operation, outcome })).toBe(counted);
  });

  test.each([
    ['delivered', null, 'delivered'],
    ['failed', 'recipient_invalid', 'failed_customer'],
    ['failed', 'no_live_source', 'failed_ours'],
    ['failed', 'out_of_stock', 'failed_upstream'],
    ['partial', 'out_of_stock', 'partial'],
    ['cancelled', null, 'cancelled'],
  ])('an order that is %s (%s) counts as %s', (state, reason, counted) => {
    expect(finishedAs(state, reason)).toBe(counted);
  });

  test('requests count by storefront and by refused key; a supplier’s 401 is no refused key of ours', async () => {
    const metrics = createMetrics({ process_metrics: false });
    const observe = requestObserver(metrics);
    const seen = { method: 'POST', duration_ms: 3 };
    observe({ ...seen, route: '/v1/orders', status: 201, storefront: 'mall' });
    observe({ ...seen, route: '/v1/orders', status: 503, storefront: 'mall' });
    observe({ ...seen, route: '/v1/orders', status: 401, storefront: null });
    observe({ ...seen, route: '/callbacks/:account', status: 401, storefront: null });
    const { value } = readScrape((await metrics.render()).body);
    expect(value('kamigate_storefront_requests_total', { storefront: 'mall', outcome: 'ok' })).toBe(1);
    expect(value('kamigate_storefront_requests_total', { storefront: 'mall', outcome: 'server_error' })).toBe(1);
    expect(value('kamigate_auth_failures_total', { reason: 'unauthorized' })).toBe(1);
  });
});

let world: World | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

async function values(): Promise<(name: string, labels?: Record<string, string>) => number | undefined> {
  const { value } = readScrape((await world!.gateway.metrics.render()).body);
  return (name, labels) => value(`kamigate_${name}`, labels);
}

test('a failover, a delivery, its price and cost, a repeat and a mismatch are each counted once', async () => {
  world = await makeWorld();
  const alpha = await world.addSupplier('alpha');
  await world.addSupplier('beta');
  await world.addSku('top-up', { kind: 'recharge' });
  await world.addSource('top-up', 'alpha', { priority: 1 });
  await world.addSource('top-up', 'beta', { priority: 2 });
  alpha.fault('maintenance');
  const request = { sku: 'top-up', external_id: 'one', recipient: { account: '13900001111' } };
  const { order } = await world.place(request);
  await world.runUntilRest(order.order_id);
  await world.place(request);
  await expect(world.place({ ...request, quantity: 2 })).rejects.toThrow('external_id');
  const value = await values();
  expect(value('idempotency_total', { result: 'new' })).toBe(1);
  expect(value('idempotency_total', { result: 'replayed' })).toBe(1);
  expect(value('idempotency_total', { result: 'mismatch' })).toBe(1);
  expect(value('failovers_total', { supplier: 'alpha', reason: 'maintenance' })).toBe(1);
  expect(value('supplier_attempts_total', { supplier: 'alpha', kind: 'recharge', result: 'failed_supplier' })).toBe(1);
  expect(value('supplier_attempts_total', { supplier: 'beta', kind: 'recharge', result: 'delivered' })).toBe(1);
  expect(value('supplier_requests_total', { supplier: 'alpha', operation: 'place', outcome: 'maintenance' })).toBe(1);
  expect(value('orders_finished_total', { storefront: 'mall', kind: 'recharge', outcome: 'delivered' })).toBe(1);
  expect(value('order_attempts_sum', { kind: 'recharge' })).toBe(2);
  expect(value('sales_amount_total', { storefront: 'mall', kind: 'recharge' })).toBe(10);
  expect(value('purchase_cost_amount_total', { supplier: 'beta', kind: 'recharge' })).toBe(9.75);
  expect(value('purchase_cost_amount_total', { supplier: 'alpha', kind: 'recharge' }) ?? 0).toBe(0);
});

test('a doubt that a person settles is counted as settled by an operator, and its order as finished', async () => {
  world = await makeWorld();
  const alpha = await world.addSupplier('alpha');
  await world.addSku('top-up', { kind: 'recharge', deadline_ms: 30_000 });
  await world.addSource('top-up', 'alpha');
  alpha.fault('accept_then_drop');
  alpha.fault('bad_gateway', { endpoint: 'lookup', times: 99 });
  const { order } = await world.place({ sku: 'top-up', recipient: { account: '13900001111' } });
  expect((await world.runUntilRest(order.order_id, 5_000)).state).toBe('held');
  const { engine, fulfilment } = world.gateway;
  await decide(engine, fulfilment, {
    order_id: order.order_id,
    verdict: 'delivered',
    by: 'li',
    reason: 'seen',
    evidence: 'mail',
  });
  const value = await values();
  expect(value('supplier_attempts_total', { supplier: 'alpha', kind: 'recharge', result: 'unknown' })).toBe(1);
  expect(
    value('unknown_outcomes_resolved_total', { supplier: 'alpha', resolution: 'delivered', actor: 'operator' }),
  ).toBe(1);
  expect(value('orders_finished_total', { storefront: 'mall', kind: 'recharge', outcome: 'delivered' })).toBe(1);
  // Nobody named the cost: it is what the offer said when it was chosen.
  expect(await world.attempts(order.order_id)).toMatchObject([{ cost_e4: null, expected_cost_e4: 97_500 }]);
  expect(value('purchase_cost_amount_total', { supplier: 'alpha', kind: 'recharge' })).toBe(9.75);
});

test('the vault’s acts count when they are committed, and a transaction that is undone counts nothing', async () => {
  world = await makeWorld();
  await world.addSku('gift');
  await world.deposit('gift', ['A-1', 'A-2', 'A-2'], 40_000);
  const { vault, database } = world.gateway;
  const undone = database.write.transaction(async (trx) => {
    await vault.issue(trx, [{ order_id: 'ord_undone', sku: 'gift', first_unit: 1, quantity: 1 }]);
    throw new Error('undone');
  });
  await expect(undone).rejects.toThrow('undone');
  const { order } = await world.place({ sku: 'gift' });
  await world.idle();
  await world.codes(order.order_id);
  await world.place({ sku: 'gift', quantity: 2 });
  await world.idle();
  const value = await values();
  expect(value('vault_codes_imported_total', { supplier: 'vault', result: 'imported' })).toBe(2);
  expect(value('vault_codes_imported_total', { supplier: 'vault', result: 'duplicate' })).toBe(1);
  expect(value('purchase_cost_amount_total', { supplier: 'vault', kind: 'code' })).toBe(12);
  expect(value('vault_issues_total', { result: 'issued' })).toBe(1);
  expect(value('vault_issues_total', { result: 'short' })).toBe(1);
  expect(value('vault_decrypts_total', { purpose: 'issue', result: 'ok' })).toBe(1);
  expect(value('vault_decrypts_total', { purpose: 'storefront', result: 'ok' })).toBe(1);
  expect(value('vault_decrypts_total', { purpose: 'person', result: 'ok' })).toBe(0);
  expect(value('db_query_duration_seconds_count', { op: 'insert' })).toBeGreaterThan(0);
});
