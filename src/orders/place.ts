// Accepting an order once: the same external id never makes two. Works on a list of requests in one open transaction,
// so that many storefronts' requests can share a commit.
import { plainKind } from '../catalog/bundles.js';
import { checkRecipient, readSkus, type SkuRow } from '../catalog/skus.js';
import { isDuplicate, Retry, type Trx } from '../db/atomic.js';
import { GatewayError } from '../errors.js';
import { newId } from '../ids.js';
import { type NewBundle, newBundle, partsFault, placeBundle, withPartSkus } from './bundle-place.js';
import type { Engine } from './engine.js';
import { noticesOf } from './notices.js';
import { planAttempts, type Step } from './plan.js';
import { canonicalRequest, type OrderRequest } from './request.js';
import { isFinal } from './states.js';
import {
  type AttemptRow,
  type EventRow,
  externalKey,
  insertAttempts,
  insertEvents,
  insertOrders,
  newEvent,
  type OrderRow,
  readByExternalIds,
} from './store.js';

export interface PlaceRequest {
  storefront: string;
  request: OrderRequest;
}

/** What this process now owns and is to go on with: the order or, of a bundle, each part that has begun. */
export interface Begun {
  order: OrderRow;
  /** Planned already; null: the order is still to be planned. */
  attempt: AttemptRow | null;
}

export type Placed =
  /** `ended`: it or parts of it, where they came to their end in the commit that accepted it. */
  | { order: OrderRow; is_replay: boolean; begun: Begun[]; ended: OrderRow[] }
  /** Not accepted and nothing written; the batch's other requests are not touched by it. */
  | { error: GatewayError };

/**
 * Accepts each request at most once and takes the first step of the new orders: issued from the vault, or a planned
 * attempt, or failed for want of any source. Answers one result per request, in order. Throws `Retry` when another
 * transaction accepted one of them at the same moment, and a `VaultError` while the vault is sealed.
 */
export async function placeOrders(engine: Engine, trx: Trx, requests: readonly PlaceRequest[]): Promise<Placed[]> {
  const keys = requests.map(({ storefront, request }) => ({ storefront, external_id: request.external_id }));
  const known = await readByExternalIds(trx, keys);
  const skus = await withPartSkus(trx, await readSkus(trx, [...new Set(requests.map(({ request }) => request.sku))]));
  const now = engine.now();

  const created = new Map<string, OrderRow>();
  const results = requests.map((entry, at): Placed => {
    const key = externalKey(keys[at]!);
    const earlier = known.get(key) ?? created.get(key);
    if (earlier) return replay(earlier, entry.request);
    const fault = requestFault(skus, entry.request, now);
    if (fault) return { error: fault };
    const order = newOrder(engine, entry, skus.get(entry.request.sku)!, now);
    created.set(key, order);
    return { order, is_replay: false, ...NOTHING_BEGUN };
  });
  if (created.size === 0) return results;
  const bundles: NewBundle[] = [];
  for (const order of created.values()) {
    if (order.kind === 'bundle') bundles.push(await newBundle(engine, trx, order, skus));
  }
  const plain = [...created.values()].filter(({ kind }) => kind !== 'bundle');
  const all = [...plain, ...bundles.flatMap(({ parts }) => parts)];
  // Before anything is written: what a supplier sold now could not be kept. The caller repeats the request.
  for (const kind of new Set(all.map((order) => plainKind(order.kind)))) {
    const fault = await engine.vaultFault(trx, kind);
    if (fault) throw fault;
  }

  // Made before the plan's own events, so that the timeline begins with it.
  const received = [...bundles.map(({ order }) => order), ...all].map(
    ({ order_id, quantity, unit_price_e4, currency }) =>
      newEvent(order_id, now, 'order_received', { quantity, unit_price_e4, currency }),
  );
  const planned = [...plain, ...bundles.flatMap(({ first }) => first)];
  const steps = await planAttempts(
    engine,
    trx,
    planned.map((order) => ({ order, attempts: [] })),
  );
  const by_id = new Map(steps.map((step) => [step.order.order_id, step]));
  const placed = new Map(
    bundles.map((bundle) => [bundle.order.order_id, placeBundle(engine, bundle, by_id, skus)] as const),
  );
  const orders = [
    ...plain.map((order) => by_id.get(order.order_id)?.order ?? order),
    ...[...placed.values()].flatMap(({ order, parts }) => [order, ...parts]),
  ];
  await writeNewOrders(
    trx,
    {
      orders,
      attempts: steps.flatMap((step) => step.new_attempts),
      events: [
        ...received,
        ...steps.flatMap((step) => step.events),
        ...[...placed.values()].flatMap(({ events }) => events),
      ],
    },
    now,
  );
  const written = new Map(orders.map((order) => [order.order_id, order]));
  return results.map((result) => {
    if ('error' in result) return result;
    const order = written.get(result.order.order_id) ?? result.order;
    if (result.is_replay) return { ...result, order };
    const parts = placed.get(order.order_id)?.parts;
    const begun = (parts ?? [order]).flatMap((row) => begunOf(row, by_id.get(row.order_id)));
    return { ...result, order, begun, ended: [order, ...(parts ?? [])].filter(({ state }) => isFinal(state)) };
  });
}
const NOTHING_BEGUN: { begun: Begun[]; ended: OrderRow[] } = { begun: [], ended: [] };

