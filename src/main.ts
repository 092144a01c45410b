// Builds everything once, in order. No decisions here: parts and their wiring. Listening and stopping is serve.ts's.
import type { Supplier } from '../adapters/kit/contract.js';
import type { Keyring } from '../vault/keyring.js';
import { createVault, type Vault } from '../vault/vault.js';
import type { Database } from './db/connect.js';
import { createJobs, type Jobs } from './jobs.js';
import type { Logger } from './log.js';
import { createMetrics, type Metrics } from './metrics.js';
import { engineObserver } from './observe.js';
import { createBell } from './orders/announce.js';
import { type CallbackDeps, receiveCallback } from './orders/callbacks.js';
import type { Engine, EngineOptions, Phase } from './orders/engine.js';
import { createFulfilment, type Fulfilment } from './orders/fulfil.js';
import { createOrders, type Orders } from './orders/orders.js';
import { lookUpDue, renewOwned, resumeDue } from './orders/resolve.js';
import { createAuthenticator, type Authenticator } from './storefronts/accounts.js';
import { createWebhookSender, type WebhookOptions, type WebhookSender } from './storefronts/webhooks.js';
import { readAccount } from './suppliers/accounts.js';
import { createChannels, type Channels } from './suppliers/channels.js';

/** What a gateway is built of; the tests hand in a clock, a simulator's address and a database of their own. */
export interface GatewayParts {
  database: Database;
  keyring: Keyring;
  supplierFor: (adapter: string) => Supplier;
  log: Logger;
  now: () => number;
  options: GatewayOptions;
  /** See `Engine.reach`. */
  reach?: (phase: Phase) => void;
}

export interface GatewayOptions extends EngineOptions, WebhookOptions {
  public_url: string;
  sweep_ms: number;
  key_cache_ms: number;
  key_cache_max: number;
  reply_bytes_max: number;
  breaker: { volume_min: number; error_percent: number; window_ms: number; open_ms: number };
  process_metrics: boolean;
}

export interface Gateway {
  database: Database;
  vault: Vault;
  engine: Engine;
  fulfilment: Fulfilment;
  orders: Orders;
  channels: Channels;
  webhooks: WebhookSender;
  authenticator: Authenticator;
  jobs: Jobs;
  metrics: Metrics;
  log: Logger;
  receiveCallback: (account: string, message: Parameters<typeof receiveCallback>[2]) => ReturnType<typeof receiveCallback>;
  /** Takes no new work, waits for what runs (a call to a supplier is never cut), and closes every line. */
  stop(wait_ms: number): Promise<void>;
}

/** Wires a gateway; nothing runs until `jobs.start()`. The database is migrated already. */
export function buildGateway(parts: GatewayParts): Gateway {
  const { database, log, now, options } = parts;
  const metrics = createMetrics({ process_metrics: options.process_metrics });
  const vault = createVault({
    keyring: parts.keyring,
    now,
    dialect: database.dialect,
    can_skip_locked: database.can_skip_locked,
  });
  const openText = vault.openText.bind(vault);
  const channels = createChannels({
    readAccount: (account) => readAccount(database.read, { openText, supplierFor: parts.supplierFor }, account),
    supplierFor: parts.supplierFor,
    options: channelOptions(parts, metrics),
  });
  const engine: Engine = {
    database,
    vault,
    channels,
    supplierFor: parts.supplierFor,
    now,
    options,
    reach: parts.reach ?? (() => undefined),
    bell: createBell(),
    observe: engineObserver(metrics, log),
  };
  const fulfilment = createFulfilment(engine);
  const orders = createOrders(engine, fulfilment, {
    orders_together_max: options.orders_together_max,
    orders_waiting_max: options.fulfil_waiting_max,
    commits_at_once: database.dialect === 'sqlite' ? 1 : 2,
  });
  const webhooks = createWebhookSender({
    database,
    openText,
    now,
    random: Math.random,
    options,
    observe: ({ storefront, result }) => metrics.count('notify_deliveries_total', { storefront, result }),
  });
  const jobs = engineJobs(engine, fulfilment, webhooks, metrics, log, options);
  const callback_deps: CallbackDeps = {
    engine,
    fulfilment,
    onCallback: (account, result) => metrics.count('supplier_callbacks_total', { supplier: account, result }),
  };
  return {
    database,
    vault,
    engine,
    fulfilment,
    orders,
    channels,
    webhooks,
    authenticator: createAuthenticator({ database, now, ...options }),
    jobs,
    metrics,
    log,
    receiveCallback: (account, message) => receiveCallback(callback_deps, account, message),
    stop: async (wait_ms) => {
      await jobs.stop();
      fulfilment.stop();
      await Promise.race([fulfilment.idle(), new Promise((resolve) => setTimeout(resolve, wait_ms).unref())]);
      await webhooks.close();
      await channels.close();
    },
  };
}

function channelOptions({ now, options, log }: GatewayParts, metrics: Metrics): Parameters<typeof createChannels>[0]['options'] {
  const circuit = { closed: 0, half_open: 1, open: 2 } as const;
  return {
    now,
    monotonic: () => performance.now(),
    callback_url: (account) => `${options.public_url}/callbacks/${encodeURIComponent(account)}`,
    reply_bytes_max: options.reply_bytes_max,
    waiting_max: options.fulfil_waiting_max,
    breaker: options.breaker,
    onCall: ({ account: supplier, operation, outcome, duration_ms }) => {
      metrics.count('supplier_requests_total', { supplier, operation, outcome });
      metrics.observe('supplier_request_duration_seconds', { supplier, operation }, duration_ms / 1_000);
    },
    onBreaker: (supplier, { state, because }) => {
      metrics.set('supplier_circuit_state', { supplier, scope: 'order' }, circuit[state]);
      metrics.count('supplier_circuit_transitions_total', { supplier, to: state });
      log.warn({ account: supplier, state, because }, 'circuit breaker');
    },
    onClock: (supplier, skew_ms) => metrics.set('supplier_clock_skew_seconds', { supplier }, skew_ms / 1_000),
  };
}

function engineJobs(
  engine: Engine,
  fulfilment: Fulfilment,
  webhooks: WebhookSender,
  metrics: Metrics,
  log: Logger,
  options: GatewayOptions,
): Jobs {
  const { sweep_ms, lease_ms, pass_max } = options;
  return createJobs(
    [
      { name: 'renew_leases', interval_ms: Math.floor(lease_ms / 3), run: () => renewOwned(engine, fulfilment) },
      { name: 'resume_orders', interval_ms: sweep_ms, run: () => resumeDue(engine, fulfilment) },
      { name: 'look_up', interval_ms: sweep_ms, run: () => lookUpDue(engine, fulfilment) },
      { name: 'send_notices', interval_ms: Math.min(sweep_ms, 1_000), run: () => webhooks.deliverDue(pass_max) },
    ],
    {
      now: engine.now,
      onRun: ({ job, ok, duration_ms, error }) => {
        metrics.count('jobs_total', { queue: job, result: ok ? 'ok' : 'retried' });
        metrics.observe('job_duration_seconds', { queue: job }, duration_ms / 1_000);
        if (!ok) log.error({ err: error, job }, 'job failed; it runs again at its next turn');
      },
    },
  );
}
