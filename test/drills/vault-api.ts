// The API while codes come in: orders over HTTP on keep-alive connections to one process, and meanwhile a file of codes
// deposited by the command line in another. Every order is delivered, and the slowest hundredth stays under a quarter
// of a second.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atomic } from '../../src/db/atomic.js';
import { issueKey } from '../../src/storefronts/accounts.js';
import type { LoadResult } from '../bench/load.js';
import { makeWorld, type World } from '../kit/world.js';
import type { DrillReport } from './report.js';

export interface ApiSize {
  /** Codes deposited meanwhile. */
  codes: number;
  /** Orders of one stretch; stretches follow each other until the deposit has ended. */
  orders: number;
  /** Null: the figure is printed, and judged at full size alone. */
  p99_max_ms: number | null;
}
export const SMALL: ApiSize = { codes: 1_500, orders: 30, p99_max_ms: null };
export const FULL: ApiSize = { codes: 100_000, orders: 150, p99_max_ms: 250 };
const STRETCHES_MAX = 40;

export async function run(size: ApiSize): Promise<DrillReport> {
  const world = await makeWorld({ real_clock: true });
  const children: ChildProcess[] = [];
  const file = join(tmpdir(), `kamigate-drill-${process.pid}.txt`);
  try {
    for (const sku of ['card', 'bulk']) await world.addSku(sku);
    await stock(world, size.orders * STRETCHES_MAX);
    const key = await atomic(world.database, 'drill key', (trx) =>
      issueKey(trx, { storefront: 'mall', scopes: ['orders:read', 'orders:write'], now: Date.now() }),
    );
    const told = { database_url: world.database_url, key_file: world.key_file };
    const { port } = await start<{ port: number }>(children, 'gateway', told);
    const load = async (round: string): Promise<LoadResult> => {
      const order = { port, key: key.key.reveal(), connections: 4, orders: size.orders, sku: 'card', round };
      return start<LoadResult>(children, 'load', { ...order, recipient: false, headers: {} });
    };
    const calm = await load('calm');
    writeFileSync(file, Array.from({ length: size.codes }, (_, at) => `BULK-${at}-0123456789ABCDEF`).join('\n'));
    const deposit = depositInAnotherProcess(world, file);
    const during: LoadResult[] = [];
    for (let at = 0; at < STRETCHES_MAX - 1 && !deposit.has_ended(); at++) during.push(await load(`during-${at}`));
    return await reportOf(world, size, calm, during, await deposit.ended);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(file, { force: true });
    await world.close();
  }
}

async function stock(world: World, codes: number): Promise<void> {
  const step = 2_000;
  for (let from = 0; from < codes; from += step) {
    await world.deposit(
      'card',
      Array.from({ length: Math.min(step, codes - from) }, (_, at) => `CARD-${from + at}-0123456789`),
    );
  }
}

function depositInAnotherProcess(world: World, file: string) {
  const args = ['vault', 'deposit', file, '--sku', 'bulk', '--total-cost', '1000', '--commit'];
  const child = spawn(process.execPath, [programOf('src/cli'), ...args], {
    env: {
      PATH: process.env.PATH,
      KAMIGATE_DATABASE_URL: world.database_url,
      KAMIGATE_MASTER_KEY_FILE: world.key_file,
      KAMIGATE_JOURNAL_DIR: 'none',
      // What it orders in ten seconds, nobody ever ordered before.
      KAMIGATE_VAULT_BRAKE_CODES_MIN: '1000000',
      KAMIGATE_DATA_DIR: tmpdir(),
    },
    stdio: 'ignore',
  });
  let has_ended = false;
  const started_at = performance.now();
  const ended = new Promise<{ code: number | null; seconds: number }>((resolve) => {
    child.once('exit', (code) => {
      has_ended = true;
      resolve({ code, seconds: (performance.now() - started_at) / 1_000 });
    });
  });
  return { ended, has_ended: () => has_ended };
}

async function reportOf(
  world: World,
  size: ApiSize,
  calm: LoadResult,
  during: readonly LoadResult[],
  deposit: { code: number | null; seconds: number },
): Promise<DrillReport> {
  const latencies = during.flatMap((result) => result.latencies_ms).sort((a, b) => a - b);
  const at = (sorted: readonly number[], share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  const delivered = during.reduce((sum, result) => sum + result.delivered, 0);
  const row = await world.database.read('codes').where({ sku: 'bulk' }).count({ n: '*' }).first();
  const p99_ms = at(latencies, 0.99);
  const report: DrillReport = {
    name: 'vault-api',
    figures: {
      'codes deposited meanwhile': Number(row?.n),
      'seconds of the deposit': deposit.seconds.toFixed(1),
      'orders meanwhile / delivered': `${latencies.length} / ${delivered}`,
      'order without a deposit, p50 / p99 ms': `${at(calm.latencies_ms, 0.5).toFixed(1)} / ${at(calm.latencies_ms, 0.99).toFixed(1)}`,
      'order meanwhile, p50 / p99 / most ms': `${at(latencies, 0.5).toFixed(1)} / ${p99_ms.toFixed(1)} / ${(latencies.at(-1) ?? 0).toFixed(1)}`,
    },
    violations: [],
  };
  if (deposit.code !== 0) report.violations.push(`the deposit ended with exit code ${deposit.code}`);
  if (Number(row?.n) !== size.codes) report.violations.push(`${row?.n} of ${size.codes} codes are there`);
  if (latencies.length === 0 || delivered !== latencies.length) {
    report.violations.push(`${delivered} of ${latencies.length} orders were delivered`);
  }
  if (size.p99_max_ms !== null && p99_ms > size.p99_max_ms) report.violations.push(`slow: p99 ${p99_ms.toFixed(0)} ms`);
  return report;
}

function start<T>(children: ChildProcess[], program: string, told: object): Promise<T> {
  const stdio: ('ignore' | 'inherit' | 'ipc')[] = ['ignore', 'inherit', 'inherit', 'ipc'];
  const child = fork(programOf(`test/bench/${program}`), [JSON.stringify(told)], { stdio, execArgv: [] });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code) => reject(new Error(`${program} ended with ${code}`)));
  });
}

/** The compiled program, whether this file runs compiled or from source. */
function programOf(name: string): string {
  const above = join(import.meta.dirname, '../..');
  const compiled = join(above, `${name}.js`);
  return existsSync(compiled) ? compiled : join(above, 'dist', `${name}.js`);
}
