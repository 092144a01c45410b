// A bundle: one order for its storefront, a hidden order for each part. The parts are orders like any other and are
// bought, failed over, held and settled as such; here stands only when a part begins and what the whole comes to.
import { bundleParts, partRecipient } from '../catalog/bundles.js';
import { type FailedPart, readSkus, type SkuRow } from '../catalog/skus.js';
import type { Trx } from '../db/atomic.js';
import { must } from '../errors.js';
import { newId } from '../ids.js';
import type { Engine } from './engine.js';
import { noticesOf } from './notices.js';
import { partExternalId, readParts } from './parts.js';
import { canonicalRequest, requestOf } from './request.js';
import { restAt } from './rest.js';
import { isFinal, moveOrder, type OrderState } from './states.js';
import { insertEvents, newEvent, type OrderRow, updateOrder } from './store.js';

/** The orders of a new bundle's parts, none of them begun. `skus` holds the parts' SKUs. */
export function partOrders(
  bundle: OrderRow,
  sku: Pick<SkuRow, 'parts'>,
  skus: ReadonlyMap<string, SkuRow>,
  now: number,
): OrderRow[] {
  const { recipient, allow_partial, deliver_before } = requestOf(bundle);
  return bundleParts(sku).map((part, index) => {
    const part_sku = skus.get(part.sku);
    must(part_sku, `the parts of ${bundle.sku} exist`);
    const quantity = bundle.quantity * part.quantity;
    const external_id = partExternalId(bundle.order_id, index + 1);
    return {
      ...bundle,
      order_id: newId('ord', now),
      external_id,
      request: canonicalRequest({
        external_id,
        sku: part.sku,
        quantity,
        recipient: partRecipient(part, part_sku, recipient),
        max_unit_price_e4: null,
        currency: null,
        allow_partial,
        deliver_before,
        callback_url: null,
        metadata: null,
      }),
      sku: part.sku,
      kind: part_sku.kind,
      quantity,
      unit_price_e4: part.price_e4,
      due_at: null,
      fence: 0,
      deadline_at: now + part_sku.deadline_ms,
      parent_order_id: bundle.order_id,
    };
  });
}

export interface BundleStep {
  state: OrderState;
  delivered_quantity: number;
  attempts_count: number;
  reason: string | null;
  held_reason: string | null;
  /** Parts to begin now. */
  begin: OrderRow[];
  /** Parts that were not begun and never will be. */
  withdraw: OrderRow[];
}

/** The reason of a part that was not begun because another one failed. */
export const WITHDRAWN = 'bundle_stopped';

/** What a bundle is and does next, by its parts as they stand. Pure. */
export function bundleStep(bundle: OrderRow, parts: readonly OrderRow[], policy: FailedPart): BundleStep {
  const failed = parts.find(({ state, reason }) => isFinal(state) && state !== 'delivered' && reason !== WITHDRAWN);
  const waiting = parts.filter((part) => part.state === 'received' && part.due_at === null);
  // Begun is what somebody owns, though it is not planned yet: no second owner may come to it.
  const running = parts.filter((part) => !isFinal(part.state) && !waiting.includes(part));
  const withdraw = policy === 'stop' && failed ? waiting : [];
  const open = running.length > 0 || waiting.length > withdraw.length;
  const whole = {
    delivered_quantity: Math.min(...parts.map((part) => wholeBundles(bundle, part))),
    attempts_count: parts.reduce((sum, part) => sum + part.attempts_count, 0),
    begin: withdraw.length > 0 ? [] : toBegin(policy, waiting, running),
    withdraw,
  };
  if (open) {
    const is_held = running.some(({ state }) => state === 'held');
    return { ...whole, state: is_held ? 'held' : 'sourcing', reason: null, held_reason: is_held ? 'part_held' : null };
  }
  const state = endOf(parts);
  return { ...whole, state, reason: state === 'delivered' ? null : (failed?.reason ?? null), held_reason: null };
}

