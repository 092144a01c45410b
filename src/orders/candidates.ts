// An order's candidates as the rules see them: rows with everything a rule asks about worked out beforehand, so that
// the rules themselves stay plain comparisons.

import { RATE_DEFAULTS, type Rates, ratesOf, readRates } from '../catalog/currencies.js';
import type { CandidateRow } from '../catalog/offers.js';
import type { SkuRow } from '../catalog/skus.js';
import type { Trx } from '../db/atomic.js';
import { MANUAL_ACCOUNT, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import { readMaintenance } from '../suppliers/maintenance.js';
import type { Engine } from './engine.js';
import type { Candidate } from './routing.js';
import { readServed } from './served.js';
import type { OrderRow } from './store.js';

/** How old an offer may be where its SKU has no limit of its own: twice what a cold sweep takes to come round. */
export const OFFERS_STALE_MS = 2 * 3_600_000;

/** What is known beside the rows. */
export interface Surroundings {
  rates: Rates;
  /** Account → what may still be spent there, where that had to be counted. */
  floats: ReadonlyMap<string, number>;
}

/** The rates, read only if an order's candidates differ from it in currency. */
export async function ratesFor(
  engine: Engine,
  trx: Trx,
  orders: readonly { currency: string; candidates: readonly CandidateRow[] }[],
): Promise<Rates> {
  const { base_currency = RATE_DEFAULTS.base_currency, rate_days_max = RATE_DEFAULTS.rate_days_max } = engine.options;
  const differs = orders.some(({ currency, candidates }) =>
    candidates.some((row) => row.currency !== null && row.currency !== currency),
  );
  return differs ? readRates(trx, { base_currency, rate_days_max }, engine.now()) : ratesOf(base_currency, []);
}

export function candidatesOf(
  engine: Engine,
  { order, sku, candidates }: { order: OrderRow; sku: SkuRow; candidates: readonly CandidateRow[] },
  { rates, floats }: Surroundings,
): Candidate[] {
  const now = engine.now();
  return candidates.map((row) => {
    const is_vault = row.account === VAULT_ACCOUNT;
    const is_manual = row.account === MANUAL_ACCOUNT;
    const price_cap_e4 =
      row.currency === null ? null : rates.convert(order.unit_price_e4, order.currency, row.currency);
    return {
      source: row.source,
      account: row.account,
      adapter: row.adapter,
      product: row.product,
      is_vault,
      is_manual,
      account_open: row.account_is_enabled === 1 && row.account_paused_at === null,
      is_enabled: row.is_enabled === 1,
      priority: row.priority,
      weight: row.weight,
      served: readServed(row.recipients),
      maintenance: readMaintenance(row.maintenance),
      cost_e4: row.cost_e4,
      currency: row.currency,
      cost_compared_e4: compared(row, order.currency, rates),
      price_cap_e4,
      margin_cap_e4: price_cap_e4 === null ? null : lessMargin(price_cap_e4, sku.margin_min_bp ?? 0),
      cost_state: row.cost_state,
      ...(is_vault ? OF_THE_VAULT : promisesOf(engine, row, sku, now)),
      stock: believedStock(row, now),
      float_left_e4: floats.get(row.account) ?? null,
      breaker_open: !is_vault && engine.channels.isOpen(row.account),
      ...engine.health.facts(row.account, order.kind),
    };
  });
}

/** Whole numbers throughout, and rounded against the source: the margin is never less than it must be. */
export function lessMargin(price_e4: number, margin_bp: number): number {
  const kept_bp = ONE_BP - margin_bp;
  const whole = Math.floor(price_e4 / ONE_BP);
  return whole * kept_bp + Math.floor(((price_e4 % ONE_BP) * kept_bp) / ONE_BP);
}
/** A whole, in hundredths of a percent. */
const ONE_BP = 10_000;

const OF_THE_VAULT = { is_fresh: true, has_cost_guard: true };

/** Rounded against the source: what it costs in the order's currency is never understated. */
function compared({ cost_e4, currency }: CandidateRow, wanted: string, rates: Rates): number | null {
  return cost_e4 === null || currency === null ? null : rates.convert(cost_e4, currency, wanted, 'up');
}

function promisesOf(
  engine: Engine,
  row: CandidateRow,
  sku: SkuRow,
  now: number,
): Pick<Candidate, 'is_fresh' | 'has_cost_guard'> {
  // What is switched off is taken away before anybody asks, and its adapter may be gone.
  if (row.account_is_enabled === 0) return { is_fresh: false, has_cost_guard: false };
  const { listOffers, promises } = engine.supplierFor(row.adapter);
  const limit_ms = sku.stale_after_ms ?? engine.options.offers_stale_ms ?? OFFERS_STALE_MS;
  // Where nothing is listed, the declared cost is all there will ever be.
  const is_fresh = listOffers === undefined || now - seenAt(row) <= limit_ms;
  return { is_fresh, has_cost_guard: promises.cost_guard };
}

/** A whole list confirms what it did not change; a stale mark (0) stands until the offer itself is read again. */
function seenAt({ seen_at, swept_at }: CandidateRow): number {
  return seen_at ? Math.max(seen_at, swept_at ?? 0) : 0;
}

/** "Sold out" wears off: a supplier that is swept restates it, one that is not gets another chance. */
function believedStock(row: CandidateRow, now: number): number | null {
  return row.stock === 0 && now - seenAt(row) > SOLD_OUT_BELIEVED_MS && !isSwept(row, now) ? null : row.stock;
}
const SOLD_OUT_BELIEVED_MS = 5 * 60_000;

function isSwept({ swept_at, seen_at }: CandidateRow, now: number): boolean {
  return swept_at !== null && seen_at !== null && seen_at > 0 && now - swept_at <= OFFERS_STALE_MS;
}
