// The sweep against real simulated suppliers: what is written, what is refused, where it goes on after a crash.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Offer } from '../../adapters/kit/contract.js';
import { signedHeaders } from '../../adapters/kit/counter.js';
import type { ShopProduct } from '../../adapters/kit/shop.js';
import type { Simulator } from '../../adapters/simulator.js';
import { listChanges, listPending } from '../../src/catalog/cost-changes.js';
import type { OfferRow } from '../../src/catalog/listing.js';
import type { SourceRow } from '../../src/catalog/skus.js';
import type { SweepRow } from '../../src/catalog/sweep-state.js';
import { atomic } from '../../src/db/atomic.js';
import { readAccountEvents } from '../../src/suppliers/events.js';
import { listOffer } from '../kit/offers.js';
import { makeWorld, type World } from '../kit/world.js';

let world: World;
let simulator: Simulator;

function product(at: number, changes: Partial<ShopProduct> = {}): ShopProduct {
  return {
    product: `p-${String(at).padStart(4, '0')}`,
    kind: 'code',
    cost_e4: 100_000 + at,
    stock: 10,
    name: `Card ${at}`,
    ...changes,
  };
}

beforeEach(async () => {
  world = await makeWorld();
  simulator = await world.addSupplier('a', {
    simulator: { products: Array.from({ length: 120 }, (_, at) => product(at)) },
  });
});
afterEach(async () => {
  await world.close();
});

const sweep = () => world.gateway.jobs.runNow('sweep_offers');
const offers = (): Promise<OfferRow[]> => world.database.read('offers').orderBy('product');
const state = async (): Promise<SweepRow> =>
  (await world.database.read('sweeps').where({ account: 'a' }).first()) as SweepRow;
const source = async (name: string): Promise<SourceRow> =>
  (await world.database.read('sources').where({ product: name }).first()) as SourceRow;

/** Runs the cold sweep once more, as its hour has come. */
async function again(): Promise<void> {
  world.clock.advance(3_600_000);
  await sweep();
}

async function map(at: number, cost_e4 = 100_000 + at): Promise<void> {
  await world.addSku(`sku-${at}`, { price_e4: 200_000, vault_rank: 'never' });
  await world.addSource(`sku-${at}`, 'a', { product: product(at).product, cost_e4 });
}

describe('a whole list', () => {
  test('is read page by page and written as it is', async () => {
    await sweep();
    const rows = await offers();
    expect(rows).toHaveLength(120);
    expect(rows[7]).toMatchObject({
      account: 'a',
      product: 'p-0007',
      name: 'Card 7',
      cost_e4: 100_007,
      currency: 'CNY',
      stock: 10,
      status: 'listed',
    });
    expect(await state()).toMatchObject({
      offers_count: 120,
      cursor: null,
      run_started_at: null,
      owner: null,
      failures: 0,
    });
    expect(await world.database.read('offer_pages').count({ n: '*' }).first()).toEqual({ n: 3 });
  });

  test('is not read again before its time, and then writes only the differences', async () => {
    await sweep();
    expect(await sweep()).toBe(0);
    simulator.setProduct(product(3, { cost_e4: 101_000 }));
    simulator.setProduct(product(60, { stock: 9 }));
    await again();
    const changed = (await offers()).filter((row) => row.changed_at > row.created_at);
    expect(changed.map(({ product: name }) => name)).toEqual(['p-0003', 'p-0060']);
  });

  test('gives mapped sources their cost and stock, and confirms what it did not change', async () => {
    await map(1, 100_000);
    await map(2, 100_002);
    await sweep();
    expect(await source('p-0001')).toMatchObject({ cost_e4: 100_001, stock: 10, cost_state: 'settled' });
    const before = await source('p-0002');
    await again();
    expect(await source('p-0002')).toEqual(before);
    expect((await state()).swept_at).toBe(world.clock.now());
  });

  test('of an unlisted product takes it away, and brings it back when it is listed again', async () => {
    await map(1);
    await world.addSku('other', { vault_rank: 'never' });
    await world.addSource('other', 'a', { product: 'never-listed' });
    await sweep();
    expect(await source('never-listed')).toMatchObject({ stock: 0 });
    await world.database.write('offers').where({ product: 'p-0001' }).update({ product: 'p-gone' });
    await world.database.write('sources').where({ product: 'p-0001' }).update({ product: 'p-gone' });
    await again();
    expect((await offers()).find((row) => row.product === 'p-gone')).toMatchObject({ status: 'absent' });
    expect(await source('p-gone')).toMatchObject({ stock: 0 });
    // What went missing is looked for again within a minute.
    expect((await state()).next_at - world.clock.now()).toBe(60_000);
    simulator.setProduct(product(1, { product: 'p-gone' }));
    world.clock.advance(60_000);
    await sweep();
    expect((await offers()).find((row) => row.product === 'p-gone')).toMatchObject({ status: 'listed' });
    expect(await source('p-gone')).toMatchObject({ stock: 10 });
  });

  test('restates what an order learned since, but never with a reading older than that', async () => {
    await map(1);
    await sweep();
    await world.database
      .write('sources')
      .where({ product: 'p-0001' })
      .update({ stock: 0, seen_at: world.clock.now() + 1 });
    const offer: Offer = { product: 'p-0001', name: 'Card 1', kind: 'code', cost: null, stock: 10, available: true };
    await listOffer(world, 'a', offer);
    expect(await source('p-0001')).toMatchObject({ stock: 0 });
    world.clock.advance(2);
    await listOffer(world, 'a', offer);
    expect(await source('p-0001')).toMatchObject({ stock: 10, cost_e4: 100_001 });
  });
});

