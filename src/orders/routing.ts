// Which source next: RULES take candidates away one by one and say why; what is left is ranked. Pure: everything a
// rule looks at is handed in, so that a decision can be explained afterwards from what was written down.
import type { Recipient } from '../../adapters/kit/contract.js';
import { isInMaintenance, type MaintenanceWindow } from '../suppliers/maintenance.js';
import type { HealthFacts } from './health.js';
import { compareCandidates, type Strategy, whyRanked } from './ranking.js';
import { type Served, serves } from './served.js';

/** A source of the wanted SKU with what is known of it now. */
export interface Candidate extends HealthFacts {
  source: string;
  account: string;
  adapter: string;
  product: string;
  is_vault: boolean;
  /** A person delivers. */
  is_manual: boolean;
  /** The account is switched on and not paused. */
  account_open: boolean;
  is_enabled: boolean;
  priority: number;
  /** Its share among the others, where the SKU is bought by weight. */
  weight: number;
  /** Whom it can serve; null: everybody. */
  served: Served | null;
  /** When its supplier is closed; null: never. */
  maintenance: readonly MaintenanceWindow[] | null;
  cost_e4: number | null;
  currency: string | null;
  /** The cost in the order's currency, by which candidates are compared; null where no rate tells. */
  cost_compared_e4: number | null;
  /** What the storefront pays for one unit, in the candidate's own currency; null where no rate tells. */
  price_cap_e4: number | null;
  /** The same less the margin that the SKU must leave. */
  margin_cap_e4: number | null;
  /** Other than `settled`: the supplier names another cost, which nobody has approved. */
  cost_state: 'settled' | 'pending' | 'rejected' | 'expired';
  /** The offer was seen lately enough, or nobody lists it. */
  is_fresh: boolean;
  /** The supplier itself refuses above the ceiling we send. */
  has_cost_guard: boolean;
  /** Null: they do not say. */
  stock: number | null;
  /** What may still be spent there, after all reservations; null: plenty, or not known. */
  float_left_e4: number | null;
  breaker_open: boolean;
}

/** What is wanted. */
export interface Want {
  quantity: number;
  /** The storefront takes units from several sources: one with less than `quantity` will do. */
  takes_part: boolean;
  /** Most we may pay for one unit: the storefront's price. */
  unit_price_e4: number;
  currency: string;
  vault_rank: 'first' | 'last' | 'never';
  recipient: Recipient;
  /** Accounts the storefront may be served from; null: all. */
  accounts_only: ReadonlySet<string> | null;
  accounts_except: ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  now: number;
  strategy: Strategy;
  /** What a second of waiting is worth, for `balanced`. */
  second_cost_e4: number;
  /** Source → what it is owed, for `weighted`. */
  credits: ReadonlyMap<string, number>;
  /** For `balanced`: it is the turn of a source that lacks evidence. */
  explores: boolean;
  /** Sources this order has already tried, with a proven no. */
  tried: ReadonlySet<string>;
}

export interface Rule {
  name: string;
  /** Said of a candidate the rule takes away. */
  because: string;
  keeps: (candidate: Candidate, want: Want) => boolean;
}

