// STOREFRONTS.md is what storefronts build on: its requests, fields, states, advice and errors are those of the program.
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { ERROR_STATUS } from '../../src/errors.js';
import { allRoutes, type HttpDeps } from '../../src/http/app.js';
import { refundAdvice } from '../../src/orders/notices.js';
import { canonicalRequest } from '../../src/orders/request.js';
import { ORDER_STATES } from '../../src/orders/states.js';
import type { OrderRow } from '../../src/orders/store.js';
import { orderView } from '../../src/orders/view.js';
import { RETRY_LADDER_MS } from '../../src/storefronts/webhooks.js';

const GUIDE = readFileSync('STOREFRONTS.md', 'utf8');
/** The rows of the tables, cell by cell. */
const ROWS = GUIDE.split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
  .map((line) => line.slice(2, -2).split(' | '));
const words = (cell: string | undefined): string[] => [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, word]) => word!);

test('every request of the API is told with its scope, and no other', () => {
  const routes = allRoutes({} as HttpDeps)
    .filter(({ path }) => path.startsWith('/v1/'))
    .map(({ method, path, scope }) => `${method} ${path} ${scope === 'any_key' ? 'any' : scope}`);
  const told = ROWS.filter(([first]) => /^`(GET|POST) /.test(first ?? '')).map(
    ([request, scope]) => `${words(request)[0]} ${words(scope)[0] ?? scope}`,
  );
  expect(told.sort()).toEqual(routes.sort());
});

function row(changes: Partial<OrderRow>): OrderRow {
  const request = canonicalRequest({
    external_id: 'A-1',
    sku: 'card',
    quantity: 1,
    recipient: null,
    max_unit_price_e4: null,
    currency: null,
    allow_partial: false,
    deliver_before: null,
    callback_url: null,
    metadata: null,
  });
  return {
    order_id: 'ord_1',
    external_id: 'A-1',
    request,
    sku: 'card',
    kind: 'code',
    quantity: 1,
    delivered_quantity: 0,
    state: 'failed',
    reason: 'declined',
    held_reason: null,
    unit_price_e4: 1,
    currency: 'CNY',
    created_at: 1,
    updated_at: 1,
    completed_at: 1,
    parent_order_id: null,
    ...changes,
  } as OrderRow;
}

test('every field of an order is told, and no other', () => {
  const view = orderView(row({ kind: 'bundle' }), [row({})]);
  const table = ROWS.slice(
    ROWS.findIndex(([first]) => first === 'Field') + 1,
    ROWS.findIndex(([first]) => first === '`status`'),
  );
  expect(table.flatMap(([fields]) => words(fields)).sort()).toEqual(Object.keys(view).sort());
  const [, parts] = table.find(([fields]) => words(fields).includes('parts'))!;
  expect(words(parts).sort()).toEqual(Object.keys(view.parts![0]!).sort());
});

test('what each status means for a refund is what the program says', () => {
  const at = ROWS.findIndex(([first]) => first === '`status`');
  const told = new Map<string, string>();
  for (const [states, , advice] of ROWS.slice(at + 1, at + 7)) {
    for (const state of words(states))
      told.set(`${states!.includes('bundle') ? 'bundle ' : ''}${state}`, words(advice)[0]!);
  }
  for (const state of ORDER_STATES) {
    expect([state, told.get(state)]).toEqual([state, refundAdvice({ state, kind: 'code' })]);
    const of_bundle = told.get(`bundle ${state}`) ?? told.get(state);
    expect([state, of_bundle]).toEqual([state, refundAdvice({ state, kind: 'bundle' })]);
  }
});

test('every error a storefront can meet is told with its HTTP status', () => {
  const at = ROWS.findIndex(([first]) => first === '`code`');
  const told = ROWS.slice(at + 1).flatMap(([codes, statuses]) =>
    words(codes).map((code) => [code, statuses!] as const),
  );
  // What is wrong with a catalog file or a setting is an operator's matter.
  const codes = Object.entries(ERROR_STATUS).filter(([code]) => code !== 'config_invalid');
  expect(told.map(([code]) => code).sort()).toEqual(codes.map(([code]) => code).sort());
  for (const [code, statuses] of told) {
    expect([code, statuses.split(', ')]).toEqual([
      code,
      expect.arrayContaining([String(ERROR_STATUS[code as 'conflict'])]),
    ]);
  }
});

test('the ladder of webhooks is as long as it says', () => {
  const hours = RETRY_LADDER_MS.reduce((sum, ms) => sum + ms, 0) / 3_600_000;
  expect([RETRY_LADDER_MS.length + 1, Math.floor(hours)]).toEqual([10, 75]);
  expect(GUIDE).toContain('Ten tries in\nabout 75 hours');
});
