// Every routing rule by itself, under its own name, on plain candidates; then the rankings. Nothing here needs a
// database: a decision is a function of what was known.
import { describe, expect, test } from '@jest/globals';
import { lessMargin } from '../../src/orders/candidates.js';
import { RANKINGS, STRATEGIES } from '../../src/orders/ranking.js';
import { type Candidate, costCeiling, RULES, rankCandidates, reasonsOf, type Want } from '../../src/orders/routing.js';
import { type Turns, takeTurn } from '../../src/orders/turns.js';
import { CANDIDATE, WANT } from '../kit/candidates.js';

interface Case {
  candidate?: Partial<Candidate>;
  want?: Partial<Want>;
  kept: boolean;
}

const SHANGHAI_NIGHT = [{ from: '23:30', to: '00:30', zone: 'Asia/Shanghai' }];
const NEW_YORK_SUNDAY = [{ from: '02:00', to: '04:00', zone: 'America/New_York', days: ['sun' as const] }];
/** 2026-01-01, a Thursday, at this time of UTC. */
const at = (time: string, day = '2026-01-01') => ({ now: Date.parse(`${day}T${time}:00Z`) });

/** Rule → cases; the names must be those of the table, all of them. */
const CASES: Record<string, Case[]> = {
  source_enabled: [{ candidate: { is_enabled: false }, kept: false }, { kept: true }],
  account_open: [{ candidate: { account_open: false }, kept: false }, { kept: true }],
  not_tried: [
    { want: { tried: new Set(['src_1']) }, kept: false },
    { want: { tried: new Set(['src_2']) }, kept: true },
  ],
  vault_allowed: [
    { candidate: { is_vault: true }, want: { vault_rank: 'never' }, kept: false },
    { candidate: { is_vault: true }, want: { vault_rank: 'last' }, kept: true },
    { want: { vault_rank: 'never' }, kept: true },
  ],
  storefront_allows: [
    { want: { accounts_except: new Set(['a']) }, kept: false },
    { want: { accounts_except: new Set(['b']) }, kept: true },
    { want: { accounts_only: new Set(['b']) }, kept: false },
    { want: { accounts_only: new Set(['a', 'b']) }, kept: true },
    { want: { accounts_only: new Set(['a']), accounts_except: new Set(['a']) }, kept: false },
  ],
  recipient_served: [
    { candidate: { served: { region: ['CN-GD'] } }, want: { recipient: { region: 'CN-GD' } }, kept: true },
    { candidate: { served: { region: ['CN-GD'] } }, want: { recipient: { region: 'CN-GX' } }, kept: false },
    // A recipient that does not say where it is might be anywhere.
    { candidate: { served: { region: ['CN-GD'] } }, want: { recipient: {} }, kept: false },
    {
      candidate: { served: { account_prefixes: ['134', '135'] } },
      want: { recipient: { account: '13500001111' } },
      kept: true,
    },
    {
      candidate: { served: { account_prefixes: ['134', '135'] } },
      want: { recipient: { account: '13900001111' } },
      kept: false,
    },
    {
      candidate: { served: { extra: { operator: ['mobile'] } } },
      want: { recipient: { extra: { operator: 'mobile' } } },
      kept: true,
    },
    {
      candidate: { served: { extra: { operator: ['mobile'] } } },
      want: { recipient: { extra: { operator: 'unicom' } } },
      kept: false,
    },
    {
      candidate: { served: { region: ['CN-GD'], account_type: ['mobile'] } },
      want: { recipient: { region: 'CN-GD', account_type: 'landline' } },
      kept: false,
    },
    { want: { recipient: { region: 'CN-GX' } }, kept: true },
  ],
  no_maintenance: [
    // 23:30 to 00:30 in Shanghai is 15:30 to 16:30 of UTC.
    { candidate: { maintenance: SHANGHAI_NIGHT }, want: at('15:29'), kept: true },
    { candidate: { maintenance: SHANGHAI_NIGHT }, want: at('15:30'), kept: false },
    { candidate: { maintenance: SHANGHAI_NIGHT }, want: at('16:29'), kept: false },
    { candidate: { maintenance: SHANGHAI_NIGHT }, want: at('16:30'), kept: true },
    // Sundays only, and by a clock that moves: 02:00 in New York is 07:00 of UTC in winter and 06:00 in summer.
    { candidate: { maintenance: NEW_YORK_SUNDAY }, want: at('07:30', '2026-01-04'), kept: false },
    { candidate: { maintenance: NEW_YORK_SUNDAY }, want: at('06:30', '2026-01-04'), kept: true },
    { candidate: { maintenance: NEW_YORK_SUNDAY }, want: at('06:30', '2026-07-05'), kept: false },
    { candidate: { maintenance: NEW_YORK_SUNDAY }, want: at('07:30', '2026-01-05'), kept: true },
    // Over the end of the week: Sunday evening to Monday morning.
    {
      candidate: { maintenance: [{ from: '22:00', to: '06:00', zone: 'UTC', days: ['sun'] }] },
      want: at('05:59', '2026-01-05'),
      kept: false,
    },
    {
      candidate: { maintenance: [{ from: '22:00', to: '06:00', zone: 'UTC', days: ['sun'] }] },
      want: at('05:59', '2026-01-04'),
      kept: true,
    },
    // The same time twice is a whole day.
    {
      candidate: { maintenance: [{ from: '00:00', to: '00:00', zone: 'UTC', days: ['thu'] }] },
      want: at('23:59'),
      kept: false,
    },
    {
      candidate: { maintenance: [{ from: '00:00', to: '00:00', zone: 'UTC', days: ['thu'] }] },
      want: at('00:00', '2026-01-02'),
      kept: true,
    },
  ],
  breaker_closed: [{ candidate: { breaker_open: true }, kept: false }, { kept: true }],
  healthy: [
    { candidate: { health: 'ailing' }, kept: false },
    { candidate: { health: 'probing' }, kept: false },
    { candidate: { health: 'probing', may_probe: true }, kept: true },
    { kept: true },
  ],
  in_stock: [
    { candidate: { stock: 1 }, kept: false },
    { candidate: { stock: 2 }, kept: true },
    { candidate: { stock: null }, kept: true },
    { candidate: { stock: 1 }, want: { takes_part: true }, kept: true },
    { candidate: { stock: 0 }, want: { takes_part: true }, kept: false },
  ],
  cost_known: [
    { candidate: { cost_e4: null }, kept: false },
    { candidate: { cost_e4: null, is_vault: true }, kept: true },
    { candidate: { cost_e4: null, is_manual: true }, kept: true },
  ],
  cost_settled: [
    { candidate: { cost_state: 'pending' }, kept: false },
    { candidate: { cost_state: 'pending', has_cost_guard: true }, kept: true },
    { candidate: { cost_state: 'expired', has_cost_guard: true }, kept: false },
  ],
  fresh: [
    { candidate: { is_fresh: false }, kept: false },
    { candidate: { is_fresh: false, has_cost_guard: true }, kept: true },
  ],
  cost_covered: [
    { candidate: { cost_e4: 100_001 }, kept: false },
    { candidate: { cost_e4: 100_000 }, kept: true },
    { candidate: { price_cap_e4: null }, kept: false },
    { candidate: { cost_e4: 100_001, is_manual: true }, kept: false },
  ],
  margin_kept: [
    { candidate: { cost_e4: 95_001, margin_cap_e4: 95_000 }, kept: false },
    { candidate: { cost_e4: 95_000, margin_cap_e4: 95_000 }, kept: true },
    { candidate: { cost_e4: null, is_vault: true, margin_cap_e4: 0 }, kept: true },
  ],
  float_enough: [
    // Two units at 9.80 and two percent of room, which is more than their price of 10.00 allows: 19.992.
    { candidate: { float_left_e4: 199_919 }, kept: false },
    { candidate: { float_left_e4: 199_920 }, kept: true },
    { candidate: { float_left_e4: null }, kept: true },
  ],
};

