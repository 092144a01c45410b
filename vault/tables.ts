// The rows of the vault's tables as the rest of it sees them, and the values that stand for something.
import type { CodeState, Issued, Origin } from './types.js';

/** The expiry of a code that has none: the last moment a date can name, so that it sorts last. */
export const NEVER = 8_640_000_000_000_000;

export interface BatchRow {
  batch_id: string;
  sku: string;
  origin: Origin;
  account: string | null;
  attempt_id: string | null;
  document: string | null;
  file_hash: string | null;
  received_by: string;
  received_at: number;
  currency: string | null;
  total_cost_e4: number | null;
  unallocated_e4: number;
  codes_count: number;
  duplicates_count: number;
  state: 'open' | 'closed';
  key_version: number;
}

export interface BatchKeyRow {
  batch_id: string;
  key_version: number;
  master_version: number;
  wrapped: Buffer;
  born_version: number;
  seals_count: number;
}

/** The two columns for fingerprints: one is in use, the other while the key is being replaced. */
export type Slot = 'a' | 'b';
export const SLOT_COLUMN = { a: 'fingerprint_a', b: 'fingerprint_b' } as const;

export interface CodeRow {
  code_id: string;
  sku: string;
  batch_id: string;
  account: string | null;
  state: CodeState;
  reason: string | null;
  expires_at: number;
  cost_e4: number | null;
  currency: string | null;
  face_value_e4: number | null;
  key_version: number;
  sealed: Buffer;
  fingerprint_a: Buffer | null;
  fingerprint_b: Buffer | null;
}

/** What issuing needs of a code. */
export type Claimed = Pick<CodeRow, 'code_id' | 'sku' | 'batch_id' | 'cost_e4' | 'currency' | 'key_version' | 'sealed'>;
export const CLAIMED = ['code_id', 'sku', 'batch_id', 'cost_e4', 'currency', 'key_version', 'sealed'] as const;

export interface IssueRow extends Issued {
  order_id: string;
  generation: number;
  sku: string;
  issued_at: number;
}

/** What a claim passes over: frozen batches and accounts, and batches that gave their share. */
export interface Excluded {
  batch_ids: string[];
  accounts: string[];
}

export interface RevealRow {
  reveal_id: string;
  order_id: string;
  revealed_by: string;
  reason: string;
  is_person: number;
  codes_count: number;
  approval_id: string | null;
  at: number;
}

export interface SeatPlace {
  pool_id: string;
  seat_no: number;
}
