// Cost changes, limits, rates, mappings, lists and balances: the commands as real processes on the database of a gateway.
// One world for all, because a command takes long enough: each test has an account and SKUs of its own.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Offer } from '../../adapters/kit/contract.js';
import { listPending } from '../../src/catalog/cost-changes.js';
import { readAccountEvents } from '../../src/suppliers/events.js';
import { listOffer } from '../kit/offers.js';
import { makeWorld, type World } from '../kit/world.js';
import { data, type Environment, environmentOf, run } from './program.js';

let world: World;
let env: Environment;
let account: string;
let sku: string;
let source: string;
let tests = 0;
beforeAll(async () => {
  world = await makeWorld();
  env = environmentOf(world);
});
afterAll(async () => {
  await world.close();
});
beforeEach(async () => {
  // The commands read the machine's clock; the world's goes with it.
  world.clock.advance(Date.now() - world.clock.now());
  tests++;
  account = `supplier-${tests}`;
  sku = `sku-${tests}`;
  await world.addSupplier(account);
  await world.addSku(sku, { vault_rank: 'never', price_e4: 150_000 });
  source = await world.addSource(sku, account, { cost_e4: 98_000 });
});

/** The supplier names this offer now. */
async function named(cost_e4: number, more: Partial<Offer> = {}): Promise<void> {
  await listOffer(world, account, {
    product: 'code-10',
    name: 'Card 10',
    kind: 'code',
    cost: { amount_e4: cost_e4, currency: 'CNY' },
    stock: null,
    available: true,
    ...more,
  });
}

/** A change far above the limit, which waits for a person. */
async function waiting(): Promise<string> {
  await named(120_000);
  const change = (await listPending(world.database.read)).find((each) => each.account === account);
  return change!.change_id;
}

const costOf = async () => world.database.read('sources').where({ source }).first('cost_e4', 'cost_state');
const BY = ['--by', 'Li', '--reason', 'new contract'];

