// What suppliers list and at what cost: offers, sweeps, cost changes and their limits, rates, floats. Frozen once merged.
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

const CHANGE_STATES = ['applied', 'pending', 'approved', 'rejected', 'expired', 'superseded'];

export async function up(knex: Knex): Promise<void> {
  await addColumns(knex);

  // What a supplier lists, as it said it last. A source may be routed at another cost: see `sources.cost_state`.
  await create(knex, 'offers', (table) => {
    table.string('account', CODE).notNullable().references('accounts.account');
    table.string('product', 128).notNullable();
    table.string('name', 200).notNullable();
    table.string('kind', 16).checkIn(['recharge', 'code']);
    table.bigInteger('cost_e4');
    table.string('currency', 3);
    table.bigInteger('stock');
    table.integer('is_available').notNullable();
    table.bigInteger('face_value_e4');
    table.string('face_currency', 3);
    table.string('brand', 100);
    table.string('region', CODE);
    table.string('status', 16).notNullable().checkIn(['listed', 'absent']);
    table.bigInteger('seen_at').notNullable();
    table.bigInteger('changed_at').notNullable();
    table.bigInteger('created_at').notNullable();
    /** A person said that this product is not to be suggested for any SKU. */
    table.string('dismissed_by', PERSON);
    table.bigInteger('dismissed_at');
    table.primary(['account', 'product']);
    table.index(['account', 'changed_at'], 'offers_changed');
  });

  // One row an account: where its sweep stands, who is at it, and when it is due.
  await create(knex, 'sweeps', (table) => {
    table.string('account', CODE).primary().references('accounts.account');
    table.string('owner', ID);
    table.bigInteger('until');
    /** Where the sweep under way reads on; both null while none is. */
    table.string('cursor', 1000);
    table.bigInteger('run_started_at');
    table.integer('pages_done').notNullable().defaultTo(0);
    table.integer('failures').notNullable().defaultTo(0);
    /** When the last whole list was begun: everything it held was so at that time. */
    table.bigInteger('swept_at');
    table.bigInteger('swept_ms');
    table.integer('offers_count');
    table.bigInteger('next_at').notNullable();
    table.bigInteger('hot_at').notNullable();
    /** Pages read in the minute that began at `window_at`: the supplier's budget. */
    table.bigInteger('window_at').notNullable().defaultTo(0);
    table.integer('window_pages').notNullable().defaultTo(0);
    table.string('last_result', 200);
    table.index(['next_at'], 'sweeps_next');
  });

  // Which products stood on which page when it was last read: what is hot is read again without the rest of the list.
  await create(knex, 'offer_pages', (table) => {
    table.string('account', CODE).notNullable();
    table.integer('page_no').notNullable();
    table.string('cursor', 1000);
    /** JSON list of product ids. */
    table.text('products', 'mediumtext').notNullable();
    table.bigInteger('read_at').notNullable();
    table.primary(['account', 'page_no']);
  });

  await create(knex, 'cost_changes', (table) => {
    table.string('change_id', ID).primary();
    table.string('source', ID).notNullable();
    /** The source while the change waits for a person, null after: at most one waits for each source. */
    table.string('open_source', ID).unique();
    table.string('sku', CODE).notNullable();
    table.string('account', CODE).notNullable();
    table.string('product', 128).notNullable();
    table.bigInteger('old_cost_e4');
    table.string('old_currency', 3);
    table.bigInteger('new_cost_e4').notNullable();
    table.string('new_currency', 3).notNullable();
    table.string('state', 16).notNullable().checkIn(CHANGE_STATES);
    /** The rule that applied it, stopped it or let it expire. */
    table.string('rule', 32).notNullable();
    table.string('decided_by', PERSON);
    table.string('reason', 500);
    table.string('first_approved_by', PERSON);
    table.bigInteger('first_approved_at');
    /** What the change comes to in a month at the last month's volume, in the base currency; null: not known. */
    table.bigInteger('impact_e4');
    table.integer('units_30d');
    table.bigInteger('created_at').notNullable();
    table.bigInteger('decided_at');
    table.bigInteger('expires_at');
    table.index(['state', 'created_at'], 'cost_changes_state');
    table.index(['source', 'created_at'], 'cost_changes_source');
    table.index(['account', 'created_at'], 'cost_changes_account');
    table.check("(?? = 'pending') = (?? is not null)", ['state', 'open_source']);
    // Nobody is his own second person, whatever the program says.
    table.check("?? <> 'approved' or ?? is null or ?? <> ??", [
      'state',
      'first_approved_by',
      'first_approved_by',
      'decided_by',
    ]);
  });

  // The limits of cost changes. A new row each time: the newest of a scope holds, the others are its history.
  await create(knex, 'cost_policies', (table) => {
    table.string('policy_id', ID).primary();
    table.string('scope', 16).notNullable().checkIn(['all', 'account', 'category', 'sku']);
    table.string('subject', CODE).notNullable();
    /** Hundredths of a percent. */
    table.integer('rise_max_bp');
    table.integer('fall_max_bp');
    table.integer('margin_min_bp');
    table.bigInteger('floor_e4');
    table.bigInteger('ceiling_e4');
    table.string('currency', 3);
    /** Above this monthly impact, in the base currency, a second person must approve. */
    table.bigInteger('impact_max_e4');
    table.bigInteger('locked_until');
    table.string('set_by', PERSON).notNullable();
    table.string('reason', 500).notNullable();
    table.bigInteger('set_at').notNullable();
    table.index(['scope', 'subject', 'policy_id'], 'cost_policies_subject');
    table.check('(?? is null and ?? is null) or ?? is not null', ['floor_e4', 'ceiling_e4', 'currency']);
  });

  await create(knex, 'rates', (table) => {
    table.string('currency', 3).notNullable();
    table.string('base', 3).notNullable();
    table.bigInteger('as_of').notNullable();
    /** What one unit of the currency is worth in the base, in hundred-millionths. */
    table.bigInteger('rate_e8').notNullable();
    table.string('set_by', PERSON).notNullable();
    table.bigInteger('created_at').notNullable();
    table.bigInteger('updated_at').notNullable();
    table.primary(['currency', 'base', 'as_of']);
    table.check('?? > 0 and ?? <> ??', ['rate_e8', 'currency', 'base']);
  });

  await create(knex, 'floats', (table) => {
    table.string('account', CODE).primary().references('accounts.account');
    /** Null until it was read once. */
    table.bigInteger('balance_e4');
    table.string('currency', 3);
    /** When the reading was begun: what was bought since is not in it. */
    table.bigInteger('read_at');
    table.bigInteger('next_at').notNullable();
    table.integer('failures').notNullable().defaultTo(0);
    /** So near its end that every purchase is counted before it is made. */
    table.integer('is_tight').notNullable().defaultTo(1);
    table.string('warned', 8).notNullable().defaultTo('none').checkIn(['none', 'low', 'critical']);
    table.string('last_result', 200);
    table.index(['next_at'], 'floats_next');
  });

  await create(knex, 'float_hours', (table) => {
    table.string('account', CODE).notNullable();
    /** Hours since the epoch. */
    table.integer('hour').notNullable();
    table.bigInteger('spent_e4').notNullable();
    table.bigInteger('topped_up_e4').notNullable();
    table.primary(['account', 'hour']);
  });

  // What happened to an account that an operator should be able to read later: refused lists, warnings, top-ups.
  await create(knex, 'account_events', (table) => {
    table.string('event_id', ID).primary();
    table.string('account', CODE).notNullable();
    table.bigInteger('at').notNullable();
    table.string('type', 48).notNullable();
    table.text('data').notNullable();
    table.index(['account', 'event_id'], 'account_events_account');
  });
}

