// The hash chain of the ledger. A sealer moves committed records from the inbox into it, about every second, and signs
// the head every minute. Acts never touch the head, so issuing never queues for it.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { Knex } from 'knex';
import { VaultError, VaultRetry } from './errors.js';
import { insertOnce, registerMasterKeys, unwrapReloading } from './gate.js';
import type { Keyring } from './keyring.js';
import type { InboxRow } from './ledger.js';
import { insertRows, withBuffers } from './rows.js';
import type { Trx } from './types.js';

/** What the first record's hash is computed over. */
export const GENESIS = '0'.repeat(64);
/** Records moved in one transaction: a few milliseconds of one writer. */
const MOVED_MAX = 500;

export interface LedgerRow extends InboxRow {
  seq: number;
  hash: string;
}

export interface Head {
  seq: number;
  hash: string;
  at: number;
  key_version: number;
  /** Ed25519 over `headText`, base64. */
  signature: string;
}

/** The hash of a record: SHA-256 over the hash before it and all of the record's fields, as JSON. */
export function recordHash(previous: string, row: Omit<LedgerRow, 'hash'>): string {
  const { seq, entry_id, at, act, actor, order_id, batch_id, sku, count, digest, data } = row;
  const fields = [previous, seq, entry_id, at, act, actor, order_id, batch_id, sku, count, digest, data];
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex');
}

/**
 * Moves up to 500 committed records into the chain and returns them, oldest first. `beforeWrite` runs after they are
 * chosen and before they count as chained: the journal writes them down there. Two sealers at once are safe: one of
 * them is told to retry.
 */
export async function extendChain(trx: Trx, beforeWrite: (rows: InboxRow[]) => Promise<void>): Promise<LedgerRow[]> {
  const inbox: InboxRow[] = await trx('ledger_inbox').orderBy('entry_id').limit(MOVED_MAX).select();
  if (inbox.length === 0) return [];
  const last = await trx('ledger').orderBy('seq', 'desc').select('seq', 'hash').first();
  await beforeWrite(inbox);
  const rows: LedgerRow[] = [];
  let previous: string = last?.hash ?? GENESIS;
  let seq = Number(last?.seq ?? 0);
  for (const record of inbox) {
    seq++;
    const row = { seq, ...record, at: Number(record.at) };
    previous = recordHash(previous, row);
    rows.push({ ...row, hash: previous });
  }
  await insertRows(trx, 'ledger', rows);
  const deleted = await trx('ledger_inbox')
    .whereIn(
      'entry_id',
      inbox.map((record) => record.entry_id),
    )
    .delete();
  if (deleted !== inbox.length) throw new VaultRetry('another sealer moved the same records');
  return rows;
}

/** Signs the newest link of the chain, unless it is signed already. Null where there is nothing to sign. */
export async function signHead(trx: Trx, keyring: Keyring, at: number): Promise<Head | null> {
  const last = await trx('ledger').orderBy('seq', 'desc').select('seq', 'hash').first();
  if (!last) return null;
  const signed = await trx('ledger_heads').where({ seq: last.seq }).first();
  if (signed) return null;
  const { key_version, private_key } = await signingKey(trx, keyring, at);
  const text = headText({ seq: Number(last.seq), hash: last.hash, at });
  const head = { seq: Number(last.seq), hash: last.hash, at, key_version, signature: signText(private_key, text) };
  await insertRows(trx, 'ledger_heads', [head]);
  return head;
}

export function headText({ seq, hash, at }: { seq: number; hash: string; at: number }): string {
  return JSON.stringify(['kamigate.ledger.head', 1, seq, hash, at]);
}

export function signText(key: KeyObject, text: string): string {
  return sign(null, Buffer.from(text, 'utf8'), key).toString('base64');
}

