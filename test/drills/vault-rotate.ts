// Codes are re-encrypted under new keys while orders are issued and the rotating process is killed again and again: no
// issue fails, nothing stays under the old version, and old ciphertext that is put back is refused.

import { VAULT_SEALED_COLUMNS } from '../../vault/rotate.js';
import { addKeyVersion } from '../../vault/sources.js';
import { depositOf, numbered } from '../vault/world.js';
import { startWorker } from './fork.js';
import { type DrillReport, percentile, secondsSince } from './report.js';
import { openDrillVault } from './vault-setup.js';

export interface RotateSize {
  codes: number;
  kills: number;
  /** Processes that issue meanwhile. */
  issuers: number;
}
export const FULL: RotateSize = { codes: 100_000, kills: 5, issuers: 2 };
export const SMALL: RotateSize = { codes: 2000, kills: 2, issuers: 1 };

const SKU = 'ROTATE';
const DEPOSIT = 5000;

export async function run(size: RotateSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-rotate', figures: {}, violations: [] };
  const drill = await openDrillVault();
  const { vault, tx, database, url, key_path } = drill;
  // The issuing processes have no journal; this drill is about keys.
  await tx((trx) => trx('vault_state').where({ name: 'journal_id' }).delete());
  try {
    for (let from = 0; from < size.codes; from += DEPOSIT) {
      const codes = numbered(Math.min(DEPOSIT, size.codes - from), `R${from}`);
      await tx((trx) => vault.deposit(trx, depositOf(codes, { sku: SKU })));
    }
    const old_key = await database.read('batch_keys').first();
    const old_code = await database
      .read('codes')
      .where({ batch_id: old_key.batch_id })
      .orderBy('code_id', 'desc')
      .first();
    addKeyVersion(key_path);
    await tx((trx) => vault.rotation.adopt(trx, { by: 'drill', reason: 'drill' }));
    const issuers = Array.from({ length: size.issuers }, (_, at) =>
      startWorker({ url, key_path, task: { type: 'issue_until', sku: SKU, prefix: `ord_${at}` } }),
    );
    const start = process.hrtime.bigint();
    for (let kill = 1; kill <= size.kills; kill++)
      await rotateUntil(url, key_path, Math.floor(size.codes / (size.kills + 2)));
    const last = await startWorker({ url, key_path, task: { type: 'rotate' } }).answer;
    const seconds = secondsSince(start);
    for (const issuer of issuers) issuer.stop();
    const answers = await Promise.all(issuers.map((issuer) => issuer.answer));
    check(report, await vault.rotation.status(database.read), answers);
    const latencies = answers.flatMap((answer) => answer.latencies_ms);
    report.figures = {
      'codes re-encrypted a second': Math.round(size.codes / seconds),
      'by the last run, after the kills': last.resealed,
      'orders issued meanwhile': latencies.length,
      'issue latency p50 / p99, ms': `${percentile(latencies, 0.5).toFixed(1)} / ${percentile(latencies, 0.99).toFixed(1)}`,
      kills: size.kills,
    };
    await checkOldRefused(report, drill, old_key, old_code);
  } finally {
    await drill.close();
  }
  return report;
}

/** Starts a rotation and kills its process once it has re-encrypted so many codes. */
async function rotateUntil(url: string, key_path: string, codes: number): Promise<void> {
  const worker = startWorker({ url, key_path, task: { type: 'rotate' } });
  await new Promise<void>((resolve, reject) => {
    worker.on_progress = (done) => done >= codes && resolve();
    worker.answer.then(() => resolve(), reject);
  });
  await worker.kill();
}

type Status = Awaited<ReturnType<Awaited<ReturnType<typeof openDrillVault>>['vault']['rotation']['status']>>;

function check(
  report: DrillReport,
  status: Status,
  answers: { errors: string[]; results: { code_ids: string[] | null }[] }[],
): void {
  const errors = answers.flatMap((answer) => answer.errors);
  if (errors.length > 0) report.violations.push(`${errors.length} failed issues, the first: ${errors[0]}`);
  const refused = answers.flatMap((answer) => answer.results).filter((result) => result.code_ids === null);
  if (refused.length > 0) report.violations.push(`${refused.length} orders refused though there was stock`);
  if (status.codes_to_reseal > 0) report.violations.push(`${status.codes_to_reseal} codes under the old version`);
  if (status.keys_to_rewrap > 0) report.violations.push(`${status.keys_to_rewrap} keys under the old version`);
}

async function checkOldRefused(
  report: DrillReport,
  { vault, tx, database }: Awaited<ReturnType<typeof openDrillVault>>,
  old_key: { batch_id: string; wrapped: Buffer },
  old_code: { code_id: string; sealed: Buffer; key_version: number },
): Promise<void> {
  await tx((trx) => vault.rotation.raiseMinimum(trx, 2, VAULT_SEALED_COLUMNS, { by: 'drill', reason: 'drill' }));
  const sound = await vault.verify(database.read, { open_codes: true });
  for (const { faults } of sound.checks) report.violations.push(...faults);
  await tx(async (trx) => {
    await trx('batch_keys').insert({ ...old_key, wrapped: Buffer.from(old_key.wrapped) });
    await trx('codes')
      .where({ code_id: old_code.code_id })
      .update({ sealed: Buffer.from(old_code.sealed), key_version: old_code.key_version });
  });
  const after = await vault.verify(database.read, { open_codes: true });
  const faults = after.checks.at(-1)!.faults;
  if (faults.length !== 1 || !faults[0]!.startsWith(old_code.code_id))
    report.violations.push('old ciphertext that was put back still opens');
}
