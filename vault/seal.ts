// Seal and open one code, and its fingerprint: the only encryption of the vault. AES-256-GCM and HMAC-SHA-256 of
// node:crypto, no options. Sealed bytes are: format (1) · nonce (12) · ciphertext · tag (16).
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomFillSync } from 'node:crypto';
import { VaultError } from './errors.js';

export const KEY_BYTES = 32;
const FINGERPRINT_BYTES = 16;
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const OVERHEAD = 1 + NONCE_BYTES + TAG_BYTES;

// Nonces are random: 2^20 seals under one batch key leave a collision at odds of 2^-57. Drawn 1,024 at a time, which
// is a third of the cost of sealing when drawn singly.
const nonces = Buffer.allocUnsafe(NONCE_BYTES * 1024);
let drawn = nonces.length;

function nextNonce(): Buffer {
  if (drawn >= nonces.length) {
    randomFillSync(nonces);
    drawn = 0;
  }
  drawn += NONCE_BYTES;
  return nonces.subarray(drawn - NONCE_BYTES, drawn);
}

/** What one code's ciphertext is bound to. Change any of it and the code no longer opens. */
export interface Binding {
  sku: string;
  batch_id: string;
  code_id: string;
  key_version: number;
}

/** The bytes authenticated beside the ciphertext. JSON, because no two different bindings give the same JSON. */
export function bindingBytes({ sku, batch_id, code_id, key_version }: Binding): Buffer {
  return Buffer.from(JSON.stringify(['kamigate.code', FORMAT, sku, batch_id, code_id, key_version]), 'utf8');
}

/** Encrypts `plain` under a 32-byte key, bound to `bound`. Every call draws a fresh nonce. */
export function seal(key: Buffer, bound: Buffer, plain: Buffer): Buffer {
  const nonce = nextNonce();
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  const sealed = Buffer.allocUnsafe(OVERHEAD + plain.length);
  sealed[0] = FORMAT;
  nonce.copy(sealed, 1);
  cipher.update(plain).copy(sealed, 1 + NONCE_BYTES);
  // GCM is a stream: `final` adds no bytes, and must run before the tag is read.
  cipher.final();
  cipher.getAuthTag().copy(sealed, sealed.length - TAG_BYTES);
  return sealed;
}

/** Decrypts what `seal` made. Throws `unauthentic` if one bit of it, or of what it is bound to, is not the same. */
export function open(key: Buffer, bound: Buffer, sealed: Buffer): Buffer {
  if (sealed.length < OVERHEAD || sealed[0] !== FORMAT) throw unauthentic('is not in a known format');
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(bound);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(1 + NONCE_BYTES, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    // Nothing of the failed decryption may stay or travel, not even as a cause.
    plain.fill(0);
    throw unauthentic('was moved, edited, or sealed under another key');
  }
  return plain;
}

function unauthentic(why: string): VaultError {
  return new VaultError('unauthentic', `the sealed content ${why}`, {
    fix: 'Run `kamigate vault verify`; restore the row from a backup, or void the code and claim it from the supplier.',
  });
}

/**
 * Keyed hash of a code's content: equal for equal content, and worth nothing without the key. The first 16 bytes: two
 * different codes of a billion meet at odds of 2^-69, and the index over them is half as large.
 */
export function fingerprint(key: Buffer, sku: string, content: Buffer): Buffer {
  if (scope.sku !== sku) scope = scopeOf(sku);
  // As text (one character a byte) and back, because a Buffer made by `digest` has memory of its own, which is slow to make and to free.
  const digest = createHmac('sha256', key).update(scope.bytes).update(content).digest('binary');
  return Buffer.from(digest.slice(0, FINGERPRINT_BYTES), 'latin1');
}

// Codes come by the thousand of one SKU: its bytes are made once.
let scope = scopeOf('');

function scopeOf(sku: string): { sku: string; bytes: Buffer } {
  return { sku, bytes: Buffer.from(JSON.stringify(['kamigate.fingerprint', 1, sku]), 'utf8') };
}

/** A key for one purpose, derived from `secret` by HKDF-SHA-256 (RFC 5869) under a label. Other label, other key. */
export function deriveKey(secret: Buffer, label: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'kamigate.vault', label, KEY_BYTES));
}
