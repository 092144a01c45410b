// What the console and the CLI list: batches with what became of their codes, and codes that expire soon. No content.
import type { Knex } from 'knex';
import { type Core, invalid } from './core.js';
import type { BatchRow } from './tables.js';

const LIST_MAX = 500;

export interface BatchFilter {
  sku?: string;
  account?: string;
  /** The last batch id of the page before; newest batches come first. */
  before?: string;
  limit?: number;
}

export interface BatchSummary extends BatchRow {
  states: { available: number; quarantined: number; issued: number; void: number };
  disputes: number;
}

/** Batches, newest first, 100 a page unless told otherwise. */
export async function listBatches(
  knex: Knex,
  { sku, account, before, limit = 100 }: BatchFilter,
): Promise<BatchSummary[]> {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX)
    throw invalid('limit', 'is out of range', `Ask for 1 to ${LIST_MAX}.`);
  const query = knex('batches').orderBy('batch_id', 'desc').limit(limit).select();
  if (sku !== undefined) query.where({ sku });
  if (account !== undefined) query.where({ account });
  if (before !== undefined) query.where('batch_id', '<', before);
  const batches: BatchRow[] = await query;
  const ids = batches.map((batch) => batch.batch_id);
  const counted = await knex('codes')
    .whereIn('batch_id', ids)
    .groupBy('batch_id', 'state')
    .select('batch_id', 'state')
    .count({ count: '*' });
  const disputed = await knex('disputes')
    .whereIn('batch_id', ids)
    .groupBy('batch_id')
    .select('batch_id')
    .count({ count: '*' });
  const rows = counted as { batch_id: string; state: string; count: unknown }[];
  const disputes = new Map(
    (disputed as { batch_id: string; count: unknown }[]).map((row) => [row.batch_id, Number(row.count)]),
  );
  return batches.map((batch) => {
    const states = { available: 0, quarantined: 0, issued: 0, void: 0 };
    for (const row of rows)
      if (row.batch_id === batch.batch_id) states[row.state as keyof typeof states] = Number(row.count);
    return { ...batch, states, disputes: disputes.get(batch.batch_id) ?? 0 };
  });
}

export interface Expiring {
  sku: string;
  batch_id: string;
  count: number;
  first_at: number;
  last_at: number;
  currency: string | null;
  /** What the codes cost; null where unknown. */
  cost_e4: number | null;
}

/** Available codes that expire between now and `until`, by SKU and batch, the first to expire first. */
export async function listExpiring(core: Core, knex: Knex, until: number): Promise<Expiring[]> {
  const rows = await knex('codes')
    .where({ state: 'available' })
    .where('expires_at', '>', core.now())
    .where('expires_at', '<=', until)
    .groupBy('sku', 'batch_id', 'currency')
    .select('sku', 'batch_id', 'currency')
    .count({ count: '*' })
    .min({ first_at: 'expires_at' })
    .max({ last_at: 'expires_at' })
    .sum({ cost_e4: 'cost_e4' })
    .orderBy('first_at')
    .limit(LIST_MAX);
  return (rows as unknown as Expiring[]).map((row) => ({
    ...row,
    count: Number(row.count),
    first_at: Number(row.first_at),
    last_at: Number(row.last_at),
    cost_e4: row.cost_e4 === null ? null : Number(row.cost_e4),
  }));
}
