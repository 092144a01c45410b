// Keys change while the shop is open: every step leaves everything readable, and nothing old stays.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import forge from 'node-forge';
import { SEALED_COLUMNS } from '../../src/sealed-columns.js';
import { createKeyring, type Keyring } from '../../vault/keyring.js';
import { pkcs12Files } from '../../vault/pkcs12.js';
import { VAULT_SEALED_COLUMNS } from '../../vault/rotate.js';
import { type RotationRun, runFingerprints, runRotation } from '../../vault/rotation.js';
import { addKeyVersion, generateKeyFile, keyFile } from '../../vault/sources.js';
import { createVault, type Vault } from '../../vault/vault.js';
import { depositOf, numbered, openVaultWorld, renewVaultWorld, type VaultWorld } from './world.js';

const sku = 'VIDEO-MONTH';
const act = { by: 'operator:lin', reason: 'yearly' };
const folder = mkdtempSync(join(tmpdir(), 'kamigate-rotation-'));
let serial = 0;
let path: string;
let first: VaultWorld;
let world: VaultWorld;
let keyring: Keyring;
let vault: Vault;

beforeEach(async () => {
  path = join(folder, `key-${++serial}`);
  generateKeyFile(path);
  keyring = createKeyring(keyFile(path));
  world = await renewVaultWorld(first, { keyring });
  vault = world.vault;
});
beforeAll(async () => {
  first = await openVaultWorld();
});
afterAll(async () => {
  await first.close();
  rmSync(folder, { recursive: true, force: true });
});

const deposit = (count: number, prefix: string) =>
  world.tx((trx) => vault.deposit(trx, depositOf(numbered(count, prefix))));
const issue = (order_id: string, quantity: number, by = vault) =>
  world.tx(async (trx) => (await by.issue(trx, [{ order_id, sku, first_unit: 1, quantity }]))[0]!);
const texts = async (order_id: string, by = vault) =>
  (await world.tx((trx) => by.reveal(trx, { order_id, by: 'storefront:shop', reason: 'x' }))).map((code) =>
    code.number!.reveal(),
  );
const run = (more: Partial<RotationRun> = {}): RotationRun => ({
  vault,
  tx: world.tx,
  knex: world.database.read,
  columns: VAULT_SEALED_COLUMNS,
  is_deep: true,
  pause: async (ms) => {
    world.clock.now += ms;
  },
  ...more,
});
const anotherProcess = () => {
  const { dialect, can_skip_locked } = world.database;
  return createVault({ keyring: createKeyring(keyFile(path)), now: () => world.clock.now, dialect, can_skip_locked });
};

