// Runs the steps of a rotation to their end, each in a transaction of its own. Killed anywhere, the next run goes on:
// what is done is in the rows themselves.
import type { Knex } from 'knex';
import type { SealedColumn, Step } from './rotate.js';
import type { Trx } from './types.js';
import type { Vault } from './vault.js';

export type RotationPhase = 'rewrap' | 'texts' | 'deep' | 'fingerprints';

export interface RotationRun {
  vault: Vault;
  /** Runs one transaction; the program's `atomic`. */
  tx: <T>(fn: (trx: Trx) => Promise<T>) => Promise<T>;
  knex: Knex;
  /** Every column that holds sealed texts: `VAULT_SEALED_COLUMNS` and the program's. */
  columns: readonly SealedColumn[];
  /** Re-encrypts every code too. */
  is_deep: boolean;
  on_progress?: (phase: RotationPhase, done: number, total: number) => void;
  /** Waits where others hold what is left; a timer. */
  pause: (ms: number) => Promise<void>;
}

/** Pause while others hold the last rows, and how often it is taken in a row before giving up: a minute. */
const PAUSE_MS = 50;
const PAUSES_MAX = 1200;
/** Pause after every step, for those who issue. */
const GAP_MS = 20;

export interface RotationResult {
  keys_rewrapped: number;
  texts_resealed: number;
  codes_resealed: number;
}

/** Brings everything under the current master version. Throws if rows stay locked by others for a minute. */
export async function runRotation(run: RotationRun): Promise<RotationResult> {
  const { vault, tx, knex, columns, is_deep } = run;
  const before = await vault.rotation.status(knex);
  const result: RotationResult = { keys_rewrapped: 0, texts_resealed: 0, codes_resealed: 0 };
  // New keys first: a deep rotation then drops the old batch keys one by one.
  if (is_deep) {
    result.codes_resealed = await repeat(run, 'deep', before.codes_to_reseal, (trx) => vault.rotation.deepStep(trx));
  }
  result.keys_rewrapped = await repeat(run, 'rewrap', before.keys_to_rewrap, (trx) => vault.rotation.rewrapStep(trx));
  for (const column of columns) {
    let after: string | null = null;
    do {
      const step: { changed: number; after: string | null } = await tx((trx) =>
        vault.rotation.textStep(trx, column, after),
      );
      result.texts_resealed += step.changed;
      after = step.after;
    } while (after !== null);
    run.on_progress?.('texts', columns.indexOf(column) + 1, columns.length);
  }
  return result;
}

/** Runs a replacement of the fingerprint key that has begun to its end. */
export async function runFingerprints(run: RotationRun, total: number): Promise<number> {
  return repeat(run, 'fingerprints', total, (trx) => run.vault.rotation.fingerprintStep(trx));
}

async function repeat(
  run: RotationRun,
  phase: RotationPhase,
  total: number,
  step: (trx: Trx) => Promise<Step>,
): Promise<number> {
  let done = 0;
  for (let pauses = 0; pauses < PAUSES_MAX; ) {
    const { changed, is_done, is_waiting } = await run.tx(step);
    done += changed;
    run.on_progress?.(phase, done, Math.max(total, done));
    if (is_done) return done;
    if (is_waiting) {
      pauses++;
      await run.pause(PAUSE_MS);
    } else {
      pauses = 0;
      // SQLite has one writer and no queue for it: without a gap other processes would hardly ever find it free.
      await run.pause(GAP_MS);
    }
  }
  throw new Error(`rotation: rows of phase ${phase} stayed locked by others`);
}