/** Whether `signature` was made over `text` by the key that belongs to this public key (PEM). */
export function isSignedBy(public_key: string, text: string, signature: string): boolean {
  try {
    return verify(null, Buffer.from(text, 'utf8'), createPublicKey(public_key), Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

/** The public keys of the ledger by version, as PEM: what anyone needs to check heads and proofs. */
export async function publicKeys(knex: Knex): Promise<Map<number, string>> {
  const rows = await knex('vault_keys').where({ purpose: 'ledger' }).select('version', 'public_key');
  return new Map(rows.map((row) => [row.version, row.public_key]));
}

/** The key that signs heads and proofs; made at its first use. */
export async function signingKey(
  trx: Trx,
  keyring: Keyring,
  at: number,
): Promise<{ key_version: number; private_key: KeyObject }> {
  const row = await trx('vault_keys').where({ purpose: 'ledger', state: 'current' }).orderBy('version', 'desc').first();
  if (row) {
    withBuffers([row], 'wrapped');
    return {
      key_version: row.version,
      private_key: privateKeyOf(unwrapReloading(keyring, 'ledger', String(row.version), row)),
    };
  }
  await registerMasterKeys(trx, keyring, at);
  // Derived, not drawn: a transaction that is rolled back and one that is not make the same first key.
  const seed = Buffer.from(keyring.derive('ledger/1', keyring.current_version));
  const private_key = privateKeyOf(seed);
  const public_key = createPublicKey(private_key).export({ type: 'spki', format: 'pem' }).toString();
  const wrapped = keyring.wrap('ledger', '1', seed);
  await insertOnce(trx, 'vault_keys', {
    purpose: 'ledger',
    version: 1,
    ...wrapped,
    public_key,
    state: 'current',
    created_at: at,
  });
  return { key_version: 1, private_key };
}

// RFC 8410: the fixed beginning of a PKCS#8 document that holds an Ed25519 seed.
const ED25519_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

function privateKeyOf(seed: Buffer): KeyObject {
  if (seed.length !== 32)
    throw new VaultError('unauthentic', 'the ledger key is not 32 bytes', { fix: 'Restore the row of vault_keys.' });
  return createPrivateKey({ key: Buffer.concat([ED25519_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

/** One thing that is wrong with the ledger, as a sentence. */
export type Fault = string;

/**
 * Checks a stretch of the chain as it is read: every hash, every number, every signed head inside it. Feed it rows in
 * order; `end` reports heads that no row stood for, which is how a cut-off end shows.
 */
export class ChainCheck {
  readonly faults: Fault[] = [];
  #previous = GENESIS;
  #seq = 0;
  readonly #heads: Map<number, Head[]>;
  readonly #public_keys: Map<number, string>;

  constructor(heads: Head[], public_keys: Map<number, string>) {
    this.#heads = new Map();
    for (const head of heads) this.#heads.set(head.seq, [...(this.#heads.get(head.seq) ?? []), head]);
    this.#public_keys = public_keys;
  }

  feed(row: LedgerRow): void {
    const seq = Number(row.seq);
    if (seq !== this.#seq + 1) this.faults.push(`record ${this.#seq + 1} is missing; ${seq} follows`);
    const hash = recordHash(this.#previous, { ...row, seq, at: Number(row.at) });
    if (hash !== row.hash)
      this.faults.push(`record ${seq} (${row.entry_id}) does not match its hash: it, or one before it, was changed`);
    for (const head of this.#heads.get(seq) ?? []) this.#checkHead(head, row.hash);
    this.#heads.delete(seq);
    this.#previous = row.hash;
    this.#seq = seq;
  }

  end(): { records: number; faults: Fault[] } {
    for (const seq of this.#heads.keys())
      this.faults.push(`the signed head ${seq} has no record: the end of the ledger was cut off`);
    return { records: this.#seq, faults: this.faults };
  }

  #checkHead(head: Head, hash: string): void {
    const public_key = this.#public_keys.get(head.key_version);
    if (!public_key || !isSignedBy(public_key, headText({ ...head, at: Number(head.at) }), head.signature)) {
      this.faults.push(`the head at ${head.seq} is not signed by this vault`);
    } else if (head.hash !== hash) this.faults.push(`record ${head.seq} is not the one that was signed`);
  }
}
