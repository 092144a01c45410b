// What every act asks first: is the vault sealed, which keys count, what is frozen. Read from the database at most
// twice a second by each process, so that a seal or a freeze takes effect everywhere within a second.
import type { Knex } from 'knex';
import { VaultError, VaultRetry } from './errors.js';
import type { Keyring } from './keyring.js';
import { isDuplicate, withBuffers } from './rows.js';
import type { Store } from './store.js';
import type { BatchKeyRow, Excluded, Slot } from './tables.js';
import type { Trx } from './types.js';

/** Half of the second that is promised; the other half is for the act that has already begun. */
const FRESH_MS = 500;

export interface FingerprintKey {
  version: number;
  slot: Slot;
  key: Buffer;
}

export interface GateState {
  sealed_at: number | null;
  minimum_version: number;
  /** The journal this database writes its issues to. */
  journal_id: string | null;
  /** One, or two while the key is being replaced. Empty before the first deposit. */
  fingerprint_keys: FingerprintKey[];
  frozen_all: boolean;
  frozen_skus: Set<string>;
  excluded: Excluded;
  /** SKUs whose policy spreads orders over batches. */
  shares: Map<string, Share>;
}

export interface Gate {
  /** The state, at most half a second old. Throws `sealed`, or `key_source` if the keys are not this database's. */
  pass(knex: Knex): Promise<GateState>;
  /** The state even when sealed. */
  look(knex: Knex): Promise<GateState>;
  /** The keys for fingerprints; makes the first one. */
  fingerprintKeys(trx: Trx): Promise<FingerprintKey[]>;
  /** The unwrapped keys of these codes' batches, by `batchKeyName`; one that was tampered with is left out. */
  batchKeys(knex: Knex, codes: { batch_id: string; key_version: number }[]): Promise<Map<string, Buffer>>;
  /** Unwraps one batch key, reading the key source again if it names a newer master version. */
  unwrapBatchKey(row: Pick<BatchKeyRow, 'batch_id' | 'key_version' | 'master_version' | 'wrapped'>): Buffer;
  /** Reads the state anew at the next act. */
  forget(): void;
}

export function batchKeyName(code: { batch_id: string; key_version: number }): string {
  return `${code.batch_id} ${code.key_version}`;
}

export function createGate(keyring: Keyring, store: Store, now: () => number): Gate {
  let state: GateState | null = null;
  let read_at = Number.NEGATIVE_INFINITY;
  let sealed_by_gate = false;

  async function look(knex: Knex): Promise<GateState> {
    const at = now();
    // A clock that jumps back makes the state stale too, rather than fresh for ever.
    if (state && at >= read_at && at - read_at < FRESH_MS) return state;
    const next = await readState(knex);
    state = next;
    read_at = at;
    return next;
  }

  async function readState(knex: Knex): Promise<GateState> {
    const named = new Map<string, string>();
    for (const { name, value } of await knex('vault_state').select('name', 'value')) named.set(name, value);
    const sealed_at = named.has('sealed_at') ? Number(named.get('sealed_at')) : null;
    const minimum_version = Number(named.get('minimum_version') ?? 1);
    keyring.minimum_version = minimum_version;
    if (sealed_at !== null) {
      keyring.sealNow();
      sealed_by_gate = true;
    } else if (sealed_by_gate) {
      keyring.unseal();
      sealed_by_gate = false;
    }
    const fingerprint_keys = keyring.is_sealed ? [] : await readKeys(knex);
    const journal_id = named.get('journal_id') ?? null;
    return { sealed_at, minimum_version, journal_id, fingerprint_keys, ...(await readControls(knex)) };
  }

  async function readKeys(knex: Knex): Promise<FingerprintKey[]> {
    await checkMasterKeys(knex, keyring);
    const rows = await knex('vault_keys')
      .where({ purpose: 'fingerprint' })
      .whereNot({ state: 'retired' })
      .orderBy('version');
    return withBuffers(rows, 'wrapped').map((row) => ({
      version: row.version,
      slot: row.slot,
      key: unwrapReloading(keyring, 'fingerprint', String(row.version), row),
    }));
  }

  return {
    look,
    async pass(knex) {
      const current = await look(knex);
      if (current.sealed_at !== null || keyring.is_sealed) {
        throw new VaultError('sealed', 'the vault is sealed', {
          fix: 'Run `kamigate vault unseal` once the reason for sealing is settled.',
        });
      }
      return current;
    },
    async fingerprintKeys(trx) {
      let keys = (await this.pass(trx)).fingerprint_keys;
      if (keys.length === 0) {
        // Perhaps it was made a moment ago: none is made on hearsay.
        this.forget();
        keys = (await this.pass(trx)).fingerprint_keys;
      }
      return keys.length > 0 ? keys : [await makeFirstKey(trx, keyring, now())];
    },
    async batchKeys(knex, codes) {
      const keys = new Map<string, Buffer>();
      const missing = new Set<string>();
      for (const code of codes) {
        const name = batchKeyName(code);
        const key = keyring.cached(name);
        if (key) keys.set(name, key);
        else missing.add(code.batch_id);
      }
      if (missing.size === 0) return keys;
      const needed = new Set(codes.map(batchKeyName));
      for (const row of await store.findBatchKeys(knex, [...missing])) {
        const name = batchKeyName(row);
        if (!needed.has(name) || keys.has(name)) continue;
        try {
          keys.set(name, this.unwrapBatchKey(row));
        } catch (error) {
          if (!isUntrusted(error)) throw error;
        }
      }
      return keys;
    },
    unwrapBatchKey(row) {
      const name = batchKeyName(row);
      const known = keyring.cached(name);
      if (known) return known;
      const key = unwrapReloading(keyring, 'batch', name, row);
      keyring.cache(name, key);
      return key;
    },
    forget() {
      read_at = Number.NEGATIVE_INFINITY;
    },
  };
}

