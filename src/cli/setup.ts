// Before the first start and after an update: make the master key, bring the schema up to date, look at the settings.
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { generateKeyFile } from '../../vault/sources.js';
import { migrate, pendingMigrations } from '../db/migrations/index.js';
import { version } from '../version.js';
import { type Context, columns, configOf, withDatabase } from './context.js';

export function addSetup(program: Command, context: Context): void {
  program
    .command('init')
    .description('make the data folder and a master key; never overwrites a key')
    .action(() => initialise(context));

  const migrations = program.command('migrate').description('the database schema');
  migrations
    .command('up')
    .description('apply what is pending')
    .action(() => migrateUp(context));
  migrations
    .command('status', { isDefault: true })
    .description('tell what is pending')
    .action(() => migrationStatus(context));

  const config = program.command('config').description('the settings, and where each comes from');
  config
    .command('print', { isDefault: true })
    .description('every setting with its value and origin; never a secret')
    .action(() => printConfig(context));
  config
    .command('check')
    .description('report everything that is wrong with the settings')
    .action(() => {
      configOf(context);
      context.show({ ok: true }, () => 'ok: the settings are valid');
    });

  program
    .command('version')
    .description('the version of this program')
    .action(() => context.show({ name: 'kamigate', version: version() }, () => `kamigate ${version()}`));
}

function initialise(context: Context): void {
  const { config } = configOf(context, { makes_key: true });
  mkdirSync(config.data_dir, { recursive: true, mode: 0o700 });
  const path = config.master_key_file;
  const uses_file = config.master_key === null && config.master_key_p12_files === null;
  const is_new = uses_file && !existsSync(path);
  if (is_new) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    generateKeyFile(path);
  }
  const master_key_file = uses_file ? path : null;
  const elsewhere = config.master_key === null ? 'KAMIGATE_MASTER_KEY_P12_FILES' : 'KAMIGATE_MASTER_KEY';
  context.show({ data_dir: config.data_dir, master_key_file, made_key: is_new }, () =>
    [
      `data folder  ${resolve(config.data_dir)}`,
      master_key_file === null
        ? `master key   from ${elsewhere}`
        : `master key   ${resolve(path)} (${is_new ? 'new, readable by its owner only' : 'was there already'})`,
    ].join('\n'),
  );
  if (is_new) context.tell('Back up the master key apart from the database: without it no code can be opened again.');
  context.tell('next: kamigate apply <catalog file>, then kamigate serve');
}

async function migrateUp(context: Context): Promise<void> {
  await withDatabase(context, 'any', async (database) => {
    const applied = await migrate(database.write);
    context.show({ applied }, () =>
      applied.length > 0 ? applied.map((name) => `applied ${name}`).join('\n') : 'up to date',
    );
  });
  context.tell('next: kamigate serve');
}

async function migrationStatus(context: Context): Promise<void> {
  await withDatabase(context, 'any', async (database) => {
    const pending = await pendingMigrations(database.write);
    context.show({ pending }, () =>
      pending.length > 0 ? pending.map((name) => `pending ${name}`).join('\n') : 'up to date',
    );
    if (pending.length > 0) context.tell('next: kamigate migrate up');
  });
}

function printConfig(context: Context): void {
  const settings = context.printable(configOf(context));
  context.show(settings, () =>
    columns(
      ['setting', 'value', 'from'],
      settings.map(({ name, value, origin }) => [name, value, origin]),
    ),
  );
}
