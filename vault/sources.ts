// Where master keys come from. A source is a name and `load`, so that a key service can be added as one more file
// (pkcs12.ts is one). Written as lines of `<version> <base64 of 32 bytes>`.
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { VaultError } from './errors.js';
import { KEY_BYTES } from './seal.js';

export interface MasterKeySource {
  /** Where the keys come from, for messages. */
  readonly name: string;
  /** Version → 32 bytes, at least one. The highest version is the current one. Throws `key_source`. */
  load(): Map<number, Buffer>;
}

/** Keys in a file that only its owner can read. */
export function keyFile(path: string): MasterKeySource {
  return {
    name: `key file ${path}`,
    load: () => parseKeys(readPrivateFile(path, 'master key file'), `key file ${path}`),
  };
}

/** Keys in a text that was handed over, such as an environment variable's value; `name` is what messages call it. */
export function keyText(name: string, text: string): MasterKeySource {
  return { name, load: () => parseKeys(text, name) };
}

/** Writes a new key file with version 1. Throws `key_source` if the file is already there: a key is never overwritten. */
export function generateKeyFile(path: string): void {
  writeNew(path, `1 ${randomBytes(KEY_BYTES).toString('base64')}\n`);
}

/** Adds the next version to a key file, and returns it. The old versions stay: what they seal must still open. */
export function addKeyVersion(path: string): number {
  const keys = keyFile(path).load();
  const version = Math.max(...keys.keys()) + 1;
  keys.set(version, randomBytes(KEY_BYTES));
  const lines = [...keys].map(([number, key]) => `${number} ${key.toString('base64')}\n`);
  // Whole file, then a rename: a crash leaves the old file or the new one, never half a key.
  const next = `${path}.next`;
  writeNew(next, lines.join(''));
  renameSync(next, path);
  return version;
}

/** Reads a file that must be its owner's alone. Throws `key_source` naming the path and the fix. */
export function readPrivateFile(path: string, what: string): string {
  let mode: number;
  try {
    mode = statSync(path).mode;
  } catch (cause) {
    throw new VaultError('key_source', `the ${what} ${path} cannot be read`, {
      field: 'master_key_file',
      fix: 'Create it with `kamigate init`, or point KAMIGATE_MASTER_KEY_FILE to the one that belongs to this database.',
      cause,
    });
  }
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new VaultError(
      'key_source',
      `the ${what} ${path} can be read by others (mode ${(mode & 0o777).toString(8)})`,
      {
        field: 'master_key_file',
        fix: `Run \`chmod 600 ${path}\`, and replace the key if someone else may have read it.`,
      },
    );
  }
  return readFileSync(path, 'utf8');
}

function parseKeys(text: string, name: string): Map<number, Buffer> {
  const keys = new Map<number, Buffer>();
  for (const [at, line] of text.split(/[\n,;]/).entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const [, number, key] = /^\s*([1-9][0-9]{0,8})[ :]([A-Za-z0-9+/]+={0,2})\s*$/.exec(line) ?? [];
    const bytes = Buffer.from(key ?? '', 'base64');
    if (number === undefined || bytes.length !== KEY_BYTES) {
      throw faulty(name, `line ${at + 1} is not "<version> <base64 of ${KEY_BYTES} bytes>"`);
    }
    if (keys.has(Number(number))) throw faulty(name, `version ${number} is there twice`);
    keys.set(Number(number), bytes);
  }
  if (keys.size === 0) throw faulty(name, 'it holds no key');
  return keys;
}

function faulty(name: string, why: string): VaultError {
  return new VaultError('key_source', `the master key in ${name} is unusable: ${why}`, {
    field: 'master_key_file',
    fix: 'Use the key as it was generated; without the right key no code can be opened, and nothing can replace it.',
  });
}

function writeNew(path: string, text: string): void {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (cause) {
    throw new VaultError('key_source', `the key file ${path} cannot be created`, {
      field: 'master_key_file',
      fix: 'If it is already there, use it: a key is never overwritten. Otherwise make its folder writable.',
      cause,
    });
  }
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
