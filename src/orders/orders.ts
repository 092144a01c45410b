// What the API and the CLI do with orders: place, wait, read, cancel. The engine's face towards those who order.
import { atomic } from '../db/atomic.js';
import { together } from '../db/together.js';
import { GatewayError } from '../errors.js';
import { announce } from './announce.js';
import type { Engine } from './engine.js';
import type { Fulfilment } from './fulfil.js';
import { noticesOf } from './notices.js';
import { readParts } from './parts.js';
import { type Placed, type PlaceRequest, placeOrders } from './place.js';
import { lookUpForReader } from './resolve.js';
import { restAt } from './rest.js';
import { isFinal } from './states.js';
import { type EventRow, insertEvents, lockOrder, newEvent, type OrderRow, readEvents, updateOrder } from './store.js';
import { type OrderView, orderView } from './view.js';

export interface Orders {
  /**
   * Accepts an order once and sets it going; resolves after the commit. Throws the `GatewayError` that refuses it.
   * Concurrent calls share one transaction.
   */
  place(request: PlaceRequest): Promise<{ order: OrderRow; is_replay: boolean }>;
  /** The order as soon as it is final, or as it is after `wait_ms`. */
  waitFor(order_id: string, wait_ms: number): Promise<OrderRow>;
  /** The storefront's own order, by our id or by its external id. Null if it has none such. */
  read(storefront: string, by: { order_id: string } | { external_id: string }): Promise<OrderRow | null>;
  /** The storefront's orders, newest first, older than the cursor (an order id). */
  list(storefront: string, page: { state: string | null; cursor: string | null; limit: number }): Promise<OrderRow[]>;
  /** Withdraws an order before its first attempt. Throws `cancel_not_allowed` after it. */
  cancel(storefront: string, order_id: string): Promise<OrderRow>;
  events(order_id: string): Promise<EventRow[]>;
  /** The orders as their storefront sees them, bundles with their parts. */
  views(orders: readonly OrderRow[]): Promise<OrderView[]>;
  view(order: OrderRow): Promise<OrderView>;
  /** The orders of a bundle's parts, in the order declared. */
  parts(order_id: string): Promise<OrderRow[]>;
}

export interface OrdersOptions {
  orders_together_max: number;
  orders_waiting_max: number;
  /** Shared transactions at a time: one where the database has one writer. */
  commits_at_once: number;
}

/** Another process may settle an order this one waits for: look again after so long at most. */
const LOOK_AGAIN_MS = 500;

export function createOrders(engine: Engine, fulfilment: Fulfilment, options: OrdersOptions): Orders {
  const { database } = engine;
  const placeTogether = together<PlaceRequest, Placed>(
    database,
    'place orders',
    (trx, requests) => placeOrders(engine, trx, requests),
    {
      items_max: options.orders_together_max,
      waiting_max: options.orders_waiting_max,
      concurrency: options.commits_at_once,
      full: () =>
        new GatewayError('unavailable', 'too many orders wait to be accepted', {
          fix: 'Repeat the same request after a second; the order was not accepted.',
        }),
    },
  );

  async function place(request: PlaceRequest): Promise<{ order: OrderRow; is_replay: boolean }> {
    const placed = await placeTogether(request);
    if ('error' in placed) {
      if (placed.error.code === 'external_id_mismatch') engine.observe({ event: 'order_request', result: 'mismatch' });
      throw placed.error;
    }
    const { order, is_replay, begun, ended } = placed;
    engine.observe({ event: 'order_request', result: is_replay ? 'replayed' : 'new' });
    if (!is_replay) {
      engine.reach('order_accepted');
      engine.observe({ event: 'order_created', storefront: order.storefront, kind: order.kind });
      for (const each of begun) fulfilment.startNew(each.order, each.attempt);
      for (const each of ended) announce(engine, { before: null, after: each });
    }
    return { order, is_replay };
  }

  async function views(orders: readonly OrderRow[]): Promise<OrderView[]> {
    const bundles = orders.filter(({ kind }) => kind === 'bundle').map(({ order_id }) => order_id);
    const parts = await readParts(database.read, bundles);
    return orders.map((order) => orderView(order, parts.get(order.order_id)));
  }

  return {
    place,
    waitFor: (order_id, wait_ms) => waitFor(engine, order_id, wait_ms),
    read: async (storefront, by) => {
      const order =
        ((await database
          .read('orders')
          .where({ storefront, ...by })
          .whereNull('parent_order_id')
          .first()) as OrderRow | undefined) ?? null;
      if (order) await lookUpForReader(engine, fulfilment, order);
      return order;
    },
    list: async (storefront, { state, cursor, limit }) => {
      const query = database
        .read('orders')
        .where({ storefront })
        .whereNull('parent_order_id')
        .orderBy('order_id', 'desc')
        .limit(limit);
      if (state !== null) query.andWhere({ state });
      if (cursor !== null) query.andWhere('order_id', '<', cursor);
      return (await query) as OrderRow[];
    },
    cancel: (storefront, order_id) => cancel(engine, storefront, order_id),
    events: (order_id) => readEvents(database.read, order_id),
    views,
    parts: async (order_id) => (await readParts(database.read, [order_id])).get(order_id) ?? [],
    view: async (order) => (await views([order]))[0]!,
  };
}

async function cancel(engine: Engine, storefront: string, order_id: string): Promise<OrderRow> {
  const { before, after } = await atomic(engine.database, 'cancel', async (trx) => {
    const order = await lockOrder(trx, order_id);
    if (!order || order.storefront !== storefront || order.parent_order_id !== null) {
      throw new GatewayError('order_not_found', 'there is no such order', { fix: 'Check the id.' });
    }
    if (order.state === 'cancelled') return { before: order, after: order };
    if (order.state !== 'received') {
      throw new GatewayError(
        'cancel_not_allowed',
        `the order is ${order.state}: something may have been bought for it`,
        {
          fix: 'Wait for its end, and refund only what refund_advice calls safe.',
          extra: { status: order.state },
        },
      );
    }
    const now = engine.now();
    const { order_id: _id, ...changes } = restAt(order, 'cancelled', 'cancelled', null, now);
    const after = await updateOrder(trx, order, changes, now);
    await insertEvents(trx, [newEvent(order_id, now, 'order_cancelled', {})]);
    await noticesOf(trx, [after], now);
    return { before: order, after };
  });
  announce(engine, { before, after });
  return after;
}

async function waitFor(engine: Engine, order_id: string, wait_ms: number): Promise<OrderRow> {
  const ends_at = Date.now() + wait_ms;
  for (;;) {
    const left_ms = ends_at - Date.now();
    // Listen before looking: a move between the two must not be missed.
    const heard = left_ms > 0 ? engine.bell.heard(order_id, Math.min(left_ms, LOOK_AGAIN_MS)) : null;
    const order = (await engine.database.read('orders').where({ order_id }).first()) as OrderRow;
    if (isFinal(order.state) || !heard) return order;
    await heard;
  }
}
