import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  checkRecipient,
  listSkus,
  type RecipientRules,
  readSkus,
  readSources,
  type SkuRow,
} from '../../src/catalog/skus.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';

function row(sku: string, changes: Partial<SkuRow> = {}): SkuRow {
  return {
    sku,
    name: sku,
    kind: 'code',
    price_e4: 10_000,
    currency: 'CNY',
    recipient_rules: '{}',
    quantity_max: 10,
    attempts_max: 3,
    deadline_ms: 60_000,
    can_detach: 0,
    vault_rank: 'first',
    strategy: 'priority',
    margin_min_bp: null,
    second_cost_e4: 0,
    category: null,
    brand: null,
    region: null,
    face_value_e4: null,
    face_currency: null,
    stale_after_ms: null,
    parts: null,
    failed_part: null,
    is_enabled: 1,
    version: 1,
    created_at: 1,
    updated_at: 1,
    ...changes,
  };
}

describe('reading SKUs', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
    const { write } = test.database;
    await write('skus').insert([
      row('B', { updated_at: 5 }),
      row('A', { updated_at: 5 }),
      row('a', { updated_at: 5 }),
      row('C', { updated_at: 3, kind: 'recharge' }),
      row('D', { updated_at: 9, is_enabled: 0 }),
    ]);
    const account = {
      account: 'x',
      adapter: 'simulated',
      base_url: '',
      credentials_sealed: '',
      options: '{}',
      limits: '{}',
      currency: 'CNY',
      created_at: 1,
      updated_at: 1,
    };
    await write('accounts').insert(account);
    const source = { account: 'x', created_at: 1, updated_at: 1 };
    await write('sources').insert([
      { ...source, source: 's1', sku: 'A', product: '1', priority: 20 },
      { ...source, source: 's2', sku: 'A', product: '2', priority: 10 },
      { ...source, source: 's3', sku: 'B', product: '1', priority: 10 },
    ]);
  });
  afterAll(() => test.close());

  it('finds those that exist, by name, telling case apart', async () => {
    const skus = await readSkus(test.database.read, ['A', 'a', 'absent']);
    expect([...skus.keys()].sort()).toEqual(['A', 'a']);
    expect(skus.get('A')?.price_e4).toBe(10_000);
    expect(await readSkus(test.database.read, [])).toEqual(new Map());
  });

  it('finds their sources, best priority first', async () => {
    const sources = await readSources(test.database.read, ['A', 'B', 'C']);
    expect(sources.get('A')?.map(({ source }) => source)).toEqual(['s2', 's1']);
    expect(sources.get('B')?.map(({ source }) => source)).toEqual(['s3']);
    expect(sources.get('C')).toBeUndefined();
    expect(await readSources(test.database.read, [])).toEqual(new Map());
  });

  const ALL = { cursor: null, limit: 100, kind: null, updated_since: null, only_enabled: false } as const;

  it('pages through all of them without a gap or a repeat', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof listSkus>> = await listSkus(test.database.read, {
        ...ALL,
        cursor,
        limit: 2,
      });
      expect(page.skus.length).toBeLessThanOrEqual(2);
      seen.push(...page.skus.map(({ sku }) => sku));
      cursor = page.next;
    } while (cursor !== null);
    expect(seen).toEqual(['C', 'A', 'B', 'a', 'D']);
  });

  it('filters by kind, by time of change, and by whether it is sold', async () => {
    const names = async (query: object) =>
      (await listSkus(test.database.read, { ...ALL, ...query })).skus.map(({ sku }) => sku);
    expect(await names({ kind: 'recharge' })).toEqual(['C']);
    expect(await names({ updated_since: 5 })).toEqual(['A', 'B', 'a', 'D']);
    expect(await names({ only_enabled: true })).toEqual(['C', 'A', 'B', 'a']);
  });

  it('refuses a cursor it did not give', async () => {
    for (const cursor of [
      '',
      'x',
      Buffer.from('[1]').toString('base64url'),
      Buffer.from('{"a":1}').toString('base64url'),
    ]) {
      await expect(listSkus(test.database.read, { ...ALL, cursor })).rejects.toMatchObject({ code: 'invalid_cursor' });
    }
  });
});

describe('checkRecipient', () => {
  const rules: RecipientRules = {
    account: { label: 'mobile number', example: '13800000000', pattern: '1[3-9]\\d{9}', is_required: 1 },
    region: { label: 'region', example: 'east', values: ['east', 'west'], is_required: 0 },
    extra: { note: { label: 'note', example: 'hello', is_required: 0 } },
  };
  const sku = { recipient_rules: JSON.stringify(rules) };
  const right = { account: '13800000000' };

  it('accepts what the rules ask for', () => {
    expect(checkRecipient(sku, right)).toEqual([]);
    expect(checkRecipient(sku, { ...right, region: 'west', extra: { note: 'x' } })).toEqual([]);
    expect(checkRecipient({ recipient_rules: '{}' }, null)).toEqual([]);
  });

  it('names each wrong field with what is expected, and never repeats the account', () => {
    const wrong = { account: '1380000000x', region: 'north', server: 's1', extra: { colour: 'red' } };
    const errors = checkRecipient(sku, wrong);
    expect(errors.map(({ pointer, code }) => [pointer, code])).toEqual([
      ['/recipient/account', 'pattern'],
      ['/recipient/region', 'value'],
      ['/recipient/server', 'unknown_field'],
      ['/recipient/extra/colour', 'unknown_field'],
    ]);
    expect(errors[0]?.message).toContain('13800000000');
    expect(JSON.stringify(errors)).not.toContain('1380000000x');
  });

  it('asks for what is missing', () => {
    for (const recipient of [null, {}, { account: '' }]) {
      expect(checkRecipient(sku, recipient).map(({ code }) => code)).toEqual(['required']);
    }
  });

  it('refuses a text longer than any pattern should see, and what is no text', () => {
    expect(checkRecipient(sku, { account: '1'.repeat(129) })[0]?.code).toBe('too_long');
    expect(checkRecipient(sku, { account: 13_800_000_000 as unknown as string })[0]?.code).toBe('type');
  });

  it('takes no recipient where the SKU asks for none', () => {
    expect(checkRecipient({ recipient_rules: '{}' }, right)[0]?.code).toBe('unknown_field');
  });
});
