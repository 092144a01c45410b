// Decisions on cost changes by people, what becomes of them without any, and limits that people set.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  approveChange,
  expireChanges,
  listChanges,
  listPending,
  rejectChange,
} from '../../src/catalog/cost-changes.js';
import { currentPolicies, setPolicy } from '../../src/catalog/cost-policies.js';
import type { SourceRow } from '../../src/catalog/skus.js';
import { listOffer } from '../kit/offers.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
let source: string;

beforeEach(async () => {
  world = await makeWorld();
  await world.addSupplier('a');
  await world.addSku('card', { vault_rank: 'never', price_e4: 150_000 });
  source = await world.addSource('card', 'a', { cost_e4: 98_000 });
});
afterEach(async () => {
  await world.close();
});

const now = () => world.clock.now();
const sourceRow = async (): Promise<SourceRow> =>
  (await world.database.read('sources').where({ source }).first()) as SourceRow;

/** The supplier names this cost now. */
async function named(cost_e4: number, currency = 'CNY'): Promise<string | undefined> {
  world.clock.advance(1_000);
  const cost = { amount_e4: cost_e4, currency };
  await listOffer(world, 'a', {
    product: 'code-10',
    name: 'Card',
    kind: 'code',
    cost,
    stock: null,
    available: true,
  });
  return (await listPending(world.database.read))[0]?.change_id;
}

/** Delivered purchases of the last days, so that a change has an impact. */
async function sold(units: number): Promise<void> {
  const { order } = await world.place({ sku: 'card', quantity: units });
  await world.runUntilRest(order.order_id);
}

