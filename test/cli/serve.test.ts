// `kamigate serve` as a real process: ready, serving, draining. A call to a supplier is never cut by a signal.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Secret } from '../../adapters/kit/contract.js';
import type { Simulator } from '../../adapters/simulator.js';
import { atomic } from '../../src/db/atomic.js';
import { issueKey } from '../../src/storefronts/accounts.js';
import { makeWorld, type World } from '../kit/world.js';
import { data, type Environment, environmentOf, run, type Server, startServer, until } from './program.js';

let world: World;
let a: Simulator;
let env: Environment;
let key: Secret;
let servers: Server[] = [];
beforeEach(async () => {
  world = await makeWorld({ real_clock: true });
  a = await world.addSupplier('a', { limits: { deadline_ms: 8_000 } });
  await world.addSku('airtime', { kind: 'recharge' });
  await world.addSource('airtime', 'a');
  key = (
    await atomic(world.database, 'key', (trx) =>
      issueKey(trx, { storefront: 'mall', scopes: ['orders:write', 'orders:read'], now: Date.now() }),
    )
  ).key;
  env = {
    ...environmentOf(world),
    KAMIGATE_SWEEP_MS: '100',
    KAMIGATE_LEASE_MS: '1000',
    KAMIGATE_LOOKUP_LADDER_MS: '1000',
    KAMIGATE_DRAIN_DELAY_MS: '300',
  };
});
afterEach(async () => {
  for (const { child } of servers) child.kill('SIGKILL');
  servers = [];
  await world.close();
});

async function start(more: Environment = {}): Promise<Server> {
  const server = await startServer({ ...env, ...more });
  servers.push(server);
  return server;
}

