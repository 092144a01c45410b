// What is known of a supplier's health, per account and kind: decayed counts of what its purchases came to, and whether
// it is trusted with traffic. Pure: rows in, rows out. Only answers that speak for or against the supplier count; a
// business no ("sold out") is the answer of a supplier that works.
import type { Found } from '../../adapters/kit/contract.js';
import { tripsBreaker } from '../suppliers/outcome.js';
import type { News } from './settling.js';
import type { AttemptRow } from './store.js';

export interface HealthRow {
  account: string;
  kind: string;
  /** The counts below are as of this time. */
  as_of: number;
  good: number;
  faults: number;
  good_ms: number;
  recent_good: number;
  recent_faults: number;
  faults_in_row: number;
  /** `ailing`: no traffic. `probing`: one purchase at a time, until enough of them are good. */
  state: 'well' | 'ailing' | 'probing';
  since: number;
  probe_at: number | null;
  probes_good: number;
  pause_ms: number;
}

/** What one attempt says: it was delivered, it met a supplier that works, or a fault. */
export type Sign = 'good' | 'alive' | 'fault';
export interface Seen {
  sign: Sign;
  sent_at: number;
  at: number;
}

/** For ranking: half of what is known is forgotten in half an hour. */
const HALF_LIFE_MS = 30 * 60_000;
/** For leaving a supplier: however much traffic it had, an outage outweighs it within this time. */
const RECENT_HALF_LIFE_MS = 5_000;
/** Fewest recent answers whose share means anything, and faults in a row that need no share. */
const RECENT_MIN = 5;
const FAULTS_IN_ROW = 5;
/** Good purchases, one after the other, that give a supplier its traffic back; one query before them makes three probes. */
const PROBES_GOOD = 2;
const PAUSE_MS = 5_000;
const PAUSE_MS_MAX = 60_000;
/** How long a probe may take before another is allowed in its place. */
export const PROBE_PATIENCE_MS = 30_000;
/** Answers within the half-life before a rate is believed rather than assumed. */
export const EVIDENCE_MIN = 10;
/** What is assumed of a supplier nobody has heard of, and how much weight the assumption has. */
const ASSUMED = { rate: 0.95, answers: 5, latency_ms: 2_000, latencies: 2 } as const;

export function newHealth(account: string, kind: string, now: number): HealthRow {
  return {
    account,
    kind,
    as_of: now,
    good: 0,
    faults: 0,
    good_ms: 0,
    recent_good: 0,
    recent_faults: 0,
    faults_in_row: 0,
    state: 'well',
    since: 0,
    probe_at: null,
    probes_good: 0,
    pause_ms: 0,
  };
}

/** The row with its counts as of `now`. */
export function decayed(row: HealthRow, now: number): HealthRow {
  const elapsed_ms = Math.max(0, now - row.as_of);
  if (elapsed_ms === 0) return row;
  const kept = 0.5 ** (elapsed_ms / HALF_LIFE_MS);
  const kept_recent = 0.5 ** (elapsed_ms / RECENT_HALF_LIFE_MS);
  return {
    ...row,
    as_of: now,
    good: row.good * kept,
    faults: row.faults * kept,
    good_ms: row.good_ms * kept,
    recent_good: row.recent_good * kept_recent,
    recent_faults: row.recent_faults * kept_recent,
  };
}

/** The row after one more sign. */
export function afterSign(before: HealthRow, { sign, sent_at, at }: Seen): HealthRow {
  const row = { ...decayed(before, at) };
  if (sign === 'good') {
    row.good += 1;
    row.good_ms += Math.max(0, at - sent_at);
  } else if (sign === 'fault') row.faults += 1;
  // What was sent before the last change tells of the time before it: a slow failure must not undo a recovery.
  if (sent_at < row.since) return row;
  if (sign === 'fault') {
    row.recent_faults += 1;
    row.faults_in_row += 1;
  } else {
    row.recent_good += sign === 'good' ? 1 : 0;
    row.faults_in_row = 0;
  }
  if (row.state === 'well') return fails(row) ? ailing(row, at, PAUSE_MS) : row;
  if (row.state === 'ailing') return row;
  if (sign === 'fault') return ailing(row, at, Math.min(row.pause_ms * 2, PAUSE_MS_MAX));
  row.probes_good += 1;
  return row.probes_good >= PROBES_GOOD ? well(row, at) : { ...row, probe_at: at };
}

