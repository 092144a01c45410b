import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ConfigInput, loadConfig, printableConfig, readNamedSecret } from '../../config/load.js';
import { envName, OPTIONS } from '../../config/options.js';
import { ConfigError, type ConfigProblem } from '../../config/problems.js';

const PASSWORD = 'hunter2hunter2';
const MYSQL_URL = `mysql://kamigate:${PASSWORD}@db:3306/kamigate`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kamigate-config-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** Never this machine's own environment, nor a kamigate.yaml that happens to lie about. */
function load(input: ConfigInput = {}) {
  const env = { KAMIGATE_CONFIG_FILE: write('none.yaml', ''), ...input.env };
  return loadConfig({ ...input, env });
}

function problemsOf(input: ConfigInput): readonly ConfigProblem[] {
  try {
    load(input);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

function problem(input: ConfigInput): ConfigProblem {
  const problems = problemsOf(input);
  expect(problems).toHaveLength(1);
  return problems[0]!;
}

describe('loadConfig', () => {
  it('runs on defaults alone, with what lies in the data folder derived from it', () => {
    const { config, origins, warnings } = load({ env: { KAMIGATE_DATA_DIR: join(folder, 'here') } });
    expect(config.host).toBe('127.0.0.1');
    expect(config.port).toBe(8080);
    expect(config.database_url.reveal()).toBe(`sqlite:${join(folder, 'here')}/kamigate.db`);
    expect(config.master_key_file).toBe(`${join(folder, 'here')}/master.key`);
    expect(config.master_key).toBeNull();
    expect(config.public_url).toBe('http://127.0.0.1:8080');
    expect(config.lookup_ladder_ms).toEqual([5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000]);
    expect(config.allow_private_webhooks).toBe(false);
    expect(origins.port).toBe('default');
    expect(warnings).toEqual([]);
    expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
  });

  it('takes flags over environment over file over defaults, and says where each came from', () => {
    const file = write('kamigate.yaml', '# settings\nport: 1001\nmetrics_port: 1002\nlease_ms: 9000\n');
    const env = { KAMIGATE_PORT: '2001', KAMIGATE_METRICS_PORT: '2002' };
    const { config, origins } = load({ file, env, flags: { port: 3001 } });
    expect([config.port, config.metrics_port, config.lease_ms, config.sweep_ms]).toEqual([3001, 2002, 9000, 5000]);
    expect(origins.port).toBe('flag --port');
    expect(origins.metrics_port).toBe('env KAMIGATE_METRICS_PORT');
    expect(origins.lease_ms).toBe(`${file}:4`);
    expect(origins.sweep_ms).toBe('default');
  });

  it('reads a list from the file and from the environment alike', () => {
    const file = write('kamigate.yaml', 'lookup_ladder_ms: [1000, 2000]\n');
    expect(load({ file }).config.lookup_ladder_ms).toEqual([1000, 2000]);
    expect(load({ env: { KAMIGATE_LOOKUP_LADDER_MS: '1000, 3000' } }).config.lookup_ladder_ms).toEqual([1000, 3000]);
  });

  it('counts an empty environment variable as not set', () => {
    expect(load({ env: { KAMIGATE_PORT: '' } }).config.port).toBe(8080);
  });

  it('takes a secret from the file that NAME_FILE names, without its line end', () => {
    const path = write('url', `${MYSQL_URL}\n`);
    const { config, origins, warnings } = load({ env: { KAMIGATE_DATABASE_URL_FILE: path } });
    expect(config.database_url.reveal()).toBe(MYSQL_URL);
    expect(origins.database_url).toBe('env KAMIGATE_DATABASE_URL_FILE');
    expect(warnings).toEqual([]);
  });

  it('takes a secret from the environment with a warning', () => {
    const { config, warnings } = load({ env: { KAMIGATE_MASTER_KEY: 'c2VjcmV0', KAMIGATE_DATABASE_URL: MYSQL_URL } });
    expect(config.master_key?.reveal()).toBe('c2VjcmV0');
    expect(warnings).toHaveLength(2);
    expect(warnings.join()).toContain('KAMIGATE_MASTER_KEY_FILE');
    expect(warnings.join()).not.toContain('c2VjcmV0');
    expect(warnings.join()).not.toContain(PASSWORD);
  });

  it('takes a database URL without a password from anywhere', () => {
    const file = write('kamigate.yaml', 'database_url: sqlite:./here.db\n');
    expect(load({ file }).config.database_url.reveal()).toBe('sqlite:./here.db');
    const flags = { database_url: 'sqlite:./there.db' };
    expect(load({ file, flags }).config.database_url.reveal()).toBe('sqlite:./there.db');
  });

  it('never prints a secret, whichever way the configuration is printed', () => {
    const loaded = load({ env: { KAMIGATE_MASTER_KEY: 'c2VjcmV0', KAMIGATE_DATABASE_URL: MYSQL_URL } });
    const printed = [JSON.stringify(loaded), JSON.stringify(printableConfig(loaded)), String(loaded.config.master_key)];
    for (const text of printed) {
      expect(text).not.toContain('c2VjcmV0');
      expect(text).not.toContain(PASSWORD);
    }
    const of = (name: string) => printableConfig(loaded).find((entry) => entry.name === name);
    expect(of('database_url')).toEqual({
      name: 'database_url',
      value: '[sealed]',
      origin: 'env KAMIGATE_DATABASE_URL',
    });
    expect(printableConfig(load()).find((entry) => entry.name === 'database_url')?.value).toMatch(/^sqlite:/);
  });

  it('accepts the example of every option that is not a sentence', () => {
    for (const [name, option] of Object.entries(OPTIONS)) {
      if (['config_file', 'master_key', 'master_key_file', 'data_dir'].includes(name)) continue;
      expect(() => load({ env: { [envName(name)]: option.example } })).not.toThrow();
    }
  });
});

describe('what is wrong with a configuration', () => {
  it('is reported all at once, grouped, each with where and how to mend it', () => {
    const file = write('kamigate.yaml', `port: eighty\nprot: 8081\ndatabase_url: ${MYSQL_URL}\n`);
    const env = { KAMIGATE_MASTER_KEY_FILE: join(folder, 'absent.key'), KAMIGATE_LOG_LEVL: 'debug' };
    const flags = { database_url: MYSQL_URL, verbsoe: true };
    let error: unknown;
    try {
      load({ file, env, flags });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    const { problems, message } = error as ConfigError;
    expect(problems.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'missing master_key_file',
      'invalid port',
      'unknown KAMIGATE_LOG_LEVL',
      'unknown prot',
      'unknown --verbsoe',
      'insecure database_url',
      'insecure database_url',
    ]);
    expect(message).toContain('7 problems');
    expect(message).toContain('Did you mean KAMIGATE_LOG_LEVEL?');
    expect(message).toContain('Did you mean port?');
    expect(message).toContain(`${file}:1`);
    expect(message).not.toContain(PASSWORD);
    for (const { fix } of problems) expect(fix).not.toBe('');
  });

  const WRONG: [string, Record<string, string>, string, RegExp][] = [
    ['a port that is no port', { KAMIGATE_PORT: '65536' }, 'port', /0 to 65535/],
    ['a port with a sign', { KAMIGATE_PORT: '+80' }, 'port', /whole number/],
    ['a number with a unit', { KAMIGATE_LEASE_MS: '10s' }, 'lease_ms', /whole number from 1000/],
    ['a lease longer than the promised 30 s', { KAMIGATE_LEASE_MS: '60000' }, 'lease_ms', /1000 to 25000/],
    [
      'a flag that is neither',
      { KAMIGATE_ALLOW_PRIVATE_WEBHOOKS: 'maybe' },
      'allow_private_webhooks',
      /true nor false/,
    ],
    ['a level that does not exist', { KAMIGATE_LOG_LEVEL: 'loud' }, 'log_level', /one of trace/],
    ['a ladder with a hole', { KAMIGATE_LOOKUP_LADDER_MS: '5000,,6000' }, 'lookup_ladder_ms', /list of 1 to 20/],
    ['a host with a scheme', { KAMIGATE_HOST: 'http://localhost' }, 'host', /host name or an IP/],
    ['a public URL that is none', { KAMIGATE_PUBLIC_URL: 'gateway.example.com' }, 'public_url', /http or https/],
    ['a public URL with a query', { KAMIGATE_PUBLIC_URL: 'https://a.example/?x=1' }, 'public_url', /query/],
    ['a database of another kind', { KAMIGATE_DATABASE_URL: 'postgres://h/d' }, 'database_url', /sqlite: nor mysql:/],
    [
      'a database URL without a database',
      { KAMIGATE_DATABASE_URL: 'mysql://root@h:3306/' },
      'database_url',
      /no database/,
    ],
    ['a database URL without a file', { KAMIGATE_DATABASE_URL: 'sqlite:' }, 'database_url', /no file/],
    ['the metrics on the public port', { KAMIGATE_PORT: '9464' }, 'metrics_port', /public port/],
  ];
  for (const [title, env, name, wrong] of WRONG) {
    it(`names ${title}`, () => {
      const found = problem({ env });
      expect(found).toMatchObject({ kind: 'invalid', name });
      expect(found.wrong).toMatch(wrong);
      expect(found.fix).toContain('KAMIGATE_');
    });
  }

  it('is a configuration file that was named and is not there', () => {
    expect(problem({ file: join(folder, 'absent.yaml') })).toMatchObject({ kind: 'missing', name: 'config_file' });
  });

  it('is a configuration file that is not YAML, or says a thing twice, with the line', () => {
    const broken = write('broken.yaml', 'port: [1\n');
    expect(problemsOf({ file: broken })[0]).toMatchObject({ kind: 'invalid', name: 'config_file' });
    const twice = write('twice.yaml', 'port: 1\nhost: a\nport: 2\n');
    expect(problem({ file: twice })).toMatchObject({ kind: 'invalid', origin: `${twice}:3` });
    const list = write('list.yaml', '- port\n');
    expect(problem({ file: list }).wrong).toContain('name: value');
  });

  it('is a master key given twice', () => {
    const env = { KAMIGATE_MASTER_KEY: 'abc', KAMIGATE_MASTER_KEY_FILE: write('key', 'x') };
    expect(problem({ env })).toMatchObject({ kind: 'invalid', name: 'master_key' });
  });

  it('is a master key that others can read', () => {
    for (const mode of [0o644, 0o640, 0o604]) {
      const env = { KAMIGATE_MASTER_KEY_FILE: write('key', 'x', mode) };
      expect(problem({ env })).toMatchObject({ kind: 'insecure', name: 'master_key_file' });
    }
    expect(load({ env: { KAMIGATE_MASTER_KEY_FILE: write('key', 'x', 0o400) } }).config.master_key_file).toContain(
      'key',
    );
  });

  it('is a secret both as a variable and as a file, or in a file that is not there', () => {
    const both = { KAMIGATE_DATABASE_URL: MYSQL_URL, KAMIGATE_DATABASE_URL_FILE: write('url', MYSQL_URL) };
    expect(problem({ env: both })).toMatchObject({ kind: 'invalid', name: 'database_url' });
    const absent = { KAMIGATE_DATABASE_URL_FILE: join(folder, 'absent') };
    expect(problem({ env: absent })).toMatchObject({ kind: 'missing', name: 'database_url' });
  });
});

describe('readNamedSecret', () => {
  it('reads a variable or a file beside the catalog file, and says which is absent without more', () => {
    write('secret', 'abc\n');
    expect(readNamedSecret({ env: 'A' }, folder, { A: 'x' })).toBe('x');
    expect(readNamedSecret({ file: './secret' }, folder, {})).toBe('abc');
    expect(() => readNamedSecret({ env: 'B' }, folder, { A: 'x' })).toThrow('variable B is not set');
    expect(() => readNamedSecret({ file: 'absent' }, folder, {})).toThrow('cannot be read (ENOENT)');
  });
});
