// Bundles: one order for the storefront, a hidden order for each part. What is bought of it, once; what becomes of the
// rest when a part fails; and that no advice ever gives back what was delivered.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { explainRoute } from '../../src/orders/explain.js';
import { decide, readHeld } from '../../src/orders/operator.js';
import { traceOrder } from '../../src/orders/trace.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
const PHONE = { account: '13900001111' };
/** The bundle's price, and what each part counts for in it. */
const PRICE = 250_000;
const PARTS = [
  { sku: 'video', price_e4: 150_000 },
  { sku: 'music', price_e4: 100_000 },
];

beforeEach(async () => {
  world = await makeWorld();
  for (const [sku, account] of [
    ['video', 'a'],
    ['music', 'b'],
  ] as const) {
    await world.addSupplier(account);
    await world.addSku(sku, { kind: 'recharge', quantity_max: 10, deadline_ms: 600_000 });
    await world.addSource(sku, account);
  }
  await addBundle('both', 'finish');
  await addBundle('in-turn', 'stop');
});
afterEach(() => world.close());

async function addBundle(sku: string, failed_part: 'finish' | 'stop', parts: typeof PARTS = PARTS): Promise<void> {
  const rules = { account: { label: 'Phone', example: PHONE.account, pattern: '1[0-9]{10}', is_required: 1 } };
  await world.addSku(sku, {
    kind: 'bundle',
    failed_part,
    parts,
    price_e4: parts.reduce((sum, { price_e4 }) => sum + price_e4, 0),
    recipient_rules: parts.some((part) => part.sku !== 'card') ? rules : {},
    quantity_max: 5,
  });
}

const order = (sku: string, more: object = {}) => world.place({ sku, recipient: PHONE, ...more });
const bought = () =>
  Object.fromEntries(Object.entries(world.simulators).map(([name, each]) => [name, each.books().orders]));
const states = async (order_id: string) => (await world.parts(order_id)).map(({ sku, state }) => `${sku} ${state}`);
const view = async (order_id: string) => world.gateway.orders.view(await world.order(order_id));

