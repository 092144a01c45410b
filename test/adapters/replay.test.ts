// The replay of conversation files: forgiving toward how a stranger writes one, unforgiving about what it concludes.
import { describe, expect, test } from '@jest/globals';
import { SaidNo, type Supplier } from '../../adapters/kit/contract.js';
import { readConversation } from '../../adapters/kit/conversation.js';
import { acknowledge, byRefusal, byStatus, code } from '../../adapters/kit/outcomes.js';
import * as read from '../../adapters/kit/reading.js';
import { replay } from '../../adapters/kit/replay.js';
import { getQuery, postForm, postJson } from '../../adapters/kit/sending.js';
import { template } from '../../adapters/kit/template.js';

/** A supplier with a session, a form, a create-then-pay pair and a base URL with a path. */
const oauth: Supplier = {
  ...template,
  code: 'oauth',
  delivers: ['code'],
  base_urls: { live: 'https://api.oauth.example/v1', sandbox: 'https://sandbox.oauth.example/v1' },
  credentials: { client: 'Client id.', secret: 'Client secret.' },
  options: { account: { help: 'Wallet to charge.', default: 'main' } },
  session: async (wire) => {
    const body = { id: wire.credential('client'), secret: wire.credential('secret') };
    const reply = read.readJson(await postJson(wire, 'https://auth.oauth.example/token', body));
    if (read.at(reply, 'error')) throw new SaidNo('credentials', read.textAt(reply, 'error'));
    return { token: read.textAt(reply, 'access_token'), expires_in_ms: 1000 };
  },
  prepare: async (purchase, wire) => {
    const headers = { authorization: `Bearer ${await wire.token()}` };
    const reply = read.readJson(
      await postForm(wire, '/orders', { ref: purchase.reference, n: purchase.quantity }, { headers }),
    );
    if (read.at(reply, 'error')) return { outcome: 'refused', reason: 'out_of_stock' };
    return { supplier_reference: read.textAt(reply, 'id') };
  },
  place: async (purchase, wire) => {
    const headers = { authorization: `Bearer ${await wire.token()}`, 'x-nonce': wire.nonce(8), 'x-uuid': wire.uuid() };
    const body = { wallet: wire.option('account'), amount: 12.5 };
    const reply = read.readJson(
      await postJson(wire, `/orders/${purchase.supplier_reference}/pay`, body, { headers, buys: true }),
    );
    if (read.at(reply, 'error')) return byRefusal(template, read.textAt(reply, 'error'), {});
    return byStatus(template, read.textAt(reply, 'status'), {}, () => ({
      codes: read.itemsAt(reply, 'cards').map((card) =>
        code({
          number: read.maybeTextAt(card, 'n'),
          pin: read.maybeTextAt(card, 'p'),
          expires_at: read.expiryOf(read.maybeTextAt(card, 'e'), 'Z'),
        }),
      ),
    }));
  },
  lookup: async (purchase, wire) => {
    const reply = read.readJson(await getQuery(wire, '/orders', { ref: purchase.reference, b: '2' }));
    return byStatus(template, read.textAt(reply, 'status'), {}, () => ({ codes: [] }));
  },
  readCallback: (message) => {
    const form = read.parseForm(message.body.toString());
    return {
      reference: form.ref ?? null,
      supplier_reference: null,
      outcome: { outcome: 'accepted' },
      trust: 'hint',
      acknowledge: acknowledge('{"ok":1}', 'application/json'),
    };
  },
};
delete (oauth as { listOffers?: unknown }).listOffers;

const run = (file: object, supplier: Supplier = oauth, strict = false) =>
  replay(supplier, readConversation(JSON.stringify(file)), { strict });
const differences = async (file: object, supplier?: Supplier, strict?: boolean) =>
  (await run(file, supplier, strict)).differences;

