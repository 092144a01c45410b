// Keys in memory: master key versions from outside the database, keys derived and unwrapped from them, and `sealNow`,
// which leaves none. The only file that holds a key for longer than one call.
import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { VaultError } from './errors.js';
import { deriveKey, KEY_BYTES, open, seal } from './seal.js';
import type { MasterKeySource } from './sources.js';

/** Unwrapped batch keys kept; one is 32 bytes and about a third of a kilobyte with its entry. */
const BATCH_KEYS_MAX = 10_000;

/** A key encrypted under a master key version. */
export interface WrappedKey {
  master_version: number;
  wrapped: Buffer;
}

export interface Keyring {
  /** Where the master keys come from, for messages. */
  readonly source_name: string;
  readonly is_sealed: boolean;
  /** The newest version; new keys are wrapped by it. Throws `sealed`. */
  readonly current_version: number;
  /** Every version in memory, ascending. Empty when sealed. */
  readonly versions: number[];
  /** Versions below it are refused, even where the key is still at hand. */
  minimum_version: number;
  /** The key for one purpose under one master version. Throws `sealed`, `key_version` or `below_minimum`. */
  derive(label: string, version: number): Buffer;
  /** What identifies a master key without telling anything of it. 64 hex digits. */
  checkValue(version: number): string;
  /** A fresh random key. */
  newKey(): Buffer;
  /** Encrypts `key` under the current master version, bound to `purpose` and `context`. */
  wrap(purpose: string, context: string, key: Buffer): WrappedKey;
  /** Decrypts what `wrap` made. Throws as `derive`, and `unauthentic`. */
  unwrap(purpose: string, context: string, key: WrappedKey): Buffer;
  /** A copy of an unwrapped batch key, if it is at hand. */
  cached(name: string): Buffer | undefined;
  cache(name: string, key: Buffer): void;
  /** Overwrites every key in memory. Nothing opens any more until `unseal`. */
  sealNow(): void;
  /** Reads the source again, and with it new versions. Throws `key_source`. */
  unseal(): void;
}

/** Reads the source and holds its keys. Throws `key_source` if it cannot be read; nothing half-built exists. */
export function createKeyring(source: MasterKeySource, options: { batch_keys_max?: number } = {}): Keyring {
  return new KeysInMemory(source, options.batch_keys_max ?? BATCH_KEYS_MAX);
}

class KeysInMemory implements Keyring {
  readonly #source: MasterKeySource;
  readonly #masters = new Map<number, Buffer>();
  readonly #derived = new Map<string, Buffer>();
  readonly #batches: LRUCache<string, Buffer>;
  #current = 0;
  #minimum = 1;

  constructor(source: MasterKeySource, batch_keys_max: number) {
    this.#source = source;
    this.#batches = new LRUCache({ max: batch_keys_max });
    this.unseal();
  }

  get source_name(): string {
    return this.#source.name;
  }
  get is_sealed(): boolean {
    return this.#masters.size === 0;
  }
  get versions(): number[] {
    return [...this.#masters.keys()].sort((one, other) => one - other);
  }
  get minimum_version(): number {
    return this.#minimum;
  }
  set minimum_version(version: number) {
    if (version === this.#minimum) return;
    this.#minimum = version;
    // A key unwrapped before the minimum was raised must not go on opening what is refused now.
    for (const key of this.#batches.values()) key.fill(0);
    this.#batches.clear();
  }
  get current_version(): number {
    if (this.is_sealed) throw sealed();
    return this.#current;
  }

  derive(label: string, version: number): Buffer {
    const name = `${version} ${label}`;
    const known = this.#derived.get(name);
    if (known && version >= this.minimum_version) return known;
    const key = deriveKey(this.#master(version), label);
    this.#derived.set(name, key);
    return key;
  }

  checkValue(version: number): string {
    return createHmac('sha256', this.derive('check', version)).update('kamigate.vault.check.1').digest('hex');
  }

  newKey(): Buffer {
    return randomBytes(KEY_BYTES);
  }

  wrap(purpose: string, context: string, key: Buffer): WrappedKey {
    const master_version = this.current_version;
    const bound = wrapBinding(purpose, context, master_version);
    return { master_version, wrapped: seal(this.derive(`wrap/${purpose}`, master_version), bound, key) };
  }

  unwrap(purpose: string, context: string, { master_version, wrapped }: WrappedKey): Buffer {
    const bound = wrapBinding(purpose, context, master_version);
    return open(this.derive(`wrap/${purpose}`, master_version), bound, wrapped);
  }

  cached(name: string): Buffer | undefined {
    const key = this.#batches.get(name);
    // A copy: `sealNow` overwrites what is kept here, and no one may seal under zeroes because of it.
    return key && Buffer.from(key);
  }

  cache(name: string, key: Buffer): void {
    this.#batches.set(name, Buffer.from(key));
  }

  sealNow(): void {
    for (const key of [...this.#masters.values(), ...this.#derived.values(), ...this.#batches.values()]) key.fill(0);
    this.#masters.clear();
    this.#derived.clear();
    this.#batches.clear();
  }

  unseal(): void {
    const masters = this.#source.load();
    this.sealNow();
    for (const [version, key] of masters) this.#masters.set(version, key);
    this.#current = Math.max(...masters.keys());
  }

  #master(version: number): Buffer {
    if (this.is_sealed) throw sealed();
    if (version < this.minimum_version) {
      throw new VaultError(
        'below_minimum',
        `master key version ${version} is below the minimum ${this.minimum_version}`,
        {
          field: 'key_version',
          fix: 'Whatever is sealed under it was put back from an old copy. Restore a newer backup.',
        },
      );
    }
    const master = this.#masters.get(version);
    if (master) return master;
    throw new VaultError('key_version', `master key version ${version} is not in ${this.#source.name}`, {
      field: 'key_version',
      fix: `Add version ${version} to ${this.#source.name}; a version may be removed only after \`kamigate vault rotate\` has finished.`,
    });
  }
}

function wrapBinding(purpose: string, context: string, master_version: number): Buffer {
  return Buffer.from(JSON.stringify(['kamigate.wrap', 1, purpose, context, master_version]), 'utf8');
}

function sealed(): VaultError {
  return new VaultError('sealed', 'the vault is sealed: no key is in memory', {
    fix: 'Run `kamigate vault unseal` once the reason for sealing is settled.',
  });
}
