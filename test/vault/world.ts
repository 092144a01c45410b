// A vault on a database of its own, with a clock the test turns.
import { randomBytes } from 'node:crypto';
import { atomic, type Trx } from '../../src/db/atomic.js';
import type { Database } from '../../src/db/connect.js';
import { createKeyring, type Keyring } from '../../vault/keyring.js';
import { keyText } from '../../vault/sources.js';
import type { Deposit, PlainCode } from '../../vault/types.js';
import { createVault, type Vault, type VaultOptions } from '../../vault/vault.js';
import { openTestDatabase } from '../kit/database.js';

export const START = Date.UTC(2026, 0, 1);
export const DAY = 86_400_000;

export interface VaultWorld {
  database: Database;
  url: string;
  keys: string;
  keyring: Keyring;
  vault: Vault;
  clock: { now: number };
  /** Runs `fn` in a transaction, as the program does. */
  tx<T>(fn: (trx: Trx) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export async function openVaultWorld(options: Partial<VaultOptions> = {}): Promise<VaultWorld> {
  const { database, url, close } = await openTestDatabase();
  const keys = `1 ${randomBytes(32).toString('base64')}`;
  const keyring = options.keyring ?? createKeyring(keyText('the test', keys));
  const clock = { now: START };
  const { dialect, can_skip_locked } = database;
  const vault = createVault({ now: () => clock.now, dialect, can_skip_locked, ...options, keyring });
  return { database, url, keys, keyring, vault, clock, tx: (fn) => atomic(database, 'test', fn), close };
}

export function depositOf(codes: PlainCode[], more: Partial<Deposit> = {}): Deposit {
  return {
    sku: 'VIDEO-MONTH',
    origin: 'deposit',
    account: null,
    attempt_id: null,
    document: null,
    total_cost_e4: null,
    currency: null,
    received_by: 'operator:lin',
    codes,
    ...more,
  };
}

export function numbered(count: number, prefix = 'C'): PlainCode[] {
  return Array.from({ length: count }, (_, at) => ({ number: `${prefix}-${String(at).padStart(6, '0')}` }));
}