const PAID = { status: 'success', cards: [{ n: '1234567890123456', p: 'PIN-1', e: '2027-01-31' }] };
const PAY = {
  request: { method: 'post', url: 'https://api.oauth.example/v1/orders/77/pay' },
  response: { body: PAID },
};
const PLACE = {
  verb: 'place',
  input: { supplier_reference: '77' },
  exchanges: [PAY],
  expect: { outcome: 'delivered' },
};

describe('what a stranger leaves out', () => {
  test('credentials are "test", a session without an exchange is signed in', async () => {
    const { passed, sent } = await run(PLACE);
    expect(passed).toBe(true);
    expect(sent).toHaveLength(1);
    expect(sent[0]!.headers!.authorization).toBe('Bearer test');
  });
  test('a token exchange is used where the file holds one, named or not', async () => {
    const body = { access_token: 'tok-1', expires_in: 60 };
    for (const request of [
      undefined,
      { url: 'https://auth.oauth.example/token', body: { id: 'test', secret: 'test' } },
    ]) {
      const { differences, sent } = await run(
        { ...PLACE, exchanges: [{ request, response: { body } }, PAY] },
        oauth,
        true,
      );
      expect(differences).toEqual([]);
      expect(sent[1]!.headers!.authorization).toBe('Bearer tok-1');
    }
  });
  test('a 401 is tried once more with a fresh token, if the file goes on', async () => {
    const token = (text: string) => ({
      request: { url: 'https://auth.oauth.example/token' },
      response: { body: { access_token: text } },
    });
    const refused = { response: { status: 401, body: { error: 'bad_sign' } } };
    const { differences, sent } = await run(
      { ...PLACE, exchanges: [token('old'), refused, token('new'), PAY] },
      oauth,
      true,
    );
    expect(differences).toEqual([]);
    expect(sent.map(({ headers }) => headers!.authorization)).toEqual([
      undefined,
      'Bearer old',
      undefined,
      'Bearer new',
    ]);
    expect(await differencesOf401()).toEqual([]);
    function differencesOf401() {
      return run({
        ...PLACE,
        exchanges: [token('old'), refused],
        expect: { outcome: 'refused', reason: 'credentials' },
      }).then((done) => done.differences);
    }
  });
  test('a session that is refused is a refusal: nothing that can buy was sent', async () => {
    const token = {
      request: { url: 'https://auth.oauth.example/token' },
      response: { status: 401, body: { error: 'unknown client' } },
    };
    expect(
      await differences({ ...PLACE, exchanges: [token], expect: { outcome: 'refused', reason: 'credentials' } }),
    ).toEqual([]);
  });
  test('create-then-pay runs as a whole where no supplier reference is given', async () => {
    const create = { request: { method: 'POST', url: '/v1/orders', body: { n: 1 } }, response: { body: { id: 77 } } };
    const { passed, sent } = await run({ ...PLACE, input: {}, exchanges: [create, PAY] });
    expect(passed).toBe(true);
    expect(sent.map(({ body }) => body)).toEqual(['ref=GW20260101000001&n=1', '{"wallet":"main","amount":12.5}']);
    const empty = { ...create, response: { body: { error: 'none' } } };
    expect(
      await differences({
        ...PLACE,
        input: {},
        exchanges: [empty],
        expect: { outcome: 'refused', reason: 'out_of_stock' },
      }),
    ).toEqual([]);
  });
  test('sandbox and live base URLs are told by origin, a tenant address by its prefix', async () => {
    const at = (url: string) => ({ ...PLACE, exchanges: [{ ...PAY, request: { url } }] });
    expect(await differences(at('https://sandbox.oauth.example/v1/orders/77/pay'))).toEqual([]);
    const tenant: Supplier = { ...oauth, base_urls: { live: null, sandbox: null } };
    expect(await differences(at('https://shop.example/orders/77/pay'), tenant)).toEqual([]);
    expect(await differences(at('https://shop.example/sub/shop/orders/77/pay'), tenant)).toEqual([]);
    expect(await differences(at('https://shop.example/orders/78/pay'), tenant)).toHaveLength(1);
    const named = { ...at('https://shop.example/x/orders/77/pay'), options: { base_url: 'https://shop.example/x/' } };
    expect(await differences(named, tenant)).toEqual([]);
  });
  test('an exchange that is missing is a silence', async () => {
    expect(await differences({ ...PLACE, exchanges: [], expect: { outcome: 'unknown', doubt: 'deadline' } })).toEqual(
      [],
    );
    expect(await differences({ ...PLACE, exchanges: [] })).toEqual(['expect.outcome: is unknown']);
  });
  test('nonces are fixed, and the file may fix them', async () => {
    const first = (await run(PLACE)).sent[0]!.headers!;
    expect([first['x-nonce'], first['x-uuid']]).toEqual(['01234567', '00000000-0000-4000-8000-000000000001']);
    const fixed = (await run({ ...PLACE, options: { nonce: 'N', uuid: 'U' } })).sent[0]!.headers!;
    expect([fixed['x-nonce'], fixed['x-uuid']]).toEqual(['N', 'U']);
  });
});

