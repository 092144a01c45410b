// A supplier that goes away and comes back, again and again, while orders keep coming in through two processes: nothing
// is bought twice, it loses its traffic within 10 s, and a few probes give it back. Time is a clock the drill moves.
import { isFinal } from '../../src/orders/states.js';
import type { AttemptRow, OrderRow } from '../../src/orders/store.js';
import { type AccountOptions, makeWorld, type World } from '../kit/world.js';
import type { DrillReport } from './report.js';

export interface FlapSize {
  flaps: number;
  orders_a_second: number;
  /** How long it is away each time, in seconds. */
  down_s: number;
  /** What the limits are held against; the promises are 10 and 5. */
  leaves_within_s: number;
  probes_max: number;
}

export const FULL: FlapSize = { flaps: 50, orders_a_second: 4, down_s: 30, leaves_within_s: 10, probes_max: 5 };
export const SMALL: FlapSize = { ...FULL, flaps: 3, orders_a_second: 2, down_s: 16 };

/** How it is away: each as a real supplier is. The second says whether it still answers questions meanwhile. */
const AWAY: readonly [fault: string, answers_questions: boolean, rule?: object][] = [
  ['accept_then_drop', false],
  ['bad_gateway', true],
  ['maintenance', false],
  ['accept_then_drop', true, { bought: false }],
  ['garbage', false],
  ['refused', false],
];
/** Longer than any pause between two probes, and what a trial takes. */
const BACK_WITHIN_S = 150;

interface Flap {
  began_at: number;
  ended_at: number;
  /** When it had its traffic again. */
  back_at: number;
}

export async function run(size: FlapSize): Promise<DrillReport> {
  const world = await makeWorld({ options: { lookup_ladder_ms: [5_000, 15_000, 60_000] } });
  try {
    await setUp(world);
    const second = world.another();
    const flaps: Flap[] = [];
    const report: DrillReport = { name: 'flapping', figures: {}, violations: [] };
    let placed = 0;

    const second_passes = async (): Promise<void> => {
      for (let at = 0; at < size.orders_a_second; at++) await placeOne(placed % 2 ? second : world.gateway, placed++);
      await world.idle();
      world.clock.advance(1_000);
      for (const gateway of [world.gateway, second]) {
        for (const job of ['write_health', 'probe_suppliers', 'resume_orders', 'look_up'])
          await gateway.jobs.runNow(job);
      }
      await world.idle();
    };

    for (let at = 0; at < 30; at++) await second_passes();
    for (let flap = 0; flap < size.flaps; flap++) {
      const began_at = world.clock.now();
      await goAway(world, AWAY[flap % AWAY.length]!);
      for (let at = 0; at < size.down_s; at++) await second_passes();
      await comeBack(world);
      const ended_at = world.clock.now();
      let waited = 0;
      for (; waited < BACK_WITHIN_S && !(await isWell(world)); waited++) await second_passes();
      const back_at = world.clock.now();
      flaps.push({ began_at, ended_at, back_at });
      if (waited === BACK_WITHIN_S)
        report.violations.push(`flap ${flap + 1}: not back ${BACK_WITHIN_S} s after it answered again`);
      for (let at = 0; at < 10; at++) await second_passes();
    }
    await drain(world);
    await judge(world, size, flaps, report);
    return report;
  } finally {
    await world.close();
  }
}

async function setUp(world: World): Promise<void> {
  const options: AccountOptions = { simulator: { balance_e4: 100_000_000_000 } };
  await world.addSupplier('flapping', options);
  await world.addSupplier('steady', options);
  await world.addSku('airtime', { kind: 'recharge', attempts_max: 20 });
  await world.addSource('airtime', 'flapping', { priority: 1 });
  await world.addSource('airtime', 'steady', { priority: 2 });
}

async function placeOne(gateway: World['gateway'], at: number): Promise<void> {
  await gateway.orders.place({
    storefront: 'mall',
    request: {
      external_id: `flap-${at}`,
      sku: 'airtime',
      quantity: 1,
      recipient: { account: `139${String(at).padStart(8, '0')}` },
      max_unit_price_e4: null,
      currency: null,
      allow_partial: false,
      deliver_before: null,
      callback_url: null,
      metadata: null,
    },
  });
}

async function goAway(world: World, [fault, answers_questions, rule]: (typeof AWAY)[number]): Promise<void> {
  const simulator = world.simulators.flapping!;
  if (fault === 'refused') {
    await simulator.stopListening();
    return;
  }
  simulator.fault(fault, { times: 1_000_000, ...rule });
  if (!answers_questions) simulator.fault('bad_gateway', { times: 1_000_000, endpoint: 'balance' });
}

