import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SUPPLIERS } from '../../adapters/register.js';
import { type Declaration, readDeclaration } from '../../config/declaration.js';
import { planApply, runApply } from '../../src/catalog/apply.js';
import type { Change, PlanParts } from '../../src/catalog/changes.js';
import { patternFault } from '../../src/catalog/pattern.js';
import type { SourceRow } from '../../src/catalog/skus.js';
import { createAuthenticator, makeKey, makeWebhookSecret, SCOPES, scopesText } from '../../src/storefronts/accounts.js';
import { webhookUrlFault } from '../../src/storefronts/egress.js';
import { moveNotices, WEBHOOK_SECRET_PURPOSE, writeNotices } from '../../src/storefronts/webhooks.js';
import { readAccount } from '../../src/suppliers/accounts.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';
import { makeTestSeal, type TestSeal } from '../kit/seal.js';

const HOOK = `whsec_${Buffer.alloc(24, 5).toString('base64')}`;
const CATALOG = `
accounts:
  sim-a:
    adapter: simulated
    base_url: http://127.0.0.1:9101
    currency: CNY
    credentials: { app_key: { env: KEY }, app_secret: { env: SECRET } }
    limits: { concurrency: 3 }
    exposure_limit: 12.5
  sim-b:
    adapter: simulated
    base_url: http://127.0.0.1:9102
    currency: CNY
    credentials: { app_key: { env: KEY }, app_secret: { env: SECRET } }
skus:
  CARD:
    name: Card
    kind: code
    price: { amount: 10, currency: CNY }
    sources:
      - { account: sim-a, product: "1", cost: 8, priority: 10 }
      - { account: sim-b, product: "1" }
  PHONE:
    name: Phone
    kind: recharge
    price: { amount: 50, currency: CNY }
    recipient_rules: { account: { label: number, example: "138", pattern: '\\d+' } }
    sources: [{ account: sim-b, product: "2", cost: 49 }]
storefronts:
  mall:
    name: Mall
    currency: CNY
    webhook_url: https://mall.example.com/hook
    keys: { main: [orders:write, orders:read], reports: [orders:read] }
`;

let test: TestDatabase;
let seal: TestSeal;
let now: number;
let secrets: Record<string, string>;
let parts: PlanParts;

beforeEach(async () => {
  test = await openTestDatabase();
  seal = makeTestSeal();
  now = 1_000;
  secrets = { KEY: 'key-1', SECRET: 'secret-1', HOOK };
  parts = {
    now: () => now,
    seal,
    storefronts: {
      webhook_secret_purpose: WEBHOOK_SECRET_PURPOSE,
      makeKey,
      makeWebhookSecret,
      scopesText,
      moveNotices,
    },
  };
});
afterEach(() => test.close());

function declared(text: string): Declaration {
  return readDeclaration(text, 'catalog.yaml', {
    adapters: Object.values(SUPPLIERS),
    scopes: SCOPES,
    checkPattern: patternFault,
    checkWebhookUrl: (url) => webhookUrlFault(url, { allow_private: false }),
    readSecret: (source) => secrets['env' in source ? source.env : source.file] ?? 'from a file',
  });
}

const apply = (text = CATALOG) => runApply(test.database, declared(text), parts);

function summary(changes: readonly Change[]): string[] {
  return changes
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, kind, name, fields }) => `${action} ${kind} ${name}: ${fields.map(({ field }) => field).join(' ')}`)
    .sort();
}

/** Takes the lines from the one that contains `from` up to the one that contains `to`. */
function without(text: string, from: string, to: string): string {
  const begin = text.indexOf(from);
  const end = text.indexOf(to, begin);
  if (begin < 0 || end < 0) throw new Error('no such lines');
  return text.slice(0, begin) + text.slice(end);
}

async function rows<R>(table: string, order: string): Promise<R[]> {
  return test.database.read(table).orderBy(order);
}

async function everything(): Promise<string> {
  const tables = ['accounts', 'skus', 'sources', 'storefronts', 'api_keys'];
  return JSON.stringify(await Promise.all(tables.map(async (table) => test.database.read(table).orderBy(1))));
}

