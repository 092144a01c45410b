// Rates of exchange: whole-number arithmetic, age, and slips of the hand.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { listRates, ratesOf, readRates, setRate } from '../../src/catalog/currencies.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 5, 10, 9);
const OPTIONS = { base_currency: 'CNY', rate_days_max: 7 };

describe('converting', () => {
  const rates = ratesOf('CNY', [
    { currency: 'USD', rate_e8: 720_000_000 },
    { currency: 'JPY', rate_e8: 4_850_000 },
  ]);

  test.each([
    ['into the base', 10_000, 'USD', 'CNY', 72_000],
    ['out of the base', 72_000, 'CNY', 'USD', 10_000],
    ['through the base', 10_000, 'USD', 'JPY', 1_484_536],
    ['within one currency, rate or not', 12_345, 'EUR', 'EUR', 12_345],
  ])('%s', (_, amount, from, to, expected) => {
    expect(rates.convert(amount, from, to)).toBe(expected);
  });

  test('without a rate tells nothing', () => {
    expect(rates.convert(1, 'EUR', 'CNY')).toBeNull();
    expect(rates.convert(1, 'CNY', 'EUR')).toBeNull();
  });

  test('rounds down, or up where asked, and never further than one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000_000_000 }), (amount) => {
        const down = rates.convert(amount, 'USD', 'JPY', 'down')!;
        const up = rates.convert(amount, 'USD', 'JPY', 'up')!;
        expect(up - down === 0 || up - down === 1).toBe(true);
        expect(BigInt(down) * 4_850_000n <= BigInt(amount) * 720_000_000n).toBe(true);
        expect(BigInt(up) * 4_850_000n >= BigInt(amount) * 720_000_000n).toBe(true);
      }),
    );
  });
});

describe('the table', () => {
  let test_database: TestDatabase;
  beforeAll(async () => {
    test_database = await openTestDatabase();
  });
  afterAll(() => test_database.close());

  const set = (rate: string, days_ago: number, more: object = {}) =>
    setRate(
      test_database.database,
      { currency: 'USD', base: 'CNY', rate, as_of: NOW - days_ago * DAY, by: 'Li', ...more },
      NOW,
    );

  test('the newest rate that is young enough counts, and every one is kept', async () => {
    await set('7.00', 9);
    const { read } = test_database.database;
    expect((await readRates(read, OPTIONS, NOW)).convert(10_000, 'USD', 'CNY')).toBeNull();
    await set('7.10', 3);
    await set('7.1234', 0);
    expect((await readRates(read, OPTIONS, NOW)).convert(10_000, 'USD', 'CNY')).toBe(71_234);
    expect((await readRates(read, OPTIONS, NOW - DAY)).convert(10_000, 'USD', 'CNY')).toBe(71_000);
    expect((await readRates(read, { ...OPTIONS, base_currency: 'EUR' }, NOW)).convert(1, 'USD', 'EUR')).toBeNull();
    expect(await listRates(read)).toMatchObject([
      { rate_e8: 712_340_000, as_of: Date.UTC(2026, 5, 10), set_by: 'Li' },
      { rate_e8: 710_000_000 },
      { rate_e8: 700_000_000 },
    ]);
  });

  test('a slip of the decimal point must be confirmed', async () => {
    await expect(set('71.234', 0)).rejects.toMatchObject({ code: 'conflict', field: 'rate' });
    expect(await set('71.234', 0, { is_jump_meant: true })).toMatchObject({ rate_e8: 7_123_400_000 });
  });

  test.each([
    ['rate', '0', {}],
    ['rate', '-7', {}],
    ['rate', '7,1', {}],
    ['as_of', '7.1', { as_of: NOW + DAY }],
    ['base', '7.1', { base: 'USD' }],
    ['currency', '7.1', { currency: 'usd' }],
    ['by', '7.1', { by: '' }],
  ])('refuses a wrong %s', async (field, rate, more) => {
    await expect(set(rate, 0, more)).rejects.toMatchObject({ code: 'validation_failed', field });
  });
});
