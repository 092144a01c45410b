// A real gateway process, killed by SIGKILL at every phase boundary of `fulfil`, `settle`, lookups and callbacks, then
// started again: the order is settled within 30 s, bought once, and our books equal the suppliers'.
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { PHASES, type Phase } from '../../src/orders/engine.js';
import type { OrderRequest } from '../../src/orders/request.js';
import { isFinal } from '../../src/orders/states.js';
import type { OrderRow } from '../../src/orders/store.js';
import type { ProcessOrder } from '../kit/gateway-process.js';
import { makeWorld, type World } from '../kit/world.js';

const PROGRAM = join(import.meta.dirname, '../../dist/test/kit/gateway-process.js');
const SETTLED_WITHIN_MS = 30_000;

/** Where to kill, in order: each process of the chain dies at its phase; the one after the last lives. */
interface Kill {
  at: Phase[];
  sku: 'airtime' | 'card' | 'prepared' | 'bundle';
  /** What supplier `a` does to the first call. */
  fault?: string;
}
const KILLS: Kill[] = [
  { at: ['order_accepted'], sku: 'airtime' },
  { at: ['order_accepted'], sku: 'card' },
  { at: ['attempt_planned'], sku: 'airtime', fault: 'out_of_stock' },
  { at: ['attempt_prepared'], sku: 'prepared' },
  { at: ['attempt_sent'], sku: 'airtime' },
  { at: ['attempt_sent'], sku: 'card' },
  { at: ['supplier_answered'], sku: 'airtime' },
  { at: ['supplier_answered'], sku: 'card' },
  { at: ['supplier_answered'], sku: 'airtime', fault: 'out_of_stock' },
  { at: ['settle_written'], sku: 'card' },
  { at: ['settle_written'], sku: 'airtime', fault: 'out_of_stock' },
  { at: ['vault_issued'], sku: 'card' },
  { at: ['outcome_settled'], sku: 'airtime', fault: 'out_of_stock' },
  { at: ['outcome_settled'], sku: 'airtime', fault: 'accept_then_drop' },
  { at: ['callback_kept'], sku: 'card', fault: 'late' },
  { at: ['lookup_claimed'], sku: 'airtime', fault: 'accept_then_drop' },
  { at: ['lookup_answered'], sku: 'card', fault: 'accept_then_drop' },
  { at: ['lookup_settled'], sku: 'airtime', fault: 'accept_then_drop' },
  { at: ['order_accepted'], sku: 'bundle' },
  // Of two parts that are bought one after the other: when the first has ended, and when the second was begun.
  { at: ['part_settled'], sku: 'bundle' },
  { at: ['bundle_moved'], sku: 'bundle' },
  { at: ['attempt_sent', 'bundle_moved', 'attempt_sent', 'part_settled'], sku: 'bundle' },
  { at: ['attempt_sent', 'order_resumed'], sku: 'airtime' },
  { at: ['attempt_sent', 'order_resumed', 'lookup_answered'], sku: 'card' },
];

let world: World;
let port: number;
let children: ChildProcess[] = [];

beforeEach(async () => {
  world = await makeWorld({ real_clock: true });
  port = await freePort();
  for (const account of ['a', 'b']) await world.addSupplier(account);
  await world.addSku('airtime', { kind: 'recharge' });
  await world.addSku('card', { vault_rank: 'never' });
  await world.addSku('prepared', { kind: 'recharge' });
  for (const sku of ['airtime', 'card', 'prepared']) {
    await world.addSource(sku, 'a', { priority: 1 });
    await world.addSource(sku, 'b', { priority: 2 });
  }
  await world.addSku('bundle', {
    kind: 'bundle',
    failed_part: 'stop',
    parts: [{ sku: 'airtime' }, { sku: 'card' }],
    price_e4: 200_000,
    recipient_rules: { account: { label: 'Phone', example: '13900001111', is_required: 1 } },
  });
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  await world.close();
});

const killed = new Set<Phase>();
afterAll(() => {
  // A phase that no case kills at is a hole in the drill.
  expect([...killed].sort()).toEqual([...PHASES].sort());
});