describe('a list that is not to be believed', () => {
  test('that is empty is refused, kept as an event, and takes nothing away', async () => {
    await map(1);
    await sweep();
    const empty = await world.addSupplier('empty', { simulator: { products: [] } });
    await world.database
      .write('accounts')
      .where({ account: 'a' })
      .update({ base_url: empty.url, updated_at: world.clock.now() + 1 });
    await again();
    expect(await state()).toMatchObject({
      offers_count: 120,
      failures: 1,
      last_result: 'refused: 0 offers where there were 120',
    });
    expect((await offers()).filter((row) => row.account === 'a' && row.status === 'listed')).toHaveLength(120);
    expect(await source('p-0001')).toMatchObject({ stock: 10 });
    expect(await readAccountEvents(world.database.read, 'a', 10)).toMatchObject([
      { type: 'list_refused', data: '{"count":0,"before":120}' },
    ]);
  });

  test('that has halved is refused until a person believes it', async () => {
    await sweep();
    const half = await world.addSupplier('half', {
      simulator: { products: Array.from({ length: 60 }, (_, at) => product(at)) },
    });
    await world.database
      .write('accounts')
      .where({ account: 'a' })
      .update({ base_url: half.url, updated_at: world.clock.now() + 1 });
    const listed = async () => (await offers()).filter((row) => row.account === 'a' && row.status === 'listed').length;
    await again();
    expect(await listed()).toBe(120);
    expect((await state()).swept_at).toBeLessThan(world.clock.now());
    await world.gateway.catalog.sweeper.believeList('a', 'Li');
    await sweep();
    expect(await listed()).toBe(60);
    expect(await state()).toMatchObject({ offers_count: 60, failures: 0 });
  });

  test.each(['garbage', 'maintenance', 'bad_gateway'])(
    'that breaks off with %s goes on later where it was',
    async (fault) => {
      const first = world.gateway.catalog.sweeper;
      simulator.fault(fault, { endpoint: 'offers' });
      await sweep();
      expect(await state()).toMatchObject({ failures: 1, offers_count: null, owner: null });
      expect(await sweep()).toBe(0);
      world.clock.advance(60_000);
      await first.runDue();
      expect(await state()).toMatchObject({ failures: 0, offers_count: 120 });
    },
  );
});