/** An order with one open attempt on the first source of the account. */
async function openWork(options: { order_state: string; attempt_state: string; account: string; sku: string }) {
  const { write } = test.database;
  const source = (await write('sources').where({ account: options.account, sku: options.sku }).first()) as SourceRow;
  const ended = ['delivered', 'failed'].includes(options.order_state);
  await write('orders').insert({
    order_id: 'ord_1',
    storefront: 'mall',
    external_id: 'x',
    request: '{}',
    sku: options.sku,
    kind: 'code',
    quantity: 1,
    delivered_quantity: options.order_state === 'delivered' ? 1 : 0,
    state: options.order_state,
    unit_price_e4: 1,
    currency: 'CNY',
    due_at: ended ? null : 5,
    deadline_at: 1,
    created_at: 1,
    updated_at: 1,
  });
  await write('attempts').insert({
    attempt_id: 'att_1',
    order_id: 'ord_1',
    number: 1,
    open_order_id: ended ? null : 'ord_1',
    source: source.source,
    account: options.account,
    product: '1',
    quantity: 1,
    state: options.attempt_state,
    reference: 'r',
    planned_at: 1,
  });
}

describe('applying a catalog to an empty database', () => {
  it('creates everything, and the vault as a source of each code SKU', async () => {
    const { changes } = await apply();
    expect(changes.every(({ action }) => action === 'create')).toBe(true);
    expect(changes.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'account sim-a',
      'account sim-b',
      'account vault',
      'sku CARD',
      'sku PHONE',
      'source CARD ← sim-a/1',
      'source CARD ← sim-b/1',
      'source CARD ← vault/CARD',
      'source PHONE ← sim-b/2',
      'storefront mall',
      'key mall/main',
      'key mall/reports',
    ]);
    const sources = await test.database.read('sources').orderBy(['sku', 'account']);
    expect(sources).toMatchObject([
      { account: 'sim-a', cost_e4: 80_000, currency: 'CNY', seen_at: 1_000, priority: 10, is_enabled: 1, stock: null },
      { account: 'sim-b', cost_e4: null, currency: null, seen_at: null, priority: 100 },
      { account: 'vault', product: 'CARD', cost_e4: null },
      { account: 'sim-b', product: '2', cost_e4: 490_000 },
    ]);
    expect(await test.database.read('skus').where({ sku: 'CARD' }).first()).toMatchObject({
      price_e4: 100_000,
      vault_rank: 'first',
      version: 1,
      quantity_max: 100,
    });
  });

  it('seals the credentials, and they open for the channel', async () => {
    await apply();
    expect(await everything()).not.toMatch(/key-1|secret-1/);
    const supplierFor = (code: string) => SUPPLIERS[code]!;
    const account = await readAccount(test.database.read, { openText: seal.openText, supplierFor }, 'sim-a');
    expect(account.credentials.app_secret?.reveal()).toBe('secret-1');
    expect(account.limits).toEqual({ ...SUPPLIERS.simulated!.limits, concurrency: 3 });
    expect(account.exposure_limit_e4).toBe(125_000);
  });

  it('returns new keys and the webhook secret once; the keys work and are stored as hashes', async () => {
    const { issued } = await apply();
    expect(issued.map(({ storefront, what }) => [storefront, what])).toEqual([
      ['mall', 'webhook secret'],
      ['mall', 'key main'],
      ['mall', 'key reports'],
    ]);
    const [secret, main] = issued.map((entry) => entry.secret.reveal());
    const stored = await everything();
    for (const { secret: shown } of issued) expect(stored).not.toContain(shown.reveal());
    expect(JSON.stringify(issued)).not.toContain(main);
    const row = await test.database.read('storefronts').first();
    expect(seal.openText(WEBHOOK_SECRET_PURPOSE, 'mall', row.webhook_secret_sealed)).toBe(secret);
    const options = { database: test.database, now: () => now, key_cache_ms: 0, key_cache_max: 10 };
    const caller = await createAuthenticator(options).authenticate(`Bearer ${main}`);
    expect([...caller.scopes].sort()).toEqual(['orders:read', 'orders:write']);
  });

  it('applies the example that stands in the repository, and then finds nothing to change', async () => {
    const text = readFileSync('config/catalog.example.yaml', 'utf8');
    expect((await apply(text)).changes.length).toBeGreaterThan(5);
    expect(summary((await apply(text)).changes)).toEqual([]);
  });

  it('accepts a catalog that declares nothing', async () => {
    expect(summary((await apply('skus: {}\n')).changes)).toEqual([
      'create account vault: adapter base_url credentials_sealed options limits currency exposure_limit_e4 float_min_e4 is_enabled',
    ]);
  });
});

