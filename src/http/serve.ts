// One road for every route: admit, read, check, handle, answer. Nothing here knows a resource. The answer is written
// with `writeHead` and one `end`: Express's own `res.json` and `res.set` cost as much as the rest together.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import type { z } from 'zod';
import { GatewayError } from '../errors.js';
import { newId } from '../ids.js';
import type { Authenticator } from '../storefronts/accounts.js';
import { admit } from './access.js';
import { ClientGone, checkJsonType, parseJson, readBody } from './body.js';
import { checkBody, checkNoQuery, checkQuery } from './input.js';
import { gatewayError, problemOf } from './problem.js';
import type { Exchange, Reply, Route } from './route.js';

export const API_VERSION = '2026-01-01';
const JSON_UTF8 = 'application/json; charset=utf-8';
const PROBLEM_JSON = 'application/problem+json; charset=utf-8';
/** What a client should wait at least before it repeats a request that was refused for now. */
const RETRY_AFTER_S = '1';

export interface RequestSeen {
  /** The route's pattern, never the path: a label with few values. */
  route: string;
  method: string;
  status: number;
  duration_ms: number;
  storefront: string | null;
  /** The order that was answered about, where it was one. */
  order_id: string | undefined;
  traceparent: string | undefined;
}

export interface ServeDeps {
  authenticator: Authenticator;
  /** Milliseconds since the epoch. */
  now: () => number;
  body_limit_bytes: number;
  /** Shutdown has begun: what is under way finishes, and its connection closes. */
  isDraining: () => boolean;
  observeRequest: (seen: RequestSeen) => void;
  /** A fault of ours, to be logged under the request's id. */
  observeFailure: (error: unknown, request: { request_id: string; route: string }) => void;
}

interface Begun {
  request_id: string;
  started: number;
  route: string;
  storefront: string | null;
  order_id: string | undefined;
}

/** Express's handler for one row of a table. */
export function serve(deps: ServeDeps, route: Route): RequestHandler {
  return async (request, response) => {
    const begun = begin(deps, route.path);
    try {
      const caller = await admit(deps.authenticator, route.scope, request.headers.authorization);
      begun.storefront = caller?.storefront ?? null;
      if (route.refuses_head && request.method === 'HEAD') throw methodNotAllowed('HEAD', [route.method]);
      const query = readQuery(route, request.originalUrl);
      const body = await readInput(deps, route, request);
      const exchange: Exchange = {
        request_id: begun.request_id,
        caller,
        method: request.method,
        url: request.originalUrl,
        headers: request.headers,
        params: request.params,
        query,
        body,
        isGone: () => response.destroyed,
      };
      const reply = await route.handle(exchange);
      // Once answered, an order named in the path is the caller's own.
      begun.order_id = reply.order_id ?? request.params.order_id?.toString();
      send(deps, request, response, begun, reply);
    } catch (error) {
      if (error instanceof ClientGone) response.destroy();
      else sendProblem(deps, request, response, begun, error);
    }
  };
}

/** Refuses whatever method no row of this path has; OPTIONS is told what there is. */
export function refuseMethod(deps: ServeDeps, path: string, allowed: readonly string[]): RequestHandler {
  return (request, response) => {
    const begun = begin(deps, path);
    if (request.method !== 'OPTIONS') {
      sendProblem(deps, request, response, begun, methodNotAllowed(request.method, allowed));
      return;
    }
    send(deps, request, response, begun, { status: 204, body: null, headers: { Allow: allowed.join(', ') } });
  };
}

/** Answers an error that came up outside of any route, or the lack of a route. */
export function answerError(deps: ServeDeps, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  sendProblem(deps, request, response, begin(deps, 'none'), error);
}

export function methodNotAllowed(method: string, allowed: readonly string[]): GatewayError {
  return new GatewayError('method_not_allowed', `there is no ${method} here`, {
    field: 'method',
    fix: `Use ${allowed.join(' or ')}.`,
    extra: { allowed },
  });
}

function begin(deps: ServeDeps, route: string): Begun {
  return {
    request_id: newId('req', deps.now()),
    started: performance.now(),
    route,
    storefront: null,
    order_id: undefined,
  };
}

function readQuery(route: Route, url: string): unknown {
  if (route.query === undefined) return checkNoQuery(url);
  return route.query === 'raw' ? undefined : checkQuery(route.query, url);
}

async function readInput(deps: ServeDeps, route: Route, request: IncomingMessage): Promise<unknown> {
  if (route.body === undefined) return undefined;
  if (route.body === 'raw') return readBody(request, deps.body_limit_bytes);
  checkJsonType(request);
  const bytes = await readBody(request, deps.body_limit_bytes);
  return checkBody(route.body as z.ZodType, parseJson(bytes));
}

function sendProblem(
  deps: ServeDeps,
  request: IncomingMessage,
  response: ServerResponse,
  begun: Begun,
  thrown: unknown,
): void {
  const { error, is_ours } = gatewayError(thrown);
  if (is_ours) deps.observeFailure(thrown, { request_id: begun.request_id, route: begun.route });
  const [path = ''] = pathOf(request).split('?', 1);
  const headers: Record<string, string> = {};
  if (error.status === 401) headers['WWW-Authenticate'] = 'Bearer';
  if (error.status === 405 && Array.isArray(error.extra.allowed)) headers.Allow = error.extra.allowed.join(', ');
  if (error.status === 429 || error.status === 503) headers['Retry-After'] = RETRY_AFTER_S;
  send(deps, request, response, begun, {
    status: error.status,
    body: problemOf(error, { id: begun.request_id, path }),
    content_type: PROBLEM_JSON,
    headers,
  });
}

function pathOf(request: IncomingMessage & { originalUrl?: string }): string {
  return request.originalUrl ?? request.url ?? '';
}

function send(
  deps: ServeDeps,
  request: IncomingMessage,
  response: ServerResponse,
  begun: Begun,
  { status, body, content_type, headers }: Reply,
): void {
  const content = body === null ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const fields: Record<string, string | number> = {
    'Request-Id': begun.request_id,
    'Api-Version': API_VERSION,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  };
  if (body !== null) {
    fields['Content-Type'] = content_type ?? JSON_UTF8;
    fields['Content-Length'] = Buffer.byteLength(content);
  }
  // A body nobody will read must not keep the connection: more of it could follow without end.
  if (deps.isDraining() || (!request.complete && hasUnreadBody(deps, request))) fields.Connection = 'close';
  if (!response.headersSent && !response.destroyed) {
    response.writeHead(status, fields);
    response.end(content);
  }
  deps.observeRequest({
    route: begun.route,
    method: request.method ?? '',
    status,
    duration_ms: performance.now() - begun.started,
    storefront: begun.storefront,
    order_id: begun.order_id,
    traceparent: headerText(request.headers.traceparent),
  });
}

function headerText(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

function hasUnreadBody(deps: ServeDeps, request: IncomingMessage): boolean {
  const declared = request.headers['content-length'];
  return declared === undefined
    ? request.headers['transfer-encoding'] !== undefined
    : Number(declared) > deps.body_limit_bytes;
}
