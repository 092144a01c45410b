// All SQL on orders, attempts, their events and transcripts. A row has the columns' names and types, no mapping.
// Locks are always taken in one sequence: order, then attempt, then account.
import type { Knex } from 'knex';
import type { OrderKind } from '../catalog/skus.js';
import type { Trx } from '../db/atomic.js';
import { insertRows } from '../db/rows.js';
import { newId } from '../ids.js';
import type { AttemptState, OrderState } from './states.js';

export interface OrderRow {
  order_id: string;
  storefront: string;
  external_id: string;
  /** The accepted request as canonical JSON: see `OrderRequest` in request.ts. */
  request: string;
  sku: string;
  kind: OrderKind;
  quantity: number;
  delivered_quantity: number;
  state: OrderState;
  reason: string | null;
  held_reason: string | null;
  unit_price_e4: number;
  currency: string;
  due_at: number | null;
  fence: number;
  deadline_at: number;
  deliver_before: number | null;
  attempts_count: number;
  version: number;
  created_at: number;
  updated_at: number;
  completed_at: number | null;
  /** The bundle's order that this one is a part of; null for what a storefront ordered. */
  parent_order_id: string | null;
}

export interface AttemptRow {
  attempt_id: string;
  order_id: string;
  number: number;
  open_order_id: string | null;
  source: string;
  account: string;
  product: string;
  quantity: number;
  state: AttemptState;
  reason: string | null;
  doubt: string | null;
  message: string | null;
  reference: string;
  supplier_reference: string | null;
  cost_ceiling_e4: number | null;
  cost_e4: number | null;
  /** What the offer said it would cost in all, when it was chosen. */
  expected_cost_e4: number | null;
  currency: string | null;
  planned_at: number;
  sent_at: number | null;
  doubted_at: number | null;
  settled_at: number | null;
  settled_by: string | null;
  detached_at: number | null;
  next_lookup_at: number | null;
  lookups: number;
}

export interface EventRow {
  event_id: string;
  order_id: string;
  at: number;
  type: string;
  /** JSON; never a code, never a credential, never a whole recipient. */
  data: string;
}

export interface TranscriptRow {
  transcript_id: string;
  attempt_id: string;
  verb: string;
  at: number;
  duration_ms: number;
  outcome: string;
  exchanges_sealed: string;
}

type Handle = Knex | Trx;

const ORDER_COLUMNS = [
  'order_id',
  'storefront',
  'external_id',
  'request',
  'sku',
  'kind',
  'quantity',
  'delivered_quantity',
  'state',
  'reason',
  'held_reason',
  'unit_price_e4',
  'currency',
  'due_at',
  'fence',
  'deadline_at',
  'deliver_before',
  'attempts_count',
  'version',
  'created_at',
  'updated_at',
  'completed_at',
  'parent_order_id',
] as const satisfies readonly (keyof OrderRow)[];

const ATTEMPT_COLUMNS = [
  'attempt_id',
  'order_id',
  'number',
  'open_order_id',
  'source',
  'account',
  'product',
  'quantity',
  'state',
  'reason',
  'doubt',
  'message',
  'reference',
  'supplier_reference',
  'cost_ceiling_e4',
  'cost_e4',
  'expected_cost_e4',
  'currency',
  'planned_at',
  'sent_at',
  'doubted_at',
  'settled_at',
  'settled_by',
  'detached_at',
  'next_lookup_at',
  'lookups',
] as const satisfies readonly (keyof AttemptRow)[];

export function insertOrders(trx: Trx, rows: readonly OrderRow[]): Promise<void> {
  return insertRows(trx, 'orders', ORDER_COLUMNS, rows);
}

export function insertAttempts(trx: Trx, rows: readonly AttemptRow[]): Promise<void> {
  return insertRows(trx, 'attempts', ATTEMPT_COLUMNS, rows);
}

/** An event row; `data` must already be fit for a storefront's or an operator's eyes. */
export function newEvent(order_id: string, at: number, type: string, data: object): EventRow {
  return { event_id: newId('evt', at), order_id, at, type, data: JSON.stringify(data) };
}

