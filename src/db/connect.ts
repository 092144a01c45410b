// Opens SQLite (libsql) or MySQL/MariaDB and says what each can do. The only file that knows which one it is talking
// to beyond the two flags it hands out; replacing a driver is this file's work.
import { createRequire } from 'node:module';
import knex, { type Knex } from 'knex';
import { GatewayError } from '../errors.js';

const require = createRequire(import.meta.url);

export interface Database {
  /** For reads outside a transaction, and for migrations. Never write through it: use `atomic`. */
  read: Knex;
  /** For `atomic` only. On SQLite a second connection, so that a read never waits for an open transaction. */
  write: Knex;
  dialect: 'sqlite' | 'mysql';
  /** `SELECT … FOR UPDATE SKIP LOCKED` works; without it there is one writer at a time and no need. */
  can_skip_locked: boolean;
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** `sqlite:<path>` or `mysql://user:password@host:port/database`. */
  url: string;
  pool_max: number;
  acquire_timeout_ms: number;
}

// knex talks to better-sqlite3; libsql has the same interface and needs no compiler. Two things change on the way:
// BEGIN takes the write lock at once (a deferred one fails half-way when a second process writes), and prepared
// statements are kept, which is a third of a statement's cost.
const BetterSqlite = require('knex/lib/dialects/better-sqlite3/index.js') as new (
  ...args: unknown[]
) => Record<string, unknown>;
const STATEMENTS_KEPT = 500;

interface Statement {
  reader: boolean;
  all(bindings: unknown[]): unknown[];
  run(bindings: unknown[]): { changes: number; lastInsertRowid: number };
}
interface Connection {
  prepare(sql: string): Statement;
  exec(sql: string): void;
  statements?: Map<string, Statement>;
}
interface Query {
  sql: string;
  bindings?: unknown[];
  response?: unknown;
  context?: unknown;
}

class Libsql extends BetterSqlite {
  _driver(): unknown {
    return require('libsql');
  }

  async _query(connection: Connection, query: Query): Promise<Query> {
    const sql = query.sql === 'BEGIN;' ? 'BEGIN IMMEDIATE;' : query.sql;
    const statement = prepared(connection, sql);
    const bindings = (this._formatBindings as (b?: unknown[]) => unknown[])(query.bindings);
    if (statement.reader) {
      query.response = statement.all(bindings);
      return query;
    }
    const result = statement.run(bindings);
    query.response = result;
    query.context = { lastID: result.lastInsertRowid, changes: result.changes };
    return query;
  }
}

function prepared(connection: Connection, sql: string): Statement {
  connection.statements ??= new Map();
  const known = connection.statements.get(sql);
  if (known) return known;
  const statement = connection.prepare(sql);
  // Schema statements are not worth keeping, and a stale plan after a migration is worth avoiding.
  if (/^\s*(select|insert|update|delete|begin|commit|rollback)/i.test(sql)) {
    if (connection.statements.size >= STATEMENTS_KEPT) connection.statements.clear();
    connection.statements.set(sql, statement);
  }
  return statement;
}

/** Opens the database. Throws a `GatewayError` that names the URL's fault; never prints the password. */
export function connect(options: ConnectOptions): Database {
  if (options.url.startsWith('sqlite:')) return connectSqlite(options);
  if (options.url.startsWith('mysql:')) return connectMysql(options);
  throw new GatewayError('config_invalid', 'database_url must begin with sqlite: or mysql://', {
    field: 'database_url',
    fix: 'Set KAMIGATE_DATABASE_URL to sqlite:./data/kamigate.db or mysql://user:password@host:3306/kamigate.',
  });
}

function connectSqlite({ url, acquire_timeout_ms }: ConnectOptions): Database {
  const filename = url.slice('sqlite:'.length).replace(/^\/\//, '');
  const open = (): Knex =>
    knex({
      client: Libsql as unknown as typeof Knex.Client,
      connection: { filename },
      useNullAsDefault: true,
      // knex would write bound values, and with them recipients and sealed texts, into error messages.
      compileSqlOnError: false,
      acquireConnectionTimeout: acquire_timeout_ms,
      pool: {
        min: 1,
        max: 1,
        afterCreate: (connection: Connection, done: (error: unknown, connection: Connection) => void) => {
          try {
            // busy_timeout waits with the whole process, so it is short; `atomic` does the patient waiting.
            for (const pragma of [
              'journal_mode=WAL',
              'synchronous=FULL',
              'foreign_keys=ON',
              'busy_timeout=50',
              'temp_store=MEMORY',
              'cache_size=-65536',
            ]) {
              connection.prepare(`PRAGMA ${pragma}`).all([]);
            }
            done(null, connection);
          } catch (error) {
            done(error, connection);
          }
        },
      },
    });
  const write = open();
  const read = open();
  return {
    read,
    write,
    dialect: 'sqlite',
    can_skip_locked: false,
    close: async () => {
      await Promise.all([read.destroy(), write.destroy()]);
    },
  };
}

interface MysqlConnection {
  query(sql: string, done: (error: unknown) => void): void;
}

function connectMysql({ url, pool_max, acquire_timeout_ms }: ConnectOptions): Database {
  const parsed = new URL(url);
  if (parsed.pathname.length < 2) {
    throw new GatewayError('config_invalid', 'database_url names no database', {
      field: 'database_url',
      fix: 'Add the database name at the end: mysql://user:password@host:3306/kamigate.',
    });
  }
  const handle = knex({
    client: 'mysql2',
    compileSqlOnError: false,
    connection: {
      host: parsed.hostname,
      port: Number(parsed.port || 3306),
      user: decodeURIComponent(parsed.username),
      password: decodeURIComponent(parsed.password),
      database: decodeURIComponent(parsed.pathname.slice(1)),
      charset: 'utf8mb4',
      // Integers beyond 2^53 come back as strings rather than rounded.
      supportBigNumbers: true,
      connectTimeout: acquire_timeout_ms,
    },
    acquireConnectionTimeout: acquire_timeout_ms,
    pool: {
      min: 0,
      max: pool_max,
      afterCreate: (connection: MysqlConnection, done: (error: unknown, connection: MysqlConnection) => void) => {
        const statements = [
          // READ COMMITTED: every phase re-reads what it decides on, and gap locks would halve the claim rate.
          'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
          'SET SESSION innodb_lock_wait_timeout = 5',
          // Waiting for a table's own lock (somebody's ALTER) is bounded too: a day is the server's default.
          'SET SESSION lock_wait_timeout = 10',
          "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'",
        ];
        const next = (error: unknown): void => {
          const statement = statements.shift();
          if (error || !statement) done(error, connection);
          else connection.query(statement, next);
        };
        next(null);
      },
    },
  });
  return { read: handle, write: handle, dialect: 'mysql', can_skip_locked: true, close: () => handle.destroy() };
}
