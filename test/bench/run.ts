// npm run bench [-- --json] [-- --only NAME] [-- --database sqlite|mysql://…] [-- --orders N] [-- --rounds N]
// Alternates the gateway and a bare hand-written baseline in one run and prints the ratio of their medians, with the
// spread. A ratio is the gateway's throughput over the baseline's: 1 would mean that all it does costs nothing.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { atomic } from '../../src/db/atomic.js';
import { issueKey } from '../../src/storefronts/accounts.js';
import { CREDENTIALS_PURPOSE, credentialsText } from '../../src/suppliers/accounts.js';
import { makeWorld, type World } from '../kit/world.js';
import type { LoadOrder, LoadResult } from './load.js';
import { type Measured, measureRouting } from './routing.js';

interface Sample {
  /** Orders a second. */
  rate: number;
  p50_ms: number;
  p99_ms: number;
}
interface Result {
  name: string;
  database: string;
  /** Median of the gateway's rates over the median of the baseline's. */
  ratio: number;
  ours: Sample[];
  baseline: Sample[];
  notes: Record<string, number>;
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    database: { type: 'string', default: 'sqlite' },
    orders: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '5' },
  },
});
const ORDERS = Number(values.orders);
const ROUNDS = Number(values.rounds);

const MEASURES: Record<string, (world: World, key: string) => Promise<Result>> = {
  'vault-orders': vaultOrders,
  'supplier-orders': supplierOrders,
  routing,
};

