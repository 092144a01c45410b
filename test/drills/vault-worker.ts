// One process of a vault drill: it is told what to do over IPC and answers when it is done. Forked by fork.ts.
import { atomic, type Trx } from '../../src/db/atomic.js';
import { connect, type Database } from '../../src/db/connect.js';
import { createKeyring } from '../../vault/keyring.js';
import { VAULT_SEALED_COLUMNS } from '../../vault/rotate.js';
import { runRotation } from '../../vault/rotation.js';
import { keyFile } from '../../vault/sources.js';
import { createVault, type Vault, type Wanted } from '../../vault/vault.js';

export interface WorkerJob {
  url: string;
  key_path: string;
  task:
    | { type: 'issue'; wanted: Wanted[][]; concurrency: number }
    /** Issues one code at a time until it is told to stop. */
    | { type: 'issue_until'; sku: string; prefix: string }
    | { type: 'rotate' };
}

export interface WorkerAnswer {
  /** Per wanted: code ids, or null for a definite refusal. */
  results: { order_id: string; code_ids: string[] | null }[];
  errors: string[];
  latencies_ms: number[];
  resealed: number;
}

const tx =
  (database: Database) =>
  <T>(fn: (trx: Trx) => Promise<T>): Promise<T> =>
    atomic(database, 'drill', fn);

async function work(job: WorkerJob, is_stopped: () => boolean): Promise<WorkerAnswer> {
  const database = connect({ url: job.url, pool_max: 16, acquire_timeout_ms: 60_000 });
  const { dialect, can_skip_locked } = database;
  const vault = createVault({ keyring: createKeyring(keyFile(job.key_path)), now: Date.now, dialect, can_skip_locked });
  const answer: WorkerAnswer = { results: [], errors: [], latencies_ms: [], resealed: 0 };
  try {
    if (job.task.type === 'issue') await issueAll(database, vault, job.task, answer);
    else if (job.task.type === 'issue_until') await issueUntil(database, vault, job.task, is_stopped, answer);
    else {
      const result = await runRotation({
        vault,
        tx: tx(database),
        knex: database.read,
        columns: VAULT_SEALED_COLUMNS,
        is_deep: true,
        pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        on_progress: (phase, done) => phase === 'deep' && process.send?.({ progress: done }),
      });
      answer.resealed = result.codes_resealed;
    }
  } finally {
    await database.close();
  }
  return answer;
}

async function issueAll(
  database: Database,
  vault: Vault,
  { wanted, concurrency }: { wanted: Wanted[][]; concurrency: number },
  answer: WorkerAnswer,
): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    for (let call = wanted[next++]; call !== undefined; call = wanted[next++])
      await issueOnce(database, vault, call, answer);
  };
  await Promise.all(Array.from({ length: concurrency }, one));
}

async function issueOnce(database: Database, vault: Vault, call: Wanted[], answer: WorkerAnswer): Promise<void> {
  const start = performance.now();
  try {
    const results = await untilIssued(database, vault, call);
    for (const [at, result] of results.entries()) {
      const code_ids = 'issued' in result ? result.issued.map((issued) => issued.code_id) : null;
      answer.results.push({ order_id: call[at]!.order_id, code_ids });
    }
  } catch (error) {
    answer.errors.push(String(error));
  }
  answer.latencies_ms.push(performance.now() - start);
}

/** A caller repeats the very same request when the database is busy: that is what the gateway's answer tells it. */
async function untilIssued(database: Database, vault: Vault, call: Wanted[]) {
  for (let tries = 1; ; tries++) {
    try {
      return await tx(database)((trx) => vault.issue(trx, call));
    } catch (error) {
      const { retryable } = error as { retryable?: boolean };
      if (!retryable || tries >= 20) throw error;
    }
  }
}

async function issueUntil(
  database: Database,
  vault: Vault,
  { sku, prefix }: { sku: string; prefix: string },
  is_stopped: () => boolean,
  answer: WorkerAnswer,
): Promise<void> {
  for (let at = 0; !is_stopped(); at++) {
    await issueOnce(database, vault, [{ order_id: `${prefix}-${at}`, sku, first_unit: 1, quantity: 1 }], answer);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let stopped = false;
process.on('message', (message: WorkerJob | 'stop') => {
  if (message === 'stop') {
    stopped = true;
    return;
  }
  work(message, () => stopped).then(
    (answer) => process.send?.({ answer }, () => process.disconnect()),
    (error) => process.send?.({ failed: String(error?.stack ?? error) }, () => process.exit(1)),
  );
});
