// Codes bought from suppliers: short and doubtful deliveries, detaching and late codes, deadlines, and a person's
// decisions. Nothing paid for is lost, nothing is passed on twice.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Secret } from '../../adapters/kit/contract.js';
import { decide } from '../../src/orders/operator.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
beforeEach(async () => {
  world = await makeWorld();
  await world.addSupplier('a');
  await world.addSupplier('b');
  await world.addSku('card', { deadline_ms: 600_000 });
  await world.addSku('fast', { can_detach: true, deadline_ms: 600_000 });
  for (const sku of ['card', 'fast']) {
    await world.addSource(sku, 'a', { priority: 1 });
    await world.addSource(sku, 'b', { priority: 2 });
  }
});
afterEach(async () => {
  await world.close();
});

const stockOf = async (sku: string) => (await world.gateway.vault.stock(world.database.read, [sku]))[0];
const eventTypes = async (order_id: string) => (await world.events(order_id)).map((event) => event.type);

/** What suppliers charged, against what our attempts say they cost. */
async function expectBooksToAgree(): Promise<void> {
  const charged = Object.values(world.simulators).reduce((sum, simulator) => sum + simulator.books().net_e4, 0);
  const row = await world.database
    .read('attempts')
    .whereNot({ account: 'vault' })
    .where({ state: 'delivered' })
    .sum({ total: 'cost_e4' })
    .first();
  expect(Number(row!.total ?? 0)).toBe(charged);
}

describe('codes from a supplier', () => {
  test('are deposited, issued and revealed as they came', async () => {
    const { order } = await world.place({ sku: 'card', quantity: 3 });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    const bought = Object.values(world.simulators.a!.books().by_reference).flatMap((entry) =>
      entry.codes.map((code) => code.number),
    );
    expect(await world.codes(order.order_id)).toEqual(bought);
    expect(await stockOf('card')).toMatchObject({ available: 0, issued: 3 });
    await expectBooksToAgree();
  });

  test('a short delivery that says so is finished from the next source', async () => {
    world.simulators.a!.fault('short', { units: 2 });
    const { order } = await world.place({ sku: 'card', quantity: 5 });
    const after = await world.runUntilRest(order.order_id);
    expect(after).toMatchObject({ state: 'delivered', delivered_quantity: 5 });
    expect(await world.codes(order.order_id)).toHaveLength(5);
    expect([world.simulators.a!.books().units, world.simulators.b!.books().units]).toEqual([2, 3]);
    await expectBooksToAgree();
  });

  test('a short delivery with no other source ends partial, and the rest is safe to refund', async () => {
    world.simulators.a!.fault('short', { units: 2 });
    world.simulators.b!.fault('out_of_stock');
    const { order } = await world.place({ sku: 'card', quantity: 5 });
    expect(await world.runUntilRest(order.order_id)).toMatchObject({ state: 'partial', delivered_quantity: 2 });
    await expectBooksToAgree();
  });

  test('fewer codes than charged for is doubt: nothing is bought elsewhere, and at the deadline a person looks', async () => {
    world.simulators.a!.fault('short_silent', { units: 2 });
    const { order } = await world.place({ sku: 'card', quantity: 5 });
    const after = await world.runUntilRest(order.order_id, 60_000);
    expect(after).toMatchObject({ state: 'held', delivered_quantity: 0 });
    expect(world.simulators.b!.books().orders).toBe(0);
    const attempt = (await world.attempts(order.order_id)).find((each) => each.account === 'a')!;
    const kept = await world.database.read('transcripts').where({ attempt_id: attempt.attempt_id, verb: 'kept_codes' });
    expect(kept.length).toBeGreaterThan(0);
  });

  test('"delivered" without codes is looked up until they are there', async () => {
    world.simulators.a!.fault('no_codes');
    const { order } = await world.place({ sku: 'card', quantity: 2 });
    await world.idle();
    expect(await world.order(order.order_id)).toMatchObject({ state: 'sourcing', delivered_quantity: 0 });
    expect(await world.runUntilRest(order.order_id)).toMatchObject({ state: 'delivered', delivered_quantity: 2 });
    await expectBooksToAgree();
  });

  test('a code that was delivered before is not passed on; the order is held', async () => {
    const first = await world.place({ sku: 'card' });
    await world.runUntilRest(first.order.order_id);
    world.simulators.a!.fault('repeated_codes');
    const second = await world.place({ sku: 'card' });
    expect(await world.runUntilRest(second.order.order_id)).toMatchObject({
      state: 'held',
      held_reason: 'code_already_known',
      delivered_quantity: 0,
    });
    expect(await world.database.read('issues').count({ n: '*' }).first()).toEqual({ n: 1 });
  });
});