async function main(): Promise<void> {
  const names = Object.keys(MEASURES).filter((name) => values.only === undefined || name === values.only);
  if (names.length === 0)
    throw new Error(`there is no measure ${values.only}; there are ${Object.keys(MEASURES).join(', ')}`);
  if (values.database !== 'sqlite') process.env.KAMIGATE_DATABASE_URL = values.database;
  else delete process.env.KAMIGATE_DATABASE_URL;
  const results: Result[] = [];
  for (const name of names) {
    const world = await makeWorld({ real_clock: true });
    try {
      const issued = await atomic(world.database, 'bench key', (trx) =>
        issueKey(trx, { storefront: 'mall', scopes: ['orders:read', 'orders:write', 'codes:read'], now: Date.now() }),
      );
      const result = await MEASURES[name]!(world, issued.key.reveal());
      results.push(result);
      if (!values.json) print(result);
    } finally {
      for (const child of children.splice(0)) child.kill('SIGKILL');
      await world.close();
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ results })}\n`);
}

async function vaultOrders(world: World, key: string): Promise<Result> {
  await world.addSku('card');
  const { port } = await start<{ port: number }>('gateway', {
    database_url: world.database_url,
    key_file: world.key_file,
  });
  const ours: Sample[] = [];
  const baseline: Sample[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    await stock(world, `R${round}`);
    const load = await run<LoadResult>(
      'load',
      loadOrder({ port, key, connections: 64, sku: 'card', round: `v${round}` }),
    );
    if (load.delivered !== ORDERS)
      throw new Error(`${load.delivered} of ${ORDERS} were delivered: ${JSON.stringify(load.other)}`);
    const bare = await run<LoadResult>('baseline', bareOrder(world));
    // The first round warms both sides and is not counted.
    if (round > 0) {
      ours.push(sampleOf(load));
      baseline.push(sampleOf(bare));
    }
  }
  return resultOf('vault-orders', world, ours, baseline, {});
}

async function supplierOrders(world: World, key: string): Promise<Result> {
  const orders = Math.min(ORDERS, 2_000);
  const supplier = await start<{ url: string; app_key: string; app_secret: string }>('supplier', {});
  await addAccount(world, supplier);
  await world.addSku('airtime', { kind: 'recharge' });
  await world.addSource('airtime', 'fast');
  const { port } = await start<{ port: number }>('gateway', {
    database_url: world.database_url,
    key_file: world.key_file,
  });
  const ours: Sample[] = [];
  const baseline: Sample[] = [];
  const concurrency = 16;
  for (let round = 0; round <= ROUNDS; round++) {
    const load = await run<LoadResult>('load', {
      ...loadOrder({ port, key, connections: concurrency, sku: 'airtime', round: `s${round}` }),
      orders,
      recipient: true,
      headers: { prefer: 'wait=10' },
    });
    if (load.delivered !== orders)
      throw new Error(`${load.delivered} of ${orders} were delivered: ${JSON.stringify(load.other)}`);
    const direct = await run<LoadResult>('baseline', {
      what: 'direct',
      ...supplier,
      orders,
      concurrency,
      round: `d${round}`,
    });
    if (round > 0) {
      ours.push(sampleOf(load));
      baseline.push(sampleOf(direct));
    }
  }
  const added = median(ours.map((each) => each.p50_ms)) - median(baseline.map((each) => each.p50_ms));
  return resultOf('supplier-orders', world, ours, baseline, { latency_added_p50_ms: round2(added) });
}

/** In this process: what is measured is CPU, and no request is made. */
async function routing(world: World): Promise<Result> {
  const { ours, baseline, notes } = await measureRouting(world, ROUNDS);
  const sampleOfCpu = ({ rate, cpu_us }: Measured): Sample => {
    return { rate: Math.round(rate), p50_ms: cpu_us / 1_000, p99_ms: cpu_us / 1_000 };
  };
  return resultOf('routing', world, ours.map(sampleOfCpu), baseline.map(sampleOfCpu), notes);
}

async function stock(world: World, prefix: string): Promise<void> {
  const step = 2_000;
  for (let from = 0; from < ORDERS; from += step) {
    const count = Math.min(step, ORDERS - from);
    await world.deposit(
      'card',
      Array.from({ length: count }, (_, at) => `${prefix}-${from + at}-0123456789ABCDEF`),
    );
  }
}

async function addAccount(world: World, supplier: { url: string; app_key: string; app_secret: string }): Promise<void> {
  const credentials = {
    app_key: { reveal: () => supplier.app_key },
    app_secret: { reveal: () => supplier.app_secret },
  };
  await world.database.write('accounts').insert({
    account: 'fast',
    adapter: 'simulated',
    base_url: supplier.url,
    credentials_sealed: world.gateway.vault.sealText(CREDENTIALS_PURPOSE, 'fast', credentialsText(credentials)),
    options: '{}',
    limits: JSON.stringify({ concurrency: 16, deadline_ms: 10_000 }),
    currency: 'CNY',
    exposure_limit_e4: 0,
    is_enabled: 1,
    created_at: Date.now(),
    updated_at: Date.now(),
  });
}

function loadOrder(parts: Pick<LoadOrder, 'port' | 'key' | 'connections' | 'sku' | 'round'>): LoadOrder {
  return { ...parts, orders: ORDERS, recipient: false, headers: {} };
}

function bareOrder(world: World): object {
  return world.database.dialect === 'sqlite'
    ? { what: 'sqlite', filename: `${world.database_url.slice('sqlite:'.length)}.bare`, orders: ORDERS }
    : { what: 'mysql', url: world.database_url, orders: ORDERS };
}

const children: ChildProcess[] = [];

function start<T>(program: string, told: object): Promise<T> {
  const path = join(import.meta.dirname, `${program}.js`);
  const child = fork(path, [JSON.stringify(told)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code) => reject(new Error(`${program} ended with ${code}`)));
  });
}

async function run<T>(program: string, told: object): Promise<T> {
  const result = await start<T>(program, told);
  children.pop()?.kill();
  return result;
}

function sampleOf(load: Pick<LoadResult, 'seconds' | 'latencies_ms'>): Sample {
  const at = (share: number): number => load.latencies_ms[Math.floor(load.latencies_ms.length * share)] ?? 0;
  const count = load.latencies_ms.length || ORDERS;
  return { rate: Math.round(count / load.seconds), p50_ms: round2(at(0.5)), p99_ms: round2(at(0.99)) };
}

function resultOf(
  name: string,
  world: World,
  ours: Sample[],
  baseline: Sample[],
  notes: Record<string, number>,
): Result {
  const ratio = median(ours.map((each) => each.rate)) / median(baseline.map((each) => each.rate));
  return { name, database: world.database.dialect, ratio: Math.round(ratio * 1_000) / 1_000, ours, baseline, notes };
}

function median(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

function print(result: Result): void {
  const rates = (samples: Sample[]): string => {
    const sorted = samples.map((each) => each.rate).sort((a, b) => a - b);
    return `${median(sorted)}/s (${sorted[0]}–${sorted.at(-1)})`;
  };
  process.stdout.write(
    `${result.name} on ${result.database}: ratio ${result.ratio}; gateway ${rates(result.ours)}, baseline ${rates(result.baseline)}` +
      `; gateway p50 ${median(result.ours.map((s) => s.p50_ms))} ms, p99 ${median(result.ours.map((s) => s.p99_ms))} ms` +
      `${Object.entries(result.notes)
        .map(([name, value]) => `; ${name} ${value}`)
        .join('')}\n`,
  );
}

await main();
