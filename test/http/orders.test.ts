// Orders over HTTP, against a real gateway: placed once, waited for, read, listed, withdrawn; codes shown in one place.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import { type Api, addStorefront, openApi } from './api.js';

let api: Api;
beforeEach(async () => {
  api = await openApi();
  await api.world.addSku('card', { price_e4: 95_000 });
});
afterEach(async () => {
  await api.close();
});

const ORDER = { external_id: 'A-1001', sku: 'card', quantity: 2 };

describe('placing an order', () => {
  test('answers 201 with the order object and where to find it', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const answer = await api.post('/v1/orders', { ...ORDER, metadata: { user: '42' } });
    expect(answer.status).toBe(201);
    expect(answer.headers).toMatchObject({
      location: `/v1/orders/${answer.json.id}`,
      'api-version': '2026-01-01',
      'cache-control': 'no-store',
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    expect(answer.headers['request-id']).toMatch(/^req_[0-9A-Z]{26}$/);
    expect(answer.headers).not.toHaveProperty('x-powered-by');
    expect(answer.json).toEqual({
      id: expect.stringMatching(/^ord_[0-9A-Z]{26}$/),
      object: 'order',
      livemode: true,
      external_id: 'A-1001',
      sku: 'card',
      kind: 'code',
      quantity: 2,
      delivered_quantity: 2,
      refundable_quantity: 0,
      refundable_amount: '0.00',
      parts: null,
      status: 'delivered',
      final: true,
      refund_advice: 'none',
      reason: null,
      unit_price: '9.50',
      total_price: '19.00',
      currency: 'CNY',
      recipient: null,
      allow_partial: false,
      metadata: { user: '42' },
      codes: { count: 2, url: `/v1/orders/${answer.json.id}/codes` },
      next_update_by: null,
      created_at: '2026-01-01T00:00:00.000Z',
      updated_at: '2026-01-01T00:00:00.000Z',
      completed_at: '2026-01-01T00:00:00.000Z',
      version: expect.any(Number),
    });
    expect(answer.text).not.toContain('AAA-');
  });

  test('again answers 200 with the same order, and nothing is issued twice', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2', 'AAA-3', 'AAA-4']);
    const first = await api.post('/v1/orders', ORDER);
    const again = await api.post('/v1/orders', ORDER);
    expect(again).toMatchObject({ status: 200, json: first.json });
    expect(again.headers).toMatchObject({ 'idempotent-replayed': 'true', location: first.headers.location });
    expect(first.headers).not.toHaveProperty('idempotent-replayed');
    expect(await api.world.gateway.vault.stock(api.world.database.read, ['card'])).toMatchObject([
      { available: 2, issued: 2 },
    ]);
  });

  test('null and left-out fields, and another order of fields, are the same request', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    await api.post('/v1/orders', { ...ORDER, metadata: { a: '1', b: '2' } });
    const again = await api.post('/v1/orders', {
      metadata: { b: '2', a: '1' },
      allow_partial: null,
      recipient: null,
      quantity: 2,
      sku: 'card',
      external_id: 'A-1001',
    });
    expect(again.status).toBe(200);
  });

  test('a different order under a used external id is refused, with what differs', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const { json: order } = await api.post('/v1/orders', ORDER);
    const written = await api.written();
    const answer = await api.post('/v1/orders', { ...ORDER, quantity: 1, max_unit_price: '20', currency: 'CNY' });
    expect(answer).toMatchObject({
      status: 422,
      json: { code: 'external_id_mismatch', retryable: false, order_id: order.id },
    });
    expect(answer.json.errors.map((error: { pointer: string }) => error.pointer)).toEqual([
      '/quantity',
      '/max_unit_price',
      '/currency',
    ]);
    expect(await api.written()).toBe(written);
  });

  test('100 copies at once make one order', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2', 'AAA-3']);
    const answers = await Promise.all(Array.from({ length: 100 }, () => api.post('/v1/orders', ORDER)));
    expect(new Set(answers.map((answer) => answer.json.id)).size).toBe(1);
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(99);
  });

  test('a business failure after acceptance is no HTTP error', async () => {
    const answer = await api.post('/v1/orders', ORDER);
    expect(answer).toMatchObject({
      status: 201,
      json: {
        status: 'failed',
        final: true,
        refund_advice: 'safe_to_refund',
        refundable_quantity: 2,
        reason: { code: 'out_of_stock', message: 'it is sold out', fault: 'upstream', retryable: true },
        codes: { count: 0 },
      },
    });
  });

  test('the recipient is accepted by the rules of its SKU and shown masked', async () => {
    await api.world.addSku('airtime', { kind: 'recharge' });
    const answer = await api.post('/v1/orders', {
      external_id: 'R-1',
      sku: 'airtime',
      quantity: 1,
      recipient: { account: '13812348000' },
    });
    expect(answer).toMatchObject({ status: 201, json: { recipient: { account: '138****8000' }, codes: null } });
    expect(answer.text).not.toContain('13812348000');
  });

  test('money and times are taken in the spelling of the API', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const answer = await api.post('/v1/orders', {
      ...ORDER,
      max_unit_price: '9.5000',
      currency: 'CNY',
      deliver_before: '2026-01-01T09:30:00.25+08:00',
    });
    expect(answer.status).toBe(201);
    const row = await api.world.order(answer.json.id);
    expect(row.deliver_before).toBe(Date.UTC(2026, 0, 1, 1, 30, 0, 250));
    expect(JSON.parse(row.request)).toMatchObject({ max_unit_price_e4: 95_000, currency: 'CNY' });
  });
});

