// `kamigate apply`: makes the rows be what the catalog file declares, in one transaction. Running it again changes
// nothing. It never takes away what open orders or attempts still need.
import type { Knex } from 'knex';
import type { Declaration } from '../../config/declaration.js';
import { atomic, isDuplicate, Retry, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { insertRows } from '../db/rows.js';
import { GatewayError } from '../errors.js';
import { type Change, type Issued, type Plan, type PlannedChange, type PlanParts, TABLES } from './changes.js';
import { noteDeclaredCosts } from './declared-costs.js';
import { makePlan } from './plan.js';

/** What `runApply` would do now; changes it would refuse carry `blocked_by`. Writes nothing. */
export async function planApply(database: Database, declaration: Declaration, parts: PlanParts): Promise<Change[]> {
  const plan = await makePlan(database.read, declaration, parts);
  await findBlocked(database.read, plan);
  return plan.changes.map(shownChange);
}

/**
 * Applies the declaration and returns what it changed and the secrets it made, which are shown once and stored only
 * as a hash or sealed. Throws `conflict`, and changes nothing, where open orders or attempts forbid any part of it.
 */
export async function runApply(
  database: Database,
  declaration: Declaration,
  parts: PlanParts,
): Promise<{ changes: Change[]; issued: Issued[] }> {
  return atomic(database, 'applying the catalog file', async (trx) => {
    const plan = await makePlan(trx, declaration, parts);
    await findBlocked(trx, plan);
    refuseBlocked(plan);
    try {
      await writePlan(trx, plan, parts);
    } catch (error) {
      // Another `apply` wrote the same row since we looked: look again.
      throw isDuplicate(error) ? new Retry('the catalog was applied meanwhile', { cause: error }) : error;
    }
    return { changes: plan.changes.map(shownChange), issued: plan.issued };
  });
}

async function writePlan(trx: Trx, plan: Plan, parts: PlanParts): Promise<void> {
  await noteDeclaredCosts(trx, plan.changes, plan.now);
  // In the order of the tables: a source refers to its SKU and its account, a key to its storefront.
  for (const table of TABLES) {
    const changes = plan.changes.filter((change) => change.table === table);
    const created = changes.filter((change) => change.action === 'create').map((change) => change.cells);
    if (created[0]) await insertRows(trx, table, Object.keys(created[0]), created);
    for (const { action, key, cells } of changes) {
      if (action === 'update' || action === 'disable') await trx(table).where(key).update(cells);
    }
  }
  for (const move of plan.moves) await parts.storefronts.moveNotices(trx, { ...move, now: parts.now() });
}

const END_STATES = ['delivered', 'partial', 'failed', 'cancelled'];
const OPEN_ATTEMPT_STATES = ['planned', 'sent', 'accepted', 'unknown'];
/**
 * Changes that are as dangerous as taking the row away: a purchase must be looked up where it was made, by the adapter
 * and in the currency it was made with.
 */
const PINNED_FIELDS: Readonly<Record<string, readonly string[]>> = {
  account: ['adapter', 'base_url', 'currency'],
  sku: ['kind'],
};

/** Notes the open work behind every change that would take something away from it. */
async function findBlocked(handle: Knex | Trx, plan: Plan): Promise<void> {
  const risky = plan.changes.filter(isRisky);
  if (risky.length === 0) return;
  const open = await countOpen(handle);
  for (const change of risky) {
    const name = String(Object.values(change.key)[0]);
    const orders = open.orders.get(`${change.kind} ${name}`) ?? 0;
    const attempts = open.attempts.get(`${change.kind} ${name}`) ?? 0;
    if (orders + attempts > 0) change.blocked_by = { orders, attempts };
  }
}

function isRisky({ kind, action, fields }: PlannedChange): boolean {
  if (kind === 'key' || kind === 'rate') return false;
  if (action === 'disable') return true;
  return action === 'update' && fields.some(({ field }) => PINNED_FIELDS[kind]?.includes(field));
}

/** `kind name` → how many. Detached attempts count: what they still bring becomes stock of their SKU. */
async function countOpen(handle: Knex | Trx): Promise<{ orders: Map<string, number>; attempts: Map<string, number> }> {
  const orders = new Map<string, number>();
  const attempts = new Map<string, number>();
  const add = (into: Map<string, number>, name: string, n: number | string): void => {
    into.set(name, (into.get(name) ?? 0) + Number(n));
  };
  const open_orders: { sku: string; storefront: string; n: number }[] = await handle('orders')
    .whereNotIn('state', END_STATES)
    .orWhereNotNull('due_at')
    .groupBy('sku', 'storefront')
    .select('sku', 'storefront')
    .count({ n: '*' });
  for (const { sku, storefront, n } of open_orders) {
    add(orders, `sku ${sku}`, n);
    add(orders, `storefront ${storefront}`, n);
  }
  const open_attempts: { account: string; source: string; sku: string; n: number }[] = await handle('attempts')
    .join('orders', 'orders.order_id', 'attempts.order_id')
    .whereIn('attempts.state', OPEN_ATTEMPT_STATES)
    .orWhereNotNull('attempts.open_order_id')
    .groupBy('attempts.account', 'attempts.source', 'orders.sku')
    .select('attempts.account', 'attempts.source', 'orders.sku')
    .count({ n: '*' });
  for (const { account, source, sku, n } of open_attempts) {
    add(attempts, `account ${account}`, n);
    add(attempts, `source ${source}`, n);
    add(attempts, `sku ${sku}`, n);
  }
  return { orders, attempts };
}

function refuseBlocked(plan: Plan): void {
  const blocked = plan.changes.filter((change) => change.blocked_by !== null);
  if (blocked.length === 0) return;
  const errors = blocked.map(({ kind, name, action, blocked_by, fields }) => {
    const pinned = fields.map(({ field }) => field).filter((field) => PINNED_FIELDS[kind]?.includes(field));
    const what = action === 'disable' ? `disable ${kind} ${name}` : `change ${pinned.join(', ')} of ${kind} ${name}`;
    const { orders, attempts } = blocked_by!;
    const message = `cannot ${what}: ${countText(orders, 'order')} and ${countText(attempts, 'attempt')} are open`;
    return { pointer: `/${kind}s/${name}`, code: 'open_work', message };
  });
  throw new GatewayError('conflict', errors.map(({ message }) => message).join('; '), {
    fix: 'Put it back into the file and apply again once the open orders rest; to stop buying meanwhile, pause the account.',
    errors,
  });
}

function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function shownChange({ kind, name, action, fields, blocked_by }: PlannedChange): Change {
  return { kind, name, action, fields, blocked_by };
}
