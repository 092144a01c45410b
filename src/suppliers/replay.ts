// Breaker settings by replay: the operator's own attempts, run through a breaker with proposed settings, beside one with
// the settings of today. Reads what is written; changes nothing. It tells what the proposed breaker would have done to
// the purchases that were made; those that an open breaker already kept back are not in the books, and are counted apart.
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import { MANUAL_ACCOUNT, VAULT_ACCOUNT } from './accounts.js';
import type { BreakerOptions } from './breaker.js';
import { UNHEALTHY_DOUBTS } from './outcome.js';

export interface ReplayRequest {
  days: number;
  /** Proposed; what is left out is as today. */
  settings: Partial<BreakerOptions>;
  /** As today. */
  current: BreakerOptions;
  now: number;
  account?: string;
}

/** What one breaker would have done. */
export interface BreakerRun {
  trips: number;
  /** Trips while which more of the purchases went well than met a fault: the supplier was there. */
  false_trips: number;
  /** Purchases that met a fault, which it would have kept back: their orders would have gone elsewhere at once. */
  orders_saved: number;
  /** Purchases that went well, which it would have kept back. */
  orders_turned_away: number;
  /** Time it would have stood open. */
  open_ms: number;
}

export interface AccountReplay {
  account: string;
  attempts: number;
  faults: number;
  /** Kept back by the real breaker or a full limiter: what they would have come to, nobody knows. */
  never_sent: number;
  current: BreakerRun;
  proposed: BreakerRun;
  /** Trips of today's settings less those of the proposed ones; negative: it would trip more often. */
  trips_avoided: number;
}

export interface BreakerReplay {
  since: number;
  settings: BreakerOptions;
  accounts: AccountReplay[];
  /** So many attempts were in the books that the newest were not read. */
  is_cut: boolean;
}

const DAYS_MAX = 90;
const PAGE = 5_000;
const ATTEMPTS_MAX = 1_000_000;
const DAY_MS = 86_400_000;

/** Replays the attempts of the last days, account by account. Throws `validation_failed` that names the setting. */
export async function replayBreaker(database: Database, request: ReplayRequest): Promise<BreakerReplay> {
  const settings = checked(request);
  const since = request.now - request.days * DAY_MS;
  const accounts = (
    (await database
      .read('attempts')
      .whereNotIn('account', [VAULT_ACCOUNT, MANUAL_ACCOUNT])
      .where('planned_at', '>=', since)
      .distinct('account')
      .orderBy('account')) as { account: string }[]
  ).filter(({ account }) => request.account === undefined || account === request.account);
  const replays: AccountReplay[] = [];
  let left = ATTEMPTS_MAX;
  let is_cut = false;
  for (const { account } of accounts) {
    const { calls, never_sent, read } = await readCalls(database, account, since, left);
    left -= read;
    is_cut ||= left <= 0;
    const current = runBreaker(calls, request.current);
    const proposed = runBreaker(calls, settings);
    replays.push({
      account,
      attempts: calls.length,
      faults: calls.filter(({ is_fault }) => is_fault).length,
      never_sent,
      current,
      proposed,
      trips_avoided: current.trips - proposed.trips,
    });
  }
  return { since, settings, accounts: replays, is_cut };
}

function checked({ days, settings, current }: ReplayRequest): BreakerOptions {
  const limits: [string, number, number, number][] = [
    ['days', days, 1, DAYS_MAX],
    ['volume_min', settings.volume_min ?? current.volume_min, 1, 100_000],
    ['error_percent', settings.error_percent ?? current.error_percent, 1, 100],
    ['window_ms', settings.window_ms ?? current.window_ms, 1_000, 3_600_000],
    ['open_ms', settings.open_ms ?? current.open_ms, 100, 3_600_000],
  ];
  for (const [field, value, min, max] of limits) {
    if (Number.isInteger(value) && value >= min && value <= max) continue;
    throw new GatewayError('validation_failed', `${field} is not a whole number from ${min} to ${max}`, {
      field,
      fix: `Write it such as ${Math.max(min, Math.min(max, 7))}.`,
    });
  }
  return { ...current, ...settings };
}

/** One purchase as a breaker sees it. */
export interface Call {
  sent_at: number;
  ended_at: number;
  is_fault: boolean;
}

interface AttemptFacts {
  attempt_id: string;
  state: string;
  reason: string | null;
  doubt: string | null;
  planned_at: number;
  sent_at: number | null;
  doubted_at: number | null;
  settled_at: number | null;
}

