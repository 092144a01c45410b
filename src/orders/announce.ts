// After a commit: who waits for an order is woken, and the metrics are told of its end. Never before it.
import type { Engine } from './engine.js';
import { isFinal } from './states.js';
import type { OrderRow } from './store.js';

/** Tells that this process has committed a change of the order; `before` is its row until then, null if it is new. */
export function announce(engine: Engine, { before, after }: { before: OrderRow | null; after: OrderRow }): void {
  engine.bell.ring(after.order_id);
  if (!isFinal(after.state) || (before !== null && isFinal(before.state))) return;
  engine.observe({
    event: 'order_rested',
    is_part: after.parent_order_id !== null,
    storefront: after.storefront,
    kind: after.kind,
    state: after.state,
    reason: after.reason,
    duration_ms: (after.completed_at ?? after.updated_at) - after.created_at,
    attempts: after.attempts_count,
    order_id: after.order_id,
    delivered_quantity: after.delivered_quantity,
    unit_price_e4: after.unit_price_e4,
    currency: after.currency,
  });
}

/** Rings when this process has moved an order; those who wait for that order look again. */
export interface Bell {
  ring(order_id: string): void;
  /** Resolves at the next ring for this order, or after `ms`. */
  heard(order_id: string, ms: number): Promise<void>;
}

export function createBell(): Bell {
  const waiting = new Map<string, Set<() => void>>();
  return {
    ring: (order_id) => {
      for (const wake of waiting.get(order_id) ?? []) wake();
    },
    heard: (order_id, ms) =>
      new Promise((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          const set = waiting.get(order_id);
          set?.delete(wake);
          if (set?.size === 0) waiting.delete(order_id);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        const set = waiting.get(order_id) ?? new Set();
        waiting.set(order_id, set.add(wake));
      }),
  };
}