describe('a bundle whose parts are bought at once', () => {
  test('is delivered when all of them are, each bought once', async () => {
    const placed = await order('both');
    expect(placed.order).toMatchObject({ kind: 'bundle', state: 'sourcing', delivered_quantity: 0, due_at: null });
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({
      state: 'delivered',
      delivered_quantity: 1,
      attempts_count: 2,
      reason: null,
      due_at: null,
    });
    expect(bought()).toEqual({ a: 1, b: 1 });
    expect(await states(after.order_id)).toEqual(['video delivered', 'music delivered']);
    expect(await view(after.order_id)).toMatchObject({
      status: 'delivered',
      refund_advice: 'none',
      refundable_amount: '0.00',
      total_price: '25.00',
      codes: null,
      parts: [
        { sku: 'video', status: 'delivered', unit_price: '15.00', refund_advice: 'none' },
        { sku: 'music', status: 'delivered', unit_price: '10.00' },
      ],
    });
  });

  test('under one external id is one order, whatever number of copies comes', async () => {
    const placed = await Promise.all(Array.from({ length: 50 }, () => order('both', { external_id: 'same' })));
    expect(new Set(placed.map((each) => each.order.order_id)).size).toBe(1);
    expect(placed.filter(({ is_replay }) => !is_replay)).toHaveLength(1);
    const after = await world.runUntilRest(placed[0]!.order.order_id);
    expect(after.state).toBe('delivered');
    expect(bought()).toEqual({ a: 1, b: 1 });
    expect((await order('both', { external_id: 'same' })).order).toMatchObject({
      order_id: after.order_id,
      state: 'delivered',
    });
  });

  test('goes on with the others when one fails, and only the failed one is given back', async () => {
    world.simulators.a!.fault('out_of_stock');
    const placed = await order('both');
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'partial', delivered_quantity: 0, reason: 'out_of_stock' });
    expect(bought()).toEqual({ a: 0, b: 1 });
    expect(await view(after.order_id)).toMatchObject({
      final: true,
      refund_advice: 'refund_parts',
      refundable_quantity: 0,
      refundable_amount: '15.00',
      parts: [
        { sku: 'video', status: 'failed', refund_advice: 'safe_to_refund', refundable_amount: '15.00' },
        { sku: 'music', status: 'delivered', refund_advice: 'none', refundable_amount: '0.00' },
      ],
    });
  });

  test('whose parts all fail has failed, and all of it is given back', async () => {
    for (const each of Object.values(world.simulators)) each.fault('out_of_stock');
    const placed = await order('both', { quantity: 2 });
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'failed', reason: 'out_of_stock' });
    expect(await view(after.order_id)).toMatchObject({
      refund_advice: 'safe_to_refund',
      refundable_quantity: 2,
      refundable_amount: '50.00',
    });
  });

  test('counts whole bundles only, however many units of one part came', async () => {
    await addBundle('cards', 'finish', [
      { sku: 'video', price_e4: 150_000 },
      { sku: 'card', price_e4: 100_000 },
    ]);
    await world.addSku('card');
    await world.deposit('card', ['AAA-1']);
    const placed = await order('cards', { quantity: 2, allow_partial: true });
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'partial', delivered_quantity: 1 });
    expect(await view(after.order_id)).toMatchObject({ refund_advice: 'refund_parts', refundable_amount: '10.00' });
  });

  test('is waited for while a part may have been bought, and held where a person must say so', async () => {
    world.simulators.a!.fault('accept_then_drop', { bought: false });
    await world.database.write('sources').where({ account: 'a' }).update({ priority: 1 });
    const placed = await order('both');
    await world.idle();
    expect(await states(placed.order.order_id)).toEqual(['video sourcing', 'music delivered']);
    expect(await view(placed.order.order_id)).toMatchObject({
      status: 'sourcing',
      refund_advice: 'do_not_refund',
      refundable_amount: '0.00',
    });
    // Nobody can be asked: the part's deadline comes.
    world.simulators.a!.fault('bad_gateway', { times: 1_000, endpoint: 'lookup' });
    world.clock.advance(700_000);
    await world.gateway.jobs.runNow('resume_orders');
    await world.idle();
    await world.gateway.jobs.runNow('resume_orders');
    await world.idle();
    expect(await world.order(placed.order.order_id)).toMatchObject({
      state: 'held',
      held_reason: 'part_held',
      due_at: null,
    });
    expect(await view(placed.order.order_id)).toMatchObject({
      status: 'held',
      refund_advice: 'do_not_refund',
      refundable_amount: '0.00',
    });
  });

  test('is decided by its parts: a person decides on the part, and the bundle follows', async () => {
    world.simulators.a!.fault('accept_then_drop', { bought: false });
    const placed = await order('both');
    await world.idle();
    const { order_id } = placed.order;
    const [video] = await world.parts(order_id);
    const said = { by: 'li', reason: 'statement', evidence: 'line 7' };
    const { engine, fulfilment } = world.gateway;
    await expect(decide(engine, fulfilment, { order_id, verdict: 'refused', ...said })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('bundle'),
    });
    await decide(engine, fulfilment, { order_id: video!.order_id, verdict: 'delivered', ...said });
    const after = await world.runUntilRest(order_id);
    expect(after).toMatchObject({ state: 'delivered', delivered_quantity: 1 });
  });
});

