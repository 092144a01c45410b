// A whole gateway for a test: a real database, real simulated suppliers over HTTP, a clock the test moves. Everything
// but the HTTP API is there; jobs run when the test says so.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Limits, Supplier } from '../../adapters/kit/contract.js';
import { supplierFor as registered } from '../../adapters/register.js';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../adapters/simulator.js';
import type { BundlePart } from '../../src/catalog/bundles.js';
import { atomic } from '../../src/db/atomic.js';
import type { Database } from '../../src/db/connect.js';
import { newId } from '../../src/ids.js';
import { createLogger } from '../../src/log.js';
import { buildGateway, type Gateway, type GatewayOptions } from '../../src/main.js';
import type { EngineEvent, Phase } from '../../src/orders/engine.js';
import type { OrderRequest } from '../../src/orders/request.js';
import { isFinal } from '../../src/orders/states.js';
import { type AttemptRow, type EventRow, type OrderRow, readAttempts, readEvents } from '../../src/orders/store.js';
import { CREDENTIALS_PURPOSE, credentialsText, VAULT_ACCOUNT } from '../../src/suppliers/accounts.js';
import { openJournal } from '../../vault/journal.js';
import { createKeyring } from '../../vault/keyring.js';
import { generateKeyFile, keyFile } from '../../vault/sources.js';
import { openTestDatabase } from './database.js';

export interface SkuOptions {
  kind?: 'code' | 'recharge' | 'bundle';
  /** Of a bundle; a part's price is what it counts for. */
  parts?: (Pick<BundlePart, 'sku'> & Partial<BundlePart>)[];
  failed_part?: 'finish' | 'stop';
  price_e4?: number;
  currency?: string;
  can_detach?: boolean;
  vault_rank?: 'first' | 'last' | 'never';
  deadline_ms?: number;
  attempts_max?: number;
  quantity_max?: number;
  recipient_rules?: object;
}

export interface AccountOptions {
  adapter?: string;
  currency?: string;
  exposure_limit_e4?: number;
  limits?: Partial<Limits>;
  options?: Record<string, string>;
  credentials?: Record<string, { reveal(): string }>;
  simulator?: SimulatorOptions;
}

export interface World {
  gateway: Gateway;
  database: Database;
  /** What another process needs to be a gateway on the same database. */
  database_url: string;
  key_file: string;
  /** The clock everything reads; `advance` moves it. */
  clock: { now(): number; advance(ms: number): void };
  simulators: Record<string, Simulator>;
  seen: EngineEvent[];
  phases: Phase[];
  /** A simulated supplier, of the protocol that `simulator.protocol` names, with an account of its own. */
  addSupplier(account: string, options?: AccountOptions): Promise<Simulator>;
  addSku(sku: string, options?: SkuOptions): Promise<void>;
  addSource(
    sku: string,
    account: string,
    options?: { product?: string; cost_e4?: number; priority?: number; stock?: number | null },
  ): Promise<string>;
  deposit(sku: string, numbers: string[], cost_e4?: number): Promise<void>;
  place(request: Partial<OrderRequest> & { sku: string }): Promise<{ order: OrderRow; is_replay: boolean }>;
  /** Resolves when the engine has nothing left to do at this moment of the clock. */
  idle(): Promise<void>;
  /** Moves the clock by `step_ms` and runs all jobs, until the order is final or held; at most `steps` times. */
  runUntilRest(order_id: string, step_ms?: number, steps?: number): Promise<OrderRow>;
  order(order_id: string): Promise<OrderRow>;
  attempts(order_id: string): Promise<AttemptRow[]>;
  events(order_id: string): Promise<EventRow[]>;
  /** The numbers of the codes issued to an order, in unit order. */
  codes(order_id: string): Promise<string[]>;
  /** The orders of a bundle's parts, in the order declared. */
  parts(order_id: string): Promise<OrderRow[]>;
  /** Ends this process's part as a crash would: nothing is drained. A second gateway on the same database. */
  another(): Gateway;
  close(): Promise<void>;
}

const START_AT = Date.UTC(2026, 0, 1);

export interface WorldOptions {
  options?: Partial<GatewayOptions>;
  supplierFor?: (adapter: string) => Supplier;
  reach?: (phase: Phase) => void;
  /** The machine's clock in place of the test's own; for tests with other processes. */
  real_clock?: boolean;
  /** Keeps the issuance journal where a command finds it, beside the key; for tests in which a command issues too. */
  journal?: boolean;
}

