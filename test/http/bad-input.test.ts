// Everything a client can get wrong: the right status, the field's name, the fix; nothing written, nothing of ours told.
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { request } from 'undici';
import { type Answer, type Api, openApi } from './api.js';

let api: Api;
let untouched: number;
beforeAll(async () => {
  api = await openApi();
  await api.world.addSku('card', { price_e4: 95_000, quantity_max: 500 });
  await api.world.addSku('gone');
  await api.world.database.write('skus').where({ sku: 'gone' }).update({ is_enabled: 0 });
  await api.world.addSku('airtime', { kind: 'recharge' });
  await api.world.deposit('card', ['AAA-1', 'AAA-2']);
  untouched = await api.written();
});
afterAll(async () => {
  await api.close();
});

const ORDER = { external_id: 'B-1', sku: 'card', quantity: 1 };
const PHONE = { external_id: 'B-2', sku: 'airtime', quantity: 1 };

/** What every problem is, and what none may tell. */
async function expectProblem(answer: Answer, status: number, code: string): Promise<void> {
  expect(answer).toMatchObject({ status, json: { code, status, type: `urn:kamigate:problem:${code}` } });
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(answer.json).toMatchObject({
    title: expect.stringMatching(/^[A-Z][a-z ]+$/),
    detail: expect.stringMatching(/.{10}/),
    fix: expect.stringMatching(/^[A-Z].{5,}\.$/),
    retryable: status === 429 || status >= 500,
    request_id: answer.headers['request-id'],
  });
  expect(answer.text).not.toMatch(/ at .*\.(ts|js)|node_modules|\bselect\b .*\bfrom\b|insert into|SQLITE|stack/i);
  expect(answer.text).not.toContain('AAA-');
  expect(await api.written()).toBe(untouched);
}

