// The words the vault's callers use: what goes in, what comes out, and what can be refused. Types and one class only.
import type { Knex } from 'knex';

/** Bytes or text of one field of a code, plain or wrapped in anything that has `reveal()`. Kept exactly as given. */
export type Plain = string | Uint8Array | { reveal(): string };

/** One code on its way in. At least one of `number`, `pin` and `link` is present and not empty. */
export interface PlainCode {
  number?: Plain;
  pin?: Plain;
  serial?: Plain;
  link?: Plain;
  /** Milliseconds since the epoch; left out where the code does not expire. */
  expires_at?: number;
  /** What this very code cost; only where `total_cost_e4` is null. */
  cost_e4?: number;
  /** What is printed on it, in ten-thousandths of its own currency. */
  face_value_e4?: number;
}

export const ORIGINS = ['deposit', 'supplier', 'late', 'replacement'] as const;
export type Origin = (typeof ORIGINS)[number];

export const CODE_STATES = ['available', 'quarantined', 'issued', 'void'] as const;
export type CodeState = (typeof CODE_STATES)[number];

export interface Deposit {
  sku: string;
  origin: Origin;
  /** The supplier account they came from, if any. */
  account: string | null;
  attempt_id: string | null;
  /** The purchase document's number. */
  document: string | null;
  /** What all new codes together cost; split so that the parts sum to it exactly. Null where unknown. */
  total_cost_e4: number | null;
  currency: string | null;
  received_by: string;
  /** Set: the codes go in as `quarantined` with this reason. */
  quarantined?: string;
  /** SHA-256 (hex) of the file they were read from. */
  file_hash?: string;
  codes: PlainCode[];
}

/** A code that went in, or the one already here with the same content. */
export type Deposited = { code_id: string } | { duplicate_of: string; state: CodeState };

export interface DepositResult {
  batch_id: string;
  /** In input order. */
  codes: Deposited[];
}

/** Units `first_unit` … `first_unit + quantity - 1` of one order. */
export interface Wanted {
  order_id: string;
  sku: string;
  first_unit: number;
  quantity: number;
  /** Bind exactly these, in unit order: the codes a supplier delivered for this order. As many as `quantity`. */
  code_ids?: string[];
}

export interface Issued {
  unit_no: number;
  code_id: string;
  batch_id: string;
  cost_e4: number | null;
  currency: string | null;
}

/** All units of the wanted, or none: `available` is how many could have been issued. */
export type IssueResult = { issued: Issued[] } | { short: { available: number } };

export interface RevealRequest {
  order_id: string;
  /** Who asks: `storefront:<name>` or `operator:<name>`. */
  by: string;
  reason: string;
  first_unit?: number;
  limit?: number;
  /** A person looks, not the storefront the codes were issued for: the daily limit and the second person apply. */
  is_person?: boolean;
  /** The approval a second person gave, where one is needed. */
  approval_id?: string;
}

/** One issued code, opened. Prints as `[sealed]`. */
export interface RevealedCode {
  unit_no: number;
  code_id: string;
  number?: Content;
  pin?: Content;
  serial?: Content;
  link?: Content;
  expires_at: number | null;
}

/** Bytes of a code in memory. Prints as `[sealed]` wherever text is made of it. */
export class Content {
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  /** As UTF-8 text. Content that came in as text comes out as the same text. */
  reveal(): string {
    return this.#bytes.toString('utf8');
  }
  bytes(): Buffer {
    return Buffer.from(this.#bytes);
  }
  toString(): string {
    return '[sealed]';
  }
  toJSON(): string {
    return '[sealed]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[sealed]';
  }
}

export interface Stock {
  sku: string;
  /** Can be issued now: in state available and not expired. */
  available: number;
  quarantined: number;
  issued: number;
  void: number;
  /** In state available, but past their expiry: never issued. */
  expired: number;
  /** The earliest expiry among the available ones, or null. */
  next_expiry_at: number | null;
}

/** Which codes an act is for. Exactly one member. */
export type Selection =
  | { code_ids: string[] }
  | { batch_id: string }
  | { sku: string }
  | { account: string }
  | { all: true };

/** Who does it, and why. */
export interface Act {
  by: string;
  reason: string;
}

export type Trx = Knex.Transaction;

export interface VaultDialect {
  dialect: 'sqlite' | 'mysql';
  /** `SELECT … FOR UPDATE SKIP LOCKED` works; without it there is one writer at a time and no need. */
  can_skip_locked: boolean;
}
