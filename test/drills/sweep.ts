// Many suppliers' lists swept in one process while storefronts order: only the changes are written, every supplier's
// limit holds at the supplier's own clock, and orders are answered as fast as ever.
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import type { ShopProduct } from '../../adapters/kit/shop.js';
import type { OfferRow } from '../../src/catalog/listing.js';
import type { SourceRow } from '../../src/catalog/skus.js';
import { newId } from '../../src/ids.js';
import { makeWorld, type World } from '../kit/world.js';
import { type DrillReport, percentile, secondsSince, seeded } from './report.js';
import type { ShopAnswer, ShopOrders } from './sweep-shops.js';

export interface SweepSize {
  accounts: number;
  offers: number;
  /** Products of each account that a SKU has as a source. */
  mapped: number;
  changed_percent: number;
  /** What each supplier allows in each second. */
  requests_a_second: number;
  orders_a_second: number;
  /** How long orders are placed without any sweep, to compare with. */
  quiet_ms: number;
  /** Whether speed and memory are held to the published figures, which mean nothing on a shared test machine. */
  is_measured: boolean;
}

export const SMALL: SweepSize = {
  accounts: 4,
  offers: 120,
  mapped: 20,
  changed_percent: 5,
  requests_a_second: 20,
  orders_a_second: 20,
  quiet_ms: 500,
  is_measured: false,
};
export const FULL: SweepSize = {
  accounts: 50,
  offers: 2_000,
  mapped: 100,
  changed_percent: 1,
  requests_a_second: 20,
  orders_a_second: 50,
  quiet_ms: 5_000,
  is_measured: true,
};

const P99_MS_MAX = 250;
const RSS_MB_MAX = 400;
/** Rows a sweep may write about itself, an account: its lease, its progress a chunk, its end. */
const BOOKKEEPING_MAX = 30;

export async function run(size: SweepSize): Promise<DrillReport> {
  const world = await makeWorld({
    real_clock: true,
    options: { offers_cold_ms: 3_600_000, offers_share_percent: 50, offers_concurrency: 16 },
  });
  const shops = startShops();
  const memory = watchMemory();
  try {
    await stock(world, size, shops);
    const random = seeded(7);
    const quiet = keepOrdering(world, size.orders_a_second);
    await new Promise((resolve) => setTimeout(resolve, size.quiet_ms));
    const quiet_latencies = await quiet.stop();
    const first = await sweepAll(world, size);
    const changed = await changeSome(size, random, shops);
    const before = await readRows(world, size);
    const orders = keepOrdering(world, size.orders_a_second);
    const second = await sweepAll(world, size);
    const latencies = await orders.stop();
    const after = await readRows(world, size);
    const idle = await sweepUnchanged(world, size);
    const { arrivals } = await shops.ask({ report: true });
    const report = judge(size, {
      before,
      after,
      changed,
      latencies,
      quiet_latencies,
      idle,
      arrivals: arrivals!,
      rss_mb: memory.stop(),
    });
    const figures = {
      'accounts × offers': `${size.accounts} × ${size.offers}`,
      'first sweep, seconds': first.toFixed(1),
      'sweep with changes, seconds': second.toFixed(1),
      ...report.figures,
    };
    return { name: 'sweep', figures, violations: report.violations };
  } finally {
    memory.stop();
    shops.stop();
    await world.close();
  }
}

function productOf(at: number): ShopProduct {
  return {
    product: `p-${String(at).padStart(5, '0')}`,
    kind: 'code',
    cost_e4: 100_000 + at,
    stock: 1_000,
    name: `Card ${at}`,
  };
}

