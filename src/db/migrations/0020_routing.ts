// How sources are chosen: strategies, weights, whom a source serves, maintenance, and what is known of a supplier's
// health. And who has taken what only a person can fulfil. Frozen once merged.
import type { Knex } from 'knex';

const ID = 40;
const CODE = 64;
const PERSON = 128;

function create(knex: Knex, name: string, columns: (table: Knex.CreateTableBuilder) => void): Promise<void> {
  return knex.schema.createTable(name, (table) => {
    if (knex.client.config.client === 'mysql2') {
      table.engine('InnoDB');
      table.charset('utf8mb4');
      table.collate('utf8mb4_bin');
    }
    columns(table);
  });
}

export async function up(knex: Knex): Promise<void> {
  // Plain statements: adding a column with a check is beyond knex on SQLite, and the same text on all three.
  const columns: [string, string][] = [
    [
      'skus',
      "strategy varchar(16) not null default 'priority' check (strategy in ('priority','cheapest','weighted','balanced'))",
    ],
    // Least margin on the price, in hundredths of a percent.
    ['skus', 'margin_min_bp integer'],
    // What a second of waiting is worth, by which `balanced` weighs a slow source against a dear one.
    ['skus', 'second_cost_e4 bigint not null default 0'],
    ['sources', 'weight integer not null default 1 check (weight between 1 and 1000)'],
    // JSON: the recipients this source can serve; null for all.
    ['sources', 'recipients text'],
    // JSON: when the supplier is closed; null for never.
    ['accounts', 'maintenance text'],
    // JSON lists of accounts: what this storefront may be served from.
    ['storefronts', 'accounts_only text'],
    ['storefronts', 'accounts_except text'],
  ];
  for (const [table, column] of columns) await knex.raw(`alter table ${table} add column ${column}`);

  // One row for each account and kind: decayed counts of what its purchases came to, as of `as_of`.
  await create(knex, 'health', (table) => {
    table.string('account', CODE).notNullable();
    table.string('kind', 16).notNullable();
    table.bigInteger('as_of').notNullable();
    /** Over half an hour, for ranking. */
    table.double('good').notNullable().defaultTo(0);
    table.double('faults').notNullable().defaultTo(0);
    /** Sum of the good ones' milliseconds, decayed as they are. */
    table.double('good_ms').notNullable().defaultTo(0);
    /** Over seconds, for leaving a supplier that fails now. */
    table.double('recent_good').notNullable().defaultTo(0);
    table.double('recent_faults').notNullable().defaultTo(0);
    table.integer('faults_in_row').notNullable().defaultTo(0);
    table.string('state', 16).notNullable().defaultTo('well').checkIn(['well', 'ailing', 'probing']);
    table.bigInteger('since').notNullable();
    /** When the next probe may be made; whoever makes it moves this on first. */
    table.bigInteger('probe_at');
    table.integer('probes_good').notNullable().defaultTo(0);
    table.bigInteger('pause_ms').notNullable().defaultTo(0);
    table.primary(['account', 'kind']);
  });

  // Whose turn it is among the sources of a SKU that are chosen by weight, and how long nothing was tried out.
  await create(knex, 'turns', (table) => {
    table.string('sku', CODE).primary();
    /** JSON: source → what it is owed. */
    table.text('credits').notNullable();
    table.integer('since_explored').notNullable().defaultTo(0);
    table.integer('version').notNullable().defaultTo(0);
  });

  // Who has taken a queued attempt in hand: two people must never fulfil the same one.
  await create(knex, 'manual_tasks', (table) => {
    table.string('attempt_id', ID).primary();
    table.string('taken_by', PERSON).notNullable();
    table.bigInteger('taken_at').notNullable();
  });
}