describe('price', () => {
  test('pending shows what waits, and approve puts the new cost in force with name and reason', async () => {
    const change_id = await waiting();
    const pending = await data<{ change_id: string }[]>(['price', 'pending'], { env });
    expect(pending.find((each) => each.change_id === change_id)).toMatchObject({
      sku,
      account,
      old_cost: '9.80',
      new_cost: '12.00',
      rule: 'rise_above_limit',
      change_bp: 2_245,
      needs_second: false,
      created_at: expect.stringMatching(/Z$/),
    });
    const { code, stdout, stderr } = await run(['price', 'approve', change_id, ...BY], { env });
    expect([code, stderr]).toEqual([0, `next: kamigate price history --source ${source}\n`]);
    expect(stdout).toContain('9.80 CNY → 12.00 CNY');
    expect(await costOf()).toMatchObject({ cost_e4: 120_000, cost_state: 'settled' });
    expect(await data(['price', 'history', '--source', source], { env })).toMatchObject([
      { change_id, state: 'approved', decided_by: 'Li', reason: 'new contract' },
    ]);
    expect((await run(['price', 'approve', change_id, ...BY], { env })).code).toBe(7);
  });

  test('approve --all-below takes the small ones, up and down, and leaves the others', async () => {
    await named(102_000);
    const [small] = await listPending(world.database.read);
    expect(small).toMatchObject({ account, change_bp: 408 });
    expect(await data(['price', 'approve', '--all-below', '4%', ...BY], { env })).toEqual([]);
    expect(await costOf()).toMatchObject({ cost_e4: 98_000, cost_state: 'pending' });
    const other = ['price', 'approve', '--all-below', '5', '--account', 'another', ...BY];
    expect(await data(other, { env })).toEqual([]);
    const { code, stderr } = await run(['price', 'approve', '--all-below', '5', '--account', account, ...BY], { env });
    expect([code, stderr]).toEqual([0, '1 of 1 waiting changes; next: kamigate price pending\n']);
    expect(await costOf()).toMatchObject({ cost_e4: 102_000, cost_state: 'settled' });
    for (const wrong of [[], ['prc_1', '--all-below', '2'], ['--all-below', 'all']]) {
      expect((await run(['price', 'approve', ...wrong, ...BY], { env })).code).toBe(2);
    }
  });

  test('reject leaves the old cost, and history of the account tells of it', async () => {
    const change_id = await waiting();
    expect(await data(['price', 'reject', change_id, ...BY], { env })).toMatchObject({ change_id, state: 'rejected' });
    expect(await costOf()).toMatchObject({ cost_e4: 98_000, cost_state: 'rejected' });
    const { stdout } = await run(['price', 'history', '--account', account], { env });
    expect(stdout).toMatch(/9\.80 CNY → 12\.00 CNY +rejected +rise_above_limit +Li +new contract/);
  });

  test('above the impact limit one approval is only noted, and another person gives the second', async () => {
    await run(['price', 'policy', '--account', account, '--impact-max', '0', ...BY], { env });
    const { order } = await world.place({ sku });
    await world.runUntilRest(order.order_id);
    const change_id = await waiting();
    const first = await run(['price', 'approve', change_id, ...BY], { env });
    expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('next: somebody else runs')]);
    expect((await run(['price', 'approve', change_id, ...BY], { env })).code).toBe(7);
    const second = ['price', 'approve', change_id, '--by', 'Wang', '--reason', 'checked too'];
    expect(await data(second, { env })).toMatchObject({
      state: 'approved',
      needs_second: false,
      first_approved_by: 'Li',
      decided_by: 'Wang',
    });
  });

  test('decisions need a name, a reason and a change that is there', async () => {
    const decided = await Promise.all(
      [
        ['prc_none', ...BY],
        ['prc_none', '--by', 'Li'],
        ['prc_none', '--by', ' ', '--reason', 'x'],
      ].map((args) => run(['price', 'approve', ...args], { env })),
    );
    expect(decided.map(({ code }) => code)).toEqual([6, 2, 2]);
    expect(decided[0]?.stderr).toContain('field: change_id');
    expect((await run(['price', 'history'], { env })).code).toBe(2);
  });

  test('policy shows the limits and sets them for what is named, and the guard goes by them', async () => {
    const set = ['price', 'policy', '--sku', sku, '--rise-max', '25', '--floor', '1.00', '--currency', 'CNY', ...BY];
    expect(await data(set, { env })).toMatchObject({ scope: 'sku', subject: sku, rise_max_bp: 2_500, floor: '1.00' });
    const policies = await data<object[]>(['price', 'policy'], { env });
    expect(policies[0]).toMatchObject({ scope: 'all', set_by: 'built in', rise_max_bp: 200 });
    expect(policies).toContainEqual(expect.objectContaining({ scope: 'sku', subject: sku, set_by: 'Li' }));
    expect((await run(['price', 'policy'], { env })).stdout).toMatch(new RegExp(`sku +${sku} +25 %`));
    await named(120_000);
    expect(await costOf()).toMatchObject({ cost_e4: 120_000 });
    const taken_back = ['price', 'policy', '--sku', sku, '--rise-max', 'none', ...BY];
    expect(await data(taken_back, { env })).toMatchObject({ rise_max_bp: null, floor: '1.00' });
  });

  test.each([
    ['no scope', ['--rise-max', '3', ...BY], 2, '--all'],
    ['two scopes', ['--all', '--sku', 'x', '--rise-max', '3', ...BY], 2, '--all'],
    ['a SKU that is not there', ['--sku', 'none', '--rise-max', '3', ...BY], 6, 'subject'],
    ['no reason', ['--all', '--rise-max', '3', '--by', 'Li'], 2, '--reason'],
    ['a scope and no limit', ['--all'], 2, '--all'],
    ['what is no percentage', ['--all', '--rise-max', '-3', ...BY], 2, '--rise-max'],
    ['a ceiling without its currency', ['--all', '--ceiling', '3', ...BY], 2, 'currency'],
  ])('policy refuses %s and sets nothing', async (_what, args, code, field) => {
    const before = await world.database.read('cost_policies').count({ n: '*' }).first();
    const refused = await run(['price', 'policy', ...args], { env });
    expect([refused.code, refused.stderr]).toEqual([code, expect.stringContaining(`field: ${field}`)]);
    expect(await world.database.read('cost_policies').count({ n: '*' }).first()).toEqual(before);
  });

  test('lock makes a small change wait until its time, and now lifts it', async () => {
    const lock = ['price', 'lock', '--sku', sku, ...BY, '--until'];
    expect(await data([...lock, '2099-01-31'], { env })).toMatchObject({ locked_until: '2099-01-31T00:00:00.000Z' });
    await named(98_100);
    expect(await listPending(world.database.read)).toContainEqual(expect.objectContaining({ account, rule: 'locked' }));
    const lifted = await data<{ locked_until: string }>([...lock, 'now'], { env });
    world.clock.advance(1_000 + Date.now() - world.clock.now());
    expect(Date.parse(lifted.locked_until)).toBeLessThanOrEqual(Date.now());
    await named(98_200);
    expect(await costOf()).toMatchObject({ cost_e4: 98_200 });
    expect(await data([...lock, 'none'], { env })).toMatchObject({ locked_until: null });
    for (const until of ['2020-01-01', '2099-02-30', 'tomorrow']) {
      const refused = await run([...lock, until], { env });
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('field: --until')]);
    }
  });
});

