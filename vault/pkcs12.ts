// A master key in a PKCS#12 file (.p12, .pfx), derived from the private key in it.
// The one file of the vault that imports node-forge: it reads the old ciphers such files use, which OpenSSL 3 refuses.
import { readFileSync, statSync } from 'node:fs';
import forge from 'node-forge';
import { VaultError } from './errors.js';
import { deriveKey } from './seal.js';
import type { MasterKeySource } from './sources.js';

/** One file and its pass phrase is one master key version. */
export interface Pkcs12Version {
  version: number;
  path: string;
  passphrase: string;
}

/**
 * Master keys from PKCS#12 files. The key is derived (HKDF-SHA-256, label `pkcs12`) from the private key's PKCS#8
 * bytes, so the same file gives the same key on every machine. The file must be its owner's alone.
 */
export function pkcs12Files(versions: Pkcs12Version[]): MasterKeySource {
  const name = `PKCS#12 file ${versions.map((one) => one.path).join(', ')}`;
  return {
    name,
    load: () => {
      if (versions.length === 0) throw unusable('none', 'no file is named');
      return new Map(versions.map((one) => [one.version, readKey(one)]));
    },
  };
}

function readKey({ path, passphrase }: Pkcs12Version): Buffer {
  let bytes: Buffer;
  let mode: number;
  try {
    mode = statSync(path).mode;
    bytes = readFileSync(path);
  } catch {
    throw unusable(path, 'it cannot be read');
  }
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw unusable(path, `it can be read by others; run \`chmod 600 ${path}\``);
  return deriveKey(privateKeyBytes(path, bytes, passphrase), 'pkcs12');
}

function privateKeyBytes(path: string, bytes: Buffer, passphrase: string): Buffer {
  const { pkcs8ShroudedKeyBag, keyBag } = forge.pki.oids as { pkcs8ShroudedKeyBag: string; keyBag: string };
  let keys: forge.pkcs12.Bag[];
  try {
    const file = forge.pkcs12.pkcs12FromAsn1(forge.asn1.fromDer(bytes.toString('binary')), passphrase);
    keys = [pkcs8ShroudedKeyBag, keyBag].flatMap((bagType) => file.getBags({ bagType })[bagType] ?? []);
  } catch {
    // forge's message may quote bytes of the file.
    throw unusable(path, 'it is no PKCS#12 file, or the pass phrase is wrong');
  }
  if (keys.length !== 1) throw unusable(path, `it holds ${keys.length} private keys instead of one`);
  const [{ key, asn1 }] = keys as [forge.pkcs12.Bag];
  const tree = key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)) : asn1;
  return Buffer.from(forge.asn1.toDer(tree).getBytes(), 'binary');
}

function unusable(path: string, why: string): VaultError {
  return new VaultError('key_source', `the master key in ${path} is unusable: ${why}`, {
    field: 'master_key_file',
    fix: 'Name a .p12 file with one private key and its pass phrase.',
  });
}
