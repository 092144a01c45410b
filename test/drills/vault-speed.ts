// Encryption must not cost the shop its speed: a deposit against a bare insert of rows of the same size, small orders
// meanwhile, and issuing from a large stock against issuing from a small one. All ratios of one run on one machine.
import { randomBytes } from 'node:crypto';
import type { CodeRow } from '../../vault/tables.js';
import { depositOf, numbered } from '../vault/world.js';
import { type DrillReport, percentile, secondsSince } from './report.js';
import { type DrillVault, openDrillVault } from './vault-setup.js';

export interface SpeedSize {
  /** Codes deposited, and rows inserted bare into each table, in each of `rounds`. */
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
  codes: 20_000,
  rounds: 5,
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
/** Codes of one transaction of a deposit: on SQLite an order waits for one such, and 1,000 came near the limit. */
const DEPOSIT = 500;

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

/** What one way of writing reached: rows a second in each round, and how long each order meanwhile took. */
interface Pace {
  rates: number[];
  latencies: number[];
}

async function compareDeposit(drill: DrillVault, size: SpeedSize, report: DrillReport): Promise<void> {
  await drill.tx((trx) => drill.vault.deposit(trx, depositOf(numbered(20_000, 'LAT'), { sku: 'LATENCY' })));
  const sample: CodeRow = await drill.database.read('codes').first();
  await makeBareTable(drill, sample, 'bare_rows', true);
  await makeBareTable(drill, sample, 'bare_heap', false);
  const paces: Record<'rows' | 'heap' | 'sealed', Pace> = {
    rows: { rates: [], latencies: [] },
    heap: { rates: [], latencies: [] },
    sealed: { rates: [], latencies: [] },
  };
  // In turns and under the same orders, so that a busy moment of the machine meets all three. The first is not counted.
  for (let round = 0; round <= size.rounds; round++) {
    const of = (pace: Pace): Pace => (round === 0 ? { rates: [], latencies: [] } : pace);
    const insert = (table: string) => () => insertBare(drill, sample, table, size.codes, round);
    await paced(drill, `rows_${round}`, size.codes, of(paces.rows), insert('bare_rows'));
    await paced(drill, `heap_${round}`, size.codes, of(paces.heap), insert('bare_heap'));
    await paced(drill, `sealed_${round}`, size.codes, of(paces.sealed), () => depositAll(drill, size.codes, round));
  }
  reportDeposit(paces, report);
}

function reportDeposit({ rows, heap, sealed }: Record<'rows' | 'heap' | 'sealed', Pace>, report: DrillReport): void {
  const [bare, bare_heap, deposits] = [rows, heap, sealed].map(({ rates }) => percentile(rates, 0.5)) as number[];
  const ratio = deposits! / bare!;
  const p99 = percentile(sealed.latencies, 0.99);
  report.figures['bare rows a second, primary key and fingerprint'] = Math.round(bare!);
  report.figures['bare rows a second, primary key only'] = Math.round(bare_heap!);
  report.figures['codes deposited a second'] = Math.round(deposits!);
  report.figures['deposit against bare, key and fingerprint'] = ratio.toFixed(2);
  report.figures['deposit against bare, primary key only'] = (deposits! / bare_heap!).toFixed(2);
  report.figures['orders during deposits, p99 ms'] = `${sealed.latencies.length}, ${p99.toFixed(0)}`;
  report.figures['orders during bare inserts, p99 ms'] =
    `${rows.latencies.length}, ${percentile(rows.latencies, 0.99).toFixed(0)}`;
  if (ratio < DEPOSIT_RATIO_MIN) report.violations.push(`slow: deposits reach ${ratio.toFixed(2)} of a bare insert`);
  if (p99 > LATENCY_MS_MAX) report.violations.push(`slow: orders during a deposit take ${p99.toFixed(0)} ms (p99)`);
}

/** A table of the same columns, with the index that refuses a code it has, or with its primary key alone. */
async function makeBareTable(
  { database }: DrillVault,
  sample: CodeRow,
  name: string,
  is_unique: boolean,
): Promise<void> {
  await database.write.schema.createTable(name, (table) => {
    for (const [column, value] of Object.entries(sample)) {
      if (typeof value === 'number') table.bigInteger(column);
      else if (typeof value === 'object' && value !== null) table.binary(column, 200);
      else table.string(column, 64);
    }
    table.primary(['code_id']);
    if (is_unique) table.unique(['fingerprint_a'], { indexName: `${name}_fingerprint` });
  });
}

async function insertBare(
  { tx }: DrillVault,
  sample: CodeRow,
  table: string,
  count: number,
  round: number,
): Promise<void> {
  const filled = Object.entries(sample).filter(([, value]) => value !== null);
  const row = Object.fromEntries(
    filled.map(([name, value]) => [name, typeof value === 'object' ? Buffer.from(value as Buffer) : value]),
  );
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
}

async function depositAll({ vault, tx }: DrillVault, count: number, round: number): Promise<void> {
  for (let from = 0; from < count; from += DEPOSIT) {
    const codes = numbered(Math.min(DEPOSIT, count - from), `D${round}-${from}`);
    await tx((trx) => vault.deposit(trx, depositOf(codes, { sku: 'DEPOSIT' })));
  }
}

/** Times `work`, and places a small order every ten milliseconds meanwhile. */
async function paced(
  { vault, tx }: DrillVault,
  name: string,
  count: number,
  pace: Pace,
  work: () => Promise<void>,
): Promise<void> {
  let is_over = false;
  const orders = (async () => {
    for (let at = 0; !is_over; at++) {
      const began = performance.now();
      await tx((trx) =>
        vault.issue(trx, [{ order_id: `ord_${name}_${at}`, sku: 'LATENCY', first_unit: 1, quantity: 1 }]),
      );
      pace.latencies.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  const start = process.hrtime.bigint();
  await work();
  pace.rates.push(count / secondsSince(start));
  is_over = true;
  await orders;
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
