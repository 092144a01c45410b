// Traces for whoever runs an OpenTelemetry collector: OTLP over HTTP as JSON, in batches. All that happens to one order
// is one trace whose id follows from the order's, so that every process finds it by itself. Watching is never worth an
// order: nothing here throws, waits or grows without end, and what finds no room is counted and gone.
import { createHash, randomBytes } from 'node:crypto';
import { Agent, request } from 'undici';

export interface TracingOptions {
  /** Base address of the collector, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` below it. */
  endpoint: string;
  version: string;
  /** How often what waits is sent; 5,000. */
  interval_ms?: number;
}

export interface TracingDeps {
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Spans were lost or a batch was not taken; told at most once a minute, never with a word of the address. */
  onTrouble: (trouble: { because: string; dropped: number }) => void;
}

/** The order and, where there is one, the attempt that a span is about. */
export interface Subject {
  order_id: string;
  attempt_id?: string;
}

export interface TracedRequest {
  route: string;
  method: string;
  status: number;
  duration_ms: number;
  /** Who asked; null where nobody has proven to be a storefront. */
  storefront: string | null;
  /** The asker's own. */
  order_id: string | undefined;
  traceparent: string | undefined;
}

export interface TracedCall {
  account: string;
  operation: string;
  /** From a closed set; anything that is not one plain word is told as `other`. */
  outcome: string;
  is_fault: boolean;
  duration_ms: number;
  about?: Subject;
}

/** One span to each happening that has just ended. */
export interface Tracer {
  request(seen: TracedRequest): void;
  call(seen: TracedCall): void;
  callback(seen: { account: string; result: string; about?: Subject }): void;
  /** The span all others of the order hang from; told when the order comes to rest. */
  order(seen: Subject & { state: string; duration_ms: number }): void;
  /** Spans lost since the start. */
  dropped(): number;
  /** Sends what waits, for a second at most, and closes the connection. */
  close(): Promise<void>;
}

type Attributes = Record<string, string | number | undefined>;

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: object[];
  links?: { traceId: string; spanId: string }[];
  status: { code?: number };
}

interface NewSpan {
  name: string;
  kind: number;
  place: Pick<Span, 'traceId' | 'parentSpanId' | 'links'> & { spanId?: string };
  duration_ms: number;
  attributes: Attributes;
  is_fault: boolean;
}

const KIND = { internal: 1, server: 2, client: 3, consumer: 5 } as const;
const STATUS_ERROR = 2;
const BATCH_SPANS = 512;
const QUEUE_SPANS = 4_096;
const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 5_000;
const CLOSE_MS = 1_000;
const TELL_MS = 60_000;
const REPLY_BYTES = 64_000;
/** Answers after which OTLP allows the same batch again. */
const COMES_AGAIN: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const WORD = /^[a-z0-9_]{1,40}$/;

/** The order's trace, and the span in it that all others hang from: the same in every process. */
export function orderTrace(order_id: string): { traceId: string; spanId: string } {
  const digest = createHash('sha256').update(order_id).digest('hex');
  return { traceId: digest.slice(0, 32), spanId: digest.slice(32, 48) };
}

