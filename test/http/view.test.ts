// How an order's facts are spelled for its storefront: masks, money, reasons.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { REASONS } from '../../adapters/kit/contract.js';
import { publicReason } from '../../src/orders/reason.js';
import type { OrderRow } from '../../src/orders/store.js';
import { decimalText, eventView, mask, maskRecipient, orderView, REASON_FACTS } from '../../src/orders/view.js';

const ROW: OrderRow = {
  order_id: 'ord_01JABCDEFGHJKMNPQRSTVWXYZ0',
  storefront: 'mall',
  external_id: 'A-1',
  request: JSON.stringify({ recipient: null, allow_partial: true, metadata: null }),
  sku: 'card',
  kind: 'code',
  quantity: 3,
  delivered_quantity: 1,
  state: 'partial',
  reason: 'out_of_stock',
  held_reason: null,
  unit_price_e4: 48_715,
  currency: 'CNY',
  due_at: null,
  fence: 1,
  deadline_at: 5_000,
  deliver_before: null,
  attempts_count: 2,
  version: 4,
  created_at: 1_000,
  updated_at: 2_000,
  completed_at: 2_000,
  parent_order_id: null,
};

test('recipients are masked by what they look like', () => {
  const masks: [string, string][] = [
    ['13812348000', '138****8000'],
    ['+8613812348000', '+86****8000'],
    ['alice@example.com', 'a****@example.com'],
    ['a@example.com', '****@example.com'],
    ['12345678', '12****78'],
    ['1234', '1****4'],
    ['123', '****'],
    ['', '****'],
    ['玩家一二三四五六七八九十', '玩家一****七八九十'],
    ['😀😁😂😃', '😀****😃'],
  ];
  for (const [text, masked] of masks) expect(mask(text)).toBe(masked);
  expect(maskRecipient({ account: '13812348000', region: 'CN', role: 'Warrior', extra: { zone: 'south-9' } })).toEqual({
    account: '138****8000',
    region: 'CN',
    role: 'W****r',
    extra: { zone: 's****9' },
  });
});

test('a mask never holds more than half of a text', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }), (text) => {
      const [local = ''] = text.lastIndexOf('@') > 0 ? [text.slice(0, text.lastIndexOf('@'))] : [text];
      const shown = mask(local.replaceAll('@', 'x')).replace('****', '');
      expect(Array.from(shown).length).toBeLessThanOrEqual(Math.max(0, Array.from(local).length * 0.64));
    }),
  );
});

test('money has two to four places, and loses nothing', () => {
  const texts: [number | bigint, string][] = [
    [0, '0.00'],
    [1, '0.0001'],
    [48_715, '4.8715'],
    [95_000, '9.50'],
    [95_010, '9.501'],
    [1_000_000, '100.00'],
    [-48_715, '-4.8715'],
    [90_071_992_547_409_930_000n, '9007199254740993.00'],
  ];
  for (const [amount_e4, text] of texts) expect(decimalText(amount_e4)).toBe(text);
  fc.assert(
    fc.property(fc.maxSafeNat(), (amount_e4) => {
      const [whole = '', places = ''] = decimalText(amount_e4).split('.');
      expect(BigInt(whole) * 10_000n + BigInt(places.padEnd(4, '0'))).toBe(BigInt(amount_e4));
    }),
  );
});

test('a total beyond what a number holds is exact', () => {
  const view = orderView({ ...ROW, quantity: 9_999, unit_price_e4: 9_999_999_999_999 });
  expect(view.total_price).toBe('9998999999999.0001');
});

test('a partial order tells how much of it may be refunded', () => {
  expect(orderView(ROW)).toMatchObject({
    status: 'partial',
    final: true,
    refund_advice: 'safe_to_refund',
    refundable_quantity: 2,
    total_price: '14.6145',
    reason: { code: 'out_of_stock', fault: 'upstream', retryable: true },
    codes: { count: 1 },
  });
});

test('a held order says that a person decides, and not to refund', () => {
  expect(
    orderView({ ...ROW, state: 'held', reason: null, held_reason: 'attempt_unknown', completed_at: null }),
  ).toMatchObject({
    final: false,
    refund_advice: 'do_not_refund',
    refundable_quantity: 0,
    reason: { code: 'held', fault: 'upstream', retryable: false },
    next_update_by: null,
  });
});

test('an order under way tells until when it will have moved', () => {
  expect(orderView({ ...ROW, state: 'sourcing', reason: null, completed_at: null })).toMatchObject({
    reason: null,
    next_update_by: '1970-01-01T00:00:05.000Z',
    completed_at: null,
  });
});

test('every reason a supplier can have is put in words, and our own troubles are not told', () => {
  for (const reason of REASONS) expect(REASON_FACTS).toHaveProperty(publicReason(reason)!);
  for (const reason of ['float_low', 'credentials', 'request_invalid']) {
    expect(orderView({ ...ROW, reason }).reason).toMatchObject({ code: 'no_live_source' });
  }
  expect(orderView({ ...ROW, reason: 'something_new' }).reason).toMatchObject({
    code: 'something_new',
    fault: 'platform',
  });
});

test('an event that no storefront should see is not shown', () => {
  const event = {
    event_id: 'evt_1',
    order_id: 'ord_1',
    at: 0,
    data: JSON.stringify({ account: 'acme', number: 1, message: 'x' }),
  };
  for (const type of ['late_codes', 'cost_above_ceiling', 'operator_closed', 'attempt_reversed', 'anything_new']) {
    expect(eventView({ ...event, type })).toBeNull();
  }
  expect(eventView({ ...event, type: 'attempt_unknown' })).toEqual({
    id: 'evt_1',
    object: 'event',
    type: 'attempt_unknown',
    at: '1970-01-01T00:00:00.000Z',
    data: { number: 1 },
  });
});
