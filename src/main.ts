// Builds everything once, in order. No decisions here: parts and their wiring. Listening and stopping is serve.ts's.
import type { Supplier } from '../adapters/kit/contract.js';
import type { BrakeRules } from '../vault/brake.js';
import type { Journal } from '../vault/journal.js';
import type { Keyring } from '../vault/keyring.js';
import { createVault, type Vault } from '../vault/vault.js';
import { type AlertOptions, type Alerts, createAlerts } from './alerts.js';
import { type Catalog, createCatalog } from './catalog/catalog.js';
import type { SweepOptions } from './catalog/sweep.js';
import { atomic } from './db/atomic.js';
import type { Database } from './db/connect.js';
import { createGauges, GAUGE_DEFAULTS, type GaugeOptions, type Gauges } from './gauges.js';
import { createJobs, type Job, type JobReport, type Jobs } from './jobs.js';
import type { Logger } from './log.js';
import {
  callObserver,
  callOutcome,
  countingLogger,
  engineObserver,
  measureDatabase,
  measuredVault,
  type ToBase,
} from './observe.js';
import { createBell } from './orders/announce.js';
import { type CallbackDeps, receiveCallback } from './orders/callbacks.js';
import type { Engine, EngineOptions, Phase } from './orders/engine.js';
import { createFulfilment, type Fulfilment } from './orders/fulfil.js';
import { createHealth } from './orders/health-book.js';
import { createOrders, type Orders } from './orders/orders.js';
import { lookUpDue, renewOwned, resumeDue } from './orders/resolve.js';
import { createMetrics, type Metrics } from './registry.js';
import { type Authenticator, createAuthenticator } from './storefronts/accounts.js';
import { createWebhookSender, type WebhookOptions, type WebhookSender } from './storefronts/webhooks.js';
import { noteBreaker, readAccount } from './suppliers/accounts.js';
import { type Channels, createChannels } from './suppliers/channels.js';
import { withManual } from './suppliers/manual.js';
import { createTracer, type Tracer } from './tracing.js';
import { createUpkeep, type Upkeep } from './vault-upkeep.js';

/** What a gateway is built of; the tests hand in a clock, a simulator's address and a database of their own. */
export interface GatewayParts {
  database: Database;
  keyring: Keyring;
  /** The record of issues outside the database; left out: none is kept. With one, `upkeep.start` comes before the first issue. */
  journal?: Journal | null;
  supplierFor: (adapter: string) => Supplier;
  log: Logger;
  now: () => number;
  options: GatewayOptions;
  /** See `Engine.reach`. */
  reach?: (phase: Phase) => void;
}

export interface GatewayOptions extends EngineOptions, WebhookOptions, Partial<SweepOptions> {
  public_url: string;
  sweep_ms: number;
  key_cache_ms: number;
  key_cache_max: number;
  reply_bytes_max: number;
  breaker: { volume_min: number; error_percent: number; window_ms: number; open_ms: number };
  process_metrics: boolean;
  /** When a SKU's stock is frozen by itself; left out: never. */
  vault_brake?: BrakeRules;
  /** What `kamigate_build_info` says. */
  version?: string;
  gauges?: Partial<GaugeOptions>;
  /** Notices to operators; null or left out: none are sent. */
  alerts?: AlertOptions | null;
  /** Where traces go; null or left out: nowhere. */
  otlp_endpoint?: string | null;
}

export interface Gateway {
  database: Database;
  vault: Vault;
  upkeep: Upkeep;
  engine: Engine;
  fulfilment: Fulfilment;
  orders: Orders;
  channels: Channels;
  catalog: Catalog;
  webhooks: WebhookSender;
  authenticator: Authenticator;
  jobs: Jobs;
  metrics: Metrics;
  gauges: Gauges;
  /** Null where no address for notices is set. */
  alerts: Alerts | null;
  /** Null where no endpoint for traces is set. */
  tracer: Tracer | null;
  log: Logger;
  receiveCallback: (
    account: string,
    message: Parameters<typeof receiveCallback>[2],
  ) => ReturnType<typeof receiveCallback>;
  /** Takes no new work, waits for what runs (a call to a supplier is never cut), and closes every line. */
  stop(wait_ms: number): Promise<void>;
}

