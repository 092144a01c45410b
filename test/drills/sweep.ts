// Many suppliers' lists swept in one process while storefronts order: only the changes are written, every supplier's
// limit holds at the supplier's own clock, and orders are answered as fast as ever.
import diagnostics from 'node:diagnostics_channel';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ShopProduct } from '../../adapters/kit/shop.js';
import type { OfferRow } from '../../src/catalog/listing.js';
import type { SourceRow } from '../../src/catalog/skus.js';
import { newId } from '../../src/ids.js';
import { makeWorld, type World } from '../kit/world.js';
import { type DrillReport, percentile, secondsSince, seeded } from './report.js';

export interface SweepSize {
  accounts: number;
  offers: number;
  /** Products of each account that a SKU has as a source. */
  mapped: number;
  changed_percent: number;
  /** What each supplier allows in each second. */
  requests_a_second: number;
  orders_a_second: number;
  /** Whether speed and memory are held to the published figures, which mean nothing on a shared test machine. */
  is_measured: boolean;
}

export const SMALL: SweepSize = { accounts: 4, offers: 120, mapped: 20, changed_percent: 5, requests_a_second: 20, orders_a_second: 20, is_measured: false };
export const FULL: SweepSize = { accounts: 50, offers: 2_000, mapped: 100, changed_percent: 1, requests_a_second: 20, orders_a_second: 50, is_measured: true };

const P99_MS_MAX = 250;
const RSS_MB_MAX = 400;
/** Rows a sweep may write about itself, an account: its lease, its progress a chunk, its end. */
const BOOKKEEPING_MAX = 30;

export async function run(size: SweepSize): Promise<DrillReport> {
  const world = await makeWorld({ real_clock: true, options: { offers_cold_ms: 3_600_000, offers_share_percent: 90, offers_concurrency: 16 } });
  const arrivals = watchArrivals();
  const memory = watchMemory();
  try {
    await stock(world, size);
    const random = seeded(7);
    const first = await sweepAll(world, size);
    const changed = changeSome(world, size, random);
    const before = await readRows(world);
    const orders = keepOrdering(world, size.orders_a_second);
    const second = await sweepAll(world, size);
    const latencies = await orders.stop();
    const after = await readRows(world);
    const idle = await sweepUnchanged(world, size);
    const report = judge(size, { before, after, changed, latencies, idle, arrivals: arrivals.counts(world), rss_mb: memory.stop() });
    const figures = {
      'accounts × offers': `${size.accounts} × ${size.offers}`,
      'first sweep, seconds': first.toFixed(1),
      'sweep with changes, seconds': second.toFixed(1),
      ...report.figures,
    };
    return { name: 'sweep', figures, violations: report.violations };
  } finally {
    memory.stop();
    arrivals.stop();
    await world.close();
  }
}

function productOf(account: number, at: number): ShopProduct {
  return { product: `p-${String(at).padStart(5, '0')}`, kind: 'code', cost_e4: 100_000 + at, stock: 1_000, name: `Card ${account}/${at}` };
}

