// No double purchase: many orders against hostile suppliers, with a fault on one call in five, lost and doubled
// callbacks, a seed for every choice. At the end each unit paid for is delivered or in stock, no reference was bought
// twice, no order has more than one undetached purchase, and our books equal the suppliers' to the ten-thousandth. One
// order in four is a bundle: it ends as its parts do, and what is to be given back is what was not delivered.
import { isFinal } from '../../src/orders/states.js';
import { decimalText } from '../../src/orders/view.js';
import { makeWorld, type World } from '../kit/world.js';

export interface PurchasesSize {
  orders: number;
  seed: number;
  /** Orders placed before the clock moves on. */
  at_once?: number;
}

export interface PurchasesFigures {
  orders: number;
  bundles: number;
  delivered: number;
  held: number;
  failed: number;
  partial: number;
  open: number;
  faults: number;
  attempts: number;
  units_bought: number;
  units_delivered: number;
  units_in_stock: number;
  charged_e4: number;
  booked_e4: number;
  violations: string[];
}

/** Fault → its rule. `late` is told to deliver below; `hang` is left out: it only costs time. */
const FAULTS: readonly [string, object][] = [
  ['accept_then_drop', {}],
  ['accept_then_drop', { bought: false }],
  ['bad_gateway', {}],
  ['bad_gateway', { bought: false }],
  ['empty_reply', {}],
  ['garbage', {}],
  ['unmapped', {}],
  ['reset_after_body', {}],
  ['no_codes', {}],
  ['late', {}],
  ['callback_first', {}],
  ['callback_twice', {}],
  ['callback_forged', {}],
  ['short', {}],
  ['short_silent', {}],
  ['cost_changed', {}],
  ['out_of_stock', {}],
  ['maintenance', {}],
  ['busy', {}],
  ['declined', {}],
  ['repeated_codes', {}],
];

/** Runs the drill and returns its figures; `violations` is empty if every promise held. */
export async function run(size: PurchasesSize): Promise<PurchasesFigures> {
  const random = generator(size.seed);
  const world = await makeWorld({
    options: { breaker: { volume_min: 1_000_000, error_percent: 100, window_ms: 10_000, open_ms: 100 } },
  });
  try {
    const accounts = ['a', 'b', 'c'];
    for (const account of accounts)
      await world.addSupplier(account, { exposure_limit_e4: 1_000_000_000, limits: { concurrency: 16 } });
    await world.addSku('airtime', { kind: 'recharge', deadline_ms: 86_400_000 });
    await world.addSku('card', { deadline_ms: 86_400_000 });
    await world.addSku('fast', { can_detach: true, deadline_ms: 86_400_000 });
    for (const sku of ['airtime', 'card', 'fast']) {
      for (const [at, account] of accounts.entries()) await world.addSource(sku, account, { priority: at });
    }
    const rules = { account: { label: 'Phone', example: '13900001111', pattern: '1[0-9]{10}', is_required: 1 } };
    for (const [sku, failed_part] of BUNDLES) {
      const parts = [{ sku: 'airtime' }, { sku: failed_part === 'stop' ? 'fast' : 'card', quantity: 2 }];
      await world.addSku(sku, { kind: 'bundle', failed_part, parts, price_e4: 300_000, recipient_rules: rules });
    }
    let faults = 0;
    const placed: string[] = [];
    const at_once = size.at_once ?? 25;
    while (placed.length < size.orders) {
      const batch = Math.min(at_once, size.orders - placed.length);
      const orders = await Promise.all(
        Array.from({ length: batch }, () => {
          if (random() < 0.2) {
            const [name, rule] = FAULTS[Math.floor(random() * FAULTS.length)]!;
            world.simulators[accounts[Math.floor(random() * 3)]!]!.fault(name, rule);
            faults++;
          }
          return place(world, random, placed.length);
        }),
      );
      placed.push(...orders);
      await world.idle();
      await deliverLate(world);
      // Long enough for a "sold out" to wear off: else most orders find no source, and the drill tries little.
      await tick(world, 330_000);
    }
    for (let hour = 0; hour < 30; hour++) {
      await deliverLate(world);
      await tick(world, 3_600_000);
    }
    return await figures(world, faults);
  } finally {
    await world.close();
  }
}

/** Bundle → what becomes of the others when a part fails. */
const BUNDLES = [
  ['both', 'finish'],
  ['in-turn', 'stop'],
] as const;

async function place(world: World, random: () => number, at: number): Promise<string> {
  const is_bundle = random() < 0.25;
  const of_codes = ['card', 'fast'];
  const sku = is_bundle ? BUNDLES[Math.floor(random() * 2)]![0] : ['airtime', ...of_codes][Math.floor(random() * 3)]!;
  const quantity = of_codes.includes(sku) ? 1 + Math.floor(random() * 4) : 1;
  const recipient = of_codes.includes(sku) ? null : { account: `139${String(at).padStart(8, '0')}` };
  const { order } = await world.place({ sku, quantity, recipient });
  return order.order_id;
}

/** What a serving process does by itself; without the probes an ailing supplier would never come back. */
const JOBS = ['write_health', 'probe_suppliers', 'resume_orders', 'look_up'];

async function tick(world: World, ms: number): Promise<void> {
  world.clock.advance(ms);
  for (const job of JOBS) await world.gateway.jobs.runNow(job);
  await world.idle();
  for (const simulator of Object.values(world.simulators)) await simulator.settled();
  await world.idle();
}

