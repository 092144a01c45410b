// Routing with real orders: splits by weight that are exact over processes and crashes, trying out what is unknown,
// storefronts' lists, recipients, maintenance, margins; and the explanation of a route, which takes nothing.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import { explainRoute } from '../../src/orders/explain.js';
import { placeOrders } from '../../src/orders/place.js';
import type { OrderRequest } from '../../src/orders/request.js';
import { EXPLORE_EVERY } from '../../src/orders/turns.js';
import { makeWorld, type World } from '../kit/world.js';

const PHONE = { account: '13900001111' };
let world: World;
beforeEach(async () => {
  world = await makeWorld();
  for (const account of ['a', 'b', 'c']) await world.addSupplier(account);
  await world.addSku('airtime', { kind: 'recharge', quantity_max: 50 });
});
afterEach(async () => {
  await world.idle();
  await world.close();
});

const change = (table: string, where: object, columns: object) =>
  world.database.write(table).where(where).update(columns);

async function addSource(
  account: string,
  columns: object = {},
  options: { cost_e4?: number; priority?: number } = {},
): Promise<string> {
  const source = await world.addSource('airtime', account, options);
  if (Object.keys(columns).length > 0) await change('sources', { source }, columns);
  return source;
}

let count = 0;
function request(more: Partial<OrderRequest> = {}): OrderRequest {
  return {
    external_id: `s-${++count}`,
    sku: 'airtime',
    quantity: 1,
    recipient: PHONE,
    max_unit_price_e4: null,
    currency: null,
    allow_partial: false,
    deliver_before: null,
    callback_url: null,
    metadata: null,
    ...more,
  };
}

async function place(gateway: World['gateway'], more: Partial<OrderRequest> = {}): Promise<string> {
  const { order } = await gateway.orders.place({ storefront: 'mall', request: request(more) });
  return order.order_id;
}

/** Account → units of first attempts. */
async function split(): Promise<Record<string, number>> {
  const rows = (await world.database
    .read('attempts')
    .where({ number: 1 })
    .groupBy('account')
    .select('account')
    .sum({ units: 'quantity' })) as { account: string; units: number }[];
  return Object.fromEntries(rows.map(({ account, units }) => [account, Number(units)]));
}

async function route(more: Partial<OrderRequest> = {}): Promise<string | null> {
  const order_id = await place(world.gateway, more);
  return (await world.attempts(order_id))[0]?.account ?? null;
}

async function skippedBy(account: string, more: Partial<OrderRequest> = {}): Promise<string | undefined> {
  const order_id = await place(world.gateway, more);
  const event = (await world.events(order_id)).find(
    ({ type }) => type === 'attempt_planned' || type === 'sources_exhausted',
  )!;
  return (JSON.parse(event.data) as { skipped: { account: string; rule: string }[] }).skipped.find(
    (each) => each.account === account,
  )?.rule;
}

describe('weighted', () => {
  beforeEach(async () => {
    await change('skus', { sku: 'airtime' }, { strategy: 'weighted' });
    await addSource('a', { weight: 7 });
    await addSource('b', { weight: 2 });
    await addSource('c', { weight: 1 });
  });

  test('one after the other, over two processes', async () => {
    const other = world.another();
    for (let at = 0; at < 40; at++) await place(at % 2 ? other : world.gateway);
    expect(await split()).toEqual({ a: 28, b: 8, c: 4 });
  });

  test('all at once, over two processes', async () => {
    const other = world.another();
    await Promise.all(Array.from({ length: 100 }, (_, at) => place(at % 2 ? other : world.gateway)));
    expect(await split()).toEqual({ a: 70, b: 20, c: 10 });
  });

  test('a turn is taken in the transaction of its attempt, or not at all', async () => {
    await place(world.gateway);
    const before = await world.database.read('turns').where({ sku: 'airtime' }).first();
    await expect(
      atomic(world.database, 'died', async (trx) => {
        await placeOrders(world.gateway.engine, trx, [{ storefront: 'mall', request: request() }]);
        throw new Error('the process ends here');
      }),
    ).rejects.toThrow('ends here');
    expect(await world.database.read('turns').where({ sku: 'airtime' }).first()).toEqual(before);
    for (let at = 0; at < 9; at++) await place(world.gateway);
    expect(await split()).toEqual({ a: 7, b: 2, c: 1 });
  });

  test('who is away loses its share to the others, in proportion', async () => {
    await change('accounts', { account: 'a' }, { paused_at: 1 });
    for (let at = 0; at < 30; at++) await place(world.gateway);
    expect(await split()).toEqual({ b: 20, c: 10 });
  });

  test('explaining takes no turn', async () => {
    for (let at = 0; at < 30; at++) await explainRoute(world.gateway.engine, 'airtime');
    for (let at = 0; at < 10; at++) await place(world.gateway);
    expect(await split()).toEqual({ a: 7, b: 2, c: 1 });
  });
});