describe('an order that takes part of it', () => {
  test('gets what the vault has and the rest from a supplier', async () => {
    await world.deposit('card', ['AAA-1', 'AAA-2']);
    const { order } = await world.place({ sku: 'card', quantity: 5, allow_partial: true });
    const after = await world.runUntilRest(order.order_id);
    expect(after).toMatchObject({ state: 'delivered', delivered_quantity: 5 });
    expect((await world.codes(order.order_id)).slice(0, 2)).toEqual(['AAA-1', 'AAA-2']);
    expect(world.simulators.a!.books().units).toBe(3);
    expect((await world.attempts(order.order_id)).map((a) => [a.account, a.quantity, a.state])).toEqual([
      ['vault', 2, 'delivered'],
      ['a', 3, 'delivered'],
    ]);
  });

  test('asks a source for no more than it says it has', async () => {
    await world.database.write('sources').where({ account: 'a', sku: 'card' }).update({ stock: 2 });
    const { order } = await world.place({ sku: 'card', quantity: 5, allow_partial: true });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect([world.simulators.a!.books().units, world.simulators.b!.books().units]).toEqual([2, 3]);
    await expectBooksToAgree();
  });

  test('ends partial when nobody has the rest', async () => {
    await world.deposit('card', ['AAA-1', 'AAA-2']);
    for (const account of ['a', 'b']) world.simulators[account]!.fault('out_of_stock');
    const { order } = await world.place({ sku: 'card', quantity: 5, allow_partial: true });
    expect(await world.runUntilRest(order.order_id)).toMatchObject({
      state: 'partial',
      delivered_quantity: 2,
      reason: 'out_of_stock',
    });
  });

  test('is not done unless the storefront says so: the vault keeps what is too little', async () => {
    await world.deposit('card', ['AAA-1', 'AAA-2']);
    const { order } = await world.place({ sku: 'card', quantity: 5 });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect(world.simulators.a!.books().units).toBe(5);
    expect(await stockOf('card')).toMatchObject({ available: 2 });
  });
});

describe('detaching', () => {
  test('a silent supplier is left for the next; its late codes become stock, and the next order takes them', async () => {
    world.simulators.a!.fault('accept_then_drop');
    const { order } = await world.place({ sku: 'fast', quantity: 2 });
    await world.idle();
    expect(await world.order(order.order_id)).toMatchObject({ state: 'delivered', delivered_quantity: 2 });
    expect((await world.attempts(order.order_id)).map((a) => [a.account, a.state, a.detached_at !== null])).toEqual([
      ['vault', 'refused', false],
      ['a', 'unknown', true],
      ['b', 'delivered', false],
    ]);
    world.clock.advance(6_000);
    await world.gateway.jobs.runNow('look_up');
    await world.idle();
    expect(await stockOf('fast')).toMatchObject({ available: 2, issued: 2 });
    expect(await eventTypes(order.order_id)).toContain('late_codes');
    await expectBooksToAgree();
    const next = await world.place({ sku: 'fast', quantity: 2 });
    expect(next.order.state).toBe('delivered');
    expect(world.simulators.a!.books().orders + world.simulators.b!.books().orders).toBe(2);
  });

  test('beyond the exposure limit nothing is detached: the order waits', async () => {
    await world.database.write('accounts').where({ account: 'a' }).update({ exposure_limit_e4: 100_000 });
    world.simulators.a!.fault('accept_then_drop');
    const { order } = await world.place({ sku: 'fast', quantity: 2 });
    await world.idle();
    expect(await world.order(order.order_id)).toMatchObject({ state: 'sourcing' });
    expect(world.simulators.b!.books().orders).toBe(0);
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect(world.simulators.b!.books().orders).toBe(0);
  });

  test('is not done for a SKU that does not allow it', async () => {
    world.simulators.a!.fault('accept_then_drop');
    const { order } = await world.place({ sku: 'card' });
    await world.idle();
    expect(await world.order(order.order_id)).toMatchObject({ state: 'sourcing' });
    expect(world.simulators.b!.books().orders).toBe(0);
  });
});

