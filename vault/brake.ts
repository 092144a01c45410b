// Theft in bulk brakes itself: a SKU that is issued, or revealed to people, far faster than in the last seven days is
// frozen until somebody has looked. Looked for every second by a job; what suppliers deliver meanwhile goes on to its
// orders, for it never was in stock.
import type { Knex } from 'knex';
import { freezeStock } from './control.js';
import type { Core } from './core.js';
import type { Trx } from './types.js';

export interface BrakeRules {
  /** How many times the usual rate is too much. */
  factor: number;
  /** Codes in one window that are never too many, whatever was usual: a new SKU has no history. */
  codes_min: number;
}

const WINDOW_MS = 10_000;
const PROFILE_MS = 7 * 86_400_000;
/** The seven days are counted anew so often. */
const PROFILE_FRESH_MS = 600_000;
/** What people see, and what leaves for orders; both are ways out of the stock. */
const WATCHED = ['issue', 'replace', 'reveal'];

/** A SKU whose codes leave too fast. */
export interface Runaway {
  sku: string;
  codes: number;
  /** What was allowed in the window. */
  limit: number;
  /** In a sentence, for the freeze. */
  reason: string;
}

/** Finds what runs away and is not frozen yet; reads only. Keeps the profile of the last days in memory. */
export function createBrake(core: Core): (knex: Knex, rules: BrakeRules) => Promise<Runaway[]> {
  let usual = new Map<string, number>();
  let counted_at = Number.NEGATIVE_INFINITY;
  return async (knex, { factor, codes_min }) => {
    const now = core.now();
    if (now - counted_at > PROFILE_FRESH_MS || now < counted_at) {
      usual = await countProfile(knex, now);
      counted_at = now;
    }
    const recent = [...(await countBySku(knex, now - WINDOW_MS, now))];
    const runaways = recent.flatMap(([sku, codes]): Runaway[] => {
      const limit = Math.max(codes_min, Math.ceil(((usual.get(sku) ?? 0) * factor * WINDOW_MS) / PROFILE_MS));
      const reason = `${codes} codes in ${WINDOW_MS / 1000} s, ${limit} are usual at most`;
      return codes > limit ? [{ sku, codes, limit, reason }] : [];
    });
    if (runaways.length === 0) return [];
    const frozen = await frozenSkus(knex);
    return runaways.filter(({ sku }) => !frozen.has(sku));
  };
}

/** Freezes the SKU in the open transaction, unless somebody has meanwhile. Null if so. */
export async function brakeSku(core: Core, trx: Trx, { sku, reason }: Runaway): Promise<{ freeze_id: string } | null> {
  if ((await frozenSkus(trx)).has(sku)) return null;
  return freezeStock(core, trx, { sku }, { by: 'vault', reason });
}

async function frozenSkus(knex: Knex): Promise<Set<string>> {
  const rows = await knex('freezes').where({ scope: 'sku' }).whereNull('lifted_at').select('subject');
  return new Set(rows.map((row) => row.subject as string));
}

/** The seven days hour by hour, with a pause after each: an embedded database answers with the whole process. */
async function countProfile(knex: Knex, now: number): Promise<Map<string, number>> {
  const usual = new Map<string, number>();
  for (let from = now - PROFILE_MS; from < now - WINDOW_MS; from += SLICE_MS) {
    const slice = await countBySku(knex, from, Math.min(from + SLICE_MS, now - WINDOW_MS));
    for (const [sku, codes] of slice) usual.set(sku, (usual.get(sku) ?? 0) + codes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return usual;
}
const SLICE_MS = 3_600_000;

/** Codes issued or revealed per SKU in a stretch of time, the higher of the two. */
async function countBySku(knex: Knex, after: number, until: number): Promise<Map<string, number>> {
  const sums = new Map<string, Map<string, number>>();
  for (const table of ['ledger', 'ledger_inbox']) {
    const rows = await knex(table)
      .whereIn('act', WATCHED)
      // A storefront may read its own codes as often as it likes: they have left.
      .whereNot((own) => own.where('act', 'reveal').where('actor', 'like', 'storefront:%'))
      .where('at', '>', after)
      .where('at', '<=', until)
      .whereNotNull('sku')
      .groupBy('sku', 'act')
      .select('sku', 'act')
      .sum({ sum: 'count' });
    for (const { sku, act, sum } of rows as { sku: string; act: string; sum: unknown }[]) {
      const acts = sums.get(sku) ?? new Map<string, number>();
      const way = act === 'reveal' ? 'reveal' : 'issue';
      sums.set(sku, acts.set(way, (acts.get(way) ?? 0) + Number(sum)));
    }
  }
  return new Map([...sums].map(([sku, acts]) => [sku, Math.max(...acts.values())]));
}