describe('what is compared', () => {
  const paying = (request: object) =>
    differences({ ...PLACE, exchanges: [{ ...PAY, request: { ...PAY.request, ...request } }] });
  test('methods, headers in any case, bodies by structure or to the byte', async () => {
    expect(await paying({ headers: { AUTHORIZATION: 'Bearer test', 'X-Uuid': '*' } })).toEqual([]);
    expect(await paying({ headers: { Authorization: 'Bearer other', 'X-None': '*' } })).toEqual([
      'request 1: header Authorization differs',
      'request 1: header X-None is missing',
    ]);
    expect(await paying({ body: { amount: 12.5, wallet: 'main' } })).toEqual([]);
    expect(await paying({ body: { amount: '*' } })).toEqual([]);
    expect(await paying({ body: { amount: 12.6, more: 1 } })).toEqual([
      'request 1: body.amount differs',
      'request 1: body.more is missing',
    ]);
    expect(await paying({ body: '{"wallet":"main","amount":12.5}' })).toEqual([]);
    expect(await paying({ body: '{"amount":12.5,"wallet":"main"}' })).toEqual([
      'request 1: the body differs from byte 2',
    ]);
    expect(await paying({ body_base64: Buffer.from('x').toString('base64') })).toEqual(['request 1: the body differs']);
    expect(await paying({ method: 'GET' })).toEqual(['request 1: method is POST, not GET']);
  });
  test('forms as text or by field, queries in any order', async () => {
    const prepare = (body: unknown) =>
      differences({
        verb: 'prepare',
        input: { reference: 'A B', quantity: 2 },
        exchanges: [{ request: { body }, response: { body: { id: '5' } } }],
        expect: { supplier_reference: '5' },
      });
    expect(await prepare('ref=A+B&n=2')).toEqual([]);
    expect(await prepare({ n: 2, ref: 'A B' })).toEqual([]);
    expect(await prepare({ n: 3 })).toEqual(['request 1: body.n differs']);
    const lookup = (url: string) =>
      differences({
        verb: 'query',
        input: { reference: 'A B' },
        exchanges: [{ request: { url }, response: { body: { status: 'waiting' } } }],
        expect: { outcome: 'accepted' },
      });
    expect(await lookup('/v1/orders?b=2&ref=A%20B')).toEqual([]);
    expect(await lookup('/v1/orders')).toEqual([]);
    expect(await lookup('/v1/orders?b=3')).toEqual([
      'request 1: query b differs',
      'request 1: query has ref beside what is expected',
    ]);
  });
  test('strictly, nothing may be sent or answered beside what the file says', async () => {
    const exchanges = [{ ...PAY, request: { ...PAY.request, body: { amount: 12.5 } } }, { response: {} }];
    expect(
      await differences({ ...PLACE, exchanges, expect: { outcome: 'delivered', outcom: 1 } }, oauth, true),
    ).toEqual([
      'request 1: body.wallet is not expected',
      'expect.outcom is not a key that place concludes',
      '1 exchanges were not used',
    ]);
    expect(await differences({ ...PLACE, exchanges })).toEqual([]);
  });
  test('codes in the spellings of suppliers, by count, or none', async () => {
    const expecting = (codes: unknown) => differences({ ...PLACE, expect: { codes } });
    for (const codes of [
      1,
      ['PIN-1'],
      ['1234567890123456'],
      [{ number: '1234567890123456', pin: 'PIN-1' }],
      [{ card_no: '1234567890123456', card_pwd: 'PIN-1' }],
      [{ cardNumber: 1234567890123456, pinCode: 'PIN-1', serial: null }],
      [{ code: 'PIN-1' }],
      [{ pin: 'PIN-1', expires_at: '2027-01-31' }],
      [{ pin: 'PIN-1', expires_at: Date.UTC(2027, 0, 31) }],
    ]) {
      expect([codes, await expecting(codes)]).toEqual([codes, []]);
    }
    for (const codes of [
      null,
      [],
      2,
      ['PIN-2'],
      [{ pin: '1234567890123456' }],
      [{ number: 'PIN-1' }],
      [{ pin: 'PIN-1', expires_at: '2027-03-31' }],
      ['PIN-1', 'PIN-1'],
    ]) {
      expect([codes, (await expecting(codes)).length]).toEqual([codes, 1]);
    }
    expect((await expecting(['PIN-2'])).join()).not.toContain('PIN-1');
  });
  test('a key that the conclusion cannot have fails, unless it says there is none', async () => {
    const refused = { ...PLACE, exchanges: [{ response: { body: { error: 'no_stock' } } }] };
    expect(
      await differences({
        ...refused,
        expect: { outcome: 'refused', reason: ['out_of_stock', 'declined'], codes: null, cost: null, receipt: null },
      }),
    ).toEqual([]);
    expect(
      await differences({ ...refused, expect: { cost: '1.00', supplier_reference: '9', receipt: 'R' } }),
    ).toHaveLength(3);
    expect(await differences({ ...PLACE, expect: { outcome: 'delivered', trust: 'hint' } })).toEqual([
      'expect.trust: there is none',
    ]);
  });
  test('callbacks: form bodies given as fields, and the acknowledgement as text or in parts', async () => {
    const callback = {
      verb: 'readCallback',
      input: { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: { ref: 'A B' } },
    };
    expect(
      await differences({
        ...callback,
        expect: {
          reference: 'A B',
          trust: 'hint',
          outcome: 'accepted',
          acknowledge: '{"ok":1}',
          supplier_reference: null,
        },
      }),
    ).toEqual([]);
    expect(
      await differences({
        ...callback,
        expect: { acknowledge: { status: 200, content_type: 'application/json' }, rejected: null },
      }),
    ).toEqual([]);
    expect(
      await differences({ ...callback, expect: { acknowledge: 'ok', rejected: 'signature', reference: 'B' } }),
    ).toHaveLength(3);
  });
});

describe('what cannot be run', () => {
  test('says which field is wrong', async () => {
    const reading = (file: unknown) => () => readConversation(typeof file === 'string' ? file : JSON.stringify(file));
    expect(reading('{')).toThrow('a conversation is a JSON file');
    expect(reading({ verb: 'dance', expect: {} })).toThrow('verb is dance: use one of prepare, place');
    expect(reading({ expect: {} })).toThrow('verb is missing');
    expect(reading({ verb: 'place' })).toThrow('expect is missing');
    await expect(run({ verb: 'listOffers', expect: {} })).rejects.toThrow('oauth has no listOffers');
  });
  test('a credential that the adapter does not declare is a bug of the adapter, and nothing was sent', async () => {
    const careless: Supplier = {
      ...oauth,
      place: async (_, wire) => ({ outcome: 'accepted', message: wire.credential('undeclared') }),
    };
    const { conclusion } = await run({ ...PLACE, exchanges: [] }, careless);
    expect(conclusion).toMatchObject({ found: { outcome: 'refused', reason: 'not_sent' } });
  });
});
