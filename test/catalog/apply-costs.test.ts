// What the catalog file says of costs and rates: where it holds, where the supplier's own list has moved on since, and
// what it does not take away.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SUPPLIERS } from '../../adapters/register.js';
import { type Declaration, readDeclaration } from '../../config/declaration.js';
import { runApply } from '../../src/catalog/apply.js';
import type { PlanParts } from '../../src/catalog/changes.js';
import { listChanges } from '../../src/catalog/cost-changes.js';
import { readRates } from '../../src/catalog/currencies.js';
import type { SourceRow } from '../../src/catalog/skus.js';
import { makeKey, makeWebhookSecret, scopesText } from '../../src/storefronts/accounts.js';
import { moveNotices, WEBHOOK_SECRET_PURPOSE } from '../../src/storefronts/webhooks.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';
import { makeTestSeal } from '../kit/seal.js';

const DAY = 86_400_000;
let opened: TestDatabase;
let parts: PlanParts;
let now: number;

beforeEach(async () => {
  opened = await openTestDatabase();
  now = Date.UTC(2026, 0, 2);
  parts = {
    now: () => now,
    seal: makeTestSeal(),
    storefronts: {
      webhook_secret_purpose: WEBHOOK_SECRET_PURPOSE,
      makeKey,
      makeWebhookSecret,
      scopesText,
      moveNotices,
    },
  };
});
afterEach(() => opened.close());

function declared(text: string): Declaration {
  return readDeclaration(text, 'catalog.yaml', {
    adapters: Object.values(SUPPLIERS),
    scopes: [],
    checkPattern: () => null,
    checkWebhookUrl: () => null,
    readSecret: () => 'secret',
  });
}

const catalog = (cost: string, more = '') => `
accounts:
  sim:
    adapter: simulated
    base_url: http://127.0.0.1:9101
    currency: CNY
    credentials: { app_key: { env: K }, app_secret: { env: S } }
    float_min: 100
skus:
  CARD:
    name: Card
    kind: code
    price: { amount: 10, currency: CNY }
    category: video
    brand: Tencent
    face_value: { amount: 15, currency: CNY }
    stale_after_ms: 600000
    sources: [{ account: sim, product: "1"${cost} }]
${more}`;

async function apply(text: string): Promise<string[]> {
  now += 1_000;
  const { changes } = await runApply(opened.database, declared(text), parts);
  return changes
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, kind, name }) => `${action} ${kind} ${name}`);
}

const source = async (): Promise<SourceRow> =>
  (await opened.database.read('sources').where({ account: 'sim' }).first()) as SourceRow;
const moved = (cells: Partial<SourceRow>) => opened.database.write('sources').where({ account: 'sim' }).update(cells);

describe('a cost that the file names', () => {
  test('holds when it is new, and is kept in the history', async () => {
    await apply(catalog(', cost: 8'));
    expect(await source()).toMatchObject({ cost_e4: 80_000, declared_cost_e4: 80_000, cost_state: 'settled' });
    await apply(catalog(', cost: 8.5'));
    expect(await source()).toMatchObject({ cost_e4: 85_000 });
    expect(await listChanges(opened.database.read, { account: 'sim' })).toMatchObject([
      { old_cost_e4: 80_000, new_cost_e4: 85_000, state: 'applied', decided_by: 'rule:declared' },
      { old_cost_e4: null, new_cost_e4: 80_000, state: 'applied', decided_by: 'rule:declared' },
    ]);
  });

  test('does not undo what the supplier’s own list said since', async () => {
    await apply(catalog(', cost: 8'));
    await moved({ cost_e4: 81_000 });
    expect(await apply(catalog(', cost: 8'))).toEqual([]);
    expect(await source()).toMatchObject({ cost_e4: 81_000 });
  });

  test('settles a change that waited for a person', async () => {
    await apply(catalog(', cost: 8'));
    await moved({ cost_state: 'pending', offered_cost_e4: 95_000, offered_currency: 'CNY' });
    await apply(catalog(', cost: 9.5'));
    expect(await source()).toMatchObject({ cost_e4: 95_000, cost_state: 'settled', offered_cost_e4: null });
  });
});

test('a mapping that a person accepted stays, though the file does not name it', async () => {
  await apply(catalog(', cost: 8'));
  await moved({ accepted_by: 'Li', accepted_at: now, product: '2' });
  expect(await apply(catalog(', cost: 8'))).toEqual(['create source CARD ← sim/1']);
  const rows = await opened.database.read('sources').where({ account: 'sim', is_enabled: 1 });
  expect(rows).toHaveLength(2);
});

test('what a SKU and an account declare for the catalog is written', async () => {
  await apply(catalog(''));
  expect(await opened.database.read('skus').first()).toMatchObject({
    category: 'video',
    brand: 'Tencent',
    face_value_e4: 150_000,
    face_currency: 'CNY',
    stale_after_ms: 600_000,
  });
  expect(await opened.database.read('accounts').where({ account: 'sim' }).first()).toMatchObject({
    float_min_e4: 1_000_000,
  });
});

describe('rates', () => {
  const usd = (rate: string, as_of: string) => `rates:\n  USD: { base: CNY, rate: ${rate}, as_of: ${as_of} }\n`;

  test('are added day by day, and one of the past is not taken away', async () => {
    expect(await apply(catalog('', usd('7.12', '2026-01-01')))).toContain('create rate USD/CNY 2026-01-01');
    expect(await apply(catalog('', usd('7.12', '2026-01-01')))).toEqual([]);
    now += DAY;
    expect(await apply(catalog('', usd('7.15', '2026-01-03')))).toEqual(['create rate USD/CNY 2026-01-03']);
    const rates = await readRates(opened.database.read, { base_currency: 'CNY', rate_days_max: 7 }, now);
    expect(rates.convert(10_000, 'USD', 'CNY')).toBe(71_500);
    expect(await opened.database.read('rates').count({ n: '*' }).first()).toEqual({ n: 2 });
  });

  test('let a source cost another currency than its SKU is priced in', () => {
    const text = catalog('').replace('amount: 10, currency: CNY', 'amount: 10, currency: USD');
    expect(() => declared(text)).toThrow('costs CNY while the SKU is priced in USD');
    expect(() => declared(text + usd('7.12', '2026-01-01'))).not.toThrow();
  });

  test.each([
    ['of itself', 'rates: { CNY: { base: CNY, rate: 1, as_of: 2026-01-01 } }', 'is the currency itself'],
    ['of no currency', 'rates: { RMB: { base: CNY, rate: 1, as_of: 2026-01-01 } }', 'is not a currency'],
    ['of zero', 'rates: { USD: { base: CNY, rate: 0.0, as_of: 2026-01-01 } }', 'is zero'],
    ['without a day', 'rates: { USD: { base: CNY, rate: 7.1 } }', 'is missing'],
    ['of a day that is none', 'rates: { USD: { base: CNY, rate: 7.1, as_of: 2026-13-01 } }', 'is not a day'],
  ])('%s are refused', (_, text, wrong) => {
    expect(() => declared(text)).toThrow(wrong);
  });
});