test('the program under test is built', () => {
  expect(existsSync(PROGRAM)).toBe(true);
});

describe.each(KILLS)('killed at $at with $sku $fault', ({ at, sku, fault }) => {
  test('settles within 30 s of the restart, bought once', async () => {
    if (sku === 'prepared')
      await world.database.write('accounts').whereIn('account', ['a', 'b']).update({ adapter: 'prepared' });
    if (fault) world.simulators.a!.fault(fault);
    let place: OrderRequest[] = [requestFor(sku)];
    for (const phase of at) {
      const child = start(phase, place);
      place = [];
      if (fault === 'late') await deliverWhenAccepted();
      expect(await ended(child)).toBe('SIGKILL');
      killed.add(phase);
    }
    const restarted_at = Date.now();
    start(null, place);
    const order = await untilFinal();
    expect(Date.now() - restarted_at).toBeLessThan(SETTLED_WITHIN_MS);
    expect(order).toMatchObject({ state: 'delivered', delivered_quantity: 2 });
    await expectOnePurchase(sku, sku === 'bundle' ? 2 : 1);
  });
});

function requestFor(sku: Kill['sku']): OrderRequest {
  return {
    external_id: 'the-one',
    sku,
    quantity: 2,
    recipient: sku === 'card' ? null : { account: '13900001111' },
    max_unit_price_e4: null,
    currency: null,
    allow_partial: false,
    deliver_before: null,
    callback_url: null,
    metadata: null,
  };
}

function start(kill_at: Phase | null, place: OrderRequest[]): ChildProcess {
  const told: ProcessOrder = {
    database_url: world.database_url,
    key_file: world.key_file,
    port,
    kill_at,
    place,
    // Shorter than in production, so that the suite is quick; `npm run drill -- crash` runs the real ones.
    options: { lease_ms: 1_000, sweep_ms: 100, lookup_ladder_ms: [200, 400, 1_000] },
  };
  const child = fork(PROGRAM, [JSON.stringify(told)], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  return child;
}

function ended(child: ChildProcess): Promise<NodeJS.Signals | null> {
  return new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
}

async function until<T>(look: () => Promise<T | null>, what: string): Promise<T> {
  const ends_at = Date.now() + SETTLED_WITHIN_MS;
  while (Date.now() < ends_at) {
    const found = await look();
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited ${SETTLED_WITHIN_MS} ms for ${what}`);
}

function untilFinal(): Promise<OrderRow> {
  return until(async () => {
    const order = (await world.database.read('orders').where({ external_id: 'the-one' }).first()) as
      | OrderRow
      | undefined;
    return order && isFinal(order.state) ? order : null;
  }, 'the order to be final');
}

/** Lets the supplier finish what it accepted, so that its callback comes. */
async function deliverWhenAccepted(): Promise<void> {
  const attempt = await until(async () => {
    const row = (await world.database.read('attempts').where({ state: 'accepted' }).first()) as
      | { reference: string }
      | undefined;
    return row ?? null;
  }, 'an accepted attempt');
  world.simulators.a!.deliver(attempt.reference);
}

/** One of each part; whatever is not a bundle is a single part. */
async function expectOnePurchase(sku: string, parts: number): Promise<void> {
  const books = Object.values(world.simulators).map((simulator) => simulator.books());
  expect(books.reduce((sum, each) => sum + each.orders, 0)).toBe(parts);
  expect(books.reduce((sum, each) => sum + each.units, 0)).toBe(parts * 2);
  const charged = books.reduce((sum, each) => sum + each.net_e4, 0);
  const attempts = await world.database.read('attempts').where({ state: 'delivered' });
  expect(attempts).toHaveLength(parts);
  expect(attempts.reduce((sum: number, { cost_e4 }: { cost_e4: number }) => sum + cost_e4, 0)).toBe(charged);
  const issued = await world.database.read('issues').count({ n: '*' }).first();
  expect(Number(issued!.n)).toBe(sku === 'card' || sku === 'bundle' ? 2 : 0);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as AddressInfo;
      server.close(() => resolve(free));
    });
  });
}
