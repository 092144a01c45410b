// The two state tables, as literals, and the one function that moves along them and refuses everything else.
// A pair that is not written here is impossible; test/orders/states.test.ts walks every pair, allowed and forbidden.

export const ORDER_STATES = ['received', 'sourcing', 'held', 'delivered', 'partial', 'failed', 'cancelled'] as const;
export type OrderState = (typeof ORDER_STATES)[number];

export const ORDER_EVENTS = [
  'attempt_planned',
  'attempt_delivered',
  'attempt_detached',
  'attempt_overdue',
  'attempt_refused',
  'delivery_disputed',
  'sources_exhausted',
  'operator_released',
  'operator_closed',
  'cancelled',
  'part_moved',
] as const;
export type OrderEvent = (typeof ORDER_EVENTS)[number];

/** A bundle is never attempted: it is as its parts are, see bundle.ts. */
const AS_ITS_PARTS = ['sourcing', 'held', 'delivered', 'partial', 'failed'] as const;

/** From → event → where it may lead. Several targets: the facts of the order decide, and the caller names one. */
export const ORDER_TABLE: Readonly<Record<OrderState, Partial<Record<OrderEvent, readonly OrderState[]>>>> = {
  received: {
    attempt_planned: ['sourcing'],
    sources_exhausted: ['failed'],
    cancelled: ['cancelled'],
    part_moved: AS_ITS_PARTS,
  },
  sourcing: {
    attempt_planned: ['sourcing'],
    // All units issued, or a short delivery with more to find.
    attempt_delivered: ['delivered', 'sourcing'],
    attempt_detached: ['sourcing'],
    // `unknown` or `accepted` past the SKU's deadline: a person must look.
    attempt_overdue: ['held'],
    // `sourcing` when failover says try the next one, `failed` or `partial` when it says stop, `held` when it says hold.
    attempt_refused: ['sourcing', 'failed', 'partial', 'held'],
    delivery_disputed: ['held'],
    sources_exhausted: ['partial', 'failed'],
    part_moved: AS_ITS_PARTS,
  },
  held: {
    attempt_delivered: ['delivered', 'sourcing'],
    // Proof came after all: the same three ways out as from `sourcing`.
    attempt_refused: ['sourcing', 'failed', 'partial', 'held'],
    delivery_disputed: ['held'],
    operator_released: ['sourcing'],
    operator_closed: ['partial', 'failed'],
    part_moved: AS_ITS_PARTS,
  },
  delivered: {},
  partial: {},
  failed: {},
  cancelled: {},
};

export const ATTEMPT_STATES = ['planned', 'sent', 'accepted', 'unknown', 'delivered', 'refused'] as const;
export type AttemptState = (typeof ATTEMPT_STATES)[number];

export const ATTEMPT_EVENTS = [
  'send_marked',
  'send_abandoned',
  'vault_issued',
  'manual_queued',
  'answered_delivered',
  'answered_accepted',
  'answered_refused',
  'answer_missing',
  'found_delivered',
  'found_accepted',
  'found_refused',
  'found_absent',
  'operator_decided',
] as const;
export type AttemptEvent = (typeof ATTEMPT_EVENTS)[number];

export const ATTEMPT_TABLE: Readonly<Record<AttemptState, Partial<Record<AttemptEvent, readonly AttemptState[]>>>> = {
  planned: {
    send_marked: ['sent'],
    send_abandoned: ['refused'],
    // The vault is asked in the plan's own commit; too few codes are a refusal there and then.
    vault_issued: ['delivered', 'refused'],
    // A person is to deliver: it waits in the queue from the plan's own commit on, and nothing is ever sent.
    manual_queued: ['accepted'],
  },
  sent: {
    answered_delivered: ['delivered'],
    answered_accepted: ['accepted'],
    answered_refused: ['refused'],
    answer_missing: ['unknown'],
    // A callback may overtake the answer to the very call that caused it.
    found_delivered: ['delivered'],
    found_accepted: ['accepted'],
    found_refused: ['refused'],
  },
  accepted: {
    found_delivered: ['delivered'],
    found_refused: ['refused'],
    operator_decided: ['delivered', 'refused'],
  },
  unknown: {
    found_delivered: ['delivered'],
    found_accepted: ['accepted'],
    found_refused: ['refused'],
    // Only where the adapter's `absence` proves it, and only after its delay.
    found_absent: ['refused'],
    operator_decided: ['delivered', 'refused'],
  },
  delivered: {},
  refused: {},
};

/** A move that no table allows. In settling, it means that the news is old: the caller re-reads and lets it go. */
export class ForbiddenMove extends Error {
  constructor(what: string, from: string, event: string, to: string) {
    super(`${what}: no move from ${from} by ${event} to ${to}`);
    this.name = 'ForbiddenMove';
  }
}

/** The order state after `event`; throws `ForbiddenMove` if the table has no such move. */
export function moveOrder(from: OrderState, event: OrderEvent, to: OrderState): OrderState {
  if (!ORDER_TABLE[from][event]?.includes(to)) throw new ForbiddenMove('order', from, event, to);
  return to;
}

/** The attempt state after `event`; throws `ForbiddenMove` if the table has no such move. */
export function moveAttempt(from: AttemptState, event: AttemptEvent, to: AttemptState): AttemptState {
  if (!ATTEMPT_TABLE[from][event]?.includes(to)) throw new ForbiddenMove('attempt', from, event, to);
  return to;
}

/** Nothing more will happen to it, but a reversal or a claim. */
export function isFinal(state: OrderState): boolean {
  return Object.keys(ORDER_TABLE[state]).length === 0;
}

/** Money may be lying with the supplier: the attempt is neither delivered nor proven refused. */
export function mayHaveBought(state: AttemptState): boolean {
  return state === 'sent' || state === 'accepted' || state === 'unknown';
}
