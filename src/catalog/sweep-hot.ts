// The pages of an account's list that are worth reading by themselves now: those whose products sell, were never seen,
// are marked stale, or belong to a SKU with a limit of its own. Best sellers first.
import { findNews } from './listing.js';
import type { SweepParts } from './sweep.js';
import { type HotSource, type PageRow, readHotSources, readPages, type SweepRow, touchPage } from './sweep-state.js';
import {
  budgetAfter,
  keepOrLeave,
  lookMs,
  pagesLeft,
  RETRY_MS,
  readPage,
  type Turn,
  writeListed,
} from './sweep-turn.js';

export interface HotPages {
  pages: PageRow[];
  /** Page → the sources it is read for. */
  expected: Map<number, HotSource[]>;
}

export const NOTHING_HOT: HotPages = { pages: [], expected: new Map() };

/** Reads only; `sales` is SKU → orders of late. */
export async function planHotPages({
  parts,
  row,
  sales,
}: {
  parts: SweepParts;
  row: SweepRow;
  sales: ReadonlyMap<string, number>;
}): Promise<HotPages> {
  const { database, options } = parts;
  const now = parts.now();
  // Before the first whole list nobody knows what stands where.
  if (row.swept_at === null) return NOTHING_HOT;
  const sources = await readHotSources(database.read, row.account, [...sales.keys()]);
  const due = sources.filter((source) => {
    if (!source.seen_at) return true;
    const cadence_ms = cadenceMs(source, sales, options.offers_hot_ms);
    return now - Math.max(source.seen_at, row.swept_at ?? 0) >= cadence_ms;
  });
  if (due.length === 0) return NOTHING_HOT;
  const by_product = new Map<string, HotSource[]>();
  for (const source of due) by_product.set(source.product, [...(by_product.get(source.product) ?? []), source]);
  const pages = await readPages(database.read, row.account);
  const expected = new Map<number, HotSource[]>();
  for (const { page_no, products } of pages) {
    const here = (JSON.parse(products) as string[]).flatMap((product) => by_product.get(product) ?? []);
    if (here.length > 0) expected.set(page_no, here);
  }
  const weight = ({ page_no }: PageRow): number =>
    expected.get(page_no)!.reduce((sum, { sku }) => sum + (sales.get(sku) ?? 0), 0);
  const chosen = pages.filter(({ page_no }) => expected.has(page_no)).sort((a, b) => weight(b) - weight(a));
  return { pages: chosen, expected };
}

/** What sells is read every hot interval, and a SKU with a limit at least twice within it. */
function cadenceMs({ sku, stale_after_ms }: HotSource, sales: ReadonlyMap<string, number>, hot_ms: number): number {
  const by_sales = sales.has(sku) ? hot_ms : Number.POSITIVE_INFINITY;
  return Math.min(by_sales, stale_after_ms === null ? Number.POSITIVE_INFINITY : stale_after_ms / 2);
}

/** Reads again, by themselves, the pages whose products sell or are in doubt. */
export async function sweepHot(turn: Turn, { pages, expected }: HotPages, isStopped: () => boolean): Promise<void> {
  const { parts, row } = turn;
  const { account } = row;
  const started_at = performance.now();
  let is_missing = false;
  let failure: unknown = null;
  for (const page of pages) {
    if (isStopped() || performance.now() > turn.ends_at || pagesLeft(turn) === 0) break;
    const read_at = parts.now();
    try {
      const { offers } = await readPage(turn, page.cursor);
      turn.pages_read++;
      const here = new Set(offers.map(({ product }) => product));
      const wanted = expected.get(page.page_no)!;
      is_missing ||= wanted.some(({ product }) => !here.has(product));
      const products = JSON.stringify([...here]);
      const touch = new Set(wanted.map(({ source }) => source));
      const news = await findNews(parts.database.read, offers, { account, read_at, touch });
      const written = await turn.write('writing hot offers', async (trx) => {
        const result = await writeListed(trx, turn, news, { read_at, touch });
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
  await turn.write('ending a hot sweep', (trx) => keepOrLeave(trx, turn.row, changes, now));
  turn.row = { ...turn.row, ...changes };
  const result = failure === null ? 'ok' : 'error';
  parts.observe({
    event: 'swept',
    account,
    kind: 'price',
    result,
    duration_ms: performance.now() - started_at,
    at: now,
  });
}
