// SKUs made of other SKUs, and the hidden orders of their parts. And what an attempt was expected to cost, for suppliers
// that never name a cost. Frozen once merged.
import type { Knex } from 'knex';

const ID = 40;

export async function up(knex: Knex): Promise<void> {
  await widenKind(knex);
  // JSON: `BundlePart[]`; null where it is no bundle.
  await addColumn(knex, 'skus', 'parts', 'text');
  await addColumn(knex, 'skus', 'failed_part', "varchar(8) check (failed_part in ('finish','stop'))");
  // The bundle's order that this one is a part of; null for what a storefront ordered.
  await addColumn(knex, 'orders', 'parent_order_id', `varchar(${ID})`);
  await addColumn(knex, 'attempts', 'expected_cost_e4', 'bigint');
  if (!(await hasIndex(knex))) {
    await knex.raw('create index orders_parent on orders (parent_order_id)');
  }
}

/**
 * The check on `skus.kind` allows one kind more. No two databases change a column's check in the same words, and MySQL
 * will not rename a column that has one; so the values wait in a column without a check. Begun anew from any step at
 * which it was broken off.
 */
async function widenKind(knex: Knex): Promise<void> {
  await addColumn(knex, 'skus', 'kind_kept', 'varchar(16)');
  if (await knex.schema.hasColumn('skus', 'kind')) {
    await knex.raw('update skus set kind_kept = kind where kind_kept is null');
    await knex.raw('alter table skus drop column kind');
  }
  // Without a default: a process that still serves would believe it until the next statement, and buy the wrong thing.
  await knex.raw("alter table skus add column kind varchar(16) check (kind in ('recharge','code','bundle'))");
  await knex.raw('update skus set kind = kind_kept');
  await knex.raw('alter table skus drop column kind_kept');
}

async function addColumn(knex: Knex, table: string, column: string, type: string): Promise<void> {
  if (!(await knex.schema.hasColumn(table, column))) {
    await knex.raw(`alter table ${table} add column ${column} ${type}`);
  }
}

async function hasIndex(knex: Knex): Promise<boolean> {
  const text =
    knex.client.config.client === 'mysql2'
      ? "select index_name from information_schema.statistics where table_schema = database() and index_name = 'orders_parent'"
      : "select name from sqlite_master where type = 'index' and name = 'orders_parent'";
  const result = (await knex.raw(text)) as unknown[] | [unknown[]];
  return (Array.isArray(result[0]) ? result[0] : result).length > 0;
}
