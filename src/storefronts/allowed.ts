// Which accounts a storefront may be served from, where its contract names some or rules some out.
import type { Knex } from 'knex';
import type { Trx } from '../db/atomic.js';

export interface Allowed {
  /** Null: all. */
  accounts_only: ReadonlySet<string> | null;
  accounts_except: ReadonlySet<string>;
}

export const ALL_ALLOWED: Allowed = { accounts_only: null, accounts_except: new Set() };

/** Storefront → what it may be served from; those that name nothing are left out. */
export async function readAllowed(handle: Knex | Trx, storefronts: readonly string[]): Promise<Map<string, Allowed>> {
  const rows = (await handle('storefronts')
    .whereIn('storefront', [...storefronts])
    .select('storefront', 'accounts_only', 'accounts_except')) as {
    storefront: string;
    accounts_only: string | null;
    accounts_except: string | null;
  }[];
  const named = rows.filter(({ accounts_only, accounts_except }) => accounts_only !== null || accounts_except !== null);
  return new Map(
    named.map(({ storefront, accounts_only, accounts_except }) => [
      storefront,
      {
        accounts_only: accounts_only === null ? null : new Set(JSON.parse(accounts_only) as string[]),
        accounts_except: new Set(accounts_except === null ? [] : (JSON.parse(accounts_except) as string[])),
      },
    ]),
  );
}
