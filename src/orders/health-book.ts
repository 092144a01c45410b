// Health as this process knows it and shares it: what was seen is counted in memory at once and written down every
// second, so that no two settlings wait for one row; a process that dies takes at most that second with it.
import type { Knex } from 'knex';
import { atomic, isDuplicate, Retry, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { insertRows } from '../db/rows.js';
import type { Channels } from '../suppliers/channels.js';
import {
  afterSign,
  answered,
  type HealthFacts,
  type HealthRow,
  healthFacts,
  newHealth,
  PROBE_PATIENCE_MS,
  type Seen,
  silent,
} from './health.js';

export interface Health {
  /** Counts one sign at once, in this process. */
  note(account: string, kind: string, seen: Seen): void;
  /** Sees to it that what other processes wrote is known, if it was not read within the last second. */
  refresh(handle: Knex | Trx): Promise<void>;
  /** What is known now. */
  facts(account: string, kind: string): HealthFacts;
  /** Takes the right to the next probing purchase. False if another order has it, in this process or another. */
  claimProbe(trx: Trx, account: string, kind: string): Promise<boolean>;
  /** Writes down what was counted; returns how many rows. */
  write(): Promise<number>;
  /** Asks the ailing suppliers whose pause is over whether they answer at all; returns how many. Buys nothing. */
  probe(): Promise<number>;
}

export interface HealthParts {
  database: Database;
  channels: Channels;
  now: () => number;
}

const FRESH_MS = 1_000;
/** Signs of one account and kind that wait to be written; while the database is away the oldest are forgotten. */
const WAITING_MAX = 1_000;

const COLUMNS = [
  'account',
  'kind',
  'as_of',
  'good',
  'faults',
  'good_ms',
  'recent_good',
  'recent_faults',
  'faults_in_row',
  'state',
  'since',
  'probe_at',
  'probes_good',
  'pause_ms',
] as const satisfies readonly (keyof HealthRow)[];

export function createHealth({ database, channels, now }: HealthParts): Health {
  /** As it stands with what waits. */
  const known = new Map<string, HealthRow>();
  const waiting = new Map<string, Seen[]>();
  let read_at = Number.NEGATIVE_INFINITY;
  let writing: Promise<number> | null = null;

  function take(row: HealthRow): void {
    const key = keyOf(row.account, row.kind);
    known.set(key, (waiting.get(key) ?? []).reduce(afterSign, row));
  }

  async function writeNow(): Promise<number> {
    const batches = [...waiting].filter(([, seen]) => seen.length > 0).map(([key, seen]) => ({ key, seen: [...seen] }));
    for (const { key, seen } of batches) {
      const [account, kind] = key.split('\n') as [string, string];
      const row = await atomic(database, 'write health', (trx) =>
        change(trx, account, kind, now(), (before) => seen.reduce(afterSign, before)),
      );
      const left = waiting.get(key)!.filter((each) => !seen.includes(each));
      if (left.length === 0) waiting.delete(key);
      else waiting.set(key, left);
      if (row) take(row);
    }
    return batches.length;
  }

  return {
    note: (account, kind, seen) => {
      const key = keyOf(account, kind);
      const list = waiting.get(key) ?? [];
      if (list.length >= WAITING_MAX) list.shift();
      list.push(seen);
      waiting.set(key, list);
      known.set(key, afterSign(known.get(key) ?? newHealth(account, kind, seen.at), seen));
    },
    refresh: async (handle) => {
      const at = now();
      if (at - read_at < FRESH_MS && at >= read_at) return;
      const rows = (await handle('health').select(COLUMNS)) as HealthRow[];
      read_at = at;
      for (const row of rows) take(row);
    },
    facts: (account, kind) => healthFacts(known.get(keyOf(account, kind)), now()),
    claimProbe: async (trx, account, kind) => {
      const row = known.get(keyOf(account, kind));
      const at = now();
      if (row?.state !== 'probing' || row.probe_at === null || row.probe_at > at) return false;
      const probe_at = at + PROBE_PATIENCE_MS;
      const claimed = await trx('health')
        .where({ account, kind, state: 'probing', probe_at: row.probe_at })
        .update({ probe_at });
      // Whoever has it: this process need not ask again before its next look.
      known.set(keyOf(account, kind), { ...row, probe_at });
      if (claimed !== 1) read_at = Number.NEGATIVE_INFINITY;
      return claimed === 1;
    },
    write: () => {
      writing ??= writeNow().finally(() => {
        writing = null;
      });
      return writing;
    },
    probe: async () => {
      const due = (await database
        .read('health')
        .join('accounts', 'accounts.account', 'health.account')
        .where('health.state', 'ailing')
        .where('health.probe_at', '<=', now())
        .where('accounts.is_enabled', 1)
        .whereNull('accounts.paused_at')
        .select(COLUMNS.map((column) => `health.${column}`))) as HealthRow[];
      const asked = await Promise.all(due.map((row) => probeOne(row)));
      return asked.filter(Boolean).length;
    },
  };

  async function probeOne(due: HealthRow): Promise<boolean> {
    const { account, kind } = due;
    const probe_at = now() + PROBE_PATIENCE_MS;
    const is_ours = await atomic(database, 'claim probe', async (trx) => {
      const claimed = await trx('health')
        .where({ account, kind, state: 'ailing', probe_at: due.probe_at })
        .update({ probe_at });
      return claimed === 1;
    });
    if (!is_ours) return false;
    const answers = await ask(channels, account);
    const row = await atomic(database, 'write probe', (trx) =>
      // A state that has moved meanwhile is newer than this answer.
      change(trx, account, kind, now(), (before) =>
        before.state !== 'ailing' ? before : answers ? answered(before, now()) : silent(before, now()),
      ),
    );
    if (row) take(row);
    return true;
  }
}

/** A question that can buy nothing. A supplier that takes none is tried by a purchase alone. */
async function ask(channels: Channels, account: string): Promise<boolean> {
  try {
    const channel = await channels.channel(account);
    if (channel.supplier.readBalance) await channel.readBalance();
    else if (channel.supplier.listOffers) await channel.listOffers(null);
    return true;
  } catch {
    // Whatever it was, it is no answer.
    return false;
  }
}

/** Changes one row under its lock, or makes it. Returns it as written. */
async function change(
  trx: Trx,
  account: string,
  kind: string,
  now: number,
  apply: (before: HealthRow) => HealthRow,
): Promise<HealthRow> {
  const query = trx('health').where({ account, kind }).first(COLUMNS);
  const found = (await (trx.client.config.client === 'mysql2' ? query.forUpdate() : query)) as HealthRow | undefined;
  const row = apply(found ?? newHealth(account, kind, now));
  if (found) {
    const { account: _account, kind: _kind, ...columns } = row;
    await trx('health').where({ account, kind }).update(columns);
    return row;
  }
  try {
    await insertRows(trx, 'health', COLUMNS, [row]);
  } catch (error) {
    throw isDuplicate(error) ? new Retry('another process wrote the first row') : error;
  }
  return row;
}

function keyOf(account: string, kind: string): string {
  return `${account}\n${kind}`;
}
