// One account's turn in a sweep: what it holds, what its supplier's budget allows, and how what was read is written.
import type { Offer, OfferPage } from '../../adapters/kit/contract.js';
import type { Trx } from '../db/atomic.js';
import type { Channel } from '../suppliers/channel.js';
import { readPolicies } from './cost-policies.js';
import { readRates } from './currencies.js';
import { NOTHING_WRITTEN, type Written, writeOffers } from './listing.js';
import type { SweepParts } from './sweep.js';
import { keepSweep, type SweepRow } from './sweep-state.js';

/** Where the supplier names no limit. */
const PAGES_A_MINUTE = 600;
export const RETRY_MS = 30_000;
const RETRY_MS_MAX = 15 * 60_000;

export interface Turn {
  parts: SweepParts;
  channel: Channel;
  row: SweepRow;
  /** On the monotonic clock. */
  ends_at: number;
  pages_read: number;
  write: Write;
}

/** A transaction of the sweep's. One at a time in this process: an order waits for one of them at most, never for many. */
export type Write = <T>(name: string, fn: (trx: Trx) => Promise<T>) => Promise<T>;

export async function writeListed(
  trx: Trx,
  { parts, channel, row }: Turn,
  offers: readonly Offer[],
  { read_at, touch }: { read_at: number; touch: ReadonlySet<string> | null },
): Promise<Written> {
  const now = parts.now();
  if (offers.length === 0) return NOTHING_WRITTEN;
  const [policies, rates] = [await readPolicies(trx), await readRates(trx, parts.options, now)];
  const account_currency = channel.account.currency;
  return writeOffers(trx, offers, { account: row.account, account_currency, read_at, touch, policies, rates, now });
}

/** The row is another process's by now: whatever we read is its business. */
export async function keepOrLeave(trx: Trx, row: SweepRow, changes: Partial<SweepRow>, now: number): Promise<void> {
  if (!(await keepSweep(trx, row, changes, now))) throw new Error(`${row.account}: another process sweeps it now`);
}

/** The next page of this account; no two follow each other faster than the sweep's share of the supplier's limit. */
export async function readPage({ channel, parts }: Turn, cursor: string | null): Promise<OfferPage> {
  const { requests, per_ms } = channel.account.limits;
  const gap_ms =
    requests === null ? 0 : Math.min(GAP_MS_MAX, (per_ms * 100) / (requests * parts.options.offers_share_percent));
  const [page] = await Promise.all([
    channel.listOffers(cursor),
    new Promise<void>((resolve) => (gap_ms > 0 ? setTimeout(resolve, gap_ms) : resolve())),
  ]);
  return page;
}
/** Slower limits are the channel's own to keep; a turn is not for waiting. */
const GAP_MS_MAX = 1_000;

/** Pages this minute's budget has left. */
export function pagesLeft({ parts, channel, row }: Turn): number {
  const { requests, per_ms } = channel.account.limits;
  const share = parts.options.offers_share_percent / 100;
  const a_minute = requests === null ? PAGES_A_MINUTE : Math.max(1, Math.floor(((requests * 60_000) / per_ms) * share));
  return Math.max(0, a_minute - (parts.now() - row.window_at < 60_000 ? row.window_pages : 0));
}

export function budgetAfter(row: SweepRow, pages: number, now: number): Pick<SweepRow, 'window_at' | 'window_pages'> {
  if (now - row.window_at >= 60_000) return { window_at: now, window_pages: pages };
  return { window_at: row.window_at, window_pages: row.window_pages + pages };
}

/** How often it is asked what is hot. */
export function lookMs({ options }: SweepParts): number {
  return Math.max(1_000, Math.floor(options.offers_hot_ms / 4));
}

export function retryMs(failures: number): number {
  return Math.min(RETRY_MS * 2 ** failures, RETRY_MS_MAX);
}

export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 200);
}
