// The shop under observation: a gateway in a process of its own, as `kamigate serve` starts it, simulated suppliers,
// one storefront whose webhooks go to a server of ours, and orders coming in without end.
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { Simulator } from '../../adapters/simulator.js';
import { atomic } from '../../src/db/atomic.js';
import { issueKey, makeWebhookSecret } from '../../src/storefronts/accounts.js';
import { WEBHOOK_SECRET_PURPOSE } from '../../src/storefronts/webhooks.js';
import { makeWorld, type World } from '../kit/world.js';

const CLI = join(import.meta.dirname, '../../src/cli.js');

export type WebhookMode = 'good' | 'failing' | 'gone' | 'hanging';

export interface Shop {
  world: World;
  suppliers: Record<'alpha' | 'beta' | 'gamma' | 'delta' | 'epsilon' | 'zeta', Simulator>;
  metrics_target: string;
  api_url: string;
  api_key: string;
  /** How the storefront's server answers webhooks. */
  webhooks: { mode: WebhookMode };
  /** Places one order; what comes of it is the gateway's business. */
  order(request: {
    sku: string;
    account?: string;
    quantity?: number;
    external_id?: string;
  }): Promise<{ id: string } | null>;
  call(path: string, init?: { key?: string; method?: string; body?: unknown }): Promise<number>;
  /** Kills the gateway, or starts it again on the same ports. */
  stopGateway(): Promise<void>;
  startGateway(): Promise<void>;
  close(): Promise<void>;
}

export async function openShop(log: (line: string) => void): Promise<Shop> {
  const world = await makeWorld({ real_clock: true });
  const suppliers = {} as Shop['suppliers'];
  for (const name of ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'] as const)
    suppliers[name] = await world.addSupplier(name);
  await declare(world);
  const webhooks: Shop['webhooks'] = { mode: 'good' };
  const listener = await listen(webhooks);
  const api_key = await openStorefront(world, `http://127.0.0.1:${(listener.address() as AddressInfo).port}/hook`);
  const ports = { api: await freePort(), metrics: await freePort() };
  let child: ChildProcess | null = null;
  const shop: Shop = {
    world,
    suppliers,
    metrics_target: `127.0.0.1:${ports.metrics}`,
    api_url: `http://127.0.0.1:${ports.api}`,
    api_key,
    webhooks,
    order: async ({ sku, account, quantity = 1, external_id = `obs-${Math.random().toString(36).slice(2)}` }) => {
      const answer = await fetch(`${shop.api_url}/v1/orders`, {
        method: 'POST',
        headers: { authorization: `Bearer ${api_key}`, 'content-type': 'application/json', prefer: 'wait=1' },
        body: JSON.stringify({ external_id, sku, quantity, ...(account ? { recipient: { account } } : {}) }),
      }).catch(() => null);
      const body = answer?.ok ? ((await answer.json()) as { id: string }) : await answer?.text().then(() => null);
      return body ?? null;
    },
    call: async (path, { key = api_key, method = 'GET', body } = {}) => {
      const answer = await fetch(`${shop.api_url}${path}`, {
        method,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }).catch(() => null);
      await answer?.text();
      return answer?.status ?? 0;
    },
    startGateway: async () => {
      child = spawnGateway(world, ports);
      await untilReady(shop.api_url, child);
      log(`gateway at ${shop.api_url}, metrics at ${shop.metrics_target}`);
    },
    stopGateway: async () => {
      const running = child;
      if (!running || running.exitCode !== null) return;
      const ended = new Promise((resolve) => running.once('exit', resolve));
      running.kill('SIGTERM');
      await ended;
      child = null;
    },
    close: async () => {
      await shop.stopGateway();
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
      await world.close();
    },
  };
  return shop;
}

/** Settings that let minutes pass in seconds; everything else is what a shop would have. */
function spawnGateway(world: World, ports: { api: number; metrics: number }): ChildProcess {
  return spawn(process.execPath, [CLI, 'serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH ?? '',
      KAMIGATE_DATABASE_URL: world.database_url,
      KAMIGATE_MASTER_KEY_FILE: world.key_file,
      KAMIGATE_DATA_DIR: dirname(world.key_file),
      KAMIGATE_PORT: String(ports.api),
      KAMIGATE_METRICS_PORT: String(ports.metrics),
      KAMIGATE_LOG_LEVEL: 'fatal',
      KAMIGATE_GAUGES_MS: '1000',
      KAMIGATE_VAULT_VERIFY_MS: '3000',
      KAMIGATE_SWEEP_MS: '500',
      KAMIGATE_LOOKUP_LADDER_MS: '1000,2000',
      KAMIGATE_BREAKER_VOLUME_MIN: '3',
      KAMIGATE_BREAKER_WINDOW_MS: '5000',
      KAMIGATE_BREAKER_OPEN_MS: '2000',
      KAMIGATE_WEBHOOK_CONCURRENCY: '1',
      KAMIGATE_WEBHOOK_TIMEOUT_MS: '4000',
      KAMIGATE_ALLOW_PRIVATE_WEBHOOKS: 'true',
      KAMIGATE_LOW_STOCK_CODES: '5',
      KAMIGATE_DRAIN_DELAY_MS: '0',
      KAMIGATE_SHUTDOWN_TIMEOUT_MS: '3000',
    },
  });
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 150; tries++) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
    if ((await fetch(`${url}/readyz`).catch(() => null))?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('the gateway was not ready within 30 s');
}

