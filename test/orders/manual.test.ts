// Fulfilment by a person as a source of last resort: queued, taken by one person, decided with evidence through the same
// door as every other news; held at the deadline; never sent anywhere.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Secret } from '../../adapters/kit/contract.js';
import { handBackManual, readManualQueue, takeManual } from '../../src/orders/manual.js';
import { type DecideRequest, decide } from '../../src/orders/operator.js';
import { makeWorld, type World } from '../kit/world.js';

const PHONE = { account: '13900001111' };
let world: World;
beforeEach(async () => {
  world = await makeWorld();
  const stamps = { created_at: world.clock.now(), updated_at: world.clock.now() };
  await world.database.write('accounts').insert({
    account: 'manual',
    adapter: 'manual',
    base_url: '',
    credentials_sealed: '',
    options: '{}',
    limits: '{}',
    currency: 'XXX',
    exposure_limit_e4: 0,
    is_enabled: 1,
    ...stamps,
  });
  await world.addSupplier('a');
  await world.addSku('airtime', { kind: 'recharge', quantity_max: 10, deadline_ms: 600_000, attempts_max: 1 });
  await world.addSku('card', { vault_rank: 'never', deadline_ms: 600_000 });
  for (const sku of ['airtime', 'card']) {
    const source = await world.addSource(sku, 'manual', { product: 'at the counter', priority: 0 });
    await world.database.write('sources').where({ source }).update({ cost_e4: null, currency: null, seen_at: null });
  }
});
afterEach(() => world.close());

const deps = () => ({ database: world.database, now: world.clock.now });
const queue = () => readManualQueue(world.database.read, 10);
const take = (attempt_id: string, by = 'li') => takeManual(deps(), { attempt_id, by });
const SAID = { by: 'li', reason: 'done at the counter', evidence: 'receipt 4711' };
const decideAs = (order_id: string, more: Partial<DecideRequest> = {}) =>
  decide(world.gateway.engine, world.gateway.fulfilment, { order_id, verdict: 'delivered', ...SAID, ...more });

/** An order in the queue, and its task. */
async function queued(sku = 'airtime', quantity = 1) {
  const { order } = await world.place({ sku, quantity, recipient: sku === 'airtime' ? PHONE : null });
  const [task] = await queue();
  return { order, task: task! };
}

test('an order without another source waits for a person, and nothing is sent', async () => {
  const { order, task } = await queued();
  expect(order).toMatchObject({ state: 'sourcing', due_at: order.deadline_at });
  expect(task).toMatchObject({
    order_id: order.order_id,
    product: 'at the counter',
    quantity: 1,
    taken_by: null,
    recipient: { account: '139****1111' },
  });
  const [attempt] = await world.attempts(order.order_id);
  expect(attempt).toMatchObject({
    account: 'manual',
    state: 'accepted',
    sent_at: null,
    next_lookup_at: null,
    open_order_id: order.order_id,
  });
  for (let at = 0; at < 5; at++) {
    world.clock.advance(60_000);
    for (const job of ['resume_orders', 'look_up', 'probe_suppliers']) await world.gateway.jobs.runNow(job);
    await world.idle();
  }
  expect(await world.order(order.order_id)).toMatchObject({ state: 'sourcing', attempts_count: 1 });
  expect((await world.events(order.order_id)).map(({ type }) => type)).toEqual(['order_received', 'manual_queued']);
});

test('a person is asked after every supplier, however low its priority number, and after as many attempts as are allowed', async () => {
  await world.addSource('airtime', 'a', { priority: 9 });
  world.simulators.a!.fault('out_of_stock');
  const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
  await world.idle();
  expect((await world.attempts(order.order_id)).map(({ account, state }) => [account, state])).toEqual([
    ['a', 'refused'],
    ['manual', 'accepted'],
  ]);
});

test('a confirmed recharge delivers the order, with name, reason, evidence and cost kept', async () => {
  const { order, task } = await queued();
  await take(task.attempt_id);
  const after = await decideAs(order.order_id, { cost: { amount_e4: 99_000, currency: 'CNY' } });
  expect(after).toMatchObject({ state: 'delivered', delivered_quantity: 1 });
  expect(await world.attempts(order.order_id)).toMatchObject([
    { state: 'delivered', settled_by: 'operator:li', cost_e4: 99_000, currency: 'CNY' },
  ]);
  const event = (await world.events(order.order_id)).find(({ type }) => type === 'attempt_delivered')!;
  expect(JSON.parse(event.data)).toMatchObject({ account: 'manual', decision: SAID });
  expect(await queue()).toEqual([]);
});

