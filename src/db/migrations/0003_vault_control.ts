// The vault's control tables: freezes, policies, replacements, disputes, approvals, seat pools. Frozen once merged.
import type { Knex } from 'knex';

const ID = 40;
const CODE = 64;
const PERSON = 128;

function create(knex: Knex, name: string, columns: (table: Knex.CreateTableBuilder) => void): Promise<void> {
  return knex.schema.createTable(name, (table) => {
    if (knex.client.config.client === 'mysql2') {
      table.engine('InnoDB');
      table.charset('utf8mb4');
      // Binary: ids, codes and external ids differ by case and by accent, as they do on SQLite.
      table.collate('utf8mb4_bin');
    }
    columns(table);
  });
}

export async function up(knex: Knex): Promise<void> {
  // One-time codes and shared seats are different kinds of stock: the first deposit decides, and for ever.
  await create(knex, 'stock_kinds', (table) => {
    table.string('sku', CODE).primary();
    table.string('kind', 8).notNullable().checkIn(['code', 'seat']);
    table.bigInteger('created_at').notNullable();
  });

  await create(knex, 'freezes', (table) => {
    table.string('freeze_id', ID).primary();
    table.string('scope', 8).notNullable().checkIn(['all', 'sku', 'batch', 'account']);
    table.string('subject', CODE).notNullable();
    table.string('reason', 500).notNullable();
    table.string('frozen_by', PERSON).notNullable();
    table.bigInteger('frozen_at').notNullable();
    table.string('lifted_by', PERSON);
    table.bigInteger('lifted_at');
    table.index(['lifted_at', 'scope'], 'freezes_live');
  });

  await create(knex, 'vault_policies', (table) => {
    table.string('sku', CODE).primary();
    /** The most of one order, in percent, that may come from one batch. */
    table.integer('order_share_pct');
    /** The most codes one batch may give in one hour. */
    table.integer('hour_batch_max');
    /** So many disputes in one batch quarantine the rest of it. */
    table.integer('disputes_max');
    /** What a code of this SKU looks like, as a regular expression over the whole number. */
    table.string('number_rule', 500);
    table.string('updated_by', PERSON).notNullable();
    table.bigInteger('updated_at').notNullable();
    table.check('?? is null or (?? >= 1 and ?? <= 100)', ['order_share_pct', 'order_share_pct', 'order_share_pct']);
    table.check('?? is null or ?? >= 1', ['hour_batch_max', 'hour_batch_max']);
    table.check('?? is null or ?? >= 1', ['disputes_max', 'disputes_max']);
  });

  await create(knex, 'batch_takes', (table) => {
    table.string('batch_id', ID).notNullable();
    /** Hours since the epoch. */
    table.integer('hour').notNullable();
    table.integer('count').notNullable();
    table.primary(['batch_id', 'hour']);
  });

  // A replacement is a new issue that points at the old one. The old code stays issued.
  await create(knex, 'replacements', (table) => {
    table.string('new_code_id', ID).primary();
    table.string('old_code_id', ID).notNullable().unique({ indexName: 'replacements_old' });
    table.string('order_id', ID).notNullable();
    table.integer('unit_no').notNullable();
    table.string('reason', 500).notNullable();
    table.string('replaced_by', PERSON).notNullable();
    table.bigInteger('at').notNullable();
    table.bigInteger('cost_e4');
    table.string('currency', 3);
    table.index(['order_id', 'unit_no'], 'replacements_order');
  });

  await create(knex, 'disputes', (table) => {
    table.string('code_id', ID).primary();
    table.string('batch_id', ID).notNullable();
    table.string('sku', CODE).notNullable();
    table.string('account', CODE);
    table.string('order_id', ID).notNullable();
    table.string('reason', 500).notNullable();
    table.string('raised_by', PERSON).notNullable();
    table.bigInteger('at').notNullable();
    table.index(['batch_id', 'at'], 'disputes_batch');
  });

  await create(knex, 'claims', (table) => {
    table.string('claim_id', ID).primary();
    table.string('batch_id', ID).notNullable().unique({ indexName: 'claims_batch' });
    table.string('account', CODE);
    table.integer('codes_count').notNullable();
    /** The disputed codes for the supplier, as CSV. Opened only with a second person's approval. */
    table.text('content_sealed', 'mediumtext').notNullable();
    table.bigInteger('prepared_at').notNullable();
  });

  await create(knex, 'approvals', (table) => {
    table.string('approval_id', ID).primary();
    table.string('act', 32).notNullable();
    table.string('subject', CODE).notNullable();
    table.string('reason', 500).notNullable();
    table.string('asked_by', PERSON).notNullable();
    table.bigInteger('asked_at').notNullable();
    table.string('approved_by', PERSON);
    table.bigInteger('approved_at');
    table.bigInteger('expires_at').notNullable();
    table.bigInteger('used_at');
    table.index(['used_at', 'asked_at'], 'approvals_open');
    // Nobody approves for himself, whatever the program says.
    table.check('?? is null or ?? <> ??', ['approved_by', 'approved_by', 'asked_by']);
  });

  await create(knex, 'seat_pools', (table) => {
    table.string('pool_id', ID).primary();
    table.string('sku', CODE).notNullable().references('stock_kinds.sku');
    table.string('name', 200).notNullable();
    table.integer('seats_count').notNullable();
    /** Counts the passwords the account has had. */
    table.integer('content_version').notNullable();
    table.text('content_sealed', 'mediumtext').notNullable();
    table.string('state', 16).notNullable().checkIn(['open', 'closed']);
    table.bigInteger('expires_at').notNullable();
    table.string('created_by', PERSON).notNullable();
    table.bigInteger('created_at').notNullable();
    table.index(['sku', 'state', 'expires_at'], 'seat_pools_sku');
    table.check('?? >= 1', ['seats_count']);
  });

  await create(knex, 'seats', (table) => {
    table.string('pool_id', ID).notNullable().references('seat_pools.pool_id');
    table.integer('seat_no').notNullable();
    table.string('order_id', ID);
    table.integer('unit_no');
    table.bigInteger('taken_at');
    table.bigInteger('ends_at');
    /** The password version its holder was last shown. */
    table.integer('shown_version');
    table.primary(['pool_id', 'seat_no']);
    table.unique(['order_id', 'unit_no'], { indexName: 'seats_order' });
    table.check('(?? is null) = (?? is null)', ['order_id', 'unit_no']);
  });
}