describe('a field of an order', () => {
  const long = 'x'.repeat(2_000);
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`k${at}`, 'v']));
  const faults: [title: string, body: object, pointer: string, code: string, says: string][] = [
    ['a quantity of 0', { ...ORDER, quantity: 0 }, '/quantity', 'too_small', 'from 1 to 10000'],
    ['a quantity of 10,001', { ...ORDER, quantity: 10_001 }, '/quantity', 'too_big', 'from 1 to 10000'],
    ['a negative quantity', { ...ORDER, quantity: -1 }, '/quantity', 'too_small', 'from 1 to 10000'],
    ['half a unit', { ...ORDER, quantity: 1.5 }, '/quantity', 'type', 'a whole number'],
    ['a quantity as text', { ...ORDER, quantity: '1' }, '/quantity', 'type', 'a whole number'],
    ['no quantity', { external_id: 'B-1', sku: 'card' }, '/quantity', 'required', 'is required'],
    ['no external id', { sku: 'card', quantity: 1 }, '/external_id', 'required', 'is required'],
    ['an empty external id', { ...ORDER, external_id: '' }, '/external_id', 'invalid', '1 to 64 printable'],
    ['an external id of 65', { ...ORDER, external_id: 'x'.repeat(65) }, '/external_id', 'invalid', '1 to 64 printable'],
    ['an external id with a line end', { ...ORDER, external_id: 'a\nb' }, '/external_id', 'invalid', 'printable'],
    [
      'an external id that ends in a space',
      { ...ORDER, external_id: 'a ' },
      '/external_id',
      'invalid',
      'without a space',
    ],
    ['half a surrogate pair', { ...ORDER, external_id: '\ud800' }, '/external_id', 'invalid', 'printable'],
    ['an external id that is a number', { ...ORDER, external_id: 1001 }, '/external_id', 'type', 'must be a text'],
    ['no SKU', { external_id: 'B-1', quantity: 1 }, '/sku', 'required', 'is required'],
    ['an unknown field', { ...ORDER, quantty: 1 }, '/quantty', 'unknown_field', 'did you mean quantity?'],
    ['a field that is like none', { ...ORDER, zzzzzzzz: 1 }, '/zzzzzzzz', 'unknown_field', 'known here: external_id'],
    ['a field of another language', { ...ORDER, 'a/b~c': 1 }, '/a~1b~0c', 'unknown_field', 'is not known'],
    [
      'an unknown field of the recipient',
      { ...PHONE, recipient: { acount: '1' } },
      '/recipient/acount',
      'unknown_field',
      'did you mean account?',
    ],
    ['a recipient that is a text', { ...PHONE, recipient: '13900001111' }, '/recipient', 'type', 'must be an object'],
    ['a recipient that is a list', { ...PHONE, recipient: [] }, '/recipient', 'type', 'must be an object'],
    [
      'an account that is a number',
      { ...PHONE, recipient: { account: 13900001111 } },
      '/recipient/account',
      'type',
      'must be a text',
    ],
    [
      'an account that is too long',
      { ...PHONE, recipient: { account: long } },
      '/recipient/account',
      'too_big',
      'at most 128',
    ],
    [
      'an extra field that is no text',
      { ...PHONE, recipient: { account: '1', extra: { zone: 1 } } },
      '/recipient/extra/zone',
      'invalid',
      'must be a text',
    ],
    [
      'a price limit that is a number',
      { ...ORDER, max_unit_price: 9.5, currency: 'CNY' },
      '/max_unit_price',
      'type',
      'decimal text',
    ],
    [
      'a price limit of five places',
      { ...ORDER, max_unit_price: '9.50001', currency: 'CNY' },
      '/max_unit_price',
      'invalid',
      'at most four places',
    ],
    [
      'a price limit with an exponent',
      { ...ORDER, max_unit_price: '1e3', currency: 'CNY' },
      '/max_unit_price',
      'invalid',
      'decimal text',
    ],
    [
      'a negative price limit',
      { ...ORDER, max_unit_price: '-1', currency: 'CNY' },
      '/max_unit_price',
      'invalid',
      'decimal text',
    ],
    [
      'a price limit beyond what can be held',
      { ...ORDER, max_unit_price: '1'.repeat(12), currency: 'CNY' },
      '/max_unit_price',
      'invalid',
      'decimal text',
    ],
    [
      'a price limit without a currency',
      { ...ORDER, max_unit_price: '10' },
      '/currency',
      'required',
      'beside max_unit_price',
    ],
    ['a currency in small letters', { ...ORDER, currency: 'cny' }, '/currency', 'invalid', 'three capital letters'],
    ['a currency that is not the SKU’s', { ...ORDER, currency: 'USD' }, '/currency', 'currency', 'must be CNY'],
    ['allow_partial as text', { ...ORDER, allow_partial: 'yes' }, '/allow_partial', 'type', 'true or false'],
    [
      'a time without an offset',
      { ...ORDER, deliver_before: '2026-01-02T00:00:00' },
      '/deliver_before',
      'invalid',
      'RFC 3339',
    ],
    ['30 February', { ...ORDER, deliver_before: '2026-02-30T00:00:00Z' }, '/deliver_before', 'invalid', 'RFC 3339'],
    ['hour 24', { ...ORDER, deliver_before: '2026-02-03T24:00:00Z' }, '/deliver_before', 'invalid', 'RFC 3339'],
    ['a time as a number', { ...ORDER, deliver_before: 1_767_225_600 }, '/deliver_before', 'type', 'RFC 3339'],
    [
      'a time that has passed',
      { ...ORDER, deliver_before: '2025-12-31T23:59:59Z' },
      '/deliver_before',
      'past',
      'future',
    ],
    [
      'a callback over http',
      { ...ORDER, callback_url: 'http://shop.example.com/n' },
      '/callback_url',
      'invalid',
      'not an https URL',
    ],
    [
      'a callback to this machine',
      { ...ORDER, callback_url: 'https://localhost/n' },
      '/callback_url',
      'invalid',
      'this machine',
    ],
    [
      'a callback into a private network',
      { ...ORDER, callback_url: 'https://10.0.0.1/n' },
      '/callback_url',
      'invalid',
      'private',
    ],
    [
      'a callback with a password',
      { ...ORDER, callback_url: 'https://a:b@shop.example.com' },
      '/callback_url',
      'invalid',
      'password',
    ],
    ['a callback that is no URL', { ...ORDER, callback_url: 'shop' }, '/callback_url', 'invalid', 'not a URL'],
    [
      'a callback that is too long',
      { ...ORDER, callback_url: `https://shop.example.com/${long}` },
      '/callback_url',
      'too_big',
      'at most 1000',
    ],
    ['metadata that is a text', { ...ORDER, metadata: 'x' }, '/metadata', 'invalid', 'must be an object'],
    ['metadata of 21 keys', { ...ORDER, metadata: many }, '/metadata', 'too_big', 'at most 20 keys'],
    [
      'metadata that is too long',
      { ...ORDER, metadata: { note: 'x'.repeat(501) } },
      '/metadata/note',
      'invalid',
      'at most 500',
    ],
    [
      'metadata that is no text',
      { ...ORDER, metadata: { note: { a: 1 } } },
      '/metadata/note',
      'invalid',
      'must be a text',
    ],
    ['an empty metadata key', { ...ORDER, metadata: { '': 'x' } }, '/metadata/', 'invalid', '1 to 40'],
  ];

  test.each(faults)('%s is refused by its name', async (_title, body, pointer, code, says) => {
    const answer = await api.post('/v1/orders', body);
    await expectProblem(answer, 422, 'validation_failed');
    const found = answer.json.errors.find((error: { pointer: string }) => error.pointer === pointer);
    expect(found).toMatchObject({ code, message: expect.stringContaining(says) });
    expect(answer.json.field).toBe(pointer.slice(1).replaceAll('~1', '/').replaceAll('~0', '~'));
  });

  test('every fault is named at once', async () => {
    const answer = await api.post('/v1/orders', { external_id: 'B-1', quantity: 0, extra: 1 });
    await expectProblem(answer, 422, 'validation_failed');
    expect(answer.json.errors.map((error: { pointer: string }) => error.pointer).sort()).toEqual([
      '/extra',
      '/quantity',
      '/sku',
    ]);
  });

  test('an own __proto__ is refused, not merged', async () => {
    for (const [body, pointer] of [
      ['{"external_id":"B-1","sku":"card","quantity":1,"__proto__":{"allow_partial":true}}', '/__proto__'],
      ['{"external_id":"B-1","sku":"card","quantity":1,"metadata":{"__proto__":"x"}}', '/metadata/__proto__'],
    ] as const) {
      const answer = await api.post('/v1/orders', body);
      await expectProblem(answer, 422, 'validation_failed');
      expect(answer.json.errors).toMatchObject([{ pointer }]);
    }
  });

  test('fifty thousand unknown fields cost no more than a few', async () => {
    const fields = Array.from({ length: 50_000 }, (_, at) => `"quantit${at}":1`).join(',');
    const started = performance.now();
    const answer = await api.post('/v1/orders', `{"external_id":"B-1",${fields}}`);
    await expectProblem(answer, 422, 'validation_failed');
    expect(answer.json.errors).toHaveLength(20);
    expect(answer.text.length).toBeLessThan(10_000);
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test('what was sent is never repeated', async () => {
    const answer = await api.post('/v1/orders', { ...PHONE, recipient: { account: '13912345678', role: 7 } });
    await expectProblem(answer, 422, 'validation_failed');
    const refused = await api.post('/v1/orders', { ...PHONE, recipient: { account: '139-secret-number' } });
    await expectProblem(refused, 422, 'recipient_invalid');
    expect(answer.text + refused.text).not.toMatch(/13912345678|secret-number/);
  });
});

