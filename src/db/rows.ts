// Writing many rows in one statement. knex's builder spends more time composing a wide multi-row insert than the
// database spends on it, so the hot paths compose it here: names and a row count in, one `?` a value.
import type { Trx } from './atomic.js';

type Value = string | number | null;
/** MySQL and SQLite both take 32,000 bound values in a statement. */
const VALUES_MAX = 30_000;

/** Inserts the rows, `columns` naming what to take of each. Column and table names are ours, never a caller's. */
export async function insertRows<R extends object>(
  trx: Trx,
  table: string,
  columns: readonly (keyof R & string)[],
  rows: readonly R[],
): Promise<void> {
  const rows_max = Math.floor(VALUES_MAX / columns.length);
  for (let from = 0; from < rows.length; from += rows_max) {
    const part = rows.slice(from, from + rows_max);
    const values: Value[] = [];
    for (const row of part) for (const column of columns) values.push((row[column] as Value | undefined) ?? null);
    const places = `(${columns.map(() => '?').join(',')})`;
    await trx.raw(
      `insert into ${table} (${columns.join(',')}) values ${Array.from({ length: part.length }, () => places).join(',')}`,
      values,
    );
  }
}