/** Lets every supplier finish what it accepted. */
async function deliverLate(world: World): Promise<void> {
  for (const simulator of Object.values(world.simulators)) {
    for (const [reference, entry] of Object.entries(simulator.books().by_reference)) {
      if (entry.status === 'accepted') simulator.deliver(reference);
    }
  }
}

interface Row {
  [column: string]: string | number | null;
}

async function figures(world: World, faults: number): Promise<PurchasesFigures> {
  const read = world.database.read;
  // Parts are counted within their bundles, but for the units they bring.
  const all = (await read('orders')) as Row[];
  const orders = all.filter(({ parent_order_id }) => parent_order_id === null);
  const attempts = (await read('attempts').whereNot({ account: 'vault' })) as Row[];
  const books = Object.values(world.simulators).map((simulator) => simulator.books());
  const stock = await world.gateway.vault.stock(read);
  const count = (state: string): number => orders.filter((order) => order.state === state).length;
  const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);
  const delivered = attempts.filter((attempt) => attempt.state === 'delivered');
  const result: PurchasesFigures = {
    orders: orders.length,
    delivered: count('delivered'),
    held: count('held'),
    failed: count('failed'),
    partial: count('partial'),
    open: count('sourcing') + count('received'),
    faults,
    attempts: attempts.length,
    units_bought: sum(books.map((each) => each.units)),
    bundles: orders.filter(({ kind }) => kind === 'bundle').length,
    units_delivered: sum(all.map((order) => (order.kind === 'bundle' ? 0 : Number(order.delivered_quantity)))),
    units_in_stock: sum(stock.map((each) => each.available + each.quarantined)),
    charged_e4: sum(books.map((each) => each.net_e4)),
    booked_e4: sum(delivered.map((attempt) => Number(attempt.cost_e4))),
    violations: [],
  };
  result.violations = [...violations(result, all, attempts, books), ...(await bundleViolations(world, orders))];
  return result;
}

/** A bundle ends when all of its parts have, as they did; what is given back and what was delivered make its price. */
async function bundleViolations(world: World, orders: readonly Row[]): Promise<string[]> {
  const found: string[] = [];
  for (const { order_id, sku } of orders.filter(({ kind }) => kind === 'bundle')) {
    const bundle = await world.order(String(order_id));
    const parts = await world.parts(bundle.order_id);
    const told = parts.map((part) => `${part.sku} ${part.state}`).join(', ');
    const wrong = (sentence: string): number => found.push(`bundle ${order_id} (${bundle.state}: ${told}) ${sentence}`);
    if (isFinal(bundle.state) !== parts.every(({ state }) => isFinal(state))) wrong('does not end with its parts');
    if ((bundle.state === 'delivered') !== parts.every(({ state }) => state === 'delivered'))
      wrong('is not as its parts are');
    if ((bundle.state === 'held') !== parts.some(({ state }) => state === 'held')) wrong('hides a part that is held');
    const first = parts.findIndex(({ state }) => state !== 'delivered');
    const begun_after = first < 0 ? [] : parts.slice(first + 1).filter(({ attempts_count }) => attempts_count > 0);
    if (sku === 'in-turn' && begun_after.length > 0) wrong('went on past a part that was not delivered');
    const view = await world.gateway.orders.view(bundle);
    const delivered = parts.reduce((total, part) => total + part.unit_price_e4 * part.delivered_quantity, 0);
    const back = isFinal(bundle.state) ? bundle.unit_price_e4 * bundle.quantity - delivered : 0;
    if (view.refundable_amount !== decimalText(back)) wrong(`gives back ${view.refundable_amount}`);
  }
  return found;
}

function violations(
  result: PurchasesFigures,
  orders: Row[],
  attempts: Row[],
  books: { by_reference: Record<string, { orders: number; net_e4: number; status: string }> }[],
): string[] {
  const found: string[] = [];
  const bought = new Map<string, number>();
  for (const each of books) {
    for (const [reference, entry] of Object.entries(each.by_reference)) {
      if (entry.orders > 1) found.push(`reference ${reference} was bought ${entry.orders} times`);
      if (entry.net_e4 > 0) bought.set(reference, entry.net_e4);
    }
  }
  const by_order = new Map<string, Row[]>();
  for (const attempt of attempts) {
    const charged = bought.get(String(attempt.reference)) ?? 0;
    if (attempt.state === 'refused' && charged > 0)
      found.push(`attempt ${attempt.attempt_id} is refused, and was charged`);
    if (attempt.state === 'delivered' && charged !== attempt.cost_e4) {
      found.push(`attempt ${attempt.attempt_id} is booked at ${attempt.cost_e4}, charged ${charged}`);
    }
    bought.delete(String(attempt.reference));
    by_order.set(String(attempt.order_id), [...(by_order.get(String(attempt.order_id)) ?? []), attempt]);
  }
  for (const reference of bought.keys()) found.push(`${reference} was charged, and no attempt has it`);
  for (const order of orders) {
    const wanted = (by_order.get(String(order.order_id)) ?? []).filter(
      (a) => a.state === 'delivered' && a.detached_at === null,
    );
    const units = wanted.reduce((total, attempt) => total + Number(attempt.quantity), 0);
    if (order.kind === 'recharge' && units > Number(order.quantity))
      found.push(`order ${order.order_id} was bought ${units} times`);
  }
  if (result.open > 0) found.push(`${result.open} orders neither end nor wait for a person`);
  return found;
}

/** A small seeded generator (mulberry32): the same seed makes the same choices. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
