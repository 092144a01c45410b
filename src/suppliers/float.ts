// Our prepaid balances at suppliers as they are expected now: what was read, less what open attempts may still cost, so
// that routing leaves an account before it runs dry. The top-up list follows from it. Reading is float-reading.ts's.
import type { Knex } from 'knex';
import type { Trx } from '../db/atomic.js';

export interface FloatRow {
  account: string;
  balance_e4: number | null;
  currency: string | null;
  read_at: number | null;
  next_at: number;
  failures: number;
  is_tight: number;
  warned: Warning;
  last_result: string | null;
}
export type Warning = 'none' | 'low' | 'critical';

/** What an account is expected to hold now. */
export interface Float {
  account: string;
  currency: string;
  balance_e4: number;
  read_at: number;
  /** What attempts may have cost that the reading cannot know of, or may still cost. */
  reserved_e4: number;
  /** Balance less reserved. */
  expected_e4: number;
}

const HOUR_MS = 3_600_000;
/** A call that was sent so long before the reading was charged by then, if it ever was. */
const SETTLED_MS = 60_000;
/** An older reading says nothing any more: routing goes on without it. */
export const FLOAT_BELIEVED_MS = HOUR_MS;

export interface Spend {
  last_6h_e4: number;
  last_24h_e4: number;
  last_7d_e4: number;
  /** Since the first hour that was counted, at most a week. */
  observed_h: number;
}
export const NO_SPEND: Spend = { last_6h_e4: 0, last_24h_e4: 0, last_7d_e4: 0, observed_h: 0 };

export async function readSpend(
  handle: Knex | Trx,
  accounts: readonly string[],
  now: number,
): Promise<Map<string, Spend>> {
  const hour = Math.floor(now / HOUR_MS);
  const rows: { account: string; hour: number; spent_e4: number }[] = await handle('float_hours')
    .whereIn('account', [...accounts])
    .where('hour', '>', hour - 7 * 24)
    .select('account', 'hour', 'spent_e4');
  const spends = new Map<string, Spend>();
  for (const row of rows) {
    const spend = spends.get(row.account) ?? { ...NO_SPEND };
    const age_h = hour - row.hour;
    if (age_h < 6) spend.last_6h_e4 += row.spent_e4;
    if (age_h < 24) spend.last_24h_e4 += row.spent_e4;
    spend.last_7d_e4 += row.spent_e4;
    spend.observed_h = Math.max(spend.observed_h, now / HOUR_MS - row.hour);
    spends.set(row.account, spend);
  }
  return spends;
}

/** Hours the money lasts at the last six hours' pace; null while nothing was spent. */
export function runwayHours(left_e4: number, { last_6h_e4, observed_h }: Spend): number | null {
  if (last_6h_e4 <= 0) return null;
  const hours = Math.min(6, Math.max(observed_h, 1));
  return Math.max(0, left_e4) / (last_6h_e4 / hours);
}

/**
 * What the reading of `read_at` cannot hold: calls that are planned or under way; purchases made since; and purchases
 * of any age that nobody knows the fate of.
 */
export async function readReserved(handle: Knex | Trx, account: string, read_at: number): Promise<number> {
  const under_way = (await handle('attempts')
    .where({ account })
    .whereIn('state', ['planned', 'sent', 'unknown'])
    .sum({ total: 'cost_ceiling_e4' })
    .first()) as { total: number | string | null };
  const since = (await handle('attempts')
    .where({ account })
    .where('planned_at', '>', read_at - SETTLED_MS)
    .whereIn('state', ['accepted', 'delivered'])
    .sum({
      total: handle.raw("case when state = 'delivered' and cost_e4 is not null then cost_e4 else cost_ceiling_e4 end"),
    })
    .first()) as { total: number | string | null };
  return Number(under_way.total ?? 0) + Number(since.total ?? 0);
}

/** What routing asks about: the accounts an order may go to, and the most one attempt on each may cost. */
export interface FloatQuestion {
  account: string;
  currency: string;
  ceiling_e4: number;
}
/** So many attempts' worth at hand is plenty until the next reading. */
const PLENTY_ATTEMPTS = 500;

/**
 * Account → what may still be spent there, for the accounts whose float is so near its end that it must be counted.
 * Locks their rows until the transaction ends: two orders never count on the same money. Others have no entry.
 */
