// The first minutes with the program: flags and settings, the master key, the schema, the doctor. As real processes.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { makePlace } from '../kit/database.js';
import { data, type Environment, run } from './program.js';

const PASSWORD = 'hunter2hunter2';

let folder: string;
let env: Environment;
let place: Awaited<ReturnType<typeof makePlace>>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kamigate-setup-'));
  place = await makePlace(process.env.KAMIGATE_DATABASE_URL);
  env = { KAMIGATE_DATA_DIR: join(folder, 'data'), KAMIGATE_DATABASE_URL: place.url };
});
afterEach(async () => {
  await place.remove();
  rmSync(folder, { recursive: true, force: true });
});

const go = (args: string[], more: Environment = {}) => run(args, { env: { ...env, ...more }, cwd: folder });

describe('usage', () => {
  test('a mistyped command is suggested, not run, and is exit 2', async () => {
    const { code, stdout, stderr } = await go(['hled']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/unknown command 'hled'[\s\S]*Did you mean held/);
  });

  test('a mistyped flag is suggested', async () => {
    const { code, stderr } = await go(['serve', '--prot', '1']);
    expect(code).toBe(2);
    expect(stderr).toContain('--port');
  });

  test('with --json an error is JSON on standard error, and standard output stays empty', async () => {
    const { code, stdout, stderr } = await go(['--json', 'order', 'show', 'ord_none']);
    expect([code, stdout]).toEqual([3, '']);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'key_source', fix: expect.stringContaining('kamigate init') },
    });
  });

  test('help and version are no errors', async () => {
    const [help, version] = [await go(['--help']), await data<{ version: string }>(['version'], { env })];
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('apply');
    expect(version.version).toBe(JSON.parse(readFileSync(join(process.cwd(), 'package.json'), 'utf8')).version);
  });
});

describe('init', () => {
  test('makes a key that only its owner can read, and says what comes next', async () => {
    const { code, stdout, stderr } = await go(['init']);
    expect(code).toBe(0);
    expect(stdout).toContain('new, readable by its owner only');
    expect(stderr.trim().split('\n').at(-1)).toMatch(/^next: /);
    expect(statSync(join(folder, 'data/master.key')).mode & 0o777).toBe(0o600);
  });

  test('never overwrites a key', async () => {
    await go(['init']);
    const key = readFileSync(join(folder, 'data/master.key'));
    expect(await data(['init'], { env })).toMatchObject({ made_key: false });
    expect(readFileSync(join(folder, 'data/master.key')).equals(key)).toBe(true);
  });

  test('makes the key where the settings want it', async () => {
    const path = join(folder, 'elsewhere/my.key');
    expect((await go(['init'], { KAMIGATE_MASTER_KEY_FILE: path })).code).toBe(0);
    expect(existsSync(path)).toBe(true);
  });
});