/** What a W3C `traceparent` says, or null where it is not one. */
export function readTraceparent(
  text: string | undefined,
): { traceId: string; spanId: string; is_sampled: boolean } | null {
  const [, version, traceId, spanId, flags, more] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text ?? '') ?? [];
  if (!version || !traceId || !spanId || !flags) return null;
  if (version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, is_sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** A tracer that sends every 5 s or 512 spans; its timer keeps no process alive. */
export function createTracer(options: TracingOptions, deps: TracingDeps): Tracer {
  const outbox = createOutbox(options, deps);
  const record = (make: () => NewSpan | null): void => {
    try {
      const made = make();
      if (made) outbox.add(spanOf(made, deps.now()));
    } catch {
      outbox.lose(1, 'a span that could not be made');
    }
  };
  return {
    request: (seen) => record(() => requestSpan(seen)),
    call: (seen) => record(() => callSpan(seen)),
    callback: (seen) => record(() => callbackSpan(seen)),
    order: (seen) => record(() => orderSpan(seen)),
    dropped: outbox.dropped,
    close: outbox.close,
  };
}

function requestSpan(seen: TracedRequest): NewSpan | null {
  const { route, method, status, duration_ms, storefront, order_id } = seen;
  // Probes and paths that do not exist are no requests of the API.
  if (!/^\/(?:v1|callbacks)\//.test(route)) return null;
  // Only a storefront may lead us into a trace of its own: anybody else could write into others'.
  const parent = storefront === null ? null : readTraceparent(seen.traceparent);
  if (parent && !parent.is_sampled) return null;
  const links = parent && order_id !== undefined ? { links: [orderTrace(order_id)] } : {};
  return {
    name: `${method} ${route}`,
    kind: KIND.server,
    place: parent
      ? { traceId: parent.traceId, parentSpanId: parent.spanId, ...links }
      : placeIn(order_id === undefined ? undefined : { order_id }),
    duration_ms,
    attributes: {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': status,
      'kamigate.storefront': storefront ?? undefined,
      'kamigate.order_id': order_id,
    },
    is_fault: status >= 500,
  };
}

function callSpan({ account, operation, outcome, is_fault, duration_ms, about }: TracedCall): NewSpan {
  return {
    name: `supplier ${operation}`,
    kind: KIND.client,
    place: placeIn(about),
    duration_ms,
    attributes: {
      'kamigate.account': account,
      'kamigate.operation': operation,
      'kamigate.outcome': WORD.test(outcome) ? outcome : 'other',
      ...subjectOf(about),
    },
    is_fault,
  };
}

function callbackSpan({ account, result, about }: Parameters<Tracer['callback']>[0]): NewSpan {
  return {
    name: 'supplier callback',
    kind: KIND.consumer,
    place: placeIn(about),
    duration_ms: 0,
    attributes: { 'kamigate.account': account, 'kamigate.result': result, ...subjectOf(about) },
    is_fault: false,
  };
}

function orderSpan({ order_id, state, duration_ms }: Parameters<Tracer['order']>[0]): NewSpan {
  return {
    name: 'order',
    kind: KIND.internal,
    place: orderTrace(order_id),
    duration_ms,
    attributes: { 'kamigate.state': state, 'kamigate.order_id': order_id },
    is_fault: state === 'failed',
  };
}

function placeIn(about: Subject | undefined): NewSpan['place'] {
  if (!about) return { traceId: randomBytes(16).toString('hex') };
  const { traceId, spanId } = orderTrace(about.order_id);
  return { traceId, parentSpanId: spanId };
}

function subjectOf(about: Subject | undefined): Attributes {
  return { 'kamigate.order_id': about?.order_id, 'kamigate.attempt_id': about?.attempt_id };
}

function spanOf({ name, kind, place, duration_ms, attributes, is_fault }: NewSpan, ended_at: number): Span {
  return {
    spanId: randomBytes(8).toString('hex'),
    ...place,
    name,
    kind,
    startTimeUnixNano: nanoText(ended_at - duration_ms),
    endTimeUnixNano: nanoText(ended_at),
    attributes: attributesOf(attributes),
    status: is_fault ? { code: STATUS_ERROR } : {},
  };
}

/** 64-bit numbers are text in OTLP's JSON; a double holds today's microseconds exactly, its nanoseconds not. */
function nanoText(ms: number): string {
  return String(BigInt(Math.round(ms * 1_000)) * 1_000n);
}

function attributesOf(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) => {
    if (value === undefined) return [];
    return [{ key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }];
  });
}

interface Outbox {
  add(span: Span): void;
  lose(spans: number, because: string): void;
  dropped(): number;
  close(): Promise<void>;
}