describe('balanced', () => {
  beforeEach(async () => {
    await change('skus', { sku: 'airtime' }, { strategy: 'balanced' });
    await addSource('a', {}, { cost_e4: 97_500 });
    await addSource('b', {}, { cost_e4: 96_000 });
  });

  function know(
    account: string,
    { good, faults = 0, took_ms = 1_000 }: { good: number; faults?: number; took_ms?: number },
  ): void {
    const at = world.clock.now();
    const { health } = world.gateway.engine;
    // Spread thin over time, so that nothing looks like an outage.
    for (let n = 0; n < good; n++) {
      health.note(account, 'recharge', { sign: 'good', sent_at: at - took_ms, at });
      if (n < faults) health.note(account, 'recharge', { sign: 'fault', sent_at: at - took_ms, at });
    }
  }

  test('the cheaper one, until its faults make it the dearer one', async () => {
    know('a', { good: 100 });
    know('b', { good: 100 });
    expect(await route()).toBe('b');
    know('b', { good: 100, faults: 20 });
    expect(await route()).toBe('a');
  });

  test('one order in twenty tries out the source nobody has heard of', async () => {
    know('a', { good: 100 });
    const other = world.another();
    for (let at = 0; at < 30; at++)
      other.engine.health.note('a', 'recharge', { sign: 'good', sent_at: world.clock.now(), at: world.clock.now() });
    // Acceptance is no evidence: the source stays unknown, and the share stays bounded.
    world.simulators.b!.fault('late', { times: 100 });
    world.simulators.a!.fault('late', { times: 100 });
    for (let at = 0; at < 3 * EXPLORE_EVERY; at++) await place(at % 2 ? other : world.gateway);
    expect(await split()).toEqual({ a: 57, b: 3 });
  });

  test('what was tried out often enough is ranked like any other', async () => {
    know('a', { good: 100 });
    know('b', { good: 10, took_ms: 500 });
    expect(await route()).toBe('b');
    expect(await world.database.read('turns')).toEqual([]);
  });
});

test('cheapest takes the least cost whatever the priorities', async () => {
  await change('skus', { sku: 'airtime' }, { strategy: 'cheapest' });
  await addSource('a', {}, { priority: 1, cost_e4: 98_000 });
  await addSource('b', {}, { priority: 9, cost_e4: 97_500 });
  expect(await route()).toBe('b');
});

