import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Limits, PESSIMISTIC, type Supplier } from '../../adapters/kit/contract.js';
import { atomic } from '../../src/db/atomic.js';
import {
  CREDENTIALS_PURPOSE,
  credentialsText,
  listAccounts,
  pauseAccount,
  readAccount,
  readAccounts,
  resumeAccount,
} from '../../src/suppliers/accounts.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';
import { makeTestSeal, type TestSeal } from '../kit/seal.js';

const LIMITS: Limits = { requests: 5, per_ms: 1000, concurrency: 4, deadline_ms: 9_000 };
const SUPPLIER: Supplier = {
  code: 'test',
  name: 'Test',
  region: 'global',
  delivers: ['code'],
  base_urls: { live: null, sandbox: null },
  credentials: { key: 'a key' },
  limits: LIMITS,
  money: { currency: null, unit: 'main' },
  promises: PESSIMISTIC,
  statuses: {},
  refusals: {},
  place: async () => ({ outcome: 'accepted' }),
};

let test: TestDatabase;
let seal: TestSeal;
beforeAll(async () => {
  test = await openTestDatabase();
  seal = makeTestSeal();
});
afterAll(() => test.close());
beforeEach(async () => {
  const { write } = test.database;
  await write('accounts').del();
  const row = (account: string, credentials: string) => ({
    account,
    adapter: account === 'vault' ? 'vault' : 'test',
    base_url: 'https://shop.example.com',
    credentials_sealed: credentials,
    options: '{"signature":"v2"}',
    limits: '{"concurrency":2}',
    currency: 'CNY',
    exposure_limit_e4: 5_000_000_000_000,
    created_at: 1,
    updated_at: 1,
  });
  const sealed = seal.sealText(CREDENTIALS_PURPOSE, 'b', credentialsText({ key: { reveal: () => 'hunter2' } }));
  const none = seal.sealText(CREDENTIALS_PURPOSE, 'a', '{}');
  await write('accounts').insert([row('b', sealed), row('a', none), row('vault', '')]);
});

const parts = () => ({ openText: seal.openText, supplierFor: () => SUPPLIER });
const write = <T>(fn: Parameters<typeof atomic<T>>[2]): Promise<T> => atomic(test.database, 'test', fn);

describe('accounts', () => {
  it('are opened with credentials, options, and limits over those of the adapter', async () => {
    const account = await readAccount(test.database.read, parts(), 'b');
    expect(account.credentials.key?.reveal()).toBe('hunter2');
    expect(account).toMatchObject({
      account: 'b',
      adapter: 'test',
      options: { signature: 'v2' },
      limits: { ...LIMITS, concurrency: 2 },
      exposure_limit_e4: 5_000_000_000_000,
      is_enabled: true,
      paused_at: null,
    });
    expect(JSON.stringify(account)).not.toContain('hunter2');
  });

  it('are listed without anything sealed', async () => {
    const accounts = await listAccounts(test.database.read);
    expect(accounts.map(({ account }) => account)).toEqual(['a', 'b', 'vault']);
    expect(JSON.stringify(accounts)).not.toMatch(/sealed|hunter2/);
    const opened = await readAccounts(test.database.read, parts());
    expect(opened.map(({ account }) => account)).toEqual(['a', 'b']);
  });

  it('do not open with the credentials of another', async () => {
    const { credentials_sealed } = await test.database.read('accounts').where({ account: 'b' }).first();
    await test.database.write('accounts').where({ account: 'a' }).update({ credentials_sealed });
    await expect(readAccount(test.database.read, parts(), 'a')).rejects.toMatchObject({ code: 'unauthentic' });
  });

  it('must exist', async () => {
    await expect(readAccount(test.database.read, parts(), 'absent')).rejects.toMatchObject({ code: 'not_found' });
    await expect(write((trx) => pauseAccount(trx, 'absent', 'x', 1))).rejects.toMatchObject({ code: 'not_found' });
    await expect(write((trx) => resumeAccount(trx, 'absent', 1))).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('pausing', () => {
  it('keeps the first reason and time, and is undone once', async () => {
    expect(await write((trx) => pauseAccount(trx, 'b', 'float_low', 10))).toBe(true);
    expect(await write((trx) => pauseAccount(trx, 'b', 'credentials', 11))).toBe(false);
    const paused = await readAccount(test.database.read, parts(), 'b');
    expect(paused).toMatchObject({ paused_at: 10, paused_reason: 'float_low', updated_at: 10 });
    expect(await write((trx) => resumeAccount(trx, 'b', 12))).toBe(true);
    expect(await write((trx) => resumeAccount(trx, 'b', 13))).toBe(false);
    const resumed = await readAccount(test.database.read, parts(), 'b');
    expect(resumed).toMatchObject({ paused_at: null, paused_reason: null, updated_at: 12 });
  });

  it('cuts a reason that is too long rather than failing', async () => {
    await write((trx) => pauseAccount(trx, 'b', '余'.repeat(500), 10));
    expect((await readAccount(test.database.read, parts(), 'b')).paused_reason).toBe('余'.repeat(200));
  });
});

describe('credentialsText', () => {
  it('is the same for the same credentials in any order', () => {
    const text = (value: string) => ({ reveal: () => value });
    expect(credentialsText({ b: text('2'), a: text('1') })).toBe(credentialsText({ a: text('1'), b: text('2') }));
    expect(credentialsText({ a: text('1') })).not.toBe(credentialsText({ a: text('2') }));
  });
});
