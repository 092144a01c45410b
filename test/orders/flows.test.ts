// Orders from acceptance to rest, on a real database against real simulated suppliers: what is bought, once, and from
// whom; what is held; what becomes of codes that come late.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
beforeEach(async () => {
  world = await makeWorld();
});
afterEach(async () => {
  await world.close();
});

const PHONE = { account: '13900001111' };

describe('codes from the vault', () => {
  test('are issued in the very commit that accepts the order', async () => {
    await world.addSku('card');
    await world.deposit('card', ['AAA-1', 'AAA-2', 'AAA-3']);
    const { order } = await world.place({ sku: 'card', quantity: 2 });
    expect(order).toMatchObject({ state: 'delivered', delivered_quantity: 2, due_at: null });
    expect(await world.codes(order.order_id)).toEqual(['AAA-1', 'AAA-2']);
    const [attempt] = await world.attempts(order.order_id);
    expect(attempt).toMatchObject({
      account: 'vault',
      state: 'delivered',
      cost_e4: 180_000,
      currency: 'CNY',
      open_order_id: null,
    });
  });

  test('the same external id again is the same order, and takes no second code', async () => {
    await world.addSku('card');
    await world.deposit('card', ['AAA-1', 'AAA-2']);
    const first = await world.place({ sku: 'card', external_id: 'same' });
    const again = await world.place({ sku: 'card', external_id: 'same' });
    expect(again).toMatchObject({ is_replay: true, order: { order_id: first.order.order_id } });
    expect(await world.gateway.vault.stock(world.database.read, ['card'])).toMatchObject([{ available: 1, issued: 1 }]);
  });

  test('a different request under a used external id is refused, and names what differs', async () => {
    await world.addSku('card');
    await world.deposit('card', ['AAA-1', 'AAA-2']);
    await world.place({ sku: 'card', external_id: 'same' });
    await expect(world.place({ sku: 'card', external_id: 'same', quantity: 2 })).rejects.toMatchObject({
      code: 'external_id_mismatch',
      errors: [{ pointer: '/quantity' }],
    });
  });

  test('100 copies at once make one order and take one code', async () => {
    await world.addSku('card');
    await world.deposit('card', ['AAA-1', 'AAA-2']);
    const results = await Promise.all(
      Array.from({ length: 100 }, () => world.place({ sku: 'card', external_id: 'same' })),
    );
    expect(new Set(results.map((result) => result.order.order_id)).size).toBe(1);
    expect(results.filter((result) => !result.is_replay)).toHaveLength(1);
    expect(await world.database.read('issues').count({ n: '*' }).first()).toEqual({ n: 1 });
  });

  test('too few: the order goes on to a supplier, and the vault keeps what it has', async () => {
    const simulator = await world.addSupplier('a');
    await world.addSku('card');
    await world.addSource('card', 'a');
    await world.deposit('card', ['AAA-1']);
    const { order } = await world.place({ sku: 'card', quantity: 2 });
    const after = await world.runUntilRest(order.order_id);
    expect(after.state).toBe('delivered');
    expect(simulator.books().units).toBe(2);
    expect((await world.attempts(order.order_id)).map((a) => [a.account, a.state, a.reason])).toEqual([
      ['vault', 'refused', 'out_of_stock'],
      ['a', 'delivered', null],
    ]);
  });
});