export function insertEvents(trx: Trx, rows: readonly EventRow[]): Promise<void> {
  return insertRows(trx, 'order_events', ['event_id', 'order_id', 'at', 'type', 'data'], rows);
}

export function insertTranscripts(trx: Trx, rows: readonly TranscriptRow[]): Promise<void> {
  return insertRows(
    trx,
    'transcripts',
    ['transcript_id', 'attempt_id', 'verb', 'at', 'duration_ms', 'outcome', 'exchanges_sealed'],
    rows,
  );
}

/** The orders under these external ids, keyed by `storefront\nexternal_id`. */
export async function readByExternalIds(
  trx: Handle,
  keys: readonly { storefront: string; external_id: string }[],
): Promise<Map<string, OrderRow>> {
  if (keys.length === 0) return new Map();
  const places = keys.map(() => '(storefront = ? and external_id = ?)').join(' or ');
  const rows = (await trx('orders').whereRaw(
    places,
    keys.flatMap((key) => [key.storefront, key.external_id]),
  )) as OrderRow[];
  return new Map(rows.map((row) => [externalKey(row), row]));
}

export function externalKey(of: { storefront: string; external_id: string }): string {
  return `${of.storefront}\n${of.external_id}`;
}

export async function readOrder(handle: Handle, order_id: string): Promise<OrderRow | null> {
  return ((await handle('orders').where({ order_id }).first()) as OrderRow | undefined) ?? null;
}

/** Reads the order for writing: nobody else changes it until this transaction ends. */
export async function lockOrder(trx: Trx, order_id: string): Promise<OrderRow | null> {
  return ((await forUpdate(trx, trx('orders').where({ order_id }).first())) as OrderRow | undefined) ?? null;
}

/** The attempt, its order locked first. Null if there is none. */
export async function lockAttempt(
  trx: Trx,
  attempt_id: string,
): Promise<{ attempt: AttemptRow; order: OrderRow } | null> {
  const found = (await trx('attempts').where({ attempt_id }).first('order_id')) as { order_id: string } | undefined;
  if (!found) return null;
  const order = await lockOrder(trx, found.order_id);
  const attempt = (await forUpdate(trx, trx('attempts').where({ attempt_id }).first())) as AttemptRow | undefined;
  return order && attempt ? { attempt, order } : null;
}

function forUpdate(trx: Trx, query: Knex.QueryBuilder): Knex.QueryBuilder {
  // SQLite has one writer, and BEGIN IMMEDIATE made it us.
  return trx.client.config.client === 'mysql2' ? query.forUpdate() : query;
}

export async function readAttempts(handle: Handle, order_id: string): Promise<AttemptRow[]> {
  return (await handle('attempts').where({ order_id }).orderBy('number')) as AttemptRow[];
}

export async function readAttempt(handle: Handle, attempt_id: string): Promise<AttemptRow | null> {
  return ((await handle('attempts').where({ attempt_id }).first()) as AttemptRow | undefined) ?? null;
}

/** The attempt a supplier speaks of. Their reference alone is enough only if it names exactly one attempt. */
export async function findAttempt(
  handle: Handle,
  by: { account: string; reference: string | null; supplier_reference: string | null },
): Promise<AttemptRow | null> {
  const query = handle('attempts').where({ account: by.account });
  if (by.reference !== null) query.andWhere({ reference: by.reference });
  else if (by.supplier_reference !== null) query.andWhere({ supplier_reference: by.supplier_reference });
  else return null;
  const rows = (await query.limit(2)) as AttemptRow[];
  return rows.length === 1 ? rows[0]! : null;
}

/** Writes the changed columns and counts the version up. */
export async function updateOrder(
  trx: Trx,
  order: OrderRow,
  changes: Partial<OrderRow>,
  now: number,
): Promise<OrderRow> {
  const after = { ...order, ...changes, version: order.version + 1, updated_at: now };
  const { order_id: _, ...columns } = { ...changes, version: after.version, updated_at: now };
  await trx('orders').where({ order_id: order.order_id }).update(columns);
  if (concernsBundle(order, after)) {
    // In the part's own commit, so that no process can die between the two: whoever finds it due takes its next step.
    await trx('orders').where({ order_id: order.parent_order_id }).whereNull('completed_at').update({ due_at: now });
  }
  return after;
}