export const RULES: readonly Rule[] = [
  { name: 'source_enabled', because: 'the source is switched off', keeps: (c) => c.is_enabled },
  { name: 'account_open', because: 'the account is paused or switched off', keeps: (c) => c.account_open },
  { name: 'not_tried', because: 'this order has tried it', keeps: (c, want) => !want.tried.has(c.source) },
  {
    name: 'vault_allowed',
    because: 'the SKU never issues from the vault',
    keeps: (c, want) => !c.is_vault || want.vault_rank !== 'never',
  },
  {
    name: 'storefront_allows',
    because: 'the storefront may not be served from this account',
    keeps: (c, want) =>
      (want.accounts_only === null || want.accounts_only.has(c.account)) && !want.accounts_except.has(c.account),
  },
  {
    name: 'recipient_served',
    because: 'it does not serve this recipient’s region or operator',
    keeps: (c, want) => c.served === null || serves(c.served, want.recipient),
  },
  {
    name: 'no_maintenance',
    because: 'the supplier is closed for maintenance at this hour',
    keeps: (c, want) => c.maintenance === null || !isInMaintenance(c.maintenance, want.now),
  },
  { name: 'breaker_closed', because: 'its circuit breaker is open', keeps: (c) => !c.breaker_open },
  {
    name: 'healthy',
    because: 'its last purchases met faults, and it is not its turn to be tried again',
    keeps: (c) => c.health === 'well' || c.may_probe,
  },
  {
    name: 'in_stock',
    because: 'too little stock for the units wanted',
    keeps: (c, want) => c.stock === null || c.stock >= (want.takes_part ? 1 : want.quantity),
  },
  { name: 'cost_known', because: 'no cost was ever seen', keeps: (c) => isOurs(c) || c.cost_e4 !== null },
  {
    name: 'cost_settled',
    because: 'the supplier names another cost that nobody has approved',
    // The old cost may be used only where the supplier itself refuses above it, and not once the waiting is over.
    keeps: (c) => c.is_vault || c.cost_state === 'settled' || (c.cost_state !== 'expired' && c.has_cost_guard),
  },
  {
    name: 'fresh',
    because: 'its offer is too old, and the supplier takes no ceiling',
    keeps: (c) => c.is_fresh || c.has_cost_guard,
  },
  {
    name: 'cost_covered',
    because: 'it costs more than the storefront pays, or no rate tells',
    keeps: (c) => isOurs(c) || (c.price_cap_e4 !== null && c.cost_compared_e4 !== null && c.cost_e4! <= c.price_cap_e4),
  },
  {
    name: 'margin_kept',
    because: 'it would leave less margin than the SKU must',
    keeps: (c) => isOurs(c) || c.margin_cap_e4 === null || c.cost_e4! <= c.margin_cap_e4,
  },
  {
    name: 'float_enough',
    because: 'our float there does not cover it',
    keeps: (c, want) => isOurs(c) || c.float_left_e4 === null || c.float_left_e4 >= costCeiling(c, want),
  },
];

/** Without a supplier's cost: codes of the vault were paid when they came, and what a person spends is told afterwards. */
function isOurs({ is_vault, is_manual, cost_e4 }: Candidate): boolean {
  return is_vault || (is_manual && cost_e4 === null);
}

export interface Decision {
  /** Best first. */
  ranked: Candidate[];
  skipped: { source: string; account: string; rule: string; because: string }[];
}

/** Applies every rule in order, then ranks what is left by the SKU's strategy. */
export function rankCandidates(candidates: readonly Candidate[], want: Want): Decision {
  const ranked: Candidate[] = [];
  const skipped: Decision['skipped'] = [];
  for (const candidate of candidates) {
    const against = RULES.find((rule) => !rule.keeps(candidate, want));
    if (against) {
      const { source, account } = candidate;
      skipped.push({ source, account, rule: against.name, because: against.because });
    } else ranked.push(candidate);
  }
  ranked.sort((a, b) => compareCandidates(a, b, want));
  return { ranked, skipped };
}

/** The first of the ranked with what put them there, for the order's events. */
export function reasonsOf({ ranked }: Decision, want: Want): { source: string; account: string; because: string }[] {
  return ranked.slice(0, REASONS_MAX).map((candidate) => ({
    source: candidate.source,
    account: candidate.account,
    because: whyRanked(candidate, want),
  }));
}
/** An event is read by people: the tenth choice is seldom asked about. */
const REASONS_MAX = 10;

/** Most an attempt may cost, in its own currency: the seen cost with a little room, never above what the storefront pays. */
export function costCeiling(candidate: Candidate, want: Pick<Want, 'quantity'>): number {
  const room = Math.ceil(((candidate.cost_e4 ?? 0) * (100 + COST_ROOM_PERCENT)) / 100);
  return Math.min(room, candidate.price_cap_e4 ?? 0, candidate.margin_cap_e4 ?? room) * want.quantity;
}
/** The rise that the price guard lets pass by itself (procurement's default); beyond it a person decides. */
const COST_ROOM_PERCENT = 2;
