// One HTTP exchange with a supplier: deadline, size limit, no redirects, no retries, and a record of what was said.
// Its errors tell the one thing that matters afterwards: may a byte have left?
import { randomBytes, randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import {
  type Desk,
  type FailureKind,
  Unreadable,
  type Wire,
  WireFailure,
  type WireReply,
  type WireRequest,
} from '../../adapters/kit/contract.js';
import type { PurchaseFacts } from '../../adapters/kit/doubt.js';
import { must } from '../errors.js';
import type { Pace } from './pace.js';
import type { Session } from './session.js';

/** One request and what came of it, before scrubbing. */
export interface Exchange {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
  status: number | null;
  reply_headers: Record<string, string>;
  reply_body: string;
  failure: string | null;
  duration_ms: number;
}

export interface WireOptions {
  /** Milliseconds the whole verb may take. */
  deadline_ms: number;
  /** Largest reply read; a bigger one is a failure after the fact. */
  reply_bytes_max: number;
}

/** Keep-alive connections to one account's hosts. */
export class Lines {
  readonly #pools = new Map<string, Pool>();
  constructor(private readonly connections_max: number) {}

  to(origin: string): Pool {
    let pool = this.#pools.get(origin);
    if (!pool) {
      // An account speaks to a handful of hosts; more would mean that a supplier chooses them.
      must(this.#pools.size < 8, 'an account speaks to at most 8 hosts');
      pool = new Pool(origin, {
        connections: this.connections_max,
        pipelining: 1,
        connect: { timeout: 5_000 },
        keepAliveTimeout: 4_000,
      });
      this.#pools.set(origin, pool);
    }
    return pool;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }
}

export interface OpenWire extends Wire {
  /** What was said so far. */
  readonly exchanges: readonly Exchange[];
  /** How far the request that can buy has come: from its beginning on, silence proves nothing. */
  readonly facts: Readonly<PurchaseFacts>;
}

export interface WireParts {
  desk: Desk;
  lines: Lines;
  options: WireOptions;
  /** How many requests that can buy this verb may send: 1 for `place`, else 0 unless a resend is allowed. */
  purchases_max: number;
  session: Session | null;
  /** The supplier's limit on requests; each one waits for its turn before it counts as begun. */
  pace: Pace | null;
  /** Milliseconds, monotonic; for durations and the deadline only. */
  monotonic: () => number;
  /** Milliseconds since the epoch: the clock by which others reckon that nothing is sent any more. */
  now: () => number;
  /** The supplier's own clock, as far as a reply's Date header tells. */
  onDate?: (date: string) => void;
}

/**
 * Lends a wire for one verb. The deadline counts from now, on both clocks: the monotonic one may stand still while the
 * machine sleeps, and another process may have proven meanwhile, by the clock on the wall, that nothing was bought.
 */
export function openWire(parts: WireParts): OpenWire {
  const { deadline_ms } = parts.options;
  const [ends_at, wall_ends_at] = [parts.monotonic() + deadline_ms, parts.desk.now + deadline_ms];
  const leftMs = (): number => Math.min(ends_at - parts.monotonic(), wall_ends_at - parts.now());
  const exchanges: Exchange[] = [];
  const facts = { purchase_began: false, purchase_answered: false };
  let purchases = 0;
  let renewed = false;

  async function send(request: WireRequest): Promise<WireReply> {
    if (parts.pace && !(await parts.pace.turn(leftMs()))) throw new WireFailure('timeout', false);
    if (!request.buys) return sendOnce(request);
    must(purchases < parts.purchases_max, 'a verb sends no more requests that can buy than it may');
    purchases++;
    facts.purchase_began = true;
    const reply = await sendOnce(request);
    facts.purchase_answered = true;
    return reply;
  }

  async function sendOnce(request: WireRequest): Promise<WireReply> {
    const reply = await exchange(parts, request, leftMs, exchanges);
    if (reply.status !== 401 || !parts.session || renewed) return reply;
    // A 401 says that nothing was done; with a fresh token the same request may go once more.
    renewed = true;
    const old_token = parts.session.held;
    await parts.session.renew();
    const token = await parts.session.token();
    return exchange(parts, withToken(request, old_token, token), leftMs, exchanges);
  }

  return {
    ...parts.desk,
    send,
    nonce: (length) =>
      randomBytes(Math.ceil(length / 2))
        .toString('hex')
        .slice(0, length),
    uuid: () => randomUUID(),
    token: async () => {
      must(parts.session, 'the adapter declares a session');
      return parts.session.token();
    },
    exchanges,
    facts,
  };
}

/** The request with the new token wherever a header holds the old one. */
function withToken(request: WireRequest, old_token: string | null, token: string): WireRequest {
  const entries = Object.entries(request.headers ?? {});
  const headers = entries.map(([name, value]) => [name, old_token ? value.replaceAll(old_token, token) : value]);
  return { ...request, headers: Object.fromEntries(headers) as Record<string, string> };
}

async function exchange(
  parts: WireParts,
  request: WireRequest,
  leftMs: () => number,
  exchanges: Exchange[],
): Promise<WireReply> {
  const url = new URL(request.url.startsWith('/') ? parts.desk.base_url + request.url : request.url);
  const started_at = parts.monotonic();
  const record: Exchange = {
    method: request.method,
    url: url.href,
    headers: request.headers ?? {},
    body: request.body === undefined ? '' : request.body.toString(),
    status: null,
    reply_headers: {},
    reply_body: '',
    failure: null,
    duration_ms: 0,
  };
  exchanges.push(record);
  try {
    const left_ms = Math.ceil(leftMs());
    if (left_ms <= 0) throw new WireFailure('timeout', false);
    const reply = await call(parts, request, url, left_ms);
    record.status = reply.status;
    record.reply_headers = reply.headers;
    record.reply_body = reply.body.toString('utf8');
    if (reply.headers.date) parts.onDate?.(reply.headers.date);
    return reply;
  } catch (error) {
    const failure = error instanceof WireFailure || error instanceof Unreadable ? error : failureOf(error);
    record.failure = failure.message;
    throw failure;
  } finally {
    record.duration_ms = Math.round(parts.monotonic() - started_at);
  }
}

async function call(parts: WireParts, request: WireRequest, url: URL, left_ms: number): Promise<WireReply> {
  const reply = await parts.lines.to(url.origin).request({
    method: request.method,
    path: url.pathname + url.search,
    headers: request.headers ?? {},
    body: request.body ?? null,
    signal: AbortSignal.timeout(left_ms),
    headersTimeout: left_ms + 1_000,
    bodyTimeout: left_ms + 1_000,
  });
  const body = await readBody(reply.body, parts.options.reply_bytes_max);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(reply.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  if (reply.statusCode >= 300 && reply.statusCode < 400) throw new WireFailure('redirect', true);
  return { status: reply.statusCode, headers, body };
}

async function readBody(body: AsyncIterable<Buffer> & { destroy(): void }, bytes_max: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytes_max) {
      body.destroy();
      throw new WireFailure('too_large', true);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// Only a failure to connect proves that nothing left. Everything else, whatever its name, may have come after the
// first byte: undici reports a reset on a reused connection the same way before and after sending.
const BEFORE_SENDING: Readonly<Record<string, FailureKind>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'refused',
  ENETUNREACH: 'refused',
  EADDRNOTAVAIL: 'refused',
  UND_ERR_CONNECT_TIMEOUT: 'refused',
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  CERT_HAS_EXPIRED: 'tls',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls',
  ERR_TLS_CERT_ALTNAME_INVALID: 'tls',
};

/** What an error of the HTTP client proves. */
export function failureOf(error: unknown): WireFailure {
  const { code, name } = error as { code?: string; name?: string };
  const before = code ? BEFORE_SENDING[code] : undefined;
  if (before) return new WireFailure(before, false, { cause: error });
  const is_timeout = name === 'TimeoutError' || name === 'AbortError' || /TIMEOUT/.test(code ?? '');
  return new WireFailure(is_timeout ? 'timeout' : 'reset', true, { cause: error });
}