describe.each(RULES)('rule $name', ({ name, because, keeps }) => {
  test('says why', () => {
    expect(because.length).toBeGreaterThan(10);
  });

  test.each(CASES[name] ?? [{ kept: 'the rule has no test of its name' as never }])(
    '%j',
    ({ candidate, want, kept }) => {
      expect(keeps({ ...CANDIDATE, ...candidate }, { ...WANT, ...want })).toBe(kept);
    },
  );
});

test('there is no test of a rule that is not in the table, and each rule is seen to take something away', () => {
  expect(Object.keys(CASES).sort()).toEqual(RULES.map(({ name }) => name).sort());
  for (const [name, cases] of Object.entries(CASES)) {
    expect([name, cases.some(({ kept }) => !kept)]).toEqual([name, true]);
  }
});

test('what a rule takes away is named with the rule', () => {
  const decision = rankCandidates([{ ...CANDIDATE, health: 'ailing' }], WANT);
  expect(decision).toEqual({
    ranked: [],
    skipped: [
      {
        source: 'src_1',
        account: 'a',
        rule: 'healthy',
        because: RULES.find(({ name }) => name === 'healthy')!.because,
      },
    ],
  });
});

test('the margin is kept to the last ten-thousandth, also for amounts beyond what a product of both could hold', () => {
  expect(lessMargin(100_000, 0)).toBe(100_000);
  expect(lessMargin(100_000, 150)).toBe(98_500);
  expect(lessMargin(99_999, 150)).toBe(98_499);
  expect(lessMargin(9_999_999_999_999, 1)).toBe(9_998_999_999_999);
});