describe('a direct recharge', () => {
  beforeEach(async () => {
    await world.addSupplier('a');
    await world.addSupplier('b');
    await world.addSku('airtime', { kind: 'recharge' });
    await world.addSource('airtime', 'a', { priority: 1 });
    await world.addSource('airtime', 'b', { priority: 2 });
  });

  test('is bought from the first source', async () => {
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    expect(order.state).toBe('sourcing');
    const after = await world.runUntilRest(order.order_id);
    expect(after).toMatchObject({ state: 'delivered', delivered_quantity: 1, attempts_count: 1 });
    expect(world.simulators.a!.books().charged_e4).toBe(97_500);
    expect(await world.attempts(order.order_id)).toMatchObject([{ cost_e4: 97_500, settled_by: 'answer' }]);
  });

  test('100 copies at once are one purchase', async () => {
    const results = await Promise.all(
      Array.from({ length: 100 }, () => world.place({ sku: 'airtime', recipient: PHONE, external_id: 'same' })),
    );
    await world.runUntilRest(results[0]!.order.order_id);
    expect(world.simulators.a!.books().orders + world.simulators.b!.books().orders).toBe(1);
  });

  test('fails over when the first source is out of stock', async () => {
    world.simulators.a!.fault('out_of_stock');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    const after = await world.runUntilRest(order.order_id);
    expect(after.state).toBe('delivered');
    expect((await world.attempts(order.order_id)).map((a) => [a.account, a.state, a.reason])).toEqual([
      ['a', 'refused', 'out_of_stock'],
      ['b', 'delivered', null],
    ]);
    expect(world.simulators.a!.books().orders).toBe(0);
  });

  test.each(['accept_then_drop', 'bad_gateway', 'empty_reply', 'garbage', 'reset_after_body', 'unmapped'])(
    'with %s waits, is looked up, and is bought once',
    async (fault) => {
      world.simulators.a!.fault(fault);
      const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
      await world.idle();
      expect(await world.order(order.order_id)).toMatchObject({ state: 'sourcing' });
      expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'unknown', settled_at: null }]);
      const after = await world.runUntilRest(order.order_id);
      expect(after.state).toBe('delivered');
      expect(world.simulators.a!.books().orders).toBe(1);
      expect(world.simulators.b!.books().orders).toBe(0);
      expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'delivered', cost_e4: 97_500 }]);
    },
  );

  test('whose request never arrived is proven absent, and only then bought elsewhere', async () => {
    world.simulators.a!.fault('accept_then_drop', { bought: false });
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.idle();
    expect(world.simulators.b!.books().orders).toBe(0);
    const after = await world.runUntilRest(order.order_id);
    expect(after.state).toBe('delivered');
    expect((await world.attempts(order.order_id)).map((a) => [a.account, a.state])).toEqual([
      ['a', 'refused'],
      ['b', 'delivered'],
    ]);
    expect([world.simulators.a!.books().orders, world.simulators.b!.books().orders]).toEqual([0, 1]);
  });

  test('is not proven absent while a sender that stood still may yet send', async () => {
    world.simulators.a!.fault('accept_then_drop', { bought: false });
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.idle();
    // Past the supplier's own delay of 2 s, but within it after the last moment at which a byte may leave (4 s).
    world.clock.advance(5_500);
    await world.gateway.jobs.runNow('look_up');
    await world.idle();
    expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'unknown' }]);
    expect(world.simulators.b!.books().orders).toBe(0);
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
  });

  test('that is accepted is delivered by callback, and a repeated callback changes nothing', async () => {
    world.simulators.a!.fault('late');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.idle();
    const [attempt] = await world.attempts(order.order_id);
    expect(attempt!.state).toBe('accepted');
    world.simulators.a!.deliver(attempt!.reference);
    await world.simulators.a!.settled();
    expect(await world.order(order.order_id)).toMatchObject({ state: 'delivered' });
    expect(await world.attempts(order.order_id)).toMatchObject([{ settled_by: 'callback' }]);
    const { version } = await world.order(order.order_id);
    await world.simulators.a!.callBack(attempt!.reference);
    await world.simulators.a!.callBack(attempt!.reference, { forged: true });
    expect((await world.order(order.order_id)).version).toBe(version);
  });

  test.each(['callback_first', 'callback_twice', 'callback_forged'])(
    'survives %s and is delivered once',
    async (fault) => {
      world.simulators.a!.fault(fault);
      const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
      const after = await world.runUntilRest(order.order_id);
      await world.simulators.a!.settled();
      if (fault === 'callback_forged' && after.state !== 'delivered') {
        const [attempt] = await world.attempts(order.order_id);
        world.simulators.a!.deliver(attempt!.reference);
        await world.simulators.a!.settled();
      }
      expect(await world.order(order.order_id)).toMatchObject({ state: 'delivered', delivered_quantity: 1 });
      expect(world.simulators.a!.books()).toMatchObject({ orders: 1, units: 1 });
      expect(world.simulators.b!.books().orders).toBe(0);
    },
  );

  test('with every callback lost is still finished, by lookups alone', async () => {
    await world.close();
    world = await makeWorld({ options: { public_url: 'http://127.0.0.1:9' } });
    const a = await world.addSupplier('a');
    await world.addSku('airtime', { kind: 'recharge' });
    await world.addSource('airtime', 'a');
    a.fault('late');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.idle();
    a.deliver((await world.attempts(order.order_id))[0]!.reference);
    const after = await world.runUntilRest(order.order_id);
    expect(after.state).toBe('delivered');
    expect(await world.attempts(order.order_id)).toMatchObject([{ settled_by: 'lookup' }]);
  });

  test('for a recipient that does not exist stops: others would say the same', async () => {
    world.simulators.a!.fault('recipient_invalid');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    const after = await world.runUntilRest(order.order_id);
    expect(after).toMatchObject({ state: 'failed', reason: 'recipient_invalid', delivered_quantity: 0 });
    expect(world.simulators.b!.books().orders).toBe(0);
  });

  test('whose reference is "already known" is looked up, never refused and never bought again', async () => {
    world.simulators.a!.fault('duplicate_reference');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.idle();
    expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'unknown', doubt: 'duplicate' }]);
    expect(world.simulators.b!.books().orders).toBe(0);
  });

  test('that no source can fill fails, and is safe to refund', async () => {
    world.simulators.a!.fault('out_of_stock');
    world.simulators.b!.fault('maintenance');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    const after = await world.runUntilRest(order.order_id);
    expect(after).toMatchObject({ state: 'failed', due_at: null });
    expect(world.simulators.a!.books().orders + world.simulators.b!.books().orders).toBe(0);
  });

  test.each([
    ['float_low', 'paused'],
    ['credentials', 'paused'],
  ])('%s pauses the account and goes on', async (fault) => {
    world.simulators.a!.fault(fault, { times: 5 });
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    const account = await world.database.read('accounts').where({ account: 'a' }).first();
    expect(account.paused_at).not.toBeNull();
    const next = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.runUntilRest(next.order.order_id);
    expect(world.simulators.b!.books().orders).toBe(2);
  });

  test('a price above the ceiling is refused upstream and bought elsewhere', async () => {
    world.simulators.a!.fault('cost_changed');
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect(world.simulators.a!.books().charged_e4).toBe(0);
    expect(world.simulators.b!.books().charged_e4).toBe(97_500);
  });

  test('a connection refused proves that nothing left', async () => {
    await world.simulators.a!.stopListening();
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect((await world.attempts(order.order_id)).map((a) => [a.account, a.state, a.reason])).toEqual([
      ['a', 'refused', 'not_sent'],
      ['b', 'delivered', null],
    ]);
  });

  test('a success that is reversed later is written down, and the order is not bought again', async () => {
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    await world.runUntilRest(order.order_id);
    const [attempt] = await world.attempts(order.order_id);
    world.simulators.a!.reverse(attempt!.reference);
    await world.simulators.a!.settled();
    expect((await world.events(order.order_id)).map((event) => event.type)).toContain('attempt_reversed');
    expect(await world.order(order.order_id)).toMatchObject({ state: 'delivered' });
    expect(world.simulators.b!.books().orders).toBe(0);
  });
});