describe('applying it again', () => {
  beforeEach(async () => {
    await apply();
    now = 2_000;
  });

  it('changes nothing, not a byte', async () => {
    const before = await everything();
    const { changes, issued } = await apply();
    expect(summary(changes)).toEqual([]);
    expect(issued).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('is the same whether planned or run, and planning writes nothing', async () => {
    const text = CATALOG.replace('amount: 10', 'amount: 11').replace('concurrency: 3', 'concurrency: 4');
    const before = await everything();
    const planned = await planApply(test.database, declared(text), parts);
    expect(await everything()).toBe(before);
    expect((await apply(text)).changes).toEqual(planned);
    expect(planned.filter(({ action }) => action !== 'unchanged')).toEqual([
      {
        kind: 'account',
        name: 'sim-a',
        action: 'update',
        fields: [{ field: 'limits', before: '{"concurrency":3}', after: '{"concurrency":4}' }],
        blocked_by: null,
      },
      {
        kind: 'sku',
        name: 'CARD',
        action: 'update',
        fields: [{ field: 'price_e4', before: 100_000, after: 110_000 }],
        blocked_by: null,
      },
    ]);
    const card = await test.database.read('skus').where({ sku: 'CARD' }).first();
    expect(card).toMatchObject({ version: 2, updated_at: 2_000, created_at: 1_000 });
  });

  it('shows a changed secret as changed, never as text', async () => {
    secrets.SECRET = 'secret-2';
    const { changes } = await apply();
    expect(summary(changes)).toEqual([
      'update account sim-a: credentials.app_secret',
      'update account sim-b: credentials.app_secret',
    ]);
    expect(JSON.stringify(changes)).not.toMatch(/secret-[12]/);
    expect(summary((await apply()).changes)).toEqual([]);
  });

  it('takes a webhook secret that is brought along, once', async () => {
    const text = CATALOG.replace('    keys:', '    webhook_secret: { env: HOOK }\n    keys:');
    const { changes, issued } = await apply(text);
    expect(summary(changes)).toEqual(['update storefront mall: webhook_secret']);
    expect(issued).toEqual([]);
    expect(JSON.stringify(changes)).not.toContain(HOOK);
    expect(summary((await apply(text)).changes)).toEqual([]);
  });

  it('switches off what is no longer named, keeps the row, and switches it on again', async () => {
    const text = without(CATALOG, '  PHONE:', 'storefronts:');
    expect(summary((await apply(text)).changes)).toEqual([
      'disable sku PHONE: is_enabled',
      'disable source PHONE ← sim-b/2: is_enabled',
    ]);
    expect(summary((await apply(text)).changes)).toEqual([]);
    const off = await test.database.read('sources').where({ sku: 'PHONE' }).first();
    expect(off).toMatchObject({ is_enabled: 0, disabled_reason: 'not_declared' });
    expect(summary((await apply()).changes)).toEqual([
      'update sku PHONE: is_enabled',
      'update source PHONE ← sim-b/2: is_enabled disabled_reason',
    ]);
  });

  it('leaves off what the engine or a person switched off, and a pause in place', async () => {
    const { write } = test.database;
    await write('sources').where({ sku: 'PHONE' }).update({ is_enabled: 0, disabled_reason: 'sku_unknown' });
    await write('accounts').where({ account: 'sim-a' }).update({ paused_at: 5, paused_reason: 'float_low' });
    expect(summary((await apply()).changes)).toEqual([]);
    expect(await write('sources').where({ sku: 'PHONE' }).first()).toMatchObject({ is_enabled: 0 });
    expect(await write('accounts').where({ account: 'sim-a' }).first()).toMatchObject({ paused_at: 5 });
  });

  it('keeps a cost that was read from the supplier where the file names none', async () => {
    await test.database
      .write('sources')
      .where({ account: 'sim-b', sku: 'CARD' })
      .update({ cost_e4: 1, currency: 'CNY', stock: 7 });
    expect(summary((await apply()).changes)).toEqual([]);
  });

  it('changes what a key may do, ends a key, and gives a new one under an old name', async () => {
    const scopes = CATALOG.replace('reports: [orders:read]', 'reports: [catalog:read]');
    expect(summary((await apply(scopes)).changes)).toEqual(['update key mall/reports: scopes']);
    const fewer = CATALOG.replace(', reports: [orders:read]', '');
    expect(summary((await apply(fewer)).changes)).toEqual(['disable key mall/reports: disabled_at']);
    const old_hash = (await test.database.read('api_keys').whereNotNull('disabled_at').first()).key_hash;
    const { issued } = await apply();
    expect(issued.map(({ what }) => what)).toEqual(['key reports']);
    const keys = await rows<{ key_hash: string; disabled_at: number | null }>('api_keys', 'api_key_id');
    expect(keys.filter((key) => key.disabled_at === null)).toHaveLength(2);
    expect(keys.map((key) => key.key_hash)).not.toContain(old_hash);
  });

  it('leaves keys alone that were not declared', async () => {
    await test.database.write('api_keys').insert({
      api_key_id: 'key_01J0000000000000000000000',
      storefront: 'mall',
      key_hash: 'x',
      hint: 'x',
      scopes: 'admin',
      created_at: 1,
    });
    expect(summary((await apply()).changes)).toEqual([]);
  });

  it('sends waiting notices after a webhook that moved, and drops them with one that is gone', async () => {
    const url = 'https://mall.example.com/hook';
    const data = {
      order_id: 'ord_1',
      external_id: 'x',
      status: 'failed',
      final: true,
      refund_advice: 'none',
      reason: null,
      version: 1,
    };
    const payload = { type: 'order.failed', timestamp: '2026-01-01T00:00:00Z', data };
    const notice = { storefront: 'mall', order_id: 'ord_1', type: 'order.failed', created_at: 1, payload };
    await test.database.write.transaction((trx) =>
      writeNotices(trx, [
        { ...notice, url },
        { ...notice, url: 'https://elsewhere.example.com/' },
      ]),
    );
    await apply(CATALOG.replace(url, 'https://new.example.com/hook'));
    const urls = async () => (await rows<{ url: string }>('notices', 'url')).map((row) => row.url);
    expect(await urls()).toEqual(['https://elsewhere.example.com/', 'https://new.example.com/hook']);
    await apply(without(CATALOG, '    webhook_url', '    keys'));
    const given_up = await test.database.read('notices').whereNotNull('given_up_at');
    expect(given_up).toMatchObject([{ url: 'https://new.example.com/hook', due_at: null }]);
  });
});

describe('what open work still needs', () => {
  beforeEach(async () => {
    await apply();
  });

  const NO_SIM_A = without(
    without(CATALOG, '  sim-a:', '  sim-b:'),
    '      - { account: sim-a',
    '      - { account: sim-b',
  );

  it('is never switched off: account, source, SKU and storefront are refused, with how many, and nothing changes', async () => {
    await openWork({ order_state: 'sourcing', attempt_state: 'sent', account: 'sim-a', sku: 'CARD' });
    const before = await everything();
    const error = await apply('accounts: {}\n').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'conflict' });
    expect((error as { errors: { message: string }[] }).errors.map(({ message }) => message)).toEqual([
      'cannot disable account sim-a: 0 orders and 1 attempt are open',
      'cannot disable sku CARD: 1 order and 1 attempt are open',
      'cannot disable source CARD ← sim-a/1: 0 orders and 1 attempt are open',
      'cannot disable storefront mall: 1 order and 0 attempts are open',
    ]);
    expect(await everything()).toBe(before);
    const planned = await planApply(test.database, declared('accounts: {}\n'), parts);
    expect(
      planned.filter((change) => change.blocked_by).map(({ name, blocked_by }) => [name, blocked_by]),
    ).toContainEqual(['CARD', { orders: 1, attempts: 1 }]);
  });

  it('includes a detached attempt of an order that is done', async () => {
    await openWork({ order_state: 'delivered', attempt_state: 'unknown', account: 'sim-a', sku: 'CARD' });
    await expect(apply(NO_SIM_A)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('includes a held order without an open attempt', async () => {
    await openWork({ order_state: 'held', attempt_state: 'refused', account: 'sim-a', sku: 'CARD' });
    await test.database.write('attempts').update({ open_order_id: null });
    await expect(
      apply(without(CATALOG, 'storefronts:', '  mall:').replace('  mall:', 'storefronts:\n  other:')),
    ).rejects.toMatchObject({
      message: expect.stringContaining('storefront mall: 1 order and 0 attempts'),
    });
  });

  it('does not include what has come to its end', async () => {
    await openWork({ order_state: 'delivered', attempt_state: 'delivered', account: 'sim-a', sku: 'CARD' });
    expect(summary((await apply(NO_SIM_A)).changes)).toEqual([
      'disable account sim-a: is_enabled',
      'disable source CARD ← sim-a/1: is_enabled',
    ]);
  });

  it('is never moved elsewhere: a purchase is looked up where it was made', async () => {
    await openWork({ order_state: 'sourcing', attempt_state: 'unknown', account: 'sim-a', sku: 'CARD' });
    const moved = CATALOG.replace('127.0.0.1:9101', '127.0.0.1:9999');
    await expect(apply(moved)).rejects.toMatchObject({
      message: expect.stringContaining('change base_url of account sim-a'),
    });
    // Anything else about the account may change meanwhile.
    expect(summary((await apply(CATALOG.replace('concurrency: 3', 'concurrency: 9'))).changes)).toEqual([
      'update account sim-a: limits',
    ]);
  });
});

describe('two at once', () => {
  it('both succeed, and the second finds nothing left to do', async () => {
    const results = await Promise.all([apply(), apply()]);
    const created = results.map(({ changes }) => summary(changes).length).sort((a, b) => a - b);
    expect(created).toEqual([0, 12]);
    expect(await rows('sources', 'source')).toHaveLength(4);
  });
});