describe('after a crash', () => {
  test('another process takes the sweep over when the lease has run out, and goes on at its cursor', async () => {
    await sweep();
    // As it stands when a process dies after two of three pages.
    const died = {
      owner: 'dead',
      until: world.clock.now() + 120_000,
      cursor: '3',
      pages_done: 2,
      run_started_at: world.clock.now(),
    };
    await world.database
      .write('sweeps')
      .where({ account: 'a' })
      .update({ ...died, next_at: 0 });
    const other = world.another();
    expect(await other.jobs.runNow('sweep_offers')).toBe(0);
    world.clock.advance(120_000);
    expect(await other.jobs.runNow('sweep_offers')).toBe(1);
    expect(await state()).toMatchObject({ offers_count: 120, cursor: null, owner: null });
  });

  test('a process that lost its lease writes nothing more', async () => {
    simulator.latency_ms = 150;
    const running = sweep();
    await until(async () => (await state())?.owner !== null && (await state()) !== undefined);
    await world.database
      .write('sweeps')
      .where({ account: 'a' })
      .update({ owner: 'thief', until: world.clock.now() + 120_000 });
    await running;
    expect(await offers()).toHaveLength(0);
    expect(await state()).toMatchObject({ owner: 'thief', swept_at: null });
  });

  test('two processes at once read each page once', async () => {
    const other = world.another();
    const pages = await Promise.all([sweep(), other.jobs.runNow('sweep_offers')]);
    expect(pages[0]! + pages[1]!).toBe(3);
    expect(await offers()).toHaveLength(120);
  });
});

describe('what is hot', () => {
  beforeEach(async () => {
    await map(1);
    await map(70);
    await sweep();
  });

  test('a product that sells is read every minute, its page alone', async () => {
    world.clock.advance(70_000);
    expect(await sweep()).toBe(0);
    await world.place({ sku: 'sku-70' });
    await world.idle();
    world.clock.advance(70_000);
    simulator.setProduct(product(70, { stock: 5, cost_e4: 100_071 }));
    expect(await sweep()).toBe(1);
    expect(await source('p-0070')).toMatchObject({ stock: 5, cost_e4: 100_071, seen_at: world.clock.now() });
    expect((await source('p-0001')).seen_at).toBeLessThan(world.clock.now());
    expect(await sweep()).toBe(0);
  });

  test('a SKU with a limit of its own is read twice within it', async () => {
    await world.database.write('skus').where({ sku: 'sku-1' }).update({ stale_after_ms: 600_000 });
    world.clock.advance(299_000);
    expect(await sweep()).toBe(0);
    world.clock.advance(16_000);
    expect(await sweep()).toBe(1);
    expect((await source('p-0001')).seen_at).toBe(world.clock.now());
  });

  test('an offer marked stale is read before all others', async () => {
    await world.database.write('sources').where({ product: 'p-0070' }).update({ seen_at: 0 });
    world.clock.advance(20_000);
    expect(await sweep()).toBe(1);
    expect((await source('p-0070')).seen_at).toBe(world.clock.now());
  });

  describe('by news of its supplier', () => {
    /** Sends what the supplier would, signed with `secret`. */
    async function tell(products: string[], secret = simulator.app_secret): Promise<number> {
      const url = '/callbacks/a';
      const body = Buffer.from(JSON.stringify({ products }));
      const now = world.clock.now();
      const message = { app_key: simulator.app_key, method: 'POST', path: url, now, nonce: 'n0nce', body };
      const { status } = await world.gateway.receiveCallback('a', {
        headers: signedHeaders(secret, message),
        body,
        url,
      });
      return status;
    }

    test('what it names is read again at once, and the news itself is not taken for it', async () => {
      simulator.setProduct(product(70, { stock: 3, cost_e4: 100_071 }));
      world.clock.advance(20_000);
      expect(await sweep()).toBe(0);
      expect(await tell(['p-0070', 'p-9999'])).toBe(200);
      expect(await source('p-0070')).toMatchObject({ stock: 10, cost_e4: 100_070, seen_at: 0 });
      expect((await source('p-0001')).seen_at).toBeGreaterThan(0);
      expect(await sweep()).toBe(1);
      expect(await source('p-0070')).toMatchObject({ stock: 3, cost_e4: 100_071, seen_at: world.clock.now() });
      // The same news again costs one page more, and changes nothing.
      await tell(['p-0070']);
      world.clock.advance(20_000);
      expect(await sweep()).toBe(1);
      expect(await source('p-0070')).toMatchObject({ stock: 3, cost_e4: 100_071 });
    });

    test('what a stranger says is not heard', async () => {
      expect(await tell(['p-0070'], 'a stranger’s secret')).toBe(401);
      expect((await source('p-0070')).seen_at).toBeGreaterThan(0);
    });

    test('what it names by its first part stands for all of its kinds', async () => {
      for (const name of ['card', 'card:10', 'card:20:CNY', 'card-2', 'cards:1']) {
        await world.addSource('sku-1', 'a', { product: name });
      }
      await tell(['card']);
      const stale = (await world.database.read('sources').where({ seen_at: 0 }).orderBy('product')) as SourceRow[];
      expect(stale.map((row) => row.product)).toEqual(['card', 'card:10', 'card:20:CNY']);
    });

    test('it is counted, and an order’s callback it is not', async () => {
      world.gateway.metrics.know('supplier', ['a']);
      await tell(['p-0070']);
      const { body } = await world.gateway.metrics.render();
      expect(body).toContain('kamigate_supplier_callbacks_total{supplier="a",result="offers"} 1');
      expect(await world.database.read('callbacks')).toHaveLength(0);
    });
  });
});