/** A part whose turn came in this very commit is owned and not planned yet; a person's task is nobody's to go on with. */
function begunOf(order: OrderRow, step: Step | undefined): Begun[] {
  const attempt = step?.open_attempt ?? null;
  const is_to_plan = order.state === 'received' && order.due_at !== null;
  return attempt || is_to_plan ? [{ order, attempt }] : [];
}

async function writeNewOrders(
  trx: Trx,
  { orders, attempts, events }: { orders: OrderRow[]; attempts: AttemptRow[]; events: EventRow[] },
  now: number,
): Promise<void> {
  try {
    await insertOrders(trx, orders);
  } catch (error) {
    // The same external id was accepted by another process since we looked: look again.
    throw isDuplicate(error) ? new Retry('external id taken meanwhile') : error;
  }
  await insertAttempts(trx, attempts);
  await insertEvents(trx, events);
  await noticesOf(trx, orders, now);
}

function newOrder(engine: Engine, { storefront, request }: PlaceRequest, sku: SkuRow, now: number): OrderRow {
  return {
    order_id: newId('ord', now),
    storefront,
    external_id: request.external_id,
    request: canonicalRequest(request),
    sku: sku.sku,
    kind: sku.kind,
    quantity: request.quantity,
    delivered_quantity: 0,
    state: 'received',
    reason: null,
    held_reason: null,
    unit_price_e4: sku.price_e4,
    currency: sku.currency,
    due_at: now + engine.options.lease_ms,
    fence: 1,
    deadline_at: now + sku.deadline_ms,
    deliver_before: request.deliver_before,
    attempts_count: 0,
    version: 1,
    created_at: now,
    updated_at: now,
    completed_at: null,
    parent_order_id: null,
  };
}

function replay(order: OrderRow, request: OrderRequest): Placed {
  if (order.request === canonicalRequest(request)) return { order, is_replay: true, ...NOTHING_BEGUN };
  const before = JSON.parse(order.request) as Record<string, unknown>;
  const after = JSON.parse(canonicalRequest(request)) as Record<string, unknown>;
  const fields = Object.keys(after)
    .filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    // As the API calls it.
    .map((key) => key.replace(/_e4$/, ''));
  return {
    error: new GatewayError(
      'external_id_mismatch',
      `external_id was used for a different order; these fields differ: ${fields.join(', ')}`,
      {
        field: 'external_id',
        fix: 'Send the first request again unchanged to read that order, or use a new external_id for a new order.',
        errors: fields.map((field) => ({
          pointer: `/${field}`,
          code: 'differs',
          message: 'differs from the order first placed under this external_id',
        })),
        extra: { order_id: order.order_id },
      },
    ),
  };
}

/** What the catalog has against it, or null. */
function requestFault(skus: ReadonlyMap<string, SkuRow>, request: OrderRequest, now: number): GatewayError | null {
  const sku = skus.get(request.sku);
  if (!sku) {
    return new GatewayError('sku_not_found', `there is no SKU ${JSON.stringify(request.sku)}`, {
      field: 'sku',
      fix: 'Read GET /v1/skus for what can be ordered.',
    });
  }
  if (!sku.is_enabled) {
    return new GatewayError('sku_unavailable', 'this SKU is not sold at present', {
      field: 'sku',
      fix: 'Order another SKU, or ask the operator when it returns.',
    });
  }
  if (request.quantity > sku.quantity_max) {
    return new GatewayError('quantity_not_allowed', `quantity is ${request.quantity}; at most ${sku.quantity_max}`, {
      field: 'quantity',
      fix: `Order 1 to ${sku.quantity_max} units at a time.`,
      extra: { quantity_max: sku.quantity_max },
    });
  }
  return (
    recipientFault(sku, request) ??
    partsFault(sku, skus, request) ??
    priceFault(sku, request) ??
    timeFault(request, now)
  );
}

function recipientFault(sku: SkuRow, request: OrderRequest): GatewayError | null {
  const errors = checkRecipient(sku, request.recipient);
  if (errors.length === 0) return null;
  return new GatewayError('recipient_invalid', errors.map((error) => error.message).join('; '), {
    field: 'recipient',
    fix: 'Send the recipient fields as GET /v1/skus/{sku} lists them.',
    errors,
  });
}

function priceFault(sku: SkuRow, request: OrderRequest): GatewayError | null {
  if (request.currency !== null && request.currency !== sku.currency) {
    return new GatewayError('validation_failed', `this SKU is priced in ${sku.currency}`, {
      field: 'currency',
      fix: `Send currency ${sku.currency}, or leave it out.`,
      errors: [{ pointer: '/currency', code: 'currency', message: `must be ${sku.currency}` }],
    });
  }
  if (request.max_unit_price_e4 !== null && request.max_unit_price_e4 < sku.price_e4) {
    return new GatewayError('price_above_limit', 'the price is above max_unit_price', {
      field: 'max_unit_price',
      fix: 'Raise max_unit_price to the current price, or order another SKU.',
      extra: { price_e4: sku.price_e4, currency: sku.currency },
    });
  }
  return null;
}

function timeFault(request: OrderRequest, now: number): GatewayError | null {
  if (request.deliver_before === null || request.deliver_before > now) return null;
  return new GatewayError('validation_failed', 'deliver_before has passed', {
    field: 'deliver_before',
    fix: 'Send a time to come, or leave it out.',
    errors: [{ pointer: '/deliver_before', code: 'past', message: 'must lie in the future' }],
  });
}