/** Wires a gateway; nothing runs until `jobs.start()`. The database is migrated already. */
export function buildGateway(parts: GatewayParts): Gateway {
  const { database, now, options } = parts;
  const supplierFor = withManual(parts.supplierFor);
  const metrics = createMetrics({ process_metrics: options.process_metrics });
  const log = countingLogger(parts.log, metrics);
  const base_currency = options.base_currency ?? GAUGE_DEFAULTS.base_currency;
  const gauge_options = { ...GAUGE_DEFAULTS, base_currency, ...options.gauges };
  describeBuild(metrics, parts, gauge_options);
  const tracer = openTracer(options, log, now);
  const toBase: ToBase = (amount_e4, currency) => gauges.toBase(amount_e4, currency);
  const bare_vault = createVault({
    keyring: parts.keyring,
    now,
    dialect: database.dialect,
    can_skip_locked: database.can_skip_locked,
    ...(parts.journal ? { journal: parts.journal } : {}),
  });
  const vault = measuredVault(bare_vault, metrics, toBase);
  const openText = vault.openText.bind(vault);
  const upkeep = createUpkeep({
    database,
    vault,
    journal: parts.journal ?? null,
    log,
    now,
    brake: options.vault_brake ?? null,
    onBrake: () => metrics.count('vault_brakes_total', {}),
  });
  const channels = createChannels({
    readAccount: (account) => readAccount(database.read, { openText, supplierFor }, account),
    supplierFor,
    options: channelOptions({ ...parts, log }, metrics, tracer),
  });
  const gauges = createGauges({ database, vault, channels, metrics, now, options: gauge_options });
  const alerts = options.alerts ? createAlerts({ gauges, options: options.alerts, metrics, log, now }) : null;
  const engine: Engine = {
    database,
    vault,
    vaultFault: upkeep.fault,
    channels,
    health: createHealth({ database, channels, now }),
    supplierFor,
    now,
    options,
    reach: parts.reach ?? (() => undefined),
    bell: createBell(),
    observe: tracedEvents(engineObserver(metrics, log, toBase), tracer),
  };
  const catalog = createCatalog({ database, channels, supplierFor, now, log, options });
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
    observe: ({ storefront, result, duration_ms }) => {
      metrics.count('notify_deliveries_total', { storefront, result });
      metrics.observe('notify_duration_seconds', {}, duration_ms / 1_000);
    },
  });
  const jobs = createJobs(
    [
      ...engineJobs(engine, fulfilment, webhooks, options),
      ...catalog.jobs,
      ...upkeep.jobs,
      ...watchJobs(gauges, alerts, gauge_options),
    ],
    { now, onRun: jobObserver(metrics, log) },
  );
  metrics.onCollect(() => metrics.set('fulfil_queue', {}, fulfilment.size()));
  measureDatabase(database, metrics);
  const callback_deps: CallbackDeps = {
    engine,
    fulfilment,
    onCallback: (account, result, attempt) => {
      metrics.count('supplier_callbacks_total', { supplier: account, result });
      tracer?.callback({ account, result, ...(attempt ? { about: attempt } : {}) });
    },
  };
  return {
    database,
    vault,
    upkeep,
    engine,
    fulfilment,
    orders,
    channels,
    catalog,
    webhooks,
    authenticator: createAuthenticator({ database, now, ...options }),
    jobs,
    metrics,
    gauges,
    alerts,
    tracer,
    log,
    receiveCallback: (account, message) => receiveCallback(callback_deps, account, message),
    stop: async (wait_ms) => {
      catalog.sweeper.stop();
      await jobs.stop();
      fulfilment.stop();
      await Promise.race([fulfilment.idle(), new Promise((resolve) => setTimeout(resolve, wait_ms).unref())]);
      // What was learned last; losing it costs no more than learning it again.
      await engine.health
        .write()
        .catch((error: unknown) => engine.observe({ event: 'failure', where: 'fulfil', error }));
      await upkeep.close().catch((error: unknown) => engine.observe({ event: 'failure', where: 'vault', error }));
      await gauges.release();
      await webhooks.close();
      await channels.close();
      await tracer?.close();
    },
  };
}

