// What the parts of the vault share, and the one error they all have. No SQL, no decisions.
import { VaultError } from './errors.js';
import type { Gate } from './gate.js';
import type { Journal } from './journal.js';
import type { Keyring } from './keyring.js';
import type { Store } from './store.js';

export interface Core {
  keyring: Keyring;
  store: Store;
  gate: Gate;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Null where the operator keeps none: then a restored database can issue a code again. */
  journal: Journal | null;
  /** The journal's id once this process has found that the database lacks nothing of it. */
  confirmed: { journal_id: string | null };
  /** Codes that expire within it are not issued. */
  expiry_margin_ms: number;
  /** Codes one person may see in 24 hours, and at once, without a second person. */
  person_codes_per_day: number;
}

export function invalid(field: string, what: string, fix: string): VaultError {
  return new VaultError('invalid', `${field} ${what}`, { field, fix });
}

/** Throws `issuing_sealed` unless the journal has been found complete in this database. */
export function checkIssuing(core: Core, journal_id: string | null): void {
  const expected = core.journal ? core.confirmed.journal_id : null;
  if (core.journal ? expected !== null : journal_id === null) return;
  throw new VaultError('issuing_sealed', 'issuing is sealed: this database may not know every code that was issued', {
    fix: 'Put the issuance journal in its place and run `kamigate vault replay`.',
  });
}