describe('waiting for an order', () => {
  beforeEach(async () => {
    await api.world.addSupplier('a');
    await api.world.addSku('airtime', { kind: 'recharge' });
    await api.world.addSource('airtime', 'a');
  });
  const AIRTIME = { external_id: 'R-1', sku: 'airtime', quantity: 1, recipient: { account: '13900001111' } };

  test('answers 200 as soon as the order is final', async () => {
    const answer = await api.post('/v1/orders', AIRTIME, { headers: { prefer: 'respond-async, wait=20' } });
    expect(answer).toMatchObject({ status: 200, json: { status: 'delivered', final: true } });
    expect(answer.headers).toMatchObject({ 'preference-applied': 'wait=20' });
    expect(answer.headers).not.toHaveProperty('idempotent-replayed');
  });

  test('answers 201 with the order as it is when the time is over', async () => {
    await api.world.simulators.a!.fault('hang');
    const answer = await api.post('/v1/orders', AIRTIME, { headers: { prefer: 'wait=1' } });
    expect(answer).toMatchObject({ status: 201, json: { final: false, refund_advice: 'do_not_refund' } });
    expect(answer.headers['preference-applied']).toBe('wait=1');
    expect(answer.json.next_update_by).toBe('2026-01-01T01:00:00.000Z');
  });

  test('waits no longer than it may, and ignores a preference it cannot read', async () => {
    const capped = await api.post('/v1/orders', AIRTIME, { headers: { prefer: 'wait=9999' } });
    expect(capped.headers['preference-applied']).toBe('wait=30');
    const ignored = await api.post(
      '/v1/orders',
      { ...AIRTIME, external_id: 'R-2' },
      { headers: { prefer: 'wait=soon' } },
    );
    expect(ignored.status).toBe(201);
    expect(ignored.headers).not.toHaveProperty('preference-applied');
  });

  test('a replay that waits is a replay', async () => {
    await api.post('/v1/orders', AIRTIME);
    const again = await api.post('/v1/orders', AIRTIME, { headers: { prefer: 'wait=20' } });
    expect(again).toMatchObject({ status: 200, json: { status: 'delivered' } });
    expect(again.headers['idempotent-replayed']).toBe('true');
  });
});