function placeAt({ api_url }: Server, external_id: string): Promise<Response> {
  return fetch(`${api_url}/v1/orders`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key.reveal()}`, 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ external_id, sku: 'airtime', quantity: 1, recipient: { account: '13900001111' } }),
  });
}

const orderRow = () => world.database.read('orders').first();
const attemptRows = () => world.database.read('attempts').select('state', 'settled_by', 'doubt');
const readyz = ({ api_url }: Server) =>
  fetch(`${api_url}/readyz?verbose=1`, { headers: { connection: 'close' } }).catch(() => null);

describe('serve', () => {
  test('is ready, tells each check, and has its metrics on a port of their own', async () => {
    const server = await start();
    const response = await readyz(server);
    expect(response?.status).toBe(200);
    const text = await response!.text();
    for (const check of ['database', 'migrations', 'vault', 'draining']) expect(text).toContain(`ok   ${check}`);
    const metrics = await (await fetch(`${server.metrics_url}/metrics`)).text();
    expect(metrics).toContain('kamigate_orders_created_total');
    expect(metrics).toContain('process_cpu_seconds_total');
    expect((await fetch(`${server.api_url}/metrics`)).status).toBe(404);
  });

  test('a command works on the same database meanwhile, and the server goes on with what it decides', async () => {
    const server = await start();
    await data(['suppliers', 'pause', 'a', '--reason', 'test'], { env });
    const order = (await (await placeAt(server, 'x-1')).json()) as { id: string; status: string };
    expect(order.status).toBe('failed');
    await data(['suppliers', 'resume', 'a'], { env });
    const placed = await data<{ status: string }>(
      ['order', 'place', '--storefront', 'mall', '--sku', 'airtime', '--account', '13900001111'],
      { env },
    );
    expect(placed.status).toBe('delivered');
  });

  test('callbacks reach it at the address it tells suppliers', async () => {
    const server = await start({ KAMIGATE_LOOKUP_LADDER_MS: '3600000' });
    a.fault('late');
    await placeAt(server, 'x-1');
    const { reference } = await until(
      'an accepted attempt',
      async () =>
        ((await world.database.read('attempts').where({ state: 'accepted' }).first('reference')) as
          | { reference: string }
          | undefined) ?? null,
    );
    a.deliver(reference);
    await a.settled();
    expect(a.callbacks).toMatchObject([{ status: 200 }]);
    expect(await orderRow()).toMatchObject({ state: 'delivered' });
  });
});

describe('SIGTERM', () => {
  /** A server with a purchase on the wire whose answer the supplier holds back. */
  async function withCallUnderWay(more: Environment = {}): Promise<Server> {
    const server = await start(more);
    a.fault('hang');
    expect((await placeAt(server, 'x-1')).status).toBe(201);
    await until('the call to hang', () => (a.hanging > 0 ? true : null));
    return server;
  }

  test('readiness fails first, while requests are still served', async () => {
    const server = await start({ KAMIGATE_DRAIN_DELAY_MS: '3000' });
    server.child.kill('SIGTERM');
    const response = await until('not ready', async () => {
      const now = await readyz(server);
      return now?.status === 503 ? now : null;
    });
    expect(await response.text()).toContain('fail draining');
    expect(response.headers.get('connection')).toBe('close');
    expect((await placeAt(server, 'x-1')).status).toBe(201);
    expect(await server.ended).toBe(0);
    expect(await orderRow()).toMatchObject({ state: 'delivered' });
    expect(a.books().orders).toBe(1);
  });

  test('waits for the answer of a call that is under way, and settles it', async () => {
    const server = await withCallUnderWay();
    server.child.kill('SIGTERM');
    await until('connections to be refused', async () => ((await readyz(server)) === null ? true : null));
    expect(server.child.exitCode).toBeNull();
    a.release();
    expect(await server.ended).toBe(0);
    expect(await orderRow()).toMatchObject({ state: 'delivered' });
    expect(await attemptRows()).toEqual([{ state: 'delivered', settled_by: 'answer', doubt: null }]);
    expect(a.books().orders).toBe(1);
  });

  test('another process leaves that order alone as long as the call lasts', async () => {
    const leaving = await withCallUnderWay();
    leaving.child.kill('SIGTERM');
    await until('connections to be refused', async () => ((await readyz(leaving)) === null ? true : null));
    await start();
    const { due_at } = await orderRow();
    await until('two leases to be renewed', async () => ((await orderRow()).due_at > due_at + 700 ? true : null));
    a.release();
    expect(await leaving.ended).toBe(0);
    expect(await attemptRows()).toEqual([{ state: 'delivered', settled_by: 'answer', doubt: null }]);
  });

  test('out of time: the attempt stays sent, the exit code is 1, and the next process settles it by lookup', async () => {
    const server = await withCallUnderWay({ KAMIGATE_SHUTDOWN_TIMEOUT_MS: '1000' });
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(1);
    expect(await attemptRows()).toMatchObject([{ state: 'sent' }]);
    a.release();
    await start();
    await until('the order to be delivered', async () => ((await orderRow()).state === 'delivered' ? true : null));
    expect(await attemptRows()).toMatchObject([{ state: 'delivered', settled_by: 'lookup' }]);
    expect(a.books().orders).toBe(1);
  });

  test('a second signal ends it at once', async () => {
    const server = await withCallUnderWay();
    server.child.kill('SIGTERM');
    await until('draining', async () => ((await readyz(server))?.status === 200 ? null : true));
    server.child.kill('SIGINT');
    expect(await server.ended).toBe(130);
    expect(await attemptRows()).toMatchObject([{ state: 'sent' }]);
    a.release();
  });
});

test('what a server says of itself is data for the doctor', async () => {
  const server = await start();
  const port = new URL(server.api_url).port;
  const { stdout } = await run(['--json', 'doctor', '--port', port], { env });
  const { findings } = JSON.parse(stdout) as { findings: { check: string; result: string }[] };
  expect(findings).toContainEqual(expect.objectContaining({ check: 'server', result: 'ok' }));
});
