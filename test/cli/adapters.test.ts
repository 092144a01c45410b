// `kamigate adapters replay`: one line a file, a count at the end, exit 0 only if none failed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { data, run } from './program.js';

const CONVERSATIONS = join(process.cwd(), 'test/adapters/dujiao-next');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kamigate-replay-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('adapters', () => {
  test('list names every adapter with its promises', async () => {
    const adapters = await data<{ code: string; promises: object }[]>(['adapters']);
    expect(adapters.map(({ code }) => code)).toEqual(expect.arrayContaining(['dujiao-next', 'simulated']));
  });

  test('replay runs every file of a folder', async () => {
    const { code, stdout } = await run(['adapters', 'replay', CONVERSATIONS]);
    const lines = stdout.trim().split('\n');
    expect(code).toBe(0);
    expect(lines.at(-1)).toMatch(/^\d+ passed, 0 failed$/);
    expect(lines).toHaveLength(Number.parseInt(lines.at(-1)!, 10) + 1);
  });

  test('replay fails with one file that does not hold, and says what differs', async () => {
    const good = JSON.parse(readFileSync(join(CONVERSATIONS, 'place-out-of-stock.json'), 'utf8'));
    const adapter = { adapter: 'dujiao-next' };
    writeFileSync(join(folder, 'good.json'), JSON.stringify({ ...good, ...adapter }));
    writeFileSync(
      join(folder, 'wrong.json'),
      JSON.stringify({ ...good, ...adapter, expect: { ...good.expect, outcome: 'delivered' } }),
    );
    writeFileSync(join(folder, 'broken.json'), '{');
    const { code, stdout } = await run(['adapters', 'replay', folder]);
    expect(code).toBe(9);
    expect(stdout).toMatch(/FAIL .*broken\.json/);
    expect(stdout).toMatch(/FAIL .*wrong\.json: .*outcome/);
    expect(stdout.trim().split('\n').at(-1)).toBe('1 passed, 2 failed');
    const as_json = await run(['--json', 'adapters', 'replay', folder]);
    expect(JSON.parse(as_json.stdout)).toMatchObject({ passed: 1, failed: 2, results: expect.any(Array) });
  });

  test('replay of nothing is wrong usage, not a success', async () => {
    expect((await run(['adapters', 'replay', folder])).code).toBe(2);
    expect((await run(['adapters', 'replay', join(folder, 'none')])).code).toBe(2);
  });
});