describe('reading orders', () => {
  test('by id and by external id', async () => {
    const { json: order } = await api.post('/v1/orders', ORDER);
    expect(await api.get(`/v1/orders/${order.id}`)).toMatchObject({ status: 200, json: order });
    expect(await api.get('/v1/orders?external_id=A-1001')).toMatchObject({ status: 200, json: order });
  });

  test('another storefront sees nothing of them', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const { json: order } = await api.post('/v1/orders', ORDER);
    const key = await addStorefront(api, 'rival');
    for (const path of [
      `/v1/orders/${order.id}`,
      '/v1/orders?external_id=A-1001',
      `/v1/orders/${order.id}/codes`,
      `/v1/orders/${order.id}/events`,
    ]) {
      expect(await api.get(path, { key })).toMatchObject({ status: 404, json: { code: 'order_not_found' } });
    }
    expect(await api.send('POST', `/v1/orders/${order.id}/cancel`, { key })).toMatchObject({ status: 404 });
    expect((await api.get('/v1/orders', { key })).json.data).toEqual([]);
    // The same external id is a different storefront's own.
    expect(await api.post('/v1/orders', ORDER, { key })).toMatchObject({ status: 201 });
  });

  test('an id that cannot be one is not found', async () => {
    for (const id of ['ord_01JABCDEFGHJKMNPQRSTVWXYZ0', 'ord_1', "x'--", '%00', 'ORD_01JABCDEFGHJKMNPQRSTVWXYZ0']) {
      expect(await api.get(`/v1/orders/${id}`)).toMatchObject({ status: 404, json: { code: 'order_not_found' } });
    }
    expect(await api.get('/v1/orders?external_id=none')).toMatchObject({ status: 404 });
  });

  test('in pages, newest first, by state', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2', 'AAA-3']);
    for (const at of [1, 2, 3, 4, 5]) {
      api.world.clock.advance(1_000);
      await api.post('/v1/orders', { ...ORDER, external_id: `P-${at}`, quantity: 1 });
    }
    const ids = async (query: string) => {
      const { json } = await api.get(`/v1/orders?${query}`);
      return { ids: json.data.map((order: { external_id: string }) => order.external_id), next: json.next };
    };
    const first = await ids('limit=2');
    expect(first.ids).toEqual(['P-5', 'P-4']);
    const second = await ids(`limit=2&cursor=${first.next}`);
    expect(second.ids).toEqual(['P-3', 'P-2']);
    expect(await ids(`limit=2&cursor=${second.next}`)).toEqual({ ids: ['P-1'], next: null });
    expect(await ids('status=failed')).toEqual({ ids: ['P-5', 'P-4'], next: null });
    expect(await ids('status=held')).toEqual({ ids: [], next: null });
  });

  test('a query that cannot be read is refused with the parameter', async () => {
    const faults: [string, string, string][] = [
      ['limit=0', 'bad_request', '/limit'],
      ['limit=201', 'bad_request', '/limit'],
      ['limit=ten', 'bad_request', '/limit'],
      ['status=done', 'bad_request', '/status'],
      ['cursor=abc', 'invalid_cursor', '/cursor'],
      ['statu=held', 'bad_request', '/statu'],
      ['limit=1&limit=2', 'bad_request', '/limit'],
      ['external_id=', 'bad_request', '/external_id'],
      ['external_id=a&status=held', 'bad_request', '/external_id'],
      ['__proto__=1', 'bad_request', '/__proto__'],
    ];
    for (const [query, code, pointer] of faults) {
      const answer = await api.get(`/v1/orders?${query}`);
      expect(answer).toMatchObject({ status: 400, json: { code, errors: [{ pointer }], field: pointer.slice(1) } });
    }
    expect((await api.get('/v1/orders?statu=held')).json.errors[0].message).toContain('did you mean status?');
    expect((await api.get('/v1/orders/ord_01JABCDEFGHJKMNPQRSTVWXYZ0?x=1')).status).toBe(400);
  });
});

describe('withdrawing an order', () => {
  test('after it may have been bought is refused with its status', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const { json: order } = await api.post('/v1/orders', ORDER);
    const answer = await api.send('POST', `/v1/orders/${order.id}/cancel`);
    expect(answer).toMatchObject({
      status: 409,
      json: { code: 'cancel_not_allowed', order_status: 'delivered', retryable: false },
    });
    expect(await api.send('POST', '/v1/orders/ord_01JABCDEFGHJKMNPQRSTVWXYZ0/cancel')).toMatchObject({ status: 404 });
  });

  test('before its first attempt ends it, and again answers the same', async () => {
    const { json: order } = await api.post('/v1/orders', ORDER);
    // As an order stands between its acceptance and its first step, seen by another process.
    await api.world.database
      .write('orders')
      .where({ order_id: order.id })
      .update({ state: 'received', reason: null, completed_at: null });
    const answer = await api.send('POST', `/v1/orders/${order.id}/cancel`);
    expect(answer).toMatchObject({
      status: 200,
      json: { status: 'cancelled', final: true, refund_advice: 'safe_to_refund', refundable_quantity: 2 },
    });
    expect(await api.send('POST', `/v1/orders/${order.id}/cancel`)).toMatchObject({ status: 200, json: answer.json });
  });
});

