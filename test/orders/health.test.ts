// What is known of a supplier's health: what counts, how it is forgotten, when traffic leaves and how it comes back; and
// that processes share it.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import {
  afterSign,
  answered,
  decayed,
  type HealthRow,
  healthFacts,
  newHealth,
  type Sign,
  signOf,
  silent,
} from '../../src/orders/health.js';
import type { News } from '../../src/orders/settling.js';
import type { AttemptRow } from '../../src/orders/store.js';
import { makeWorld, type World } from '../kit/world.js';

const START = Date.UTC(2026, 0, 1);
const PHONE = { account: '13900001111' };

/** The row after these signs, `every_ms` apart; each took a second. */
function rowAfter(signs: Sign[], row: HealthRow = newHealth('a', 'code', START), every_ms = 1_000): HealthRow {
  return signs.reduce((before, sign, at) => {
    const now = row.as_of + (at + 1) * every_ms;
    return afterSign(before, { sign, sent_at: now - 1_000, at: now });
  }, row);
}
const many = (sign: Sign, times: number): Sign[] => Array.from({ length: times }, () => sign);

describe('the counts', () => {
  test('half is forgotten in half an hour, and the mean latency stays what it was', () => {
    const row = rowAfter(many('good', 20), undefined, 0);
    const later = decayed(row, row.as_of + 30 * 60_000);
    expect(later.good).toBeCloseTo(row.good / 2, 6);
    expect(later.good_ms / later.good).toBeCloseTo(row.good_ms / row.good, 6);
  });

  test('a supplier nobody has heard of is assumed to deliver, and known to be unknown', () => {
    expect(healthFacts(undefined, START)).toMatchObject({ health: 'well', success_rate: 0.95, has_evidence: false });
    expect(healthFacts(rowAfter(many('good', 20), undefined, 100), START + 2_000).has_evidence).toBe(true);
  });

  test('the rate follows faults and deliveries, the latency deliveries alone', () => {
    const row = rowAfter([...many('good', 80), ...many('fault', 4), ...many('good', 16)], undefined, 10);
    const { success_rate, latency_ms } = healthFacts(row, row.as_of);
    expect(success_rate).toBeCloseTo(0.96, 1);
    expect(latency_ms).toBeCloseTo(1_020, -2);
  });
});

describe('leaving a supplier', () => {
  test('five faults in a row are enough, four are not', () => {
    expect(rowAfter(many('fault', 4)).state).toBe('well');
    expect(rowAfter(many('fault', 5)).state).toBe('ailing');
  });

  test('a business no in between shows that it works', () => {
    expect(rowAfter([...many('fault', 4), 'alive', ...many('fault', 4)], undefined, 60_000).state).toBe('well');
  });

  test.each([1, 10, 100])(
    'at %i orders a second an outage is seen within ten seconds, however good it was before',
    (rate) => {
      let row = rowAfter(many('good', 60 * rate), undefined, 1_000 / rate);
      const began_at = row.as_of;
      // One in three still gets through, so that no row of faults tells.
      for (let at = 1; row.state === 'well' && at <= 10 * rate; at++) {
        const now = began_at + (at * 1_000) / rate;
        row = afterSign(row, { sign: at % 3 === 0 ? 'good' : 'fault', sent_at: now, at: now });
      }
      expect(row.state).toBe('ailing');
    },
  );

  test('now and then a fault changes nothing', () => {
    const signs = Array.from({ length: 1_000 }, (_, at): Sign => (at % 4 === 0 ? 'fault' : 'good'));
    expect(rowAfter(signs, undefined, 100).state).toBe('well');
  });
});