/** What is sold: two that all suppliers have, and one each for the troubles that need their own. */
async function declare(world: World): Promise<void> {
  await world.addSku('top-up', { kind: 'recharge' });
  for (const [at, account] of ['alpha', 'beta', 'delta'].entries()) {
    await world.addSource('top-up', account, { priority: at + 1 });
  }
  await world.addSku('gift', { vault_rank: 'last' });
  for (const [at, account] of ['alpha', 'beta'].entries()) await world.addSource('gift', account, { priority: at + 1 });
  await world.addSku('from-stock');
  await world.deposit(
    'from-stock',
    Array.from({ length: 400 }, (_, at) => `STOCK-${at}-${Math.random().toString(36).slice(2)}`),
  );
  await world.addSku('low');
  await world.deposit('low', ['LOW-1', 'LOW-2', 'LOW-3']);
  await world.addSku('runs-out');
  await world.deposit('runs-out', ['OUT-1', 'OUT-2']);
  await world.addSku('gamma-only', { kind: 'recharge' });
  await world.addSource('gamma-only', 'gamma');
  await world.addSku('delta-only', { kind: 'recharge' });
  await world.addSource('delta-only', 'delta');
  await world.addSku('epsilon-only', { kind: 'recharge' });
  await world.addSource('epsilon-only', 'epsilon');
  await world.addSku('zeta-only', { kind: 'recharge' });
  await world.addSource('zeta-only', 'zeta');
  const [batch] = (await world.database.read('codes').where({ sku: 'from-stock' }).limit(1).select('code_id')) as {
    code_id: string;
  }[];
  // One code that expires soon, so that there is something to warn of.
  await world.database
    .write('codes')
    .where({ code_id: batch!.code_id })
    .update({ expires_at: Date.now() + 3 * 86_400_000 });
}

async function openStorefront(world: World, webhook_url: string): Promise<string> {
  const secret = makeWebhookSecret();
  const sealed = world.gateway.vault.sealText(WEBHOOK_SECRET_PURPOSE, 'mall', secret.reveal());
  await world.database
    .write('storefronts')
    .where({ storefront: 'mall' })
    .update({ webhook_url, webhook_secret_sealed: sealed });
  const { key } = await atomic(world.database, 'observe: a key', (trx) =>
    issueKey(trx, { storefront: 'mall', scopes: ['admin'], now: Date.now() }),
  );
  return key.reveal();
}

async function listen(webhooks: Shop['webhooks']): Promise<Server> {
  const status: Record<WebhookMode, number> = { good: 204, failing: 500, gone: 410, hanging: 0 };
  const server = createServer((request, response) => {
    request.resume();
    // Hanging: the gateway gives up after its own time limit.
    if (webhooks.mode !== 'hanging') response.writeHead(status[webhooks.mode]).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Keeps orders and other requests coming, good and bad, with faults in between, until it is stopped. */
export function startLoad(shop: Shop): { stop(): Promise<void>; orders(): number } {
  let [is_stopped, orders] = [false, 0];
  const phone = (): string => `139${String(Math.floor(Math.random() * 1e8)).padStart(8, '0')}`;
  const rounds: (() => Promise<unknown>)[] = [
    () => shop.order({ sku: 'top-up', account: phone() }),
    () => shop.order({ sku: 'gift', quantity: 1 + Math.floor(Math.random() * 3) }),
    () => shop.order({ sku: 'from-stock' }),
    () => shop.order({ sku: 'gift', external_id: 'the-same-again' }),
    () => shop.order({ sku: 'top-up', external_id: 'the-same-again', account: phone() }),
    () => shop.order({ sku: 'nothing-of-the-kind' }),
    () => shop.call('/v1/skus'),
    () => shop.call('/v1/orders?limit=5'),
    () => shop.call('/v1/ping', { key: 'sk_live_00000000000000000000000000000000' }),
    async () => {
      const order = await shop.order({ sku: 'from-stock' });
      if (order) await shop.call(`/v1/orders/${order.id}/codes`);
    },
  ];
  const faults = ['maintenance', 'busy', 'declined', 'recipient_invalid', 'callback_twice', 'accept_then_drop', 'late'];
  const worker = async (from: number): Promise<void> => {
    for (let at = from; !is_stopped; at++) {
      const name = faults[at % 50];
      if (name) shop.suppliers.alpha.fault(name, name === 'late' ? { after_ms: 500 } : {});
      await rounds[at % rounds.length]!();
      orders++;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  };
  const workers = [worker(0), worker(3), worker(7)];
  return {
    orders: () => orders,
    stop: async () => {
      is_stopped = true;
      await Promise.all(workers);
    },
  };
}
