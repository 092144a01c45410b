// Fulfilment by a person, as a source of last resort: its attempts wait in a queue, one person takes one in hand, and
// says through src/orders/operator.ts what became of it. Taking is exclusive: two people never fulfil the same attempt.
import type { Knex } from 'knex';
import type { Recipient } from '../../adapters/kit/contract.js';
import { atomic, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import { MANUAL_ACCOUNT } from '../suppliers/accounts.js';
import { requestOf } from './request.js';
import { type AttemptRow, insertEvents, lockAttempt, newEvent, type OrderRow } from './store.js';
import { maskRecipient } from './view.js';

/** What waits for a person. The recipient is masked until somebody has taken it. */
export interface ManualTask {
  attempt_id: string;
  order_id: string;
  storefront: string;
  sku: string;
  kind: OrderRow['kind'];
  /** What the source is called: what the person is to deliver or where to get it. */
  product: string;
  quantity: number;
  recipient: Recipient | null;
  /** Most it should cost in all, where the source has a cost. */
  cost_ceiling_e4: number | null;
  currency: string | null;
  queued_at: number;
  /** After it the order is held; it can be fulfilled all the same. */
  deadline_at: number;
  order_state: OrderRow['state'];
  taken_by: string | null;
  taken_at: number | null;
}

interface TaskRow extends Omit<ManualTask, 'recipient'> {
  request: string;
}

/** The queue, oldest first. */
export async function readManualQueue(handle: Knex | Trx, limit: number): Promise<ManualTask[]> {
  const rows = (await tasks(handle)
    .orderBy('attempts.planned_at')
    .orderBy('attempts.attempt_id')
    .limit(limit)) as TaskRow[];
  return rows.map(({ request, ...task }) => {
    const { recipient } = requestOf({ request });
    return { ...task, recipient: recipient && maskRecipient(recipient) };
  });
}

function tasks(handle: Knex | Trx): Knex.QueryBuilder {
  return handle('attempts')
    .join('orders', 'orders.order_id', 'attempts.order_id')
    .leftJoin('manual_tasks', 'manual_tasks.attempt_id', 'attempts.attempt_id')
    .where({ 'attempts.account': MANUAL_ACCOUNT, 'attempts.state': 'accepted' })
    .select(
      'attempts.attempt_id',
      'attempts.order_id',
      'orders.storefront',
      'orders.sku',
      'orders.kind',
      'attempts.product',
      'attempts.quantity',
      'orders.request',
      'attempts.cost_ceiling_e4',
      'attempts.currency',
      'attempts.planned_at as queued_at',
      'orders.deadline_at',
      'orders.state as order_state',
      'manual_tasks.taken_by',
      'manual_tasks.taken_at',
    );
}

/**
 * Takes the attempt in hand and shows its whole recipient, which is written down. The same person may take it again.
 * Throws `conflict` while somebody else has it, or once it is settled.
 */
export async function takeManual(
  { database, now }: { database: Database; now: () => number },
  { attempt_id, by }: { attempt_id: string; by: string },
): Promise<ManualTask> {
  mustBeNamed(by);
  return atomic(database, 'take a manual attempt', async (trx) => {
    const attempt = await lockQueued(trx, attempt_id);
    const holder = await readHolder(trx, attempt_id);
    if (holder !== null && holder !== by) throw heldBy(holder);
    const at = now();
    if (holder === null) await trx('manual_tasks').insert({ attempt_id, taken_by: by, taken_at: at });
    await insertEvents(trx, [
      newEvent(attempt.order_id, at, 'manual_taken', { attempt_id, number: attempt.number, by }),
    ]);
    const row = (await tasks(trx).where({ 'attempts.attempt_id': attempt_id }).first()) as TaskRow;
    const { request, ...task } = row;
    return { ...task, recipient: requestOf({ request }).recipient };
  });
}

/**
 * Puts it back into the queue: the person says that nothing was done for it. A person who has left cannot say so;
 * another may for them, who says why. Throws `conflict` where nobody has it.
 */
export async function handBackManual(
  { database, now }: { database: Database; now: () => number },
  { attempt_id, by, reason }: { attempt_id: string; by: string; reason: string },
): Promise<void> {
  mustBeNamed(by);
  if (reason.trim() === '') {
    throw new GatewayError('validation_failed', 'reason is empty', {
      field: 'reason',
      fix: 'Say why it goes back, and how it is known that nothing was done for it yet.',
    });
  }
  await atomic(database, 'hand a manual attempt back', async (trx) => {
    const attempt = await lockQueued(trx, attempt_id);
    const holder = await readHolder(trx, attempt_id);
    if (holder === null) {
      throw new GatewayError('conflict', 'nobody has this attempt in hand', {
        field: 'attempt_id',
        fix: 'It is in the queue already.',
      });
    }
    await trx('manual_tasks').where({ attempt_id }).delete();
    await insertEvents(trx, [
      newEvent(attempt.order_id, now(), 'manual_handed_back', {
        attempt_id,
        number: attempt.number,
        from: holder,
        by,
        reason,
      }),
    ]);
  });
}

/** A person decides only what is in their own hand. Throws `conflict` that says whose it is. */
export async function mustHold(trx: Trx, attempt: AttemptRow, by: string): Promise<void> {
  if (attempt.account !== MANUAL_ACCOUNT) return;
  const holder = await readHolder(trx, attempt.attempt_id);
  if (holder === by) return;
  if (holder !== null) throw heldBy(holder);
  throw new GatewayError('conflict', 'nobody has taken this attempt in hand', {
    field: 'by',
    fix: 'Take it first, so that nobody else fulfils it meanwhile; then decide.',
  });
}

async function lockQueued(trx: Trx, attempt_id: string): Promise<AttemptRow> {
  const locked = await lockAttempt(trx, attempt_id);
  if (!locked || locked.attempt.account !== MANUAL_ACCOUNT) {
    throw new GatewayError('not_found', 'there is no such attempt in the queue', {
      field: 'attempt_id',
      fix: 'Read the queue for what waits.',
    });
  }
  if (locked.attempt.state !== 'accepted') {
    throw new GatewayError('conflict', `the attempt is ${locked.attempt.state}: it is settled`, {
      field: 'attempt_id',
      fix: 'Nothing is left to do for it.',
    });
  }
  return locked.attempt;
}

async function readHolder(trx: Trx, attempt_id: string): Promise<string | null> {
  const row = (await trx('manual_tasks').where({ attempt_id }).first('taken_by')) as { taken_by: string } | undefined;
  return row?.taken_by ?? null;
}

function heldBy(holder: string): GatewayError {
  return new GatewayError('conflict', `${holder} has this attempt in hand`, {
    field: 'by',
    fix: `Ask ${holder}; hand it back only once it is known that nothing was done for it.`,
  });
}

function mustBeNamed(by: string): void {
  if (by.trim() !== '' && by.length <= 128) return;
  throw new GatewayError('validation_failed', 'by is not a name of 1 to 128 characters', {
    field: 'by',
    fix: 'Say who takes it.',
  });
}
