// The numbered migrations, in order. Named here rather than read from a folder, so that a name never depends on
// whether the program runs compiled.
import type { Knex } from 'knex';
import * as spine from './0001_spine.js';
import * as vault from './0002_vault.js';
import * as vaultControl from './0003_vault_control.js';
import * as catalog from './0010_catalog.js';
import * as routing from './0020_routing.js';
import * as bundles from './0030_bundles.js';
import * as watching from './0031_watching.js';

const MIGRATIONS: { name: string; up: (knex: Knex) => Promise<void> }[] = [
  { name: '0001_spine', up: spine.up },
  { name: '0002_vault', up: vault.up },
  { name: '0003_vault_control', up: vaultControl.up },
  { name: '0010_catalog', up: catalog.up },
  { name: '0020_routing', up: routing.up },
  { name: '0030_bundles', up: bundles.up },
  { name: '0031_watching', up: watching.up },
];

/** Brings the schema to the newest version and returns the names it applied. Safe to call from several processes. */
export async function migrate(knex: Knex): Promise<string[]> {
  const [, applied] = (await knex.migrate.latest(config())) as [number, string[]];
  return applied;
}

/** The names not applied yet. */
export async function pendingMigrations(knex: Knex): Promise<string[]> {
  const [, pending] = (await knex.migrate.list(config())) as [unknown, { name: string }[]];
  return pending.map((migration) => migration.name);
}

function config(): Knex.MigratorConfig {
  return {
    migrationSource: {
      getMigrations: async () => MIGRATIONS,
      getMigrationName: (migration: { name: string }) => migration.name,
      getMigration: async (migration: { up: (knex: Knex) => Promise<void> }) => ({
        up: migration.up,
        down: async () => undefined,
      }),
    },
    // MySQL commits each schema statement by itself; a transaction around them would only pretend.
    disableTransactions: true,
  };
}
