// 12,000 orders race for 10,000 codes in several processes: every code goes to one order, every order gets its codes
// or a definite refusal, and nothing is lost. Then mixed quantities.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyring } from '../../vault/keyring.js';
import { generateKeyFile, keyFile } from '../../vault/sources.js';
import type { Wanted } from '../../vault/vault.js';
import { depositOf, numbered, openVaultWorld, type VaultWorld } from '../vault/world.js';
import { startWorker } from './fork.js';
import { type DrillReport, secondsSince, seeded } from './report.js';

export interface IssueSize {
  codes: number;
  orders: number;
  processes: number;
  workers: number;
  seeds: number;
  /** Largest order of the mixed rounds. */
  quantity_max: number;
}

export const FULL: IssueSize = {
  codes: 10_000,
  orders: 12_000,
  processes: 4,
  workers: 64,
  seeds: 3,
  quantity_max: 500,
};
export const SMALL: IssueSize = { codes: 200, orders: 240, processes: 2, workers: 8, seeds: 1, quantity_max: 20 };

export async function run(size: IssueSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-issue', figures: {}, violations: [] };
  const folder = mkdtempSync(join(tmpdir(), 'kamigate-drill-'));
  const key_path = join(folder, 'master.key');
  generateKeyFile(key_path);
  const world = await openVaultWorld({ keyring: createKeyring(keyFile(key_path)), now: Date.now });
  try {
    for (let seed = 1; seed <= size.seeds; seed++) {
      await race(world, key_path, size, seed, 1, report);
      await race(world, key_path, size, seed, size.quantity_max, report);
    }
    const { checks } = await world.vault.verify(world.database.read, { open_codes: false });
    for (const { faults } of checks) report.violations.push(...faults);
  } finally {
    await world.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return report;
}

async function race(
  world: VaultWorld,
  key_path: string,
  size: IssueSize,
  seed: number,
  quantity_max: number,
  report: DrillReport,
): Promise<void> {
  const label = `seed ${seed}, ${quantity_max === 1 ? 'one unit' : `1–${quantity_max} units`}`;
  const sku = `SKU-${seed}-${quantity_max}`;
  await world.tx((trx) => world.vault.deposit(trx, depositOf(numbered(size.codes, sku), { sku })));
  const wanted = makeOrders(size, sku, seed, quantity_max);
  const start = process.hrtime.bigint();
  const workers = Array.from({ length: size.processes }, (_, process_no) =>
    startWorker({
      url: world.url,
      key_path,
      task: {
        type: 'issue',
        wanted: wanted.filter((_one, at) => at % size.processes === process_no).map((one) => [one]),
        concurrency: Math.ceil(size.workers / size.processes),
      },
    }),
  );
  const answers = await Promise.all(workers.map((worker) => worker.answer));
  const seconds = secondsSince(start);
  const results = answers.flatMap((answer) => answer.results);
  const codes = results.flatMap((result) => result.code_ids ?? []);
  const refused = results.filter((result) => result.code_ids === null);
  const [stock] = await world.vault.stock(world.database.read, [sku]);
  const say = (broken: boolean, sentence: string) => broken && report.violations.push(`${label}: ${sentence}`);
  const errors = answers.flatMap((answer) => answer.errors);
  say(errors.length > 0, `${errors.length} unexpected errors, the first: ${errors[0]}`);
  say(new Set(codes).size !== codes.length, `${codes.length - new Set(codes).size} codes issued twice`);
  say(results.length !== wanted.length, `${wanted.length - results.length} orders without an answer`);
  say(stock!.issued !== codes.length, `${stock!.issued} codes in state issued, ${codes.length} delivered`);
  say(stock!.available + stock!.issued !== size.codes, 'codes were lost');
  const sizes = new Map(wanted.map((one) => [one.order_id, one.quantity]));
  say(
    results.some((one) => one.code_ids && one.code_ids.length !== sizes.get(one.order_id)),
    'an order got another number of codes than it wanted',
  );
  if (quantity_max === 1) {
    say(codes.length !== size.codes, `${codes.length} codes issued of ${size.codes}`);
    say(
      refused.length !== size.orders - size.codes,
      `${refused.length} definite refusals instead of ${size.orders - size.codes}`,
    );
  } else {
    // Whoever was refused wanted more than was left when it asked, and stock only shrinks.
    say(
      refused.some((one) => sizes.get(one.order_id)! <= stock!.available),
      'an order was refused that the stock could serve',
    );
  }
  report.figures[`${label}: issued / refused / errors`] = `${codes.length} / ${refused.length} / ${errors.length}`;
  report.figures[`${label}: orders a second`] = Math.round(results.length / seconds);
}

function makeOrders(size: IssueSize, sku: string, seed: number, quantity_max: number): Wanted[] {
  const random = seeded(seed * 1000 + quantity_max);
  const orders: Wanted[] = [];
  let units = 0;
  while (quantity_max === 1 ? orders.length < size.orders : units < size.orders) {
    const quantity = 1 + Math.floor(random() * quantity_max);
    units += quantity;
    orders.push({ order_id: `ord_${sku}_${orders.length}`, sku, first_unit: 1, quantity });
  }
  return orders;
}
