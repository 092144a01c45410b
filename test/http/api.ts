// The API as a storefront meets it: a whole gateway of test/kit/world.ts behind a real server, keys, and a client that
// tells everything an answer holds.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent, type Dispatcher, request } from 'undici';
import { atomic } from '../../src/db/atomic.js';
import { createApp, type HttpDeps } from '../../src/http/app.js';
import type { RequestSeen } from '../../src/http/serve.js';
import { issueKey, SCOPES, type Scope } from '../../src/storefronts/accounts.js';
import { makeWorld, type World, type WorldOptions } from '../kit/world.js';

export interface Answer {
  status: number;
  headers: Record<string, string>;
  /** The body as it came. */
  text: string;
  /** The JSON in it; an empty object where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: an answer is looked into field by field
  json: any;
}

export interface Sending {
  /** Sent as JSON, unless it is text or bytes. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Null sends no key at all. */
  key?: string | null;
}

export interface Api {
  world: World;
  url: string;
  key: string;
  seen: RequestSeen[];
  failures: unknown[];
  /** Set, and the app believes that shutdown has begun. */
  state: { is_draining: boolean };
  send(method: Dispatcher.HttpMethod, path: string, sending?: Sending): Promise<Answer>;
  get(path: string, sending?: Sending): Promise<Answer>;
  post(path: string, body: unknown, sending?: Sending): Promise<Answer>;
  makeKey(scopes: readonly Scope[], storefront?: string): Promise<string>;
  /** Rows in all tables an order could write to. */
  written(): Promise<number>;
  close(): Promise<void>;
}

const WRITTEN_TABLES = ['orders', 'attempts', 'order_events', 'notices', 'issues', 'transcripts', 'callbacks'];

export async function openApi(overrides: Partial<HttpDeps> = {}, world_options: WorldOptions = {}): Promise<Api> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // Suppliers call back here, not at the world's own listener.
  const world = await makeWorld({ ...world_options, options: { public_url: url, ...world_options.options } });
  const { gateway, database, clock } = world;
  const seen: RequestSeen[] = [];
  const failures: unknown[] = [];
  const state = { is_draining: false };
  const app = createApp({
    authenticator: gateway.authenticator,
    orders: gateway.orders,
    vault: gateway.vault,
    database,
    receiveCallback: gateway.receiveCallback,
    checks: [{ name: 'database', check: async () => void (await database.read.raw('select 1')) }],
    now: clock.now,
    body_limit_bytes: 1_000_000,
    wait_max_ms: 30_000,
    allow_private_webhooks: false,
    isDraining: () => state.is_draining,
    observeRequest: (one) => seen.push(one),
    observeFailure: (error) => {
      failures.push(error);
      if (process.env.TEST_LOG_LEVEL) console.error(error);
    },
    ...overrides,
  });
  server.on('request', app);
  const agent = new Agent({ connections: 100 });

  async function makeKey(scopes: readonly Scope[], storefront = 'mall'): Promise<string> {
    const made = await atomic(database, 'test key', (trx) => issueKey(trx, { storefront, scopes, now: clock.now() }));
    return made.key.reveal();
  }
  const key = await makeKey(SCOPES.filter((scope) => scope !== 'admin'));

  const api: Api = {
    world,
    url,
    key,
    seen,
    failures,
    state,
    send: async (method, path, sending = {}) => {
      const is_raw = sending.body === undefined || typeof sending.body === 'string' || Buffer.isBuffer(sending.body);
      const spoken = sending.key === undefined ? key : sending.key;
      const answer = await request(`${url}${path}`, {
        method,
        dispatcher: agent,
        headers: {
          ...(spoken === null ? {} : { authorization: `Bearer ${spoken}` }),
          ...(sending.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...sending.headers,
        },
        body: is_raw ? ((sending.body as string | Buffer | undefined) ?? null) : JSON.stringify(sending.body),
      });
      const text = await answer.body.text();
      const headers = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]));
      return {
        status: answer.statusCode,
        headers,
        text,
        json: headers['content-type']?.includes('json') && text ? JSON.parse(text) : {},
      };
    },
    get: (path, sending) => api.send('GET', path, sending),
    post: (path, body, sending) => api.send('POST', path, { ...sending, body }),
    makeKey,
    written: async () => {
      const counts = await Promise.all(WRITTEN_TABLES.map((table) => database.read(table).count({ n: '*' }).first()));
      return counts.reduce((sum, count) => sum + Number((count as { n: number | string }).n), 0);
    },
    close: async () => {
      await agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await world.close();
    },
  };
  return api;
}

/** A second storefront, and a key of its own. */
export async function addStorefront(api: Api, storefront: string): Promise<string> {
  const now = api.world.clock.now();
  await api.world.database
    .write('storefronts')
    .insert({ storefront, name: storefront, currency: 'CNY', is_enabled: 1, created_at: now, updated_at: now });
  return api.makeKey(
    SCOPES.filter((scope) => scope !== 'admin'),
    storefront,
  );
}
