// A sealed vault keeps neither codes nor suppliers' answers: nothing is bought meanwhile, what was accepted stays due,
// and an answer that was under way is held on to. While only issuing is sealed, recharges go on.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import { makeWorld, type World } from '../kit/world.js';

const ACT = { by: 'operator:li', reason: 'test' };

let world: World;
beforeEach(async () => {
  world = await makeWorld();
  await world.addSupplier('a', { limits: { concurrency: 1, deadline_ms: 20_000 } });
  await world.addSku('card', { vault_rank: 'never' });
  await world.addSource('card', 'a');
  await world.addSku('airtime', { kind: 'recharge' });
  await world.addSource('airtime', 'a');
});
afterEach(async () => {
  for (const simulator of Object.values(world.simulators)) simulator.release();
  await world.close();
});

const seal = () => atomic(world.database, 'seal', (trx) => world.gateway.vault.control.seal(trx, ACT));
const unseal = () => atomic(world.database, 'unseal', (trx) => world.gateway.vault.control.unseal(trx, ACT));
const bought = () => world.simulators.a!.books().orders;
const airtime = { sku: 'airtime', recipient: { account: '13900001111' } };

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const ends_at = Date.now() + 20_000;
  while (!(await look())) {
    if (Date.now() > ends_at) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('sealed', () => {
  test('an order is refused before anything is written or sent, and accepted once the vault is open', async () => {
    await seal();
    await expect(world.place({ sku: 'card' })).rejects.toMatchObject({ code: 'sealed' });
    await expect(world.place(airtime)).rejects.toMatchObject({ code: 'sealed' });
    expect(await world.database.read('orders')).toEqual([]);
    expect(bought()).toBe(0);
    await unseal();
    const { order } = await world.place({ sku: 'card' });
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect(bought()).toBe(1);
  });

  test('the same external id still finds its order', async () => {
    const { order } = await world.place({ sku: 'card', external_id: 'x-1' });
    await world.idle();
    await seal();
    expect(await world.place({ sku: 'card', external_id: 'x-1' })).toMatchObject({
      is_replay: true,
      order: { order_id: order.order_id },
    });
  });

  test('an attempt that waits for its turn is not sent; an answer under way is settled after the seal', async () => {
    const { a } = world.simulators;
    a!.fault('hang');
    const first = await world.place({ sku: 'card' });
    await until('the first call', () => a!.hanging === 1);
    const second = await world.place({ sku: 'card' });
    await seal();
    a!.release();
    // It fills the only slot until its answer is here; then the second has its turn, and is not sent.
    await until('the second to be let go', () => world.gateway.fulfilment.size() === 1);
    expect(await world.attempts(second.order.order_id)).toMatchObject([{ state: 'planned', sent_at: null }]);
    expect(bought()).toBe(1);
    expect((await world.order(first.order.order_id)).state).toBe('sourcing');
    await unseal();
    await world.idle();
    expect((await world.order(first.order.order_id)).state).toBe('delivered');
    expect((await world.runUntilRest(second.order.order_id)).state).toBe('delivered');
    expect(bought()).toBe(2);
    expect(await world.codes(first.order.order_id)).toHaveLength(1);
  });

  test('an order that is taken up again stays due, and nothing is looked up', async () => {
    const { a } = world.simulators;
    a!.fault('accept_then_drop');
    const { order } = await world.place({ sku: 'card' });
    await world.idle();
    expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'unknown', lookups: 0 }]);
    await seal();
    world.clock.advance(60_000);
    expect(await world.gateway.jobs.runNow('look_up')).toBe(0);
    expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'unknown', lookups: 0 }]);
    await unseal();
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect(bought()).toBe(1);
  });
});

describe('issuing sealed', () => {
  test('codes are neither issued nor bought, recharges go on; what was due is delivered once it is open', async () => {
    const other = world.another();
    // Another process keeps a journal in this database; this one finds none.
    await world.database.write('vault_state').insert({ name: 'journal_id', value: 'jrn_1', updated_at: 1 });
    expect(await other.upkeep.start()).toMatchObject({ status: 'behind' });
    expect(other.upkeep.issuingFault()).toContain('none is configured');
    const place = (request: Parameters<World['place']>[0], external_id: string) =>
      other.orders.place({
        storefront: 'mall',
        request: {
          external_id,
          quantity: 1,
          recipient: null,
          max_unit_price_e4: null,
          currency: null,
          allow_partial: false,
          deliver_before: null,
          callback_url: null,
          metadata: null,
          ...request,
        },
      });
    await expect(place({ sku: 'card' }, 'o-1')).rejects.toMatchObject({ code: 'issuing_sealed' });
    expect(bought()).toBe(0);
    const { order } = await place(airtime, 'o-2');
    await other.fulfilment.idle();
    expect((await world.order(order.order_id)).state).toBe('delivered');
    await world.database.write('vault_state').where({ name: 'journal_id' }).delete();
    await other.jobs.runNow('watch_vault');
    expect(other.upkeep.issuingFault()).toBeNull();
    await place({ sku: 'card' }, 'o-1');
    await other.fulfilment.idle();
    expect(bought()).toBe(2);
  });
});
