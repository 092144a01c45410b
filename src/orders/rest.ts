// An order at its end: nothing is due any more.
import { moveOrder, type OrderEvent, type OrderState } from './states.js';
import type { OrderRow } from './store.js';

/** The order moved to the end state `to`. */
export function restAt(
  order: OrderRow,
  to: OrderState,
  event: OrderEvent,
  reason: string | null,
  now: number,
): OrderRow {
  return {
    ...order,
    state: moveOrder(order.state, event, to),
    reason,
    held_reason: null,
    due_at: null,
    completed_at: now,
  };
}
