// The vault: keys (wrapped), batches, codes (sealed), issues, reveals and the ledger. Frozen once merged.
import type { Knex } from 'knex';

const ID = 40;
const CODE = 64;
/** Four fields of 4,096 bytes, their lengths, nonce and tag. A varbinary: half the wire and disk of hex, no base64 to undo. */
const SEALED = 17_000;
const WRAPPED = 128;
const FINGERPRINT = 16;
/** The last moment a date can name: the code never expires, and sorts last. */
const NEVER = 8_640_000_000_000_000;

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

const ORIGINS = ['deposit', 'supplier', 'late', 'replacement'];
const CODE_STATES = ['available', 'quarantined', 'issued', 'void'];

/** One record of the ledger, as an act writes it. Both tables have these columns; only `ledger` has a place in the chain. */
function record(table: Knex.CreateTableBuilder): void {
  table.bigInteger('at').notNullable();
  table.string('act', 32).notNullable();
  table.string('actor', 128).notNullable();
  table.string('order_id', ID);
  table.string('batch_id', ID);
  table.string('sku', CODE);
  table.integer('count').notNullable();
  /** SHA-256 over what the act touched, so that the rows it wrote cannot change afterwards unseen. */
  table.string('digest', 64).notNullable();
  table.text('data').notNullable();
}