test('rate sets the rate of a day, lists it, and wants a jump to be meant', async () => {
  const set = ['rate', 'set', 'USD', '--by', 'Li'];
  const today = new Date().toISOString().slice(0, 10);
  expect(await data([...set, '7.1234'], { env })).toMatchObject({ currency: 'USD', base: 'CNY', rate: '7.1234' });
  const jump = await run([...set, '71.234'], { env });
  expect([jump.code, jump.stderr]).toEqual([7, expect.stringContaining('20 %')]);
  expect((await run([...set, '71.234', '--jump-is-meant'], { env })).stdout).toBe(`1 USD = 71.234 CNY on ${today}\n`);
  await data(['rate', 'set', 'USD', '7', '--by', 'Wang', '--as-of', '2026-01-31', '--jump-is-meant'], { env });
  expect(await data(['rate', 'list'], { env })).toMatchObject([
    { as_of: today, rate: '71.234', set_by: 'Li' },
    { as_of: '2026-01-31', rate: '7.00', set_by: 'Wang' },
  ]);
  for (const wrong of [['0'], ['7', '--as-of', '2026-02-30'], ['7', '--as-of', '2099-01-01'], ['7', '--base', 'USD']])
    expect((await run([...set, ...wrong], { env })).code).toBe(2);
});

describe('sku', () => {
  interface Product {
    product: string;
    cost: string;
    suggestions: { sku: string; because: string[] }[];
  }
  const unmapped = () => data<Product[]>(['sku', 'unmapped', '--account', account], { env });

  test('unmapped suggests, map makes a source of it, dismiss ends it', async () => {
    await world.database.write('skus').where({ sku }).update({ name: 'Steam wallet 50' });
    await named(480_000, { product: 'st-50', name: 'Steam wallet card 50' });
    await named(10_000, { product: 'zz', name: 'Something else' });
    expect(await unmapped()).toMatchObject([
      { product: 'st-50', cost: '48.00', suggestions: [{ sku, because: expect.any(Array) }] },
      { product: 'zz', suggestions: [] },
    ]);
    const page = await run(['sku', 'unmapped', '--account', account, '--limit', '1'], { env });
    expect(page.stderr).toContain(`more: kamigate sku unmapped --account ${account} --after "st-50"`);
    const mapped = await data<object>(['sku', 'map', account, 'st-50', sku, '--by', 'Li', '--priority', '7'], { env });
    expect(await world.database.read('sources').where({ account, product: 'st-50' })).toMatchObject([
      { ...mapped, accepted_by: 'Li', priority: 7 },
    ]);
    const dismissed = await run(['sku', 'dismiss', account, 'zz', '--by', 'Li'], { env });
    expect([dismissed.code, dismissed.stderr]).toEqual([0, `next: kamigate sku unmapped --account ${account}\n`]);
    expect(await unmapped()).toEqual([]);
  });

  test('map and dismiss refuse what is not there, and unmapped a page of no account', async () => {
    await named(480_000, { product: 'st-50' });
    const refused = await Promise.all(
      [
        ['map', account, 'none', sku, '--by', 'Li'],
        ['map', account, 'st-50', 'none', '--by', 'Li'],
        ['map', account, 'code-10', sku],
        ['dismiss', account, 'none', '--by', 'Li'],
        ['unmapped', '--after', 'st-50'],
      ].map((args) => run(['sku', ...args], { env })),
    );
    expect(refused.map(({ code }) => code)).toEqual([6, 6, 2, 6, 2]);
  });
});

