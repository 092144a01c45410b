// What an order's candidates are: every source of its SKU with its latest offer and its account's state.
import type { Knex } from 'knex';
import type { Trx } from '../db/atomic.js';
import type { SourceRow } from './skus.js';

export interface CandidateRow {
  source: string;
  sku: string;
  account: string;
  adapter: string;
  product: string;
  priority: number;
  weight: number;
  /** JSON: whom it serves; null: everybody. */
  recipients: string | null;
  is_enabled: number;
  cost_e4: number | null;
  currency: string | null;
  stock: number | null;
  seen_at: number | null;
  cost_state: SourceRow['cost_state'];
  /** When the account's last whole list was begun, which confirms what it did not change. */
  swept_at: number | null;
  account_is_enabled: number;
  account_paused_at: number | null;
  /** JSON: when the supplier is closed; null: never. */
  maintenance: string | null;
}

/** The sources of these SKUs, by SKU. */
export async function readCandidates(
  handle: Knex | Trx,
  skus: readonly string[],
): Promise<Map<string, CandidateRow[]>> {
  const rows = (await handle('sources')
    .join('accounts', 'accounts.account', 'sources.account')
    .leftJoin('sweeps', 'sweeps.account', 'sources.account')
    .whereIn('sources.sku', [...skus])
    .select(
      'sources.source',
      'sources.sku',
      'sources.account',
      'sources.product',
      'accounts.adapter',
      'sources.priority',
      'sources.weight',
      'sources.recipients',
      'sources.is_enabled',
      'sources.cost_e4',
      'sources.currency',
      'sources.stock',
      'sources.seen_at',
      'sources.cost_state',
      'sweeps.swept_at',
      'accounts.is_enabled as account_is_enabled',
      'accounts.paused_at as account_paused_at',
      'accounts.maintenance',
    )) as CandidateRow[];
  const by_sku = new Map<string, CandidateRow[]>();
  for (const row of rows) {
    const list = by_sku.get(row.sku);
    if (list) list.push(row);
    else by_sku.set(row.sku, [row]);
  }
  return by_sku;
}

/** A supplier said "sold out": believed until the next sweep says otherwise. */
export async function markSoldOut(trx: Trx, source: string, now: number): Promise<void> {
  await trx('sources').where({ source }).update({ stock: 0, seen_at: now, updated_at: now });
}

/** Its seen cost is out of date: the sweep reads it anew before all others, and until then it is stale. */
export async function markStale(trx: Trx, source: string): Promise<void> {
  await trx('sources').where({ source }).update({ seen_at: 0 });
}

/** A supplier does not know its own product any more: off until a person looks. */
export async function disableSource(trx: Trx, source: string, reason: string, now: number): Promise<void> {
  await trx('sources').where({ source }).update({ is_enabled: 0, disabled_reason: reason, updated_at: now });
}
