// The sweep: reads what each account's supplier offers, page by page within the supplier's budget, and writes what
// differs. One process an account at a time; after a crash it goes on where it was. What sells is read more often.
import type { Offer, Supplier } from '../../adapters/kit/contract.js';
import { atomic, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { newId } from '../ids.js';
import { listAccounts, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import type { Channel } from '../suppliers/channel.js';
import type { Channels } from '../suppliers/channels.js';
import { noteAccountEvent } from '../suppliers/events.js';
import { readPolicies } from './cost-policies.js';
import { type RateOptions, readRates } from './currencies.js';
import { writeOffers, type Written } from './listing.js';
import { finishList } from './sweep-end.js';
import { type HotPages, NOTHING_HOT, planHotPages } from './sweep-hot.js';
import {
  addSweeps,
  claimSweep,
  keepSweep,
  type PageRow,
  readFreeSweeps,
  readSales,
  releaseSweep,
  type SweepRow,
  touchPage,
  writePages,
} from './sweep-state.js';

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
  | { event: 'swept'; account: string; kind: 'catalog' | 'price'; result: 'ok' | 'partial' | 'error'; duration_ms: number; at: number }
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
  /** A supplier told of one offer by itself. It is judged like any other. */
  receiveOffer(account: string, offer: Offer): Promise<Written>;
  /** The next whole list is believed however short it is: a person has looked. */
  believeList(account: string, by: string): Promise<void>;
  /** Ends passes after the page they are at. */
  stop(): void;
}

/** Pages and offers that are written together, and how long they may wait for each other. */
const CHUNK_PAGES = 10;
const CHUNK_OFFERS = 500;
const CHUNK_MS = 2_000;
/** One account's turn in one pass; the rest is the next pass's. */
const TURN_MS = 10_000;
/** Far more pages than any supplier has: a cursor that never ends is a fault. */
const PAGES_MAX = 20_000;
/** Where the supplier names no limit. */
const PAGES_A_MINUTE = 600;
const RETRY_MS = 30_000;
const RETRY_MS_MAX = 15 * 60_000;
/** So many failures in a row and the list is begun anew: its cursor may be what fails. */
const FAILURES_MAX = 3;
const SALES_MS = 3_600_000;
const SALES_FRESH_MS = 30_000;

export interface Turn {
  parts: SweepParts;
  channel: Channel;
  row: SweepRow;
  /** On the monotonic clock. */
  ends_at: number;
  pages_read: number;
}

export function createSweeper(parts: SweepParts): Sweeper {
  const { database, now } = parts;
  const owner = newId('req', now());
  const looks = new Map<string, number>();
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
    const looks_at = looks.get(row.account) ?? 0;
    if (row.hot_at > now() || looks_at > now()) return NOTHING_HOT;
    looks.set(row.account, now() + lookMs(parts));
    return planHotPages({ parts, row, sales: await salesNow() });
  }

  async function takeTurn(seen: SweepRow): Promise<number> {
    const { account } = seen;
    const hot = await hotPages(seen);
    if (hot.pages.length === 0 && seen.next_at > now()) return 0;
    const row = await atomic(database, 'claiming a sweep', (trx) => claimSweep(trx, account, owner, now()));
    if (!row) return 0;
    try {
      const channel = await parts.channels.channel(account);
      const ends_at = performance.now() + TURN_MS;
      const turn: Turn = { parts, channel, row, ends_at, pages_read: 0 };
      if (hot.pages.length > 0) await sweepHot(turn, hot, () => is_stopped);
      if (turn.row.next_at <= now()) await sweepList(turn, () => is_stopped);
      return turn.pages_read;
    } catch (error) {
      parts.observe({ event: 'sweep_failed', account, error });
      return 0;
    } finally {
      await atomic(database, 'releasing a sweep', (trx) => releaseSweep(trx, account, owner));
    }
  }

  return {
    runDue: async () => {
      const accounts = await sweptAccounts(parts);
      await ensureRows(parts, accounts);
      const queue = await readFreeSweeps(database.read, accounts, now());
      let pages = 0;
      const worker = async (): Promise<void> => {
        for (let row = queue.shift(); row !== undefined && !is_stopped; row = queue.shift()) pages += await takeTurn(row);
      };
      await Promise.all(Array.from({ length: Math.min(parts.options.offers_concurrency, queue.length) }, worker));
      return pages;
    },
    sweepSoon: async (account) => {
      await ensureRows(parts, [account]);
      await atomic(database, 'asking for a sweep', (trx) => trx('sweeps').where({ account }).update({ next_at: now(), hot_at: now() }));
    },
    receiveOffer: (account, offer) => receiveOffer(parts, account, offer),
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
  const known: { account: string }[] = await database.read('sweeps').whereIn('account', [...accounts]).select('account');
  if (known.length === accounts.length) return;
  await atomic(database, 'adding sweeps', (trx) => addSweeps(trx, accounts, now()));
}

/** Goes on with the account's list, or begins it, as far as its budget and this turn go. */
async function sweepList(turn: Turn, isStopped: () => boolean): Promise<void> {
  const { parts, row } = turn;
  const { offers_cold_ms } = parts.options;
  // Half a list of yesterday and half a list of today are no list.
  const is_old = row.run_started_at !== null && parts.now() - row.run_started_at > Math.max(offers_cold_ms, SALES_MS);
  if (row.run_started_at === null || is_old) {
    turn.row = { ...row, cursor: null, pages_done: 0, run_started_at: parts.now() };
  }
  const started_at = performance.now();
  for (let more = true; more && !isStopped() && performance.now() < turn.ends_at; ) {
    const budget = pagesLeft(turn);
    if (budget === 0) break;
    more = await sweepChunk(turn, budget, started_at);
  }
}

interface ReadPage extends PageRow {
  offers: Offer[];
  next: string | null;
}

/** Reads some pages and writes them together. True if the list goes on and nothing went wrong. */
async function sweepChunk(turn: Turn, budget: number, started_at: number): Promise<boolean> {
  const { parts } = turn;
  const { account } = turn.row;
  const pages: ReadPage[] = [];
  const read_at = parts.now();
  const chunk_ends_at = performance.now() + CHUNK_MS;
  let cursor = turn.row.cursor;
  let failure: unknown = null;
  let offers_count = 0;
  do {
    try {
      const { offers, next } = await turn.channel.listOffers(cursor);
      const products = JSON.stringify(offers.map(({ product }) => product));
      pages.push({ account, page_no: turn.row.pages_done + pages.length, cursor, products, read_at: parts.now(), offers, next });
      if (next !== null && (next === cursor || next.length > 1_000 || turn.row.pages_done + pages.length >= PAGES_MAX)) {
        throw new Error('the list never ends: a cursor repeats, or there are too many pages');
      }
      offers_count += offers.length;
      cursor = next;
    } catch (error) {
      failure = error;
    }
  } while (
    failure === null &&
    cursor !== null &&
    pages.length < Math.min(CHUNK_PAGES, budget) &&
    offers_count < CHUNK_OFFERS &&
    performance.now() < chunk_ends_at
  );
  turn.pages_read += pages.length;
  const is_end = failure === null && cursor === null;
  const written = await atomic(parts.database, 'writing offers', (trx) =>
    writeChunk(trx, turn, { pages, cursor, read_at, failure, is_end }),
  );
  parts.observe({ event: 'written', account, ...written });
  if (failure !== null) {
    const duration_ms = performance.now() - started_at;
    parts.observe({ event: 'sweep_failed', account, error: failure });
    parts.observe({ event: 'swept', account, kind: 'catalog', result: 'error', duration_ms, at: parts.now() });
    return false;
  }
  if (!is_end) return true;
  await finishList(turn);
  return false;
}

/** One transaction: what the pages change, and where the sweep stands after them. */
async function writeChunk(
  trx: Trx,
  turn: Turn,
  chunk: { pages: readonly ReadPage[]; cursor: string | null; read_at: number; failure: unknown; is_end: boolean },
): Promise<Written> {
  const { row, parts } = turn;
  const { pages, cursor, read_at, failure } = chunk;
  const written = await writeListed(trx, turn, pages.flatMap(({ offers }) => offers), { read_at, touch: null });
  await writePages(trx, pages.map(({ offers: _, next: __, ...page }) => page));
  const changes: Partial<SweepRow> = {
    cursor,
    run_started_at: row.run_started_at,
    pages_done: row.pages_done + pages.length,
    failures: failure === null ? row.failures : row.failures + 1,
    ...(failure === null ? {} : { next_at: parts.now() + retryMs(row.failures), last_result: reasonOf(failure) }),
    ...budgetAfter(row, pages.length, parts.now()),
  };
  if (failure !== null && row.failures + 1 >= FAILURES_MAX) Object.assign(changes, { cursor: null, run_started_at: null, pages_done: 0 });
  await keepOrLeave(trx, row, changes, parts.now());
  turn.row = { ...row, ...changes };
  return written;
}

async function writeListed(
  trx: Trx,
  { parts, channel, row }: Turn,
  offers: readonly Offer[],
  { read_at, touch }: { read_at: number; touch: ReadonlySet<string> | null },
): Promise<Written> {
  const now = parts.now();
  const [policies, rates] = [await readPolicies(trx), await readRates(trx, parts.options, now)];
  const account_currency = channel.account.currency;
  return writeOffers(trx, offers, { account: row.account, account_currency, read_at, touch, policies, rates, now });
}

/** Reads again, by themselves, the pages whose products sell or are in doubt. */
async function sweepHot(turn: Turn, { pages, expected }: HotPages, isStopped: () => boolean): Promise<void> {
  const { parts, row } = turn;
  const { account } = row;
  const started_at = performance.now();
  let is_missing = false;
  let failure: unknown = null;
  for (const page of pages) {
    if (isStopped() || performance.now() > turn.ends_at || pagesLeft(turn) === 0) break;
    const read_at = parts.now();
    try {
      const { offers } = await turn.channel.listOffers(page.cursor);
      turn.pages_read++;
      const here = new Set(offers.map(({ product }) => product));
      const wanted = expected.get(page.page_no)!;
      is_missing ||= wanted.some(({ product }) => !here.has(product));
      const products = JSON.stringify([...here]);
      const written = await atomic(parts.database, 'writing hot offers', async (trx) => {
        const touch = new Set(wanted.map(({ source }) => source));
        const result = await writeListed(trx, turn, offers, { read_at, touch });
        await touchPage(trx, { ...page, products, read_at });
        const changes = budgetAfter(turn.row, 1, parts.now());
        await keepOrLeave(trx, turn.row, changes, parts.now());
        turn.row = { ...turn.row, ...changes };
        return result;
      });
      parts.observe({ event: 'written', account, ...written });
    } catch (error) {
      failure = error;
      parts.observe({ event: 'sweep_failed', account, error });
      break;
    }
  }
  const now = parts.now();
  const changes: Partial<SweepRow> = { hot_at: now + (failure === null ? lookMs(parts) : RETRY_MS) };
  // A product that is not where it was: the pages have moved, and only the whole list tells where to.
  if (is_missing && now - (row.swept_at ?? 0) > lookMs(parts)) changes.next_at = Math.min(row.next_at, now);
  await atomic(parts.database, 'ending a hot sweep', (trx) => keepOrLeave(trx, turn.row, changes, now));
  turn.row = { ...turn.row, ...changes };
  const result = failure === null ? 'ok' : 'error';
  parts.observe({ event: 'swept', account, kind: 'price', result, duration_ms: performance.now() - started_at, at: now });
}

/** The row is another process's by now: whatever we read is its business. */
async function keepOrLeave(trx: Trx, row: SweepRow, changes: Partial<SweepRow>, now: number): Promise<void> {
  if (!(await keepSweep(trx, row, changes, now))) throw new Error(`${row.account}: another process sweeps it now`);
}

/** Pages this minute's budget has left. */
function pagesLeft({ parts, channel, row }: Turn): number {
  const { requests, per_ms } = channel.account.limits;
  const share = parts.options.offers_share_percent / 100;
  const a_minute = requests === null ? PAGES_A_MINUTE : Math.max(1, Math.floor(((requests * 60_000) / per_ms) * share));
  return Math.max(0, a_minute - (parts.now() - row.window_at < 60_000 ? row.window_pages : 0));
}

function budgetAfter(row: SweepRow, pages: number, now: number): Pick<SweepRow, 'window_at' | 'window_pages'> {
  if (now - row.window_at >= 60_000) return { window_at: now, window_pages: pages };
  return { window_at: row.window_at, window_pages: row.window_pages + pages };
}

/** How often it is asked what is hot. */
function lookMs({ options }: SweepParts): number {
  return Math.max(1_000, Math.floor(options.offers_hot_ms / 4));
}

function retryMs(failures: number): number {
  return Math.min(RETRY_MS * 2 ** failures, RETRY_MS_MAX);
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 200);
}

async function receiveOffer(parts: SweepParts, account: string, offer: Offer): Promise<Written> {
  const { channels, database, now, options, observe } = parts;
  const { currency } = (await channels.channel(account)).account;
  const written = await atomic(database, 'receiving an offer', async (trx) => {
    const [policies, rates] = [await readPolicies(trx), await readRates(trx, options, now())];
    return writeOffers(trx, [offer], { account, account_currency: currency, read_at: now(), touch: null, policies, rates, now: now() });
  });
  observe({ event: 'written', account, ...written });
  return written;
}