describe('master key', () => {
  test('a new version rewraps every key and touches no code; other processes follow by themselves', async () => {
    await deposit(10, 'A');
    await issue('ord_1', 2);
    const other = anotherProcess();
    await issue('ord_2', 1, other);
    const before = await world.database.read('codes').orderBy('code_id').select('sealed', 'key_version');
    addKeyVersion(path);
    expect(await world.tx((trx) => vault.rotation.adopt(trx, act))).toBe(2);
    expect((await vault.rotation.status(world.database.read)).keys_to_rewrap).toBe(2);
    const result = await runRotation(run({ is_deep: false }));
    expect(result).toEqual({ keys_rewrapped: 2, texts_resealed: 0, codes_resealed: 0 });
    expect(await world.database.read('codes').orderBy('code_id').select('sealed', 'key_version')).toEqual(before);
    expect(await vault.rotation.status(world.database.read)).toMatchObject({
      versions: [1, 2],
      current_version: 2,
      keys_to_rewrap: 0,
    });
    expect(await texts('ord_1', other)).toHaveLength(2);
    expect(await texts('ord_2')).toHaveLength(1);
    world.clock.now += 1000;
    await world.tx((trx) => other.deposit(trx, depositOf(numbered(1, 'Z'))));
    expect((await world.database.read('batch_keys').select('master_version')).map((row) => row.master_version)).toEqual(
      [2, 2],
    );
  });

  test('deep: every code under a new batch key, resumed where it was stopped, issuing all the while', async () => {
    await deposit(600, 'A');
    await deposit(3, 'B');
    await issue('ord_1', 5);
    const old = await world.database.read('codes').where({ state: 'available' }).orderBy('code_id').first();
    const old_key = await world.database.read('batch_keys').where({ batch_id: old.batch_id }).first();
    addKeyVersion(path);
    await world.tx((trx) => vault.rotation.adopt(trx, act));
    let steps = 0;
    const stop = runRotation(
      run({
        tx: (fn) => {
          if (++steps > 2) throw new Error('killed');
          return world.tx(fn);
        },
      }),
    );
    await expect(stop).rejects.toThrow('killed');
    expect(await vault.rotation.status(world.database.read)).toMatchObject({ codes_total: 603, codes_to_reseal: 103 });
    await issue('ord_2', 5);
    const lines: number[] = [];
    const result = await runRotation(
      run({ vault: anotherProcess(), on_progress: (phase, done) => phase === 'deep' && lines.push(done) }),
    );
    expect(result.codes_resealed).toBe(103);
    expect(lines.at(-1)).toBe(103);
    expect(await vault.rotation.status(world.database.read)).toMatchObject({ codes_to_reseal: 0, keys_to_rewrap: 0 });
    expect((await world.database.read('batch_keys').select('key_version')).map((row) => row.key_version)).toEqual([
      2, 2,
    ]);
    expect(await texts('ord_1')).toEqual(numbered(5, 'A').map((code) => code.number));
    expect(await texts('ord_2')).toHaveLength(5);
    expect((await vault.verify(world.database.read, { open_codes: true })).ok).toBe(true);

    // Old rows that someone puts back are refused once the minimum is raised, and until then only with their old key.
    await world.tx((trx) => vault.rotation.raiseMinimum(trx, 2, VAULT_SEALED_COLUMNS, act));
    await world.tx(async (trx) => {
      await trx('batch_keys').insert({ ...old_key, wrapped: Buffer.from(old_key.wrapped) });
      await trx('codes')
        .where({ code_id: old.code_id })
        .update({ sealed: Buffer.from(old.sealed), key_version: 1 });
    });
    const fresh = anotherProcess();
    const faults = (await fresh.verify(world.database.read, { open_codes: true })).checks.at(-1)!.faults;
    expect(faults).toEqual([`${old.code_id} (issued) does not open`]);
    expect(() => fresh.openText('webhook_secret', 'x', '1.1.AAAA')).toThrow(
      expect.objectContaining({ code: 'below_minimum' }),
    );
  });

  test('the minimum is not raised while anything needs an older version', async () => {
    await deposit(2, 'A');
    const sealed = vault.sealText('claim', 'clm_1', 'text');
    await world.tx((trx) =>
      trx('claims').insert({
        claim_id: 'clm_1',
        batch_id: 'bat_1',
        codes_count: 1,
        content_sealed: sealed,
        prepared_at: 1,
      }),
    );
    addKeyVersion(path);
    await world.tx((trx) => vault.rotation.adopt(trx, act));
    const raise = (version: number) =>
      world.tx((trx) => vault.rotation.raiseMinimum(trx, version, VAULT_SEALED_COLUMNS, act));
    await expect(raise(2)).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(/batch keys/) });
    while (!(await world.tx((trx) => vault.rotation.rewrapStep(trx))).is_done);
    await expect(raise(2)).rejects.toMatchObject({ message: expect.stringMatching(/claims.content_sealed/) });
    await expect(raise(3)).rejects.toMatchObject({ code: 'conflict' });
    expect((await runRotation(run({ is_deep: false }))).texts_resealed).toBe(1);
    await raise(2);
    const { content_sealed } = await world.database.read('claims').first();
    expect(vault.openText('claim', 'clm_1', content_sealed)).toBe('text');
    expect(content_sealed).toMatch(/^1\.2\./);
  });

  test('the cap of a batch key stops the new key, not the codes', async () => {
    await deposit(5, 'A');
    addKeyVersion(path);
    await world.tx((trx) => vault.rotation.adopt(trx, act));
    const { batch_id } = await world.database.read('batches').first();
    await world.tx((trx) => vault.rotation.deepStep(trx));
    await world.tx((trx) =>
      trx('batch_keys')
        .where({ batch_id })
        .update({ seals_count: 2 ** 20 }),
    );
    await world.tx((trx) => trx('codes').where({ batch_id }).limit(1).update({ key_version: 1 }));
    await expect(world.tx((trx) => vault.rotation.deepStep(trx))).rejects.toMatchObject({ code: 'batch_full' });
    await expect(
      world.tx((trx) =>
        trx('batch_keys')
          .where({ batch_id })
          .update({ seals_count: 2 ** 20 + 1 }),
      ),
    ).rejects.toThrow(/CHECK|CONSTRAINT/i);
  });
});

