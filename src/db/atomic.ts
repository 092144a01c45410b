// atomic(name, fn): one short transaction, run again as a whole when the database asks for it. On a cluster any
// transaction may be refused at its commit, so `fn` must decide everything from what it reads inside.
import type { Knex } from 'knex';
import { GatewayError } from '../errors.js';
import type { Database } from './connect.js';

export type Trx = Knex.Transaction;

/** How often one transaction is run at most; the last refusal is thrown. */
const RUNS_MAX = 12;
/** First pause before running again; it doubles, with jitter, up to the cap. */
const PAUSE_MS = 3;
const PAUSE_MS_MAX = 200;

/** A unique index refused a row that another transaction wrote first. `fn` may throw it on to be run again. */
export class Retry extends Error {}

/**
 * Runs `fn` in one transaction and returns what it returns. Runs it again on a busy database, a deadlock, a lock wait
 * timeout or a conflict at commit. Throws `GatewayError('unavailable')` when the database cannot be reached or stays
 * busy; after a connection lost at commit the caller cannot know whether it was written, and must look.
 */
export async function atomic<T>(database: Database, name: string, fn: (trx: Trx) => Promise<T>): Promise<T> {
  for (let run = 1; ; run++) {
    try {
      return await transact(database, fn);
    } catch (error) {
      const kind = classify(error);
      if (kind === 'retry' && run < RUNS_MAX) {
        await pause(run);
        continue;
      }
      if (kind === null) throw error;
      throw new GatewayError('unavailable', `the database refused ${name}`, {
        fix: 'Repeat the same request; if it persists, run `kamigate doctor`.',
        cause: error,
      });
    }
  }
}

async function transact<T>(database: Database, fn: (trx: Trx) => Promise<T>): Promise<T> {
  if (database.dialect === 'mysql') return database.write.transaction(fn);
  return oneAtATime(database, () => database.write.transaction(fn));
}

// SQLite has one writer. Queueing here, and giving the event loop a turn before each transaction, keeps timers and
// sockets alive under a backlog: without it 64 waiting transactions ran for over a second in microtasks alone.
const queues = new WeakMap<Database, Promise<unknown>>();

function oneAtATime<T>(database: Database, fn: () => Promise<T>): Promise<T> {
  const before = queues.get(database) ?? Promise.resolve();
  const mine = before.then(() => new Promise((resolve) => setImmediate(resolve))).then(fn);
  queues.set(
    database,
    mine.catch(() => undefined),
  );
  return mine;
}

function pause(run: number): Promise<void> {
  const ms = Math.min(PAUSE_MS * 2 ** (run - 1), PAUSE_MS_MAX) * (0.5 + Math.random());
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Deadlock, lock wait timeout, Galera not ready / certification failure, TiDB write conflicts and schema changes.
const RETRY_ERRNO = new Set([1213, 1205, 1047, 3572, 8002, 8022, 8028, 9007]);
const RETRY_CODE = /^SQLITE_(BUSY|LOCKED)/;
const LOST_CODE =
  /^(PROTOCOL_CONNECTION_LOST|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|ER_SERVER_SHUTDOWN|ER_CON_COUNT_ERROR|ER_DISK_FULL|ER_RECORD_FILE_FULL|SQLITE_FULL|SQLITE_IOERR|SQLITE_READONLY|SQLITE_CANTOPEN)/;

/** 'retry': run it again. 'lost': the database is away or cannot write. null: not the database's doing. */
export function classify(error: unknown): 'retry' | 'lost' | null {
  if (error instanceof Retry) return 'retry';
  if (!(error instanceof Error)) return null;
  const { code, errno, name } = error as { code?: string; errno?: number; name: string };
  if (typeof errno === 'number' && RETRY_ERRNO.has(errno)) return 'retry';
  if (code && RETRY_CODE.test(code)) return 'retry';
  if (code && LOST_CODE.test(code)) return 'lost';
  if (name === 'KnexTimeoutError' || /database is locked/i.test(error.message)) return 'retry';
  if (/disk is full|readonly database|disk I\/O error|closed state/i.test(error.message)) return 'lost';
  return null;
}

/** Whether `error` is a unique index refusing a second row. */
export function isDuplicate(error: unknown): boolean {
  const { code, errno, message } = error as { code?: string; errno?: number; message?: string };
  return (
    errno === 1062 ||
    /^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY)/.test(code ?? '') ||
    /UNIQUE constraint failed/.test(message ?? '')
  );
}
