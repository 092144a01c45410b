// The timeline of an order: every kind of entry, in order, without a code, a key or a whole phone number in it.
import { afterEach, expect, test } from '@jest/globals';
import { decide } from '../../src/orders/operator.js';
import { traceOrder, traceText } from '../../src/orders/trace.js';
import { makeWorld, type World } from '../kit/world.js';

const PHONE = '13900001111';
let world: World;
afterEach(() => world.close());

async function trace(order_id: string) {
  const { vault, database } = world.gateway;
  const found = await traceOrder({ knex: database.read, openText: vault.openText }, order_id);
  return found!;
}

test('tells of a failover: the request, each decision with its reason, the calls, the end and the money', async () => {
  world = await makeWorld();
  const alpha = await world.addSupplier('alpha');
  await world.addSupplier('beta');
  await world.addSupplier('gamma');
  await world.addSku('top-up', { kind: 'recharge' });
  await world.addSource('top-up', 'alpha', { priority: 1 });
  await world.addSource('top-up', 'beta', { priority: 2 });
  await world.addSource('top-up', 'gamma', { priority: 3, cost_e4: 200_000 });
  alpha.fault('maintenance');
  const { order } = await world.place({ sku: 'top-up', recipient: { account: PHONE } });
  await world.runUntilRest(order.order_id);
  const found = await trace(order.order_id);
  expect(found.entries.map(({ kind }) => kind)).toEqual([
    ...['request', 'decision', 'decision', 'call', 'call', 'attempt', 'attempt', 'state', 'money'],
  ]);
  const text = traceText(found);
  expect(text).toContain('mall ordered 1 of top-up at 10.00 CNY');
  expect(text).toContain(
    'attempt 1 goes to alpha for 1 of recharge-10; passed over: gamma, it costs more than the storefront pays',
  );
  expect(text).toContain('alpha refused attempt 1 (maintenance');
  expect(text).toContain('nothing was bought, so another source may be tried');
  expect(text).toContain('beta delivered 1 by attempt 2');
  expect(text).toContain('price 10.00 CNY, cost 9.75, margin 0.25');
  const whole = JSON.stringify(found);
  expect(whole).toContain('139****1111');
  expect(whole).not.toContain(PHONE);
  expect(whole).not.toContain(alpha.app_secret);
  expect(whole).toContain('"status":423');
});

test('tells of doubt, lookups, a callback, a webhook and a person', async () => {
  world = await makeWorld();
  const alpha = await world.addSupplier('alpha');
  await world.addSku('top-up', { kind: 'recharge', deadline_ms: 60_000 });
  await world.addSource('top-up', 'alpha');
  alpha.fault('accept_then_drop');
  alpha.fault('bad_gateway', { endpoint: 'lookup', times: 99 });
  const { order } = await world.place({
    sku: 'top-up',
    recipient: { account: PHONE },
    callback_url: 'http://127.0.0.1:9/hook',
  });
  await world.runUntilRest(order.order_id, 10_000);
  await decide(world.gateway.engine, world.gateway.fulfilment, {
    order_id: order.order_id,
    verdict: 'refused',
    by: 'li',
    reason: 'they say no',
    evidence: 'mail of today',
  });
  const found = await trace(order.order_id);
  const kinds = new Set(found.entries.map(({ kind }) => kind));
  for (const kind of ['request', 'decision', 'call', 'lookup', 'attempt', 'state', 'person', 'webhook'] as const) {
    expect([...kinds]).toContain(kind);
  }
  const text = traceText(found);
  expect(text).toMatch(/attempt 1 at alpha is in doubt \(reset\): it may have been bought/);
  expect(text).toContain('the order is held (attempt_unknown)');
  expect(text).toContain('li decided refused: they say no (mail of today)');
  expect(text).toContain('webhook order.held: not delivered yet after 0 tries');
  // A reply that nobody could read may hold anything.
  expect(JSON.stringify(found)).not.toContain('502 Bad Gateway');
  expect(JSON.stringify(found)).toContain('kept sealed: it may hold a code');
});

test('never shows a code, delivered or kept because it could not be trusted', async () => {
  world = await makeWorld();
  const alpha = await world.addSupplier('alpha');
  await world.addSku('gift');
  await world.addSource('gift', 'alpha');
  const good = await world.place({ sku: 'gift' });
  await world.runUntilRest(good.order.order_id);
  alpha.fault('short_silent', { units: 1 });
  const bad = await world.place({ sku: 'gift', quantity: 2 });
  await world.idle();
  const kept = await world.database.read('transcripts').where({ verb: 'kept_codes' }).first();
  const unsealed = world.gateway.vault.openText('transcript', kept.attempt_id, kept.exchanges_sealed);
  const codes = [
    ...(await world.codes(good.order.order_id)),
    ...(JSON.parse(unsealed) as { number: string }[]).map(({ number }) => number),
  ];
  expect(codes).toHaveLength(2);
  for (const { order } of [good, bad]) {
    const whole = JSON.stringify(await trace(order.order_id));
    for (const code of codes) expect(whole).not.toContain(code);
  }
});

test('there is no trace of an order that does not exist', async () => {
  world = await makeWorld();
  const { vault, database } = world.gateway;
  expect(await traceOrder({ knex: database.read, openText: vault.openText }, 'ord_none')).toBeNull();
});
