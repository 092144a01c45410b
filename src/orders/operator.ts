// A person's decisions on held orders: with name, reason and evidence, through the same door as every other news.
import type { Knex } from 'knex';
import type { Code, Money, Outcome } from '../../adapters/kit/contract.js';
import { atomic, type Trx } from '../db/atomic.js';
import { GatewayError } from '../errors.js';
import { announce } from './announce.js';
import type { Engine } from './engine.js';
import type { Fulfilment } from './fulfil.js';
import { mustHold } from './manual.js';
import { noticesOf } from './notices.js';
import { goOnWith } from './resolve.js';
import { restAt } from './rest.js';
import { settle, tell } from './settle.js';
import type { News } from './settling.js';
import { mayHaveBought, moveOrder } from './states.js';
import {
  type AttemptRow,
  insertEvents,
  lockOrder,
  newEvent,
  type OrderRow,
  readAttempts,
  readOrder,
  updateOrder,
} from './store.js';

export const VERDICTS = ['delivered', 'refused', 'release', 'close'] as const;
/**
 * `delivered` / `refused`: what became of the open attempt. `release`: the dispute is settled, go on for the rest.
 * `close`: no more will be bought; the order ends by what was issued.
 */
export type Verdict = (typeof VERDICTS)[number];

export interface DecideRequest {
  order_id: string;
  verdict: Verdict;
  by: string;
  reason: string;
  evidence: string;
  /** For `delivered` on a code SKU: the codes the supplier handed over. */
  codes?: Code[];
  /** For `delivered`: what it cost in all, where it is known. */
  cost?: Money;
}

/** Applies the decision and returns the order after it. Throws `GatewayError` that says why it is not possible. */
export async function decide(engine: Engine, fulfilment: Fulfilment | null, request: DecideRequest): Promise<OrderRow> {
  for (const field of ['by', 'reason', 'evidence'] as const) {
    if (request[field].trim() === '') {
      throw new GatewayError('validation_failed', `${field} is empty`, {
        field,
        fix: 'A decision is kept for ever: say who decides, why, and what proves it.',
      });
    }
  }
  const on_attempt = request.verdict === 'delivered' || request.verdict === 'refused';
  // What was decided is told, to metrics and to whoever waits, once it is committed.
  const tellIt = await atomic(engine.database, 'operator decision', (trx) =>
    on_attempt ? decideAttempt(engine, trx, request) : decideOrder(engine, trx, request),
  );
  tellIt();
  // Without a fulfilment of its own (the CLI) the order is due now, and a serving process takes it up.
  if (fulfilment) await goOnWith(engine, fulfilment, request.order_id);
  const order = await readOrder(engine.database.read, request.order_id);
  if (!order) throw notFound();
  return order;
}

async function decideAttempt(engine: Engine, trx: Trx, request: DecideRequest): Promise<() => void> {
  const order = await lockOrder(trx, request.order_id);
  if (!order) throw notFound();
  refuseBundle(order);
  const undecided = (await readAttempts(trx, order.order_id)).filter(
    (a) => a.state === 'accepted' || a.state === 'unknown',
  );
  const attempt = undecided.find((a) => a.open_order_id !== null) ?? undecided[0];
  if (!attempt) {
    throw new GatewayError('conflict', `the order is ${order.state} and no attempt of it waits for a decision`, {
      field: 'order_id',
      fix: 'Run `kamigate order show` to see its attempts.',
    });
  }
  await mustHold(trx, attempt, request.by);
  const news: News = {
    via: 'operator',
    found: foundOf(order, attempt.quantity, request),
    decision: { by: request.by, reason: request.reason, evidence: request.evidence },
  };
  const settled = await settle(engine, trx, attempt.attempt_id, news);
  return () => {
    if (settled) tell(engine, settled, news);
  };
}

function foundOf(order: OrderRow, quantity: number, request: DecideRequest): Outcome {
  if (request.verdict === 'refused')
    return { outcome: 'refused', reason: 'declined', message: 'decided by an operator' };
  const known = request.cost ? { cost: request.cost } : {};
  if (order.kind === 'recharge') return { outcome: 'delivered', ...known };
  const codes = request.codes ?? [];
  if (codes.length === 0 || codes.length > quantity) {
    throw new GatewayError('validation_failed', `the attempt is for ${quantity} codes; ${codes.length} were given`, {
      field: 'codes',
      fix: `Give the 1 to ${quantity} codes the supplier handed over, one a line, with --codes-file.`,
    });
  }
  return codes.length < quantity
    ? { outcome: 'delivered', codes, short: { units: codes.length }, ...known }
    : { outcome: 'delivered', codes, ...known };
}

async function decideOrder(engine: Engine, trx: Trx, request: DecideRequest): Promise<() => void> {
  const now = engine.now();
  const order = await lockOrder(trx, request.order_id);
  if (!order) throw notFound();
  refuseBundle(order);
  if (order.state !== 'held') {
    throw new GatewayError('conflict', `the order is ${order.state}, not held`, {
      field: 'order_id',
      fix: 'Only a held order is released or closed.',
    });
  }
  const open = (await readAttempts(trx, order.order_id)).find(
    (a) => a.open_order_id !== null && mayHaveBought(a.state),
  );
  if (open) {
    throw new GatewayError('conflict', `attempt ${open.number} is ${open.state}: it may have been bought`, {
      field: 'verdict',
      fix: 'Decide the attempt first: --as delivered or --as refused.',
    });
  }
  const { by, reason, evidence } = request;
  const after =
    request.verdict === 'release'
      ? { ...order, state: moveOrder(order.state, 'operator_released', 'sourcing'), held_reason: null, due_at: now }
      : restAt(
          order,
          order.delivered_quantity > 0 ? 'partial' : 'failed',
          'operator_closed',
          'closed_by_operator',
          now,
        );
  const { order_id: _id, ...changes } = after;
  const written = await updateOrder(trx, order, changes, now);
  await insertEvents(trx, [
    newEvent(order.order_id, now, request.verdict === 'release' ? 'operator_released' : 'operator_closed', {
      by,
      reason,
      evidence,
    }),
  ]);
  await noticesOf(trx, [written], now);
  return () => announce(engine, { before: order, after: written });
}

/** A bundle goes by its parts; a decision on the whole would contradict one of them. */
function refuseBundle({ kind }: OrderRow): void {
  if (kind !== 'bundle') return;
  throw new GatewayError('conflict', 'the order is a bundle: its parts are decided, each by itself', {
    field: 'order_id',
    fix: 'Run `kamigate held` for the part that waits; the bundle follows it.',
  });
}

function notFound(): GatewayError {
  return new GatewayError('order_not_found', 'there is no such order', {
    field: 'order_id',
    fix: 'Run `kamigate held` for the orders that wait for a decision.',
  });
}

export interface HeldOrder extends OrderRow {
  open_attempt: AttemptRow | null;
}

/** Held orders, oldest first, with the attempt a person must decide on. */
export async function readHeld(handle: Knex | Trx, limit: number): Promise<HeldOrder[]> {
  const orders = (await handle('orders')
    .where({ state: 'held' })
    // A bundle is decided by its parts.
    .whereNot({ kind: 'bundle' })
    .orderBy('created_at')
    .limit(limit)) as OrderRow[];
  const attempts = (await handle('attempts').whereIn(
    'open_order_id',
    orders.map((order) => order.order_id),
  )) as AttemptRow[];
  const by_order = new Map(attempts.map((attempt) => [attempt.order_id, attempt]));
  return orders.map((order) => ({ ...order, open_attempt: by_order.get(order.order_id) ?? null }));
}