describe('a bundle that stops at a failed part', () => {
  test('buys one part after the other', async () => {
    const placed = await order('in-turn');
    expect(await states(placed.order.order_id)).toEqual(['video sourcing', 'music received']);
    expect(bought().b).toBe(0);
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'delivered', attempts_count: 2 });
    expect(bought()).toEqual({ a: 1, b: 1 });
  });

  test('buys nothing at all when the first one fails', async () => {
    world.simulators.a!.fault('out_of_stock');
    const placed = await order('in-turn');
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'failed', reason: 'out_of_stock' });
    expect(bought()).toEqual({ a: 0, b: 0 });
    expect(await states(after.order_id)).toEqual(['video failed', 'music cancelled']);
    expect(await view(after.order_id)).toMatchObject({
      refund_advice: 'safe_to_refund',
      refundable_amount: '25.00',
      parts: [{}, { status: 'cancelled', reason: { code: 'bundle_stopped' }, refund_advice: 'safe_to_refund' }],
    });
  });

  test('keeps what was delivered when a later one fails, and gives back the rest', async () => {
    world.simulators.b!.fault('out_of_stock');
    const placed = await order('in-turn');
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'partial', reason: 'out_of_stock' });
    expect(await view(after.order_id)).toMatchObject({ refund_advice: 'refund_parts', refundable_amount: '10.00' });
  });

  test('begins nothing where a part has no source now', async () => {
    await world.database.write('accounts').where({ account: 'b' }).update({ paused_at: 1 });
    const placed = await order('in-turn');
    expect(placed.order).toMatchObject({ state: 'failed', reason: 'no_live_source' });
    expect(bought()).toEqual({ a: 0, b: 0 });
    expect(await states(placed.order.order_id)).toEqual(['video cancelled', 'music cancelled']);
    const told = (await world.events(placed.order.order_id)).find(({ type }) => type === 'bundle_parts');
    expect(JSON.parse(told!.data)).toMatchObject({ no_source_for: 'music' });
    // The same under the other policy: what can be had is had.
    const other = await order('both');
    expect((await world.runUntilRest(other.order.order_id)).state).toBe('partial');
  });

  test('begins nothing where the vault has too few codes for a part', async () => {
    await world.addSku('card');
    await world.deposit('card', ['AAA-1']);
    await addBundle('cards', 'stop', [
      { sku: 'video', price_e4: 150_000 },
      { sku: 'card', price_e4: 100_000 },
    ]);
    const two = await order('cards', { quantity: 2 });
    expect(two.order).toMatchObject({ state: 'failed', reason: 'no_live_source' });
    expect(bought()).toEqual({ a: 0, b: 0 });
    const one = await order('cards');
    const after = await world.runUntilRest(one.order.order_id);
    expect(after.state).toBe('delivered');
    expect((await world.parts(after.order_id)).map(({ delivered_quantity }) => delivered_quantity)).toEqual([1, 1]);
  });

  test('waits with the next part while it is not known whether the last one was bought', async () => {
    world.simulators.a!.fault('accept_then_drop');
    const placed = await order('in-turn');
    await world.idle();
    for (let step = 0; step < 3; step++) await world.gateway.jobs.runNow('resume_orders');
    await world.idle();
    expect(await states(placed.order.order_id)).toEqual(['video sourcing', 'music received']);
    expect(bought()).toEqual({ a: 1, b: 0 });
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after.state).toBe('delivered');
    expect(bought()).toEqual({ a: 1, b: 1 });
  });

  test('gives the part whose turn comes the whole of its own time', async () => {
    world.simulators.a!.fault('accept_then_drop');
    const placed = await order('in-turn');
    await world.idle();
    world.clock.advance(500_000);
    await world.runUntilRest(placed.order.order_id);
    const [video, music] = await world.parts(placed.order.order_id);
    expect(music!.deadline_at - video!.deadline_at).toBeGreaterThanOrEqual(500_000);
  });
});