/** A bundle goes by its parts' ends, and by those that are held. */
function concernsBundle(before: OrderRow, after: OrderRow): boolean {
  if (before.parent_order_id === null || before.state === after.state) return false;
  return after.completed_at !== null || after.state === 'held' || before.state === 'held';
}

export async function updateAttempt(trx: Trx, attempt: AttemptRow, changes: Partial<AttemptRow>): Promise<AttemptRow> {
  await trx('attempts').where({ attempt_id: attempt.attempt_id }).update(changes);
  return { ...attempt, ...changes };
}

/** Compare-and-set: true if the attempt was in `from` and its order still belongs to `fence`. */
export async function markSent(
  trx: Trx,
  attempt_id: string,
  owner: { order_id: string; fence: number; due_at: number },
  now: number,
): Promise<boolean> {
  const owned = await trx('orders')
    .where({ order_id: owner.order_id, fence: owner.fence })
    .update({ due_at: owner.due_at });
  if (owned !== 1) return false;
  const moved = await trx('attempts').where({ attempt_id, state: 'planned' }).update({ state: 'sent', sent_at: now });
  return moved === 1;
}

/** Orders whose next step is overdue: their owner died, or their deadline has come. */
export async function readDueOrders(handle: Handle, now: number, limit: number): Promise<OrderRow[]> {
  return (await handle('orders').where('due_at', '<=', now).orderBy('due_at').limit(limit)) as OrderRow[];
}

/** Takes an overdue order over. False if somebody else did. */
export async function claimOrder(trx: Trx, order: OrderRow, due_at: number): Promise<boolean> {
  const taken = await trx('orders')
    .where({ order_id: order.order_id, fence: order.fence, due_at: order.due_at })
    .update({ fence: order.fence + 1, due_at });
  return taken === 1;
}

/** Tells that this process still works on these orders. */
export async function renewLeases(
  trx: Trx,
  owned: readonly { order_id: string; fence: number }[],
  due_at: number,
): Promise<void> {
  for (let from = 0; from < owned.length; from += LEASES_AT_ONCE) {
    const part = owned.slice(from, from + LEASES_AT_ONCE);
    await trx('orders')
      .whereIn(
        ['order_id', 'fence'],
        part.map(({ order_id, fence }) => [order_id, fence]),
      )
      .whereNotNull('due_at')
      .update({ due_at });
  }
}
const LEASES_AT_ONCE = 500;

/** Attempts whose lookup is due. */
export async function readDueLookups(handle: Handle, now: number, limit: number): Promise<AttemptRow[]> {
  return (await handle('attempts')
    .where('next_lookup_at', '<=', now)
    .orderBy('next_lookup_at')
    .limit(limit)) as AttemptRow[];
}

/** Takes a due lookup and sets the time of the one after it. False if somebody else took it. */
export async function claimLookup(trx: Trx, attempt: AttemptRow, next_lookup_at: number): Promise<boolean> {
  const taken = await trx('attempts')
    .where({ attempt_id: attempt.attempt_id, next_lookup_at: attempt.next_lookup_at })
    .update({ next_lookup_at, lookups: attempt.lookups + 1 });
  return taken === 1;
}

/** Money that may lie in this account's detached attempts, in e4. */
export async function readExposure(trx: Trx, account: string): Promise<number> {
  const row = (await trx('attempts')
    .where({ account })
    .whereIn('state', ['sent', 'accepted', 'unknown'])
    .whereNotNull('detached_at')
    .sum({ total: 'cost_ceiling_e4' })
    .first()) as { total: number | string | null };
  return Number(row.total ?? 0);
}

export async function readEvents(handle: Handle, order_id: string): Promise<EventRow[]> {
  return (await handle('order_events').where({ order_id }).orderBy('event_id')) as EventRow[];
}

export async function readTranscripts(handle: Handle, attempt_id: string): Promise<TranscriptRow[]> {
  return (await handle('transcripts').where({ attempt_id }).orderBy('transcript_id')) as TranscriptRow[];
}