/** Plain statements: adding a column with a check is beyond knex on SQLite, and the same text on all three. */
async function addColumns(knex: Knex): Promise<void> {
  const columns: [string, string][] = [
    ['skus', 'category varchar(64)'],
    ['skus', 'brand varchar(100)'],
    ['skus', 'region varchar(64)'],
    ['skus', 'face_value_e4 bigint'],
    ['skus', 'face_currency varchar(3)'],
    ['skus', 'stale_after_ms bigint'],
    // What the catalog file says a source costs; what it is routed at may have moved since.
    ['sources', 'declared_cost_e4 bigint'],
    // A mapping that a person accepted rather than the file; the file's silence does not end it.
    ['sources', 'accepted_by varchar(128)'],
    ['sources', 'accepted_at bigint'],
    [
      'sources',
      "cost_state varchar(16) not null default 'settled' check (cost_state in ('settled','pending','rejected','expired'))",
    ],
    // The cost the supplier names that the guard did not let pass.
    ['sources', 'offered_cost_e4 bigint'],
    ['sources', 'offered_currency varchar(3)'],
    // Below this much of our float, routing leaves the account.
    ['accounts', 'float_min_e4 bigint not null default 0'],
  ];
  for (const [table, column] of columns) await knex.raw(`alter table ${table} add column ${column}`);
  await knex('sources').update({ declared_cost_e4: knex.ref('cost_e4') });
  await knex.schema.alterTable('attempts', (table) => {
    table.index(['account', 'planned_at'], 'attempts_planned');
  });
}