async function stock(world: World, size: SweepSize, shops: Shops): Promise<void> {
  const now = Date.now();
  const { write } = world.database;
  const names = Array.from({ length: size.accounts }, (_, account) => nameOf(account));
  const { urls } = await shops.ask({
    start: { names, products: Array.from({ length: size.offers }, (_, at) => productOf(at)) },
  });
  for (const name of names) {
    await world.addSupplier(name, {
      limits: { requests: size.requests_a_second, per_ms: 1_000, concurrency: 2, deadline_ms: 20_000 },
    });
    await write('accounts').where({ account: name }).update({ base_url: urls![name]! });
  }
  await world.addSku('vault-card');
  await world.deposit(
    'vault-card',
    Array.from({ length: CODES }, (_, at) => `CODE-${at}`),
  );
  const skus = Array.from({ length: size.mapped }, (_, at) => `sku-${at}`);
  const template = (await world.database.read('skus').where({ sku: 'vault-card' }).first()) as object;
  for (const sku of skus)
    await write('skus').insert({ ...template, sku, name: sku, vault_rank: 'never', price_e4: 1_000_000 });
  for (let account = 0; account < size.accounts; account++) {
    const rows = skus.map((sku, at) => ({
      source: newId('src', now),
      sku,
      account: nameOf(account),
      product: productOf(at).product,
      priority: 100,
      is_enabled: 1,
      created_at: now,
      updated_at: now,
    }));
    for (let from = 0; from < rows.length; from += 50) await write('sources').insert(rows.slice(from, from + 50));
  }
}
const CODES = 20_000;

function nameOf(account: number): string {
  return `s${String(account).padStart(2, '0')}`;
}

/** Makes every list due and runs the job, as its loop would, until every one is through; seconds it took. */
async function sweepAll(world: World, size: SweepSize): Promise<number> {
  const started = process.hrtime.bigint();
  const begun_at = Date.now();
  await world.database.write('sweeps').update({ next_at: 0, window_pages: 0 });
  for (let passes = 0; passes < 200; passes++) {
    await world.gateway.jobs.runNow('sweep_offers');
    const done = (await world.database.read('sweeps').where('swept_at', '>=', begun_at).count({ n: '*' }).first()) as {
      n: number;
    };
    if (Number(done.n) === size.accounts) return secondsSince(started);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the sweep did not come to its end');
}

/** Changes some products of each supplier: a cost within the limits, or a stock. Returns `account/product` of each. */
async function changeSome(size: SweepSize, random: () => number, shops: Shops): Promise<Set<string>> {
  const changed = new Set<string>();
  const set: NonNullable<ShopOrders['set']> = [];
  const each = Math.ceil((size.offers * size.changed_percent) / 100);
  for (let account = 0; account < size.accounts; account++) {
    for (let count = 0; count < each; ) {
      const at = Math.floor(random() * size.offers);
      const key = `${nameOf(account)}/${productOf(at).product}`;
      if (changed.has(key)) continue;
      changed.add(key);
      const product = productOf(at);
      const change = count % 2 === 0 ? { cost_e4: product.cost_e4 + 500 } : { stock: 7 };
      set.push({ name: nameOf(account), product: { ...product, ...change } });
      count++;
    }
  }
  await shops.ask({ set });
  return changed;
}

/** `account/product` → the whole row, as a number that changes with it: two copies of the table would be the drill's memory. */
interface Rows {
  offers: Map<string, number>;
  sources: Map<string, number>;
}

async function readRows(world: World, size: SweepSize): Promise<Rows> {
  const rows: Rows = { offers: new Map(), sources: new Map() };
  for (let at = 0; at < size.accounts; at++) {
    for (const table of ['offers', 'sources'] as const) {
      const of_account = (await world.database.read(table).where({ account: nameOf(at) })) as (OfferRow | SourceRow)[];
      for (const row of of_account) rows[table].set(`${row.account}/${row.product}`, crc32(JSON.stringify(row)));
    }
  }
  return rows;
}

function differing(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Set<string> {
  return new Set([...after].filter(([key, row]) => before.get(key) !== row).map(([key]) => key));
}

/** Orders at a steady rate, whether or not the last one has been answered, as storefronts do. */
function keepOrdering(world: World, a_second: number): { stop(): Promise<number[]> } {
  const latencies: number[] = [];
  const open: Promise<void>[] = [];
  const order = async (): Promise<void> => {
    const started = performance.now();
    const placed = await world.place({ sku: 'vault-card' });
    if (placed.order.state !== 'delivered') throw new Error(`a vault order is ${placed.order.state}`);
    latencies.push(performance.now() - started);
  };
  const timer = setInterval(() => open.push(order()), 1_000 / a_second);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      return latencies;
    },
  };
}

