// Both state tables, every pair: the allowed moves are spelled out here a second time, by hand, from the design; every
// other combination of state, event and target must be refused.
import { describe, expect, test } from '@jest/globals';
import { REASONS } from '../../adapters/kit/contract.js';
import { REFUSALS } from '../../src/orders/failover.js';
import {
  ATTEMPT_EVENTS,
  ATTEMPT_STATES,
  ATTEMPT_TABLE,
  ForbiddenMove,
  isFinal,
  moveAttempt,
  moveOrder,
  ORDER_EVENTS,
  ORDER_STATES,
  ORDER_TABLE,
} from '../../src/orders/states.js';

const ORDER_MOVES = `
received attempt_planned sourcing
received sources_exhausted failed
received cancelled cancelled
sourcing attempt_planned sourcing
sourcing attempt_delivered delivered
sourcing attempt_delivered sourcing
sourcing attempt_detached sourcing
sourcing attempt_overdue held
sourcing attempt_refused sourcing
sourcing attempt_refused failed
sourcing attempt_refused partial
sourcing attempt_refused held
sourcing delivery_disputed held
sourcing sources_exhausted partial
sourcing sources_exhausted failed
held attempt_delivered delivered
held attempt_delivered sourcing
held attempt_refused sourcing
held attempt_refused failed
held attempt_refused partial
held attempt_refused held
held delivery_disputed held
held operator_released sourcing
held operator_closed partial
held operator_closed failed
received part_moved sourcing
received part_moved held
received part_moved delivered
received part_moved partial
received part_moved failed
sourcing part_moved sourcing
sourcing part_moved held
sourcing part_moved delivered
sourcing part_moved partial
sourcing part_moved failed
held part_moved sourcing
held part_moved held
held part_moved delivered
held part_moved partial
held part_moved failed`;

const ATTEMPT_MOVES = `
planned send_marked sent
planned send_abandoned refused
planned vault_issued delivered
planned vault_issued refused
planned manual_queued accepted
sent answered_delivered delivered
sent answered_accepted accepted
sent answered_refused refused
sent answer_missing unknown
sent found_delivered delivered
sent found_accepted accepted
sent found_refused refused
accepted found_delivered delivered
accepted found_refused refused
accepted operator_decided delivered
accepted operator_decided refused
unknown found_delivered delivered
unknown found_accepted accepted
unknown found_refused refused
unknown found_absent refused
unknown operator_decided delivered
unknown operator_decided refused`;

describe.each([
  { what: 'order', moves: ORDER_MOVES, states: ORDER_STATES, events: ORDER_EVENTS, move: moveOrder },
  { what: 'attempt', moves: ATTEMPT_MOVES, states: ATTEMPT_STATES, events: ATTEMPT_EVENTS, move: moveAttempt },
])('the $what table', ({ moves, states, events, move }) => {
  const allowed = new Set(moves.trim().split('\n'));
  const mover = move as (from: string, event: string, to: string) => string;

  test('allows exactly the moves of the design, and refuses every other', () => {
    let refused = 0;
    for (const from of states) {
      for (const event of events) {
        for (const to of states) {
          if (allowed.has(`${from} ${event} ${to}`)) expect(mover(from, event, to)).toBe(to);
          else {
            expect(() => mover(from, event, to)).toThrow(ForbiddenMove);
            refused++;
          }
        }
      }
    }
    expect(refused).toBe(states.length ** 2 * events.length - allowed.size);
  });

  test('reaches every state from the first', () => {
    const reached = new Set<string>([states[0]!]);
    for (const _ of states) {
      for (const line of allowed) {
        const [from, , to] = line.split(' ') as [string, string, string];
        if (reached.has(from)) reached.add(to);
      }
    }
    expect([...reached].sort()).toEqual([...states].sort());
  });
});

test('an end state accepts nothing, and only end states are final', () => {
  expect(ORDER_STATES.filter(isFinal)).toEqual(['delivered', 'partial', 'failed', 'cancelled']);
  expect(Object.keys(ORDER_TABLE.delivered)).toEqual([]);
  expect(Object.keys(ATTEMPT_TABLE.delivered)).toEqual([]);
  expect(Object.keys(ATTEMPT_TABLE.refused)).toEqual([]);
});

test('every refusal reason permits what the design says, and nothing that is not a refusal is in the table', () => {
  const next = Object.fromEntries(Object.entries(REFUSALS).map(([reason, permission]) => [reason, permission.next]));
  expect(next).toEqual({
    not_sent: 'try_next',
    out_of_stock: 'try_next',
    cost_changed: 'try_next',
    limit_reached: 'try_next',
    busy: 'try_next',
    maintenance: 'try_next',
    float_low: 'try_next',
    credentials: 'try_next',
    sku_unknown: 'try_next',
    declined: 'try_next',
    recipient_invalid: 'stop',
    duplicate: 'hold',
    request_invalid: 'hold',
  });
  expect(Object.keys(REFUSALS).sort()).toEqual([...REASONS].sort());
});