describe('the codes of an order', () => {
  test('are shown in unit order and in pages, never stored by a cache, and the reveal is written down', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2', 'AAA-3']);
    const { json: order } = await api.post('/v1/orders', { ...ORDER, quantity: 3 });
    const first = await api.get(`${order.codes.url}?limit=2`);
    expect(first).toMatchObject({
      status: 200,
      json: {
        object: 'list',
        data: [
          { unit: 1, number: 'AAA-1', expires_at: null },
          { unit: 2, number: 'AAA-2', expires_at: null },
        ],
        next: '3',
      },
    });
    expect(first.headers['cache-control']).toBe('no-store');
    const second = await api.get(`${order.codes.url}?limit=2&cursor=3`);
    expect(second.json).toEqual({ object: 'list', data: [{ unit: 3, number: 'AAA-3', expires_at: null }], next: null });
    expect(await api.world.database.read('reveals').orderBy('reveal_id')).toMatchObject([
      {
        order_id: order.id,
        revealed_by: 'storefront:mall',
        reason: `request ${first.headers['request-id']}`,
        is_person: 0,
        codes_count: 2,
      },
      { order_id: order.id, revealed_by: 'storefront:mall', is_person: 0, codes_count: 1 },
    ]);
  });

  test('of a bundle are those of its parts, under numbers that stay whatever else arrives', async () => {
    const { world } = api;
    const simulator = await world.addSupplier('slow');
    await world.addSku('key', { vault_rank: 'never' });
    await world.addSource('key', 'slow');
    await world.addSku('token');
    await world.deposit('token', ['TTT-1', 'TTT-2']);
    await world.addSku('set', { kind: 'bundle', parts: [{ sku: 'key' }, { sku: 'token' }], price_e4: 200_000 });
    simulator.fault('accept_then_drop');
    const { json: order } = await api.post('/v1/orders', { ...ORDER, sku: 'set', quantity: 2 });
    await world.idle();
    const early = await api.get(`/v1/orders/${order.id}/codes`);
    expect(early.json).toMatchObject({
      data: [
        { sku: 'token', unit: 3, number: 'TTT-1' },
        { sku: 'token', unit: 4, number: 'TTT-2' },
      ],
      next: null,
    });
    await world.runUntilRest(order.id);
    const { json: after } = await api.get(`/v1/orders/${order.id}`);
    expect(after).toMatchObject({
      status: 'delivered',
      codes: { count: 4 },
      parts: [{ sku: 'key', status: 'delivered', delivered_quantity: 2 }, { sku: 'token' }],
    });
    // No id of an order that is not the storefront's stands in what it sees.
    expect(
      JSON.stringify(after)
        .match(/ord_\w+/g)
        ?.every((id) => id === order.id),
    ).toBe(true);
    const first = await api.get(`${after.codes.url}?limit=3`);
    const second = await api.get(`${after.codes.url}?limit=3&cursor=${first.json.next}`);
    const shown = [...first.json.data, ...second.json.data] as { sku: string; unit: number }[];
    expect(shown.map(({ sku, unit }) => `${sku} ${unit}`)).toEqual(['key 1', 'key 2', 'token 3', 'token 4']);
    const events = await api.get(`/v1/orders/${order.id}/events`);
    expect(events.json.data.map((event: { type: string }) => event.type)).toEqual(
      expect.arrayContaining(['order_received', 'order_sourcing', 'order_delivered']),
    );
    const [part] = await world.parts(order.id);
    for (const path of ['', '/codes', '/events']) {
      expect((await api.get(`/v1/orders/${part!.order_id}${path}`)).status).toBe(404);
    }
  });

  test('come out byte for byte, in Base64 where they are no text', async () => {
    const { world } = api;
    const link = 'https://example.com/?a=1&b="二"\u0000\ufeff';
    await atomic(world.database, 'test', (trx) =>
      world.gateway.vault.deposit(trx, {
        sku: 'card',
        origin: 'deposit',
        account: null,
        attempt_id: null,
        document: null,
        total_cost_e4: null,
        currency: null,
        received_by: 'operator:test',
        codes: [
          {
            number: ' 00 12 ',
            pin: Buffer.from([0xff, 0x00, 0xfe]),
            serial: 'S',
            link,
            expires_at: Date.UTC(2030, 0, 2),
          },
        ],
      }),
    );
    const { json: order } = await api.post('/v1/orders', { ...ORDER, quantity: 1 });
    const answer = await api.get(order.codes.url);
    expect(answer.json.data).toEqual([
      { unit: 1, number: ' 00 12 ', pin_base64: '/wD+', serial: 'S', link, expires_at: '2030-01-02T00:00:00.000Z' },
    ]);
  });

  test('that are not there yet are a conflict, not an empty list', async () => {
    const { json: order } = await api.post('/v1/orders', ORDER);
    const answer = await api.get(order.codes.url);
    expect(answer).toMatchObject({
      status: 409,
      json: { code: 'codes_not_ready', status: 409, order_status: 'failed' },
    });
    await api.world.addSku('airtime', { kind: 'recharge' });
    const recharge = await api.post('/v1/orders', {
      external_id: 'R-1',
      sku: 'airtime',
      quantity: 1,
      recipient: { account: '13812348000' },
    });
    expect(await api.get(`/v1/orders/${recharge.json.id}/codes`)).toMatchObject({
      status: 409,
      json: { code: 'codes_not_ready' },
    });
  });

  test('are for a key with that scope only, and HEAD reveals nothing', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const { json: order } = await api.post('/v1/orders', ORDER);
    const key = await api.makeKey(['orders:read', 'orders:write']);
    expect(await api.get(order.codes.url, { key })).toMatchObject({
      status: 403,
      json: { code: 'scope_missing', scope: 'codes:read' },
    });
    const records = async () => Number((await api.world.database.read('reveals').count({ n: '*' }).first())!.n);
    const before = await records();
    const head = await api.send('HEAD', order.codes.url);
    expect(head).toMatchObject({ status: 405, text: '' });
    expect(head.headers.allow).toBe('GET');
    expect(await records()).toBe(before);
  });

  test('a cursor of no page is refused', async () => {
    await api.world.deposit('card', ['AAA-1', 'AAA-2']);
    const { json: order } = await api.post('/v1/orders', ORDER);
    for (const cursor of ['0', '-1', 'x', '100000']) {
      expect(await api.get(`${order.codes.url}?cursor=${cursor}`)).toMatchObject({
        status: 400,
        json: { code: 'invalid_cursor' },
      });
    }
    expect((await api.get(`${order.codes.url}?cursor=3`)).json).toEqual({ object: 'list', data: [], next: null });
  });
});

