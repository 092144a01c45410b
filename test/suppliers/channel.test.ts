// The one way out, against real HTTP servers: what each failure proves, what the breaker and the limiter let through,
// how a session's token is renewed, and that no secret stays in a transcript.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type Outcome,
  PESSIMISTIC,
  type Purchase,
  Secret,
  type Supplier,
  type Wire,
} from '../../adapters/kit/contract.js';
import type { OpenAccount } from '../../src/suppliers/accounts.js';
import { Channel, type ChannelOptions, type PlaceHooks } from '../../src/suppliers/channel.js';

let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let arrived: { url: string; at: number; authorization: string | undefined }[];
let channels: Channel[];

beforeEach(async () => {
  arrived = [];
  channels = [];
  answer = (_request, response) => response.end('{"status":"ok"}');
  server = createServer((request, response) => {
    arrived.push({ url: request.url ?? '', at: performance.now(), authorization: request.headers.authorization });
    request.resume().on('end', () => answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await Promise.all(channels.map((channel) => channel.close()));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const baseUrl = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function buy(wire: Wire, headers: Record<string, string> = {}): Promise<Outcome> {
  const reply = await wire.send({ method: 'POST', url: '/buy', headers, body: '{}', buys: true });
  const { status, codes } = JSON.parse(reply.body.toString()) as { status: string; codes?: string[] };
  if (status === 'ok') {
    return { outcome: 'delivered', ...(codes ? { codes: codes.map((text) => ({ number: new Secret(text) })) } : {}) };
  }
  return status === 'sold_out'
    ? { outcome: 'refused', reason: 'out_of_stock' }
    : { outcome: 'refused', reason: 'maintenance' };
}

function supplier(changes: Partial<Supplier> = {}): Supplier {
  return {
    code: 'test',
    name: 'Test',
    region: 'global',
    delivers: ['recharge', 'code'],
    base_urls: { live: null, sandbox: null },
    credentials: { key: 'A key.' },
    limits: { requests: null, per_ms: 1_000, concurrency: 10, deadline_ms: 1_000 },
    money: { currency: 'CNY', unit: 'main' },
    promises: PESSIMISTIC,
    statuses: {},
    refusals: {},
    place: (_purchase, wire) => buy(wire),
    ...changes,
  };
}

function open(changes: Partial<Supplier> = {}, options: Partial<ChannelOptions> = {}, base_url = baseUrl()): Channel {
  const adapter = supplier(changes);
  const account: OpenAccount = {
    account: 'acc',
    adapter: 'test',
    base_url,
    options: {},
    limits: adapter.limits,
    currency: 'CNY',
    exposure_limit_e4: 0,
    is_enabled: true,
    paused_at: null,
    paused_reason: null,
    updated_at: 1,
    credentials: { key: new Secret('credential-9911') },
  };
  const channel = new Channel(account, adapter, {
    now: Date.now,
    monotonic: () => performance.now(),
    callback_url: () => 'http://127.0.0.1:9/callbacks/acc',
    reply_bytes_max: 10_000,
    waiting_max: 1_000,
    breaker: { volume_min: 5, error_percent: 50, window_ms: 10_000, open_ms: 50 },
    onCall: () => undefined,
    onBreaker: () => undefined,
    onClock: () => undefined,
    ...options,
  });
  channels.push(channel);
  return channel;
}

const PURCHASE: Purchase = {
  reference: 'ref-1',
  product: 'p',
  kind: 'recharge',
  quantity: 1,
  recipient: { account: '13900001111' },
  cost_ceiling: null,
};
const GO: PlaceHooks = { prepared: async () => true, beforeSend: async () => true };
const place = async (channel: Channel, purchase = PURCHASE): Promise<Outcome> =>
  (await channel.place(purchase, GO)).found;

describe('what a failure proves', () => {
  test('a connection that was refused proves that nothing left', async () => {
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve));
    const { port } = dead.address() as AddressInfo;
    await new Promise((resolve) => dead.close(resolve));
    expect(await place(open({}, {}, `http://127.0.0.1:${port}`))).toMatchObject({
      outcome: 'refused',
      reason: 'not_sent',
    });
  });

  test.each<[string, (request: IncomingMessage, response: ServerResponse) => void, string]>([
    ['silence past the deadline', () => undefined, 'deadline'],
    ['a dropped connection', (request) => request.socket.destroy(), 'reset'],
    [
      'half a body',
      (_request, response) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('{"sta');
        setTimeout(() => response.destroy(), 20);
      },
      'reset',
    ],
    [
      'a slow drip',
      (_request, response) => {
        response.writeHead(200);
        setInterval(() => response.write(' '), 50).unref();
      },
      'deadline',
    ],
    [
      'a redirect',
      (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
      'unreadable',
    ],
    ['a reply without end', (_request, response) => response.end('x'.repeat(20_000)), 'unreadable'],
    ['HTML', (_request, response) => response.end('<html>502</html>'), 'unreadable'],
  ])('%s is unknown', async (_what, behaviour, doubt) => {
    answer = behaviour;
    const channel = open({ limits: { requests: null, per_ms: 1_000, concurrency: 10, deadline_ms: 300 } });
    expect(await place(channel)).toMatchObject({ outcome: 'unknown', doubt });
    expect(arrived).toHaveLength(1);
  });

  test('a failure before the request that can buy proves that nothing was bought', async () => {
    answer = (request, response) =>
      request.url === '/price' ? request.socket.destroy() : response.end('{"status":"ok"}');
    const channel = open({
      place: async (_purchase, wire) => {
        await wire.send({ method: 'GET', url: '/price' });
        return buy(wire);
      },
    });
    expect(await place(channel)).toMatchObject({ outcome: 'refused', reason: 'not_sent' });
    expect(arrived.map((each) => each.url)).toEqual(['/price']);
  });

  test('an adapter that breaks after sending is unknown, and its words are not repeated', async () => {
    const channel = open({
      place: async (_purchase, wire) => {
        await buy(wire);
        throw new TypeError('cannot read credential-9911');
      },
    });
    const outcome = await place(channel);
    expect(outcome).toMatchObject({ outcome: 'unknown' });
    expect(JSON.stringify(outcome)).not.toContain('credential-9911');
  });

  test('a second request that can buy is refused before it is sent', async () => {
    const channel = open({
      place: async (_purchase, wire) => {
        await buy(wire);
        return buy(wire);
      },
    });
    expect(await place(channel)).toMatchObject({ outcome: 'unknown' });
    expect(arrived).toHaveLength(1);
  });

  test('an attempt that is no longer ours is given up before a byte leaves', async () => {
    const answered = await open().place(PURCHASE, { ...GO, beforeSend: async () => false });
    expect(answered).toMatchObject({ abandoned: true, transcript: null });
    expect(arrived).toEqual([]);
  });
});

test('a machine that slept between the mark and the call sends nothing when it wakes', async () => {
  // The monotonic clock stands still in sleep; the clock on the wall, by which others reckon, does not.
  let slept_ms = 0;
  const channel = open({}, { now: () => Date.now() + slept_ms, monotonic: () => 0 });
  const answer = await channel.place(PURCHASE, {
    prepared: async () => true,
    beforeSend: async () => {
      slept_ms = 60_000;
      return true;
    },
  });
  expect(answer).toMatchObject({ abandoned: false, found: { outcome: 'refused', reason: 'not_sent' } });
  expect(arrived).toEqual([]);
});

describe('the breaker', () => {
  test('opens on faults by number and share, lets one probe through, and closes again', async () => {
    // Long enough open that a slow machine does not see a second probe.
    const breaker = { volume_min: 5, error_percent: 50, window_ms: 10_000, open_ms: 1_000 };
    const channel = open({}, { breaker });
    answer = (request) => request.socket.destroy();
    for (let call = 0; call < 5; call++) await place(channel);
    expect(channel.breaker_state).toMatchObject({ state: 'open', because: 'unknown:reset' });
    const count = arrived.length;
    expect(await place(channel)).toMatchObject({ outcome: 'refused', reason: 'not_sent' });
    expect(arrived).toHaveLength(count);

    await until(() => !channel.is_open);
    const probes = await Promise.all(Array.from({ length: 10 }, () => place(channel)));
    expect(arrived).toHaveLength(count + 1);
    expect(probes.filter((outcome) => outcome.outcome === 'unknown')).toHaveLength(1);

    answer = (_request, response) => response.end('{"status":"ok"}');
    await until(() => !channel.is_open);
    expect(await place(channel)).toMatchObject({ outcome: 'delivered' });
    expect(channel.breaker_state.state).toBe('closed');
  });

  test('stays closed on a hundred clear refusals', async () => {
    const channel = open();
    answer = (_request, response) => response.end('{"status":"sold_out"}');
    for (let call = 0; call < 100; call++) expect(await place(channel)).toMatchObject({ reason: 'out_of_stock' });
    expect(channel.is_open).toBe(false);
  });

  test('opens on maintenance, and is closed by hand', async () => {
    const channel = open({}, { breaker: { volume_min: 5, error_percent: 50, window_ms: 10_000, open_ms: 60_000 } });
    answer = (_request, response) => response.end('{"status":"closed"}');
    for (let call = 0; call < 5; call++) await place(channel);
    expect(channel.is_open).toBe(true);
    channel.resetBreaker();
    expect(channel.is_open).toBe(false);
  });
});

describe('the limiter', () => {
  test('never lets more through in any window than the supplier allows, at the supplier’s clock', async () => {
    const channel = open({ limits: { requests: 10, per_ms: 500, concurrency: 10, deadline_ms: 5_000 } });
    await Promise.all(Array.from({ length: 30 }, () => place(channel)));
    const times = arrived.map((each) => each.at);
    // Two calls' arrival can be moved closer by the network; a window a little shorter than the supplier's shows more.
    for (const from of times)
      expect(times.filter((at) => at >= from && at < from + 480).length).toBeLessThanOrEqual(10);
  });

  test('holds the concurrency', async () => {
    let open_now = 0;
    let most = 0;
    answer = (_request, response) => {
      most = Math.max(most, ++open_now);
      setTimeout(() => {
        open_now--;
        response.end('{"status":"ok"}');
      }, 20);
    };
    const channel = open({ limits: { requests: null, per_ms: 1_000, concurrency: 3, deadline_ms: 5_000 } });
    await Promise.all(Array.from({ length: 12 }, () => place(channel)));
    expect(most).toBe(3);
  });

  test('that is full refuses before anything is sent', async () => {
    answer = (_request, response) => setTimeout(() => response.end('{"status":"ok"}'), 50);
    const channel = open(
      { limits: { requests: null, per_ms: 1_000, concurrency: 1, deadline_ms: 5_000 } },
      { waiting_max: 2 },
    );
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => place(channel)));
    const sent = outcomes.filter((outcome) => outcome.outcome === 'delivered').length;
    expect(outcomes.filter((outcome) => outcome.outcome === 'refused' && outcome.reason === 'not_sent')).toHaveLength(
      8 - sent,
    );
    expect(sent).toBeLessThan(8);
    expect(arrived).toHaveLength(sent);
  });
});

describe('a session', () => {
  let tokens = 0;
  const withSession: Partial<Supplier> = {
    session: async (wire) => {
      await wire.send({ method: 'POST', url: '/token', body: wire.credential('key') });
      return { token: `token-${++tokens}-abcdef`, expires_in_ms: 60_000 };
    },
    place: async (_purchase, wire) => buy(wire, { Authorization: `Bearer ${await wire.token()}` }),
  };
  beforeEach(() => {
    tokens = 0;
  });

  test('is opened once for many calls', async () => {
    const channel = open(withSession);
    await Promise.all(Array.from({ length: 10 }, () => place(channel)));
    expect(arrived.filter((each) => each.url === '/token')).toHaveLength(1);
    expect(arrived.filter((each) => each.url === '/buy')).toHaveLength(10);
  });

  test('that ended is renewed once, and the refused request sent again with the new token', async () => {
    const channel = open(withSession);
    answer = (request, response) => {
      const is_old = request.url === '/buy' && request.headers.authorization === 'Bearer token-1-abcdef';
      response.writeHead(is_old ? 401 : 200).end('{"status":"ok"}');
    };
    expect(await place(channel)).toMatchObject({ outcome: 'delivered' });
    expect(arrived.map((each) => each.url)).toEqual(['/token', '/buy', '/token', '/buy']);
    expect(arrived[3]!.authorization).toBe('Bearer token-2-abcdef');
  });

  test('that stays refused is renewed no second time', async () => {
    const channel = open(withSession);
    answer = (request, response) => response.writeHead(request.url === '/buy' ? 401 : 200).end('{"status":"sold_out"}');
    await place(channel);
    expect(arrived.filter((each) => each.url === '/buy')).toHaveLength(2);
  });

  test('that cannot be opened proves that nothing was bought', async () => {
    const channel = open(withSession);
    answer = (request) => request.socket.destroy();
    expect(await place(channel)).toMatchObject({ outcome: 'refused', reason: 'not_sent' });
  });
});

test('a transcript holds what was said, without credential, token or code', async () => {
  answer = (_request, response) => response.end('{"status":"ok","codes":["CODE-7788-XYZ"]}');
  const channel = open({
    session: async () => ({ token: 'token-secret-1', expires_in_ms: 60_000 }),
    place: async (_purchase, wire) =>
      buy(wire, { Authorization: `Bearer ${await wire.token()}`, 'X-Key': wire.credential('key') }),
  });
  const answered = await channel.place({ ...PURCHASE, kind: 'code' }, GO);
  expect(answered.found).toMatchObject({ outcome: 'delivered' });
  const text = answered.transcript!.exchanges;
  expect(text).toContain('/buy');
  expect(text).toContain('[sealed]');
  for (const secret of ['credential-9911', 'token-secret-1', 'CODE-7788-XYZ']) expect(text).not.toContain(secret);
});

async function until(condition: () => boolean): Promise<void> {
  const ends_at = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > ends_at) throw new Error('waited 5 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