describe('suppliers', () => {
  const sweep = () => world.database.read('sweeps').where({ account }).first();

  test('sync makes the list due at once, and a serving process reads it', async () => {
    const { code, stderr } = await run(['suppliers', 'sync', account], { env });
    expect([code, stderr]).toEqual([0, `next: kamigate price history --account ${account}\n`]);
    world.clock.advance(1_000 + Date.now() - world.clock.now());
    await world.gateway.jobs.runNow('sweep_offers');
    expect(await sweep()).toMatchObject({ offers_count: 2 });
    const read_at = Number((await sweep()).swept_at);
    expect(Number((await sweep()).next_at)).toBeGreaterThan(read_at);
    await data(['suppliers', 'sync', account], { env });
    expect(Number((await sweep()).next_at)).toBeLessThanOrEqual(Date.now());
  });

  test('sync refuses what is paused, what is not there, the vault and what a person delivers', async () => {
    const vault = (await world.database.read('accounts').where({ account: 'vault' }).first()) as object;
    await world.database.write('accounts').insert({ ...vault, account: 'manual', adapter: 'manual' });
    await data(['suppliers', 'pause', account, '--reason', 'looks wrong'], { env });
    const paused = await run(['suppliers', 'sync', account], { env });
    expect([paused.code, paused.stderr]).toEqual([7, expect.stringContaining(`suppliers resume ${account}`)]);
    expect((await run(['suppliers', 'sync', 'none'], { env })).code).toBe(6);
    expect((await run(['suppliers', 'sync', 'vault'], { env })).code).toBe(2);
    expect((await run(['suppliers', 'sync', 'manual'], { env })).code).toBe(2);
    expect(await world.database.read('sweeps').whereIn('account', ['none', 'vault', 'manual', account])).toEqual([]);
  });

  test('believe forgets how long the list was, with the name of who looked', async () => {
    await data(['suppliers', 'sync', account], { env });
    await world.database.write('sweeps').where({ account }).update({ offers_count: 500, failures: 2 });
    const believed = ['suppliers', 'believe', account, '--by'];
    expect(await data([...believed, 'Li'], { env })).toMatchObject({ believed: true });
    expect(await sweep()).toMatchObject({ offers_count: 0, failures: 0 });
    const [event] = await readAccountEvents(world.database.read, account, 1);
    expect(event).toMatchObject({ type: 'list_believed', data: '{"by":"Li"}' });
    expect((await run([...believed, ' '], { env })).code).toBe(2);
    expect((await run(['suppliers', 'believe', 'none', '--by', 'Li'], { env })).code).toBe(6);
  });

  test('balance shows what was read, what is expected and what to top up', async () => {
    await world.gateway.jobs.runNow('read_floats');
    const { balance_e4 } = world.simulators[account]!.books();
    const floats = await data<{ account: string }[]>(['suppliers', 'balance', '--days', '5'], { env });
    expect(floats.find((each) => each.account === account)).toMatchObject({
      currency: 'CNY',
      balance: `${balance_e4 / 10_000}.00`,
      reserved: '0.00',
      top_up: '0.00',
      runway_h: null,
    });
    const { stdout } = await run(['suppliers', 'balance'], { env });
    expect(stdout).toContain('TOP UP FOR 3 DAYS');
  });
});
