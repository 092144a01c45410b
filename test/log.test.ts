import { describe, expect, it } from '@jest/globals';
import { Secret } from '../adapters/kit/contract.js';
import { HiddenText } from '../config/values.js';
import { GatewayError } from '../src/errors.js';
import { createLogger, type Logger } from '../src/log.js';

const KEY = 'sk_live_AbCdEfGhIjKlMnOpQrStUvWxYz012345';

function logged(write: (log: Logger) => void, level = 'trace'): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLogger({ level, destination: { write: (line) => lines.push(line) } }));
  return lines.map((line) => {
    expect(line.endsWith('\n')).toBe(true);
    return JSON.parse(line) as Record<string, unknown>;
  });
}

describe('the log', () => {
  it('writes one JSON object a line, with level, time and message', () => {
    const [line] = logged((log) => log.info({ order_id: 'ord_1', count: 3 }, 'order accepted'));
    expect(line).toMatchObject({ level: 'info', msg: 'order accepted', order_id: 'ord_1', count: 3, pid: process.pid });
    expect(new Date(line?.time as string).toISOString()).toBe(line?.time);
  });

  it('keeps to its level', () => {
    const write = (log: Logger): void => {
      log.debug('no');
      log.warn('yes');
    };
    expect(logged(write, 'warn').map(({ msg }) => msg)).toEqual(['yes']);
    expect(logged(write, 'silent')).toEqual([]);
  });

  it('prints secrets as [sealed], wrapped or by the name of their field', () => {
    const lines = logged((log) => {
      log.info({ key: new Secret('hunter2'), config: new HiddenText('hunter2') });
      log.info({ headers: { Authorization: 'Basic hunter2', accept: 'text/html' } });
      log.info({ account: { credentials: { app_key: 'hunter2' } }, password: 'hunter2', codes: ['hunter2'] });
      log.info({ deep: [{ recipient: { account: 'hunter2' }, pin: 'hunter2' }] });
      log.child({ token: 'hunter2' }).info({ secret: 'hunter2' });
    });
    expect(JSON.stringify(lines)).not.toContain('hunter2');
    expect(lines[1]).toMatchObject({ headers: { Authorization: '[sealed]', accept: 'text/html' } });
  });

  it('takes our own keys, bearer headers and passwords in URLs out of any text', () => {
    const lines = logged((log) => {
      log.info(`refused ${KEY} today`);
      log.info({ note: 'Authorization: Bearer abc.def-ghi', secret_text: 'whsec_aGVsbG8gd29ybGQ=' });
      log.info({ url: 'mysql://kamigate:hunter2@db:3306/kamigate' });
      log.error(new Error(`bad key ${KEY}`));
    });
    const text = JSON.stringify(lines);
    for (const part of [KEY, 'abc.def-ghi', 'aGVsbG8', 'hunter2']) expect(text).not.toContain(part);
    expect(lines[0]?.msg).toBe('refused [sealed] today');
    expect(lines[2]?.url).toBe('mysql://kamigate:[sealed]@db:3306/kamigate');
  });

  it('tells of an error its type, message, stack, code and causes, and nothing else', () => {
    const cause = Object.assign(new Error('deadlock'), { errno: 1213, sql: 'insert hunter2', bindings: ['hunter2'] });
    const error = new GatewayError('unavailable', 'the database refused placing', { fix: 'Repeat.', cause });
    const [line] = logged((log) => log.error({ err: error, order_id: 'ord_1' }, 'failed'));
    expect(line).toMatchObject({
      order_id: 'ord_1',
      err: {
        type: 'GatewayError',
        message: 'the database refused placing',
        code: 'unavailable',
        cause: { message: 'deadlock', errno: 1213 },
      },
    });
    expect(String((line as { err: { stack: string } }).err.stack)).toContain('log.test');
    expect(JSON.stringify(line)).not.toContain('hunter2');
  });

  it('survives what cannot be written as JSON, and cuts what is too large', () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const [first, second] = logged((log) => {
      log.info({ circle, big: 12n, bytes: Buffer.from('hunter2') });
      log.info({ many: Array.from({ length: 1_000 }, (_, at) => at) });
    });
    expect(first).toMatchObject({ big: '12', bytes: '[7 bytes]' });
    expect(second?.many).toHaveLength(100);
  });
});
