// Storefronts, accounts, SKUs and sources; orders and attempts with everything that happens to them. Frozen once merged.
import type { Knex } from 'knex';

const ID = 40;
const CODE = 64;

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

const ORDER_STATES = ['received', 'sourcing', 'held', 'delivered', 'partial', 'failed', 'cancelled'];
const ATTEMPT_STATES = ['planned', 'sent', 'accepted', 'unknown', 'delivered', 'refused'];

export async function up(knex: Knex): Promise<void> {
  await create(knex, 'storefronts', (table) => {
    table.string('storefront', CODE).primary();
    table.string('name', 200).notNullable();
    table.string('currency', 3).notNullable();
    table.string('webhook_url', 1000);
    table.text('webhook_secret_sealed', 'mediumtext');
    table.integer('is_enabled').notNullable().defaultTo(1);
    table.bigInteger('created_at').notNullable();
    table.bigInteger('updated_at').notNullable();
  });

  await create(knex, 'api_keys', (table) => {
    table.string('api_key_id', ID).primary();
    table.string('storefront', CODE).notNullable().references('storefronts.storefront');
    table.string('key_hash', 64).notNullable().unique();
    table.string('hint', 8).notNullable();
    table.string('scopes', 500).notNullable();
    table.bigInteger('created_at').notNullable();
    table.bigInteger('disabled_at');
  });

  await create(knex, 'accounts', (table) => {
    table.string('account', CODE).primary();
    table.string('adapter', CODE).notNullable();
    table.string('base_url', 500).notNullable();
    table.text('credentials_sealed', 'mediumtext').notNullable();
    table.text('options').notNullable();
    table.text('limits').notNullable();
    table.string('currency', 3).notNullable();
    table.bigInteger('exposure_limit_e4').notNullable().defaultTo(0);
    table.integer('is_enabled').notNullable().defaultTo(1);
    table.bigInteger('paused_at');
    table.string('paused_reason', 200);
    table.text('breaker');
    table.bigInteger('created_at').notNullable();
    table.bigInteger('updated_at').notNullable();
  });

  await create(knex, 'skus', (table) => {
    table.string('sku', CODE).primary();
    table.string('name', 200).notNullable();
    table.string('kind', 16).notNullable().checkIn(['recharge', 'code']);
    table.bigInteger('price_e4').notNullable();
    table.string('currency', 3).notNullable();
    table.text('recipient_rules').notNullable();
    table.integer('quantity_max').notNullable();
    table.integer('attempts_max').notNullable();
    table.bigInteger('deadline_ms').notNullable();
    table.integer('can_detach').notNullable();
    table.string('vault_rank', 8).notNullable().checkIn(['first', 'last', 'never']);
    table.integer('is_enabled').notNullable().defaultTo(1);
    table.integer('version').notNullable().defaultTo(1);
    table.bigInteger('created_at').notNullable();
    table.bigInteger('updated_at').notNullable();
    table.index(['updated_at', 'sku'], 'skus_updated');
  });

  await create(knex, 'sources', (table) => {
    table.string('source', ID).primary();
    table.string('sku', CODE).notNullable().references('skus.sku');
    table.string('account', CODE).notNullable().references('accounts.account');
    table.string('product', 128).notNullable();
    table.integer('priority').notNullable().defaultTo(100);
    table.integer('is_enabled').notNullable().defaultTo(1);
    table.string('disabled_reason', 200);
    // The offer: what the supplier last said, and when. Null cost: never seen, so never routed to.
    table.bigInteger('cost_e4');
    table.string('currency', 3);
    table.bigInteger('stock');
    table.bigInteger('seen_at');
    table.bigInteger('created_at').notNullable();
    table.bigInteger('updated_at').notNullable();
    table.unique(['sku', 'account', 'product'], { indexName: 'sources_once' });
    table.index(['account', 'product'], 'sources_account');
  });

  await create(knex, 'orders', (table) => {
    table.string('order_id', ID).primary();
    table.string('storefront', CODE).notNullable();
    table.string('external_id', CODE).notNullable();
    /** The canonical request: a repeat has the same text, anything else under this external id is refused. */
    table.text('request', 'mediumtext').notNullable();
    table.string('sku', CODE).notNullable();
    table.string('kind', 16).notNullable();
    table.integer('quantity').notNullable();
    table.integer('delivered_quantity').notNullable().defaultTo(0);
    table.string('state', 16).notNullable().checkIn(ORDER_STATES);
    table.string('reason', 64);
    table.string('held_reason', 64);
    table.bigInteger('unit_price_e4').notNullable();
    table.string('currency', 3).notNullable();
    /** When somebody must take the next step if nobody has by then; null once the order rests. */
    table.bigInteger('due_at');
    /** Counts the owners: a worker whose number is old may no longer plan. */
    table.integer('fence').notNullable().defaultTo(0);
    table.bigInteger('deadline_at').notNullable();
    table.bigInteger('deliver_before');
    table.integer('attempts_count').notNullable().defaultTo(0);
    table.integer('version').notNullable().defaultTo(1);
    table.bigInteger('created_at').notNullable();
    table.bigInteger('updated_at').notNullable();
    table.bigInteger('completed_at');
    table.unique(['storefront', 'external_id'], { indexName: 'orders_external' });
    table.index(['due_at'], 'orders_due');
    table.index(['state', 'created_at'], 'orders_state');
    table.check('?? >= 1 and ?? >= 0 and ?? <= ??', [
      'quantity',
      'delivered_quantity',
      'delivered_quantity',
      'quantity',
    ]);
    // A short delivery can never be called delivered.
    table.check("?? <> 'delivered' or ?? = ??", ['state', 'delivered_quantity', 'quantity']);
  });

  await create(knex, 'attempts', (table) => {
    table.string('attempt_id', ID).primary();
    table.string('order_id', ID).notNullable().references('orders.order_id');
    table.integer('number').notNullable();
    /** The order's id while this attempt is open, null after: the index allows one open attempt an order. */
    table.string('open_order_id', ID).unique();
    table.string('source', ID).notNullable();
    table.string('account', CODE).notNullable();
    table.string('product', 128).notNullable();
    table.integer('quantity').notNullable();
    table.string('state', 16).notNullable().checkIn(ATTEMPT_STATES);
    table.string('reason', 64);
    table.string('doubt', 64);
    table.string('message', 500);
    table.string('reference', 64).notNullable();
    table.string('supplier_reference', 128);
    table.bigInteger('cost_ceiling_e4');
    table.bigInteger('cost_e4');
    table.string('currency', 3);
    table.bigInteger('planned_at').notNullable();
    table.bigInteger('sent_at');
    table.bigInteger('doubted_at');
    table.bigInteger('settled_at');
    table.string('settled_by', 64);
    table.bigInteger('detached_at');
    table.bigInteger('next_lookup_at');
    table.integer('lookups').notNullable().defaultTo(0);
    table.unique(['order_id', 'number'], { indexName: 'attempts_number' });
    table.unique(['account', 'reference'], { indexName: 'attempts_reference' });
    table.index(['next_lookup_at'], 'attempts_lookup');
    table.index(['account', 'state', 'detached_at'], 'attempts_account');
    table.index(['account', 'supplier_reference'], 'attempts_supplier_reference');
  });

  await create(knex, 'transcripts', (table) => {
    table.string('transcript_id', ID).primary();
    table.string('attempt_id', ID).notNullable();
    table.string('verb', 16).notNullable();
    table.bigInteger('at').notNullable();
    table.integer('duration_ms').notNullable();
    table.string('outcome', 32).notNullable();
    /** Scrubbed of credentials and codes, then sealed all the same: an unread reply may hold a code. */
    table.text('exchanges_sealed', 'mediumtext').notNullable();
    table.index(['attempt_id', 'transcript_id'], 'transcripts_attempt');
  });

  await create(knex, 'order_events', (table) => {
    table.string('event_id', ID).primary();
    table.string('order_id', ID).notNullable();
    table.bigInteger('at').notNullable();
    table.string('type', 48).notNullable();
    table.text('data').notNullable();
    table.index(['order_id', 'event_id'], 'order_events_order');
  });

  await create(knex, 'notices', (table) => {
    table.string('notice_id', ID).primary();
    table.string('storefront', CODE).notNullable();
    table.string('order_id', ID).notNullable();
    table.string('type', 48).notNullable();
    table.string('url', 1000).notNullable();
    table.text('payload').notNullable();
    table.bigInteger('created_at').notNullable();
    /** Null once it is delivered or given up. */
    table.bigInteger('due_at');
    table.integer('tries').notNullable().defaultTo(0);
    table.bigInteger('delivered_at');
    table.bigInteger('given_up_at');
    table.string('last_result', 200);
    table.index(['due_at'], 'notices_due');
    table.index(['order_id'], 'notices_order');
  });

  await create(knex, 'callbacks', (table) => {
    table.string('callback_id', ID).primary();
    table.string('account', CODE).notNullable();
    /** SHA-256 of the message: a repeat finds its row. */
    table.string('content_hash', 64).notNullable();
    table.text('message_sealed', 'mediumtext').notNullable();
    table.bigInteger('received_at').notNullable();
    table.integer('repeats').notNullable().defaultTo(0);
    table.string('attempt_id', ID);
    table.string('trust', 16);
    table.string('result', 48).notNullable();
    table.bigInteger('processed_at');
    table.unique(['account', 'content_hash'], { indexName: 'callbacks_once' });
    table.index(['attempt_id'], 'callbacks_attempt');
  });

  await create(knex, 'jobs', (table) => {
    table.string('job', CODE).primary();
    table.string('owner', CODE).notNullable();
    table.bigInteger('until').notNullable();
    table.bigInteger('ran_at');
    table.string('last_result', 200);
  });
}
