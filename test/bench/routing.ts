// What it costs to choose among 50 candidates: CPU of the whole decision (facts, rules, rank, the reasons kept in the
// order's events) for each strategy, beside the barest choice there is: a filter and a sort of the same rows.
import { readCandidates } from '../../src/catalog/offers.js';
import { readSkus } from '../../src/catalog/skus.js';
import { atomic } from '../../src/db/atomic.js';
import { newId } from '../../src/ids.js';
import { type Around, type Choosing, decideFor, surroundingsOf } from '../../src/orders/choose.js';
import { STRATEGIES } from '../../src/orders/ranking.js';
import { canonicalRequest } from '../../src/orders/request.js';
import { reasonsOf } from '../../src/orders/routing.js';
import type { OrderRow } from '../../src/orders/store.js';
import type { World } from '../kit/world.js';

const CANDIDATES = 50;
const DECISIONS = 2_000;

export interface Measured {
  /** Decisions a second of CPU. */
  rate: number;
  cpu_us: number;
}

export interface RoutingMeasure {
  ours: Measured[];
  baseline: Measured[];
  /** Strategy → CPU of one decision, in microseconds. */
  notes: Record<string, number>;
}

/** Measures `rounds` rounds of both, alternately, after one that warms them. */
export async function measureRouting(world: World, rounds: number): Promise<RoutingMeasure> {
  const choosings = await setUp(world);
  const { engine } = world.gateway;
  const ours: Measured[] = [];
  const baseline: Measured[] = [];
  const notes: Record<string, number> = {};
  await atomic(world.database, 'bench routing', async (trx) => {
    const arounds = await Promise.all(
      choosings.map((each) => surroundingsOf(engine, trx, [each], { takes_turns: false })),
    );
    for (let round = 0; round <= rounds; round++) {
      const each = choosings.map((choosing, at) => cpuOf(() => decideOnce(world, choosing, arounds[at]!)));
      const bare = cpuOf(() => bareChoice(choosings[0]!));
      if (round === 0) continue;
      choosings.forEach(({ sku }, at) => {
        notes[`${sku.strategy}_cpu_us`] = Math.min(
          notes[`${sku.strategy}_cpu_us`] ?? Number.POSITIVE_INFINITY,
          each[at]!.cpu_us,
        );
      });
      const cpu_us = each.reduce((sum, one) => sum + one.cpu_us, 0) / each.length;
      ours.push({ cpu_us, rate: 1_000_000 / cpu_us });
      baseline.push(bare);
    }
  });
  return { ours, baseline, notes };
}

/** As planning does it: once to see whether a float must be counted, and once more with what was counted. */
function decideOnce(world: World, choosing: Choosing, around: Around): number {
  decideFor(world.gateway.engine, choosing, around);
  const { decision, want } = decideFor(world.gateway.engine, choosing, around);
  return JSON.stringify({ ranked: reasonsOf(decision, want), skipped: decision.skipped }).length;
}

function bareChoice({ candidates, order }: Choosing): number {
  const left = candidates.filter(
    (row) =>
      row.is_enabled === 1 &&
      row.account_is_enabled === 1 &&
      row.cost_e4 !== null &&
      row.cost_e4 <= order.unit_price_e4,
  );
  left.sort((a, b) => a.priority - b.priority || a.cost_e4! - b.cost_e4!);
  return left.length;
}

function cpuOf(work: () => number): Measured {
  const before = process.cpuUsage();
  let done = 0;
  for (let at = 0; at < DECISIONS; at++) done += work();
  const { user, system } = process.cpuUsage(before);
  if (done === 0) throw new Error('nothing was decided');
  const cpu_us = (user + system) / DECISIONS;
  return { cpu_us, rate: 1_000_000 / cpu_us };
}

/** One SKU for each strategy, with 50 accounts: conditions on recipients, maintenance, weights, and evidence. */
async function setUp(world: World): Promise<Choosing[]> {
  const { write } = world.database;
  const now = Date.now();
  const stamps = { created_at: now, updated_at: now };
  const numbers = Array.from({ length: CANDIDATES }, (_, at) => at);
  await write('accounts').insert(
    numbers.map((at) => ({
      account: `acc-${at}`,
      adapter: 'simulated',
      base_url: 'http://127.0.0.1:9',
      credentials_sealed: '',
      options: '{}',
      limits: '{}',
      currency: 'CNY',
      exposure_limit_e4: 0,
      is_enabled: 1,
      maintenance: at % 3 === 0 ? '[{"from":"23:30","to":"00:30","zone":"Asia/Shanghai"}]' : null,
      ...stamps,
    })),
  );
  for (const at of numbers) {
    const signs = at % 5 === 0 ? 0 : 20;
    for (let sign = 0; sign < signs; sign++) {
      world.gateway.engine.health.note(`acc-${at}`, 'recharge', { sign: 'good', sent_at: now - 500, at: now });
    }
  }
  const choosings: Choosing[] = [];
  for (const strategy of STRATEGIES) {
    const sku = `routed-${strategy}`;
    await world.addSku(sku, { kind: 'recharge' });
    await write('skus').where({ sku }).update({ strategy, margin_min_bp: 100, second_cost_e4: 10 });
    await write('sources').insert(
      numbers.map((at) => ({
        source: newId('src', now),
        sku,
        account: `acc-${at}`,
        product: 'recharge-10',
        priority: at % 7,
        weight: 1 + (at % 9),
        recipients: at % 4 === 0 ? '{"account_prefixes":["134","135","139"]}' : null,
        is_enabled: 1,
        cost_e4: 95_000 + at * 80,
        currency: 'CNY',
        seen_at: now,
        ...stamps,
      })),
    );
    const row = (await readSkus(world.database.read, [sku])).get(sku)!;
    const candidates = (await readCandidates(world.database.read, [sku])).get(sku)!;
    choosings.push({ order: orderOf(sku, now), sku: row, candidates, tried: new Set(), supplier_attempts: 0 });
  }
  return choosings;
}

function orderOf(sku: string, now: number): OrderRow {
  const request = canonicalRequest({
    external_id: 'bench',
    sku,
    quantity: 1,
    recipient: { account: '13900001111' },
    max_unit_price_e4: null,
    currency: null,
    allow_partial: false,
    deliver_before: null,
    callback_url: null,
    metadata: null,
  });
  return {
    order_id: newId('ord', now),
    storefront: 'mall',
    external_id: 'bench',
    request,
    sku,
    kind: 'recharge',
    quantity: 1,
    delivered_quantity: 0,
    state: 'received',
    reason: null,
    held_reason: null,
    unit_price_e4: 100_000,
    currency: 'CNY',
    due_at: null,
    fence: 1,
    deadline_at: now + 600_000,
    deliver_before: null,
    attempts_count: 0,
    version: 1,
    created_at: now,
    updated_at: now,
    completed_at: null,
    parent_order_id: null,
  };
}