test('codes a person bought go into the vault and from there to the order', async () => {
  const { order, task } = await queued('card', 2);
  await take(task.attempt_id);
  const codes = ['M-1', 'M-2'].map((number) => ({ number: new Secret(number) }));
  expect(await decideAs(order.order_id, { codes })).toMatchObject({ state: 'delivered', delivered_quantity: 2 });
  expect(await world.codes(order.order_id)).toEqual(['M-1', 'M-2']);
  expect(await world.gateway.vault.stock(world.database.read, ['card'])).toMatchObject([{ issued: 2, available: 0 }]);
});

test('fewer codes than wanted go on for the rest, and end partial where there is nothing', async () => {
  const { order, task } = await queued('card', 2);
  await take(task.attempt_id);
  await decideAs(order.order_id, { codes: [{ number: new Secret('M-1') }] });
  expect(await world.runUntilRest(order.order_id)).toMatchObject({ state: 'partial', delivered_quantity: 1 });
});

test('a refusal ends the order where there is no other source, safe to refund', async () => {
  const { order, task } = await queued();
  await take(task.attempt_id);
  await decideAs(order.order_id, { verdict: 'refused', reason: 'no such number', evidence: 'told at the counter' });
  expect(await world.runUntilRest(order.order_id)).toMatchObject({ state: 'failed', reason: 'declined' });
});

test('at the deadline the order is held; it can be fulfilled all the same', async () => {
  const { order, task } = await queued();
  const held = await world.runUntilRest(order.order_id, 60_000);
  expect(held).toMatchObject({ state: 'held', held_reason: 'attempt_accepted' });
  expect(await queue()).toMatchObject([{ order_state: 'held' }]);
  // Closing it while somebody may have done it is not possible.
  await expect(decideAs(order.order_id, { verdict: 'close' })).rejects.toMatchObject({ code: 'conflict' });
  await take(task.attempt_id);
  expect(await decideAs(order.order_id)).toMatchObject({ state: 'delivered' });
});

describe('taking', () => {
  test('is for one person: the recipient is shown to nobody else, and nobody else decides', async () => {
    const { order, task } = await queued();
    expect(await take(task.attempt_id)).toMatchObject({ recipient: PHONE, taken_by: 'li' });
    expect(await take(task.attempt_id)).toMatchObject({ taken_by: 'li' });
    await expect(take(task.attempt_id, 'wang')).rejects.toMatchObject({
      code: 'conflict',
      field: 'by',
      message: 'li has this attempt in hand',
    });
    await expect(decideAs(order.order_id, { by: 'wang' })).rejects.toMatchObject({ code: 'conflict', field: 'by' });
    expect(await world.order(order.order_id)).toMatchObject({ state: 'sourcing' });
    const seen = (await world.events(order.order_id)).filter(({ type }) => type === 'manual_taken');
    expect(seen.map(({ data }) => (JSON.parse(data) as { by: string }).by)).toEqual(['li', 'li']);
  });

  test('by two at once succeeds for one', async () => {
    const { task } = await queued();
    const results = await Promise.allSettled(['li', 'wang', 'zhao'].map((by) => take(task.attempt_id, by)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('comes before deciding', async () => {
    const { order } = await queued();
    await expect(decideAs(order.order_id)).rejects.toMatchObject({
      code: 'conflict',
      message: 'nobody has taken this attempt in hand',
    });
  });

  test('is undone by handing back, with a reason', async () => {
    const { task } = await queued();
    const { attempt_id } = task;
    await expect(handBackManual(deps(), { attempt_id, by: 'li', reason: 'x' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await take(attempt_id);
    await expect(handBackManual(deps(), { attempt_id, by: 'li', reason: ' ' })).rejects.toMatchObject({
      field: 'reason',
    });
    await handBackManual(deps(), { attempt_id, by: 'wang', reason: 'li is ill and has done nothing, by phone' });
    expect(await take(attempt_id, 'wang')).toMatchObject({ taken_by: 'wang' });
  });

  test('of what is settled, or of a supplier’s attempt, is refused', async () => {
    const { order, task } = await queued();
    await take(task.attempt_id);
    await decideAs(order.order_id);
    await expect(take(task.attempt_id)).rejects.toMatchObject({ code: 'conflict' });
    await expect(take('att_none')).rejects.toMatchObject({ code: 'not_found' });
    await expect(take(task.attempt_id, ' ')).rejects.toMatchObject({ code: 'validation_failed', field: 'by' });
  });
});

test('a silent supplier is not left for a person: a code order waits for its answer', async () => {
  await world.database.write('skus').where({ sku: 'card' }).update({ can_detach: 1 });
  await world.addSource('card', 'a', { priority: 1 });
  world.simulators.a!.fault('accept_then_drop');
  const { order } = await world.place({ sku: 'card' });
  await world.idle();
  expect(await world.attempts(order.order_id)).toMatchObject([{ account: 'a', state: 'unknown', detached_at: null }]);
  expect(await world.runUntilRest(order.order_id)).toMatchObject({ state: 'delivered' });
  expect(await queue()).toEqual([]);
});
