// Orders, held orders, suppliers' accounts: the commands as real processes on the database of a gateway. One
// world for all, because a command takes long enough: each test has SKUs and suppliers of its own.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { makeWorld, type World } from '../kit/world.js';
import { data, type Environment, environmentOf, run } from './program.js';

let world: World;
let env: Environment;
let sku: string;
let account: string;
let tests = 0;
beforeAll(async () => {
  world = await makeWorld({ journal: true });
  env = environmentOf(world);
});
afterAll(async () => {
  await world.close();
});
beforeEach(() => {
  // The commands read the machine's clock; the world's goes with it.
  world.clock.advance(Date.now() - world.clock.now());
  tests++;
  sku = `sku-${tests}`;
  account = `supplier-${tests}`;
});

interface Order {
  id: string;
  status: string;
  idempotent_replayed: boolean;
  delivered_quantity: number;
  attempts: { account: string; state: string; cost: string | null }[];
  events: { type: string }[];
}

const DECISION = ['--by', 'li', '--reason', 'they told us', '--evidence', 'ticket 17'];

describe('order', () => {
  test('place delivers from the vault; the same external id again is the same order', async () => {
    await world.addSku(sku);
    await world.deposit(sku, ['AAA-1', 'AAA-2']);
    const args = ['order', 'place', '--storefront', 'mall', '--sku', sku, '--external-id', 'x-1'];
    const first = await data<Order>(args, { env });
    const again = await data<Order>(args, { env });
    expect(first).toMatchObject({ status: 'delivered', idempotent_replayed: false });
    expect(again).toMatchObject({ id: first.id, idempotent_replayed: true });
    const changed = await run([...args, '--quantity', '2'], { env });
    expect(changed.code).toBe(7);
    expect(changed.stderr).toContain('quantity');
  });

  test('place buys from a supplier before the process ends, without a server', async () => {
    const a = await world.addSupplier(account);
    await world.addSku(sku, { kind: 'recharge' });
    await world.addSource(sku, account);
    const placed = await data<Order>(
      ['order', 'place', '--storefront', 'mall', '--sku', sku, '--account', '13900001111', '--wait', '0'],
      { env },
    );
    expect(a.books().orders).toBe(1);
    const shown = await data<Order>(['order', 'show', placed.id], { env });
    expect(shown).toMatchObject({
      status: 'delivered',
      attempts: [{ account, state: 'delivered', cost: '9.75' }],
    });
    expect(shown.events.map(({ type }) => type)).toContain('order_delivered');
    expect((await run(['order', 'show', placed.id], { env })).stdout).not.toContain('13900001111');
  });

  test('show finds an order by its external id, and tells when there is none', async () => {
    await world.addSku(sku);
    await world.deposit(sku, ['AAA-1']);
    const { order } = await world.place({ sku, external_id: 'x-9' });
    expect(await data<Order>(['order', 'show', 'x-9', '--storefront', 'mall'], { env })).toMatchObject({
      id: order.order_id,
    });
    expect((await run(['order', 'show', 'x-9'], { env })).code).toBe(6);
  });

  test('list is newest first, by state', async () => {
    await world.addSku(sku);
    await world.deposit(sku, ['AAA-1']);
    const [first, second] = [await world.place({ sku }), await world.place({ sku })];
    const orders = await data<Order[]>(['order', 'list', '--limit', '2'], { env });
    expect(orders.map(({ id }) => id)).toEqual([second.order.order_id, first.order.order_id]);
    expect(await data<Order[]>(['order', 'list', '--state', 'failed'], { env })).toMatchObject([
      { id: second.order.order_id },
    ]);
    expect((await run(['order', 'list', '--state', 'done'], { env })).code).toBe(2);
  });

  test.each([
    ['an unknown SKU', ['--sku', 'none'], 6, 'sku'],
    ['a missing recipient', [], 2, 'recipient'],
    ['a quantity of 0', ['--quantity', '0'], 2, '--quantity'],
    ['a storefront that is not there', ['--storefront', 'none'], 6, '--storefront'],
  ])('place refuses %s and writes nothing', async (_what, args, code, field) => {
    await world.addSku(sku, { kind: 'recharge' });
    const result = await run(['order', 'place', '--storefront', 'mall', '--sku', sku, ...args], { env });
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(`field: ${field}`);
    expect(await world.database.read('orders').where({ sku })).toEqual([]);
  });
});

