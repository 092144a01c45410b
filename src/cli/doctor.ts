// `kamigate doctor`: goes through everything a gateway stands on, tells each as ok, warn or fail, and the fix.
import { statfsSync } from 'node:fs';
import { get } from 'node:http';
import type { Command } from 'commander';
import type { Config } from '../../config/load.js';
import { ConfigError } from '../../config/problems.js';
import type { Database } from '../db/connect.js';
import { pendingMigrations } from '../db/migrations/index.js';
import { createLogger } from '../log.js';
import { openDatabase, openGateway, openKeyring } from '../open.js';
import { readHeld } from '../orders/operator.js';
import { listAccounts, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import { type Context, columns } from './context.js';
import { EXIT, failureOf } from './failure.js';

interface Finding {
  check: string;
  result: 'ok' | 'warn' | 'fail';
  said: string;
  fix: string;
}

const DISK_FREE_BYTES_MIN = 1_000_000_000;
const READY_TIMEOUT_MS = 2_000;
const HELD_MAX = 1_000;

export function addDoctor(program: Command, context: Context): void {
  program
    .command('doctor')
    .description('check settings, master key, database, schema, disk, catalog, suppliers and the running server')
    .action(() => examine(context));
}

async function examine(context: Context): Promise<void> {
  const findings: Finding[] = [ok('runtime', `Node ${process.versions.node} on ${process.platform}`)];
  const config = await readSettings(context, findings);
  if (config) {
    const has_key = await found(
      findings,
      'master key',
      () => openKeyring(config),
      () => 'can be read, by its owner only',
    );
    const database = await found(
      findings,
      'database',
      () => openDatabase(config, 'any'),
      (opened) => `${opened.dialect} answers`,
    );
    if (database) {
      try {
        await examineDatabase(findings, config, database, has_key !== null);
      } finally {
        await database.close();
      }
    }
    examineDisk(findings, config);
    findings.push(await examineServer(config));
  }
  context.show({ ok: findings.every(({ result }) => result !== 'fail'), findings }, () => findingsText(findings));
  if (findings.some(({ result }) => result === 'fail')) context.setExit(EXIT.found_problems);
}

async function readSettings(context: Context, findings: Finding[]): Promise<Config | null> {
  try {
    const { config, warnings } = context.load();
    findings.push(ok('settings', 'are valid'));
    for (const warning of warnings)
      findings.push(warn('settings', warning, 'Move it into a file that only this process can read.'));
    return config;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { name, wrong, origin, fix } of error.problems)
      findings.push(fail('settings', `${name}: ${wrong} [${origin}]`, fix));
    return null;
  }
}

/** Runs one check; what it throws is a finding. */
async function found<T>(
  findings: Finding[],
  check: string,
  look: () => T | Promise<T>,
  say: (value: T) => string,
): Promise<T | null> {
  try {
    const value = await look();
    findings.push(ok(check, say(value)));
    return value;
  } catch (error) {
    const { message, fix } = failureOf(error);
    findings.push(fail(check, message, fix ?? ''));
    return null;
  }
}

async function examineDatabase(
  findings: Finding[],
  config: Config,
  database: Database,
  has_key: boolean,
): Promise<void> {
  const pending = await pendingMigrations(database.write);
  if (pending.length > 0) {
    findings.push(fail('migrations', `${pending.length} pending: ${pending.join(', ')}`, 'Run `kamigate migrate up`.'));
    return;
  }
  findings.push(ok('migrations', 'are current'));
  if (has_key) await examineVault(findings, config, database);
  await examineCatalog(findings, database);
  const held = await readHeld(database.read, HELD_MAX);
  findings.push(
    held.length === 0
      ? ok('held orders', 'none')
      : warn(
          'held orders',
          `${held.length === HELD_MAX ? 'at least ' : ''}${held.length} wait for a person`,
          'Run `kamigate held`.',
        ),
  );
}

async function examineVault(findings: Finding[], config: Config, database: Database): Promise<void> {
  const log = createLogger({ level: 'silent' });
  const gateway = openGateway({ config, database, keyring: openKeyring(config), log, public_url: config.public_url });
  try {
    await found(
      findings,
      'vault',
      () => gateway.vault.isSealed(database.read),
      (is_sealed) => (is_sealed ? 'is sealed by a person' : 'the key is this database’s'),
    );
  } finally {
    await gateway.stop(0);
  }
}

async function examineCatalog(findings: Finding[], database: Database): Promise<void> {
  const count = async (table: string): Promise<number> => {
    const row = (await database.read(table).where({ is_enabled: 1 }).count({ n: '*' }).first()) as {
      n: number | string;
    };
    return Number(row.n);
  };
  const [skus, storefronts] = [await count('skus'), await count('storefronts')];
  findings.push(
    skus > 0 && storefronts > 0
      ? ok('catalog', `${skus} SKUs, ${storefronts} storefronts`)
      : warn(
          'catalog',
          `${skus} SKUs, ${storefronts} storefronts: nothing can be ordered`,
          'Run `kamigate apply <catalog file>`.',
        ),
  );
  for (const { account, adapter, is_enabled, paused_at, paused_reason } of await listAccounts(database.read)) {
    if (adapter === VAULT_ACCOUNT || !is_enabled) continue;
    findings.push(
      paused_at === null
        ? ok(`supplier ${account}`, 'is open')
        : warn(
            `supplier ${account}`,
            `is paused: ${paused_reason}`,
            `Run \`kamigate suppliers resume ${account}\` once that is settled.`,
          ),
    );
  }
}

function examineDisk(findings: Finding[], config: Config): void {
  try {
    const { bavail, bsize } = statfsSync(config.data_dir);
    const free = bavail * bsize;
    const said = `${(free / 1e9).toFixed(1)} GB free for ${config.data_dir}`;
    findings.push(
      free >= DISK_FREE_BYTES_MIN ? ok('disk', said) : warn('disk', said, 'Make room: a full disk stops every order.'),
    );
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code);
    findings.push(warn('disk', `${config.data_dir} cannot be looked at (${code})`, 'Run `kamigate init` to make it.'));
  }
}

/** Whether a server answers where the settings say it listens. */
function examineServer(config: Config): Promise<Finding> {
  const host = config.host === '0.0.0.0' || config.host === '::' ? '127.0.0.1' : config.host;
  const where = `${host}:${config.port}`;
  return new Promise((resolve) => {
    const request = get({ host, port: config.port, path: '/readyz', timeout: READY_TIMEOUT_MS }, (response) => {
      response.resume();
      const is_ready = response.statusCode === 200;
      resolve(
        is_ready
          ? ok('server', `is ready on ${where}`)
          : warn(
              'server',
              `answers ${response.statusCode} on ${where}`,
              `Read http://${where}/readyz for what is wrong.`,
            ),
      );
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(warn('server', `none answers on ${where}`, 'Run `kamigate serve`.')));
  });
}

function ok(check: string, said: string): Finding {
  return { check, result: 'ok', said, fix: '' };
}
function warn(check: string, said: string, fix: string): Finding {
  return { check, result: 'warn', said, fix };
}
function fail(check: string, said: string, fix: string): Finding {
  return { check, result: 'fail', said, fix };
}

function findingsText(findings: readonly Finding[]): string {
  return columns(
    ['', 'check', 'found', 'fix'],
    findings.map(({ check, result, said, fix }) => [result, check, said, fix]),
  );
}
