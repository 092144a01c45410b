// The orders of a bundle's parts: how they are called, and how they are found.
import type { Knex } from 'knex';
import type { Trx } from '../db/atomic.js';
import type { OrderRow } from './store.js';

/** The orders of these bundles' parts, by bundle, in the order declared. */
export async function readParts(handle: Knex | Trx, order_ids: readonly string[]): Promise<Map<string, OrderRow[]>> {
  if (order_ids.length === 0) return new Map();
  const rows = (await handle('orders').whereIn('parent_order_id', [...order_ids])) as OrderRow[];
  rows.sort((a, b) => partNumber(a) - partNumber(b));
  const by_bundle = new Map<string, OrderRow[]>(order_ids.map((order_id) => [order_id, []]));
  for (const row of rows) by_bundle.get(row.parent_order_id!)?.push(row);
  return by_bundle;
}

/** A name that no storefront can give an order of its own: theirs are ASCII. */
export function partExternalId(parent_order_id: string, number: number): string {
  return `${parent_order_id} § ${number}`;
}

function partNumber({ external_id }: OrderRow): number {
  return Number(external_id.split(' § ')[1]);
}
