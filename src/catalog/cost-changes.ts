// Cost changes: every one is kept with the rule or the person that decided it. One that waits for a person leaves the
// old cost in place, to be used only under a ceiling the supplier itself holds; after a day the source leaves routing.
import type { Knex } from 'knex';
import { atomic, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import { readPolicies } from './cost-policies.js';
import { changeBp } from './guard.js';
import type { SourceRow } from './skus.js';

export type ChangeState = 'applied' | 'pending' | 'approved' | 'rejected' | 'expired' | 'superseded';

export interface CostChangeRow {
  change_id: string;
  source: string;
  open_source: string | null;
  sku: string;
  account: string;
  product: string;
  old_cost_e4: number | null;
  old_currency: string | null;
  new_cost_e4: number;
  new_currency: string;
  state: ChangeState;
  rule: string;
  decided_by: string | null;
  reason: string | null;
  first_approved_by: string | null;
  first_approved_at: number | null;
  impact_e4: number | null;
  units_30d: number | null;
  created_at: number;
  decided_at: number | null;
  expires_at: number | null;
}

export const CHANGE_COLUMNS = [
  'change_id',
  'source',
  'open_source',
  'sku',
  'account',
  'product',
  'old_cost_e4',
  'old_currency',
  'new_cost_e4',
  'new_currency',
  'state',
  'rule',
  'decided_by',
  'reason',
  'first_approved_by',
  'first_approved_at',
  'impact_e4',
  'units_30d',
  'created_at',
  'decided_at',
  'expires_at',
] as const satisfies readonly (keyof CostChangeRow)[];

/** How long a change waits for a person before its source leaves routing. */
export const PENDING_MS = 24 * 3_600_000;

export interface PendingView extends CostChangeRow {
  /** Signed, in hundredths of a percent; null across currencies or without an old cost. */
  change_bp: number | null;
  /** A first person has approved and another one must. */
  needs_second: boolean;
}

/** What waits for a person, the most dangerous first: by impact, then by age. */
export async function listPending(handle: Knex | Trx, limit = 200): Promise<PendingView[]> {
  const rows: CostChangeRow[] = await handle('cost_changes')
    .where({ state: 'pending' })
    .orderBy([{ column: 'impact_e4', order: 'desc' }, 'created_at', 'change_id'])
    .limit(limit);
  return rows.map((row) => ({
    ...row,
    change_bp: changeBp(moneyOf(row.old_cost_e4, row.old_currency), {
      amount_e4: row.new_cost_e4,
      currency: row.new_currency,
    }),
    needs_second: row.first_approved_by !== null,
  }));
}

/** An account's or a source's changes, newest first. */
export async function listChanges(
  handle: Knex | Trx,
  of: { account: string } | { source: string },
  limit = 200,
): Promise<CostChangeRow[]> {
  return (await handle('cost_changes').where(of).orderBy('change_id', 'desc').limit(limit)) as CostChangeRow[];
}

export interface Decision {
  change_id: string;
  /** Who decides, by name. */
  by: string;
  reason: string;
}

/**
 * Approves a change: the new cost is routed at from now on. Above the impact limit the first approval is only noted
 * (`needs_second`), and another person must give a second one. An expired change may still be approved while the
 * supplier names that cost. Throws `not_found`, `conflict`, `validation_failed`.
 */
export async function approveChange(
  database: Database,
  decision: Decision,
  now: number,
): Promise<{ change: CostChangeRow; needs_second: boolean }> {
  checkDecision(decision);
  return atomic(database, 'approving a cost change', async (trx) => {
    const { change, source } = await lockChange(trx, decision.change_id);
    mustBeUndecided(change, source, ['pending', 'expired']);
    if (await needsSecond(trx, change)) {
      if (change.first_approved_by === null) {
        const first = { first_approved_by: decision.by.slice(0, 128), first_approved_at: now };
        await trx('cost_changes').where({ change_id: change.change_id }).update(first);
        return { change: { ...change, ...first }, needs_second: true };
      }
      if (change.first_approved_by === decision.by.slice(0, 128)) {
        throw new GatewayError('conflict', 'the same person has approved this change already', {
          field: 'by',
          fix: 'Its monthly impact is above the limit: somebody else must approve it too.',
        });
      }
    }
    const after = await decide(trx, change, { ...decision, state: 'approved' }, now);
    await trx('sources').where({ source: change.source }).update({
      cost_e4: change.new_cost_e4,
      currency: change.new_currency,
      cost_state: 'settled',
      offered_cost_e4: null,
      offered_currency: null,
      updated_at: now,
    });
    return { change: after, needs_second: false };
  });
}

/** Rejects a change: the old cost stays, and is used only under a ceiling the supplier itself holds. */
export async function rejectChange(database: Database, decision: Decision, now: number): Promise<CostChangeRow> {
  checkDecision(decision);
  return atomic(database, 'rejecting a cost change', async (trx) => {
    const { change, source } = await lockChange(trx, decision.change_id);
    mustBeUndecided(change, source, ['pending', 'expired']);
    await trx('sources').where({ source: change.source }).update({ cost_state: 'rejected', updated_at: now });
    return decide(trx, change, { ...decision, state: 'rejected' }, now);
  });
}

/** Ends the waiting of changes whose day is over: their sources leave routing. Returns how many. */
export async function expireChanges(database: Database, limit: number, now: number): Promise<number> {
  return atomic(database, 'expiring cost changes', async (trx) => {
    const due: CostChangeRow[] = await forUpdate(
      trx,
      trx('cost_changes').where({ state: 'pending' }).where('expires_at', '<=', now).orderBy('change_id').limit(limit),
    );
    if (due.length === 0) return 0;
    const ids = due.map((change) => change.change_id);
    const sources = due.map((change) => change.source);
    await trx('cost_changes')
      .whereIn('change_id', ids)
      .update({ state: 'expired', open_source: null, decided_at: now, decided_by: 'rule:expired' });
    await trx('sources').whereIn('source', sources).update({ cost_state: 'expired', updated_at: now });
    return due.length;
  });
}

/** Adds `for update` where the database takes it; SQLite has one writer and needs none. */
export function forUpdate<Q extends Knex.QueryBuilder>(trx: Trx, query: Q): Q {
  return trx.client.config.client === 'mysql2' ? (query.forUpdate() as Q) : query;
}

async function lockChange(trx: Trx, change_id: string): Promise<{ change: CostChangeRow; source: SourceRow }> {
  const found: CostChangeRow | undefined = await trx('cost_changes').where({ change_id }).first();
  if (!found) {
    throw new GatewayError('not_found', `there is no cost change ${JSON.stringify(change_id)}`, {
      field: 'change_id',
      fix: 'Take the id from the list of pending changes.',
    });
  }
  // The source first, as a sweep does, and then the change as it stands under that lock.
  const source = (await forUpdate(trx, trx('sources').where({ source: found.source }))) as SourceRow[];
  const [change] = (await forUpdate(trx, trx('cost_changes').where({ change_id }))) as CostChangeRow[];
  return { change: change!, source: source[0]! };
}

function mustBeUndecided(change: CostChangeRow, source: SourceRow, states: readonly ChangeState[]): void {
  const is_latest = source.offered_cost_e4 === change.new_cost_e4 && source.offered_currency === change.new_currency;
  if (states.includes(change.state) && is_latest) return;
  const why = states.includes(change.state)
    ? 'the supplier names another cost by now'
    : `it is ${change.state} already`;
  throw new GatewayError('conflict', `this change cannot be decided: ${why}`, {
    field: 'change_id',
    fix: 'Look at the list of pending changes again.',
  });
}

async function needsSecond(trx: Trx, change: CostChangeRow): Promise<boolean> {
  const sku = (await trx('skus').where({ sku: change.sku }).first('category')) as { category: string | null };
  const { impact_max_e4 } = (await readPolicies(trx)).limitsFor({ ...change, category: sku.category });
  // An impact that cannot be told may be any.
  return change.impact_e4 === null || Math.abs(change.impact_e4) > impact_max_e4;
}

async function decide(
  trx: Trx,
  change: CostChangeRow,
  { by, reason, state }: Decision & { state: 'approved' | 'rejected' },
  now: number,
): Promise<CostChangeRow> {
  const cells = {
    state,
    open_source: null,
    decided_by: by.slice(0, 128),
    reason: reason.slice(0, 500),
    decided_at: now,
  };
  await trx('cost_changes').where({ change_id: change.change_id }).update(cells);
  return { ...change, ...cells };
}

function checkDecision({ by, reason }: Decision): void {
  for (const [field, value] of Object.entries({ by, reason })) {
    if (value.trim() !== '') continue;
    throw new GatewayError('validation_failed', `${field} is empty`, {
      field,
      fix: 'Decisions carry a name and a reason.',
    });
  }
  // What rules decide is written as `rule:…`; a person must not look like one.
  if (by.startsWith('rule:'))
    throw new GatewayError('validation_failed', 'by begins with rule:', { field: 'by', fix: 'Write a name.' });
}

function moneyOf(amount_e4: number | null, currency: string | null) {
  return amount_e4 === null || currency === null ? null : { amount_e4, currency };
}
