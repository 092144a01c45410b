// What holds for every route: faults of ours are told as nothing but that, retryable ones say so, shutdown lets requests
// finish, and every answer is counted under its route's pattern.
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { GatewayError } from '../../src/errors.js';
import type { HttpDeps } from '../../src/http/app.js';
import { VaultError } from '../../vault/errors.js';
import { type Api, openApi } from './api.js';

let api: Api;
afterEach(async () => {
  await api.close();
});

const ORDER = { external_id: 'S-1', sku: 'card', quantity: 1 };

function failing(error: Error): Partial<HttpDeps> {
  const fail = () => Promise.reject(error);
  const orders = { place: fail, waitFor: fail, read: fail, list: fail, cancel: fail, events: fail };
  return { orders: { ...orders, view: fail, views: fail, parts: fail } };
}

test('a bug of ours is told as an internal error and nothing more, and handed on to be logged', async () => {
  const bug = new TypeError("insert into `orders` values ('13900001111') at /srv/kamigate/src/orders/place.ts:12");
  api = await openApi(failing(bug));
  for (const answer of [await api.post('/v1/orders', ORDER), await api.get('/v1/orders?external_id=a')]) {
    expect(answer).toMatchObject({
      status: 500,
      json: { code: 'internal_error', retryable: true, detail: 'something failed on our side' },
    });
    expect(answer.json.fix).toContain('quote request_id');
    expect(answer.text).not.toMatch(/insert|TypeError|place\.ts|139000/);
  }
  expect(api.failures).toEqual([bug, bug]);
});

test('a database that is away or busy is 503 and may be asked again', async () => {
  api = await openApi(
    failing(Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:3306'), { code: 'ECONNREFUSED' })),
  );
  const answer = await api.post('/v1/orders', ORDER);
  expect(answer).toMatchObject({ status: 503, json: { code: 'unavailable', retryable: true } });
  expect(answer.headers['retry-after']).toBe('1');
  expect(answer.text).not.toContain('10.1.2.3');
});

test('too much at a time is 429 with a time to wait', async () => {
  api = await openApi(failing(new GatewayError('rate_limited', 'too many requests at a time', { fix: 'Send fewer.' })));
  const answer = await api.post('/v1/orders', ORDER);
  expect(answer).toMatchObject({ status: 429, json: { code: 'rate_limited', retryable: true } });
  expect(answer.headers['retry-after']).toBe('1');
  expect(api.failures).toEqual([]);
});

test('a sealed vault shows and issues nothing, and says so', async () => {
  const sealed = new VaultError('sealed', 'the vault is sealed: key 3 of 10.1.2.3', { fix: 'Open it.' });
  api = await openApi({ vault: { reveal: () => Promise.reject(sealed), available: () => Promise.resolve(0) } });
  await api.world.addSku('card');
  await api.world.deposit('card', ['AAA-1']);
  const { json: order } = await api.post('/v1/orders', ORDER);
  const answer = await api.get(order.codes.url);
  expect(answer).toMatchObject({ status: 503, json: { code: 'vault_sealed', retryable: true } });
  expect(answer.text).not.toContain('key 3');
});

test('while draining, a request that is being handled finishes, and its connection closes', async () => {
  let finish: () => void = () => undefined;
  const handled = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let begun: () => void = () => undefined;
  const has_begun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  api = await openApi({
    receiveCallback: async () => {
      begun();
      await handled;
      return { status: 200, body: 'success', content_type: 'text/plain' };
    },
  });
  const before = await api.get('/livez');
  expect(before.headers.connection).toBe('keep-alive');
  const answering = api.send('POST', '/callbacks/acme', { key: null });
  await has_begun;
  api.state.is_draining = true;
  finish();
  const answer = await answering;
  expect(answer).toMatchObject({ status: 200, text: 'success' });
  expect(answer.headers.connection).toBe('close');
});

test('while draining, a storefront that waits for its order is answered soon with what there is', async () => {
  api = await openApi();
  const simulator = await api.world.addSupplier('a', { limits: { deadline_ms: 20_000 } });
  await api.world.addSku('card');
  await api.world.addSource('card', 'a');
  simulator.fault('hang');
  api.state.is_draining = true;
  const started = performance.now();
  const answer = await api.post('/v1/orders', ORDER, { headers: { prefer: 'wait=30' } });
  expect(answer).toMatchObject({ status: 201, json: { final: false } });
  expect(performance.now() - started).toBeLessThan(10_000);
  simulator.clearFaults();
});

test('a client that hangs up in the middle of its body leaves nothing behind', async () => {
  api = await openApi();
  await api.world.addSku('card');
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(api.url).port) });
  await once(socket, 'connect');
  const body = JSON.stringify(ORDER);
  socket.write(
    `POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.key}\r\ncontent-type: application/json\r\ncontent-length: ${body.length + 1}\r\n\r\n${body}`,
  );
  socket.end();
  socket.resume();
  await once(socket, 'close');
  expect(await api.written()).toBe(0);
  expect(api.failures).toEqual([]);
  expect(await api.get('/livez')).toMatchObject({ status: 200 });
});

test('every answer is counted under the pattern of its route', async () => {
  api = await openApi();
  await api.get('/v1/orders/ord_01JABCDEFGHJKMNPQRSTVWXYZ0');
  await api.post('/v1/orders', {});
  await api.send('DELETE', '/v1/orders');
  await api.get('/nothing/at/all');
  await api.get('/v1/skus', { key: null });
  expect(api.seen).toEqual([
    { route: '/v1/orders/:order_id', method: 'GET', status: 404, storefront: 'mall', duration_ms: expect.any(Number) },
    { route: '/v1/orders', method: 'POST', status: 422, storefront: 'mall', duration_ms: expect.any(Number) },
    { route: '/v1/orders', method: 'DELETE', status: 405, storefront: null, duration_ms: expect.any(Number) },
    { route: 'none', method: 'GET', status: 404, storefront: null, duration_ms: expect.any(Number) },
    { route: '/v1/skus', method: 'GET', status: 401, storefront: null, duration_ms: expect.any(Number) },
  ]);
});
