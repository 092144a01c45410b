// Suppliers' messages over HTTP: the bytes as they came, the acknowledgement exactly as the adapter words it.
import { afterEach, expect, test } from '@jest/globals';
import type { Message } from '../../adapters/kit/contract.js';
import { GatewayError } from '../../src/errors.js';
import { type Api, openApi } from './api.js';

let api: Api;
afterEach(async () => {
  await api.close();
});

async function openListening(): Promise<{ account: string; message: Message }[]> {
  const received: { account: string; message: Message }[] = [];
  api = await openApi({
    receiveCallback: async (account, message) => {
      received.push({ account, message });
      return { status: 202, body: '<ok/>', content_type: 'text/xml; charset=gbk' };
    },
  });
  return received;
}

test('a message is handed over byte for byte, at the account’s path and any below it', async () => {
  const received = await openListening();
  const body = Buffer.from([0x00, 0xff, 0x7b, 0x0d, 0x0a]);
  const answer = await api.send('POST', '/callbacks/acme.cn-1/api/v1/upstream/callback?sign=a%2Bb&x=%e4', {
    key: null,
    body,
    headers: { 'content-type': 'text/plain', 'X-Sign': 'AbC' },
  });
  expect(answer).toMatchObject({ status: 202, text: '<ok/>' });
  expect(answer.headers['content-type']).toBe('text/xml; charset=gbk');
  expect(received).toHaveLength(1);
  expect(received[0]).toMatchObject({
    account: 'acme.cn-1',
    message: {
      url: '/callbacks/acme.cn-1/api/v1/upstream/callback?sign=a%2Bb&x=%e4',
      headers: { 'x-sign': 'AbC', 'content-type': 'text/plain' },
    },
  });
  expect(Buffer.compare(received[0]!.message.body, body)).toBe(0);
});

test('a message by GET has its query and an empty body', async () => {
  const received = await openListening();
  expect(await api.get('/callbacks/acme?order=1&status=ok', { key: null })).toMatchObject({
    status: 202,
    text: '<ok/>',
  });
  expect(received[0]!.message).toMatchObject({ url: '/callbacks/acme?order=1&status=ok' });
  expect(received[0]!.message.body).toHaveLength(0);
  expect(await api.send('PUT', '/callbacks/acme/', { key: null })).toMatchObject({ status: 202 });
});

test('a message that is too large, or for nobody, is not acknowledged', async () => {
  const received = await openListening();
  const large = await api.send('POST', '/callbacks/acme', { key: null, body: Buffer.alloc(1_000_001) });
  expect(large).toMatchObject({ status: 413, json: { code: 'body_too_large' } });
  const odd = await api.send('POST', "/callbacks/a'b", { key: null });
  expect(odd).toMatchObject({ status: 404, json: { code: 'not_found' } });
  expect(received).toEqual([]);
});

test('after a failure of ours nothing is acknowledged, so that they send it again', async () => {
  let error: Error = new Error('select * from `callbacks`');
  api = await openApi({ receiveCallback: () => Promise.reject(error) });
  const failed = await api.send('POST', '/callbacks/acme', { key: null });
  expect(failed).toMatchObject({ status: 500, json: { code: 'internal_error' } });
  expect(failed.text).not.toContain('select');
  error = new GatewayError('not_found', 'there is no such account', { fix: 'Check the address.' });
  expect(await api.send('POST', '/callbacks/acme', { key: null })).toMatchObject({
    status: 404,
    json: { code: 'not_found' },
  });
});

test('a supplier’s signed callback settles its order; a forged one does not', async () => {
  api = await openApi();
  const { world } = api;
  const simulator = await world.addSupplier('a');
  await world.addSku('card');
  await world.addSource('card', 'a');
  simulator.fault('late', { after_ms: 3_600_000 });
  const { json: order } = await api.post('/v1/orders', { external_id: 'C-1', sku: 'card', quantity: 1 });
  await world.idle();
  const { reference } = (await world.attempts(order.id)).at(-1)!;
  expect(await world.order(order.id)).toMatchObject({ state: 'sourcing' });

  await simulator.callBack(reference, { forged: true });
  expect(api.seen.at(-1)).toMatchObject({ route: expect.stringMatching(/^\/callbacks\//), status: expect.any(Number) });
  expect(await world.order(order.id)).toMatchObject({ state: 'sourcing', delivered_quantity: 0 });

  simulator.deliver(reference);
  await simulator.settled();
  expect(api.seen.at(-1)).toMatchObject({ method: 'POST', status: 200, storefront: null });
  expect(await api.get(`/v1/orders/${order.id}`)).toMatchObject({ json: { status: 'delivered', codes: { count: 1 } } });
});
