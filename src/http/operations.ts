// For those who run the gateway and those who integrate with it: is it alive, is it ready, does my key work; and the
// metrics, which have a server of their own.
import express, { type Express } from 'express';
import { GatewayError } from '../errors.js';
import { timeText } from '../orders/view.js';
import { strictObject, text } from './input.js';
import { callerOf, type Reply, type Route, route } from './route.js';
import { API_VERSION } from './serve.js';

export interface ReadyCheck {
  name: string;
  /** Resolves if all is well, or with a sentence that is no reason to turn requests away; throws if there is one. */
  check: () => Promise<string | undefined>;
}

export interface OperationRoutesDeps {
  checks: readonly ReadyCheck[];
  isDraining: () => boolean;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** A check that takes longer has failed. */
const CHECK_MS_MAX = 500;
/** Answers this young are given again: whoever asks in a loop must not load the database. */
const CHECK_AGE_MS_MAX = 1_000;
const TEXT_UTF8 = 'text/plain; charset=utf-8';

const readyQuery = strictObject({ verbose: text(10).optional() });

export function operationRoutes(deps: OperationRoutesDeps): Route[] {
  const readiness = createReadiness(deps);
  return [
    // It touches nothing: a process that can answer is alive, whatever has become of its database.
    route({
      method: 'GET',
      path: '/livez',
      scope: 'public',
      query: 'raw',
      handle: () => ({ status: 200, body: 'ok\n', content_type: TEXT_UTF8 }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      scope: 'public',
      query: readyQuery,
      handle: async ({ query }) => readyReply(await readiness(), query.verbose !== undefined),
    }),
    route({
      method: 'GET',
      path: '/v1/ping',
      scope: 'any_key',
      handle: (exchange) => {
        const { storefront, currency, scopes } = callerOf(exchange);
        const server_time = timeText(deps.now());
        const body = {
          object: 'ping',
          storefront,
          currency,
          livemode: true,
          scopes: [...scopes],
          server_time,
          api_version: API_VERSION,
        };
        return { status: 200, body };
      },
    }),
  ];
}

interface Finding {
  name: string;
  /** What is wrong, or null. */
  fault: string | null;
  /** What is wrong and yet no reason not to be ready, or null. */
  warning: string | null;
  took_ms: number;
  at: number;
}

interface Readiness {
  findings: Finding[];
  age_ms: number;
}

function createReadiness(deps: OperationRoutesDeps): () => Promise<Readiness> {
  let last: { at: number; findings: Promise<Finding[]> } | null = null;
  return async () => {
    const now = deps.now();
    if (!last || now - last.at >= CHECK_AGE_MS_MAX) {
      last = { at: now, findings: Promise.all(deps.checks.map((check) => runCheck(check, now))) };
    }
    const { at, findings } = last;
    // Draining is never remembered: it must be seen at once.
    const draining: Finding = {
      name: 'draining',
      fault: deps.isDraining() ? 'shutdown has begun' : null,
      warning: null,
      took_ms: 0,
      at: now,
    };
    return { findings: [...(await findings), draining], age_ms: now - at };
  };
}

async function runCheck({ name, check }: ReadyCheck, at: number): Promise<Finding> {
  const started = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new GatewayError('unavailable', `no answer within ${CHECK_MS_MAX} ms`, { fix: '' })),
      CHECK_MS_MAX,
    );
  });
  try {
    const warning = (await Promise.race([check(), late])) ?? null;
    return { name, fault: null, warning, took_ms: Math.round(performance.now() - started), at };
  } catch (error) {
    // Only our own sentences are fit to be read by anybody; a driver's names hosts and users.
    const fault = error instanceof GatewayError ? error.message : 'failed';
    return { name, fault, warning: null, took_ms: Math.round(performance.now() - started), at };
  } finally {
    clearTimeout(timer);
  }
}

function readyReply({ findings, age_ms }: Readiness, is_verbose: boolean): Reply {
  const failing = findings.filter((finding) => finding.fault !== null);
  const status = failing.length === 0 ? 200 : 503;
  const shown = is_verbose ? findings : findings.filter(({ fault, warning }) => fault !== null || warning !== null);
  const lines = shown.map(({ name, fault, warning, took_ms }) => {
    const facts = is_verbose ? ` (${took_ms} ms, ${age_ms} ms ago)` : '';
    const result = fault !== null ? 'fail' : warning !== null ? 'warn' : 'ok  ';
    const said = fault ?? warning;
    return `${result} ${name}${said === null ? '' : `: ${said}`}${facts}`;
  });
  return { status, body: [...lines, status === 200 ? 'ready' : 'not ready', ''].join('\n'), content_type: TEXT_UTF8 };
}

/** The app of the metrics port: GET /metrics and nothing else. */
export function createMetricsApp(
  render: (accept: string | undefined) => Promise<{ content_type: string; body: string }>,
): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/metrics', async ({ headers }, response) => {
    const { content_type, body } = await render(headers.accept);
    response.writeHead(200, { 'Content-Type': content_type, 'Cache-Control': 'no-store' }).end(body);
  });
  app.use((_request, response) => {
    response.writeHead(404, { 'Content-Type': TEXT_UTF8 }).end('only GET /metrics is here\n');
  });
  app.use(((_error, _request, response, _next) => {
    response.writeHead(500, { 'Content-Type': TEXT_UTF8 }).end('the metrics could not be rendered\n');
  }) as express.ErrorRequestHandler);
  return app;
}
