// Reading an account's whole list, some pages at a time, as far as its budget and its turn go; and writing each piece
// together with the place where the next one begins, so that a crash costs one piece at most.
import type { Offer } from '../../adapters/kit/contract.js';
import type { Trx } from '../db/atomic.js';
import { findNews, type Written } from './listing.js';
import { finishList } from './sweep-end.js';
import { type PageRow, type SweepRow, writePages } from './sweep-state.js';
import {
  budgetAfter,
  keepOrLeave,
  pagesLeft,
  readPage,
  reasonOf,
  retryMs,
  type Turn,
  writeListed,
} from './sweep-turn.js';

/** Pages and offers that are written together, and how long they may wait for each other. */
const CHUNK_PAGES = 10;
const CHUNK_OFFERS = 500;
const CHUNK_MS = 2_000;
/** Far more pages than any supplier has: a cursor that never ends is a fault. */
const PAGES_MAX = 20_000;
/** So many failures in a row and the list is begun anew: its cursor may be what fails. */
const FAILURES_MAX = 3;
/** A list begun longer ago than this, and than the cold interval, is no list any more. */
const RUN_MS_MAX = 3_600_000;

/** Goes on with the account's list, or begins it, as far as its budget and this turn go. */
export async function sweepList(turn: Turn, isStopped: () => boolean): Promise<void> {
  const { parts, row } = turn;
  const { offers_cold_ms } = parts.options;
  // Half a list of yesterday and half a list of today are no list.
  const is_old = row.run_started_at !== null && parts.now() - row.run_started_at > Math.max(offers_cold_ms, RUN_MS_MAX);
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
      const { offers, next } = await readPage(turn, cursor);
      const products = JSON.stringify(offers.map(({ product }) => product));
      pages.push({
        account,
        page_no: turn.row.pages_done + pages.length,
        cursor,
        products,
        read_at: parts.now(),
        offers,
        next,
      });
      if (
        next !== null &&
        (next === cursor || next.length > 1_000 || turn.row.pages_done + pages.length >= PAGES_MAX)
      ) {
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
  const listed = pages.flatMap(({ offers }) => offers);
  const news = await findNews(parts.database.read, listed, { account, read_at, touch: null });
  const written = await turn.write('writing offers', (trx) =>
    writeChunk(trx, turn, { pages, news, cursor, read_at, failure }),
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
  chunk: {
    pages: readonly ReadPage[];
    news: readonly Offer[];
    cursor: string | null;
    read_at: number;
    failure: unknown;
  },
): Promise<Written> {
  const { row, parts } = turn;
  const { pages, news, cursor, read_at, failure } = chunk;
  const written = await writeListed(trx, turn, news, { read_at, touch: null });
  await writePages(
    trx,
    pages.map(({ offers: _, next: __, ...page }) => page),
  );
  const changes: Partial<SweepRow> = {
    cursor,
    run_started_at: row.run_started_at,
    pages_done: row.pages_done + pages.length,
    failures: failure === null ? row.failures : row.failures + 1,
    ...(failure === null ? {} : { next_at: parts.now() + retryMs(row.failures), last_result: reasonOf(failure) }),
    ...budgetAfter(row, pages.length, parts.now()),
  };
  if (failure !== null && row.failures + 1 >= FAILURES_MAX)
    Object.assign(changes, { cursor: null, run_started_at: null, pages_done: 0 });
  await keepOrLeave(trx, row, changes, parts.now());
  turn.row = { ...row, ...changes };
  return written;
}
