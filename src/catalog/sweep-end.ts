// The end of a whole list: whether it is to be believed, and what its silence says. An empty list, or one that has
// suddenly lost half of what it held, is a fault of theirs and takes nothing away.
import type { Trx } from '../db/atomic.js';
import { must } from '../errors.js';
import { noteAccountEvent } from '../suppliers/events.js';
import { markAbsent } from './listing.js';
import { dropPagesFrom, keepSweep, readPages, type SweepRow } from './sweep-state.js';
import type { Turn } from './sweep-turn.js';

/** A list that lost this many products or fewer has not "suddenly halved", however short it was. */
const LOST_MIN = 5;
/** When a refused list is read again, and when one whose products went missing is read a second time. */
const REFUSED_RETRY_MS = 5 * 60_000;
const RECHECK_MS = 60_000;

export async function finishList(turn: Turn): Promise<void> {
  const { parts, row } = turn;
  const { account } = row;
  const result = await turn.write('ending a sweep', (trx) => endRun(trx, turn));
  turn.row = result.row;
  const duration_ms = parts.now() - (row.run_started_at ?? parts.now());
  const at = parts.now();
  if (result.refused) {
    parts.observe({ event: 'list_refused', account, count: result.count, before: row.offers_count });
    parts.observe({ event: 'swept', account, kind: 'catalog', result: 'error', duration_ms, at });
  } else parts.observe({ event: 'swept', account, kind: 'catalog', result: 'ok', duration_ms, at });
}

async function endRun(trx: Trx, { parts, row }: Turn): Promise<{ row: SweepRow; refused: boolean; count: number }> {
  const now = parts.now();
  const { account, run_started_at } = row;
  must(run_started_at !== null, 'a sweep that ends has begun');
  await dropPagesFrom(trx, account, row.pages_done);
  const present = new Set<string>();
  for (const { products } of await readPages(trx, account)) {
    for (const product of JSON.parse(products) as string[]) present.add(product);
  }
  const count = present.size;
  // The lease ends with the list, in the same commit.
  const idle: Partial<SweepRow> = { cursor: null, run_started_at: null, pages_done: 0, owner: null };
  if (await isIncredible(trx, account, count, row.offers_count)) {
    await noteAccountEvent(trx, { account, at: now, type: 'list_refused', data: { count, before: row.offers_count } });
    const last_result = `refused: ${count} offers where there were ${row.offers_count ?? 'some'}`;
    const changes = { ...idle, failures: row.failures + 1, next_at: now + REFUSED_RETRY_MS, last_result };
    await hold(trx, row, changes, now);
    return { row: { ...row, ...changes }, refused: true, count };
  }
  const gone = await markAbsent(trx, { account, present, read_at: run_started_at, now });
  // A product that moved to a page already read looks gone: a second look soon tells.
  const next_at =
    now +
    (gone > 0 ? Math.min(RECHECK_MS, parts.options.offers_cold_ms) : spread(account, parts.options.offers_cold_ms));
  const changes: Partial<SweepRow> = {
    ...idle,
    failures: 0,
    swept_at: run_started_at,
    swept_ms: now - run_started_at,
    offers_count: count,
    next_at,
    last_result: `${count} offers${gone > 0 ? `, ${gone} gone` : ''}`,
  };
  await hold(trx, row, changes, now);
  return { row: { ...row, ...changes }, refused: false, count };
}

async function isIncredible(trx: Trx, account: string, count: number, before: number | null): Promise<boolean> {
  if (count === 0) {
    if (before !== null && before > 0) return true;
    // Nothing to compare with: what we buy there must be somewhere on it.
    return before === null && (await trx('sources').where({ account, is_enabled: 1 }).first('source')) !== undefined;
  }
  return before !== null && count * 2 <= before && before - count >= LOST_MIN;
}

async function hold(trx: Trx, row: SweepRow, changes: Partial<SweepRow>, now: number): Promise<void> {
  must(await keepSweep(trx, row, changes, now), `${row.account} is still swept by this process`);
}

/** Up to a tenth earlier, by name, so that accounts added together are not swept together for ever. */
function spread(account: string, interval_ms: number): number {
  let hash = 0;
  for (const char of account) hash = (hash * 31 + char.charCodeAt(0)) % 1_000;
  return interval_ms - Math.floor((interval_ms * hash) / 10_000);
}