describe('fingerprint key', () => {
  test('is replaced without a gap: a double is noticed at every step, from either side', async () => {
    await deposit(300, 'A');
    await expect(world.tx((trx) => anotherProcess().rotation.fingerprintStep(trx))).resolves.toEqual({
      changed: 0,
      is_done: true,
    });
    const stale = anotherProcess();
    await issue('ord_0', 1, stale);
    await world.tx((trx) => vault.rotation.beginFingerprintKey(trx, act));
    await expect(world.tx((trx) => vault.rotation.beginFingerprintKey(trx, act))).rejects.toMatchObject({
      code: 'conflict',
    });
    // A process that has not heard of it yet writes only the old one; the filling finds it.
    await world.tx((trx) => stale.deposit(trx, depositOf(numbered(1, 'STALE'))));
    let steps = 0;
    for (let is_done = false; !is_done; steps++) {
      const step = await world.tx((trx) => vault.rotation.fingerprintStep(trx));
      is_done = step.is_done;
      for (const by of [vault, stale]) {
        const again = await world.tx((trx) =>
          by.deposit(trx, depositOf([...numbered(1, 'A'), ...numbered(1, 'STALE'), { number: `NEW-${steps}` }])),
        );
        expect(again.codes.slice(0, 2).every((code) => 'duplicate_of' in code)).toBe(true);
      }
      world.clock.now += 400;
      expect(steps).toBeLessThan(60);
    }
    const rows = await world.database.read('codes').select('fingerprint_a', 'fingerprint_b');
    expect(rows.length).toBe(301 + steps);
    expect(rows.every((row) => row.fingerprint_a === null && row.fingerprint_b !== null)).toBe(true);
    const [old, current] = await world.database.read('vault_keys').where({ purpose: 'fingerprint' }).orderBy('version');
    expect([old.state, Buffer.from(old.wrapped).length, current.state, current.slot]).toEqual([
      'retired',
      0,
      'current',
      'b',
    ]);
    await world.tx((trx) => vault.rotation.beginFingerprintKey(trx, act));
    expect(await runFingerprints(run(), rows.length)).toBe(rows.length * 2);
    expect((await world.database.read('codes').whereNotNull('fingerprint_b')).length).toBe(0);
  });
});

describe('a master key in PKCS#12', () => {
  const file = (algorithm: 'aes256' | '3des', passphrase: string): string => {
    const asn1 = forge.pkcs12.toPkcs12Asn1(pair.privateKey, null as never, passphrase, { algorithm });
    const target = join(folder, `${algorithm}-${++serial}.p12`);
    writeFileSync(target, Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'binary'), { mode: 0o600 });
    return target;
  };
  const pair = forge.pki.rsa.generateKeyPair({ bits: 1024 });

  test('gives the same key from every file of that private key, and opens what it sealed', () => {
    const source = pkcs12Files([{ version: 1, path: file('3des', 'geheim'), passphrase: 'geheim' }]);
    const other = pkcs12Files([{ version: 1, path: file('aes256', '密码'), passphrase: '密码' }]);
    expect(source.load().get(1)).toEqual(other.load().get(1));
    const one = createKeyring(source);
    expect(createKeyring(other).unwrap('batch', 'b', one.wrap('batch', 'b', Buffer.alloc(32, 4)))).toEqual(
      Buffer.alloc(32, 4),
    );
  });

  test('a wrong pass phrase, a file without a key, or one that others read is refused without a detail', () => {
    const target = file('aes256', 'geheim');
    const refused = (why: RegExp) =>
      expect.objectContaining({ code: 'key_source', message: expect.stringMatching(why) });
    expect(() => pkcs12Files([{ version: 1, path: target, passphrase: 'falsch' }]).load()).toThrow(
      refused(/pass phrase is wrong/),
    );
    expect(() => pkcs12Files([{ version: 1, path: join(folder, 'none'), passphrase: '' }]).load()).toThrow(
      refused(/cannot be read/),
    );
    expect(() => pkcs12Files([]).load()).toThrow(refused(/no file/));
    writeFileSync(`${target}-open`, 'x', { mode: 0o644 });
    expect(() => pkcs12Files([{ version: 1, path: `${target}-open`, passphrase: '' }]).load()).toThrow(
      refused(/read by others/),
    );
  });
});

test('every column that holds ciphertext is covered by a rotation; a new one fails here until it is', async () => {
  const { read, dialect } = world.database;
  const tables: string[] =
    dialect === 'mysql'
      ? (
          await read('information_schema.tables')
            .where({ table_schema: read.client.config.connection.database })
            .select({ name: 'table_name' })
        ).map((row) => row.name)
      : (await read('sqlite_master').where({ type: 'table' }).select('name')).map((row) => row.name);
  const found: string[] = [];
  for (const table of tables) {
    for (const column of Object.keys(await read(table).columnInfo()))
      if (/sealed$|wrapped/.test(column)) found.push(`${table}.${column}`);
  }
  const texts = [...VAULT_SEALED_COLUMNS, ...SEALED_COLUMNS].map(({ table, column }) => `${table}.${column}`);
  // The codes by a deep rotation, the keys by rewrapping.
  const others = ['codes.sealed', 'batch_keys.wrapped', 'vault_keys.wrapped'];
  expect(found.sort()).toEqual([...texts, ...others].sort());
});
