// Encryption must not cost the shop its speed: a deposit against a bare insert of rows of the same size, small orders
// meanwhile, and issuing from a large stock against issuing from a small one. All ratios of one run on one machine.
import { randomBytes } from 'node:crypto';
import type { CodeRow } from '../../vault/tables.js';
import { depositOf, numbered } from '../vault/world.js';
import { type DrillReport, percentile, secondsSince } from './report.js';
import { type DrillVault, openDrillVault } from './vault-setup.js';

export interface SpeedSize {
  /** Codes deposited, and rows inserted bare, in each of `rounds`. */
  codes: number;
  rounds: number;
  small_stock: number;
  large_stock: number;
  /** Orders issued from each stock, 64 a call. */
  orders: number;
  /** Small sizes measure nothing: only full ones are held to the limits. */
  is_judged: boolean;
}
export const FULL: SpeedSize = {
  codes: 100_000,
  rounds: 2,
  small_stock: 10_000,
  large_stock: 1_000_000,
  orders: 6400,
  is_judged: true,
};
export const SMALL: SpeedSize = {
  codes: 1000,
  rounds: 1,
  small_stock: 300,
  large_stock: 2000,
  orders: 128,
  is_judged: false,
};

const DEPOSIT_RATIO_MIN = 0.5;
const LATENCY_MS_MAX = 250;
const ISSUE_RATIO_MIN = 0.8;
/** Codes of one transaction of a deposit; an import takes fewer, a supplier's delivery far fewer. */
const DEPOSIT = 1000;

export async function run(size: SpeedSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-speed', figures: {}, violations: [] };
  const drill = await openDrillVault();
  try {
    await compareDeposit(drill, size, report);
    await compareIssue(drill, size, report);
  } finally {
    await drill.close();
  }
  if (!size.is_judged) report.violations = report.violations.filter((sentence) => !sentence.startsWith('slow: '));
  return report;
}

async function compareDeposit(drill: DrillVault, size: SpeedSize, report: DrillReport): Promise<void> {
  await drill.tx((trx) => drill.vault.deposit(trx, depositOf(numbered(20_000, 'LAT'), { sku: 'LATENCY' })));
  const sample: CodeRow = await drill.database.read('codes').first();
  await makeBareTable(drill, sample, 'bare_rows', true);
  await makeBareTable(drill, sample, 'bare_heap', false);
  const bare: number[] = [];
  const heap: number[] = [];
  const sealed: number[] = [];
  const latencies: number[] = [];
  for (let round = 0; round < size.rounds; round++) {
    bare.push(await insertBare(drill, sample, 'bare_rows', size.codes, round));
    heap.push(await insertBare(drill, sample, 'bare_heap', size.codes, round));
    sealed.push(await depositAndWatch(drill, size.codes, round, latencies));
  }
  const ratio = percentile(sealed, 0.5) / percentile(bare, 0.5);
  const p99 = percentile(latencies, 0.99);
  report.figures['bare rows a second, primary key, fingerprint and claim index'] = Math.round(percentile(bare, 0.5));
  report.figures['bare rows a second, primary key only'] = Math.round(percentile(heap, 0.5));
  report.figures['codes deposited a second'] = Math.round(percentile(sealed, 0.5));
  report.figures['deposit against bare insert, same indexes'] = ratio.toFixed(2);
  report.figures['deposit against bare insert, primary key only'] = (
    percentile(sealed, 0.5) / percentile(heap, 0.5)
  ).toFixed(2);
  report.figures['orders meanwhile, p99 ms'] = `${latencies.length}, ${p99.toFixed(0)}`;
  if (ratio < DEPOSIT_RATIO_MIN) report.violations.push(`slow: deposits reach ${ratio.toFixed(2)} of a bare insert`);
  if (p99 > LATENCY_MS_MAX) report.violations.push(`slow: orders during a deposit take ${p99.toFixed(0)} ms (p99)`);
}

/** A table of the same columns, with the indexes a shop needs to issue a code once, or with its primary key alone. */
async function makeBareTable(
  { database }: DrillVault,
  sample: CodeRow,
  name: string,
  has_indexes: boolean,
): Promise<void> {
  await database.write.schema.createTable(name, (table) => {
    for (const [column, value] of Object.entries(sample)) {
      if (typeof value === 'number') table.bigInteger(column);
      else if (typeof value === 'object' && value !== null) table.binary(column, 200);
      else table.string(column, 64);
    }
    table.primary(['code_id']);
    if (!has_indexes) return;
    table.unique(['fingerprint_a'], { indexName: `${name}_fingerprint` });
    table.index(['sku', 'state', 'expires_at', 'code_id'], `${name}_claim`);
  });
}

