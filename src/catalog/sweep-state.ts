// All SQL on sweeps and their pages: where each account's sweep stands, whose it is, when it is due, what its supplier's
// budget has left, and which product stands on which page.
import type { Knex } from 'knex';
import { isDuplicate, type Trx } from '../db/atomic.js';
import type { SourceRow } from './skus.js';

type Handle = Knex | Trx;

export interface SweepRow {
  account: string;
  owner: string | null;
  until: number | null;
  cursor: string | null;
  run_started_at: number | null;
  pages_done: number;
  failures: number;
  swept_at: number | null;
  swept_ms: number | null;
  offers_count: number | null;
  next_at: number;
  hot_at: number;
  window_at: number;
  window_pages: number;
  last_result: string | null;
}

export interface PageRow {
  account: string;
  page_no: number;
  cursor: string | null;
  products: string;
  read_at: number;
}

/** How long one process owns an account's sweep without saying so again: far beyond any one page. */
const LEASE_MS = 120_000;

/** The rows of these accounts that are nobody's now, the longest overdue first. */
export async function readFreeSweeps(handle: Handle, accounts: readonly string[], now: number): Promise<SweepRow[]> {
  const rows: SweepRow[] = await handle('sweeps').whereIn('account', [...accounts]);
  return rows.filter(({ until }) => until === null || until <= now).sort((a, b) => a.next_at - b.next_at);
}

/** Gives accounts that were never swept a row that is due at once. */
export async function addSweeps(trx: Trx, accounts: readonly string[], now: number): Promise<void> {
  const known: { account: string }[] = await trx('sweeps').select('account');
  const has = new Set(known.map(({ account }) => account));
  for (const account of accounts) {
    if (has.has(account)) continue;
    try {
      await trx('sweeps').insert({ account, next_at: now, hot_at: now });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  }
}

/** Takes the account for `owner`; null if another process has it. */
export async function claimSweep(trx: Trx, account: string, owner: string, now: number): Promise<SweepRow | null> {
  const taken = await trx('sweeps')
    .where({ account })
    .where((free) => free.whereNull('until').orWhere('until', '<=', now))
    .update({ owner, until: now + LEASE_MS });
  if (taken !== 1) return null;
  return ((await trx('sweeps').where({ account }).first()) as SweepRow | undefined) ?? null;
}

/** Writes where the sweep stands and holds on to it. False if it is another's by now: then nothing may be written. */
export async function keepSweep(trx: Trx, row: SweepRow, changes: Partial<SweepRow>, now: number): Promise<boolean> {
  const kept = await trx('sweeps')
    .where({ account: row.account, owner: row.owner })
    .update({ ...changes, until: changes.owner === null ? null : now + LEASE_MS });
  return kept === 1;
}

export async function releaseSweep(trx: Trx, account: string, owner: string): Promise<void> {
  await trx('sweeps').where({ account, owner }).update({ owner: null, until: null });
}

/** An account's pages in order, as they were last read. */
export async function readPages(handle: Handle, account: string): Promise<PageRow[]> {
  return (await handle('offer_pages').where({ account }).orderBy('page_no')) as PageRow[];
}

/** Writes pages that hold other products than before, or that begin elsewhere. */
export async function writePages(trx: Trx, pages: readonly PageRow[]): Promise<void> {
  const [first, last] = [pages[0], pages.at(-1)];
  if (!first || !last) return;
  const known: PageRow[] = await trx('offer_pages')
    .where({ account: first.account })
    .whereBetween('page_no', [first.page_no, last.page_no]);
  const before = new Map(known.map((page) => [page.page_no, page]));
  const changed = pages.filter((page) => {
    const old = before.get(page.page_no);
    return old?.products !== page.products || old.cursor !== page.cursor;
  });
  if (changed.length > 0) await trx('offer_pages').insert(changed).onConflict(['account', 'page_no']).merge();
}

/** Notes that a page was read by itself. */
export async function touchPage(trx: Trx, page: PageRow): Promise<void> {
  const { account, page_no, products, read_at } = page;
  await trx('offer_pages').where({ account, page_no }).update({ products, read_at });
}

export async function dropPagesFrom(trx: Trx, account: string, page_no: number): Promise<void> {
  await trx('offer_pages').where({ account }).where('page_no', '>=', page_no).delete();
}

/** Orders looked at to tell what sells. */
const SALES_SAMPLE = 5_000;
const HOT_SKUS_MAX = 500;

/** SKU → orders of it among the latest ones since `since`; at most the 500 that sell best. */
export async function readSales(handle: Handle, since: number): Promise<Map<string, number>> {
  const rows: { sku: string }[] = await handle('orders')
    .where('order_id', '>=', `ord_${ulidTime(since)}`)
    .orderBy('order_id', 'desc')
    .limit(SALES_SAMPLE)
    .select('sku');
  const sales = new Map<string, number>();
  for (const { sku } of rows) sales.set(sku, (sales.get(sku) ?? 0) + 1);
  return new Map([...sales].sort((a, b) => b[1] - a[1]).slice(0, HOT_SKUS_MAX));
}

/** The first ten characters of ids made at this time: ids sort by them. */
function ulidTime(at_ms: number): string {
  let text = '';
  for (let rest = Math.max(0, at_ms), digit = 0; digit < 10; digit++) {
    text = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[rest % 32] + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

export interface HotSource extends Pick<SourceRow, 'source' | 'sku' | 'product' | 'seen_at'> {
  stale_after_ms: number | null;
}
const HOT_SOURCES_MAX = 5_000;

/** The account's sources that may want a look of their own: never seen, marked stale, selling, or with a limit. */
export async function readHotSources(handle: Handle, account: string, skus: readonly string[]): Promise<HotSource[]> {
  return (await handle('sources')
    .join('skus', 'skus.sku', 'sources.sku')
    .where({ 'sources.account': account, 'sources.is_enabled': 1 })
    .where((some) =>
      some
        .whereNull('sources.seen_at')
        .orWhere('sources.seen_at', 0)
        .orWhereIn('sources.sku', [...skus])
        .orWhereNotNull('skus.stale_after_ms'),
    )
    .limit(HOT_SOURCES_MAX)
    .select(
      'sources.source',
      'sources.sku',
      'sources.product',
      'sources.seen_at',
      'skus.stale_after_ms',
    )) as HotSource[];
}
