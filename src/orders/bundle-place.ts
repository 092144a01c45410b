// Accepting a bundle's order: its parts are written with it, in the same commit, and those that begin at once are
// planned with everybody else's.
import { bundleParts, checkPartRecipient } from '../catalog/bundles.js';
import { readSkus, type SkuRow } from '../catalog/skus.js';
import type { Trx } from '../db/atomic.js';
import { GatewayError, must } from '../errors.js';
import { beginPart, bundleEvents, bundleStep, moveBundle, partOrders, withdrawPart } from './bundle.js';
import type { Engine } from './engine.js';
import { couldBegin, type Step } from './plan.js';
import type { OrderRequest } from './request.js';
import { type EventRow, newEvent, type OrderRow } from './store.js';

/** `skus` and the SKUs that their bundles are made of. */
export async function withPartSkus(trx: Trx, skus: Map<string, SkuRow>): Promise<Map<string, SkuRow>> {
  const parts = [...skus.values()].flatMap((sku) => bundleParts(sku).map((part) => part.sku));
  const missing = [...new Set(parts)].filter((sku) => !skus.has(sku));
  return missing.length === 0 ? skus : new Map([...skus, ...(await readSkus(trx, missing))]);
}

/** What the parts of the SKU have against the request, or null. A SKU that is no bundle has no parts. */
export function partsFault(sku: SkuRow, skus: ReadonlyMap<string, SkuRow>, request: OrderRequest): GatewayError | null {
  const parts = bundleParts(sku);
  if (parts.some((part) => !skus.get(part.sku)?.is_enabled)) {
    return new GatewayError('sku_unavailable', 'a part of this bundle is not sold at present', {
      field: 'sku',
      fix: 'Order another SKU, or ask the operator when it returns.',
    });
  }
  const errors = parts.flatMap((part) => checkPartRecipient(part, skus.get(part.sku)!, request.recipient));
  if (errors.length === 0) return null;
  return new GatewayError('recipient_invalid', errors.map((error) => error.message).join('; '), {
    field: 'recipient',
    fix: 'Send the recipient fields as GET /v1/skus/{sku} lists them.',
    errors,
  });
}

export interface NewBundle {
  order: OrderRow;
  sku: SkuRow;
  parts: OrderRow[];
  /** Its parts that are to be planned in this commit. */
  first: OrderRow[];
  /** Why it comes to nothing, where that is known before anything is bought. */
  fault: { reason: string; sku: string } | null;
}

/** The new bundle with its parts. Under `stop` nothing begins unless every part has a source that could take it now. */
export async function newBundle(
  engine: Engine,
  trx: Trx,
  order: OrderRow,
  skus: ReadonlyMap<string, SkuRow>,
): Promise<NewBundle> {
  const now = engine.now();
  const sku = skus.get(order.sku);
  must(sku, 'a bundle is accepted by its SKU');
  const begun = { due_at: now + engine.options.lease_ms, fence: 1 };
  const parts = partOrders(order, sku, skus, now);
  must(parts.length > 0, 'a bundle has parts');
  if (sku.failed_part !== 'stop') {
    const all = parts.map((part) => ({ ...part, ...begun }));
    return { order, sku, parts: all, first: all, fault: null };
  }
  for (const part of parts) {
    if (await couldBegin(engine, trx, part)) continue;
    return { order, sku, parts, first: [], fault: { reason: 'no_live_source', sku: part.sku } };
  }
  const [one, ...others] = parts.map((part, index) => (index === 0 ? { ...part, ...begun } : part));
  must(one, 'a bundle has parts');
  return { order, sku, parts: [one, ...others], first: [one], fault: null };
}

export interface PlacedBundle {
  order: OrderRow;
  parts: OrderRow[];
  events: EventRow[];
}

/** The bundle and its parts as they are written, after `steps` have planned the parts that begin. */
export function placeBundle(
  engine: Engine,
  { order, parts, fault }: NewBundle,
  steps: ReadonlyMap<string, Step>,
  skus: ReadonlyMap<string, SkuRow>,
): PlacedBundle {
  const now = engine.now();
  const planned = parts.map((part) => steps.get(part.order_id)?.order ?? part);
  const policy = skus.get(order.sku)?.failed_part ?? 'finish';
  const step = fault
    ? {
        ...bundleStep(
          order,
          parts.map((part) => withdrawPart(part, now)),
          policy,
        ),
        reason: fault.reason,
        withdraw: parts,
      }
    : bundleStep(order, planned, policy);
  const after = moveBundle(order, step, now);
  const written = planned.map((part) => {
    if (step.withdraw.includes(part)) return withdrawPart(part, now);
    return step.begin.includes(part) ? beginPart(engine, part, skus.get(part.sku)!, now) : part;
  });
  const names = parts.map(({ order_id, sku, quantity }) => ({ part: order_id, sku, quantity }));
  return {
    order: after,
    parts: written,
    events: [
      newEvent(order.order_id, now, 'bundle_parts', { parts: names, ...(fault ? { no_source_for: fault.sku } : {}) }),
      ...bundleEvents(order, after, step, now),
    ],
  };
}
