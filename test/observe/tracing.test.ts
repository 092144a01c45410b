// Traces against a real receiver on loopback: what arrives, which ids it has, that a collector which is away costs
// nothing but spans, and that no secret is in any of it.
import { createHash } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../config/load.js';
import { atomic } from '../../src/db/atomic.js';
import { createLogger } from '../../src/log.js';
import { type Served, serve } from '../../src/serve.js';
import { issueKey, SCOPES } from '../../src/storefronts/accounts.js';
import { createTracer, orderTrace, readTraceparent, type TracedRequest, type Tracer } from '../../src/tracing.js';
import { makeWorld, type World } from '../kit/world.js';

interface SeenSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
  links?: { traceId: string; spanId: string }[];
  status: { code?: number };
}

let server: Server;
let endpoint: string;
let bodies: string[];
let paths: string[];
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  bodies = [];
  paths = [];
  answer = (response) => response.end('{}');
  server = createServer((incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      paths.push(`${incoming.method} ${incoming.url} ${incoming.headers['content-type']}`);
      bodies.push(Buffer.concat(parts).toString());
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function spans(): SeenSpan[] {
  return bodies.flatMap((body) =>
    (JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: SeenSpan[] }[] }[] }).resourceSpans.flatMap(
      (resource) => resource.scopeSpans.flatMap((scope) => scope.spans),
    ),
  );
}

/** A listener that fails; nobody may notice. */
function failingListener(): never {
  throw new Error('the listener failed');
}

