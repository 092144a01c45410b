// The bare baseline on MariaDB/MySQL: one hand-written transaction per order on the same driver and durability, 32
// connections. No HTTP, no encryption, no checks.
import mysql, { type RowDataPacket } from 'mysql2/promise';

/** Places `orders` orders, 32 at a time, and returns the seconds it took. */
export async function bareMysql(url: string, orders: number): Promise<number> {
  const pool = mysql.createPool({ uri: url, connectionLimit: 32 });
  for (const table of ['bare_orders', 'bare_codes', 'bare_issues']) await pool.query(`DROP TABLE IF EXISTS ${table}`);
  await pool.query(
    'CREATE TABLE bare_orders (id VARCHAR(40) PRIMARY KEY, external_id VARCHAR(64) UNIQUE, sku VARCHAR(64), state VARCHAR(16), created_at BIGINT) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
  );
  await pool.query(
    'CREATE TABLE bare_codes (id VARCHAR(40) PRIMARY KEY, sku VARCHAR(64), state VARCHAR(16), code VARCHAR(200), fingerprint VARCHAR(64) UNIQUE, KEY stock (sku, state, id)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
  );
  await pool.query(
    'CREATE TABLE bare_issues (id VARCHAR(40) PRIMARY KEY, code_id VARCHAR(40) UNIQUE, order_id VARCHAR(40), unit_no INT, UNIQUE KEY unit (order_id, unit_no)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
  );
  for (let from = 0; from < orders; from += 1_000) {
    const rows = Array.from({ length: Math.min(1_000, orders - from) }, (_, offset) => {
      const at = from + offset;
      return [
        `cod_${String(at).padStart(26, '0')}`,
        'card',
        'available',
        `PLAIN-${at}-0123456789`,
        `fingerprint-${at}`,
      ];
    });
    await pool.query('INSERT INTO bare_codes VALUES ?', [rows]);
  }

  let next = 0;
  const started_at = performance.now();
  const worker = async (): Promise<void> => {
    const connection = await pool.getConnection();
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    while (next < orders) {
      const at = next++;
      const order_id = `ord_${String(at).padStart(26, '0')}`;
      await connection.query('BEGIN');
      await connection.query('INSERT INTO bare_orders VALUES (?, ?, ?, ?, ?)', [
        order_id,
        `external-${at}`,
        'card',
        'delivered',
        Date.now(),
      ]);
      const [found] = await connection.query<RowDataPacket[]>(
        "SELECT id FROM bare_codes FORCE INDEX (stock) WHERE sku = 'card' AND state = 'available' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
      );
      if (!found[0]) throw new Error('the baseline ran out of codes');
      await connection.query("UPDATE bare_codes SET state = 'issued' WHERE id = ?", [found[0].id]);
      await connection.query('INSERT INTO bare_issues VALUES (?, ?, ?, 1)', [
        `iss_${String(at).padStart(26, '0')}`,
        found[0].id,
        order_id,
      ]);
      await connection.query('COMMIT');
    }
    connection.release();
  };
  await Promise.all(Array.from({ length: 32 }, worker));
  const seconds = (performance.now() - started_at) / 1_000;
  await pool.end();
  return seconds;
}