describe('settings', () => {
  test('every problem is told at once, each with its fix, and is exit 3', async () => {
    const { code, stderr } = await go(['config', 'check'], {
      KAMIGATE_PORT: 'x',
      KAMIGATE_LEASE_MS: '5',
      KAMIGATE_PROT: '1',
    });
    expect(code).toBe(3);
    expect(stderr).toContain('3 problems');
    expect(stderr.match(/fix:/g)).toHaveLength(3);
    expect(stderr).toContain('Did you mean KAMIGATE_PORT?');
  });

  test('flags win over the environment, and each value says where it came from', async () => {
    const settings = await data<{ name: string; value: string; origin: string }[]>(
      ['config', 'print', '--port', '9001'],
      {
        env: { ...env, KAMIGATE_PORT: '9000', KAMIGATE_SWEEP_MS: '700' },
      },
    );
    expect(settings).toContainEqual({ name: 'port', value: '9001', origin: 'flag --port' });
    expect(settings).toContainEqual({ name: 'sweep_ms', value: '700', origin: 'env KAMIGATE_SWEEP_MS' });
  });

  test('a secret is refused as a flag and never printed', async () => {
    const as_flag = await go(['serve', '--database-url', `mysql://me:${PASSWORD}@db/x`]);
    const as_key = await go(['serve', '--master-key', PASSWORD]);
    const printed = await go(['--json', 'config', 'print'], { KAMIGATE_DATABASE_URL: `mysql://me:${PASSWORD}@db/x` });
    expect([as_flag.code, as_key.code, printed.code]).toEqual([3, 2, 0]);
    expect(as_flag.stderr).toContain('a secret was given as a flag');
    for (const { stdout, stderr } of [as_flag, as_key, printed]) expect(stdout + stderr).not.toContain(PASSWORD);
  });

  test('serving without a master key names `kamigate init`', async () => {
    const { code, stderr } = await go(['serve']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/there is no master key[\s\S]*fix: Run `kamigate init`/);
  });

  test('a key that others can read is refused', async () => {
    await go(['init']);
    chmodSync(join(folder, 'data/master.key'), 0o644);
    const { code, stderr } = await go(['serve']);
    expect(code).toBe(3);
    expect(stderr).toContain('chmod 600');
  });

  test('a port in use is told by its setting', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    await go(['init']);
    await go(['migrate', 'up']);
    const port = String((other.address() as AddressInfo).port);
    const { code, stderr } = await go(['serve'], { KAMIGATE_PORT: port, KAMIGATE_METRICS_PORT: '0' });
    other.close();
    expect(code).toBe(3);
    expect(stderr).toMatch(/the port is in use[\s\S]*field: port/);
  });

  test('a database that cannot be reached is exit 4', async () => {
    await go(['init']);
    const { code, stderr } = await go(['serve'], { KAMIGATE_DATABASE_URL: 'mysql://nobody@127.0.0.1:9/none' });
    expect(code).toBe(4);
    expect(stderr).toContain('ECONNREFUSED');
  });
});

describe('migrate', () => {
  test('tells what is pending, applies it, and then has nothing to do', async () => {
    const before = await data<{ pending: string[] }>(['migrate', 'status'], { env });
    expect(before.pending).toContain('0001_spine');
    expect(await data(['migrate', 'up'], { env })).toEqual({ applied: before.pending });
    expect(await data(['migrate'], { env })).toEqual({ pending: [] });
  });

  test('a server’s database with migrations pending is not touched unasked; an embedded one is brought up to date', async () => {
    await go(['init']);
    const { code, stderr } = await go(['suppliers']);
    if (place.url.startsWith('sqlite:')) expect(code).toBe(0);
    else {
      expect(code).toBe(7);
      expect(stderr).toContain('kamigate migrate up');
      expect((await data<{ pending: string[] }>(['migrate'], { env })).pending).toContain('0001_spine');
    }
  });
});

describe('doctor', () => {
  test('finds what is wrong, tells the fix, and is exit 9', async () => {
    const { code, stdout } = await go(['--json', 'doctor']);
    const { ok, findings } = JSON.parse(stdout) as {
      ok: boolean;
      findings: { check: string; result: string; fix: string }[];
    };
    expect([code, ok]).toEqual([9, false]);
    expect(findings).toContainEqual(
      expect.objectContaining({ check: 'master key', result: 'fail', fix: expect.stringContaining('kamigate init') }),
    );
  });

  test('is content after init, and warns of an empty catalog and a server that is not there', async () => {
    await go(['init']);
    await go(['migrate', 'up']);
    const { findings } = await data<{ findings: { check: string; result: string }[] }>(['doctor', '--port', '9'], {
      env,
    });
    const results = Object.fromEntries(findings.map(({ check, result }) => [check, result]));
    expect(results).toMatchObject({
      settings: 'ok',
      'master key': 'ok',
      database: 'ok',
      migrations: 'ok',
      vault: 'ok',
      catalog: 'warn',
      server: 'warn',
    });
  });

  test('takes broken settings for a finding', async () => {
    const { code, stdout } = await go(['doctor'], { KAMIGATE_PORT: 'x' });
    expect(code).toBe(9);
    expect(stdout).toMatch(/fail\s+settings\s+port: is not a whole number/);
  });
});

describe('the demo', () => {
  test('does not touch a folder that it did not make', async () => {
    writeFileSync(join(folder, 'mine.txt'), 'mine');
    const { code, stderr } = await go(['demo', '--dir', folder]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('--dir');
    expect(readFileSync(join(folder, 'mine.txt'), 'utf8')).toBe('mine');
  });
});