describe('rules with real orders', () => {
  test('a storefront’s lists', async () => {
    await addSource('a', {}, { priority: 1 });
    await addSource('b', {}, { priority: 2 });
    expect(await route()).toBe('a');
    await change('storefronts', { storefront: 'mall' }, { accounts_except: '["a"]' });
    expect(await route()).toBe('b');
    await change('storefronts', { storefront: 'mall' }, { accounts_except: null, accounts_only: '["b"]' });
    expect(await route()).toBe('b');
    await change('storefronts', { storefront: 'mall' }, { accounts_only: '["c"]' });
    expect(await route()).toBeNull();
    expect(await skippedBy('a')).toBe('storefront_allows');
  });

  test('an operator’s number ranges', async () => {
    await addSource('a', { recipients: '{"account_prefixes":["134","135"]}' }, { priority: 1 });
    await addSource('b', {}, { priority: 2 });
    expect(await route({ recipient: { account: '13500001111' } })).toBe('a');
    expect(await route({ recipient: { account: '18600001111' } })).toBe('b');
    expect(await skippedBy('a', { recipient: { account: '18600001111' } })).toBe('recipient_served');
  });

  test('maintenance, which begins and ends by the supplier’s clock', async () => {
    await addSource('a', {}, { priority: 1 });
    await addSource('b', {}, { priority: 2 });
    // The world begins at midnight of UTC, which is eight in Shanghai.
    await change(
      'accounts',
      { account: 'a' },
      { maintenance: '[{"from":"07:30","to":"08:30","zone":"Asia/Shanghai"}]' },
    );
    expect(await skippedBy('a')).toBe('no_maintenance');
    world.clock.advance(30 * 60_000);
    expect(await route()).toBe('a');
  });

  test('a margin, which the ceiling sent upstream leaves too', async () => {
    await change('skus', { sku: 'airtime' }, { margin_min_bp: 200 });
    await addSource('a', {}, { priority: 1, cost_e4: 98_001 });
    await addSource('b', {}, { priority: 2, cost_e4: 97_500 });
    expect(await skippedBy('a')).toBe('margin_kept');
    const order_id = await place(world.gateway);
    expect((await world.attempts(order_id))[0]).toMatchObject({ account: 'b', cost_ceiling_e4: 98_000 });
  });
});

describe('explainRoute', () => {
  test('tells of every source its place or the rule, and takes nothing', async () => {
    await addSource('a', {}, { priority: 1 });
    await addSource('b', {}, { priority: 2, cost_e4: 99_000 });
    await addSource('c', {}, { priority: 3, cost_e4: 100_001 });
    const before = await world.database.read('attempts').count({ n: '*' }).first();
    const explained = await explainRoute(world.gateway.engine, 'airtime', {
      storefront: 'mall',
      quantity: 3,
      recipient: PHONE,
    });
    expect(explained).toMatchObject({ sku: 'airtime', strategy: 'priority', storefront: 'mall', quantity: 3 });
    expect(explained.sources.map(({ account, place: at, rule, because }) => [account, at, rule, because])).toEqual([
      ['a', 1, null, 'priority 1, then cost 9.75 CNY'],
      ['b', 2, null, 'priority 2, then cost 9.90 CNY'],
      ['c', null, 'cost_covered', 'it costs more than the storefront pays, or no rate tells'],
    ]);
    expect(await world.database.read('attempts').count({ n: '*' }).first()).toEqual(before);
  });

  test('agrees with what an order then does', async () => {
    for (const account of ['a', 'b', 'c']) await addSource(account, { weight: 3 });
    await change('skus', { sku: 'airtime' }, { strategy: 'weighted' });
    for (let at = 0; at < 12; at++) {
      const { sources } = await explainRoute(world.gateway.engine, 'airtime', { storefront: 'mall', recipient: PHONE });
      expect(await route()).toBe(sources[0]!.account);
    }
  });

  test.each([
    ['nothing', {}, 'sku_not_found', 'sku'],
    ['airtime', { storefront: 'nobody' }, 'not_found', 'storefront'],
    ['airtime', { quantity: 51 }, 'quantity_not_allowed', 'quantity'],
    ['airtime', { recipient: { account: 'x' } }, 'recipient_invalid', 'recipient'],
  ])('%s with %j is refused: %s', async (sku, more, code, field) => {
    await expect(explainRoute(world.gateway.engine, sku, more)).rejects.toMatchObject({ code, field });
  });
});