export async function countFloats(
  trx: Trx,
  questions: readonly FloatQuestion[],
  now: number,
): Promise<Map<string, number>> {
  const left = new Map<string, number>();
  if (questions.length === 0) return left;
  const accounts = [...new Set(questions.map(({ account }) => account))].sort();
  const rows = await readBelieved(trx, accounts, now);
  const near = rows.filter((row) => {
    const largest_e4 = Math.max(
      0,
      ...questions.filter(({ account }) => account === row.account).map(({ ceiling_e4 }) => ceiling_e4),
    );
    return row.is_tight === 1 || row.balance_e4 - row.float_min_e4 < largest_e4 * PLENTY_ATTEMPTS;
  });
  if (near.length === 0) return left;
  const names = near.map(({ account }) => account);
  if (trx.client.config.client === 'mysql2')
    await trx('floats').whereIn('account', names).orderBy('account').select('account').forUpdate();
  for (const row of near) {
    // An amount in another currency than the balance cannot be held against it.
    if (questions.some(({ account, currency }) => account === row.account && currency !== row.currency)) continue;
    left.set(row.account, row.balance_e4 - row.float_min_e4 - (await readReserved(trx, row.account, row.read_at)));
  }
  return left;
}

interface BelievedRow {
  account: string;
  balance_e4: number;
  currency: string;
  read_at: number;
  is_tight: number;
  float_min_e4: number;
}

async function readBelieved(handle: Knex | Trx, accounts: readonly string[], now: number): Promise<BelievedRow[]> {
  return (await handle('floats')
    .join('accounts', 'accounts.account', 'floats.account')
    .whereIn('floats.account', [...accounts])
    .whereNotNull('floats.balance_e4')
    .where('floats.read_at', '>', now - FLOAT_BELIEVED_MS)
    .orderBy('floats.account')
    .select(
      'floats.account',
      'floats.balance_e4',
      'floats.currency',
      'floats.read_at',
      'floats.is_tight',
      'accounts.float_min_e4',
    )) as BelievedRow[];
}

export interface FloatView extends Float {
  warned: Warning;
  float_min_e4: number;
  spent_24h_e4: number;
  spent_7d_e4: number;
  /** Null while nothing was spent in the last six hours. */
  runway_h: number | null;
  /** What brings it to `target_days` of the mean daily spend; 0 where it is there already. */
  top_up_e4: number;
}

/** Every account whose balance was ever read, the shortest runway first: the top-up list. */
export async function listFloats(
  handle: Knex | Trx,
  { now, target_days }: { now: number; target_days: number },
): Promise<FloatView[]> {
  const rows: (BelievedRow & { warned: Warning })[] = await handle('floats')
    .join('accounts', 'accounts.account', 'floats.account')
    .where('accounts.is_enabled', 1)
    .whereNotNull('floats.balance_e4')
    .select('floats.*', 'accounts.float_min_e4');
  const spends = await readSpend(
    handle,
    rows.map(({ account }) => account),
    now,
  );
  const views: FloatView[] = [];
  for (const { account, currency, balance_e4, read_at, warned, float_min_e4 } of rows) {
    const reserved_e4 = await readReserved(handle, account, read_at);
    const expected_e4 = balance_e4 - reserved_e4;
    const spend = spends.get(account) ?? NO_SPEND;
    const days = Math.min(7, Math.max(spend.observed_h / 24, 1 / 24));
    const wanted_e4 = Math.ceil((spend.last_7d_e4 / days) * target_days) + float_min_e4;
    views.push({
      account,
      currency,
      balance_e4,
      read_at,
      reserved_e4,
      expected_e4,
      warned,
      float_min_e4,
      spent_24h_e4: spend.last_24h_e4,
      spent_7d_e4: spend.last_7d_e4,
      runway_h: runwayHours(expected_e4 - float_min_e4, spend),
      top_up_e4: Math.max(0, wanted_e4 - expected_e4),
    });
  }
  const order = ({ runway_h }: FloatView): number => runway_h ?? Number.MAX_VALUE;
  return views.sort((a, b) => order(a) - order(b) || (a.account < b.account ? -1 : 1));
}
