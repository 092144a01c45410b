// How candidates that no rule took away are put in order: one comparison for each strategy, and the words that say why
// a candidate stands where it does. Pure.
import type { Candidate, Want } from './routing.js';
import { owed } from './turns.js';
import { decimalText } from './view.js';

export const STRATEGIES = ['priority', 'cheapest', 'weighted', 'balanced'] as const;
export type Strategy = (typeof STRATEGIES)[number];

type Compare = (a: Candidate, b: Candidate, want: Want) => number;

interface Ranking {
  compare: Compare;
  /** What the candidate was compared by. */
  why: (candidate: Candidate, want: Want) => string;
}

const byPriority: Compare = (a, b) => a.priority - b.priority;
const byCost: Compare = (a, b) => (a.cost_compared_e4 ?? 0) - (b.cost_compared_e4 ?? 0);
const bySource: Compare = (a, b) => (a.source < b.source ? -1 : 1);

/** Strategy → its comparison. What it leaves equal goes by priority, then cost, then source id. */
export const RANKINGS: Readonly<Record<Strategy, Ranking>> = {
  priority: {
    compare: byPriority,
    why: (c) => `priority ${c.priority}, then cost ${costText(c)}`,
  },
  cheapest: {
    compare: byCost,
    why: (c) => `cost ${costText(c)}, then priority ${c.priority}`,
  },
  weighted: {
    compare: (a, b, want) => owed(want.credits, b, want.quantity) - owed(want.credits, a, want.quantity),
    why: (c, want) => `weight ${c.weight}, owed ${owed(want.credits, c, want.quantity)}`,
  },
  balanced: {
    // A source that lacks evidence is neither trusted nor left out: it has its turn, and but for that stands behind.
    compare: (a, b, want) => trialPlace(a, want) - trialPlace(b, want) || expectedCost(a, want) - expectedCost(b, want),
    why: (c, want) => {
      const expected = `expected cost ${decimalText(Math.round(expectedCost(c, want)))}: ${costText(c)} at ${Math.round(c.success_rate * 100)} % delivered, ${(c.latency_ms / 1_000).toFixed(1)} s`;
      if (c.has_evidence) return expected;
      return `${trialPlace(c, want) < 0 ? 'tried out for lack of evidence' : 'too little evidence yet'}; ${expected}`;
    },
  },
};

/** What one unit comes to, in ten-thousandths: cost ÷ success rate, and the price of waiting. For comparing only. */
export function expectedCost(candidate: Candidate, want: Pick<Want, 'second_cost_e4'>): number {
  return (
    (candidate.cost_compared_e4 ?? 0) / candidate.success_rate + (candidate.latency_ms / 1_000) * want.second_cost_e4
  );
}

function trialPlace(candidate: Candidate, want: Want): number {
  if (candidate.has_evidence) return 0;
  return want.explores ? -1 : 1;
}

/** Compares within the SKU's strategy; the vault by the SKU's wish before or after all suppliers, a person after all. */
export function compareCandidates(a: Candidate, b: Candidate, want: Want): number {
  return (
    groupOf(a, want) - groupOf(b, want) ||
    RANKINGS[want.strategy].compare(a, b, want) ||
    byPriority(a, b, want) ||
    byCost(a, b, want) ||
    bySource(a, b, want)
  );
}

function groupOf(candidate: Candidate, want: Want): number {
  if (candidate.is_manual) return 2;
  if (!candidate.is_vault) return 0;
  return want.vault_rank === 'first' ? -1 : 1;
}

/** Why a candidate stands where it does, in words for an operator. */
export function whyRanked(candidate: Candidate, want: Want): string {
  if (candidate.is_manual) return 'a person, after every other source';
  if (candidate.is_vault) return `the vault, ${want.vault_rank} by the SKU's wish`;
  const trial = candidate.health === 'probing' ? 'on trial after faults; ' : '';
  return trial + RANKINGS[want.strategy].why(candidate, want);
}

function costText({ cost_e4, currency }: Candidate): string {
  return cost_e4 === null ? 'unknown' : `${decimalText(cost_e4)} ${currency}`;
}