describe('of codes', () => {
  beforeEach(async () => {
    for (const sku of ['card', 'key']) {
      await world.addSku(sku);
      await world.deposit(
        sku,
        Array.from({ length: 10 }, (_, at) => `${sku.toUpperCase()}-${at}`),
      );
    }
  });
  const CODES = [
    { sku: 'card', price_e4: 150_000 },
    { sku: 'key', price_e4: 100_000 },
  ];

  test.each(['finish', 'stop'] as const)('the vault delivers the whole of it, with %s', async (failed_part) => {
    await addBundle('codes', failed_part, CODES);
    const placed = await world.place({ sku: 'codes', quantity: 2, recipient: PHONE });
    // One after the other takes a commit for each; at once, the accepting one is enough.
    if (failed_part === 'finish') expect(placed.order.state).toBe('delivered');
    const after = await world.runUntilRest(placed.order.order_id);
    expect(after).toMatchObject({ state: 'delivered', delivered_quantity: 2 });
    const parts = await world.parts(after.order_id);
    expect(await Promise.all(parts.map(({ order_id }) => world.codes(order_id)))).toEqual([
      ['CARD-0', 'CARD-1'],
      ['KEY-0', 'KEY-1'],
    ]);
    expect((await view(after.order_id)).codes).toEqual({ count: 4, url: `/v1/orders/${after.order_id}/codes` });
  });

  test('what is sold is counted once, and by what it is', async () => {
    await addBundle('codes', 'finish', CODES);
    await world.place({ sku: 'codes', recipient: PHONE });
    world.gateway.metrics.know('storefront', ['mall']);
    const { body: text } = await world.gateway.metrics.render();
    expect(text).toContain('kamigate_orders_created_total{storefront="mall",kind="bundle"} 1');
    expect(text).not.toMatch(/orders_created_total\{[^}]*kind="code"\} [1-9]/);
    expect(text).toContain('kamigate_orders_finished_total{storefront="mall",kind="bundle",outcome="delivered"} 1');
    expect(text).toContain('kamigate_sales_amount_total{storefront="mall",kind="code"} 25');
    expect(text).not.toMatch(/sales_amount_total\{[^}]*kind="bundle"\} [1-9]/);
  });
});

describe('whatever happens meanwhile', () => {
  test('a process that dies leaves nothing behind: another one goes on', async () => {
    // This process accepts it, and is gone before it has sent anything.
    world.gateway.fulfilment.stop();
    const placed = await order('in-turn');
    const { order_id } = placed.order;
    const other = world.another();
    for (let step = 0; step < 30 && (await world.order(order_id)).state !== 'delivered'; step++) {
      world.clock.advance(6_000);
      for (const job of ['resume_orders', 'look_up']) await other.jobs.runNow(job);
      await other.fulfilment.idle();
    }
    expect(await states(order_id)).toEqual(['video delivered', 'music delivered']);
    expect(bought()).toEqual({ a: 1, b: 1 });
  });

  test('two processes that find it due at the same moment begin the next part once', async () => {
    const placed = await order('in-turn');
    const { order_id } = placed.order;
    const other = world.another();
    await world.idle();
    await world.runUntilRest(order_id);
    for (let round = 0; round < 20; round++) {
      const next = await order('in-turn');
      await world.idle();
      await world.database
        .write('orders')
        .where({ order_id: next.order.order_id })
        .update({ due_at: world.clock.now() });
      await Promise.all([world.gateway, other].map((each) => each.jobs.runNow('resume_orders')));
      await world.runUntilRest(next.order.order_id);
    }
    expect(bought()).toEqual({ a: 21, b: 21 });
  });

  test('its parts are nobody’s orders but its own', async () => {
    const { orders } = world.gateway;
    const placed = await order('both');
    await world.runUntilRest(placed.order.order_id);
    const [part] = await world.parts(placed.order.order_id);
    expect(await orders.read('mall', { order_id: part!.order_id })).toBeNull();
    expect(await orders.read('mall', { external_id: part!.external_id })).toBeNull();
    expect((await orders.list('mall', { state: null, cursor: null, limit: 10 })).map(({ sku }) => sku)).toEqual([
      'both',
    ]);
    await expect(orders.cancel('mall', part!.order_id)).rejects.toMatchObject({ code: 'order_not_found' });
  });

  test('the storefront is told of the whole, once, and of no part', async () => {
    await world.database.write('storefronts').update({ webhook_url: 'http://127.0.0.1:9/hook' });
    world.simulators.a!.fault('out_of_stock');
    const placed = await order('both');
    await world.runUntilRest(placed.order.order_id);
    const notices = (await world.database.read('notices')) as { order_id: string; type: string; payload: string }[];
    expect(notices.map(({ order_id, type }) => [order_id, type])).toEqual([[placed.order.order_id, 'order.partial']]);
    expect(JSON.parse(notices[0]!.payload).data).toMatchObject({
      refund_advice: 'refund_parts',
      delivered_quantity: 0,
    });
  });
});

