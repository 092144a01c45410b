// The seal, by itself: published vectors opened by two implementations, nothing movable, keys from outside.
import { createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import forge from 'node-forge';
import { decodeContent, encodeContent, identityOf } from '../../vault/content.js';
import { createKeyring } from '../../vault/keyring.js';
import { bindingBytes, deriveKey, fingerprint, open, seal } from '../../vault/seal.js';
import { addKeyVersion, generateKeyFile, keyFile, keyText } from '../../vault/sources.js';
import { sealTextWith } from '../../vault/text.js';

interface CodeVector {
  title: string;
  opens: boolean;
  key: string;
  binding: { sku: string; batch_id: string; code_id: string; key_version: number } | null;
  bound: string;
  fields: Record<string, string> | null;
  content: string;
  sealed: string;
}
interface Vectors {
  codes: CodeVector[];
  fingerprints: { title: string; key: string; sku: string; identity: string; fingerprint: string }[];
  derived: { secret: string; label: string; key: string }[];
  texts: {
    title: string;
    purpose: string;
    context: string;
    text: string;
    master: string;
    version: number;
    sealed: string;
  }[];
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('./vectors.json', import.meta.url), 'utf8'));

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** Nonce, ciphertext and tag as the header of seal.ts describes them. */
function parts(sealed: Buffer): { nonce: Buffer; body: Buffer; tag: Buffer } {
  expect(sealed[0]).toBe(1);
  return { nonce: sealed.subarray(1, 13), body: sealed.subarray(13, -16), tag: sealed.subarray(-16) };
}

function openByCrypto(key: Buffer, bound: Buffer, sealed: Buffer): Buffer | null {
  const { nonce, body, tag } = parts(sealed);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(bound).setAuthTag(tag);
  const plain = decipher.update(body);
  try {
    decipher.final();
    return plain;
  } catch {
    return null;
  }
}

function openByForge(key: Buffer, bound: Buffer, sealed: Buffer): Buffer | null {
  const { nonce, body, tag } = parts(sealed);
  const decipher = forge.cipher.createDecipher('AES-GCM', key.toString('binary'));
  decipher.start({
    iv: nonce.toString('binary'),
    additionalData: bound.toString('binary'),
    tagLength: 128,
    tag: forge.util.createBuffer(tag.toString('binary')),
  });
  decipher.update(forge.util.createBuffer(body.toString('binary')));
  return decipher.finish() ? Buffer.from(decipher.output.getBytes(), 'binary') : null;
}

describe('vectors', () => {
  test.each(vectors.codes)('code: $title', (vector) => {
    const key = hex(vector.key);
    const bound = Buffer.from(vector.bound, 'utf8');
    const sealed = hex(vector.sealed);
    const expected = vector.opens ? hex(vector.content) : null;
    expect(openByCrypto(key, bound, sealed)).toEqual(expected);
    expect(openByForge(key, bound, sealed)).toEqual(expected);
    if (expected) expect(open(key, bound, sealed)).toEqual(expected);
    else expect(() => open(key, bound, sealed)).toThrow(expect.objectContaining({ code: 'unauthentic' }));
  });

  test.each(vectors.codes.filter((vector) => vector.opens))('binding and fields: $title', (vector) => {
    expect(bindingBytes(vector.binding!).toString('utf8')).toBe(vector.bound);
    const fields = decodeContent(hex(vector.content));
    for (const [name, value] of Object.entries(vector.fields!)) {
      expect(fields[name as 'number']!.bytes()).toEqual(hex(value));
    }
    expect(Object.keys(fields)).toEqual(Object.keys(vector.fields!));
  });

  test.each(vectors.fingerprints)('fingerprint: $title', ({ key, sku, identity, fingerprint: expected }) => {
    expect(fingerprint(hex(key), sku, hex(identity)).toString('hex')).toBe(expected);
    const message = Buffer.concat([Buffer.from(JSON.stringify(['kamigate.fingerprint', 1, sku])), hex(identity)]);
    expect(createHmac('sha256', hex(key)).update(message).digest('hex').slice(0, 32)).toBe(expected);
    const hmac = forge.hmac.create();
    hmac.start('sha256', hex(key).toString('binary'));
    hmac.update(message.toString('binary'));
    expect(hmac.digest().toHex().slice(0, 32)).toBe(expected);
  });

  test.each(vectors.derived)('derived key: $label', ({ secret, label, key }) => {
    expect(deriveKey(hex(secret), label).toString('hex')).toBe(key);
    expect(Buffer.from(hkdfSync('sha256', hex(secret), 'kamigate.vault', label, 32)).toString('hex')).toBe(key);
  });

  test.each(vectors.texts)('sealed text: $title', ({ master, purpose, context, version, text, sealed }) => {
    const key = deriveKey(hex(master), `text/${purpose}`);
    const bound = Buffer.from(JSON.stringify(['kamigate.text', 1, purpose, context, version]));
    const bytes = Buffer.from(sealed.split('.')[2]!, 'base64url');
    expect(openByForge(key, bound, bytes)!.toString('utf8')).toBe(text);
    expect(openByCrypto(key, bound, bytes)!.toString('utf8')).toBe(text);
  });
});

