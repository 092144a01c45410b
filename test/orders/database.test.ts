// A database that is locked, full or gone in mid-order. Before the commit that accepts it, an order is not accepted and
// nothing of it is written; after it, the order survives: it is taken up again, and bought once.
import { createRequire } from 'node:module';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Phase } from '../../src/orders/engine.js';
import { makeWorld, type World } from '../kit/world.js';

const require = createRequire(import.meta.url);
const is_sqlite = !process.env.KAMIGATE_DATABASE_URL;
const PHONE = { account: '13900001111' };

let world: World;
afterEach(async () => {
  await world.close();
});

async function makeShop(reach?: (phase: Phase) => void): Promise<void> {
  world = await makeWorld(reach ? { reach } : {});
  await world.addSupplier('a');
  await world.addSupplier('b');
  await world.addSku('airtime', { kind: 'recharge' });
  await world.addSource('airtime', 'a', { priority: 1 });
  await world.addSource('airtime', 'b', { priority: 2 });
  await world.addSku('card');
  await world.deposit('card', ['AAA-1']);
}

const rows = async (table: string): Promise<number> =>
  Number((await world.database.read(table).count({ n: '*' }).first())!.n);

/** Another process's write lock on the SQLite file; returns what releases it. */
function lockFile(): () => void {
  const Driver = require('libsql') as new (file: string) => { exec(sql: string): void; close(): void };
  const other = new Driver(world.database_url.slice('sqlite:'.length));
  other.exec('BEGIN IMMEDIATE');
  return () => {
    other.exec('ROLLBACK');
    other.close();
  };
}

/** Ends every connection to the test's database on the server, as a restart of it would. */
async function killConnections(): Promise<void> {
  const name = new URL(world.database_url).pathname.slice(1);
  const found = (await world.database.read('information_schema.processlist').where({ db: name }).select('id')) as {
    id: number;
  }[];
  const own = (await world.database.read.raw('select connection_id() as id')) as [{ id: number }[]];
  for (const { id } of found) {
    if (id !== own[0][0]!.id) await world.database.read.raw(`kill ${Number(id)}`).catch(() => undefined);
  }
}

describe('before it is accepted', () => {
  if (is_sqlite) {
    test('a locked database: refused as retryable, nothing written; the same request later is accepted', async () => {
      await makeShop();
      const release = lockFile();
      await expect(world.place({ sku: 'card', external_id: 'x' })).rejects.toMatchObject({
        code: 'unavailable',
        retryable: true,
      });
      expect(await rows('orders')).toBe(0);
      release();
      expect((await world.place({ sku: 'card', external_id: 'x' })).order.state).toBe('delivered');
    });

    test('a full disk: refused as retryable, nothing written, no code taken', async () => {
      await makeShop();
      const [{ page_count }] = (await world.database.write.raw('pragma page_count')) as [{ page_count: number }];
      await world.database.write.raw(`pragma max_page_count = ${page_count}`);
      let refused = 0;
      for (let at = 0; at < 200 && refused === 0; at++) {
        await world.place({ sku: 'airtime', recipient: PHONE }).catch((error: { code: string }) => {
          expect(error).toMatchObject({ code: 'unavailable', retryable: true });
          refused++;
        });
      }
      expect(refused).toBe(1);
      await world.database.write.raw('pragma max_page_count = 1000000');
      expect((await world.place({ sku: 'card', external_id: 'x' })).order.state).toBe('delivered');
      // Every order that was accepted has what the acceptance promised: its attempt.
      expect(await rows('attempts')).toBe(await rows('orders'));
    });
  } else {
    test('a lost connection: refused as retryable or accepted, never half-written', async () => {
      await makeShop();
      const placing = Array.from({ length: 20 }, (_, at) =>
        world.place({ sku: 'airtime', recipient: PHONE, external_id: `x${at}` }).then(
          () => 'accepted',
          (error: { code: string }) => error.code,
        ),
      );
      await killConnections();
      const results = await Promise.all(placing);
      expect(results.every((result) => result === 'accepted' || result === 'unavailable')).toBe(true);
      const again = await Promise.all(
        results.map((_, at) => world.place({ sku: 'airtime', recipient: PHONE, external_id: `x${at}` })),
      );
      expect(new Set(again.map((result) => result.order.order_id)).size).toBe(20);
      expect(await rows('orders')).toBe(20);
      for (const { order } of again) expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
      expect(world.simulators.a!.books().orders + world.simulators.b!.books().orders).toBe(20);
    });
  }
});

describe.each<Phase>(['attempt_sent', 'supplier_answered'])('after it is accepted, at %s', (at) => {
  test('a database that goes away is survived: bought once, settled when it is back', async () => {
    let sabotage: (() => void) | null = null;
    let release: (() => void) | null = null;
    let killing: Promise<void> = Promise.resolve();
    await makeShop((phase) => {
      if (phase === at && sabotage) sabotage();
    });
    sabotage = () => {
      sabotage = null;
      if (is_sqlite) release = lockFile();
      else killing = killConnections();
    };
    const { order } = await world.place({ sku: 'airtime', recipient: PHONE });
    if (is_sqlite) {
      // The settling has failed at least once, and what was learned waits in memory.
      await until(() => world.seen.some((event) => event.event === 'failure'));
      expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'sent' }]);
      release!();
    }
    await world.idle();
    await killing;
    expect((await world.runUntilRest(order.order_id)).state).toBe('delivered');
    expect(world.simulators.a!.books().orders + world.simulators.b!.books().orders).toBe(1);
    expect(await world.attempts(order.order_id)).toMatchObject([{ state: 'delivered', cost_e4: 97_500 }]);
  });
});

async function until(condition: () => boolean): Promise<void> {
  const ends_at = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > ends_at) throw new Error('waited 20 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