describe('what a person sees of it', () => {
  test('explaining its route tells of each part', async () => {
    const explained = await explainRoute(world.gateway.engine, 'both', { quantity: 2, recipient: PHONE });
    expect(explained.sources).toEqual([]);
    expect(explained.parts.map(({ sku, quantity, sources }) => [sku, quantity, sources[0]?.account])).toEqual([
      ['video', 2, 'a'],
      ['music', 2, 'b'],
    ]);
    // A part may cost what it counts for in the bundle, whatever it is sold for by itself.
    await world.database
      .write('skus')
      .where({ sku: 'both' })
      .update({
        parts: JSON.stringify([{ sku: 'video', quantity: 1, price_e4: 90_000, recipient: {} }]),
      });
    const [video] = (await explainRoute(world.gateway.engine, 'both')).parts;
    expect(video?.sources[0]).toMatchObject({ place: null, rule: 'cost_covered' });
  });

  test('its timeline names its parts, and those of a stopped one', async () => {
    world.simulators.a!.fault('out_of_stock');
    const placed = await order('in-turn');
    await world.runUntilRest(placed.order.order_id);
    const { vault } = world.gateway;
    const trace = await traceOrder(
      { knex: world.database.read, openText: vault.openText.bind(vault) },
      placed.order.order_id,
    );
    const [video, music] = await world.parts(placed.order.order_id);
    expect(trace!.entries.map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        `1 of video (${video!.order_id}), 1 of music (${music!.order_id})`,
        `the part music is not bought, for another one failed (${music!.order_id})`,
        'the order is failed (out_of_stock)',
      ]),
    );
  });

  test('what waits for a person is the part, and only once', async () => {
    world.simulators.a!.fault('accept_then_drop', { bought: false });
    const placed = await order('both');
    await world.idle();
    const [video] = await world.parts(placed.order.order_id);
    await world.database
      .write('orders')
      .whereIn('order_id', [video!.order_id, placed.order.order_id])
      .update({ state: 'held', held_reason: 'attempt_unknown', due_at: null });
    expect((await readHeld(world.database.read, 10)).map(({ order_id }) => order_id)).toEqual([video!.order_id]);
  });
});

describe('the recipient of a part', () => {
  const RULE = { label: 'Phone', example: PHONE.account, pattern: '1[0-9]{10}', is_required: 1 };

  test('is made of the fields of the bundle’s that it names', async () => {
    await world.addSku('joint', {
      kind: 'bundle',
      parts: [
        { sku: 'video', price_e4: 150_000 },
        { sku: 'music', price_e4: 100_000, recipient: { account: 'extra.music_id' } },
      ],
      price_e4: PRICE,
      recipient_rules: { account: RULE, extra: { music_id: { ...RULE, label: 'Music account' } } },
    });
    const recipient = { account: '13900001111', extra: { music_id: '13800002222' } };
    const placed = await world.place({ sku: 'joint', recipient });
    await world.runUntilRest(placed.order.order_id);
    const requests = (await world.parts(placed.order.order_id)).map(({ request }) => JSON.parse(request).recipient);
    expect(requests).toEqual([{ account: '13900001111' }, { account: '13800002222' }]);
    await expect(
      world.place({ sku: 'joint', recipient: { account: '13900001111', extra: { music_id: '1' } } }),
    ).rejects.toMatchObject({ code: 'recipient_invalid', errors: [{ pointer: '/recipient/extra/music_id' }] });
  });

  test('that a part refuses is told before anything is written', async () => {
    await world.database
      .write('skus')
      .where({ sku: 'music' })
      .update({ recipient_rules: JSON.stringify({ account: { ...RULE, pattern: '138[0-9]{8}' } }) });
    await expect(order('both')).rejects.toMatchObject({
      code: 'recipient_invalid',
      errors: [{ pointer: '/recipient/account', message: expect.stringContaining('for music') }],
    });
    expect(await world.database.read('orders')).toHaveLength(0);
  });

  test('a bundle with a part that is not sold is not sold', async () => {
    await world.database.write('skus').where({ sku: 'music' }).update({ is_enabled: 0 });
    await expect(order('both')).rejects.toMatchObject({ code: 'sku_unavailable' });
  });
});
