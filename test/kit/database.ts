// A migrated database for one test file: SQLite in a temporary folder, or, where KAMIGATE_DATABASE_URL names a server,
// a fresh database on it. Each call makes its own, and `close` removes it.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import { connect, type Database } from '../../src/db/connect.js';
import { migrate } from '../../src/db/migrations/index.js';

export interface TestDatabase {
  database: Database;
  /** What a second process is given to open the same database. */
  url: string;
  /** Closes the connections and removes the database. */
  close(): Promise<void>;
}

const POOL_MAX = 16;
const ACQUIRE_TIMEOUT_MS = 20_000;

/** Opens an empty, migrated database of its own. The server's URL is KAMIGATE_DATABASE_URL; without it, SQLite. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const place = await makePlace(process.env.KAMIGATE_DATABASE_URL);
  const database = connect({ url: place.url, pool_max: POOL_MAX, acquire_timeout_ms: ACQUIRE_TIMEOUT_MS });
  const close = async (): Promise<void> => {
    await database.close();
    await place.remove();
  };
  try {
    await migrate(database.write);
  } catch (error) {
    await close();
    throw error;
  }
  return { database, url: place.url, close };
}

interface Place {
  url: string;
  remove(): Promise<void>;
}

/** A place for a database that nobody else uses: a file's path or a server's database, as a URL. */
export async function makePlace(server_url: string | undefined): Promise<Place> {
  if (!server_url?.startsWith('mysql:')) {
    const folder = await mkdtemp(join(tmpdir(), 'kamigate-test-'));
    return { url: `sqlite:${join(folder, 'kamigate.db')}`, remove: () => rm(folder, { recursive: true, force: true }) };
  }
  const name = `kamigate_test_${randomBytes(6).toString('hex')}`;
  await runOnServer(server_url, `CREATE DATABASE ${name}`);
  const url = new URL(server_url);
  url.pathname = `/${name}`;
  return { url: url.href, remove: () => runOnServer(server_url, `DROP DATABASE IF EXISTS ${name}`) };
}

async function runOnServer(server_url: string, sql: string): Promise<void> {
  const url = new URL(server_url);
  const connection = await mysql.createConnection({
    host: url.hostname,
    port: Number(url.port || 3306),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  });
  try {
    await connection.query(sql);
  } finally {
    await connection.end();
  }
}
