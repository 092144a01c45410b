// Alive, ready, and the metrics' own little server.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { request } from 'undici';
import { GatewayError } from '../../src/errors.js';
import { createMetricsApp, type ReadyCheck } from '../../src/http/operations.js';
import { type Api, openApi } from './api.js';

let api: Api;
afterEach(async () => {
  await api?.close();
});

test('/livez answers whatever has become of the rest', async () => {
  api = await openApi({ checks: [{ name: 'database', check: () => Promise.reject(new Error('away')) }] });
  api.state.is_draining = true;
  expect(await api.get('/livez', { key: null })).toMatchObject({ status: 200, text: 'ok\n' });
});

test('/readyz names what fails, and never a driver’s words', async () => {
  const faults: { database: Error | null } = { database: null };
  const checks: ReadyCheck[] = [
    {
      name: 'database',
      check: async () =>
        Promise.reject(
          faults.database ?? new GatewayError('unavailable', 'migrations are behind', { fix: 'Run kamigate migrate.' }),
        ),
    },
    { name: 'key', check: async () => undefined },
  ];
  api = await openApi({ checks });
  expect(await api.get('/readyz', { key: null })).toMatchObject({
    status: 503,
    text: 'fail database: migrations are behind\nnot ready\n',
  });
  faults.database = new Error('Access denied for user root@10.1.2.3');
  api.world.clock.advance(1_000);
  expect(await api.get('/readyz', { key: null })).toMatchObject({
    status: 503,
    text: 'fail database: failed\nnot ready\n',
  });
});

test('/readyz?verbose has a line for each check, with its time and age', async () => {
  let asked = 0;
  api = await openApi({ checks: [{ name: 'database', check: async () => void asked++ }] });
  expect(await api.get('/readyz', { key: null })).toMatchObject({ status: 200, text: 'ready\n' });
  api.world.clock.advance(400);
  const answer = await api.get('/readyz?verbose', { key: null });
  expect(answer.text).toMatch(/^ok {3}database \(\d+ ms, 400 ms ago\)\nok {3}draining \(0 ms, 400 ms ago\)\nready\n$/);
  // Asked within a second, the database was spared.
  expect(asked).toBe(1);
  api.world.clock.advance(600);
  await api.get('/readyz', { key: null });
  expect(asked).toBe(2);
});

test('/readyz fails at once while draining, and closes the connection', async () => {
  api = await openApi({ checks: [] });
  expect(await api.get('/readyz', { key: null })).toMatchObject({ status: 200 });
  api.state.is_draining = true;
  const answer = await api.get('/readyz', { key: null });
  expect(answer).toMatchObject({ status: 503, text: 'fail draining: shutdown has begun\nnot ready\n' });
  expect(answer.headers.connection).toBe('close');
});

test('a check that does not answer has failed', async () => {
  api = await openApi({ checks: [{ name: 'database', check: () => new Promise(() => undefined) }] });
  expect(await api.get('/readyz', { key: null })).toMatchObject({
    status: 503,
    text: 'fail database: no answer within 500 ms\nnot ready\n',
  });
});

test('/v1/ping tells an integrator who they are', async () => {
  api = await openApi();
  const answer = await api.get('/v1/ping');
  expect(answer).toMatchObject({
    status: 200,
    json: {
      object: 'ping',
      storefront: 'mall',
      currency: 'CNY',
      livemode: true,
      server_time: '2026-01-01T00:00:00.000Z',
      api_version: '2026-01-01',
    },
  });
  expect(answer.json.scopes).toEqual(['orders:read', 'orders:write', 'codes:read', 'catalog:read']);
  expect(await api.get('/v1/ping', { key: null })).toMatchObject({ status: 401 });
});

test('the metrics’ server has GET /metrics and nothing else', async () => {
  api = await openApi();
  let fails = false;
  const app = createMetricsApp(async () => {
    if (fails) throw new Error('secret detail');
    return { content_type: 'text/plain; version=0.0.4', body: 'up 1\n' };
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const metrics = await request(`${url}/metrics`);
    expect([metrics.statusCode, metrics.headers['content-type'], await metrics.body.text()]).toEqual([
      200,
      'text/plain; version=0.0.4',
      'up 1\n',
    ]);
    const other = await request(`${url}/v1/orders`);
    expect([other.statusCode, await other.body.text()]).toEqual([404, 'only GET /metrics is here\n']);
    fails = true;
    const failed = await request(`${url}/metrics`);
    expect([failed.statusCode, await failed.body.text()]).toEqual([500, 'the metrics could not be rendered\n']);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