test('a small budget is spread over the minutes, and never exceeded', async () => {
  await world.close();
  world = await makeWorld({ options: { offers_share_percent: 50 } });
  const products = Array.from({ length: 120 }, (_, at) => product(at));
  await world.addSupplier('a', { simulator: { products } });
  // The channel's own spacing of calls is real time and not what is tested: it was made before the limit is known.
  const channel = await world.gateway.channels.channel('a');
  Object.assign(channel.account.limits, { requests: 4, per_ms: 60_000 });
  expect(await sweep()).toBe(2);
  expect(await sweep()).toBe(0);
  expect(await state()).toMatchObject({ cursor: '3', pages_done: 2 });
  world.clock.advance(59_000);
  expect(await sweep()).toBe(0);
  world.clock.advance(1_000);
  await sweep();
  expect(await state()).toMatchObject({ cursor: null, offers_count: 120 });
});

describe('costs under guard', () => {
  beforeEach(async () => {
    await map(1, 100_000);
    await sweep();
  });

  test('a change within the limits is applied, and kept with the rule that did', async () => {
    expect(await listChanges(world.database.read, { account: 'a' })).toMatchObject([
      {
        old_cost_e4: 100_000,
        new_cost_e4: 100_001,
        state: 'applied',
        rule: 'within_limits',
        decided_by: 'rule:within_limits',
      },
    ]);
  });

  test('a jump waits: the old cost stays, and no second row is made for the same news', async () => {
    simulator.setProduct(product(1, { cost_e4: 130_000 }));
    await again();
    await again();
    expect(await source('p-0001')).toMatchObject({ cost_e4: 100_001, cost_state: 'pending', offered_cost_e4: 130_000 });
    expect(await listPending(world.database.read)).toMatchObject([
      { new_cost_e4: 130_000, rule: 'rise_above_limit', change_bp: 3_000, impact_e4: 0 },
    ]);
  });

  test('a jump that is taken back settles by itself, and a newer one inherits the day of the first', async () => {
    simulator.setProduct(product(1, { cost_e4: 130_000 }));
    await again();
    const [first] = await listPending(world.database.read);
    simulator.setProduct(product(1, { cost_e4: 140_000 }));
    await again();
    expect(await listPending(world.database.read)).toMatchObject([
      { new_cost_e4: 140_000, expires_at: first!.expires_at },
    ]);
    simulator.setProduct(product(1, { cost_e4: 100_001 }));
    await again();
    expect(await listPending(world.database.read)).toEqual([]);
    expect(await source('p-0001')).toMatchObject({ cost_e4: 100_001, cost_state: 'settled', offered_cost_e4: null });
    const states = (await listChanges(world.database.read, { account: 'a' })).map(
      ({ state: s, decided_by }) => `${s} ${decided_by}`,
    );
    expect(states).toEqual(['superseded rule:back_again', 'superseded rule:newer_cost', 'applied rule:within_limits']);
  });

  test('a zero is refused outright', async () => {
    simulator.setProduct(product(1, { cost_e4: 0 }));
    await again();
    expect(await source('p-0001')).toMatchObject({ cost_e4: 100_001, cost_state: 'rejected', offered_cost_e4: 0 });
    expect(await listPending(world.database.read)).toEqual([]);
  });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 2_000; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('the condition never came true');
}

test('an offer that is none is left out and counted', async () => {
  const offer: Offer = {
    product: 'x'.repeat(129),
    name: 'long',
    kind: 'code',
    cost: null,
    stock: null,
    available: true,
  };
  expect(await listOffer(world, 'a', offer)).toMatchObject({ offers_written: 0, malformed: 1 });
  expect(await atomic(world.database, 'test', (trx) => trx('offers'))).toEqual([]);
});
