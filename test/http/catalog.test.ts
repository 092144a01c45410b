// The catalog over HTTP: what can be ordered, whether there is stock, and nothing about where it comes from.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Api, openApi } from './api.js';

let api: Api;
beforeAll(async () => {
  api = await openApi();
  const { world } = api;
  await world.addSupplier('acme');
  await world.addSku('airtime', {
    kind: 'recharge',
    price_e4: 98_765,
    recipient_rules: {
      account: { label: 'Phone', example: '13900001111', pattern: '1[0-9]{10}', is_required: 1 },
      extra: { zone: { label: 'Zone', example: 'A', values: ['A', 'B'], is_required: 0 } },
    },
  });
  await world.addSource('airtime', 'acme');
  world.clock.advance(1_000);
  await world.addSku('card');
  world.clock.advance(1_000);
  await world.addSku('gift');
  await world.deposit('gift', ['AAA-1']);
  world.clock.advance(1_000);
  await world.addSku('gone');
  await world.database.write('skus').where({ sku: 'gone' }).update({ is_enabled: 0 });
});
afterAll(async () => {
  await api.close();
});

const names = (json: { data: { sku: string }[] }) => json.data.map((sku) => sku.sku);

test('a SKU tells its price, what a recipient must be, and whether there is stock', async () => {
  const answer = await api.get('/v1/skus/airtime');
  expect(answer.status).toBe(200);
  expect(answer.json).toEqual({
    sku: 'airtime',
    object: 'sku',
    name: 'airtime',
    kind: 'recharge',
    price: '9.8765',
    currency: 'CNY',
    stock_status: 'in_stock',
    quantity_max: 500,
    parts: null,
    recipient: {
      account: { label: 'Phone', example: '13900001111', pattern: '1[0-9]{10}', is_required: true },
      extra: { zone: { label: 'Zone', example: 'A', values: ['A', 'B'], is_required: false } },
    },
    version: 1,
    updated_at: '2026-01-01T00:00:00.000Z',
  });
  expect(answer.text).not.toMatch(/acme|recharge-10|cost/);
});

test('a bundle tells what it is made of, and is there if each of its parts is', async () => {
  const { world } = api;
  const stock = async (sku: string) => (await api.get(`/v1/skus/${sku}`)).json.stock_status;
  await world.addSku('with-gift', {
    kind: 'bundle',
    parts: [
      { sku: 'airtime', price_e4: 60_000 },
      { sku: 'gift', quantity: 2, price_e4: 20_000 },
    ],
  });
  await world.addSku('with-card', { kind: 'bundle', parts: [{ sku: 'airtime' }, { sku: 'card' }] });
  await world.addSku('with-gone', { kind: 'bundle', parts: [{ sku: 'airtime' }, { sku: 'gone' }] });
  expect((await api.get('/v1/skus/with-gift')).json).toMatchObject({
    kind: 'bundle',
    stock_status: 'in_stock',
    parts: [
      { sku: 'airtime', name: 'airtime', kind: 'recharge', quantity: 1, unit_price: '6.00' },
      { sku: 'gift', name: 'gift', kind: 'code', quantity: 2, unit_price: '2.00' },
    ],
  });
  expect([await stock('with-card'), await stock('with-gone')]).toEqual(['out_of_stock', 'off_sale']);
  expect(names((await api.get('/v1/skus?kind=bundle')).json)).toEqual(['with-card', 'with-gift', 'with-gone']);
  await world.database.write('skus').where({ kind: 'bundle' }).delete();
});

test('an unchanged SKU is not sent again, a changed one is', async () => {
  const first = await api.get('/v1/skus/gift');
  const etag = first.headers.etag!;
  expect(etag).toMatch(/^"[\w-]{22}"$/);
  for (const condition of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await api.get('/v1/skus/gift', { headers: { 'if-none-match': condition } });
    expect(again).toMatchObject({ status: 304, text: '', headers: { etag } });
  }
  await api.world.database.write('skus').where({ sku: 'gift' }).update({ price_e4: 110_000, version: 2 });
  const changed = await api.get('/v1/skus/gift', { headers: { 'if-none-match': etag } });
  expect(changed).toMatchObject({ status: 200, json: { price: '11.00', version: 2 } });
  expect(changed.headers.etag).not.toBe(etag);
});

test('stock is told as a word, from the vault and from suppliers', async () => {
  const status = async (sku: string) => (await api.get(`/v1/skus/${sku}`)).json.stock_status;
  expect(await status('gift')).toBe('in_stock');
  expect(await status('card')).toBe('out_of_stock');
  expect(await status('gone')).toBe('off_sale');
  const sources = () => api.world.database.write('sources').where({ sku: 'airtime' });
  await sources().update({ stock: 0 });
  expect(await status('airtime')).toBe('out_of_stock');
  await sources().update({ stock: 5, is_enabled: 0 });
  expect(await status('airtime')).toBe('out_of_stock');
  await sources().update({ stock: null, is_enabled: 1 });
  await api.world.database.write('accounts').where({ account: 'acme' }).update({ paused_at: 1 });
  expect(await status('airtime')).toBe('out_of_stock');
  await api.world.database.write('accounts').where({ account: 'acme' }).update({ paused_at: null });
});

test('the list comes in pages, by kind, without what is not sold', async () => {
  const first = await api.get('/v1/skus?limit=2');
  expect(names(first.json)).toEqual(['airtime', 'card']);
  const second = await api.get(`/v1/skus?limit=2&cursor=${first.json.next}`);
  expect(names(second.json)).toEqual(['gift']);
  expect(second.json.next).toBeNull();
  expect(names((await api.get('/v1/skus?kind=recharge')).json)).toEqual(['airtime']);
});

test('whoever asks by time hears of what is no longer sold', async () => {
  const answer = await api.get('/v1/skus?updated_since=2026-01-01T00:00:02Z');
  expect(names(answer.json)).toEqual(['gift', 'gone']);
  expect(answer.json.data[1]).toMatchObject({ stock_status: 'off_sale' });
});

test('what cannot be read is refused with the parameter', async () => {
  for (const [query, code, pointer] of [
    ['kind=toy', 'bad_request', '/kind'],
    ['updated_since=yesterday', 'bad_request', '/updated_since'],
    ['categry=1', 'bad_request', '/categry'],
  ]) {
    expect(await api.get(`/v1/skus?${query}`)).toMatchObject({ status: 400, json: { code, errors: [{ pointer }] } });
  }
  expect(await api.get('/v1/skus?cursor=nonsense')).toMatchObject({
    status: 400,
    json: { code: 'invalid_cursor', field: 'cursor' },
  });
  expect(await api.get('/v1/skus/nothing')).toMatchObject({ status: 404, json: { code: 'sku_not_found' } });
});