function createOutbox(
  { endpoint, version, interval_ms = INTERVAL_MS }: TracingOptions,
  { now, onTrouble }: TracingDeps,
): Outbox {
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  const agent = new Agent({ connections: 1 });
  const waiting: Span[] = [];
  let dropped = 0;
  let told_at = Number.NEGATIVE_INFINITY;
  let sending: Promise<boolean> | null = null;
  let is_failing = false;
  let is_closed = false;

  function tell(because: string): void {
    if (now() - told_at < TELL_MS) return;
    told_at = now();
    try {
      onTrouble({ because, dropped });
    } catch {
      // Whoever listens may fail; a purchase under way may not, and this runs inside of one.
    }
  }

  function lose(spans: number, because: string): void {
    dropped += spans;
    tell(because);
  }

  async function sendBatch(signal: AbortSignal): Promise<boolean> {
    const batch = waiting.splice(0, BATCH_SPANS);
    const { because, comes_again } = await post(url, agent, bodyOf(batch, version), signal);
    is_failing = because !== null;
    if (because === null) return true;
    const kept = comes_again && !is_closed ? batch.slice(0, Math.max(0, QUEUE_SPANS - waiting.length)) : [];
    waiting.unshift(...kept);
    dropped += batch.length - kept.length;
    tell(because);
    return false;
  }

  /** One batch at a time; whoever asks meanwhile is given the one under way. */
  function send(signal = AbortSignal.timeout(TIMEOUT_MS)): Promise<boolean> {
    sending ??= sendBatch(signal)
      .catch(() => false)
      .finally(() => {
        sending = null;
        // A full batch gathered meanwhile; after a failure it waits for the timer.
        if (!is_failing && !is_closed && waiting.length >= BATCH_SPANS) void send();
      });
    return sending;
  }

  const timer = setInterval(() => {
    if (waiting.length > 0) void send();
  }, interval_ms);
  timer.unref();

  return {
    add: (span) => {
      if (is_closed || waiting.length >= QUEUE_SPANS) {
        lose(1, 'no room for more spans');
        return;
      }
      waiting.push(span);
      if (waiting.length >= BATCH_SPANS && !is_failing && !sending) void send();
    },
    lose,
    dropped: () => dropped,
    close: async () => {
      if (is_closed) return;
      is_closed = true;
      clearInterval(timer);
      const signal = AbortSignal.timeout(CLOSE_MS);
      const given_up = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      if (sending) await Promise.race([sending, given_up]);
      while (waiting.length > 0 && !signal.aborted && (await send(signal)));
      if (waiting.length > 0) lose(waiting.splice(0).length, 'stopped');
      await agent.destroy();
    },
  };
}

/** Null as `because` if it was taken. */
async function post(
  url: string,
  dispatcher: Agent,
  body: string,
  signal: AbortSignal,
): Promise<{ because: string | null; comes_again: boolean }> {
  try {
    const headers = { 'content-type': 'application/json', 'user-agent': 'kamigate' };
    const reply = await request(url, { method: 'POST', dispatcher, headers, body, signal });
    const { statusCode: status } = reply;
    await reply.body.dump({ limit: REPLY_BYTES });
    if (status >= 200 && status < 300) return { because: null, comes_again: false };
    return { because: `status ${status}`, comes_again: COMES_AGAIN.has(status) };
  } catch (error) {
    return { because: String((error as { code?: unknown }).code ?? (error as Error).name), comes_again: true };
  }
}

/** An ExportTraceServiceRequest. */
function bodyOf(spans: readonly Span[], version: string): string {
  const resource = {
    attributes: attributesOf({
      'service.name': 'kamigate',
      'service.version': version,
      'service.instance.id': String(process.pid),
    }),
  };
  return JSON.stringify({
    resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'kamigate', version }, spans }] }],
  });
}
