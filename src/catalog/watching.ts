// Some suppliers tell of changes only of products they were asked to watch: they are asked, for each source once.
import type { Supplier } from '../../adapters/kit/contract.js';
import { atomic } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { listAccounts, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import type { Channels } from '../suppliers/channels.js';

export interface WatchingParts {
  database: Database;
  channels: Channels;
  supplierFor: (adapter: string) => Supplier;
  now: () => number;
  onFailure: (account: string, error: unknown) => void;
}

/** What one call may name. */
const PRODUCTS_AT_ONCE = 100;

/**
 * Asks each account's supplier, where it wants to be asked, for a hundred products more. Returns how many it asked for.
 * It is written down after they agreed: asking twice does no harm, and believing they watch when they do not would.
 */
export async function watchOffers(parts: WatchingParts): Promise<number> {
  const { database, channels, supplierFor, onFailure } = parts;
  const accounts = (await listAccounts(database.read))
    .filter(({ adapter, is_enabled, paused_at }) => adapter !== VAULT_ACCOUNT && is_enabled && paused_at === null)
    .filter(({ adapter }) => supplierFor(adapter).watchOffers !== undefined);
  let asked = 0;
  for (const { account } of accounts) {
    const products = await readUnwatched(database, account);
    if (products.length === 0) continue;
    try {
      await (await channels.channel(account)).watchOffers(products);
    } catch (error) {
      onFailure(account, error);
      continue;
    }
    const watched_at = parts.now();
    await atomic(database, 'note watched products', (trx) =>
      trx('sources').where({ account }).whereIn('product', products).update({ watched_at }),
    );
    asked += products.length;
  }
  return asked;
}

async function readUnwatched(database: Database, account: string): Promise<string[]> {
  const rows: { product: string }[] = await database
    .read('sources')
    .where({ account, is_enabled: 1 })
    .whereNull('watched_at')
    .distinct('product')
    .orderBy('product')
    .limit(PRODUCTS_AT_ONCE);
  return rows.map(({ product }) => product);
}