describe('the events of an order', () => {
  test('tell its story without suppliers, costs or codes', async () => {
    await api.world.addSupplier('acme-supplies');
    await api.world.addSku('gift', { vault_rank: 'last' });
    await api.world.addSource('gift', 'acme-supplies');
    const { json: order } = await api.post(
      '/v1/orders',
      { external_id: 'G-1', sku: 'gift', quantity: 1 },
      { headers: { prefer: 'wait=20' } },
    );
    expect(order.status).toBe('delivered');
    const answer = await api.get(`/v1/orders/${order.id}/events`);
    const events = answer.json.data as { type: string; data: object; at: string }[];
    expect(events.map((event) => event.type).sort()).toEqual([
      'attempt_delivered',
      'attempt_planned',
      'order_delivered',
      'order_received',
    ]);
    const of = (type: string) => events.find((event) => event.type === type)!;
    expect(of('order_received')).toEqual({
      id: expect.stringMatching(/^evt_/),
      object: 'event',
      type: 'order_received',
      at: '2026-01-01T00:00:00.000Z',
      data: { quantity: 1, unit_price: '10.00', currency: 'CNY' },
    });
    expect(of('attempt_delivered').data).toEqual({ number: 1, quantity: 1 });
    const [code] = await api.world.codes(order.id);
    for (const secret of ['acme', 'code-10', 'cost', 'account', 'vault', code!])
      expect(answer.text).not.toContain(secret);
  });
});