describe('held orders', () => {
  const person = { by: 'li.si', reason: 'called them', evidence: 'ticket 4711' };

  async function heldOrder(sku = 'card', quantity = 1): Promise<string> {
    world.simulators.a!.fault('late', { times: 99 });
    const { order } = await world.place({ sku, quantity });
    await world.idle();
    world.clock.advance(600_001);
    await world.gateway.jobs.runNow('resume_orders');
    await world.idle();
    expect(await world.order(order.order_id)).toMatchObject({ state: 'held', held_reason: 'attempt_accepted' });
    return order.order_id;
  }

  test('are still delivered when the answer comes after all', async () => {
    const order_id = await heldOrder();
    const attempt = (await world.attempts(order_id)).find((each) => each.account === 'a')!;
    world.simulators.a!.deliver(attempt.reference);
    await world.simulators.a!.settled();
    expect((await world.runUntilRest(order_id)).state).toBe('delivered');
    await expectBooksToAgree();
  });

  test('"they say no" goes on to the next source, with name, reason and evidence kept', async () => {
    const order_id = await heldOrder();
    const { engine, fulfilment } = world.gateway;
    await decide(engine, fulfilment, { order_id, verdict: 'refused', ...person });
    expect((await world.runUntilRest(order_id)).state).toBe('delivered');
    expect(world.simulators.b!.books().orders).toBe(1);
    const kept = (await world.events(order_id)).find(
      (event) => event.type === 'attempt_refused' && event.data.includes('ticket 4711'),
    );
    expect(JSON.parse(kept!.data).decision).toEqual(person);
  });

  test('"they say yes" takes the codes they handed over', async () => {
    const order_id = await heldOrder('card', 2);
    const { engine, fulfilment } = world.gateway;
    const codes = [{ number: new Secret('HAND-1') }, { number: new Secret('HAND-2') }];
    const order = await decide(engine, fulfilment, { order_id, verdict: 'delivered', codes, ...person });
    expect(order).toMatchObject({ state: 'delivered', delivered_quantity: 2 });
    expect(await world.codes(order_id)).toEqual(['HAND-1', 'HAND-2']);
  });

  test('are not closed while something may have been bought', async () => {
    const order_id = await heldOrder();
    const { engine, fulfilment } = world.gateway;
    await expect(decide(engine, fulfilment, { order_id, verdict: 'close', ...person })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(decide(engine, fulfilment, { order_id, verdict: 'release', ...person })).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  test('a decision without evidence is refused', async () => {
    const order_id = await heldOrder();
    const { engine, fulfilment } = world.gateway;
    await expect(
      decide(engine, fulfilment, { order_id, verdict: 'refused', ...person, evidence: ' ' }),
    ).rejects.toMatchObject({ code: 'validation_failed', field: 'evidence' });
  });

  test('a disputed delivery is released, and the rest is bought', async () => {
    const first = await world.place({ sku: 'card' });
    await world.runUntilRest(first.order.order_id);
    world.simulators.a!.fault('repeated_codes');
    const second = await world.place({ sku: 'card' });
    await world.runUntilRest(second.order.order_id);
    const { engine, fulfilment } = world.gateway;
    await decide(engine, fulfilment, { order_id: second.order.order_id, verdict: 'release', ...person });
    expect((await world.runUntilRest(second.order.order_id)).state).toBe('delivered');
    expect(world.simulators.b!.books().orders).toBe(1);
  });

  test('a disputed delivery is closed as failed, and safe to refund', async () => {
    const first = await world.place({ sku: 'card' });
    await world.runUntilRest(first.order.order_id);
    world.simulators.a!.fault('repeated_codes');
    const second = await world.place({ sku: 'card' });
    await world.runUntilRest(second.order.order_id);
    const { engine, fulfilment } = world.gateway;
    const order = await decide(engine, fulfilment, { order_id: second.order.order_id, verdict: 'close', ...person });
    expect(order).toMatchObject({ state: 'failed', reason: 'closed_by_operator' });
  });
});

test('an order is cancelled only before its first attempt', async () => {
  const { order } = await world.place({ sku: 'card' });
  await expect(world.gateway.orders.cancel('mall', order.order_id)).rejects.toMatchObject({
    code: 'cancel_not_allowed',
  });
  await expect(world.gateway.orders.cancel('other', order.order_id)).rejects.toMatchObject({ code: 'order_not_found' });
  await world.runUntilRest(order.order_id);
});
