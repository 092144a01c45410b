// The breaker as other processes see it: its change is written down, and a reset reaches a serving process.
import { afterEach, expect, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import { listAccounts, resetBreaker } from '../../src/suppliers/accounts.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
afterEach(async () => {
  await world.close();
});

const noteOf = async (account: string) =>
  (await listAccounts(world.database.read)).find((each) => each.account === account)?.breaker ?? null;

test('an opened breaker takes its account out of routing, is seen by others, and is reset by them', async () => {
  world = await makeWorld({
    options: { breaker: { volume_min: 2, error_percent: 50, window_ms: 60_000, open_ms: 600_000 } },
  });
  await world.addSupplier('a');
  await world.addSupplier('b');
  await world.addSku('airtime', { kind: 'recharge' });
  await world.addSource('airtime', 'a', { priority: 1 });
  await world.addSource('airtime', 'b', { priority: 2 });
  world.simulators.a!.fault('maintenance', { times: 2 });
  const buy = async () => {
    const { order } = await world.place({ sku: 'airtime', recipient: { account: '13900001111' } });
    await world.runUntilRest(order.order_id);
    return (await world.attempts(order.order_id)).map((attempt) => attempt.account);
  };
  expect(await buy()).toEqual(['a', 'b']);
  expect(await buy()).toEqual(['a', 'b']);
  expect(await buy()).toEqual(['b']);
  expect(await noteOf('a')).toMatchObject({ state: 'open', because: 'refused:maintenance' });

  await atomic(world.database, 'reset', (trx) => resetBreaker(trx, 'a', world.clock.now() + 1));
  world.clock.advance(6_000);
  await (await world.gateway.channels.channel('a')).readBalance();
  expect(await noteOf('a')).toBeNull();
  expect(await buy()).toEqual(['a']);
});
