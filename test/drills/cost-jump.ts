// Costs that jump between the quote and the purchase: whatever the supplier does, nothing is bought above the ceiling
// that the attempt was planned with, and that ceiling never exceeds what the storefront pays.
import type { Simulator } from '../../adapters/simulator.js';
import type { AttemptRow, OrderRow } from '../../src/orders/store.js';
import { makeWorld } from '../kit/world.js';
import { type DrillReport, secondsSince, seeded } from './report.js';

export interface JumpSize {
  orders: number;
  /** Orders placed at a time. */
  together: number;
}
export const SMALL: JumpSize = { orders: 200, together: 40 };
export const FULL: JumpSize = { orders: 10_000, together: 50 };

const PRICE_E4 = 100_000;

export async function run(size: JumpSize): Promise<DrillReport> {
  const world = await makeWorld();
  const random = seeded(11);
  const started = process.hrtime.bigint();
  try {
    const suppliers: Simulator[] = [];
    await world.addSku('card', { vault_rank: 'never', price_e4: PRICE_E4 });
    for (const account of ['a', 'b', 'c']) {
      // A busy machine must not look like an ailing supplier.
      const limits = { deadline_ms: 30_000 };
      suppliers.push(await world.addSupplier(account, { limits, simulator: { balance_e4: 1_000_000_000_000 } }));
      await world.addSource('card', account, { cost_e4: 95_000 });
    }
    const orders: OrderRow[] = [];
    for (let done = 0; done < size.orders; done += size.together) {
      const placed = await Promise.all(
        Array.from({ length: Math.min(size.together, size.orders - done) }, async () => {
          const { order } = await world.place({ sku: 'card', quantity: 1 + Math.floor(random() * 3) });
          // Between the quote and the purchase: within the room, beyond it, beyond the price, or a slip.
          const cost_e4 = Math.round(95_000 * [0.98, 1, 1.015, 1.03, 1.2, 10, 0.1][Math.floor(random() * 7)]!);
          suppliers[Math.floor(random() * suppliers.length)]!.setProduct({
            product: 'code-10',
            kind: 'code',
            cost_e4,
            stock: null,
          });
          return order;
        }),
      );
      await world.idle();
      orders.push(...placed);
      world.clock.advance(20_000);
      // Refused costs are read again, judged, and some of them wait; the next orders meet all of that.
      if (done % (size.together * 5) === 0) await world.gateway.jobs.runNow('sweep_offers');
    }
    const attempts = (await world.database.read('attempts')) as AttemptRow[];
    return {
      name: 'cost-jump',
      ...judge(
        size,
        attempts,
        suppliers.map((supplier) => supplier.books()),
        secondsSince(started),
      ),
    };
  } finally {
    await world.close();
  }
}

type Books = ReturnType<Simulator['books']>;

function judge(
  size: JumpSize,
  attempts: readonly AttemptRow[],
  books: readonly Books[],
  seconds: number,
): Pick<DrillReport, 'figures' | 'violations'> {
  const charged = new Map<string, number>();
  for (const book of books)
    for (const [reference, { net_e4 }] of Object.entries(book.by_reference)) charged.set(reference, net_e4);
  const above = attempts.filter(
    ({ reference, cost_ceiling_e4 }) => (charged.get(reference) ?? 0) > (cost_ceiling_e4 ?? 0),
  );
  const dear = attempts.filter(({ quantity, cost_ceiling_e4 }) => (cost_ceiling_e4 ?? 0) > PRICE_E4 * quantity);
  const unknown = [...charged.keys()].filter(
    (reference) => !attempts.some((attempt) => attempt.reference === reference),
  );
  const refused = attempts.filter(({ reason }) => reason === 'cost_changed').length;
  const bought = [...charged.values()].filter((net_e4) => net_e4 > 0).length;
  const violations: string[] = [];
  if (above.length > 0) violations.push(`${above.length} purchases were charged above their ceiling`);
  if (dear.length > 0) violations.push(`${dear.length} ceilings are above what the storefront pays`);
  if (unknown.length > 0) violations.push(`${unknown.length} purchases have no attempt`);
  if (refused === 0 || bought === 0)
    violations.push('no cost jumped in time, or nothing was bought: the drill proves nothing');
  return {
    violations,
    figures: {
      orders: size.orders,
      attempts: attempts.length,
      'purchases charged': bought,
      'refused because the cost had changed': refused,
      'bought above the ceiling': above.length,
      seconds: seconds.toFixed(1),
    },
  };
}
