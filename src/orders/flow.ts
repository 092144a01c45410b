// The two ways an order goes on after an attempt: to its next step, or to a person.
import type { Settling } from './settling.js';
import { moveOrder } from './states.js';

/** The order needs another step: at once by the worker that owns it, or by whoever finds it due. */
export function goOn(settling: Settling, event: 'attempt_refused' | 'attempt_delivered' | 'attempt_detached'): void {
  const { order, news, now, engine } = settling;
  const still_owned = news.fence !== undefined && news.fence === order.fence;
  settling.order = {
    ...order,
    state: moveOrder(order.state, event, 'sourcing'),
    held_reason: null,
    due_at: still_owned ? now + engine.options.lease_ms : now,
  };
}

/** A person must decide. */
export function hold(
  settling: Settling,
  event: 'attempt_refused' | 'attempt_overdue' | 'delivery_disputed',
  held_reason: string,
): void {
  const { order } = settling;
  settling.order = { ...order, state: moveOrder(order.state, event, 'held'), held_reason, due_at: null };
}
