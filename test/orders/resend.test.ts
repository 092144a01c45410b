// Asking by sending again: only where they promise the original, only within their window, only while the order still
// wants it, and never while the first request may be under way.
import { describe, expect, test } from '@jest/globals';
import { PESSIMISTIC, type Promises, type Supplier } from '../../adapters/kit/contract.js';
import { supplierFor } from '../../adapters/register.js';
import { canBeAsked, mayResend } from '../../src/orders/settle.js';
import type { AttemptRow } from '../../src/orders/store.js';

const DAY_MS = 86_400_000;
const SENT_AT = Date.UTC(2026, 0, 1);
const attempt = (changes: Partial<AttemptRow> = {}): AttemptRow =>
  ({ state: 'unknown', sent_at: SENT_AT, detached_at: null, supplier_reference: null, ...changes }) as AttemptRow;
const supplier = (promises: Partial<Promises>): Supplier => ({
  ...supplierFor('simulated'),
  promises: { ...PESSIMISTIC, ...promises },
});

describe('a resend', () => {
  test.each<[string, Partial<Promises>, Partial<AttemptRow>, number, boolean]>([
    [
      'is allowed where the original comes back',
      { lookup_by: 'resend', repeat_reference: 'returns_original' },
      {},
      0,
      true,
    ],
    ['is not where a repeat buys again', { lookup_by: 'resend', repeat_reference: 'buys_again' }, {}, 0, false],
    ['is not where a repeat is rejected', { lookup_by: 'resend', repeat_reference: 'is_rejected' }, {}, 0, false],
    [
      'is not where another way of asking is promised',
      { lookup_by: 'reference', repeat_reference: 'returns_original' },
      {},
      0,
      false,
    ],
    [
      'is allowed within their window',
      { lookup_by: 'resend', repeat_reference: { returns_original_within_ms: 30 * DAY_MS } },
      {},
      20 * DAY_MS,
      true,
    ],
    [
      'is not near its end',
      { lookup_by: 'resend', repeat_reference: { returns_original_within_ms: 30 * DAY_MS } },
      {},
      28 * DAY_MS,
      false,
    ],
    [
      'is not after it',
      { lookup_by: 'resend', repeat_reference: { returns_original_within_ms: 30 * DAY_MS } },
      {},
      31 * DAY_MS,
      false,
    ],
    [
      'is not for a detached attempt',
      { lookup_by: 'resend', repeat_reference: 'returns_original' },
      { detached_at: SENT_AT },
      0,
      false,
    ],
    [
      'is not for one that was never sent',
      { lookup_by: 'resend', repeat_reference: 'returns_original' },
      { sent_at: null },
      0,
      false,
    ],
  ])('%s', (_title, promises, changes, after_ms, allowed) => {
    expect(mayResend(attempt(changes), supplier(promises), SENT_AT + after_ms)).toBe(allowed);
  });

  test('a supplier that can only be asked by it cannot be asked once it is not allowed', () => {
    const only = supplier({ lookup_by: 'resend', repeat_reference: { returns_original_within_ms: DAY_MS } });
    expect(canBeAsked(attempt(), only, SENT_AT + DAY_MS / 2)).toBe(true);
    expect(canBeAsked(attempt(), only, SENT_AT + 2 * DAY_MS)).toBe(false);
    expect(canBeAsked(attempt({ supplier_reference: 'x' }), only, SENT_AT + 2 * DAY_MS)).toBe(true);
  });
});