/** `stop`: one after the other, so that nothing is bought beside a part that fails. `finish`: all at once. */
function toBegin(policy: FailedPart, waiting: OrderRow[], running: readonly OrderRow[]): OrderRow[] {
  if (policy === 'finish') return waiting;
  return running.length > 0 ? [] : waiting.slice(0, 1);
}

function endOf(parts: readonly OrderRow[]): OrderState {
  if (parts.every(({ state }) => state === 'delivered')) return 'delivered';
  return parts.some(({ delivered_quantity }) => delivered_quantity > 0) ? 'partial' : 'failed';
}

function wholeBundles(bundle: OrderRow, part: OrderRow): number {
  return Math.floor((part.delivered_quantity * bundle.quantity) / part.quantity);
}

/** The bundle's row after its step; nothing is due until a part moves. */
export function moveBundle(bundle: OrderRow, step: BundleStep, now: number): OrderRow {
  const { state, delivered_quantity, attempts_count, reason, held_reason } = step;
  const moved = isFinal(state)
    ? restAt(bundle, state, 'part_moved', reason, now)
    : { ...bundle, state: moveOrder(bundle.state, 'part_moved', state), held_reason, due_at: null };
  return { ...moved, delivered_quantity, attempts_count };
}

/** The part's row once it is begun: owned by this process under its fence, as a new order is. */
export function beginPart(engine: Engine, part: OrderRow, sku: Pick<SkuRow, 'deadline_ms'>, now: number): OrderRow {
  return {
    ...part,
    fence: part.fence + 1,
    due_at: now + engine.options.lease_ms,
    deadline_at: now + sku.deadline_ms,
  };
}

export function withdrawPart(part: OrderRow, now: number): OrderRow {
  return restAt(part, 'cancelled', 'cancelled', WITHDRAWN, now);
}

/**
 * The step of a bundle's order that is due, in the open transaction, which holds its lock. Returns it as it is now, and
 * the parts that were begun, which the caller owns.
 */
export async function takeBundleStep(
  engine: Engine,
  trx: Trx,
  bundle: OrderRow,
): Promise<{ after: OrderRow; begun: OrderRow[] }> {
  const now = engine.now();
  const parts = (await readParts(trx, [bundle.order_id])).get(bundle.order_id) ?? [];
  const skus = await readSkus(trx, [bundle.sku, ...parts.map(({ sku }) => sku)]);
  const step = bundleStep(bundle, parts, skus.get(bundle.sku)?.failed_part ?? 'finish');
  const begun: OrderRow[] = [];
  for (const part of step.begin) {
    const sku = skus.get(part.sku);
    must(sku, `the part ${part.sku} is a SKU that exists`);
    const { fence, due_at, deadline_at } = beginPart(engine, part, sku, now);
    begun.push(await updateOrder(trx, part, { fence, due_at, deadline_at }, now));
  }
  for (const part of step.withdraw) {
    const { order_id: _id, ...changes } = withdrawPart(part, now);
    await updateOrder(trx, part, changes, now);
  }
  // After its parts: what they have just told it is known.
  const { order_id, ...changes } = moveBundle(bundle, step, now);
  const after = await updateOrder(trx, bundle, changes, now);
  await insertEvents(trx, bundleEvents(bundle, after, step, now));
  if (after.state !== bundle.state) await noticesOf(trx, [after], now);
  return { after, begun };
}

/** What of the step belongs into the timelines of the bundle and of the parts it withdrew. */
export function bundleEvents(bundle: OrderRow, after: OrderRow, step: BundleStep, now: number) {
  const { order_id } = bundle;
  const { reason, held_reason, delivered_quantity, state } = after;
  return [
    ...step.withdraw.flatMap((part) => [
      newEvent(order_id, now, 'part_withdrawn', { part: part.order_id, sku: part.sku }),
      newEvent(part.order_id, now, 'order_cancelled', { reason: WITHDRAWN }),
    ]),
    ...step.begin.map((part) => newEvent(order_id, now, 'part_begun', { part: part.order_id, sku: part.sku })),
    ...(state === bundle.state
      ? []
      : [newEvent(order_id, now, `order_${state}`, { reason, held_reason, delivered_quantity })]),
  ];
}