describe('coming back', () => {
  const ailing = rowAfter(many('fault', 5));

  test('begins after a pause that doubles with every question that comes to nothing, up to a minute', () => {
    expect(ailing.probe_at).toBe(ailing.as_of + 5_000);
    let row = ailing;
    const pauses: number[] = [];
    for (let at = 0; at < 6; at++) {
      row = silent(row, row.probe_at!);
      pauses.push(row.pause_ms);
    }
    expect(pauses).toEqual([10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
  });

  test('takes a question and two good purchases', () => {
    const probing = answered(ailing, ailing.probe_at!);
    expect(healthFacts(probing, probing.as_of + 60_000)).toMatchObject({ health: 'probing', may_probe: true });
    const first = rowAfter(['good'], probing, 10_000);
    expect(first).toMatchObject({ state: 'probing', probes_good: 1 });
    expect(rowAfter(['good'], first, 10_000)).toMatchObject({
      state: 'well',
      recent_faults: 0,
      faults_in_row: 0,
      pause_ms: 0,
    });
    expect(rowAfter(['alive'], first, 10_000).state).toBe('well');
  });

  test('one fault on trial ends the trial, with a longer pause', () => {
    const probing = answered(ailing, ailing.probe_at!);
    const failed = rowAfter(['good', 'fault'], probing, 10_000);
    expect(failed).toMatchObject({ state: 'ailing', pause_ms: 10_000, probe_at: failed.as_of + 10_000 });
  });

  test('what was sent before it came back neither ends the trial nor passes it', () => {
    const probing = answered(ailing, START + 60_000);
    for (const sign of ['fault', 'good'] as const) {
      const late = afterSign(probing, { sign, sent_at: START + 59_000, at: START + 61_000 });
      expect(late).toMatchObject({ state: 'probing', probes_good: 0 });
    }
    const well = rowAfter(['good', 'good'], probing, 10_000);
    const slow = Array.from({ length: 20 }).reduce<HealthRow>(
      (row) => afterSign(row, { sign: 'fault', sent_at: START, at: well.as_of + 1 }),
      well,
    );
    expect(slow.state).toBe('well');
  });
});

describe('what counts', () => {
  const attempt = (state: AttemptRow['state'], reason: string | null = null) => ({ state, reason }) as AttemptRow;
  const TALK = { verb: 'place', at: 0, duration_ms: 1, outcome: '', exchanges: '' } as const;
  const answer = (found: News['found'], more: Partial<News> = {}): News => ({
    via: 'answer',
    found,
    transcript: TALK,
    ...more,
  });

  test.each<[string, Sign | null, AttemptRow, AttemptRow, News]>([
    ['a delivery', 'good', attempt('sent'), attempt('delivered'), answer({ outcome: 'delivered' })],
    [
      'a delivery by callback',
      'good',
      attempt('accepted'),
      attempt('delivered'),
      { via: 'callback', found: { outcome: 'delivered' } },
    ],
    ['an acceptance', 'alive', attempt('sent'), attempt('accepted'), answer({ outcome: 'accepted' })],
    [
      '"sold out"',
      'alive',
      attempt('sent'),
      attempt('refused'),
      answer({ outcome: 'refused', reason: 'out_of_stock' }),
    ],
    [
      'maintenance',
      'fault',
      attempt('sent'),
      attempt('refused'),
      answer({ outcome: 'refused', reason: 'maintenance' }),
    ],
    ['silence', 'fault', attempt('sent'), attempt('unknown'), answer({ outcome: 'unknown', doubt: 'deadline' })],
    [
      'a word nobody knows',
      null,
      attempt('sent'),
      attempt('unknown'),
      answer({ outcome: 'unknown', doubt: 'unmapped' }),
    ],
    [
      'a refused connection',
      'fault',
      attempt('sent'),
      attempt('refused'),
      answer({ outcome: 'refused', reason: 'not_sent' }),
    ],
    [
      'our own open breaker',
      null,
      attempt('planned'),
      attempt('refused'),
      answer({ outcome: 'refused', reason: 'not_sent' }, { transcript: null }),
    ],
    [
      'our own crash',
      null,
      attempt('sent'),
      attempt('unknown'),
      { via: 'restart', found: { outcome: 'unknown', doubt: 'crashed' } },
    ],
    [
      'silence that was a delivery after all',
      null,
      attempt('unknown'),
      attempt('delivered'),
      { via: 'lookup', found: { outcome: 'delivered' } },
    ],
    [
      'a person’s word',
      null,
      attempt('accepted'),
      attempt('delivered'),
      { via: 'operator', found: { outcome: 'delivered' } },
    ],
    ['news that changes nothing', null, attempt('accepted'), attempt('accepted'), answer({ outcome: 'accepted' })],
  ])('%s: %s', (_what, sign, before, changed, news) => {
    expect(signOf(before, changed, news)).toBe(sign);
  });
});

describe('with real orders', () => {
  let world: World;
  beforeEach(async () => {
    world = await makeWorld();
    await world.addSupplier('a');
    await world.addSupplier('b');
    await world.addSku('airtime', { kind: 'recharge' });
    await world.addSource('airtime', 'a', { priority: 1 });
    await world.addSource('airtime', 'b', { priority: 2 });
  });
  afterEach(() => world.close());

  const stateOf = async (account: string) =>
    ((await world.database.read('health').where({ account }).first('state')) as { state: string } | undefined)?.state;
  const firstAccount = async (order_id: string) => (await world.attempts(order_id))[0]?.account;

  async function fail(times: number): Promise<void> {
    world.simulators.a!.fault('maintenance', { times });
    for (let at = 0; at < times; at++) {
      const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
      await world.runUntilRest(order.order_id, 100);
    }
  }

  test('five faults send the sixth order elsewhere at once, with the reason in its events', async () => {
    await fail(5);
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    expect(await firstAccount(order.order_id)).toBe('b');
    const planned = (await world.events(order.order_id)).find(({ type }) => type === 'attempt_planned')!;
    expect(JSON.parse(planned.data)).toMatchObject({
      strategy: 'priority',
      ranked: [{ account: 'b', because: 'priority 2, then cost 9.75 CNY' }],
      skipped: [{ account: 'a', rule: 'healthy' }],
    });
  });

  test('another process learns of it within two seconds, from the database', async () => {
    const other = world.another();
    await fail(5);
    expect(await stateOf('a')).toBeUndefined();
    await world.gateway.jobs.runNow('write_health');
    expect(await stateOf('a')).toBe('ailing');
    world.clock.advance(1_000);
    await other.engine.health.refresh(world.database.read);
    expect(other.engine.health.facts('a', 'recharge').health).toBe('ailing');
    expect(other.engine.health.facts('a', 'code').health).toBe('well');
  });

  test('two processes that write at once lose nothing', async () => {
    const other = world.another();
    for (const gateway of [world.gateway, other]) {
      for (let at = 0; at < 50; at++)
        gateway.engine.health.note('b', 'recharge', {
          sign: 'good',
          sent_at: world.clock.now(),
          at: world.clock.now(),
        });
    }
    await Promise.all([
      world.gateway.engine.health.write(),
      other.engine.health.write(),
      world.gateway.engine.health.write(),
    ]);
    expect(await world.database.read('health').where({ account: 'b' }).first('good')).toEqual({ good: 100 });
    expect(await world.gateway.engine.health.write()).toBe(0);
  });

  test('on trial one order goes there at a time, whoever plans it', async () => {
    await fail(5);
    const other = world.another();
    await world.gateway.jobs.runNow('write_health');
    world.clock.advance(6_000);
    expect(await world.gateway.jobs.runNow('probe_suppliers')).toBe(1);
    expect(await stateOf('a')).toBe('probing');
    await Promise.all([world.gateway, other].map((gateway) => gateway.engine.health.refresh(world.database.read)));
    world.clock.advance(1_000);
    world.simulators.a!.fault('late', { times: 10 });
    const both = [world.gateway, other].flatMap((gateway, process_no) =>
      Array.from({ length: 4 }, (_, at) =>
        gateway.orders.place({ storefront: 'mall', request: { ...REQUEST, external_id: `trial-${process_no}-${at}` } }),
      ),
    );
    const placed = await Promise.all(both);
    await world.idle();
    const accounts = await Promise.all(placed.map(({ order }) => firstAccount(order.order_id)));
    expect(accounts.filter((account) => account === 'a')).toHaveLength(1);
    // Accepted is a sign of life; the second good one gives it everything back.
    await world.gateway.jobs.runNow('write_health');
    await other.jobs.runNow('write_health');
    expect(await stateOf('a')).toBe('probing');
    world.clock.advance(1_000);
    await world.place({ sku: 'airtime', recipient: PHONE });
    await world.idle();
    await world.gateway.jobs.runNow('write_health');
    expect(await stateOf('a')).toBe('well');
  });

  test('a probe whose process dies is made again after a while by another', async () => {
    await fail(5);
    await world.gateway.jobs.runNow('write_health');
    world.clock.advance(6_000);
    await world.gateway.jobs.runNow('probe_suppliers');
    const claim = (gateway: World['gateway']) =>
      atomic(world.database, 'claim', (trx) => gateway.engine.health.claimProbe(trx, 'a', 'recharge'));
    expect(await claim(world.gateway)).toBe(true);
    const other = world.another();
    world.clock.advance(29_000);
    await other.engine.health.refresh(world.database.read);
    expect(other.engine.health.facts('a', 'recharge').may_probe).toBe(false);
    world.clock.advance(1_000);
    await other.engine.health.refresh(world.database.read);
    expect(await claim(other)).toBe(true);
  });

  test('while questions come to nothing no order is risked on it', async () => {
    await fail(5);
    world.simulators.a!.fault('bad_gateway', { times: 1_000, endpoint: 'balance' });
    await world.gateway.jobs.runNow('write_health');
    for (let at = 0; at < 60; at++) {
      world.clock.advance(2_000);
      await world.gateway.jobs.runNow('probe_suppliers');
    }
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    expect(await firstAccount(order.order_id)).toBe('b');
    world.simulators.a!.clearFaults();
    world.clock.advance(60_000);
    await world.gateway.jobs.runNow('probe_suppliers');
    expect(await stateOf('a')).toBe('probing');
  });

  const REQUEST = {
    external_id: '',
    sku: 'airtime',
    quantity: 1,
    recipient: PHONE,
    max_unit_price_e4: null,
    currency: null,
    allow_partial: false,
    deliver_before: null,
    callback_url: null,
    metadata: null,
  };
});