describe('what the catalog refuses', () => {
  const faults: [title: string, body: object, status: number, code: string, field: string, more: object][] = [
    ['a SKU that does not exist', { ...ORDER, sku: 'nothing' }, 404, 'sku_not_found', 'sku', {}],
    ['a SKU that is not sold', { ...ORDER, sku: 'gone' }, 422, 'sku_unavailable', 'sku', {}],
    [
      'more than the SKU allows',
      { ...ORDER, quantity: 501 },
      422,
      'quantity_not_allowed',
      'quantity',
      { quantity_max: 500 },
    ],
    [
      'an account that fails the pattern',
      { ...PHONE, recipient: { account: '123' } },
      422,
      'recipient_invalid',
      'recipient',
      { errors: [{ pointer: '/recipient/account', code: 'pattern' }] },
    ],
    [
      'a missing account',
      PHONE,
      422,
      'recipient_invalid',
      'recipient',
      { errors: [{ pointer: '/recipient/account', code: 'required' }] },
    ],
    [
      'a recipient field the SKU does not take',
      { ...PHONE, recipient: { account: '13900001111', server: 'eu' } },
      422,
      'recipient_invalid',
      'recipient',
      { errors: [{ pointer: '/recipient/server' }] },
    ],
    [
      'a price above the limit',
      { ...ORDER, max_unit_price: '9.4999', currency: 'CNY' },
      422,
      'price_above_limit',
      'max_unit_price',
      { price: '9.50', currency: 'CNY' },
    ],
  ];
  test.each(faults)('%s', async (_title, body, status, code, field, more) => {
    const answer = await api.post('/v1/orders', body);
    await expectProblem(answer, status, code);
    expect(answer.json).toMatchObject({ field, ...more });
  });
});

