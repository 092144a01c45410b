// What the order engine is handed: everything it touches, as plain arguments. Built once, in src/main.ts.
import type { Knex } from 'knex';
import type { Kind, Supplier } from '../../adapters/kit/contract.js';
import type { VaultError } from '../../vault/errors.js';
import type { Vault } from '../../vault/vault.js';
import type { Database } from '../db/connect.js';
import type { Channels } from '../suppliers/channels.js';
import type { Bell } from './announce.js';
import type { Health } from './health-book.js';

/** Phase boundaries of `fulfil` and `settle`; the crash drill kills a process at each of them. */
export const PHASES = [
  'order_accepted',
  'attempt_planned',
  'attempt_prepared',
  'attempt_sent',
  'supplier_answered',
  'settle_written',
  'outcome_settled',
  'callback_kept',
  'lookup_claimed',
  'lookup_answered',
  'lookup_settled',
  'vault_issued',
  'order_resumed',
  'part_settled',
  'bundle_moved',
] as const;
export type Phase = (typeof PHASES)[number];

export interface EngineOptions {
  /** How long a process owns an order without saying so again. */
  lease_ms: number;
  /** The published ladder of lookups after an answer that never came; the last step repeats. */
  lookup_ladder_ms: readonly number[];
  /** Least time between two lookups that readers of an order may cause. */
  lookup_on_read_ms: number;
  fulfil_concurrency: number;
  fulfil_waiting_max: number;
  orders_together_max: number;
  /** Most orders or attempts one pass of a background job takes. */
  pass_max: number;
  /** The currency that amounts in different ones are compared through; CNY. */
  base_currency?: string;
  /** A rate older than this many days is not used; 7. */
  rate_days_max?: number;
  /** How old an offer may be before it is not bought from blindly, where its SKU has no limit of its own. */
  offers_stale_ms?: number;
}

export interface Engine {
  database: Database;
  vault: Vault;
  /** Why nothing of this kind may be bought or issued now, or null: what a supplier answers could not be kept. */
  vaultFault: (knex: Knex, kind: Kind) => Promise<VaultError | null>;
  channels: Channels;
  health: Health;
  supplierFor: (adapter: string) => Supplier;
  /** Milliseconds since the epoch. */
  now: () => number;
  options: EngineOptions;
  /** Called at every phase boundary, after its commit. Does nothing outside the crash drill. */
  reach: (phase: Phase) => void;
  bell: Bell;
  /** Something worth telling an operator or a metric happened. */
  observe: (event: EngineEvent) => void;
}

export type EngineEvent =
  | { event: 'order_created'; storefront: string; kind: string }
  /** What an order request's external id turned out to be. */
  | { event: 'order_request'; result: 'new' | 'replayed' | 'mismatch' }
  | OrderRested
  | AttemptSettled
  /** `detached`: the attempt stays open and the order goes on without it. */
  | { event: 'failover'; account: string; reason: string }
  | { event: 'unmapped_reply'; account: string; word: string; order_id: string }
  | { event: 'late_codes'; account: string; codes: number }
  | { event: 'contradiction'; account: string; attempt_id: string; was: string; now: string }
  | { event: 'failure'; where: string; error: unknown };

export interface OrderRested {
  event: 'order_rested';
  /** Of a bundle, whose own end is told as well: what a storefront ordered is counted once. */
  is_part: boolean;
  order_id: string;
  storefront: string;
  kind: string;
  state: string;
  reason: string | null;
  duration_ms: number;
  attempts: number;
  delivered_quantity: number;
  unit_price_e4: number;
  currency: string;
}

export interface AttemptSettled {
  event: 'attempt_settled';
  order_id: string;
  account: string;
  kind: string;
  state: string;
  reason: string | null;
  doubt: string | null;
  settled_by: string;
  was_unknown: boolean;
  duration_ms: number;
  cost_e4: number | null;
  currency: string | null;
  expected_cost_e4: number | null;
}

/** The next lookup's time after `lookups` of them came to nothing. */
export function nextLookupAt(options: EngineOptions, lookups: number, now: number): number {
  const ladder = options.lookup_ladder_ms;
  return now + (ladder[Math.min(lookups, ladder.length - 1)] ?? 3_600_000);
}
