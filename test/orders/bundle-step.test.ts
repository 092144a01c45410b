// What a bundle is and does next, for parts in any states: it never begins too much, and never gives back what came.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bundleStep } from '../../src/orders/bundle.js';
import { refundAdvice, refundableQuantity } from '../../src/orders/notices.js';
import { isFinal } from '../../src/orders/states.js';
import type { OrderRow } from '../../src/orders/store.js';

/** What it costs in all. */
const PRICE = 250_000;

describe('the step of a bundle', () => {
  const bundle = { kind: 'bundle', quantity: 2, unit_price_e4: PRICE, state: 'sourcing' } as OrderRow;
  const FINAL = ['delivered', 'partial', 'failed', 'cancelled'] as const;
  const part = fc
    .record({
      state: fc.constantFrom('received', 'sourcing', 'held', ...FINAL),
      quantity: fc.constantFrom(2, 4, 6),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    .map(({ state, quantity, share }, index?: number) => {
      const some = Math.min(quantity - 1, 1 + Math.floor(share * quantity));
      const delivered = { delivered: quantity, partial: some, sourcing: some - 1 }[state as 'delivered'] ?? 0;
      return {
        order_id: `p${index}`,
        kind: 'code',
        state,
        quantity,
        delivered_quantity: delivered,
        unit_price_e4: 10_000,
        attempts_count: 1,
        due_at: share < 0.3 || state === 'sourcing' ? 9 : null,
        reason: FINAL.includes(state as 'failed') && state !== 'delivered' ? 'declined' : null,
      } as OrderRow;
    });

  test.each(['finish', 'stop'] as const)('never begins too much, and never ends too early, with %s', (policy) => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const step = bundleStep(bundle, parts, policy);
        const failed = parts.some(({ state }) => ['partial', 'failed', 'cancelled'].includes(state));
        const waiting = parts.filter(({ state, due_at }) => state === 'received' && due_at === null);
        const running = parts.filter((each) => !isFinal(each.state) && !waiting.includes(each));
        if (policy === 'stop') {
          expect(step.begin.length).toBe(failed || running.length > 0 ? 0 : Math.min(1, waiting.length));
          expect(step.withdraw).toEqual(failed ? waiting : []);
        } else {
          expect(step.begin).toEqual(waiting);
          expect(step.withdraw).toEqual([]);
        }
        const is_open = running.length > 0 || waiting.length > step.withdraw.length;
        expect(isFinal(step.state)).toBe(!is_open);
        expect(step.state === 'delivered').toBe(parts.every(({ state }) => state === 'delivered'));
        // While anything is open nothing is given back; after that, no more than was not delivered.
        const after = { ...bundle, state: step.state, delivered_quantity: step.delivered_quantity };
        const advice = refundAdvice(after);
        expect(advice === 'do_not_refund').toBe(is_open);
        const came = parts.some(({ delivered_quantity }) => delivered_quantity > 0);
        expect(advice === 'safe_to_refund').toBe(!is_open && !came);
        expect(refundableQuantity(after)).toBe(advice === 'safe_to_refund' ? 2 : 0);
        for (const each of parts)
          expect(step.delivered_quantity).toBeLessThanOrEqual((each.delivered_quantity * 2) / each.quantity);
      }),
      { numRuns: 500 },
    );
  });
});