describe('a body', () => {
  test('of 2 MB is refused, and the connection serves on', async () => {
    const answer = await api.post('/v1/orders', { ...ORDER, metadata: { note: 'x'.repeat(2_000_000) } });
    await expectProblem(answer, 413, 'body_too_large');
    expect(answer.json).toMatchObject({ limit_bytes: 1_000_000, field: 'body' });
    expect(answer.headers.connection).not.toBe('close');
  });

  test('of 2 MB in chunks without a length is refused', async () => {
    async function* chunks() {
      for (let sent = 0; sent < 20; sent++) yield Buffer.alloc(100_000, 0x20);
    }
    const { statusCode, body } = await request(`${api.url}/v1/orders`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
      body: Readable.from(chunks()),
    });
    expect(statusCode).toBe(413);
    expect(await body.json()).toMatchObject({ code: 'body_too_large' });
    expect(await api.written()).toBe(untouched);
  });

  test('that claims to be endless is refused before it is read', async () => {
    const answer = await api
      .send('POST', '/v1/orders', {
        body: Buffer.alloc(17_000_001),
        headers: { 'content-type': 'application/json' },
      })
      .catch((error: { code?: string }) => error);
    // The answer, or the connection's end while still sending: nothing was read either way.
    if ('status' in answer) await expectProblem(answer, 413, 'body_too_large');
    else expect(answer.code).toMatch(/EPIPE|ECONNRESET|UND_ERR_SOCKET/);
    expect(await api.written()).toBe(untouched);
  });

  const broken: [title: string, body: string | Buffer][] = [
    ['half an object', '{"external_id":'],
    ['nothing', ''],
    ['two objects', '{}{}'],
    ['single quotes', "{'external_id':'B-1'}"],
    ['a comma at the end', '{"quantity":1,}'],
    ['not a number', '{"quantity":NaN}'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ];
  test.each(broken)('of broken JSON is refused: %s', async (_title, body) => {
    const answer = await api.send('POST', '/v1/orders', { body, headers: { 'content-type': 'application/json' } });
    await expectProblem(answer, 400, 'bad_request');
    expect(answer.json).toMatchObject({ field: 'body', errors: [{ pointer: '', code: 'json' }] });
  });

  test('of broken JSON is not quoted', async () => {
    const answer = await api.post('/v1/orders', '{"recipient":{"account":13912345678x}}');
    await expectProblem(answer, 400, 'bad_request');
    expect(answer.text).not.toContain('1391234');
  });

  test.each([
    ['a list', '[]'],
    ['a text', '"x"'],
    ['null', 'null'],
    ['a number', '1'],
  ])('that is %s is refused', async (_title, body) => {
    const answer = await api.post('/v1/orders', body);
    await expectProblem(answer, 422, 'validation_failed');
    expect(answer.json).toMatchObject({ field: 'body', errors: [{ pointer: '', message: 'must be an object' }] });
  });

  test('that is not declared as JSON is refused before it is read', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/json; charset=gbk',
      'application/jsonx',
    ]) {
      await expectProblem(
        await api.post('/v1/orders', ORDER, { headers: { 'content-type': type } }),
        415,
        'unsupported_media_type',
      );
    }
    const packed = await api.post('/v1/orders', ORDER, { headers: { 'content-encoding': 'gzip' } });
    await expectProblem(packed, 415, 'unsupported_media_type');
    const undeclared = await api.send('POST', '/v1/orders');
    await expectProblem(undeclared, 415, 'unsupported_media_type');
  });

  test('declared as JSON in other words is read', async () => {
    for (const type of [
      'application/json; charset=utf-8',
      'application/JSON;charset="UTF-8"',
      'application/vnd.shop+json',
    ]) {
      const answer = await api.post('/v1/orders', { ...ORDER, quantity: 0 }, { headers: { 'content-type': type } });
      await expectProblem(answer, 422, 'validation_failed');
    }
  });
});