export async function makeWorld(world_options: WorldOptions = {}): Promise<World> {
  const opened = await openTestDatabase();
  const { database } = opened;
  const folder = await mkdtemp(join(tmpdir(), 'kamigate-keys-'));
  generateKeyFile(join(folder, 'master.key'));
  let at = START_AT;
  const clock = {
    now: world_options.real_clock ? Date.now : () => at,
    advance: (ms: number): void => {
      at += ms;
    },
  };
  const seen: EngineEvent[] = [];
  const phases: Phase[] = [];
  const gateways: Gateway[] = [];
  const simulators: Record<string, Simulator> = {};
  const listener = await listenForCallbacks(() => gateways[0]!);
  const listening_at = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const public_url = world_options.options?.public_url ?? listening_at;

  function build(): Gateway {
    const gateway = buildGateway({
      database,
      keyring: createKeyring(keyFile(join(folder, 'master.key'))),
      journal: world_options.journal ? openJournal(join(folder, 'journal')) : null,
      supplierFor: world_options.supplierFor ?? registered,
      log: createLogger({ level: process.env.TEST_LOG_LEVEL ?? 'silent' }),
      now: clock.now,
      reach: (phase) => {
        phases.push(phase);
        world_options.reach?.(phase);
      },
      options: gatewayOptions(public_url, world_options.options),
    });
    const { observe } = gateway.engine;
    gateway.engine.observe = (event) => {
      seen.push(event);
      observe(event);
    };
    gateways.push(gateway);
    return gateway;
  }
  const gateway = build();
  if (world_options.journal) await gateway.upkeep.start();
  let external = 0;

  async function insert(table: string, row: object): Promise<void> {
    await database.write(table).insert(row);
  }
  const stamps = () => ({ created_at: clock.now(), updated_at: clock.now() });
  await insert('storefronts', { storefront: 'mall', name: 'Points mall', currency: 'CNY', is_enabled: 1, ...stamps() });
  await insert(
    'accounts',
    accountRow(gateway, VAULT_ACCOUNT, '', { adapter: VAULT_ACCOUNT, credentials: {} }, clock.now()),
  );

  const world: World = {
    gateway,
    database,
    database_url: opened.url,
    key_file: join(folder, 'master.key'),
    clock,
    simulators,
    seen,
    phases,
    addSupplier: async (account, options = {}) => {
      const callback_url = `${public_url}/callbacks/${account}`;
      const simulator = await startSimulator({ name: account, clock: clock.now, callback_url, ...options.simulator });
      simulators[account] = simulator;
      await insert(
        'accounts',
        accountRow(gateway, account, simulator.url, accountOptionsOf(simulator, options), clock.now()),
      );
      return simulator;
    },
    addSku: async (sku, options = {}) => {
      await insert('skus', { ...skuRow(sku, options), ...stamps() });
      if ((options.kind ?? 'code') === 'code') await world.addSource(sku, VAULT_ACCOUNT, { product: sku, cost_e4: 0 });
    },
    addSource: async (sku, account, options = {}) => {
      const source = newId('src', clock.now());
      const sku_row = (await database.read('skus').where({ sku }).first()) as { kind: string };
      const { currency } = (await database.read('accounts').where({ account }).first()) as { currency: string };
      await insert('sources', {
        source,
        sku,
        account,
        product: options.product ?? (sku_row.kind === 'code' ? 'code-10' : 'recharge-10'),
        priority: options.priority ?? 100,
        is_enabled: 1,
        cost_e4: account === VAULT_ACCOUNT ? null : (options.cost_e4 ?? (sku_row.kind === 'code' ? 98_000 : 97_500)),
        currency: account === VAULT_ACCOUNT ? null : currency,
        stock: options.stock ?? null,
        seen_at: clock.now(),
        ...stamps(),
      });
      return source;
    },
    deposit: async (sku, numbers, cost_e4 = 90_000) => {
      await atomic(database, 'test deposit', (trx) =>
        gateway.vault.deposit(trx, {
          sku,
          origin: 'deposit',
          account: null,
          attempt_id: null,
          document: 'PO-1',
          total_cost_e4: cost_e4 * numbers.length,
          currency: 'CNY',
          received_by: 'operator:test',
          codes: numbers.map((number) => ({ number })),
        }),
      );
    },
    place: (request) =>
      gateway.orders.place({
        storefront: 'mall',
        request: {
          external_id: `ext-${++external}`,
          quantity: 1,
          recipient: null,
          max_unit_price_e4: null,
          currency: null,
          allow_partial: false,
          deliver_before: null,
          callback_url: null,
          metadata: null,
          ...request,
        },
      }),
    idle: async () => {
      for (const each of gateways) await each.fulfilment.idle();
    },
    runUntilRest: async (order_id, step_ms = 1_000, steps = 200) => {
      for (let step = 0; step < steps; step++) {
        await world.idle();
        const order = await world.order(order_id);
        if (isFinal(order.state) || order.state === 'held') return order;
        clock.advance(step_ms);
        for (const each of gateways) {
          await each.jobs.runNow('resume_orders');
          await each.jobs.runNow('look_up');
        }
      }
      return world.order(order_id);
    },
    order: async (order_id) => (await database.read('orders').where({ order_id }).first()) as OrderRow,
    attempts: (order_id) => readAttempts(database.read, order_id),
    events: (order_id) => readEvents(database.read, order_id),
    codes: (order_id) =>
      atomic(database, 'test reveal', async (trx) => {
        const codes = await gateway.vault.reveal(trx, { order_id, by: 'storefront:mall', reason: 'test' });
        return codes.map((code) => code.number?.reveal() ?? '');
      }),
    parts: (order_id) => gateway.orders.parts(order_id),
    another: () => build(),
    close: async () => {
      await Promise.all(gateways.map((each) => each.stop(2_000)));
      await Promise.all(Object.values(simulators).map((simulator) => simulator.close()));
      await new Promise((resolve) => listener.close(resolve));
      await opened.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return world;
}

function accountOptionsOf(simulator: Simulator, wanted: AccountOptions): AccountOptions {
  const { adapter, credentials, options } = simulator.account;
  const sealed = Object.fromEntries(Object.entries(credentials).map(([name, text]) => [name, { reveal: () => text }]));
  const known = { adapter, credentials: sealed, currency: simulator.books().currency };
  return { ...known, ...wanted, options: { ...options, ...wanted.options } };
}

function accountRow(gateway: Gateway, account: string, base_url: string, options: AccountOptions, now: number) {
  return {
    account,
    adapter: options.adapter ?? 'simulated',
    base_url,
    credentials_sealed: gateway.vault.sealText(
      CREDENTIALS_PURPOSE,
      account,
      credentialsText(options.credentials ?? {}),
    ),
    options: JSON.stringify(options.options ?? {}),
    limits: JSON.stringify({ deadline_ms: 4_000, ...options.limits }),
    currency: options.currency ?? 'CNY',
    exposure_limit_e4: options.exposure_limit_e4 ?? 10_000_000,
    is_enabled: 1,
    created_at: now,
    updated_at: now,
  };
}

function skuRow(sku: string, options: SkuOptions) {
  const kind = options.kind ?? 'code';
  return {
    sku,
    name: sku,
    kind,
    price_e4: options.price_e4 ?? 100_000,
    currency: options.currency ?? 'CNY',
    recipient_rules: JSON.stringify(
      options.recipient_rules ??
        (kind === 'recharge'
          ? { account: { label: 'Phone', example: '13900001111', pattern: '1[0-9]{10}', is_required: 1 } }
          : {}),
    ),
    quantity_max: options.quantity_max ?? 500,
    attempts_max: options.attempts_max ?? 5,
    deadline_ms: options.deadline_ms ?? 3_600_000,
    can_detach: options.can_detach ? 1 : 0,
    vault_rank: options.vault_rank ?? (kind === 'code' ? 'first' : 'never'),
    parts: options.parts
      ? JSON.stringify(options.parts.map((part) => ({ quantity: 1, price_e4: 100_000, recipient: {}, ...part })))
      : null,
    failed_part: kind === 'bundle' ? (options.failed_part ?? 'finish') : null,
    is_enabled: 1,
    version: 1,
  };
}

export function gatewayOptions(public_url: string, options: Partial<GatewayOptions> = {}): GatewayOptions {
  return {
    public_url,
    sweep_ms: 1_000,
    lease_ms: 10_000,
    lookup_ladder_ms: [5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000],
    lookup_on_read_ms: 5_000,
    fulfil_concurrency: 1_000,
    fulfil_waiting_max: 10_000,
    orders_together_max: 64,
    pass_max: 200,
    webhook_timeout_ms: 2_000,
    webhook_concurrency: 4,
    allow_private_webhooks: true,
    key_cache_ms: 5_000,
    key_cache_max: 1_000,
    reply_bytes_max: 1_000_000,
    breaker: { volume_min: 1_000, error_percent: 50, window_ms: 10_000, open_ms: 1_000 },
    process_metrics: false,
    ...options,
  };
}

/** The address suppliers call back, for tests without the HTTP layer. */
export async function listenForCallbacks(gateway: () => Gateway, port = 0): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const account = decodeURIComponent(request.url?.split('/')[2] ?? '');
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
      gateway()
        .receiveCallback(account, { headers, body: Buffer.concat(chunks), url: request.url ?? '' })
        .then((answer) => response.writeHead(answer.status, { 'content-type': answer.content_type }).end(answer.body))
        .catch(() => response.writeHead(500).end());
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return server;
}