export async function up(knex: Knex): Promise<void> {
  await create(knex, 'vault_state', (table) => {
    table.string('name', CODE).primary();
    table.string('value', 500).notNullable();
    table.bigInteger('updated_at').notNullable();
  });

  await create(knex, 'master_keys', (table) => {
    table.integer('version').primary();
    /** A keyed hash of a constant: tells a wrong key file from a right one, and nothing of the key. */
    table.string('check_value', 64).notNullable();
    table.bigInteger('created_at').notNullable();
  });

  await create(knex, 'vault_keys', (table) => {
    table.string('purpose', 32).notNullable();
    table.integer('version').notNullable();
    table.integer('master_version').notNullable();
    table.binary('wrapped', WRAPPED).notNullable();
    /** Signing keys: the public half, so that a signature can be checked by anyone. */
    table.text('public_key');
    table.string('state', 16).notNullable().checkIn(['current', 'filling', 'retiring', 'retired']);
    /** Fingerprint keys: which of the two columns of `codes` this one fills. */
    table.string('slot', 1).checkIn(['a', 'b']);
    table.bigInteger('created_at').notNullable();
    table.primary(['purpose', 'version']);
  });

  await create(knex, 'batches', (table) => {
    table.string('batch_id', ID).primary();
    table.string('sku', CODE).notNullable();
    table.string('origin', 16).notNullable().checkIn(ORIGINS);
    table.string('account', CODE);
    table.string('attempt_id', ID);
    table.string('document', 128);
    table.string('file_hash', 64);
    table.string('received_by', 128).notNullable();
    table.bigInteger('received_at').notNullable();
    table.string('currency', 3);
    table.bigInteger('total_cost_e4');
    /** What of the total no code carries: nothing, but for an import that found fewer good lines than were paid for. */
    table.bigInteger('unallocated_e4').notNullable().defaultTo(0);
    table.integer('codes_count').notNullable();
    table.integer('duplicates_count').notNullable();
    table.string('state', 16).notNullable().checkIn(['open', 'closed']);
    table.integer('key_version').notNullable();
    table.index(['sku', 'batch_id'], 'batches_sku');
    table.index(['account', 'batch_id'], 'batches_account');
    table.index(['attempt_id'], 'batches_attempt');
    table.check('?? >= 0 and ?? >= 0', ['codes_count', 'duplicates_count']);
    table.check('(?? is null) = (?? is null)', ['total_cost_e4', 'currency']);
  });

  await create(knex, 'batch_keys', (table) => {
    table.string('batch_id', ID).notNullable().references('batches.batch_id');
    table.integer('key_version').notNullable();
    table.integer('master_version').notNullable();
    table.binary('wrapped', WRAPPED).notNullable();
    /** The master version that was current when this key was made; wrapping it anew does not make it younger. */
    table.integer('born_version').notNullable();
    /** How often this key has sealed: far below the 2^32 random nonces one GCM key may use. */
    table.integer('seals_count').notNullable();
    table.primary(['batch_id', 'key_version']);
    table.index(['master_version', 'batch_id'], 'batch_keys_master');
    table.index(['born_version', 'batch_id'], 'batch_keys_born');
    table.check('?? >= 0 and ?? <= 1048576', ['seals_count', 'seals_count']);
  });

  await create(knex, 'codes', (table) => {
    table.string('code_id', ID).notNullable();
    table.string('sku', CODE).notNullable();
    table.string('batch_id', ID).notNullable().references('batches.batch_id');
    table.string('account', CODE);
    table.string('state', 16).notNullable().checkIn(CODE_STATES);
    /** Why it is quarantined or void. */
    table.string('reason', 128);
    table.bigInteger('expires_at').notNullable().defaultTo(NEVER);
    table.bigInteger('cost_e4');
    table.string('currency', 3);
    table.bigInteger('face_value_e4');
    table.integer('key_version').notNullable();
    table.binary('sealed', SEALED).notNullable();
    // Two slots: while the fingerprint key is replaced both are filled; otherwise one is null throughout.
    table.binary('fingerprint_a', FINGERPRINT).unique({ indexName: 'codes_fingerprint_a' });
    table.binary('fingerprint_b', FINGERPRINT).unique({ indexName: 'codes_fingerprint_b' });
    // The SKU is in the key so that an issue can only point at a code of its own SKU.
    table.primary(['code_id', 'sku']);
    table.index(['sku', 'state', 'expires_at', 'code_id'], 'codes_claim');
    // Without the state, so that issuing a code moves one entry of one index and no more.
    table.index(['batch_id', 'key_version'], 'codes_batch');
    table.check('?? is not null or ?? is not null', ['fingerprint_a', 'fingerprint_b']);
    table.check("?? = 'available' or ?? = 'issued' or ?? is not null", ['state', 'state', 'reason']);
  });

  await create(knex, 'issues', (table) => {
    table.string('order_id', ID).notNullable();
    table.integer('unit_no').notNullable();
    /** 0, or how many replacements this unit has had. */
    table.integer('generation').notNullable().defaultTo(0);
    table.string('code_id', ID).notNullable();
    table.string('sku', CODE).notNullable();
    table.string('batch_id', ID).notNullable();
    table.bigInteger('cost_e4');
    table.string('currency', 3);
    table.bigInteger('issued_at').notNullable();
    table.primary(['order_id', 'unit_no', 'generation']);
    // One code, one issue, for ever; and only as the SKU it was deposited as.
    table.unique(['code_id'], { indexName: 'issues_code' });
    table.index(['code_id', 'sku'], 'issues_code_sku');
    table.foreign(['code_id', 'sku'], 'issues_of_code').references(['code_id', 'sku']).inTable('codes');
    table.check('?? >= 1 and ?? >= 0', ['unit_no', 'generation']);
  });

  await create(knex, 'reveals', (table) => {
    table.string('reveal_id', ID).primary();
    table.string('order_id', ID).notNullable();
    table.string('revealed_by', 128).notNullable();
    table.string('reason', 500).notNullable();
    table.integer('is_person').notNullable();
    table.integer('codes_count').notNullable();
    table.string('approval_id', ID);
    table.bigInteger('at').notNullable();
    table.index(['order_id', 'reveal_id'], 'reveals_order');
    table.index(['revealed_by', 'at'], 'reveals_by');
  });

  // An act writes its record here, in its own transaction; within a second the sealer moves it into the chain. So no
  // two acts ever wait for one another at the chain's head.
  await create(knex, 'ledger_inbox', (table) => {
    table.string('entry_id', ID).primary();
    record(table);
  });

  await create(knex, 'ledger', (table) => {
    table.bigInteger('seq').primary();
    table.string('entry_id', ID).notNullable().unique({ indexName: 'ledger_entry' });
    record(table);
    /** SHA-256 over the hash before it and this record. */
    table.string('hash', 64).notNullable().unique({ indexName: 'ledger_hash' });
    table.index(['order_id'], 'ledger_order');
    table.index(['batch_id', 'seq'], 'ledger_batch');
    table.index(['at'], 'ledger_at');
  });

  await create(knex, 'ledger_heads', (table) => {
    table.bigInteger('seq').primary();
    table.string('hash', 64).notNullable();
    table.bigInteger('at').notNullable();
    table.integer('key_version').notNullable();
    table.string('signature', 128).notNullable();
  });
}
