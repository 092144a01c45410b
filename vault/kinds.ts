// One-time codes and shared seats are different kinds of stock. The first deposit of a SKU decides which it is, for
// ever: a unique row, so that no race and no setting can turn one into the other.
import { VaultError } from './errors.js';
import { insertRows } from './rows.js';
import type { Trx } from './types.js';

export type StockKind = 'code' | 'seat';

// Rows are never changed, so what was read once stays true. Bounded: a gateway has some thousands of SKUs.
const KNOWN_MAX = 50_000;
const known = new WeakMap<object, Map<string, StockKind>>();

/** Makes the SKU one of `kind`. Throws `conflict` if it is the other. */
export async function claimKind(trx: Trx, sku: string, kind: StockKind, at: number): Promise<void> {
  const kinds = knownOf(trx);
  let is = kinds.get(sku);
  if (is === undefined) {
    const row = await trx('stock_kinds').where({ sku }).first('kind');
    is = row?.kind as StockKind | undefined;
    // A row that this transaction writes may be rolled back: only one that was found is remembered.
    if (is === undefined) await insertRows(trx, 'stock_kinds', [{ sku, kind, created_at: at }]);
    else if (kinds.size < KNOWN_MAX) kinds.set(sku, is);
  }
  if (is === undefined || is === kind) return;
  throw new VaultError('conflict', `${sku} is a SKU of ${is === 'seat' ? 'shared seats' : 'one-time codes'}`, {
    field: 'sku',
    fix: 'One-time codes and shared seats cannot be mixed or turned into each other: use another SKU.',
  });
}

/** Remembered per database, by its connection pool. */
function knownOf(trx: Trx): Map<string, StockKind> {
  const pool = (trx.client as { config: object }).config;
  const kinds = known.get(pool) ?? new Map<string, StockKind>();
  known.set(pool, kinds);
  return kinds;
}