async function insertBare(
  { tx }: DrillVault,
  sample: CodeRow,
  table: string,
  count: number,
  round: number,
): Promise<number> {
  const filled = Object.entries(sample).filter(([, value]) => value !== null);
  const row = Object.fromEntries(
    filled.map(([name, value]) => [name, typeof value === 'object' ? Buffer.from(value as Buffer) : value]),
  );
  const start = process.hrtime.bigint();
  for (let from = 0; from < count; from += DEPOSIT) {
    await tx(async (trx) => {
      for (let at = from; at < Math.min(from + DEPOSIT, count); at += 250) {
        const rows = Array.from({ length: 250 }, (_, place) => ({
          ...row,
          code_id: `row_${String(round * count + at + place).padStart(26, '0')}`,
          fingerprint_a: randomBytes(16),
        }));
        await trx(table).insert(rows);
      }
    });
  }
  return count / secondsSince(start);
}

/** Deposits, and places a small order every ten milliseconds meanwhile. */
async function depositAndWatch(
  { vault, tx }: DrillVault,
  count: number,
  round: number,
  latencies: number[],
): Promise<number> {
  let is_over = false;
  const orders = (async () => {
    for (let at = 0; !is_over; at++) {
      const began = performance.now();
      await tx((trx) =>
        vault.issue(trx, [{ order_id: `ord_lat_${round}_${at}`, sku: 'LATENCY', first_unit: 1, quantity: 1 }]),
      );
      latencies.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  const start = process.hrtime.bigint();
  for (let from = 0; from < count; from += DEPOSIT) {
    const codes = numbered(Math.min(DEPOSIT, count - from), `D${round}-${from}`);
    await tx((trx) => vault.deposit(trx, depositOf(codes, { sku: 'DEPOSIT' })));
  }
  const rate = count / secondsSince(start);
  is_over = true;
  await orders;
  return rate;
}

async function compareIssue(drill: DrillVault, size: SpeedSize, report: DrillReport): Promise<void> {
  await fill(drill, 'SMALL-STOCK', size.small_stock);
  const start = process.hrtime.bigint();
  await fill(drill, 'LARGE-STOCK', size.large_stock);
  report.figures['seconds to deposit the large stock'] = Math.round(secondsSince(start));
  // In turns, so that a busy moment of the machine meets both.
  const rates = { 'SMALL-STOCK': [] as number[], 'LARGE-STOCK': [] as number[] };
  for (let round = 0; round < 4; round++) {
    for (const sku of ['SMALL-STOCK', 'LARGE-STOCK'] as const)
      rates[sku].push(await issueRate(drill, sku, size.orders / 4, round));
  }
  const [small, large] = [percentile(rates['SMALL-STOCK'], 0.5), percentile(rates['LARGE-STOCK'], 0.5)];
  report.figures[`orders a second from ${size.small_stock}`] = Math.round(small);
  report.figures[`orders a second from ${size.large_stock}`] = Math.round(large);
  report.figures['large against small stock'] = (large / small).toFixed(2);
  if (large / small < ISSUE_RATIO_MIN)
    report.violations.push(`slow: a large stock is issued at ${(large / small).toFixed(2)} of a small one`);
}

async function fill({ vault, tx }: DrillVault, sku: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += 2000) {
    await tx((trx) => vault.deposit(trx, depositOf(numbered(Math.min(2000, count - from), `F${from}`), { sku })));
  }
}

async function issueRate({ vault, tx }: DrillVault, sku: string, orders: number, round: number): Promise<number> {
  const start = process.hrtime.bigint();
  for (let from = 0; from < orders; from += 64) {
    const wanted = Array.from({ length: Math.min(64, orders - from) }, (_, at) => ({
      order_id: `ord_${sku}_${round}_${from + at}`,
      sku,
      first_unit: 1,
      quantity: 1,
    }));
    const results = await tx((trx) => vault.issue(trx, wanted));
    if (!results.every((result) => 'issued' in result)) throw new Error('must hold: the stock is large enough');
  }
  return orders / secondsSince(start);
}
