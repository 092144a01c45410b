// Listens and stops. Starting: database, master key, gateway, API, metrics, jobs, in this order. Stopping: say that it
// is not ready, wait until the load balancer has noticed, finish what runs; a call to a supplier is never cut.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Supplier } from '../adapters/kit/contract.js';
import type { Config } from '../config/load.js';
import type { Database } from './db/connect.js';
import { pendingMigrations } from './db/migrations/index.js';
import { GatewayError } from './errors.js';
import { allRoutes, createApp, type HttpDeps } from './http/app.js';
import { createMetricsApp, type ReadyCheck } from './http/operations.js';
import { createLogger, type Logger } from './log.js';
import type { Gateway } from './main.js';
import { requestObserver } from './observe.js';
import { keepLeases, openDatabase, openGateway, openKeyring } from './open.js';
import type { Phase } from './orders/engine.js';
import type { Metrics } from './registry.js';
import { tellStart } from './vault-upkeep.js';

export interface ServeHooks {
  /** Applies pending migrations on a database server too. */
  migrate?: boolean;
  now?: () => number;
  supplierFor?: (adapter: string) => Supplier;
  reach?: (phase: Phase) => void;
  log?: Logger;
}

export interface Served {
  /** Where the API listens, without a trailing slash. */
  api_url: string;
  metrics_url: string;
  gateway: Gateway;
  /**
   * Stops in the published sequence. `forced`: the time was up while something still ran; it is left as it stands in
   * the database, for the next process, and the caller ends this one at once.
   */
  stop(): Promise<'finished' | 'forced'>;
}

/** A client has this long to send a whole request. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the usual load balancer keeps its connections, so that it is never us who closes one in use. */
const KEEP_ALIVE_MS = 65_000;

/** Starts serving. Throws, with everything closed again, if the database, the key or an address is not to be had. */
export async function serve(config: Config, hooks: ServeHooks = {}): Promise<Served> {
  const keyring = openKeyring(config);
  const database = await openDatabase(config, hooks.migrate ? 'migrate' : 'must_be_current');
  const log = hooks.log ?? createLogger({ level: config.log_level });
  const servers: Server[] = [];
  try {
    const api = await listen(servers, config.host, config.port, 'port');
    const metrics = await listen(servers, config.metrics_host, config.metrics_port, 'metrics_port');
    const public_url = config.port === 0 ? config.public_url.replace(/:0$/, `:${portOf(api)}`) : config.public_url;
    const gateway = openGateway({ ...hooks, config, database, keyring, log, public_url });
    const draining = { has_begun: false };
    countInFlight(api, gateway.metrics);
    api.on('request', apiOf(config, gateway, draining));
    metrics.on(
      'request',
      createMetricsApp((accept) => gateway.metrics.render(accept)),
    );
    tellStart(log, await gateway.upkeep.start());
    gateway.jobs.start();
    const api_url = urlOf(config.host, api);
    const metrics_url = urlOf(config.metrics_host, metrics);
    log.info({ api_url, metrics_url, public_url, database: database.dialect }, 'serving');
    return { api_url, metrics_url, gateway, stop: () => stop(config, gateway, { api, metrics }, draining) };
  } catch (error) {
    for (const server of servers) server.close();
    await database.close();
    throw error;
  }
}

async function listen(servers: Server[], host: string, port: number, setting: string): Promise<Server> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(host, port, setting, cause)));
    server.listen(port, host, resolve);
  });
  servers.push(server);
  return server;
}