describe('seal', () => {
  const key = Buffer.alloc(32, 1);
  const binding = { sku: 'A', batch_id: 'bat_1', code_id: 'cod_1', key_version: 1 };

  test('every bit of a sealed code matters, and so does every part of what it is bound to', () => {
    const sealed = seal(key, bindingBytes(binding), Buffer.from('secret'));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Buffer.from(sealed);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => open(key, bindingBytes(binding), flipped)).toThrow(expect.objectContaining({ code: 'unauthentic' }));
    }
    for (const other of [{ sku: 'B' }, { batch_id: 'bat_2' }, { code_id: 'cod_2' }, { key_version: 2 }]) {
      const bound = bindingBytes({ ...binding, ...other });
      expect(() => open(key, bound, sealed)).toThrow(expect.objectContaining({ code: 'unauthentic' }));
    }
    expect(() => open(Buffer.alloc(32, 2), bindingBytes(binding), sealed)).toThrow(
      expect.objectContaining({ code: 'unauthentic' }),
    );
    for (let length = 0; length < sealed.length; length++) {
      expect(() => open(key, bindingBytes(binding), sealed.subarray(0, length))).toThrow();
    }
  });

  test('no nonce repeats in 200,000 seals', () => {
    const seen = new Set<string>();
    const bound = bindingBytes(binding);
    const plain = Buffer.from('x');
    for (let at = 0; at < 200_000; at++) seen.add(seal(key, bound, plain).toString('latin1', 1, 13));
    expect(seen.size).toBe(200_000);
  });

  test('fields cannot run into one another, and an identity leaves the serial out', () => {
    const one = encodeContent({ number: 'AB', pin: 'C', serial: 'S' });
    const other = encodeContent({ number: 'A', pin: 'BC', serial: 'S' });
    expect(one.content.equals(other.content)).toBe(false);
    expect(identityOf(one.content)).toEqual(one.identity);
    expect(one.identity).toEqual(encodeContent({ number: 'AB', pin: 'C' }).content);
  });
});

describe('master keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kamigate-keys-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const refused = (message: RegExp) =>
    expect.objectContaining({ code: 'key_source', message: expect.stringMatching(message) });

  test("a generated file is its owner's alone, is never overwritten, and gains versions", () => {
    const path = join(folder, 'master.key');
    generateKeyFile(path);
    expect(() => generateKeyFile(path)).toThrow(refused(/cannot be created/));
    const first = createKeyring(keyFile(path));
    const wrapped = first.wrap('batch', 'b', Buffer.alloc(32, 9));
    expect(addKeyVersion(path)).toBe(2);
    const keyring = createKeyring(keyFile(path));
    expect(keyring.versions).toEqual([1, 2]);
    expect(keyring.current_version).toBe(2);
    expect(keyring.unwrap('batch', 'b', wrapped)).toEqual(Buffer.alloc(32, 9));
    expect(() => keyring.unwrap('batch', 'other', wrapped)).toThrow(expect.objectContaining({ code: 'unauthentic' }));
    expect(() => keyring.unwrap('fingerprint', 'b', wrapped)).toThrow(expect.objectContaining({ code: 'unauthentic' }));
    keyring.minimum_version = 2;
    expect(() => keyring.unwrap('batch', 'b', wrapped)).toThrow(expect.objectContaining({ code: 'below_minimum' }));
  });

  test('a file that others can read, that is missing, or that holds no usable key is refused', () => {
    const path = join(folder, 'bad.key');
    expect(() => createKeyring(keyFile(join(folder, 'none')))).toThrow(refused(/cannot be read/));
    writeFileSync(path, `1 ${Buffer.alloc(32).toString('base64')}\n`, { mode: 0o644 });
    chmodSync(path, 0o644);
    expect(() => createKeyring(keyFile(path))).toThrow(refused(/can be read by others \(mode 644\)/));
    chmodSync(path, 0o600);
    expect(createKeyring(keyFile(path)).versions).toEqual([1]);
    const key = Buffer.alloc(31, 5).toString('base64');
    for (const [text, why] of [
      ['', /holds no key/],
      [`1 ${key}`, /line 1 is not/],
      ['nonsense', /line 1 is not/],
      [
        `1 ${Buffer.alloc(32).toString('base64')}\n1 ${Buffer.alloc(32).toString('base64')}`,
        /version 1 is there twice/,
      ],
    ] as const) {
      const fault = (() => {
        try {
          createKeyring(keyText('KAMIGATE_MASTER_KEY', text));
        } catch (error) {
          return error as Error;
        }
      })();
      expect(fault).toEqual(refused(why));
      expect(fault!.message).not.toContain(key);
    }
  });

  test('sealed now: nothing derives, wraps or opens, and the bytes are overwritten', () => {
    const keyring = createKeyring(keyText('test', `1 ${Buffer.alloc(32, 3).toString('base64')}`));
    const derived = keyring.derive('wrap/batch', 1);
    keyring.cache('bat_1 1', Buffer.alloc(32, 8));
    const copy = keyring.cached('bat_1 1')!;
    keyring.sealNow();
    expect(derived).toEqual(Buffer.alloc(32));
    expect(copy).toEqual(Buffer.alloc(32, 8));
    expect(keyring.is_sealed).toBe(true);
    expect(keyring.cached('bat_1 1')).toBeUndefined();
    for (const act of [
      () => keyring.current_version,
      () => keyring.derive('x', 1),
      () => sealTextWith(keyring, 'a', 'b', 'c'),
    ]) {
      expect(act).toThrow(expect.objectContaining({ code: 'sealed' }));
    }
    keyring.unseal();
    expect(keyring.versions).toEqual([1]);
  });

  test('batch keys in memory are bounded', () => {
    const keyring = createKeyring(keyText('test', `1 ${Buffer.alloc(32, 3).toString('base64')}`), {
      batch_keys_max: 10,
    });
    for (let at = 0; at < 50; at++) keyring.cache(`bat_${at} 1`, Buffer.alloc(32, at));
    expect(Array.from({ length: 50 }, (_, at) => keyring.cached(`bat_${at} 1`)).filter(Boolean)).toHaveLength(10);
  });

  test('the published vectors name no machine and hold no live key', () => {
    expect(readFileSync(new URL('./vectors.json', import.meta.url), 'utf8')).toMatch(/never use/);
  });
});