describe('a key', () => {
  const bad: [title: string, headers: Record<string, string>][] = [
    ['none', {}],
    ['an unknown one', { authorization: `Bearer sk_live_${'x'.repeat(32)}` }],
    ['a malformed one', { authorization: 'Bearer sk_live_short' }],
    ['another scheme', { authorization: 'Basic YTpi' }],
    ['no scheme', { authorization: `sk_live_${'x'.repeat(32)}` }],
  ];
  test.each(bad)('that is bad is refused before anything else: %s', async (_title, headers) => {
    // The body would be too large, of the wrong type and broken besides.
    const answer = await api.send('POST', '/v1/orders', {
      key: null,
      body: 'x'.repeat(1_500_000),
      headers: { 'content-type': 'text/plain', ...headers },
    });
    await expectProblem(answer, 401, 'unauthorized');
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json).toMatchObject({
      field: 'Authorization',
      detail: 'the API key is missing, malformed or not valid',
    });
  });

  test('without the scope is refused with the scope', async () => {
    const key = await api.makeKey(['catalog:read']);
    const answer = await api.post('/v1/orders', ORDER, { key });
    await expectProblem(answer, 403, 'scope_missing');
    expect(answer.json).toMatchObject({ scope: 'orders:write' });
    await expectProblem(await api.get('/v1/orders', { key }), 403, 'scope_missing');
    await expectProblem(await api.get('/v1/skus', { key: await api.makeKey(['orders:read']) }), 403, 'scope_missing');
  });

  test('with the scope admin may do all', async () => {
    const key = await api.makeKey(['admin']);
    expect(await api.get('/v1/orders', { key })).toMatchObject({ status: 200 });
  });
});

describe('a path or a method', () => {
  test('that does not exist', async () => {
    for (const path of ['/', '/v1', '/v1/nothing', '/V1/orders', '/v1/orders/a/b/c', '/metrics']) {
      await expectProblem(await api.get(path), 404, 'not_found');
    }
  });

  test('that is not well encoded', async () => {
    await expectProblem(await api.get('/v1/orders/%E0%A4%A'), 400, 'bad_request');
  });

  test('that is not for this path is told what is', async () => {
    const wrong: [method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH', path: string, allow: string][] = [
      ['DELETE', '/v1/orders', 'POST, GET, HEAD'],
      ['PUT', '/v1/orders/ord_1', 'GET, HEAD'],
      ['GET', '/v1/orders/ord_1/cancel', 'POST'],
      ['POST', '/v1/orders/ord_1/codes', 'GET'],
      ['PATCH', '/v1/skus', 'GET, HEAD'],
      ['POST', '/readyz', 'GET, HEAD'],
    ];
    for (const [method, path, allow] of wrong) {
      const answer = await api.send(method, path);
      await expectProblem(answer, 405, 'method_not_allowed');
      expect(answer.headers.allow).toBe(allow);
    }
  });

  test('OPTIONS tells what there is', async () => {
    const answer = await api.send('OPTIONS', '/v1/orders', { key: null });
    expect(answer).toMatchObject({ status: 204, text: '' });
    expect(answer.headers.allow).toBe('POST, GET, HEAD');
  });

  test('HEAD is GET without its body', async () => {
    const head = await api.send('HEAD', '/v1/orders');
    const get = await api.get('/v1/orders');
    expect(head).toMatchObject({ status: 200, text: '' });
    expect(head.headers['content-length']).toBe(get.headers['content-length']);
  });
});