async function stock(world: World, size: SweepSize): Promise<void> {
  const now = Date.now();
  const { write } = world.database;
  for (let account = 0; account < size.accounts; account++) {
    await world.addSupplier(nameOf(account), {
      limits: { requests: size.requests_a_second, per_ms: 1_000, concurrency: 2, deadline_ms: 20_000 },
      simulator: { products: Array.from({ length: size.offers }, (_, at) => productOf(account, at)) },
    });
  }
  await world.addSku('vault-card');
  await world.deposit('vault-card', Array.from({ length: CODES }, (_, at) => `CODE-${at}`));
  const skus = Array.from({ length: size.mapped }, (_, at) => `sku-${at}`);
  const template = (await world.database.read('skus').where({ sku: 'vault-card' }).first()) as object;
  for (const sku of skus) await write('skus').insert({ ...template, sku, name: sku, vault_rank: 'never', price_e4: 1_000_000 });
  for (let account = 0; account < size.accounts; account++) {
    const rows = skus.map((sku, at) => ({
      source: newId('src', now),
      sku,
      account: nameOf(account),
      product: productOf(account, at).product,
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
    const done = (await world.database.read('sweeps').where('swept_at', '>=', begun_at).count({ n: '*' }).first()) as { n: number };
    if (Number(done.n) === size.accounts) return secondsSince(started);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the sweep did not come to its end');
}

/** Changes some products of each supplier: a cost within the limits, or a stock. Returns `account/product` of each. */
function changeSome(world: World, size: SweepSize, random: () => number): Set<string> {
  const changed = new Set<string>();
  const each = Math.ceil((size.offers * size.changed_percent) / 100);
  for (let account = 0; account < size.accounts; account++) {
    for (let count = 0; count < each; ) {
      const at = Math.floor(random() * size.offers);
      const key = `${nameOf(account)}/${productOf(account, at).product}`;
      if (changed.has(key)) continue;
      changed.add(key);
      const product = productOf(account, at);
      const change = count % 2 === 0 ? { cost_e4: product.cost_e4 + 500 } : { stock: 7 };
      world.simulators[nameOf(account)]!.setProduct({ ...product, ...change });
      count++;
    }
  }
  return changed;
}

interface Rows {
  offers: Map<string, string>;
  sources: Map<string, string>;
}

async function readRows(world: World): Promise<Rows> {
  const { read } = world.database;
  const offers = (await read('offers')) as OfferRow[];
  const sources = (await read('sources').whereNot({ account: 'vault' })) as SourceRow[];
  return {
    offers: new Map(offers.map((row) => [`${row.account}/${row.product}`, JSON.stringify(row)])),
    sources: new Map(sources.map((row) => [`${row.account}/${row.product}`, JSON.stringify(row)])),
  };
}

function differing(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Set<string> {
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
  const count = async (): Promise<number> => Number(((await database.write.raw('select total_changes() as n')) as { n: number }[])[0]!.n);
  const before = await count();
  await sweepAll(world, size);
  return ((await count()) - before) / size.accounts;
}

/** When each request reached each server of this process: the supplier's own clock. */
function watchArrivals(): { counts(world: World): Map<string, number[]>; stop(): void } {
  const by_port = new Map<number, number[]>();
  const note = (message: unknown): void => {
    const { port } = (message as { server: Server }).server.address() as AddressInfo;
    by_port.set(port, [...(by_port.get(port) ?? []), performance.now()]);
  };
  diagnostics.subscribe('http.server.request.start', note);
  return {
    counts: (world) =>
      new Map(Object.entries(world.simulators).map(([account, { url }]) => [account, by_port.get(Number(new URL(url).port)) ?? []])),
    stop: () => void diagnostics.unsubscribe('http.server.request.start', note),
  };
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
  idle: number | null;
  arrivals: ReadonlyMap<string, number[]>;
  rss_mb: number;
}

function judge(size: SweepSize, measured: Measured): Pick<DrillReport, 'figures' | 'violations'> {
  const { before, after, changed, latencies, idle, arrivals, rss_mb } = measured;
  const violations: string[] = [];
  const must = (holds: boolean, sentence: string): void => void (holds || violations.push(sentence));
  const offers = differing(before.offers, after.offers);
  const sources = differing(before.sources, after.sources);
  const mapped = new Set([...changed].filter((key) => before.sources.has(key)));
  const p99 = percentile(latencies, 0.99);
  const worst = Math.max(...[...arrivals.values()].map((times) => busiest(times, 1_000)));
  must(before.offers.size === size.accounts * size.offers, `${before.offers.size} offers are known`);
  must(isSame(offers, changed), `${offers.size} offers were written and ${changed.size} had changed`);
  must(isSame(sources, mapped), `${sources.size} sources were written and ${mapped.size} had changed`);
  must(worst <= size.requests_a_second, `a supplier saw ${worst} requests in a second and allows ${size.requests_a_second}`);
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
      'order latency p50 / p99 / max, ms': [0.5, 0.99, 1].map((share) => percentile(latencies, share).toFixed(1)).join(' / '),
      'RSS with all simulated suppliers in it, MB': rss_mb.toFixed(0),
    },
  };
}

function isSame(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((key) => right.has(key));
}
