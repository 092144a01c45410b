// Which sources' products a supplier was asked to tell us of. Frozen once merged.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table sources add column watched_at bigint');
}