describe('held', () => {
  /** An order whose supplier took it and went away, past its deadline. */
  async function heldOrder(kind: 'code' | 'recharge'): Promise<string> {
    const supplier = await world.addSupplier(account);
    await world.addSku(sku, { kind, deadline_ms: 60_000 });
    await world.addSource(sku, account);
    supplier.fault('accept_then_drop');
    const recipient = kind === 'recharge' ? { account: '13900001111' } : null;
    const { order } = await world.place({ sku, quantity: 1, recipient });
    await world.idle();
    await supplier.stopListening();
    expect((await world.runUntilRest(order.order_id, 10_000)).state).toBe('held');
    return order.order_id;
  }

  test('list shows the attempt to decide on, and the money at risk', async () => {
    const order_id = await heldOrder('recharge');
    const held = await data<object[]>(['held'], { env });
    expect(held).toMatchObject([{ id: order_id, status: 'held', open_attempt: { account, state: 'unknown' } }]);
    expect((await run(['held', 'list'], { env })).stdout).toContain('9.945 CNY');
  });

  test('decide --as delivered ends the order with who said so, why and by what', async () => {
    const order_id = await heldOrder('recharge');
    expect(await data(['held', 'decide', order_id, '--as', 'delivered', ...DECISION], { env })).toMatchObject({
      status: 'delivered',
    });
    const { events } = await data<{ events: { type: string; data: object }[] }>(['order', 'show', order_id], { env });
    const said = events.find(({ type }) => type === 'attempt_delivered');
    expect(said?.data).toMatchObject({ decision: { by: 'li', reason: 'they told us', evidence: 'ticket 17' } });
    const again = await run(['held', 'decide', order_id, '--as', 'refused', ...DECISION], { env });
    expect(again.code).toBe(7);
  });

  test('decide --as delivered takes the codes from standard input, and the storefront gets them', async () => {
    const order_id = await heldOrder('code');
    const decide = (input: string) =>
      run(['held', 'decide', order_id, '--as', 'delivered', ...DECISION, '--codes-file', '-'], { env, input });
    expect((await decide('')).code).toBe(2);
    const { code, stdout, stderr } = await decide('BBB-1,77\n');
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain('BBB');
    expect(await world.codes(order_id)).toEqual(['BBB-1']);
  });

  test('decide --as refused leaves the order to a serving process, which ends it', async () => {
    const order_id = await heldOrder('recharge');
    expect(await data(['held', 'decide', order_id, '--as', 'refused', ...DECISION], { env })).toMatchObject({
      status: 'sourcing',
    });
    await world.gateway.jobs.runNow('resume_orders');
    expect(await world.runUntilRest(order_id)).toMatchObject({ state: 'failed' });
  });

  test('decide wants a verdict, a name, a reason and evidence', async () => {
    const order_id = await heldOrder('recharge');
    expect(
      (await run(['held', 'decide', order_id, '--as', 'refused', '--by', 'li', '--reason', 'x'], { env })).code,
    ).toBe(2);
    expect((await run(['held', 'decide', order_id, '--as', 'lost', ...DECISION], { env })).code).toBe(2);
    const empty = await run(
      ['held', 'decide', order_id, '--as', 'refused', '--by', ' ', '--reason', 'x', '--evidence', 'y'],
      { env },
    );
    expect(empty.code).toBe(2);
    expect(empty.stderr).toContain('by is empty');
    expect(await world.order(order_id)).toMatchObject({ state: 'held' });
  });

  test('close is refused while the attempt may have been bought', async () => {
    const order_id = await heldOrder('recharge');
    const { code, stderr } = await run(['held', 'decide', order_id, '--as', 'close', ...DECISION], { env });
    expect(code).toBe(7);
    expect(stderr).toContain('it may have been bought');
  });
});

describe('suppliers', () => {
  beforeEach(async () => {
    await world.addSupplier(account);
  });

  const shown = async () => {
    const accounts = await data<{ account: string }[]>(['suppliers', 'list'], { env });
    return accounts.find((each) => each.account === account);
  };

  test('list shows accounts without the vault’s own and without secrets', async () => {
    const accounts = await data<{ account: string }[]>(['suppliers'], { env });
    expect(accounts).toContainEqual(expect.objectContaining({ account, adapter: 'simulated', paused_at: null }));
    expect(accounts.map((each) => each.account)).not.toContain('vault');
    expect(JSON.stringify(accounts)).not.toContain(world.simulators[account]!.app_secret);
  });

  test('pause and resume change it once, with the reason', async () => {
    const pause = ['suppliers', 'pause', account, '--reason'];
    expect(await data([...pause, 'prices look wrong'], { env })).toMatchObject({ changed: true });
    expect(await data([...pause, 'again'], { env })).toMatchObject({ changed: false });
    expect(await shown()).toMatchObject({ paused_reason: 'prices look wrong' });
    expect(await data(['suppliers', 'resume', account], { env })).toMatchObject({ changed: true });
    expect(await shown()).toMatchObject({ paused_at: null });
  });

  test('an account that is not there is exit 6, the vault is none', async () => {
    expect((await run(['suppliers', 'resume', 'none'], { env })).code).toBe(6);
    expect((await run(['suppliers', 'pause', 'vault', '--reason', 'x'], { env })).code).toBe(2);
  });
});
