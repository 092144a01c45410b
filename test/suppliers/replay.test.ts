// Breaker settings by replay: what a breaker would have done to purchases that were made, first on plain calls, then
// on attempts as they stand in the database.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Call, replayBreaker, runBreaker } from '../../src/suppliers/replay.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';

const SETTINGS = { volume_min: 5, error_percent: 50, window_ms: 10_000, open_ms: 30_000 };

/** One call a second from `from` on: `.` went well, `x` met a fault; each takes a tenth of a second. */
function calls(text: string, from = 0, every_ms = 1_000): Call[] {
  return [...text].map((sign, at) => {
    const sent_at = from + at * every_ms;
    return { sent_at, ended_at: sent_at + 100, is_fault: sign === 'x' };
  });
}

describe('runBreaker', () => {
  test('stays closed while faults are few, or calls are', () => {
    expect(runBreaker(calls('.x.x.x.x.x.x.x.x'), SETTINGS)).toMatchObject({ trips: 0, orders_saved: 0, open_ms: 0 });
    expect(runBreaker(calls('xxxx'), SETTINGS)).toMatchObject({ trips: 0 });
    expect(runBreaker(calls('xxxxxxxx', 0, 4_000), SETTINGS)).toMatchObject({ trips: 0 });
  });

  test('opens at the fifth fault, keeps back what follows, and closes after a probe that goes well', () => {
    // The 6th to the 35th second fall into the 30 s it stands open; the probe after them goes well.
    const run = runBreaker(calls(`xxxxx${'x'.repeat(20)}${'.'.repeat(20)}`), SETTINGS);
    expect(run).toEqual({ trips: 1, false_trips: 0, orders_saved: 20, orders_turned_away: 10, open_ms: 30_000 });
  });

  test('a probe that meets a fault leaves it open, and is no trip of its own', () => {
    const run = runBreaker(calls(`xxxxx${'x'.repeat(40)}${'.'.repeat(40)}`), SETTINGS);
    expect(run).toMatchObject({ trips: 1, open_ms: 60_000, orders_saved: 39 });
  });

  test('a trip while which most purchases went well was false', () => {
    const run = runBreaker(calls(`xxxxx${'.'.repeat(60)}`), SETTINGS);
    expect(run).toMatchObject({ trips: 1, false_trips: 1, orders_saved: 0, orders_turned_away: 30 });
  });

  test('a call that was under way when it opened does not open it again', () => {
    const slow = { sent_at: 4_050, ended_at: 34_000, is_fault: true };
    const run = runBreaker([...calls('xxxxx'), slow, ...calls('.'.repeat(10), 40_000)], SETTINGS);
    expect(run).toMatchObject({ trips: 1, open_ms: 30_000 });
  });

  test('a million calls take a moment', () => {
    const many = calls('.'.repeat(900_000) + 'x'.repeat(100_000), 0, 1);
    expect(runBreaker(many, { ...SETTINGS, window_ms: 3_600_000 })).toMatchObject({ trips: 0 });
    expect(runBreaker(many, SETTINGS).trips).toBe(1);
  });
});

