import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import {
  type Authenticator,
  createAuthenticator,
  createStorefront,
  disableKey,
  issueKey,
  listKeys,
  makeKey,
  makeWebhookSecret,
  requireScope,
  type Scope,
} from '../../src/storefronts/accounts.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';

let test: TestDatabase;
let now = 0;
let storefront: string;
let count = 0;

beforeAll(async () => {
  test = await openTestDatabase();
});
afterAll(() => test.close());
beforeEach(async () => {
  storefront = `mall-${++count}`;
  await write((trx) => createStorefront(trx, { storefront, name: 'Mall', currency: 'CNY', now: 1 }));
});

const write = <T>(fn: Parameters<typeof atomic<T>>[2]): Promise<T> => atomic(test.database, 'test', fn);

function authenticator(key_cache_ms: number, key_cache_max = 100): Authenticator {
  return createAuthenticator({ database: test.database, now: () => now, key_cache_ms, key_cache_max });
}

async function newKey(scopes: Scope[] = ['orders:read']): Promise<{ api_key_id: string; bearer: string }> {
  const { api_key_id, key } = await write((trx) => issueKey(trx, { storefront, scopes, now: 5 }));
  return { api_key_id, bearer: `Bearer ${key.reveal()}` };
}

const UNAUTHORIZED = { code: 'unauthorized', status: 401 };

describe('API keys', () => {
  it('are 192 random bits with a prefix that scanners know', () => {
    const keys = Array.from({ length: 200 }, makeKey);
    expect(new Set(keys.map(({ key }) => key.reveal())).size).toBe(200);
    for (const { key, key_hash, hint } of keys) {
      expect(key.reveal()).toMatch(/^sk_live_[A-Za-z0-9_-]{32}$/);
      expect(key_hash).toMatch(/^[0-9a-f]{64}$/);
      expect(key.reveal().endsWith(hint)).toBe(true);
      expect(JSON.stringify(key)).toBe('"[sealed]"');
    }
    const secret = makeWebhookSecret().reveal();
    expect(Buffer.from(secret.replace('whsec_', ''), 'base64')).toHaveLength(32);
  });

  it('are stored as a hash only', async () => {
    const { bearer } = await newKey();
    const rows = JSON.stringify(await test.database.read('api_keys').where({ storefront }));
    expect(rows).not.toContain(bearer.slice('Bearer '.length));
    expect(JSON.stringify(await listKeys(test.database.read, storefront))).not.toContain('key_hash');
  });

  it('tell who calls and what the caller may do', async () => {
    const { api_key_id, bearer } = await newKey(['orders:write', 'orders:read', 'orders:read']);
    const caller = await authenticator(0).authenticate(bearer);
    expect(caller).toEqual({
      storefront,
      currency: 'CNY',
      api_key_id,
      scopes: new Set(['orders:read', 'orders:write']),
    });
    expect(() => requireScope(caller, 'orders:read')).not.toThrow();
    expect(() => requireScope(caller, 'codes:read')).toThrow(
      expect.objectContaining({ code: 'scope_missing', status: 403 }),
    );
  });

  it('may everything with admin', async () => {
    const caller = await authenticator(0).authenticate((await newKey(['admin'])).bearer);
    for (const scope of ['orders:write', 'codes:read', 'admin'] as const) requireScope(caller, scope);
  });

  it('are refused in one wording, whatever is wrong', async () => {
    const { bearer } = await newKey();
    const last = bearer.at(-1) === 'A' ? 'B' : 'A';
    const wrong = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      bearer.slice('Bearer '.length),
      `Basic ${bearer.slice('Bearer '.length)}`,
      bearer.slice(0, -1),
      bearer.slice(0, -1) + last,
      bearer.replace('sk_live_', 'sk_test_'),
      `${bearer} x`,
      `Bearer ${'x'.repeat(100_000)}`,
    ];
    const messages = new Set<string>();
    for (const header of wrong) {
      const error: unknown = await authenticator(1_000)
        .authenticate(header)
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject(UNAUTHORIZED);
      messages.add((error as Error).message);
    }
    expect(messages.size).toBe(1);
  });

  it('stop working when they are disabled or their storefront is', async () => {
    const first = await newKey();
    expect(await write((trx) => disableKey(trx, { api_key_id: first.api_key_id, now: 9 }))).toBe(true);
    expect(await write((trx) => disableKey(trx, { api_key_id: first.api_key_id, now: 10 }))).toBe(false);
    await expect(authenticator(0).authenticate(first.bearer)).rejects.toMatchObject(UNAUTHORIZED);
    expect((await listKeys(test.database.read, storefront))[0]?.disabled_at).toBe(9);
    const second = await newKey();
    await write((trx) => trx('storefronts').where({ storefront }).update({ is_enabled: 0 }));
    await expect(authenticator(0).authenticate(second.bearer)).rejects.toMatchObject(UNAUTHORIZED);
  });

  it('are believed for key_cache_ms and no longer', async () => {
    const { api_key_id, bearer } = await newKey();
    const auth = authenticator(1_000);
    now = 0;
    await auth.authenticate(bearer);
    await write((trx) => disableKey(trx, { api_key_id, now: 1 }));
    now = 999;
    await expect(auth.authenticate(bearer)).resolves.toMatchObject({ api_key_id });
    now = 1_000;
    await expect(auth.authenticate(bearer)).rejects.toMatchObject(UNAUTHORIZED);
    // What was found wrong is asked again each time, and a key that was forgotten too.
    await write((trx) => trx('api_keys').where({ api_key_id }).update({ disabled_at: null }));
    await expect(auth.authenticate(bearer)).resolves.toMatchObject({ api_key_id });
    await write((trx) => disableKey(trx, { api_key_id, now: 1 }));
    auth.forget();
    await expect(auth.authenticate(bearer)).rejects.toMatchObject(UNAUTHORIZED);
  });

  it('are remembered up to a bound', async () => {
    const [first, second] = [await newKey(), await newKey()];
    const auth = authenticator(1_000_000, 1);
    await auth.authenticate(first.bearer);
    await auth.authenticate(second.bearer);
    await write((trx) => trx('api_keys').where({ storefront }).update({ disabled_at: 1 }));
    await expect(auth.authenticate(second.bearer)).resolves.toMatchObject({ api_key_id: second.api_key_id });
    await expect(auth.authenticate(first.bearer)).rejects.toMatchObject(UNAUTHORIZED);
  });
});

describe('storefronts', () => {
  it('are created once', async () => {
    const again = write((trx) => createStorefront(trx, { storefront, name: 'x', currency: 'CNY', now: 2 }));
    await expect(again).rejects.toMatchObject({ code: 'conflict', field: 'storefront' });
  });

  it('must exist for a key to be made, and a key must exist to be ended', async () => {
    const key = write((trx) => issueKey(trx, { storefront: 'absent', scopes: [], now: 1 }));
    await expect(key).rejects.toMatchObject({ code: 'not_found', field: 'storefront' });
    const end = write((trx) => disableKey(trx, { api_key_id: 'absent', now: 1 }));
    await expect(end).rejects.toMatchObject({ code: 'not_found', field: 'api_key_id' });
  });
});
