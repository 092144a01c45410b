// The bare baseline on SQLite: one hand-written transaction per order on the same driver and durability. No HTTP, no
// encryption, no checks: the floor that `vault-orders` is measured against.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

interface Statement {
  run(...values: unknown[]): { changes: number };
  get(...values: unknown[]): Record<string, unknown> | undefined;
}
interface Sqlite {
  prepare(sql: string): Statement;
  exec(sql: string): void;
  close(): void;
}

/** Places `orders` orders, 32 at a time, and returns the seconds it took. */
export async function bareSqlite(filename: string, orders: number): Promise<number> {
  const Driver = require('libsql') as new (filename: string) => Sqlite;
  const database = new Driver(filename);
  database.exec('PRAGMA journal_mode=WAL');
  database.exec('PRAGMA synchronous=FULL');
  database.exec('DROP TABLE IF EXISTS bare_orders');
  database.exec('DROP TABLE IF EXISTS bare_codes');
  database.exec('DROP TABLE IF EXISTS bare_issues');
  database.exec(
    'CREATE TABLE bare_orders (id TEXT PRIMARY KEY, external_id TEXT UNIQUE, sku TEXT, state TEXT, created_at INTEGER)',
  );
  database.exec(
    'CREATE TABLE bare_codes (id TEXT PRIMARY KEY, sku TEXT, state TEXT, code TEXT, fingerprint TEXT UNIQUE)',
  );
  database.exec('CREATE INDEX bare_codes_stock ON bare_codes (sku, state, id)');
  database.exec(
    'CREATE TABLE bare_issues (id TEXT PRIMARY KEY, code_id TEXT UNIQUE, order_id TEXT, unit_no INTEGER, UNIQUE (order_id, unit_no))',
  );
  const deposit = database.prepare('INSERT INTO bare_codes VALUES (?, ?, ?, ?, ?)');
  database.exec('BEGIN');
  for (let at = 0; at < orders; at++) {
    const id = `cod_${String(at).padStart(26, '0')}`;
    deposit.run(id, 'card', 'available', `PLAIN-${at}-0123456789`, `fingerprint-${at}`);
  }
  database.exec('COMMIT');

  const begin = database.prepare('BEGIN IMMEDIATE');
  const insertOrder = database.prepare('INSERT INTO bare_orders VALUES (?, ?, ?, ?, ?)');
  const find = database.prepare("SELECT id FROM bare_codes WHERE sku = ? AND state = 'available' ORDER BY id LIMIT 1");
  const claim = database.prepare("UPDATE bare_codes SET state = 'issued' WHERE id = ? AND state = 'available'");
  const insertIssue = database.prepare('INSERT INTO bare_issues VALUES (?, ?, ?, 1)');
  const commit = database.prepare('COMMIT');
  let next = 0;
  const started_at = performance.now();
  const worker = async (): Promise<void> => {
    while (next < orders) {
      const at = next++;
      const order_id = `ord_${String(at).padStart(26, '0')}`;
      begin.run();
      insertOrder.run(order_id, `external-${at}`, 'card', 'delivered', Date.now());
      const code = find.get('card');
      if (!code || claim.run(code.id).changes !== 1) throw new Error('the baseline lost a code');
      insertIssue.run(`iss_${String(at).padStart(26, '0')}`, code.id, order_id);
      commit.run();
      await null;
    }
  };
  await Promise.all(Array.from({ length: 32 }, worker));
  const seconds = (performance.now() - started_at) / 1_000;
  database.close();
  return seconds;
}