describe('replayBreaker', () => {
  let opened: TestDatabase;
  const NOW = Date.UTC(2026, 0, 8);
  const DAY_MS = 86_400_000;

  beforeAll(async () => {
    opened = await openTestDatabase();
    const { write } = opened.database;
    await write('orders').insert(Array.from({ length: 60 }, (_, at) => orderRow(at)));
    const begin = NOW - DAY_MS;
    const rows = [
      // Account `a`: five silences in five seconds, found delivered later all the same; then twenty that go well.
      ...Array.from({ length: 5 }, (_, at) =>
        attempt(at, 'a', begin + at * 1_000, { state: 'delivered', doubt: 'deadline', doubted: true }),
      ),
      ...Array.from({ length: 20 }, (_, at) =>
        attempt(5 + at, 'a', begin + 5_000 + at * 1_000, { state: 'delivered' }),
      ),
      // What its own breaker kept back then, and a business no.
      attempt(25, 'a', begin + 25_000, { state: 'refused', reason: 'not_sent', sent: false }),
      attempt(26, 'a', begin + 26_000, { state: 'refused', reason: 'out_of_stock' }),
      // Too long ago.
      attempt(27, 'a', begin - 30 * DAY_MS, { state: 'refused', reason: 'maintenance' }),
      // Account `b`: closed.
      ...Array.from({ length: 10 }, (_, at) =>
        attempt(30 + at, 'b', begin + at * 1_000, { state: 'refused', reason: 'maintenance' }),
      ),
      attempt(41, 'vault', begin, { state: 'delivered', sent: false }),
      attempt(42, 'b', begin + 60_000, { state: 'unknown', doubt: 'crashed', doubted: true }),
    ];
    await write('attempts').insert(rows);
  });
  afterAll(() => opened.close());

  const replay = (settings: object, days = 7) =>
    replayBreaker(opened.database, { days, settings, current: SETTINGS, now: NOW });

  test('tells for each account what today’s and the proposed settings come to', async () => {
    const { accounts, is_cut, settings } = await replay({ volume_min: 8 });
    expect([is_cut, settings.volume_min, settings.open_ms]).toEqual([false, 8, 30_000]);
    expect(accounts).toEqual([
      {
        account: 'a',
        attempts: 26,
        faults: 5,
        never_sent: 1,
        current: { trips: 1, false_trips: 1, orders_saved: 0, orders_turned_away: 21, open_ms: 30_000 },
        proposed: { trips: 0, false_trips: 0, orders_saved: 0, orders_turned_away: 0, open_ms: 0 },
        trips_avoided: 1,
      },
      {
        account: 'b',
        attempts: 11,
        faults: 10,
        never_sent: 0,
        current: { trips: 1, false_trips: 0, orders_saved: 5, orders_turned_away: 0, open_ms: 30_000 },
        proposed: { trips: 1, false_trips: 0, orders_saved: 2, orders_turned_away: 0, open_ms: 30_000 },
        trips_avoided: 0,
      },
    ]);
  });

  test('reads only the days it is asked for', async () => {
    expect((await replay({}, 90)).accounts.find(({ account }) => account === 'a')).toMatchObject({
      attempts: 27,
      faults: 6,
    });
  });

  test.each([
    [{ error_percent: 0 }, 7, 'error_percent'],
    [{ volume_min: 1.5 }, 7, 'volume_min'],
    [{}, 0, 'days'],
    [{}, 91, 'days'],
  ])('refuses %j over %i days, naming the setting', async (settings, days, field) => {
    await expect(replay(settings, days)).rejects.toMatchObject({ code: 'validation_failed', field });
  });

  function orderRow(at: number) {
    return {
      order_id: `ord_${at}`,
      storefront: 'mall',
      external_id: `e${at}`,
      request: '{}',
      sku: 'card',
      kind: 'code',
      quantity: 1,
      state: 'failed',
      unit_price_e4: 1,
      currency: 'CNY',
      deadline_at: 1,
      created_at: 1,
      updated_at: 1,
    };
  }

  function attempt(
    at: number,
    account: string,
    planned_at: number,
    {
      state,
      reason = null,
      doubt = null,
      doubted = false,
      sent = true,
    }: { state: string; reason?: string | null; doubt?: string | null; doubted?: boolean; sent?: boolean },
  ) {
    return {
      attempt_id: `att_${at}`,
      order_id: `ord_${at}`,
      number: 1,
      source: 'src',
      account,
      product: 'p',
      quantity: 1,
      state,
      reason,
      doubt,
      reference: `r${at}`,
      planned_at,
      sent_at: sent ? planned_at : null,
      doubted_at: doubted ? planned_at + 100 : null,
      settled_at: state === 'unknown' ? null : planned_at + (doubted ? 60_000 : 100),
    };
  }
});