function channelOptions(
  { now, options, log, database }: GatewayParts,
  metrics: Metrics,
  tracer: Tracer | null,
): Parameters<typeof createChannels>[0]['options'] {
  const observe = callObserver(metrics, now);
  return {
    now,
    monotonic: () => performance.now(),
    callback_url: (account) => `${options.public_url}/callbacks/${encodeURIComponent(account)}`,
    reply_bytes_max: options.reply_bytes_max,
    waiting_max: options.fulfil_waiting_max,
    breaker: options.breaker,
    onCall: tracer
      ? (measure) => {
          observe(measure);
          tracer.call({ ...measure, is_fault: callOutcome(measure) !== 'ok' });
        }
      : observe,
    onBreaker: (supplier, note) => {
      metrics.count('supplier_circuit_transitions_total', { supplier, to: note.state });
      log.warn({ account: supplier, state: note.state, because: note.because }, 'circuit breaker');
      // For people in other processes; where it fails, the next change writes it again.
      atomic(database, 'note breaker', (trx) => noteBreaker(trx, supplier, note)).catch((error: unknown) => {
        log.warn({ err: error, account: supplier }, 'the breaker’s state could not be written down');
      });
    },
    onClock: (supplier, skew_ms) => metrics.set('supplier_clock_skew_seconds', { supplier }, skew_ms / 1_000),
  };
}

function openTracer(
  { otlp_endpoint, version = 'unknown' }: GatewayOptions,
  log: Logger,
  now: () => number,
): Tracer | null {
  if (!otlp_endpoint) return null;
  const onTrouble = (trouble: object): void => log.warn(trouble, 'traces are not taken');
  return createTracer({ endpoint: otlp_endpoint, version }, { now, onTrouble });
}

function tracedEvents(observe: Engine['observe'], tracer: Tracer | null): Engine['observe'] {
  if (!tracer) return observe;
  return (event) => {
    observe(event);
    if (event.event === 'order_rested') tracer.order(event);
  };
}

function engineJobs(engine: Engine, fulfilment: Fulfilment, webhooks: WebhookSender, options: GatewayOptions): Job[] {
  const { sweep_ms, lease_ms, pass_max } = options;
  return [
    { name: 'renew_leases', interval_ms: Math.floor(lease_ms / 3), run: () => renewOwned(engine, fulfilment) },
    { name: 'resume_orders', interval_ms: sweep_ms, run: () => resumeDue(engine, fulfilment) },
    { name: 'look_up', interval_ms: sweep_ms, run: () => lookUpDue(engine, fulfilment) },
    { name: 'write_health', interval_ms: HEALTH_MS, run: () => engine.health.write() },
    { name: 'probe_suppliers', interval_ms: HEALTH_MS, run: () => engine.health.probe() },
    { name: 'send_notices', interval_ms: Math.min(sweep_ms, 1_000), run: () => webhooks.deliverDue(pass_max) },
  ];
}

/** What one process learns of a supplier, the others know so soon. */
const HEALTH_MS = 1_000;

function watchJobs(gauges: Gauges, alerts: Alerts | null, { gauges_ms, vault_verify_ms }: GaugeOptions): Job[] {
  const jobs: Job[] = [{ name: 'gauges', interval_ms: gauges_ms, run: () => gauges.refresh() }];
  if (vault_verify_ms > 0)
    jobs.push({ name: 'verify_vault', interval_ms: vault_verify_ms, run: () => gauges.verify() });
  if (alerts) jobs.push({ name: 'alerts', interval_ms: gauges_ms, run: () => alerts.run() });
  return jobs;
}

function jobObserver(metrics: Metrics, log: Logger): (report: JobReport) => void {
  return ({ job, ok, duration_ms, error }) => {
    metrics.count('jobs_total', { queue: job, result: ok ? 'ok' : 'failed' });
    metrics.observe('job_duration_seconds', { queue: job }, duration_ms / 1_000);
    if (job === 'gauges' && !ok) metrics.count('metrics_collect_errors_total', {});
    if (!ok) log.error({ err: error, job }, 'job failed; it runs again at its next turn');
  };
}

function describeBuild(metrics: Metrics, { database, options }: GatewayParts, { base_currency }: GaugeOptions): void {
  metrics.set('build_info', { version: options.version ?? 'unknown', node_version: process.version }, 1);
  metrics.set('config_info', { base_currency, database: database.dialect }, 1);
}
