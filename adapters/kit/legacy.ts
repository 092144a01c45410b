// Ciphers that old supplier protocols ask for: DES, 3DES, RC4, bare AES, PKCS#12 files. The sole importer of node-forge
// in the adapters. Nothing of ours is protected by anything in this file.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import forge from 'node-forge';
import { Unreadable } from './contract.js';

/** A block cipher as a protocol's sheet names it; an iv only for cbc. Padding is PKCS#7, or none. */
export interface CipherRules {
  mode: 'ecb' | 'cbc';
  key: Buffer;
  iv?: Buffer;
  padding?: 'pkcs7' | 'none';
}

/** AES with a key of 16, 24 or 32 bytes. */
export function aesEncrypt(plain: Buffer, rules: CipherRules): Buffer {
  return run(createCipheriv(aesName(rules), rules.key, ivOf(rules)), plain, rules);
}
/** Opposite of `aesEncrypt`. Throws `Unreadable` where the content does not fit the key. */
export function aesDecrypt(sealed: Buffer, rules: CipherRules): Buffer {
  return opened(() => run(createDecipheriv(aesName(rules), rules.key, ivOf(rules)), sealed, rules));
}

/** DES with 8 bytes of key, two-key 3DES with 16, three-key 3DES with 24. */
export function desEncrypt(plain: Buffer, rules: CipherRules): Buffer {
  return run(createCipheriv(`des-ede3-${rules.mode}`, desKey(rules.key), ivOf(rules)), plain, rules);
}
/** Opposite of `desEncrypt`. Throws `Unreadable` where the content does not fit the key. */
export function desDecrypt(sealed: Buffer, rules: CipherRules): Buffer {
  return opened(() => run(createDecipheriv(`des-ede3-${rules.mode}`, desKey(rules.key), ivOf(rules)), sealed, rules));
}

// OpenSSL 3 no longer offers single DES; with three equal keys 3DES is single DES.
function desKey(key: Buffer): Buffer {
  if (key.length === 8) return Buffer.concat([key, key, key]);
  if (key.length === 16) return Buffer.concat([key, key.subarray(0, 8)]);
  if (key.length === 24) return key;
  throw new Error(`a DES key has 8, 16 or 24 bytes, not ${key.length}`);
}

function aesName({ mode, key }: CipherRules): string {
  if (![16, 24, 32].includes(key.length)) throw new Error(`an AES key has 16, 24 or 32 bytes, not ${key.length}`);
  return `aes-${key.length * 8}-${mode}`;
}

function ivOf({ mode, iv }: CipherRules): Buffer | null {
  if (mode === 'cbc' && !iv) throw new Error('cbc needs an iv');
  return mode === 'cbc' ? iv! : null;
}

function run(
  cipher: ReturnType<typeof createCipheriv> | ReturnType<typeof createDecipheriv>,
  input: Buffer,
  rules: CipherRules,
): Buffer {
  cipher.setAutoPadding(rules.padding !== 'none');
  return Buffer.concat([cipher.update(input), cipher.final()]);
}

function opened(open: () => Buffer): Buffer {
  try {
    return open();
  } catch {
    // The cause may quote content; the path to the fix is the account's key.
    throw new Unreadable('encrypted content does not open with the key of this account');
  }
}

/** RC4 (RFC 6229 has its vectors): the same call seals and opens. */
export function rc4(key: Buffer, input: Buffer): Buffer {
  if (key.length === 0) throw new Error('an RC4 key has at least one byte');
  const state = Uint8Array.from({ length: 256 }, (_, at) => at);
  for (let i = 0, j = 0; i < 256; i++) {
    j = (j + state[i]! + key[i % key.length]!) & 255;
    [state[i], state[j]] = [state[j]!, state[i]!];
  }
  let i = 0;
  let j = 0;
  return Buffer.from(
    input.map((byte) => {
      i = (i + 1) & 255;
      j = (j + state[i]!) & 255;
      [state[i], state[j]] = [state[j]!, state[i]!];
      return byte ^ state[(state[i]! + state[j]!) & 255]!;
    }),
  );
}

/** Private key and certificate of a PKCS#12 file, both as PEM. Throws with a plain sentence if the password is wrong. */
export function openPkcs12(file: Buffer, password: string): { private_key_pem: string; certificate_pem: string } {
  let bags: forge.pkcs12.Pkcs12Pfx;
  try {
    bags = forge.pkcs12.pkcs12FromAsn1(forge.asn1.fromDer(file.toString('binary')), password);
  } catch {
    throw new Error('the PKCS#12 file does not open: check the file and its password');
  }
  const shrouded = bags.getBags({ bagType: forge.pki.oids.pkcs8ShroudedKeyBag! })[forge.pki.oids.pkcs8ShroudedKeyBag!];
  const plain = bags.getBags({ bagType: forge.pki.oids.keyBag! })[forge.pki.oids.keyBag!];
  const key = (shrouded?.[0] ?? plain?.[0])?.key;
  const certificate = bags.getBags({ bagType: forge.pki.oids.certBag! })[forge.pki.oids.certBag!]?.[0]?.cert;
  if (!key || !certificate) throw new Error('the PKCS#12 file holds no private key with a certificate');
  return { private_key_pem: forge.pki.privateKeyToPem(key), certificate_pem: forge.pki.certificateToPem(certificate) };
}