test('the ceiling sent upstream leaves the margin too', () => {
  expect(costCeiling({ ...CANDIDATE, cost_e4: 96_000, margin_cap_e4: 97_000 }, { quantity: 2 })).toBe(194_000);
  expect(costCeiling({ ...CANDIDATE, cost_e4: 90_000, margin_cap_e4: 97_000 }, { quantity: 2 })).toBe(183_600);
});

function named(name: string, candidate: Partial<Candidate> = {}): Candidate {
  const cost = candidate.cost_e4 === undefined ? {} : { cost_compared_e4: candidate.cost_e4 };
  return { ...CANDIDATE, source: `src_${name}`, account: name, ...candidate, ...cost };
}
const order = (candidates: Candidate[], want: Partial<Want> = {}) =>
  rankCandidates(candidates, { ...WANT, ...want })
    .ranked.map(({ account }) => account)
    .join(' ');

describe('ranking', () => {
  test('every strategy has a ranking', () => {
    expect(Object.keys(RANKINGS).sort()).toEqual([...STRATEGIES].sort());
  });

  test('priority: by priority, then cost, then source', () => {
    const candidates = [
      named('d', { priority: 2, cost_e4: 1 }),
      named('c'),
      named('b'),
      named('a', { cost_e4: 97_000 }),
    ];
    expect(order(candidates)).toBe('d a b c');
  });

  test('cheapest: by cost in the order’s currency, then priority', () => {
    const candidates = [
      named('a', { cost_e4: 99_000, priority: 1 }),
      named('b', { cost_e4: 97_000, priority: 9 }),
      named('c', { cost_e4: 97_000, priority: 3 }),
    ];
    expect(order(candidates, { strategy: 'cheapest' })).toBe('c b a');
  });

  test('weighted: the split is exact over every whole round, in units, whatever the sizes of the orders', () => {
    const candidates = [named('a', { weight: 5 }), named('b', { weight: 3 }), named('c', { weight: 2 })];
    const turns = noTurns();
    const got: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (let round = 1; round <= 20; round++) {
      for (let at_order = 0; at_order < 10; at_order++) giveTurn(turns, candidates, 1, got);
      expect(got).toEqual({ a: 5 * round, b: 3 * round, c: 2 * round });
    }
    for (let at_order = 0; at_order < 500; at_order++) giveTurn(turns, candidates, 1 + (at_order % 7), got);
    const units = got.a! + got.b! + got.c!;
    // No source is ever more than one largest order away from its share.
    expect(Math.abs(got.a! - units * 0.5)).toBeLessThanOrEqual(7);
    expect(Math.abs(got.b! - units * 0.3)).toBeLessThanOrEqual(7);
    expect(Math.abs(got.c! - units * 0.2)).toBeLessThanOrEqual(7);
  });

  test('weighted: who was away comes back to its share, not to a flood', () => {
    const [a, b] = [named('a', { weight: 1 }), named('b', { weight: 1 })];
    const turns = noTurns();
    const got: Record<string, number> = { a: 0, b: 0 };
    for (let at_order = 0; at_order < 1_001; at_order++) giveTurn(turns, [b], 1, got);
    const before = { ...got };
    for (let at_order = 0; at_order < 100; at_order++) giveTurn(turns, [a, b], 1, got);
    expect(got).toEqual({ a: before.a! + 50, b: before.b! + 50 });
  });

  test('balanced: a cheap source that fails stands behind a dearer one that does not', () => {
    const cheap = named('cheap', { cost_e4: 90_000, success_rate: 0.8 });
    const sure = named('sure', { cost_e4: 99_000, success_rate: 0.999 });
    expect(order([cheap, sure], { strategy: 'balanced' })).toBe('sure cheap');
    expect(order([{ ...cheap, success_rate: 0.95 }, sure], { strategy: 'balanced' })).toBe('cheap sure');
  });

  test('balanced: waiting costs what the SKU says it does', () => {
    const slow = named('slow', { cost_e4: 95_000, latency_ms: 60_000 });
    const quick = named('quick', { cost_e4: 97_000, latency_ms: 1_000 });
    expect(order([slow, quick], { strategy: 'balanced' })).toBe('slow quick');
    expect(order([slow, quick], { strategy: 'balanced', second_cost_e4: 100 })).toBe('quick slow');
  });

  test('balanced: without evidence a source stands behind, but for its turn to be tried', () => {
    const candidates = [named('new', { cost_e4: 1, has_evidence: false }), named('known')];
    expect(order(candidates, { strategy: 'balanced' })).toBe('known new');
    expect(order(candidates, { strategy: 'balanced', explores: true })).toBe('new known');
  });

  test.each(STRATEGIES)('%s: the vault goes where the SKU says, a person after everything', (strategy) => {
    const vault = named('vault', { is_vault: true, cost_e4: null, cost_compared_e4: null, priority: 50 });
    const manual = named('manual', { is_manual: true, cost_e4: null, priority: 0 });
    const candidates = [manual, named('a'), vault];
    expect(order(candidates, { strategy, vault_rank: 'first' })).toBe('vault a manual');
    expect(order(candidates, { strategy, vault_rank: 'last' })).toBe('a vault manual');
  });

  test.each([
    ['priority', 'priority 100, then cost 9.80 CNY'],
    ['cheapest', 'cost 9.80 CNY, then priority 100'],
    ['weighted', 'weight 3, owed 7'],
    ['balanced', 'expected cost 10.0888: 9.80 CNY at 98 % delivered, 1.2 s'],
  ] as const)('%s says why: %s', (strategy, because) => {
    const candidate = { ...CANDIDATE, weight: 3, success_rate: 0.98, latency_ms: 1_234 };
    const want: Want = { ...WANT, strategy, credits: new Map([['src_1', 1]]), second_cost_e4: 720 };
    expect(reasonsOf({ ranked: [candidate], skipped: [] }, want)).toEqual([{ source: 'src_1', account: 'a', because }]);
  });
});

function noTurns(): Turns {
  return { sku: 'card', credits: new Map(), since_explored: 0, is_changed: false };
}

function giveTurn(turns: Turns, candidates: Candidate[], units: number, got: Record<string, number>): void {
  const want: Want = { ...WANT, strategy: 'weighted', quantity: units, credits: turns.credits };
  const [best] = rankCandidates(candidates, want).ranked;
  takeTurn(turns, candidates, best!.source, units);
  got[best!.account]! += units;
}
