// The sweep: reads what each account's supplier offers, page by page within the supplier's budget, and writes what
// differs. One process an account at a time; after a crash it goes on where it was. What sells is read more often.
import type { Supplier } from '../../adapters/kit/contract.js';
import { atomic } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { newId } from '../ids.js';
import { listAccounts, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import type { Channels } from '../suppliers/channels.js';
import { noteAccountEvent } from '../suppliers/events.js';
import type { RateOptions } from './currencies.js';
import type { Written } from './listing.js';
import { type HotPages, NOTHING_HOT, planHotPages, sweepHot } from './sweep-hot.js';
import { sweepList } from './sweep-list.js';
import { addSweeps, claimSweep, readFreeSweeps, readSales, releaseSweep, type SweepRow } from './sweep-state.js';
import { lookMs, type Turn, type Write } from './sweep-turn.js';

export interface SweepOptions extends RateOptions {
  /** How often products that sell are read again. */
  offers_hot_ms: number;
  /** How often the whole list is. */
  offers_cold_ms: number;
  /** The share of a supplier's allowed requests that reading offers may take. */
  offers_share_percent: number;
  /** Accounts swept at a time in this process. */
  offers_concurrency: number;
}

export const SWEEP_DEFAULTS: Omit<SweepOptions, keyof RateOptions> = {
  offers_hot_ms: 60_000,
  offers_cold_ms: 3_600_000,
  offers_share_percent: 25,
  offers_concurrency: 8,
};

export type SweepEvent =
  | {
      event: 'swept';
      account: string;
      kind: 'catalog' | 'price';
      result: 'ok' | 'partial' | 'error';
      duration_ms: number;
      at: number;
    }
  | ({ event: 'written'; account: string } & Written)
  | { event: 'list_refused'; account: string; count: number; before: number | null }
  | { event: 'sweep_failed'; account: string; error: unknown };

export interface SweepParts {
  database: Database;
  channels: Channels;
  supplierFor: (adapter: string) => Supplier;
  now: () => number;
  options: SweepOptions;
  observe: (event: SweepEvent) => void;
}

export interface Sweeper {
  /** One bounded pass over the accounts that are due; returns how many pages were read. */
  runDue(): Promise<number>;
  /** Makes an account's whole list due at once. */
  sweepSoon(account: string): Promise<void>;
  /** The next whole list is believed however short it is: a person has looked. */
  believeList(account: string, by: string): Promise<void>;
  /** Ends passes after the page they are at. */
  stop(): void;
}

/** One account's turn in one pass; the rest is the next pass's. */
const TURN_MS = 10_000;
const SALES_MS = 3_600_000;
const SALES_FRESH_MS = 30_000;

function oneWriter(database: Database): Write {
  let last: Promise<unknown> = Promise.resolve();
  return (name, fn) => {
    const mine = last.then(() => atomic(database, name, fn));
    last = mine.catch(() => undefined);
    return mine;
  };
}

export function createSweeper(parts: SweepParts): Sweeper {
  const { database, now } = parts;
  const owner = newId('req', now());
  const write = oneWriter(database);
  const looks = new Map<string, { until: number; hot_at: number }>();
  let sales: { at: number; by_sku: Map<string, number> } | null = null;
  let is_stopped = false;

  async function salesNow(): Promise<Map<string, number>> {
    if (!sales || now() - sales.at >= SALES_FRESH_MS) {
      sales = { at: now(), by_sku: await readSales(database.read, now() - SALES_MS) };
    }
    return sales.by_sku;
  }

  /** What is hot, looked up at most a few times an interval; nothing is written for a look that finds nothing. */
  async function hotPages(row: SweepRow): Promise<HotPages> {
    const last = looks.get(row.account);
    // Unless somebody has asked for it since: a supplier's news, or a person.
    const is_looked_at = last !== undefined && last.until > now() && last.hot_at === row.hot_at;
    if (row.hot_at > now() || is_looked_at) return NOTHING_HOT;
    looks.set(row.account, { until: now() + lookMs(parts), hot_at: row.hot_at });
    return planHotPages({ parts, row, sales: await salesNow() });
  }

  async function takeTurn(seen: SweepRow): Promise<number> {
    const { account } = seen;
    const hot = await hotPages(seen);
    if (hot.pages.length === 0 && seen.next_at > now()) return 0;
    const row = await write('claiming a sweep', (trx) => claimSweep(trx, account, owner, now()));
    if (!row) return 0;
    const turn: Turn = {
      parts,
      channel: await parts.channels.channel(account),
      row,
      ends_at: performance.now() + TURN_MS,
      pages_read: 0,
      write,
    };
    try {
      if (hot.pages.length > 0) await sweepHot(turn, hot, () => is_stopped);
      if (turn.row.next_at <= now()) await sweepList(turn, () => is_stopped);
    } catch (error) {
      parts.observe({ event: 'sweep_failed', account, error });
    } finally {
      if (turn.row.owner !== null) await write('releasing a sweep', (trx) => releaseSweep(trx, account, owner));
    }
    return turn.pages_read;
  }

  return {
    runDue: async () => {
      const accounts = await sweptAccounts(parts);
      await ensureRows(parts, accounts);
      const queue = await readFreeSweeps(database.read, accounts, now());
      let pages = 0;
      const worker = async (): Promise<void> => {
        for (let row = queue.shift(); row !== undefined && !is_stopped; row = queue.shift())
          pages += await takeTurn(row);
      };
      await Promise.all(Array.from({ length: Math.min(parts.options.offers_concurrency, queue.length) }, worker));
      return pages;
    },
    sweepSoon: async (account) => {
      await ensureRows(parts, [account]);
      await atomic(database, 'asking for a sweep', (trx) =>
        trx('sweeps').where({ account }).update({ next_at: now(), hot_at: now() }),
      );
    },
    believeList: async (account, by) => {
      await atomic(database, 'believing a list', async (trx) => {
        await trx('sweeps').where({ account }).update({ offers_count: 0, failures: 0, next_at: now() });
        await noteAccountEvent(trx, { account, at: now(), type: 'list_believed', data: { by } });
      });
    },
    stop: () => {
      is_stopped = true;
    },
  };
}

/** Accounts that can be swept: open, and of an adapter that lists its offers. */
async function sweptAccounts({ database, supplierFor }: SweepParts): Promise<string[]> {
  const accounts = await listAccounts(database.read);
  return accounts
    .filter(({ adapter, is_enabled, paused_at }) => adapter !== VAULT_ACCOUNT && is_enabled && paused_at === null)
    .filter(({ adapter }) => supplierFor(adapter).listOffers !== undefined)
    .map(({ account }) => account);
}

async function ensureRows({ database, now }: SweepParts, accounts: readonly string[]): Promise<void> {
  const known: { account: string }[] = await database
    .read('sweeps')
    .whereIn('account', [...accounts])
    .select('account');
  if (known.length === accounts.length) return;
  await atomic(database, 'adding sweeps', (trx) => addSweeps(trx, accounts, now()));
}