function cannotListen(host: string, port: number, setting: string, cause: NodeJS.ErrnoException): GatewayError {
  const why: Record<string, string> = {
    EADDRINUSE: 'the port is in use',
    EACCES: 'this user may not use the port',
    EADDRNOTAVAIL: 'this machine has no such address',
  };
  return new GatewayError(
    'config_invalid',
    `cannot listen on ${host}:${port}: ${why[cause.code ?? ''] ?? cause.code}`,
    { field: setting, fix: `Set KAMIGATE_${setting.toUpperCase()} to a free port; 0 takes any.`, cause },
  );
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function urlOf(host: string, server: Server): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${portOf(server)}`;
}

/** Requests being answered: from their first byte until the answer is out or the client has gone. */
function countInFlight(api: Server, metrics: Metrics): void {
  metrics.set('http_requests_in_flight', {}, 0);
  api.on('request', (_request, response) => {
    metrics.move('http_requests_in_flight', {}, 1);
    response.once('close', () => metrics.move('http_requests_in_flight', {}, -1));
  });
}

function tracedRequests({ metrics, tracer }: Gateway): HttpDeps['observeRequest'] {
  const observe = requestObserver(metrics);
  if (!tracer) return observe;
  return (seen) => {
    observe(seen);
    tracer.request(seen);
  };
}

function apiOf(config: Config, gateway: Gateway, draining: { has_begun: boolean }): ReturnType<typeof createApp> {
  const { metrics, log } = gateway;
  const deps: HttpDeps = {
    ...gateway,
    now: gateway.engine.now,
    body_limit_bytes: config.body_limit_bytes,
    wait_max_ms: config.wait_max_ms,
    allow_private_webhooks: config.allow_private_webhooks,
    isDraining: () => draining.has_begun,
    checks: readyChecks(gateway),
    observeRequest: tracedRequests(gateway),
    observeFailure: (error, request) => {
      metrics.count('failures_total', { where: 'http' });
      log.error({ err: error, ...request }, 'request failed');
    },
  };
  metrics.knowRoutes(allRoutes(deps));
  return createApp(deps);
}

/** What must hold for orders to be accepted here. Suppliers are not among it: their trouble is no reason to turn away. */
function readyChecks({ database, vault, upkeep }: Gateway): ReadyCheck[] {
  return [
    { name: 'database', check: async () => void (await database.read.raw('select 1')) },
    { name: 'migrations', check: migrationsCheck(database) },
    {
      name: 'vault',
      check: async () => {
        if (await vault.isSealed(database.read)) throw new GatewayError('vault_sealed', 'it is sealed', { fix: '' });
        return undefined;
      },
    },
    // Recharges, lookups and everything that reads go on: no reason to turn all of it away.
    {
      name: 'issuing',
      check: async () => {
        const why = upkeep.issuingFault();
        return why === null ? undefined : `sealed, ${why}; run \`kamigate vault replay\``;
      },
    },
  ];
}

function migrationsCheck(database: Database): () => Promise<undefined> {
  // This program's list never grows while it runs: once current, always current.
  let is_current = false;
  return async () => {
    if (is_current) return undefined;
    const pending = await pendingMigrations(database.write);
    if (pending.length > 0) throw new GatewayError('unavailable', `${pending.length} are pending`, { fix: '' });
    is_current = true;
    return undefined;
  };
}

async function stop(
  config: Config,
  gateway: Gateway,
  servers: { api: Server; metrics: Server },
  draining: { has_begun: boolean },
): Promise<'finished' | 'forced'> {
  const { log, fulfilment } = gateway;
  const ends_at = performance.now() + config.shutdown_timeout_ms;
  draining.has_begun = true;
  log.info({ drain_delay_ms: config.drain_delay_ms, waiting: fulfilment.size() }, 'draining');
  await pause(config.drain_delay_ms);
  const left_ms = Math.max(0, ends_at - performance.now());
  const result = await Promise.race([
    finish(gateway, servers).then(() => 'finished' as const),
    pause(left_ms).then(() => 'forced' as const),
  ]);
  log.info({ result, waiting: fulfilment.size() }, 'stopped');
  return result;
}

async function finish(gateway: Gateway, { api, metrics }: { api: Server; metrics: Server }): Promise<void> {
  const { jobs, fulfilment, database } = gateway;
  const stopRenewing = keepLeases(gateway);
  await closed(api);
  await jobs.stop();
  // What waits in line is dropped: it is due in the database, and any process picks it up.
  fulfilment.stop();
  await fulfilment.idle();
  stopRenewing();
  await gateway.stop(0);
  await closed(metrics);
  await database.close();
}

/** Resolves when the last request has been answered; new connections are refused from now on. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