function fails({ recent_good, recent_faults, faults_in_row }: HealthRow): boolean {
  if (faults_in_row >= FAULTS_IN_ROW) return true;
  return recent_good + recent_faults >= RECENT_MIN && recent_faults > recent_good;
}

function ailing(row: HealthRow, at: number, pause_ms: number): HealthRow {
  return { ...row, state: 'ailing', since: at, probe_at: at + pause_ms, probes_good: 0, pause_ms };
}

function well(row: HealthRow, at: number): HealthRow {
  const none = { recent_good: 0, recent_faults: 0, faults_in_row: 0, probes_good: 0, probe_at: null, pause_ms: 0 };
  return { ...row, ...none, state: 'well', since: at };
}

/** After a query that an ailing supplier answered (or cannot be asked): purchases may try it, one at a time. */
export function answered(row: HealthRow, at: number): HealthRow {
  const none = { recent_good: 0, recent_faults: 0, faults_in_row: 0, probes_good: 0 };
  return { ...decayed(row, at), ...none, state: 'probing', since: at, probe_at: at };
}

/** After a query that came to nothing: a longer pause. */
export function silent(row: HealthRow, at: number): HealthRow {
  const pause_ms = Math.min(Math.max(row.pause_ms, PAUSE_MS) * 2, PAUSE_MS_MAX);
  return { ...row, pause_ms, probe_at: at + pause_ms };
}

/** What routing asks of a row. */
export interface HealthFacts {
  health: HealthRow['state'];
  /** It is on trial, and this purchase may be the next probe. */
  may_probe: boolean;
  /** Share of delivered among what counts, 0 to 1; assumed where nothing is known. */
  success_rate: number;
  /** Mean time from sending to delivery. */
  latency_ms: number;
  has_evidence: boolean;
}

export function healthFacts(row: HealthRow | undefined, now: number): HealthFacts {
  if (!row) return UNHEARD;
  const { good, faults, good_ms, state, probe_at } = decayed(row, now);
  return {
    health: state,
    may_probe: state === 'probing' && probe_at !== null && probe_at <= now,
    success_rate: (good + ASSUMED.rate * ASSUMED.answers) / (good + faults + ASSUMED.answers),
    latency_ms: (good_ms + ASSUMED.latency_ms * ASSUMED.latencies) / (good + ASSUMED.latencies),
    has_evidence: good + faults >= EVIDENCE_MIN,
  };
}
const UNHEARD: HealthFacts = {
  health: 'well',
  may_probe: false,
  success_rate: ASSUMED.rate,
  latency_ms: ASSUMED.latency_ms,
  has_evidence: false,
};

/** What a settled change of an attempt says of its supplier; null: nothing. Each attempt speaks once. */
export function signOf(before: AttemptRow, after: AttemptRow, { via, found, transcript }: News): Sign | null {
  if (before.state === after.state || via === 'operator' || via === 'restart') return null;
  // It was counted as a fault when its answer did not come.
  if (before.state === 'unknown') return null;
  if (after.state === 'delivered') return 'good';
  if (after.state === 'accepted') return 'alive';
  if (!isTheirs(found, via, transcript ?? null)) return null;
  if (tripsBreaker(found)) return 'fault';
  return after.state === 'refused' ? 'alive' : null;
}

/** Our own open breaker and full limiter answer "not sent" too: those never had a call, and say nothing of the supplier. */
function isTheirs(found: Found, via: News['via'], transcript: object | null): boolean {
  if (found.outcome === 'absent') return false;
  return found.outcome !== 'refused' || found.reason !== 'not_sent' || (via === 'answer' && transcript !== null);
}