/** The stored bytes are at fault, not the keys at hand: what they protect cannot be trusted. */
export function isUntrusted(error: unknown): boolean {
  return error instanceof VaultError && (error.code === 'unauthentic' || error.code === 'below_minimum');
}

/** A key wrapped by a version that was added to the source after this process began: read the source again, once. */
export function unwrapReloading(
  keyring: Keyring,
  purpose: string,
  context: string,
  row: { master_version: number; wrapped: Buffer },
): Buffer {
  if (!keyring.is_sealed && row.master_version > keyring.current_version) keyring.unseal();
  return keyring.unwrap(purpose, context, row);
}

// Two processes with different key files would each seal what the other cannot open: refuse the wrong one at once.
async function checkMasterKeys(knex: Knex, keyring: Keyring): Promise<void> {
  const known = await knex('master_keys')
    .where('version', '>=', keyring.minimum_version)
    .select('version', 'check_value');
  // A newer version was put into the source while this process ran.
  if (known.some(({ version }) => version > keyring.current_version)) keyring.unseal();
  for (const { version, check_value } of known) {
    if (!keyring.versions.includes(version) || keyring.checkValue(version) === check_value) continue;
    throw new VaultError(
      'key_source',
      `master key version ${version} in ${keyring.source_name} is not this database's`,
      {
        field: 'master_key_file',
        fix: 'Use the key file that belongs to this database; with another one nothing in it can be opened.',
      },
    );
  }
}

/** Writes down the check values of the master keys at hand, so that a wrong key is noticed from then on. */
export async function registerMasterKeys(trx: Trx, keyring: Keyring, at: number): Promise<void> {
  const known = new Set((await trx('master_keys').select('version')).map((row) => row.version));
  for (const version of keyring.versions) {
    if (known.has(version) || version < keyring.minimum_version) continue;
    await insertOnce(trx, 'master_keys', { version, check_value: keyring.checkValue(version), created_at: at });
  }
}

// Derived, not drawn: a transaction that is rolled back and one that is not make the same first key.
async function makeFirstKey(trx: Trx, keyring: Keyring, at: number): Promise<FingerprintKey> {
  await registerMasterKeys(trx, keyring, at);
  const key = Buffer.from(keyring.derive('fingerprint/1', keyring.current_version));
  await insertOnce(trx, 'vault_keys', {
    purpose: 'fingerprint',
    version: 1,
    ...keyring.wrap('fingerprint', '1', key),
    state: 'current',
    slot: 'a',
    created_at: at,
  });
  return { version: 1, slot: 'a', key };
}

export async function insertOnce(trx: Trx, table: string, row: object): Promise<void> {
  try {
    await trx(table).insert(row);
  } catch (error) {
    if (isDuplicate(error)) throw new VaultRetry(`another process wrote the first row of ${table}`);
    throw error;
  }
}

/** What one order or one hour may take from one batch of a SKU. */
export interface Share {
  order_share_pct: number | null;
  hour_batch_max: number | null;
}

async function readControls(
  knex: Knex,
): Promise<Pick<GateState, 'frozen_all' | 'frozen_skus' | 'excluded' | 'shares'>> {
  const freezes: { scope: string; subject: string }[] = await knex('freezes')
    .whereNull('lifted_at')
    .select('scope', 'subject');
  const subjects = (scope: string) => freezes.filter((one) => one.scope === scope).map((one) => one.subject);
  const policies = await knex('vault_policies').select('sku', 'order_share_pct', 'hour_batch_max');
  const shares = new Map<string, Share>();
  for (const { sku, ...share } of policies) {
    if (share.order_share_pct !== null || share.hour_batch_max !== null) shares.set(sku, share);
  }
  return {
    frozen_all: subjects('all').length > 0,
    frozen_skus: new Set(subjects('sku')),
    excluded: { batch_ids: subjects('batch'), accounts: subjects('account') },
    shares,
  };
}
