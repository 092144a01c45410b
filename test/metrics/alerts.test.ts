// Notices to operators: judged on the figures, told once, told again, told of the end; in each robot's own form.
import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type AlertNotice, type AlertOptions, noticeRequest, sendNotice } from '../../src/alerts.js';
import { makeWorld, type World } from '../kit/world.js';

const NOTICE: AlertNotice = {
  status: 'firing',
  alert: 'KamigateUnknownOutcomeOld',
  subject: 'alpha',
  summary: 'A purchase is in doubt for more than half an hour.',
  description: 'alpha: 1 in doubt.',
  since: Date.UTC(2026, 0, 1),
  at: Date.UTC(2026, 0, 1, 0, 40),
};

interface Robot {
  url: string;
  seen: { url: string; body: Record<string, unknown> }[];
  answer: { status: number; body: string };
  close(): Promise<void>;
}
let robot: Robot | null = null;
let world: World | null = null;
afterEach(async () => {
  await world?.close();
  await robot?.close();
  [world, robot] = [null, null];
});

async function startRobot(): Promise<Robot> {
  const started: Robot = {
    url: '',
    seen: [],
    answer: { status: 200, body: '{"errcode":0}' },
    close: async () => undefined,
  };
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      started.seen.push({
        url: request.url ?? '',
        body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
      });
      response.writeHead(started.answer.status).end(started.answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  started.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/robot?key=SECRET-KEY`;
  started.close = () => new Promise((resolve) => server.close(() => resolve()));
  return started;
}

describe('forms', () => {
  const of = (format: AlertOptions['format'], secret: string | null = null) =>
    noticeRequest({ url: 'https://robot.example/send?key=K', format, secret }, NOTICE);

  test('企业微信 takes markdown', () => {
    const { url, body } = of('wecom');
    expect(url).toBe('https://robot.example/send?key=K');
    expect(body).toMatchObject({
      msgtype: 'markdown',
      markdown: { content: expect.stringContaining('KamigateUnknownOutcomeOld') },
    });
  });

  test('钉钉 takes markdown with a title, and the signature in the query', () => {
    const plain = of('dingtalk');
    expect(plain.body).toMatchObject({
      msgtype: 'markdown',
      markdown: { title: NOTICE.alert, text: expect.stringContaining('alpha') },
    });
    const signed = new URL(of('dingtalk', 'SEC-1').url);
    const text = `${NOTICE.at}\nSEC-1`;
    expect(signed.searchParams.get('timestamp')).toBe(String(NOTICE.at));
    expect(signed.searchParams.get('sign')).toBe(createHmac('sha256', 'SEC-1').update(text).digest('base64'));
    expect(signed.searchParams.get('key')).toBe('K');
  });

  test('飞书 takes text, and the signature in the body', () => {
    const at_s = String(NOTICE.at / 1_000);
    expect(of('feishu').body).toEqual({ msg_type: 'text', content: { text: expect.stringContaining(NOTICE.summary) } });
    expect(of('feishu', 'SEC-2').body).toMatchObject({
      timestamp: at_s,
      sign: createHmac('sha256', `${at_s}\nSEC-2`).update('').digest('base64'),
    });
  });

  test('anything else takes JSON with every fact', () => {
    expect(of('generic').body).toEqual({
      status: 'firing',
      alert: NOTICE.alert,
      subject: 'alpha',
      severity: 'critical',
      summary: NOTICE.summary,
      description: NOTICE.description,
      since: '2026-01-01T00:00:00.000Z',
      at: '2026-01-01T00:40:00.000Z',
    });
  });

  test('a robot that answers 200 and refuses all the same has not taken it', async () => {
    robot = await startRobot();
    const send = (format: AlertOptions['format']) => sendNotice({ url: robot!.url, format, secret: null }, NOTICE);
    expect(await send('wecom')).toBeNull();
    robot.answer = { status: 200, body: '{"errcode":93000,"errmsg":"invalid webhook url"}' };
    expect(await send('wecom')).toBe('refused with code 93000');
    robot.answer = { status: 200, body: '{"code":19021,"msg":"sign match fail"}' };
    expect(await send('feishu')).toBe('refused with code 19021');
    robot.answer = { status: 502, body: '' };
    expect(await send('generic')).toBe('status 502');
    expect(await sendNotice({ url: 'http://127.0.0.1:9/', format: 'generic', secret: null }, NOTICE)).toBe(
      'ECONNREFUSED',
    );
  });
});

async function worldWithRobot(): Promise<World> {
  robot = await startRobot();
  return makeWorld({ options: { alerts: { url: robot.url, format: 'generic', secret: null } } });
}
/** One pass of the figures and one of the notices; returns what was told by it. */
async function pass(advance_ms = 60_000): Promise<string[]> {
  world!.clock.advance(advance_ms);
  await world!.gateway.jobs.runNow('gauges');
  const before = robot!.seen.length;
  await world!.gateway.jobs.runNow('alerts');
  return robot!.seen.slice(before).map(({ body }) => `${body.status} ${body.alert} ${body.subject}`.trim());
}

test('an account without float is told once, again after hours, and when it is over', async () => {
  world = await worldWithRobot();
  await world.addSupplier('alpha');
  expect(await pass()).toEqual([]);
  await world.database
    .write('accounts')
    .where({ account: 'alpha' })
    .update({ paused_at: 1, paused_reason: 'float_low' });
  expect(await pass()).toEqual(['firing KamigateSupplierBalanceExhausted alpha']);
  expect(await pass()).toEqual([]);
  expect(await pass(5 * 3_600_000)).toEqual(['firing KamigateSupplierBalanceExhausted alpha']);
  expect(world.gateway.alerts!.firing()).toHaveLength(1);
  await world.database.write('accounts').where({ account: 'alpha' }).update({ paused_at: null, paused_reason: null });
  expect(await pass()).toEqual(['resolved KamigateSupplierBalanceExhausted alpha']);
  expect(await pass()).toEqual([]);
});

test('a pause that a person wants is nobody’s alarm', async () => {
  world = await worldWithRobot();
  await world.addSupplier('alpha');
  await world.database
    .write('accounts')
    .where({ account: 'alpha' })
    .update({ paused_at: 1, paused_reason: 'by hand: moving house' });
  expect(await pass()).toEqual([]);
});

test('a SKU without a source is told after it has lasted', async () => {
  world = await worldWithRobot();
  await world.addSku('gift');
  expect(await pass()).toEqual([]);
  expect(await pass(5 * 60_000)).toEqual([]);
  expect(await pass(6 * 60_000)).toEqual(['firing KamigateSkuNoLiveSource']);
  expect(robot!.seen.at(-1)!.body.description).toContain('gift');
});

test('a notice that was not taken is sent again, and the address is never logged', async () => {
  world = await worldWithRobot();
  await world.addSupplier('alpha');
  await world.database
    .write('accounts')
    .where({ account: 'alpha' })
    .update({ paused_at: 1, paused_reason: 'credentials' });
  robot!.answer = { status: 500, body: '' };
  expect(await pass()).toHaveLength(1);
  expect(await pass()).toHaveLength(1);
  robot!.answer = { status: 200, body: '' };
  expect(await pass()).toHaveLength(1);
  expect(await pass()).toEqual([]);
  const { body } = await world.gateway.metrics.render();
  expect(body).toContain('kamigate_alert_notices_total{result="failed"} 2');
  expect(body).not.toContain('SECRET-KEY');
});

test('a process that is not elected tells nothing', async () => {
  world = await worldWithRobot();
  await world.addSupplier('alpha');
  await world.database
    .write('accounts')
    .where({ account: 'alpha' })
    .update({ paused_at: 1, paused_reason: 'float_low' });
  const second = world.another();
  await world.gateway.jobs.runNow('gauges');
  await second.jobs.runNow('gauges');
  expect(await second.jobs.runNow('alerts')).toBe(0);
  expect(robot!.seen).toEqual([]);
});
