// Reading our prepaid balances on a schedule, one process at a time for each account: what they fell and rose by, and a
// word to a person before the money is gone.
import type { Supplier } from '../../adapters/kit/contract.js';
import { atomic, isDuplicate, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { listAccounts, VAULT_ACCOUNT } from './accounts.js';
import type { Channels } from './channels.js';
import { noteAccountEvent } from './events.js';
import { type FloatRow, NO_SPEND, readReserved, readSpend, runwayHours, type Spend, type Warning } from './float.js';

export type FloatEvent =
  | { event: 'float_read'; account: string; balance_e4: number; currency: string }
  | { event: 'float_failed'; account: string; error: unknown }
  | { event: 'float_warned'; account: string; warning: Warning; runway_h: number | null };

export interface FloatParts {
  database: Database;
  channels: Channels;
  supplierFor: (adapter: string) => Supplier;
  now: () => number;
  observe: (event: FloatEvent) => void;
}

const HOUR_MS = 3_600_000;
const READ_MS = 60_000;
const RETRY_MS_MAX = 15 * 60_000;
const CONCURRENCY = 8;
/** Runway below which a person is told, in hours. */
const WARN_H = { low: 6, critical: 2 } as const;
/** Spend of so many hours at hand is plenty: no purchase need be counted beforehand. */
const TIGHT_H = 1;
const KEPT_HOURS = 8 * 24;

/** Reads the balances that are due; returns how many. */
export async function readFloats(parts: FloatParts): Promise<number> {
  const { database, now } = parts;
  const accounts = (await listAccounts(database.read))
    .filter(({ adapter, is_enabled }) => adapter !== VAULT_ACCOUNT && is_enabled)
    .filter(({ adapter }) => parts.supplierFor(adapter).readBalance !== undefined)
    .map(({ account }) => account);
  const known: FloatRow[] = await database.read('floats').whereIn('account', accounts);
  const by_account = new Map(known.map((row) => [row.account, row]));
  const queue = accounts.filter((account) => (by_account.get(account)?.next_at ?? 0) <= now());
  let read = 0;
  const worker = async (): Promise<void> => {
    for (let account = queue.shift(); account !== undefined; account = queue.shift()) {
      if (await readFloat(parts, account)) read++;
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, queue.length) }, worker));
  return read;
}

/** Reads one balance, unless another process is at it. */
async function readFloat(parts: FloatParts, account: string): Promise<boolean> {
  const { database, now, observe } = parts;
  const row = await atomic(database, 'claiming a balance', (trx) => claim(trx, account, now()));
  if (!row) return false;
  const begun_at = now();
  try {
    const channel = await parts.channels.channel(account);
    const { amount_e4, currency } = await channel.readBalance();
    const { warning, runway_h } = await atomic(database, 'writing a balance', (trx) =>
      writeReading(trx, row, { balance_e4: amount_e4, currency, read_at: begun_at }),
    );
    observe({ event: 'float_read', account, balance_e4: amount_e4, currency });
    if (warning !== row.warned) observe({ event: 'float_warned', account, warning, runway_h });
    return true;
  } catch (error) {
    const next_at = now() + Math.min(READ_MS * 2 ** row.failures, RETRY_MS_MAX);
    const last_result = (error instanceof Error ? error.message : String(error)).slice(0, 200);
    await atomic(database, 'noting a failed balance', (trx) =>
      trx('floats')
        .where({ account })
        .update({ failures: row.failures + 1, next_at, last_result }),
    );
    observe({ event: 'float_failed', account, error });
    return false;
  }
}

/** Takes the reading by moving its next time on; null if another process has. */
async function claim(trx: Trx, account: string, now: number): Promise<FloatRow | null> {
  const row: FloatRow | undefined = await trx('floats').where({ account }).first();
  if (!row) {
    try {
      await trx('floats').insert({ account, next_at: now + READ_MS });
    } catch (error) {
      if (isDuplicate(error)) return null;
      throw error;
    }
    return ((await trx('floats').where({ account }).first()) as FloatRow | undefined) ?? null;
  }
  const taken = await trx('floats')
    .where({ account, next_at: row.next_at })
    .where('next_at', '<=', now)
    .update({ next_at: now + READ_MS });
  return taken === 1 ? row : null;
}

interface Reading {
  balance_e4: number;
  currency: string;
  read_at: number;
}

async function writeReading(
  trx: Trx,
  row: FloatRow,
  reading: Reading,
): Promise<{ warning: Warning; runway_h: number | null }> {
  const { account } = row;
  const is_first = row.balance_e4 === null || row.currency !== reading.currency;
  const moved_e4 = is_first ? 0 : reading.balance_e4 - (row.balance_e4 ?? 0);
  await countMove(trx, account, reading.read_at, moved_e4, is_first);
  const min_e4 = await readMin(trx, account);
  const spend = (await readSpend(trx, [account], reading.read_at)).get(account) ?? NO_SPEND;
  const reserved_e4 = await readReserved(trx, account, reading.read_at);
  const left_e4 = reading.balance_e4 - reserved_e4 - min_e4;
  const runway_h = runwayHours(left_e4, spend);
  const warning = warningOf(left_e4, runway_h);
  await trx('floats')
    .where({ account })
    .update({ ...reading, failures: 0, warned: warning, is_tight: isTight(left_e4, spend) ? 1 : 0, last_result: 'ok' });
  const at = reading.read_at;
  if (warning !== row.warned) {
    await noteAccountEvent(trx, {
      account,
      at,
      type: `float_${warning === 'none' ? 'recovered' : warning}`,
      data: { ...reading, runway_h },
    });
  }
  if (moved_e4 > 0)
    await noteAccountEvent(trx, { account, at, type: 'float_rose', data: { ...reading, by_e4: moved_e4 } });
  return { warning, runway_h };
}

/** Adds what the balance fell or rose by to its hour. A rise is a top-up, or refunds. */
async function countMove(trx: Trx, account: string, at: number, moved_e4: number, is_first: boolean): Promise<void> {
  if (moved_e4 === 0 && !is_first) return;
  const hour = Math.floor(at / HOUR_MS);
  const spent_e4 = Math.max(0, -moved_e4);
  const topped_up_e4 = Math.max(0, moved_e4);
  const added = await trx('float_hours').where({ account, hour }).increment({ spent_e4, topped_up_e4 });
  if (added > 0) return;
  await trx('float_hours').insert({ account, hour, spent_e4, topped_up_e4 });
  await trx('float_hours')
    .where({ account })
    .where('hour', '<', hour - KEPT_HOURS)
    .delete();
}

async function readMin(trx: Trx, account: string): Promise<number> {
  const row = (await trx('accounts').where({ account }).first('float_min_e4')) as { float_min_e4: number };
  return row.float_min_e4;
}

function warningOf(left_e4: number, runway_h: number | null): Warning {
  if (left_e4 <= 0 || (runway_h !== null && runway_h < WARN_H.critical)) return 'critical';
  return runway_h !== null && runway_h < WARN_H.low ? 'low' : 'none';
}

function isTight(left_e4: number, spend: Spend): boolean {
  const runway_h = runwayHours(left_e4, spend);
  return left_e4 <= 0 || (runway_h !== null && runway_h < TIGHT_H);
}
