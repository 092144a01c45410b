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
  return worldOn(await openTestDatabase(), options);
}

/** The vault's tables, each before those that refer to it. `stock_kinds` stays: it never changes. */
const TABLES = [
  'seats',
  'seat_pools',
  'approvals',
  'claims',
  'disputes',
  'replacements',
  'batch_takes',
  'vault_policies',
  'freezes',
  'ledger_heads',
  'ledger',
  'ledger_inbox',
  'reveals',
  'issues',
  'codes',
  'batch_keys',
  'batches',
  'vault_keys',
  'master_keys',
  'vault_state',
];

/** A new vault, with keys of its own, on the emptied database of another: a database of its own costs seconds. */
export async function renewVaultWorld(world: VaultWorld, options: Partial<VaultOptions> = {}): Promise<VaultWorld> {
  await world.tx(async (trx) => {
    for (const table of TABLES) await trx(table).delete();
  });
  const { database, url, close } = world;
  return worldOn({ database, url, close }, options);
}

function worldOn(place: Pick<VaultWorld, 'database' | 'url' | 'close'>, options: Partial<VaultOptions>): VaultWorld {
  const { database, url, close } = place;
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
