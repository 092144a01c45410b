// The price guard's judgement: whether a cost that a supplier names is taken as it is, waits for a person, or is
// refused. Pure: everything it looks at is handed in, and its answer names the rule that decided.
import type { Money } from '../../adapters/kit/contract.js';
import type { CostLimits } from './cost-policies.js';
import type { Rates } from './currencies.js';

export interface CostNews {
  /** What the source is routed at now; null if no cost was ever taken. */
  old: Money | null;
  fresh: Money;
  /** The cost before the small rises of the last day; they must not add up to a large one unseen. */
  before_steps_e4: number | null;
  /** What a storefront pays for one unit. */
  price: Money;
  /** The currency of our contract. */
  account_currency: string;
}

export type Judgement = { verdict: 'apply' | 'wait' | 'refuse'; rule: GuardRule };

export type GuardRule =
  | 'first_seen'
  | 'within_limits'
  | 'zero'
  | 'currency_changed'
  | 'below_floor'
  | 'above_ceiling'
  | 'rate_unknown'
  | 'locked'
  | 'decimal_slip'
  | 'rise_above_limit'
  | 'rise_in_steps'
  | 'fall_above_limit'
  | 'margin_too_thin';

type Check = (news: CostNews, limits: CostLimits, rates: Rates, now: number) => Judgement | null;

/** In this order; the first that has something to say decides. */
const CHECKS: readonly Check[] = [
  checkZero,
  checkCurrency,
  checkBounds,
  checkLock,
  checkSlip,
  checkRise,
  checkFall,
  checkMargin,
];

export function judgeCost(news: CostNews, limits: CostLimits, rates: Rates, now: number): Judgement {
  for (const check of CHECKS) {
    const judgement = check(news, limits, rates, now);
    if (judgement) return judgement;
  }
  return { verdict: 'apply', rule: news.old === null ? 'first_seen' : 'within_limits' };
}

// Nobody sells for nothing: a zero is a hole in their list, and no person can approve it.
function checkZero({ fresh }: CostNews): Judgement | null {
  return Number.isSafeInteger(fresh.amount_e4) && fresh.amount_e4 > 0 ? null : { verdict: 'refuse', rule: 'zero' };
}

function checkCurrency({ old, fresh, account_currency }: CostNews): Judgement | null {
  return fresh.currency === (old?.currency ?? account_currency) ? null : { verdict: 'wait', rule: 'currency_changed' };
}

function checkBounds({ fresh }: CostNews, { floor, ceiling }: CostLimits, rates: Rates): Judgement | null {
  for (const [bound, rule] of [
    [floor, 'below_floor'],
    [ceiling, 'above_ceiling'],
  ] as const) {
    if (!bound) continue;
    const limit_e4 = rates.convert(
      bound.amount_e4,
      bound.currency,
      fresh.currency,
      rule === 'below_floor' ? 'up' : 'down',
    );
    if (limit_e4 === null) return { verdict: 'wait', rule: 'rate_unknown' };
    if (rule === 'below_floor' ? fresh.amount_e4 < limit_e4 : fresh.amount_e4 > limit_e4)
      return { verdict: 'refuse', rule };
  }
  return null;
}

function checkLock({ old }: CostNews, { locked_until }: CostLimits, _rates: Rates, now: number): Judgement | null {
  return old !== null && locked_until !== null && now < locked_until ? { verdict: 'wait', rule: 'locked' } : null;
}

/** 4.90 for 49.00: looked for even where the limits are set so wide that they would let it pass. */
function checkSlip({ old, fresh }: CostNews): Judgement | null {
  if (old === null) return null;
  const [small, large] = [old.amount_e4, fresh.amount_e4].sort((a, b) => a - b) as [number, number];
  const is_slip = [10, 100, 1_000, 10_000].some(
    (factor) => abs(BigInt(large) - BigInt(small) * BigInt(factor)) * 200n <= BigInt(small) * BigInt(factor),
  );
  return is_slip ? { verdict: 'wait', rule: 'decimal_slip' } : null;
}

function checkRise({ old, fresh, before_steps_e4 }: CostNews, { rise_max_bp }: CostLimits): Judgement | null {
  if (old === null || fresh.amount_e4 <= old.amount_e4) return null;
  if (isBeyond(old.amount_e4, fresh.amount_e4, rise_max_bp)) return { verdict: 'wait', rule: 'rise_above_limit' };
  const is_steps = before_steps_e4 !== null && isBeyond(before_steps_e4, fresh.amount_e4, rise_max_bp);
  return is_steps ? { verdict: 'wait', rule: 'rise_in_steps' } : null;
}

function checkFall({ old, fresh }: CostNews, { fall_max_bp }: CostLimits): Judgement | null {
  if (old === null || fresh.amount_e4 >= old.amount_e4) return null;
  const is_beyond = BigInt(fresh.amount_e4) * 10_000n < BigInt(old.amount_e4) * BigInt(10_000 - fall_max_bp);
  return is_beyond ? { verdict: 'wait', rule: 'fall_above_limit' } : null;
}

function checkMargin({ old, fresh, price }: CostNews, { margin_min_bp }: CostLimits, rates: Rates): Judgement | null {
  if (margin_min_bp === null || (old !== null && fresh.amount_e4 <= old.amount_e4)) return null;
  const cost_e4 = rates.convert(fresh.amount_e4, fresh.currency, price.currency, 'up');
  if (cost_e4 === null) return { verdict: 'wait', rule: 'rate_unknown' };
  const is_thin = BigInt(price.amount_e4 - cost_e4) * 10_000n < BigInt(price.amount_e4) * BigInt(margin_min_bp);
  return is_thin ? { verdict: 'wait', rule: 'margin_too_thin' } : null;
}

function isBeyond(from_e4: number, to_e4: number, rise_max_bp: number): boolean {
  return BigInt(to_e4) * 10_000n > BigInt(from_e4) * BigInt(10_000 + rise_max_bp);
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}

/** The change in hundredths of a percent, rounded to the nearest; null where there is nothing to compare with. */
export function changeBp(old: Money | null, fresh: Money): number | null {
  if (old === null || old.amount_e4 <= 0 || old.currency !== fresh.currency) return null;
  return Math.round(((fresh.amount_e4 - old.amount_e4) / old.amount_e4) * 10_000);
}
