// What the vault refuses, with a code the program can map. A message never holds a code, a key or a part of one.

/**
 * sealed: no key in memory, nothing can be opened · issuing_sealed: this database may be older than what was issued ·
 * key_source: the master key cannot be read · key_version: a master key version is missing · below_minimum: a version
 * that may no longer be used · unauthentic: a ciphertext was moved, edited or belongs to another row.
 */
export type VaultErrorCode =
  | 'sealed'
  | 'issuing_sealed'
  | 'frozen'
  | 'key_source'
  | 'key_version'
  | 'below_minimum'
  | 'unauthentic'
  | 'invalid'
  | 'not_found'
  | 'conflict'
  | 'batch_full'
  | 'batch_closed'
  | 'limit_reached'
  | 'approval_needed'
  | 'journal';

export class VaultError extends Error {
  constructor(
    readonly code: VaultErrorCode,
    message: string,
    readonly details: { field?: string; fix: string; cause?: unknown },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'VaultError';
  }
}

/** Another transaction holds what this one needs, or wrote it first: roll back and run the whole transaction again. */
export class VaultRetry extends Error {
  /** A lock wait that timed out, in the words of MySQL: whoever retries those retries this. */
  readonly errno = 1205;
  readonly code = 'ER_LOCK_WAIT_TIMEOUT';
  constructor(what: string) {
    super(`vault: ${what}`);
    this.name = 'Retry';
  }
}
