// What a supplier tells of its products unasked. It is not taken for an offer: whatever it names is read again, so that
// an old, repeated or wrong message costs a question and nothing more.
import type { Trx } from '../db/atomic.js';

/** A message that names more products than this is cut: the next sweep reads them all. */
const PRODUCTS_MAX = 100;

/**
 * Marks the sources of these products as stale: the sweep reads them before all others, and until then they are bought
 * blindly no more. A product named by its first part stands for all of its kinds (`code:…`). What is no source of ours
 * concerns nobody. Returns how many sources were marked.
 */
export async function noteProducts(
  trx: Trx,
  { account, products, now }: { account: string; products: readonly string[]; now: number },
): Promise<number> {
  let marked = 0;
  for (const product of new Set(products.slice(0, PRODUCTS_MAX))) {
    marked += await trx('sources')
      .where({ account })
      // The range of all texts that begin with the name and a colon.
      .where((named) => named.where({ product }).orWhereBetween('product', [`${product}:`, `${product}:\uffff`]))
      .whereNot({ seen_at: 0 })
      .update({ seen_at: 0 });
  }
  if (marked > 0) await trx('sweeps').where({ account }).update({ hot_at: now });
  return marked;
}