function attributes(span: SeenSpan): Record<string, string | undefined> {
  return Object.fromEntries(span.attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const ORDER = 'ord_01JABCDEFGHJKMNPQRSTVWXYZ0';
const AT = 1_767_225_600_123;
const seen: TracedRequest = {
  route: '/v1/orders',
  method: 'POST',
  status: 201,
  duration_ms: 2.5,
  storefront: 'mall',
  order_id: ORDER,
  traceparent: undefined,
};

describe('the tracer', () => {
  let troubles: { because: string; dropped: number }[];
  let tracer: Tracer;
  beforeEach(() => {
    troubles = [];
    tracer = open(endpoint);
  });
  afterEach(() => tracer.close());
  function open(to: string): Tracer {
    return createTracer({ endpoint: to, version: '1' }, { now: () => AT, onTrouble: (one) => troubles.push(one) });
  }

  test('an order’s trace follows from its id alone', async () => {
    const digest = createHash('sha256').update(ORDER).digest('hex');
    tracer.request(seen);
    tracer.order({ order_id: ORDER, state: 'delivered', duration_ms: 10 });
    await tracer.close();
    expect(paths).toEqual(['POST /v1/traces application/json']);
    const [request, order] = spans();
    expect(request).toMatchObject({
      traceId: digest.slice(0, 32),
      parentSpanId: order!.spanId,
      kind: 2,
      name: 'POST /v1/orders',
      startTimeUnixNano: '1767225600120500000',
      endTimeUnixNano: '1767225600123000000',
      status: {},
    });
    expect(request!.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(attributes(request!)).toMatchObject({ 'http.response.status_code': '201', 'kamigate.order_id': ORDER });
    expect(order).toMatchObject({ traceId: digest.slice(0, 32), spanId: digest.slice(32, 48) });
    expect(order!.parentSpanId).toBeUndefined();
  });

  test('a storefront’s traceparent is kept to, with a link to the order; nobody else’s is', async () => {
    const traceparent = `00-${TRACE}-${PARENT}-01`;
    tracer.request({ ...seen, traceparent });
    tracer.request({ ...seen, traceparent, storefront: null, status: 401, order_id: undefined });
    tracer.request({ ...seen, traceparent: `00-${TRACE}-${PARENT}-00` });
    tracer.request({ ...seen, route: '/readyz' });
    await tracer.close();
    const [theirs, stranger, ...more] = spans();
    expect(more).toEqual([]);
    expect(theirs).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, links: [orderTrace(ORDER)] });
    expect(stranger!.traceId).not.toBe(TRACE);
    expect(stranger!.parentSpanId).toBeUndefined();
  });

  test.each([
    ['', null],
    [`00-${TRACE}-${PARENT}`, null],
    [`ff-${TRACE}-${PARENT}-01`, null],
    [`00-${'0'.repeat(32)}-${PARENT}-01`, null],
    [`00-${TRACE}-${'0'.repeat(16)}-01`, null],
    [`00-${TRACE}-${PARENT}-01-more`, null],
    [`00-${TRACE.toUpperCase()}-${PARENT}-01`, null],
    [`01-${TRACE}-${PARENT}-03-more`, { traceId: TRACE, spanId: PARENT, is_sampled: true }],
  ])('reads the traceparent %p', (text, expected) => {
    expect(readTraceparent(text)).toEqual(expected);
  });

  test('512 spans go at once, without waiting for the timer', async () => {
    const arrived = new Promise<void>((resolve) => {
      answer = (response) => {
        response.end('{}');
        resolve();
      };
    });
    for (let at = 0; at < 512; at++) tracer.request(seen);
    await arrived;
    expect(spans()).toHaveLength(512);
  });

  test('an outcome that is no plain word, and a clock that is none, are told as nothing', async () => {
    tracer.call({ account: 'a', operation: 'place', outcome: 'code 6222-0000', is_fault: true, duration_ms: 1 });
    tracer.call({ account: 'a', operation: 'place', outcome: 'ok', is_fault: false, duration_ms: Number.NaN });
    await tracer.close();
    expect(spans().map((span) => attributes(span)['kamigate.outcome'])).toEqual(['other']);
    expect(tracer.dropped()).toBe(1);
  });

  test('a collector that is away is bounded, counted, and told of once', async () => {
    const dead = open('http://127.0.0.1:1');
    for (let at = 0; at < 10_000; at++) dead.request(seen);
    // All but the batch that was under way and the room there is.
    expect(dead.dropped()).toBe(10_000 - 4_096 - 512);
    await dead.close();
    expect(dead.dropped()).toBe(10_000);
    dead.request(seen);
    expect(dead.dropped()).toBe(10_001);
    expect(troubles).toHaveLength(1);
    expect(JSON.stringify(troubles)).not.toContain('127.0.0.1');
  });

  test('a batch that a collector cannot take for now comes again, the same', async () => {
    const taken = new Promise<void>((resolve) => {
      answer = (response) => {
        if (bodies.length === 1) response.writeHead(503).end();
        else {
          response.end('{}');
          resolve();
        }
      };
    });
    const deps = { now: () => AT, onTrouble: failingListener };
    const hasty = createTracer({ endpoint, version: '1', interval_ms: 20 }, deps);
    hasty.request(seen);
    await taken;
    await hasty.close();
    expect(bodies).toHaveLength(2);
    expect(bodies[1]).toBe(bodies[0]);
    expect(hasty.dropped()).toBe(0);
  });

  test('a collector that never answers holds the end up for a second only', async () => {
    answer = () => undefined;
    tracer.request(seen);
    await tracer.close();
    expect(bodies).toHaveLength(1);
    expect(tracer.dropped()).toBe(1);
  });

  test('what a collector refuses is dropped and counted', async () => {
    answer = (response) => response.writeHead(400).end('no');
    tracer.request(seen);
    await tracer.close();
    expect(tracer.dropped()).toBe(1);
    expect(troubles[0]).toEqual({ because: 'status 400', dropped: 1 });
  });
});

describe('a gateway', () => {
  let world: World;
  let served: Served | null;
  let key: string;
  beforeEach(() => {
    served = null;
  });
  afterEach(async () => {
    await served?.stop();
    await world.close();
  });

  /** A world whose own gateway takes the callbacks, and a served one beside it on the same database. */
  async function start(to: string | null): Promise<void> {
    world = await makeWorld({ real_clock: true, options: { otlp_endpoint: to } });
    await world.addSupplier('a');
    await world.addSku('airtime', { kind: 'recharge' });
    await world.addSource('airtime', 'a');
    await world.addSku('card', { vault_rank: 'never' });
    await world.addSource('card', 'a');
    const made = await atomic(world.database, 'key', (trx) =>
      issueKey(trx, { storefront: 'mall', scopes: SCOPES.filter((scope) => scope !== 'admin'), now: Date.now() }),
    );
    key = made.key.reveal();
    const { config } = loadConfig({
      env: {
        KAMIGATE_DATABASE_URL: world.database_url,
        KAMIGATE_MASTER_KEY_FILE: world.key_file,
        KAMIGATE_DATA_DIR: dirname(world.key_file),
        KAMIGATE_PORT: '0',
        KAMIGATE_METRICS_PORT: '0',
        KAMIGATE_DRAIN_DELAY_MS: '0',
        KAMIGATE_SWEEP_MS: '100',
        KAMIGATE_LOOKUP_LADDER_MS: '1000',
        ...(to === null ? {} : { KAMIGATE_OTLP_ENDPOINT: to }),
      },
    });
    served = await serve(config, { log: createLogger({ level: 'silent' }) });
  }

  async function place(sku: string, headers: Record<string, string> = {}): Promise<{ id: string; status: string }> {
    const recipient = sku === 'airtime' ? { recipient: { account: '13900001111' } } : {};
    const response = await fetch(`${served!.api_url}/v1/orders`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        prefer: 'wait=25',
        connection: 'close',
        ...headers,
      },
      body: JSON.stringify({ external_id: `x-${sku}`, sku, quantity: 1, ...recipient }),
    });
    return (await response.json()) as { id: string; status: string };
  }

  async function stopAll(): Promise<void> {
    await served!.stop();
    served = null;
    await world.gateway.tracer?.close();
  }

  test('an order’s request, calls, lookup and callback are one trace over two processes, without a secret', async () => {
    await start(endpoint);
    world.simulators.a!.fault('accept_then_drop');
    const recharge = await place('airtime', { traceparent: `00-${TRACE}-${PARENT}-01` });
    const card = await place('card');
    expect([recharge.status, card.status]).toEqual(['delivered', 'delivered']);
    const [attempt] = await world.attempts(recharge.id);
    await world.simulators.a!.callBack(attempt!.reference);
    await fetch(`${served!.api_url}/v1/orders?external_id=in-the-query`, {
      headers: { authorization: `Bearer ${key}`, connection: 'close' },
    });
    const codes = await world.codes(card.id);
    await stopAll();

    const named = (name: string, order_id: string): SeenSpan[] =>
      spans().filter((span) => span.name === name && attributes(span)['kamigate.order_id'] === order_id);
    const { traceId, spanId } = orderTrace(recharge.id);
    for (const name of ['supplier place', 'supplier lookup', 'supplier callback']) {
      const [span] = named(name, recharge.id);
      expect(span).toMatchObject({ traceId, parentSpanId: spanId });
      expect(attributes(span!)).toMatchObject({ 'kamigate.account': 'a', 'kamigate.attempt_id': attempt!.attempt_id });
    }
    expect(named('supplier place', recharge.id)[0]).toMatchObject({ kind: 3, status: { code: 2 } });
    expect(named('order', recharge.id)).toMatchObject([{ traceId, spanId }]);
    expect(named('POST /v1/orders', recharge.id)).toMatchObject([
      { traceId: TRACE, parentSpanId: PARENT, links: [{ traceId, spanId }] },
    ]);
    expect(named('POST /v1/orders', card.id)).toMatchObject([{ traceId: orderTrace(card.id).traceId }]);
    expect(spans().some((span) => span.name === 'GET /v1/orders')).toBe(true);

    expect(codes).toHaveLength(1);
    const { app_secret } = world.simulators.a!;
    for (const secret of [
      ...codes,
      '13900001111',
      key,
      app_secret,
      'in-the-query',
      'external_id',
      attempt!.reference,
    ]) {
      expect(bodies.join('\n')).not.toContain(secret);
    }
  });

  test.each([
    ['none is set', null],
    ['it is away', 'http://127.0.0.1:1'],
  ])('sells as ever where %s', async (_story, to) => {
    await start(to);
    expect((await place('airtime')).status).toBe('delivered');
    const { tracer } = served!.gateway;
    expect(tracer === null).toBe(to === null);
    await stopAll();
    if (tracer) expect(tracer.dropped()).toBeGreaterThan(2);
    expect(bodies).toEqual([]);
  });
});
