// Whose turn it is among sources chosen by weight: smooth weighted round robin, counted in units and kept in the
// database, so that the split is exact over time and over all processes, whoever is away meanwhile. And how many orders
// went by since a source that lacks evidence was tried out.
import type { Knex } from 'knex';
import type { Trx } from '../db/atomic.js';

export interface Turns {
  sku: string;
  /** Source → what it is owed, in units times weights; all of them add up to nothing. */
  credits: Map<string, number>;
  since_explored: number;
  is_changed: boolean;
}

interface TurnRow {
  sku: string;
  credits: string;
  since_explored: number;
  version: number;
}

/** One order in so many, of a SKU that is bought by `balanced`, tries out a source that lacks evidence. */
export const EXPLORE_EVERY = 20;

/** The turns of these SKUs, locked until the transaction ends: two orders never take the same turn. */
export async function lockTurns(trx: Trx, skus: readonly string[]): Promise<Map<string, Turns>> {
  if (skus.length === 0) return new Map();
  const names = [...new Set(skus)].sort();
  const known = new Set(((await trx('turns').whereIn('sku', names).select('sku')) as TurnRow[]).map(({ sku }) => sku));
  const fresh = names.filter((sku) => !known.has(sku)).map((sku) => ({ sku, credits: '{}' }));
  if (fresh.length > 0) await trx('turns').insert(fresh).onConflict('sku').ignore();
  const query = trx('turns').whereIn('sku', names).orderBy('sku');
  const rows = (await (trx.client.config.client === 'mysql2' ? query.forUpdate() : query)) as TurnRow[];
  return new Map(rows.map((row) => [row.sku, turnsOf(row)]));
}

/** The turns as they are now, for explaining. */
export async function readTurns(handle: Knex | Trx, skus: readonly string[]): Promise<Map<string, Turns>> {
  if (skus.length === 0) return new Map();
  const rows = (await handle('turns').whereIn('sku', [...skus])) as TurnRow[];
  return new Map(rows.map((row) => [row.sku, turnsOf(row)]));
}

/** Writes what was taken. */
export async function writeTurns(trx: Trx, all: Iterable<Turns>): Promise<void> {
  for (const turns of all) {
    if (!turns.is_changed) continue;
    await trx('turns')
      .where({ sku: turns.sku })
      .update({ credits: JSON.stringify(Object.fromEntries(turns.credits)), since_explored: turns.since_explored })
      .increment('version', 1);
    turns.is_changed = false;
  }
}

/** What a source is owed once these units are shared out: the one that is owed most is next. */
export function owed(
  credits: ReadonlyMap<string, number>,
  source: { source: string; weight: number },
  units: number,
): number {
  return (credits.get(source.source) ?? 0) + source.weight * units;
}

/** Shares `units` out among all who could have had them, and takes them from the one who gets them. */
export function takeTurn(
  turns: Turns,
  eligible: readonly { source: string; weight: number }[],
  chosen: string,
  units: number,
): void {
  const total = eligible.reduce((sum, { weight }) => sum + weight, 0);
  for (const each of eligible) {
    turns.credits.set(each.source, owed(turns.credits, each, units) - (each.source === chosen ? total * units : 0));
  }
  turns.is_changed = true;
}

/** Counts one order towards the next that tries something out, or begins anew with it. */
export function countExploration(turns: Turns, tried_out: boolean): void {
  turns.since_explored = tried_out ? 0 : turns.since_explored + 1;
  turns.is_changed = true;
}

function turnsOf({ sku, credits, since_explored }: TurnRow): Turns {
  return {
    sku,
    credits: new Map(Object.entries(JSON.parse(credits) as Record<string, number>)),
    since_explored,
    is_changed: false,
  };
}