/** Rows that a sweep without any change writes, an account; null where the database does not count. */
async function sweepUnchanged(world: World, size: SweepSize): Promise<number | null> {
  const { database } = world;
  if (database.dialect !== 'sqlite') {
    await sweepAll(world, size);
    return null;
  }
  const count = async (): Promise<number> =>
    Number(((await database.write.raw('select total_changes() as n')) as { n: number }[])[0]!.n);
  const before = await count();
  await sweepAll(world, size);
  return ((await count()) - before) / size.accounts;
}

/** The process of the suppliers. */
interface Shops {
  ask(orders: ShopOrders): Promise<ShopAnswer>;
  stop(): void;
}

function startShops(): Shops {
  const child = fork(shopsPath(), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return {
    ask: (orders) =>
      new Promise((resolve, reject) => {
        child.once('message', (answer) => resolve(answer as ShopAnswer));
        child.once('exit', (code) => reject(new Error(`the suppliers' process ended (${code})`)));
        child.send(orders);
      }),
    stop: () => child.disconnect(),
  };
}

/** Compiled: beside this file, or in dist/, which `npm test` builds first. */
function shopsPath(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const path = [join(here, 'sweep-shops.js'), join(here, '../../dist/test/drills/sweep-shops.js')].find((one) =>
    existsSync(one),
  );
  if (path) return path;
  throw new Error('the drill forks compiled suppliers: run `npm run build` first');
}

/** Most requests in any window of this length. */
function busiest(times: readonly number[], window_ms: number): number {
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[to]! - times[from]! >= window_ms) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

function watchMemory(): { stop(): number } {
  let most = 0;
  const look = (): void => {
    most = Math.max(most, process.memoryUsage.rss() / 1_048_576);
  };
  const timer = setInterval(look, 100);
  return {
    stop: () => {
      look();
      clearInterval(timer);
      return most;
    },
  };
}

interface Measured {
  before: Rows;
  after: Rows;
  changed: ReadonlySet<string>;
  latencies: number[];
  quiet_latencies: number[];
  idle: number | null;
  arrivals: Record<string, number[]>;
  rss_mb: number;
}

function judge(size: SweepSize, measured: Measured): Pick<DrillReport, 'figures' | 'violations'> {
  const { before, after, changed, latencies, quiet_latencies, idle, arrivals, rss_mb } = measured;
  const violations: string[] = [];
  const must = (holds: boolean, sentence: string): void => void (holds || violations.push(sentence));
  const offers = differing(before.offers, after.offers);
  const sources = differing(before.sources, after.sources);
  const mapped = new Set([...changed].filter((key) => before.sources.has(key)));
  const p99 = percentile(latencies, 0.99);
  const worst = Math.max(...Object.values(arrivals).map((times) => busiest(times, 1_000)));
  must(before.offers.size === size.accounts * size.offers, `${before.offers.size} offers are known`);
  must(isSame(offers, changed), `${offers.size} offers were written and ${changed.size} had changed`);
  must(isSame(sources, mapped), `${sources.size} sources were written and ${mapped.size} had changed`);
  must(
    worst <= size.requests_a_second,
    `a supplier saw ${worst} requests in a second and allows ${size.requests_a_second}`,
  );
  must(idle === null || idle <= BOOKKEEPING_MAX, `a sweep without changes wrote ${idle} rows an account`);
  must(latencies.length > 0, 'no order was placed meanwhile');
  if (size.is_measured) must(p99 < P99_MS_MAX, `orders took ${p99.toFixed(0)} ms at the 99th percentile`);
  if (size.is_measured) must(rss_mb < RSS_MB_MAX, `the process grew to ${rss_mb.toFixed(0)} MB`);
  return {
    violations,
    figures: {
      'offers changed': changed.size,
      'offers written': offers.size,
      'sources written': `${sources.size} of ${before.sources.size}`,
      'rows a sweep without changes writes, an account': idle?.toFixed(1) ?? 'not counted here',
      'busiest second at any supplier': `${worst} of ${size.requests_a_second} allowed`,
      'vault orders meanwhile': latencies.length,
      'order latency p50 / p99 / max, ms': latencyText(latencies),
      'the same without a sweep': latencyText(quiet_latencies),
      'RSS, MB': rss_mb.toFixed(0),
    },
  };
}

function latencyText(latencies: number[]): string {
  return [0.5, 0.99, 1].map((share) => percentile(latencies, share).toFixed(1)).join(' / ');
}

function isSame(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((key) => right.has(key));
}
