// The price guard's judgement, rule by rule.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type CostLimits, DEFAULT_LIMITS } from '../../src/catalog/cost-policies.js';
import { ratesOf } from '../../src/catalog/currencies.js';
import { type CostNews, changeBp, judgeCost } from '../../src/catalog/guard.js';

const NOW = 1_000_000;
const RATES = ratesOf('CNY', [{ currency: 'USD', rate_e8: 720_000_000 }]);

function judge(news: Partial<CostNews> & { to: number; from?: number | null }, limits: Partial<CostLimits> = {}) {
  const { to, from = 490_000, ...rest } = news;
  const whole: CostNews = {
    old: from === null ? null : { amount_e4: from, currency: 'CNY' },
    fresh: { amount_e4: to, currency: 'CNY' },
    before_steps_e4: null,
    price: { amount_e4: 600_000, currency: 'CNY' },
    account_currency: 'CNY',
    ...rest,
  };
  const { verdict, rule } = judgeCost(whole, { ...DEFAULT_LIMITS, ...limits }, RATES, NOW);
  return `${verdict} ${rule}`;
}

describe('with the default limits', () => {
  test.each([
    ['a rise of exactly 2 %', 499_800, 'apply within_limits'],
    ['a rise of one ten-thousandth more', 499_801, 'wait rise_above_limit'],
    ['a fall of exactly 10 %', 441_000, 'apply within_limits'],
    ['a fall of one ten-thousandth more', 440_999, 'wait fall_above_limit'],
    ['zero', 0, 'refuse zero'],
    ['ten times as much', 4_900_000, 'wait decimal_slip'],
    ['a hundredth', 4_900, 'wait decimal_slip'],
    ['a tenth, rounded', 49_100, 'wait decimal_slip'],
  ])('%s', (_, to, expected) => {
    expect(judge({ to })).toBe(expected);
  });

  test('the first cost is taken, but not a zero and not another currency', () => {
    expect(judge({ from: null, to: 490_000 })).toBe('apply first_seen');
    expect(judge({ from: null, to: 0 })).toBe('refuse zero');
    expect(judge({ from: null, to: 5, fresh: { amount_e4: 490_000, currency: 'USD' } })).toBe('wait currency_changed');
  });

  test('a currency flip waits even where the number is the same', () => {
    expect(judge({ to: 0, fresh: { amount_e4: 490_000, currency: 'USD' } })).toBe('wait currency_changed');
  });

  test('small rises that add up to a large one wait', () => {
    expect(judge({ from: 497_000, to: 499_000, before_steps_e4: 490_000 })).toBe('apply within_limits');
    expect(judge({ from: 499_000, to: 500_000, before_steps_e4: 490_000 })).toBe('wait rise_in_steps');
  });
});

describe('with limits of its own', () => {
  test('a decimal slip is caught however wide the limits are', () => {
    expect(judge({ to: 4_900_000 }, { rise_max_bp: 1_000_000 })).toBe('wait decimal_slip');
    expect(judge({ to: 980_000 }, { rise_max_bp: 1_000_000 })).toBe('apply within_limits');
  });

  test('below the floor and above the ceiling is refused, in another currency too', () => {
    expect(judge({ to: 489_000 }, { floor: { amount_e4: 489_001, currency: 'CNY' } })).toBe('refuse below_floor');
    expect(judge({ to: 491_000 }, { ceiling: { amount_e4: 68_000, currency: 'USD' } })).toBe('refuse above_ceiling');
    expect(judge({ to: 489_000 }, { ceiling: { amount_e4: 68_000, currency: 'USD' } })).toBe('apply within_limits');
    expect(judge({ to: 491_000 }, { ceiling: { amount_e4: 68_000, currency: 'EUR' } })).toBe('wait rate_unknown');
  });

  test('a lock stops any change until its date, and none after', () => {
    expect(judge({ to: 489_000 }, { locked_until: NOW + 1 })).toBe('wait locked');
    expect(judge({ to: 489_000 }, { locked_until: NOW })).toBe('apply within_limits');
  });

  test('a rise that leaves too thin a margin waits; a fall never does', () => {
    const limits = { margin_min_bp: 1_800 };
    expect(judge({ to: 492_000 }, limits)).toBe('apply within_limits');
    expect(judge({ to: 492_001 }, limits)).toBe('wait margin_too_thin');
    expect(judge({ from: 560_000, to: 550_000 }, limits)).toBe('apply within_limits');
  });
});

test('what is applied without a person is never beyond the limits, whatever the numbers', () => {
  const cost = fc.integer({ min: 1, max: 10_000_000_000_000 });
  const bp = fc.integer({ min: 0, max: 10_000 });
  fc.assert(
    fc.property(cost, cost, bp, bp, (from, to, rise_max_bp, fall_max_bp) => {
      if (judge({ from, to, before_steps_e4: null }, { rise_max_bp, fall_max_bp }) !== 'apply within_limits') return;
      expect(BigInt(to) * 10_000n <= BigInt(from) * BigInt(10_000 + rise_max_bp)).toBe(true);
      expect(BigInt(to) * 10_000n >= BigInt(from) * BigInt(10_000 - fall_max_bp)).toBe(true);
    }),
  );
});

test('a change is told in hundredths of a percent, and not across currencies', () => {
  expect(changeBp({ amount_e4: 490_000, currency: 'CNY' }, { amount_e4: 499_800, currency: 'CNY' })).toBe(200);
  expect(changeBp({ amount_e4: 490_000, currency: 'CNY' }, { amount_e4: 441_000, currency: 'CNY' })).toBe(-1_000);
  expect(changeBp({ amount_e4: 490_000, currency: 'CNY' }, { amount_e4: 490_000, currency: 'USD' })).toBeNull();
  expect(changeBp(null, { amount_e4: 1, currency: 'CNY' })).toBeNull();
});
