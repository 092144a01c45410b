import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import {
  createWebhookSender,
  type NewNotice,
  RETRY_LADDER_MS,
  signWebhook,
  WEBHOOK_SECRET_PURPOSE,
  type WebhookResult,
  type WebhookSender,
  type WebhookSenderParts,
  writeNotices,
} from '../../src/storefronts/webhooks.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';
import { makeTestSeal, type TestSeal } from '../kit/seal.js';

const SECRET = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
const MINUTE = 60_000;

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}

let test: TestDatabase;
let seal: TestSeal;
let now: number;
let server: Server;
let url: string;
let received: Received[];
/** What the storefront answers; each test sets its own. */
let answer: (response: ServerResponse, request: Received) => void;
let senders: WebhookSender[];
let results: WebhookResult[];

beforeEach(async () => {
  test = await openTestDatabase();
  seal = makeTestSeal();
  now = 1_767_225_600_000;
  received = [];
  senders = [];
  results = [];
  answer = (response) => response.writeHead(204).end();
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const call = { headers: request.headers, body: Buffer.concat(chunks).toString() };
      received.push(call);
      answer(response, call);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  await test.database.write('storefronts').insert({
    storefront: 'mall',
    name: 'Mall',
    currency: 'CNY',
    webhook_url: url,
    webhook_secret_sealed: seal.sealText(WEBHOOK_SECRET_PURPOSE, 'mall', SECRET),
    created_at: 1,
    updated_at: 1,
  });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await Promise.all(senders.map((sender) => sender.close()));
  await test.close();
});

function sender(changes: Partial<WebhookSenderParts> = {}, options: Partial<WebhookSenderParts['options']> = {}) {
  const made = createWebhookSender({
    database: test.database,
    openText: seal.openText,
    now: () => now,
    random: () => 0,
    observe: (result) => results.push(result),
    ...changes,
    options: { webhook_timeout_ms: 5_000, webhook_concurrency: 4, allow_private_webhooks: true, ...options },
  });
  senders.push(made);
  return made;
}

function notice(order_id: string, version = 1, changes: Partial<NewNotice> = {}): NewNotice {
  const type = 'order.delivered';
  return {
    storefront: 'mall',
    order_id,
    type,
    url,
    created_at: now,
    payload: {
      type,
      timestamp: new Date(now).toISOString(),
      data: {
        order_id,
        external_id: `x-${order_id}`,
        status: 'delivered',
        final: true,
        refund_advice: 'none',
        reason: null,
        version,
      },
    },
    ...changes,
  };
}

const write = (...notices: NewNotice[]): Promise<string[]> =>
  atomic(test.database, 'test', (trx) => writeNotices(trx, notices));

async function rows() {
  return test.database.read('notices').orderBy('notice_id');
}

describe('signWebhook', () => {
  it('makes the signature that the reference libraries of Standard Webhooks publish', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const signature = signWebhook(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330, '{"test": 2432232314}');
    expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });
});

describe('writeNotices', () => {
  it('is part of the transaction it is written in', async () => {
    const failed = atomic(test.database, 'test', async (trx) => {
      await writeNotices(trx, [notice('ord_1')]);
      throw new Error('the order was not written');
    });
    await expect(failed).rejects.toThrow('the order was not written');
    expect(await rows()).toEqual([]);
  });

  it('takes many at once, and none', async () => {
    expect(await write()).toEqual([]);
    const ids = await write(...Array.from({ length: 300 }, (_, at) => notice(`ord_${at}`)));
    expect(new Set(ids).size).toBe(300);
    expect(await rows()).toHaveLength(300);
  });

  it('refuses a payload that is not thin', async () => {
    const fat = notice('ord_1');
    fat.payload.data.reason = 'x'.repeat(20_000);
    await expect(write(fat)).rejects.toThrow('at most 20000');
  });
});

