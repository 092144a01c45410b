// The vault's commands beside running servers, as real processes: a seal is heard of within a second, a rotation lets
// orders through, and yesterday's backup sells nothing of today until the journal is replayed.
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { atomic } from '../../src/db/atomic.js';
import { connect, type Database } from '../../src/db/connect.js';
import { issueKey } from '../../src/storefronts/accounts.js';
import { makePlace } from '../kit/database.js';
import { data, type Environment, run, type Server, startServer, until } from './program.js';

const CATALOG = `
accounts:
  sim-a:
    adapter: simulated
    base_url: http://127.0.0.1:9
    currency: CNY
    credentials: { app_key: { env: SIM_KEY }, app_secret: { env: SIM_KEY } }
skus:
  CARD: { name: Card, kind: code, price: { amount: 10.00, currency: CNY } }
  BOUGHT:
    name: Bought card
    kind: code
    price: { amount: 10.00, currency: CNY }
    vault_rank: never
    sources: [{ account: sim-a, product: code-10, cost: 9.80 }]
storefronts:
  mall: { name: Mall, currency: CNY }
`;
// A dozen processes a test, on a machine that may have much else to do.
jest.setTimeout(240_000);

const WHY = ['--reason', 'test', '--by', 'li'];

let folder: string;
let place: Awaited<ReturnType<typeof makePlace>>;
let env: Environment;
let servers: Server[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kamigate-serving-'));
  place = await makePlace(process.env.KAMIGATE_DATABASE_URL);
  env = {
    KAMIGATE_DATA_DIR: join(folder, 'data'),
    KAMIGATE_DATABASE_URL: place.url,
    KAMIGATE_DRAIN_DELAY_MS: '0',
    KAMIGATE_KEY_CACHE_MS: '0',
    SIM_KEY: 'x',
  };
  writeFileSync(join(folder, 'catalog.yaml'), CATALOG);
  await data(['init'], { env });
  await data(['migrate', 'up'], { env });
  await data(['--yes', 'apply', join(folder, 'catalog.yaml')], { env });
});
afterEach(async () => {
  for (const { child } of servers) child.kill('SIGKILL');
  await Promise.all(servers.map(({ ended }) => ended));
  servers = [];
  await place.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<Server> {
  const server = await startServer(env);
  servers.push(server);
  return server;
}

async function stop(server: Server): Promise<void> {
  server.child.kill('SIGTERM');
  expect(await server.ended).toBe(0);
}

/** Looks into the database as no process of the gateway does, and lets go of it again. */
async function withDatabase<T>(work: (database: Database) => Promise<T>): Promise<T> {
  const database = connect({ url: place.url, pool_max: 2, acquire_timeout_ms: 10_000 });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

const makeKey = (): Promise<string> =>
  withDatabase(async (database) => {
    const scopes = ['orders:write', 'orders:read', 'codes:read', 'catalog:read'] as const;
    const { key } = await atomic(database, 'key', (trx) =>
      issueKey(trx, { storefront: 'mall', scopes, now: Date.now() }),
    );
    return key.reveal();
  });

async function depositCodes(count: number, prefix: string): Promise<void> {
  const input = Array.from({ length: count }, (_, at) => `${prefix}-${at}\n`).join('');
  await data(['vault', 'deposit', '-', '--sku', 'CARD', '--commit'], { env, input });
}

interface Answer {
  status: number;
  json: { code?: string; id?: string; status?: string; data?: object[] };
}

async function call({ api_url }: Server, key: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${api_url}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', connection: 'close' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, json: (await response.json()) as Answer['json'] };
}

const orderAt = (server: Server, key: string, external_id: string, sku = 'CARD'): Promise<Answer> =>
  call(server, key, '/v1/orders', { external_id, sku, quantity: 1 });
const readyz = async ({ api_url }: Server): Promise<[number, string]> => {
  const response = await fetch(`${api_url}/readyz`, { headers: { connection: 'close' } });
  return [response.status, await response.text()];
};

test('a seal stops a running server within a second; stock figures go on, and unseal opens it again', async () => {
  await depositCodes(3, 'SEAL');
  const key = await makeKey();
  const [server, other] = [await start(), await start()];
  const first = await orderAt(server, key, 'x-1');
  expect(first).toMatchObject({ status: 201, json: { status: 'delivered' } });
  const codes = `/v1/orders/${first.json.id}/codes`;
  expect((await call(other, key, codes)).status).toBe(200);

  const sealing = data(['vault', 'seal-now', ...WHY], { env });
  await until('both servers to be sealed', async () => {
    const answers = [await call(server, key, codes), await call(other, key, codes)];
    return answers.every(({ status }) => status === 503) || null;
  });
  await sealing;
  const { sealed_at, last_at } = await withDatabase(async ({ read }) => ({
    sealed_at: Number((await read('vault_state').where({ name: 'sealed_at' }).first('value')).value),
    last_at: Number((await read('reveals').max({ at: 'at' }).first())?.at),
  }));
  expect(last_at - sealed_at).toBeLessThan(1_000);
  for (const [external_id, sku] of [
    ['x-2', 'CARD'],
    ['x-3', 'BOUGHT'],
  ] as const) {
    const refused = await orderAt(server, key, external_id, sku);
    expect(refused).toMatchObject({ status: 503, json: { code: 'vault_sealed', retryable: true } });
  }
  expect((await call(server, key, codes)).json.code).toBe('vault_sealed');
  await until('readiness', async () => ((await readyz(server))[0] === 503 ? true : null));
  expect((await readyz(server))[1]).toContain('fail vault: it is sealed');
  expect(await data(['vault', 'stock', 'CARD'], { env })).toMatchObject([{ available: 2, issued: 1 }]);
  expect((await call(server, key, '/v1/skus')).status).toBe(200);
  expect((await orderAt(server, key, 'x-1')).json).toMatchObject({ id: first.json.id, status: 'delivered' });

  await data(['vault', 'unseal', ...WHY], { env });
  const again = await until('an order to go through', async () => {
    const answer = await orderAt(other, key, 'x-2');
    return answer.status === 201 ? answer : null;
  });
  expect(again.json.status).toBe('delivered');
  expect(await withDatabase(({ read }) => read('attempts').whereNot({ account: 'vault' }))).toEqual([]);
});

test('a deep rotation lets a running server issue meanwhile, and leaves nothing under the old key', async () => {
  await depositCodes(1_500, 'ROT');
  const key = await makeKey();
  const server = await start();
  await data(['vault', 'add-key'], { env });
  const rotation = run(['--json', 'vault', 'rotate', '--deep', ...WHY], { env });
  let is_over = false;
  void rotation.then(() => {
    is_over = true;
  });
  const statuses: string[] = [];
  for (let at = 0; !is_over; at++) {
    const { status, json } = await orderAt(server, key, `r-${at}`);
    statuses.push(`${status} ${json.status}`);
  }
  const { code, stdout, stderr } = await rotation;
  expect([code, stderr]).toEqual([0, expect.stringContaining('codes: 100 %')]);
  expect(JSON.parse(stdout)).toMatchObject({ current_version: 2, codes_resealed: 1_500 });
  expect(statuses.length).toBeGreaterThan(5);
  expect(new Set(statuses)).toEqual(new Set(['201 delivered']));
  await data(['--yes', 'vault', 'raise-minimum', ...WHY], { env });
  expect((await orderAt(server, key, 'after')).json.status).toBe('delivered');
  expect(await data(['vault', 'verify', '--open'], { env })).toMatchObject({ ok: true });
});

describe('a restored backup', () => {
  /** The file, and what was committed but is not in it yet. */
  function copyDatabase(from: string, to: string): void {
    for (const more of ['', '-wal']) if (existsSync(`${from}${more}`)) copyFileSync(`${from}${more}`, `${to}${more}`);
  }

  /** Puts the database aside while nothing runs, and back again later. */
  async function backUp(): Promise<() => Promise<void>> {
    if (place.url.startsWith('sqlite:')) {
      const path = place.url.slice('sqlite:'.length);
      const backup = join(folder, 'backup.db');
      copyDatabase(path, backup);
      return async () => {
        for (const more of ['', '-wal', '-shm']) rmSync(`${path}${more}`, { force: true });
        copyDatabase(backup, path);
      };
    }
    const kept = await withDatabase(async ({ read }) => {
      const rows: [string, object[]][] = [];
      for (const table of await tablesOf(read)) rows.push([table, await read(table).select()]);
      return rows;
    });
    return () =>
      withDatabase((database) =>
        atomic(database, 'restore', async (trx) => {
          await trx.raw('set foreign_key_checks = 0');
          for (const [table] of kept) await trx(table).delete();
          for (const [table, rows] of kept) if (rows.length > 0) await trx(table).insert(rows as never);
          await trx.raw('set foreign_key_checks = 1');
        }),
      );
  }

  async function tablesOf(read: Database['read']): Promise<string[]> {
    const rows: { name: string }[] = await read('information_schema.tables')
      .where('table_schema', read.raw('database()'))
      .select('table_name as name');
    return rows.map((row) => row.name);
  }

  let looks = 0;

  /** On SQLite a copy is read: a process that has a file open must not see it replaced. */
  async function issuedCodes(): Promise<string[]> {
    let { url } = place;
    if (url.startsWith('sqlite:')) {
      const copy = join(folder, `look-${++looks}.db`);
      copyDatabase(url.slice('sqlite:'.length), copy);
      url = `sqlite:${copy}`;
    }
    const database = connect({ url, pool_max: 2, acquire_timeout_ms: 10_000 });
    try {
      const rows: { code_id: string }[] = await database.read('issues').orderBy('code_id').select('code_id');
      return rows.map((row) => row.code_id);
    } finally {
      await database.close();
    }
  }

  test('issues nothing until the journal is replayed, then none of what was issued since', async () => {
    await depositCodes(12, 'BACK');
    const key = await makeKey();
    await data(['order', 'place', '--storefront', 'mall', '--sku', 'CARD'], { env });
    const putBack = await backUp();

    // Two processes and a command issue at once; each writes a journal of its own.
    const [one, two] = [await start(), await start()];
    for (let at = 0; at < 3; at++) {
      expect((await orderAt(one, key, `one-${at}`)).status).toBe(201);
      expect((await orderAt(two, key, `two-${at}`)).status).toBe(201);
    }
    await data(['order', 'place', '--storefront', 'mall', '--sku', 'CARD'], { env });
    await Promise.all([stop(one), stop(two)]);
    const issued = await issuedCodes();
    expect(issued).toHaveLength(8);

    await putBack();
    expect(await issuedCodes()).toHaveLength(1);
    const server = await start();
    const [status, said] = await readyz(server);
    expect([status, said]).toEqual([
      200,
      expect.stringMatching(/warn issuing: sealed, .*7 issues.*kamigate vault replay/),
    ]);
    for (const sku of ['CARD', 'BOUGHT']) {
      expect(await orderAt(server, key, `late-${sku}`, sku)).toMatchObject({
        status: 503,
        json: { code: 'vault_sealed' },
      });
    }
    const refused = await run(['order', 'place', '--storefront', 'mall', '--sku', 'CARD'], { env });
    expect([refused.code, refused.stderr]).toEqual([7, expect.stringContaining('kamigate vault replay')]);
    expect(await issuedCodes()).toHaveLength(1);

    const unsure = await run(['vault', 'replay', ...WHY], { env });
    expect([unsure.code, unsure.stderr]).toEqual([2, expect.stringContaining('7 issues are missing')]);
    expect(await data(['--yes', 'vault', 'replay', ...WHY], { env })).toEqual({
      status: 'ready',
      marked: 7,
      absent: 0,
      conflicts: 0,
    });
    expect(await issuedCodes()).toEqual(issued);

    const after = await until('the server to issue again', async () => {
      const answer = await orderAt(server, key, 'after-1');
      return answer.status === 201 ? answer : null;
    });
    expect(after.json.status).toBe('delivered');
    const now = await issuedCodes();
    expect(now).toHaveLength(9);
    expect(new Set(now).size).toBe(9);
    expect(await data(['--yes', 'vault', 'replay', ...WHY], { env })).toMatchObject({ marked: 0 });
    expect(await data(['vault', 'verify', '--open'], { env })).toMatchObject({ ok: true });
  });

  test('issues nothing where the journal is not there at all', async () => {
    await depositCodes(2, 'GONE');
    await data(['order', 'place', '--storefront', 'mall', '--sku', 'CARD'], { env });
    const elsewhere = { ...env, KAMIGATE_JOURNAL_DIR: join(folder, 'empty') };
    const place_one = ['order', 'place', '--storefront', 'mall', '--sku', 'CARD'];
    expect((await run(place_one, { env: elsewhere })).code).toBe(7);
    expect((await run(place_one, { env: { ...env, KAMIGATE_JOURNAL_DIR: 'none' } })).code).toBe(7);
    const replay = await run(['--yes', 'vault', 'replay', ...WHY], { env: elsewhere });
    expect([replay.code, replay.stderr]).toEqual([7, expect.stringContaining('journal')]);
    expect((await run(place_one, { env })).code).toBe(0);
  });
});
