// Costs that the catalog file sets are changes like any other: kept in the same history, by the rule `declared`. What
// waited for a person about such a source is over, for a person has just written what it costs.
import type { Trx } from '../db/atomic.js';
import { insertRows } from '../db/rows.js';
import { newId } from '../ids.js';
import type { PlannedChange } from './changes.js';
import { CHANGE_COLUMNS, type CostChangeRow } from './cost-changes.js';
import type { SourceRow } from './skus.js';

/** Notes the costs these planned changes will write. To be called before they are written. */
export async function noteDeclaredCosts(trx: Trx, changes: readonly PlannedChange[], now: number): Promise<void> {
  const priced = changes.filter(({ table, action, cells }) => {
    return table === 'sources' && (action === 'create' || action === 'update') && typeof cells.cost_e4 === 'number';
  });
  const rows: CostChangeRow[] = [];
  for (const { key, cells } of priced) {
    const row: SourceRow | undefined = await trx('sources').where(key).first();
    const source = row?.source ?? String(cells.source);
    rows.push({
      ...NOT_A_PERSONS,
      change_id: newId('prc', now),
      source,
      sku: String(key.sku),
      account: String(key.account),
      product: String(key.product),
      old_cost_e4: row?.cost_e4 ?? null,
      old_currency: row?.currency ?? null,
      new_cost_e4: Number(cells.cost_e4),
      new_currency: String(cells.currency ?? row?.currency),
      created_at: now,
      decided_at: now,
    });
  }
  if (rows.length === 0) return;
  const sources = rows.map(({ source }) => source);
  const over = { state: 'superseded', open_source: null, decided_at: now, decided_by: 'rule:declared' };
  for (let from = 0; from < sources.length; from += 500) {
    await trx('cost_changes')
      .whereIn('open_source', sources.slice(from, from + 500))
      .update(over);
  }
  await insertRows(trx, 'cost_changes', CHANGE_COLUMNS, rows);
}

const NOT_A_PERSONS = {
  open_source: null,
  state: 'applied',
  rule: 'declared',
  decided_by: 'rule:declared',
  reason: null,
  first_approved_by: null,
  first_approved_at: null,
  impact_e4: null,
  units_30d: null,
  expires_at: null,
} as const;