describe('an approval', () => {
  test('puts the new cost in force, and is kept with name and reason', async () => {
    const change_id = (await named(120_000))!;
    const { change, needs_second } = await approveChange(
      world.database,
      { change_id, by: 'Li', reason: 'new contract' },
      now(),
    );
    expect(needs_second).toBe(false);
    expect(change).toMatchObject({ state: 'approved', decided_by: 'Li', reason: 'new contract', open_source: null });
    expect(await sourceRow()).toMatchObject({ cost_e4: 120_000, cost_state: 'settled', offered_cost_e4: null });
    await expect(approveChange(world.database, { change_id, by: 'Li', reason: 'again' }, now())).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  test('above the impact limit needs two different people', async () => {
    await sold(400);
    const change_id = (await named(130_000))!;
    expect((await listPending(world.database.read))[0]).toMatchObject({
      units_30d: 400,
      impact_e4: 12_800_000,
      needs_second: false,
    });
    const first = await approveChange(world.database, { change_id, by: 'Li', reason: 'checked' }, now());
    expect(first).toMatchObject({ needs_second: true, change: { state: 'pending' } });
    expect(await sourceRow()).toMatchObject({ cost_e4: 98_000 });
    await expect(
      approveChange(world.database, { change_id, by: 'Li', reason: 'checked' }, now()),
    ).rejects.toMatchObject({
      code: 'conflict',
      field: 'by',
    });
    const second = await approveChange(world.database, { change_id, by: 'Wang', reason: 'checked too' }, now());
    expect(second).toMatchObject({
      needs_second: false,
      change: { state: 'approved', first_approved_by: 'Li', decided_by: 'Wang' },
    });
    expect(await sourceRow()).toMatchObject({ cost_e4: 130_000 });
  });

  test('of a cost the supplier no longer names is refused', async () => {
    const change_id = (await named(120_000))!;
    await named(125_000);
    await expect(approveChange(world.database, { change_id, by: 'Li', reason: 'x' }, now())).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  test('takes a currency flip only by a person', async () => {
    const change_id = (await named(13_000, 'USD'))!;
    expect(await sourceRow()).toMatchObject({ cost_e4: 98_000, currency: 'CNY', cost_state: 'pending' });
    // Without a rate nobody can tell the impact, so two must agree.
    expect((await approveChange(world.database, { change_id, by: 'Li', reason: 'x' }, now())).needs_second).toBe(true);
    await approveChange(world.database, { change_id, by: 'Wang', reason: 'x' }, now());
    expect(await sourceRow()).toMatchObject({ cost_e4: 13_000, currency: 'USD' });
  });

  test.each([
    ['by', { by: ' ', reason: 'x' }],
    ['reason', { by: 'Li', reason: '' }],
    ['by', { by: 'rule:within_limits', reason: 'x' }],
  ])('without a proper %s is refused', async (field, words) => {
    const change_id = (await named(120_000))!;
    await expect(approveChange(world.database, { change_id, ...words }, now())).rejects.toMatchObject({
      code: 'validation_failed',
      field,
    });
  });

  test('of a change that is not there says so', async () => {
    await expect(
      approveChange(world.database, { change_id: 'prc_x', by: 'Li', reason: 'x' }, now()),
    ).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

test('a rejection keeps the old cost, and the same news does not come up again', async () => {
  const change_id = (await named(120_000))!;
  await rejectChange(world.database, { change_id, by: 'Li', reason: 'a slip of theirs' }, now());
  expect(await sourceRow()).toMatchObject({ cost_e4: 98_000, cost_state: 'rejected' });
  expect(await named(120_000)).toBeUndefined();
  expect(await named(121_000)).toBeDefined();
});

test('a change nobody decided expires after a day: its source leaves routing, and a person may still approve', async () => {
  const change_id = (await named(120_000))!;
  world.clock.advance(24 * 3_600_000 - 1);
  expect(await expireChanges(world.database, 100, now())).toBe(0);
  world.clock.advance(1);
  expect(await expireChanges(world.database, 100, now())).toBe(1);
  expect(await sourceRow()).toMatchObject({ cost_state: 'expired' });
  const { order } = await world.place({ sku: 'card' });
  await world.idle();
  expect(await world.order(order.order_id)).toMatchObject({ state: 'failed' });
  expect((await world.events(order.order_id)).map(({ data }) => data).join()).toContain('cost_settled');
  await approveChange(world.database, { change_id, by: 'Li', reason: 'late' }, now());
  expect(await sourceRow()).toMatchObject({ cost_e4: 120_000, cost_state: 'settled' });
});

test('while a change waits, the old cost is used under a ceiling that the supplier holds', async () => {
  await named(120_000);
  world.simulators.a!.setProduct({ product: 'code-10', kind: 'code', cost_e4: 120_000, stock: null });
  const { order } = await world.place({ sku: 'card' });
  await world.idle();
  expect(await world.attempts(order.order_id)).toMatchObject([
    { state: 'refused', reason: 'cost_changed', cost_ceiling_e4: 99_960 },
  ]);
  expect(world.simulators.a!.books().orders).toBe(0);
});

describe('limits', () => {
  const set = (scope: 'all' | 'account' | 'category' | 'sku', subject: string, fields: object) =>
    setPolicy(world.database, { scope, subject, fields, by: 'Li', reason: 'policy' }, now());

  test('the narrowest scope wins, field by field', async () => {
    await world.database.write('skus').where({ sku: 'card' }).update({ category: 'video' });
    await set('account', 'a', { rise_max_bp: 100 });
    expect(await named(100_000)).toBeDefined();
    await set('category', 'video', { rise_max_bp: 3_000 });
    await named(98_000);
    expect(await named(101_000)).toBeUndefined();
    expect(await sourceRow()).toMatchObject({ cost_e4: 101_000 });
    await set('sku', 'card', { rise_max_bp: 0 });
    expect(await named(101_001)).toBeDefined();
  });

  test('a lock holds a cost until its date', async () => {
    await set('sku', 'card', { locked_until: now() + 60_000 });
    expect(await named(98_100)).toBeDefined();
    world.clock.advance(60_000);
    await named(98_000);
    expect(await named(98_100)).toBeUndefined();
    expect(await sourceRow()).toMatchObject({ cost_e4: 98_100 });
  });

  test('a cost that a bound refused is judged anew when the bound is moved', async () => {
    await set('sku', 'card', { ceiling_e4: 98_500, currency: 'CNY' });
    await named(99_000);
    expect(await sourceRow()).toMatchObject({ cost_state: 'rejected' });
    await set('sku', 'card', { ceiling_e4: 99_500 });
    await named(99_000);
    expect(await sourceRow()).toMatchObject({ cost_e4: 99_000, cost_state: 'settled' });
  });

  test('each setting is kept, with who and why; the newest holds', async () => {
    await set('all', '*', { rise_max_bp: 300 });
    world.clock.advance(1);
    await set('all', '*', { fall_max_bp: 500 });
    expect(await currentPolicies(world.database.read)).toMatchObject([
      { scope: 'all', rise_max_bp: 300, fall_max_bp: 500, set_by: 'Li' },
    ]);
    expect(await world.database.read('cost_policies').count({ n: '*' }).first()).toEqual({ n: 2 });
  });

  test.each([
    ['a subject that is not there', 'sku', 'none', { rise_max_bp: 1 }, 'not_found'],
    ['a negative limit', 'sku', 'card', { rise_max_bp: -1 }, 'validation_failed'],
    ['a bound without a currency', 'sku', 'card', { floor_e4: 1 }, 'validation_failed'],
    ['a floor above the ceiling', 'sku', 'card', { floor_e4: 2, ceiling_e4: 1, currency: 'CNY' }, 'validation_failed'],
    ['a limit that does not exist', 'sku', 'card', { rise_max: 1 }, 'validation_failed'],
  ] as const)('%s is refused', async (_, scope, subject, fields, code) => {
    await expect(set(scope, subject, fields)).rejects.toMatchObject({ code });
  });
});

test('the history of a source tells every change and what decided it', async () => {
  await named(98_500);
  const change_id = (await named(120_000))!;
  await approveChange(world.database, { change_id, by: 'Li', reason: 'contract' }, now());
  const history = await listChanges(world.database.read, { source });
  expect(history.map(({ state, rule, decided_by }) => [state, rule, decided_by])).toEqual([
    ['approved', 'rise_above_limit', 'Li'],
    ['applied', 'within_limits', 'rule:within_limits'],
  ]);
});
