// Which source next: RULES take candidates away one by one and say why; what is left is ranked. Pure: everything a
// rule looks at is handed in, so that a decision can be explained afterwards from what was written down.

/** A source of the wanted SKU with what is known of it now. */
export interface Candidate {
  source: string;
  account: string;
  adapter: string;
  product: string;
  is_vault: boolean;
  /** The account is switched on and not paused. */
  account_open: boolean;
  is_enabled: boolean;
  priority: number;
  cost_e4: number | null;
  currency: string | null;
  /** The cost in the order's currency, by which candidates are compared; null where no rate tells. */
  cost_compared_e4: number | null;
  /** What the storefront pays for one unit, in the candidate's own currency; null where no rate tells. */
  price_cap_e4: number | null;
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
  { name: 'breaker_closed', because: 'its circuit breaker is open', keeps: (c) => !c.breaker_open },
  {
    name: 'in_stock',
    because: 'too little stock for the units wanted',
    keeps: (c, want) => c.stock === null || c.stock >= (want.takes_part ? 1 : want.quantity),
  },
  { name: 'cost_known', because: 'no cost was ever seen', keeps: (c) => c.is_vault || c.cost_e4 !== null },
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
    keeps: (c) => c.is_vault || (c.price_cap_e4 !== null && c.cost_compared_e4 !== null && c.cost_e4! <= c.price_cap_e4),
  },
  {
    name: 'float_enough',
    because: 'our float there does not cover it',
    keeps: (c, want) => c.is_vault || c.float_left_e4 === null || c.float_left_e4 >= costCeiling(c, want),
  },
];

export interface Decision {
  /** Best first. */
  ranked: Candidate[];
  skipped: { source: string; account: string; rule: string; because: string }[];
}

/** Applies every rule in order, then ranks: the vault by the SKU's wish, then priority, then cost, then source id. */
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
  const vault_place = want.vault_rank === 'first' ? -1 : 1;
  ranked.sort(
    (a, b) =>
      (a.is_vault ? vault_place : 0) - (b.is_vault ? vault_place : 0) ||
      a.priority - b.priority ||
      (a.cost_compared_e4 ?? 0) - (b.cost_compared_e4 ?? 0) ||
      (a.source < b.source ? -1 : 1),
  );
  return { ranked, skipped };
}

/** Most an attempt may cost, in its own currency: the seen cost with a little room, never above what the storefront pays. */
export function costCeiling(candidate: Candidate, want: Pick<Want, 'quantity'>): number {
  const room = Math.ceil(((candidate.cost_e4 ?? 0) * (100 + COST_ROOM_PERCENT)) / 100);
  return Math.min(room, candidate.price_cap_e4 ?? 0) * want.quantity;
}
/** The rise that the price guard lets pass by itself (procurement's default); beyond it a person decides. */
const COST_ROOM_PERCENT = 2;