async function readCalls(
  database: Database,
  account: string,
  since: number,
  limit: number,
): Promise<{ calls: Call[]; never_sent: number; read: number }> {
  const calls: Call[] = [];
  let never_sent = 0;
  let read = 0;
  let from: { planned_at: number; attempt_id: string } = { planned_at: since, attempt_id: '' };
  while (read < limit) {
    const { planned_at, attempt_id } = from;
    const rows = (await database
      .read('attempts')
      .where({ account })
      .where((after) =>
        after
          .where('planned_at', '>', planned_at)
          .orWhere((same) => same.where({ planned_at }).where('attempt_id', '>', attempt_id)),
      )
      .orderBy(['planned_at', 'attempt_id'])
      .limit(PAGE)
      .select(
        'attempt_id',
        'state',
        'reason',
        'doubt',
        'planned_at',
        'sent_at',
        'doubted_at',
        'settled_at',
      )) as AttemptFacts[];
    for (const row of rows) {
      const call = callOf(row);
      if (call) calls.push(call);
      else if (row.sent_at === null && row.state === 'refused' && row.doubt !== 'crashed') never_sent++;
    }
    read += rows.length;
    const last = rows.at(-1);
    if (!last || rows.length < PAGE) break;
    from = last;
  }
  calls.sort((a, b) => a.sent_at - b.sent_at);
  return { calls, never_sent, read };
}

/** Null where the supplier was never called, or its answer is still to come. */
function callOf({ state, reason, doubt, sent_at, doubted_at, settled_at }: AttemptFacts): Call | null {
  if (sent_at === null) return null;
  // What was found out later does not change that the breaker saw a fault then.
  if (doubted_at !== null)
    return { sent_at, ended_at: doubted_at, is_fault: doubt !== null && UNHEALTHY_DOUBTS.has(doubt) };
  if (settled_at === null) return null;
  const is_fault = state === 'refused' && (reason === 'maintenance' || reason === 'not_sent');
  return { sent_at, ended_at: settled_at, is_fault };
}

/**
 * Runs calls, in the order they were sent, through a breaker as src/suppliers/breaker.ts builds it: it opens on a share
 * of faults above `error_percent` among at least `volume_min` calls within the window; after `open_ms` the next call is
 * its probe, which closes it or opens it again. Pure.
 */
export function runBreaker(calls: readonly Call[], settings: BreakerOptions): BreakerRun {
  const run: BreakerRun = { trips: 0, false_trips: 0, orders_saved: 0, orders_turned_away: 0, open_ms: 0 };
  const ends = calls.map((_, index) => index).sort((a, b) => calls[a]!.ended_at - calls[b]!.ended_at);
  const went_through = new Uint8Array(calls.length);
  const window = slidingWindow(settings.window_ms);
  let next_end = 0;
  /** While it stands open: when its next probe may go. */
  let open_until: number | null = null;
  /** A probe that goes well is under way; until it ends the others are kept back. */
  let closes_at: number | null = null;
  let kept_back = { faults: 0, good: 0 };

  function open(from: number): void {
    run.open_ms += settings.open_ms;
    open_until = from + settings.open_ms;
  }
  function close(): void {
    if (kept_back.good > kept_back.faults) run.false_trips++;
    kept_back = { faults: 0, good: 0 };
    open_until = null;
    closes_at = null;
    window.clear();
  }
  /** Takes in the answers that were there before `now`. */
  function hear(now: number): void {
    for (; next_end < ends.length && calls[ends[next_end]!]!.ended_at <= now; next_end++) {
      const call = calls[ends[next_end]!]!;
      if (!went_through[ends[next_end]!] || open_until !== null) continue;
      const { faults, count } = window.add(call);
      if (!call.is_fault || count < settings.volume_min || (faults / count) * 100 <= settings.error_percent) continue;
      run.trips++;
      open(call.ended_at);
    }
  }

  calls.forEach((call, index) => {
    hear(call.sent_at);
    if (closes_at !== null && call.sent_at >= closes_at) close();
    if (open_until === null) {
      went_through[index] = 1;
    } else if (call.sent_at < open_until || closes_at !== null) {
      if (call.is_fault) {
        run.orders_saved++;
        kept_back.faults++;
      } else {
        run.orders_turned_away++;
        kept_back.good++;
      }
    } else if (call.is_fault) open(call.ended_at);
    else closes_at = call.ended_at;
  });
  if (open_until !== null) close();
  return run;
}

/** Counts the calls that ended within the last `length_ms`; they are added in the order of their ends. */
function slidingWindow(length_ms: number) {
  let held: Call[] = [];
  let first = 0;
  let faults = 0;
  return {
    add(call: Call): { faults: number; count: number } {
      held.push(call);
      if (call.is_fault) faults++;
      for (; held[first]!.ended_at <= call.ended_at - length_ms; first++) if (held[first]!.is_fault) faults--;
      return { faults, count: held.length - first };
    },
    clear(): void {
      held = [];
      first = 0;
      faults = 0;
    },
  };
}
