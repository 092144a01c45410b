// What every table's SQL shares: inserting many rows in few statements, and telling a lost race from a fault.
import type { Knex } from 'knex';
import { VaultRetry } from './errors.js';
import type { Trx } from './types.js';

/** Below SQLite's 500 terms of one compound statement, and large enough that more buys nothing on MariaDB. */
const ROWS_MAX = 250;

/** Inserts the rows. A unique index that another transaction filled first throws `VaultRetry`: run it all again. */
export async function insertRows(trx: Trx, table: string, rows: readonly object[]): Promise<void> {
  try {
    for (let at = 0; at < rows.length; at += ROWS_MAX) await insertSlice(trx, table, rows.slice(at, at + ROWS_MAX));
  } catch (error) {
    if (isDuplicate(error)) throw new VaultRetry(`another transaction wrote the same row of ${table} first`);
    throw withoutStatement(error, `writing ${table}`);
  }
}

// The statement's text is made of names of this program and of question marks alone. Built here, because the query
// builder takes as long to write 250 rows as SQLite takes to store them. Columns that are null in every row are left
// to their default, and where the database numbers its parameters, one value that every row shares is bound once:
// each would cost as much as one with content.
async function insertSlice(trx: Trx, table: string, rows: readonly object[]): Promise<void> {
  const first = rows[0]!;
  const names = Object.keys(first) as (keyof object)[];
  const filled = names.filter((name) => rows.some((row) => row[name] !== null));
  const has_numbers = rows.length > 1 && trx.client.dialect === 'sqlite3';
  const shared = has_numbers ? filled.filter((name) => rows.every((row) => row[name] === first[name])) : [];
  const own = filled.filter((name) => !shared.includes(name));
  const bindings: Knex.Value[] = shared.map((name) => first[name]);
  for (const row of rows) for (const name of own) bindings.push(row[name]);
  await execute(trx, statementFor(table, shared, own, rows.length), bindings);
}

const STATEMENTS_KEPT = 500;
const statements = new Map<string, string>();

function statementFor(table: string, shared: string[], own: string[], count: number): string {
  const name = `${table} ${count} ${shared} ${own}`;
  const known = statements.get(name);
  if (known) return known;
  // A bare `?` takes the number after the highest so far.
  const row = `(${[...shared.map((_, at) => `?${at + 1}`), ...own.map(() => '?')].join(',')})`;
  const columns = [...shared, ...own].map((column) => `\`${column}\``).join(',');
  const statement = `insert into \`${table}\` (${columns}) values ${Array(count).fill(row).join(',')}`;
  if (statements.size >= STATEMENTS_KEPT) statements.clear();
  statements.set(name, statement);
  return statement;
}

// Straight to the transaction's connection: knex's own way there looks at each value four times and writes the text
// anew, which takes as long as sealing does. The text is ours, every `?` in it is a value, and none is undefined.
async function execute(trx: Trx, sql: string, bindings: Knex.Value[]): Promise<void> {
  const connection: unknown = await trx.client.acquireConnection();
  try {
    await trx.client.query(connection, { sql, bindings });
  } finally {
    await trx.client.releaseConnection(connection);
  }
}

/** Runs `work` for slices of a long list, so that no statement grows without bound. */
export async function inSlices<T, R>(list: readonly T[], work: (slice: T[]) => Promise<R[]>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < list.length; at += ROWS_MAX) results.push(...(await work(list.slice(at, at + ROWS_MAX))));
  return results;
}

export function isDuplicate(error: unknown): boolean {
  const { code, errno, message } = error as { code?: string; errno?: number; message?: string };
  return (
    errno === 1062 ||
    /^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY)/.test(code ?? '') ||
    /UNIQUE constraint failed/.test(message ?? '')
  );
}

// knex puts the whole statement, and mysql2 its values, into the error. No code is in there in clear, but ciphertext
// and fingerprints do not belong into a log either; what the caller decides on is kept.
function withoutStatement(error: unknown, doing: string): Error {
  const { code, errno, message } = error as { code?: string; errno?: number; message?: string };
  const reason =
    String(message ?? error)
      .split(' - ')
      .at(-1) ?? 'failed';
  return Object.assign(new Error(`vault: ${doing}: ${reason.slice(0, 300)}`), {
    ...(code === undefined ? {} : { code }),
    ...(errno === undefined ? {} : { errno }),
  });
}

/** A binary column as a Buffer: libsql answers with an ArrayBuffer, mysql2 with a Buffer. */
export function asBuffer(column: Buffer | ArrayBuffer): Buffer {
  return Buffer.isBuffer(column) ? column : Buffer.from(column);
}

/** The rows with these binary columns as Buffers. */
export function withBuffers<R extends object>(rows: R[], ...columns: (keyof R)[]): R[] {
  for (const row of rows) {
    for (const column of columns) {
      if (row[column] !== null) row[column] = asBuffer(row[column] as Buffer) as R[keyof R];
    }
  }
  return rows;
}