describe('delivery', () => {
  it('is signed, thin and complete, and is done once', async () => {
    const [notice_id] = await write(notice('ord_1', 3));
    const sending = sender();
    expect(await sending.deliverDue(10)).toBe(1);
    expect(await sending.deliverDue(10)).toBe(0);
    expect(received).toHaveLength(1);
    const { headers, body } = received[0]!;
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': notice_id,
      'webhook-timestamp': '1767225600',
    });
    // Checked as a storefront would, not with our own function.
    const expected = createHmac('sha256', Buffer.alloc(32, 9))
      .update(`${notice_id}.1767225600.${body}`)
      .digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${expected}`);
    expect(JSON.parse(body)).toEqual({
      type: 'order.delivered',
      timestamp: '2026-01-01T00:00:00.000Z',
      data: {
        order_id: 'ord_1',
        external_id: 'x-ord_1',
        status: 'delivered',
        final: true,
        refund_advice: 'none',
        reason: null,
        version: 3,
      },
    });
    expect(await rows()).toMatchObject([{ due_at: null, delivered_at: now, tries: 1, last_result: 'status 204' }]);
    expect(results).toMatchObject([{ result: 'delivered', storefront: 'mall', tries: 1 }]);
  });

  it('sends nothing that is not due yet', async () => {
    await write(notice('ord_1', 1, { created_at: now + 1 }));
    expect(await sender().deliverDue(10)).toBe(0);
  });

  it('takes no more than the limit', async () => {
    await write(...Array.from({ length: 7 }, (_, at) => notice(`ord_${at}`)));
    const sending = sender();
    expect([await sending.deliverDue(3), await sending.deliverDue(3), await sending.deliverDue(3)]).toEqual([3, 3, 1]);
    expect(received).toHaveLength(7);
  });

  it('climbs the published ladder and then gives up', async () => {
    answer = (response) => response.writeHead(500).end();
    await write(notice('ord_1'));
    const sending = sender();
    for (const [at, pause_ms] of RETRY_LADDER_MS.entries()) {
      expect(await sending.deliverDue(10)).toBe(1);
      expect(await rows()).toMatchObject([{ due_at: now + pause_ms, tries: at + 1, last_result: 'status 500' }]);
      now += pause_ms - 1;
      expect(await sending.deliverDue(10)).toBe(0);
      now += 1;
    }
    expect(await sending.deliverDue(10)).toBe(1);
    expect(await rows()).toMatchObject([{ due_at: null, given_up_at: now, delivered_at: null, tries: 10 }]);
    expect(received).toHaveLength(10);
    expect(results.at(-1)?.result).toBe('given_up');
    // The same message each time: a consumer can tell a repeat by its id.
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(received.map(({ headers }) => headers['webhook-signature'])).size).toBe(10);
  });

  it('spreads the retries by at most a tenth', async () => {
    answer = (response) => response.writeHead(500).end();
    await write(notice('ord_1'));
    await sender({ random: () => 0.999_999 }).deliverDue(10);
    expect((await rows())[0]?.due_at).toBe(now + 5_500);
  });

  const ANSWERS: [string, number, Record<string, string>, object][] = [
    ['any 2xx is delivered', 299, {}, { result: 'delivered' }],
    ['a redirect is a failure and is not followed', 302, { location: '/elsewhere' }, { due_in: 5_000 }],
    ['410 gives up at once', 410, {}, { result: 'given_up' }],
    ['404 is tried again', 404, {}, { due_in: 5_000 }],
    ['Retry-After in seconds is respected', 429, { 'retry-after': '120' }, { due_in: 120_000 }],
    [
      'Retry-After as a date is respected',
      503,
      { 'retry-after': 'Thu, 01 Jan 2026 00:10:00 GMT' },
      { due_in: 600_000 },
    ],
    ['Retry-After never shortens the ladder', 503, { 'retry-after': '1' }, { due_in: 5_000 }],
    ['Retry-After is bounded', 503, { 'retry-after': '99999999' }, { due_in: 24 * 60 * MINUTE }],
    ['a Retry-After that is neither is ignored', 503, { 'retry-after': 'soon' }, { due_in: 5_000 }],
  ];
  for (const [title, status, headers, expected] of ANSWERS) {
    it(title, async () => {
      answer = (response) => response.writeHead(status, headers).end();
      await write(notice('ord_1'));
      await sender().deliverDue(10);
      const [row] = await rows();
      expect(received).toHaveLength(1);
      const seen =
        row.due_at === null ? { result: row.delivered_at ? 'delivered' : 'given_up' } : { due_in: row.due_at - now };
      expect(seen).toEqual(expected);
    });
  }

  it('waits no longer than its time limit for an answer', async () => {
    answer = () => undefined;
    await write(notice('ord_1'));
    await sender({}, { webhook_timeout_ms: 100 }).deliverDue(10);
    expect(received).toHaveLength(1);
    expect(await rows()).toMatchObject([{ delivered_at: null, tries: 1, due_at: now + 5_000 }]);
    expect((await rows())[0]?.last_result).toMatch(/timed out|UND_ERR_HEADERS_TIMEOUT/);
  });

  it('counts the status, not a body that breaks off or never ends', async () => {
    answer = (response) => {
      response.writeHead(200, { 'content-length': '1000000' });
      response.write('x'.repeat(100));
      setImmediate(() => response.destroy());
    };
    await write(notice('ord_1'));
    await sender().deliverDue(10);
    expect(await rows()).toMatchObject([{ delivered_at: now }]);
  });

  it('tries again when nobody listens or the connection breaks', async () => {
    answer = (response) => response.destroy();
    await write(notice('ord_1'), notice('ord_2', 1, { url: 'http://127.0.0.1:1/' }));
    await sender().deliverDue(10);
    const [broken, refused] = await rows();
    expect(broken).toMatchObject({ due_at: now + 5_000, tries: 1 });
    expect(refused).toMatchObject({ due_at: now + 5_000, tries: 1, last_result: 'no answer (ECONNREFUSED)' });
  });

  it('goes to no private place unless that is allowed', async () => {
    await write(notice('ord_1'), notice('ord_2', 1, { url: url.replace('http:', 'https:') }));
    const named = url.replace('http:', 'https:').replace('127.0.0.1', 'mall.invalid');
    await write(notice('ord_3', 1, { url: named }));
    const resolve: WebhookSenderParts['resolve'] = (_, done) => done(null, [{ address: '127.0.0.1', family: 4 }]);
    await sender({ resolve }, { allow_private_webhooks: false }).deliverDue(10);
    expect(received).toEqual([]);
    expect(await rows()).toMatchObject([
      { given_up_at: now, last_result: 'the webhook URL is not an https URL' },
      { given_up_at: now, last_result: 'the webhook URL is an address inside a private or reserved network' },
      // A name may resolve to a better place next time.
      { given_up_at: null, due_at: now + 5_000, last_result: 'no answer (PRIVATE_ADDRESS)' },
    ]);
  });

  it('gives up where the storefront has no secret to sign with', async () => {
    await test.database.write('storefronts').update({ webhook_secret_sealed: null });
    await write(notice('ord_1'));
    await sender().deliverDue(10);
    expect(received).toEqual([]);
    expect(await rows()).toMatchObject([{ given_up_at: now, due_at: null }]);
  });

  it('costs a notice nothing when the secret cannot be opened', async () => {
    await write(notice('ord_1'));
    const openText = (): string => {
      throw new Error('sealed');
    };
    await expect(sender({ openText }).deliverDue(10)).rejects.toThrow('sealed');
    expect(await rows()).toMatchObject([{ tries: 0, due_at: now }]);
  });
});

describe('the order of an order', () => {
  it('is kept: a later notice waits for the earlier one', async () => {
    await write(notice('ord_1', 1), notice('ord_1', 2), notice('ord_2', 1));
    const sending = sender();
    expect(await sending.deliverDue(10)).toBe(2);
    expect(await sending.deliverDue(10)).toBe(1);
    expect(await sending.deliverDue(10)).toBe(0);
    const versions = received.map(({ body }) => JSON.parse(body).data).filter(({ order_id }) => order_id === 'ord_1');
    expect(versions.map(({ version }) => version)).toEqual([1, 2]);
  });

  it('lets a later notice overtake one that keeps failing', async () => {
    answer = (response, { body }) => response.writeHead(JSON.parse(body).data.version === 1 ? 500 : 204).end();
    await write(notice('ord_1', 1), notice('ord_1', 2));
    const sending = sender();
    await sending.deliverDue(10);
    expect(await sending.deliverDue(10)).toBe(0);
    now += 5_000;
    await sending.deliverDue(10);
    expect(await sending.deliverDue(10)).toBe(1);
    expect(await rows()).toMatchObject([
      { tries: 2, delivered_at: null },
      { tries: 1, delivered_at: now },
    ]);
  });
});

describe('several processes', () => {
  it('send each notice once between them', async () => {
    const ids = await write(...Array.from({ length: 40 }, (_, at) => notice(`ord_${at}`)));
    const counts = await Promise.all([sender(), sender(), sender()].map((sending) => sending.deliverDue(40)));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(40);
    expect(received.map(({ headers }) => headers['webhook-id']).sort()).toEqual(ids.sort());
  });

  it('take over a notice whose process died, once its claim has run out', async () => {
    await write(notice('ord_1'));
    const [row] = await rows();
    // What a process leaves behind that was killed between claiming and sending.
    const claimed_until = now + 35_000;
    await test.database
      .write('notices')
      .where({ notice_id: row.notice_id })
      .update({ due_at: claimed_until, tries: 1 });
    const sending = sender();
    now = claimed_until - 1;
    expect(await sending.deliverDue(10)).toBe(0);
    now = claimed_until;
    expect(await sending.deliverDue(10)).toBe(1);
    expect(await rows()).toMatchObject([{ delivered_at: now, tries: 2 }]);
  });

  it('do not undo what a successor noted', async () => {
    await write(notice('ord_1'));
    // While the storefront still thinks, the claim runs out and another process delivers.
    answer = (response) => {
      answer = (second) => second.writeHead(204).end();
      now += 60 * MINUTE;
      void sender()
        .deliverDue(10)
        .then(() => response.writeHead(500).end());
    };
    await sender().deliverDue(10);
    expect(await rows()).toMatchObject([{ due_at: null, delivered_at: now, last_result: 'status 204', tries: 2 }]);
  });

  it('call the storefront outside of any transaction', async () => {
    await write(notice('ord_1'));
    let could_write = false;
    answer = (response) => {
      // On SQLite an open transaction would make this wait for the very answer it precedes.
      void atomic(test.database, 'test', (trx) => trx('storefronts').update({ name: 'written meanwhile' })).then(() => {
        could_write = true;
        response.writeHead(204).end();
      });
    };
    await sender({}, { webhook_timeout_ms: 3_000 }).deliverDue(10);
    expect(could_write).toBe(true);
    expect(await rows()).toMatchObject([{ delivered_at: now }]);
  });
});