async function comeBack(world: World): Promise<void> {
  const simulator = world.simulators.flapping!;
  simulator.clearFaults();
  await simulator.stopListening();
  await simulator.listenAgain();
}

async function isWell(world: World): Promise<boolean> {
  const row = (await world.database.read('health').where({ account: 'flapping', kind: 'recharge' }).first('state')) as {
    state: string;
  };
  return row.state === 'well';
}

/** Until every order has come to its end. */
async function drain(world: World): Promise<void> {
  for (let at = 0; at < 200; at++) {
    const open = await world.database
      .read('orders')
      .whereNotIn('state', ['delivered', 'partial', 'failed', 'held'])
      .first('order_id');
    if (!open) return;
    world.clock.advance(5_000);
    for (const job of ['resume_orders', 'look_up']) await world.gateway.jobs.runNow(job);
    await world.idle();
  }
}

async function judge(world: World, size: FlapSize, flaps: readonly Flap[], report: DrillReport): Promise<void> {
  const { violations, figures } = report;
  const orders = (await world.database.read('orders')) as OrderRow[];
  const attempts = (await world.database.read('attempts').orderBy('planned_at')) as AttemptRow[];
  const bought = purchases(world, attempts);
  const twice = [...bought].filter(([, units]) => units > 1).length;
  const undelivered = orders.filter(({ state }) => !isFinal(state)).length;
  if (undelivered > 0) violations.push(`${undelivered} orders are not at their end`);
  if (twice > 0) violations.push(`${twice} orders were bought twice`);
  if (bought.has('')) violations.push('a supplier sold what no attempt of ours asked for');
  for (const order of orders) {
    const units = bought.get(order.order_id) ?? 0;
    if (order.state === 'delivered' && units !== 1)
      violations.push(`${order.order_id} is delivered and ${units} were bought`);
    if (order.state === 'failed' && units !== 0) violations.push(`${order.order_id} failed and ${units} were bought`);
  }
  const sent = attempts.filter(({ account, sent_at }) => account === 'flapping' && sent_at !== null);
  const between = (from: number, to: number): number =>
    sent.filter(({ sent_at }) => sent_at! >= from && sent_at! < to).length;
  const stayed: number[] = [];
  const probes: number[] = [];
  flaps.forEach(({ began_at, ended_at, back_at }, index) => {
    // After it has left, a purchase a pause may try it; more would be traffic.
    const late = between(began_at + size.leaves_within_s * 1_000, ended_at);
    const tries = between(ended_at, back_at);
    stayed.push(late);
    probes.push(tries);
    if (late > size.down_s / 5)
      violations.push(`flap ${index + 1}: ${late} purchases went to it after ${size.leaves_within_s} s of faults`);
    if (tries > size.probes_max) violations.push(`flap ${index + 1}: ${tries} probes before it had its traffic back`);
    if (between(back_at, back_at + 10_000) === 0) violations.push(`flap ${index + 1}: it is well and gets nothing`);
  });
  const back = flaps.map(({ ended_at, back_at }) => (back_at - ended_at) / 1_000);
  Object.assign(figures, {
    'orders / delivered / not at their end': `${orders.length} / ${orders.filter(({ state }) => state === 'delivered').length} / ${undelivered}`,
    flaps: flaps.length,
    'bought twice': twice,
    [`purchases sent to it after ${size.leaves_within_s} s of faults, most`]: Math.max(...stayed),
    'probes until it had its traffic back, most': Math.max(...probes),
    'seconds until it had its traffic back, mean / most': `${(back.reduce((a, b) => a + b, 0) / back.length).toFixed(1)} / ${Math.max(...back)}`,
  });
}

/** Order → units bought for it at any supplier; under '' what no attempt asked for. */
function purchases(world: World, attempts: readonly AttemptRow[]): Map<string, number> {
  const orders = new Map(attempts.map(({ reference, order_id }) => [reference, order_id]));
  const bought = new Map<string, number>();
  for (const simulator of Object.values(world.simulators)) {
    for (const [reference, { units }] of Object.entries(simulator.books().by_reference)) {
      const order_id = orders.get(reference) ?? '';
      if (units > 0) bought.set(order_id, (bought.get(order_id) ?? 0) + units);
    }
  }
  return bought;
}
