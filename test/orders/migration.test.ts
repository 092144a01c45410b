// The migration that lets a SKU be a bundle rewrites a column that holds data: nothing may be lost, wherever it broke off.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { connect, type Database } from '../../src/db/connect.js';
import * as spine from '../../src/db/migrations/0001_spine.js';
import * as vault from '../../src/db/migrations/0002_vault.js';
import * as vaultControl from '../../src/db/migrations/0003_vault_control.js';
import * as catalog from '../../src/db/migrations/0010_catalog.js';
import * as routing from '../../src/db/migrations/0020_routing.js';
import * as bundles from '../../src/db/migrations/0030_bundles.js';
import { makePlace } from '../kit/database.js';

let place: Awaited<ReturnType<typeof makePlace>>;
let database: Database;

beforeEach(async () => {
  place = await makePlace(process.env.KAMIGATE_DATABASE_URL);
  database = connect({ url: place.url, pool_max: 4, acquire_timeout_ms: 20_000 });
  for (const each of [spine, vault, vaultControl, catalog, routing]) await each.up(database.write);
  for (const kind of ['code', 'recharge']) await database.write('skus').insert(skuOf(kind));
  const stamps = { created_at: 1, updated_at: 1 };
  await database.write('accounts').insert({
    account: 'a',
    adapter: 'simulated',
    base_url: '',
    credentials_sealed: '',
    options: '{}',
    limits: '{}',
    currency: 'CNY',
    ...stamps,
  });
  await database.write('sources').insert({ source: 's', sku: 'code', account: 'a', product: 'p', ...stamps });
});
afterEach(async () => {
  await database.close();
  await place.remove();
});

function skuOf(kind: string, more: object = {}): object {
  return {
    sku: kind,
    name: kind,
    kind,
    price_e4: 1,
    currency: 'CNY',
    recipient_rules: '{}',
    quantity_max: 1,
    attempts_max: 1,
    deadline_ms: 1,
    can_detach: 0,
    vault_rank: 'never',
    created_at: 1,
    updated_at: 1,
    ...more,
  };
}

const kinds = async () =>
  ((await database.read('skus').orderBy('sku').select('sku', 'kind')) as object[]).map((row) => ({ ...row }));
const BEFORE = [
  { sku: 'code', kind: 'code' },
  { sku: 'recharge', kind: 'recharge' },
];

/** The statements of the step that rewrites the column, in order. */
const STEPS = [
  'alter table skus add column kind_kept varchar(16)',
  'update skus set kind_kept = kind where kind_kept is null',
  'alter table skus drop column kind',
  "alter table skus add column kind varchar(16) check (kind in ('recharge','code','bundle'))",
  'update skus set kind = kind_kept',
];

test.each(Array.from({ length: STEPS.length + 1 }, (_, done) => done))(
  'broken off after %i of its statements, it is begun anew and loses nothing',
  async (done) => {
    for (const statement of STEPS.slice(0, done)) await database.write.raw(statement);
    await bundles.up(database.write);
    expect(await kinds()).toEqual(BEFORE);
    expect(await database.read('sources').where({ sku: 'code' })).toHaveLength(1);
  },
);

test('afterwards a bundle is taken and a kind that does not exist is not', async () => {
  await bundles.up(database.write);
  await database.write('skus').insert(skuOf('bundle', { parts: '[]', failed_part: 'stop' }));
  await expect(database.write('skus').insert(skuOf('other'))).rejects.toThrow();
  await expect(database.write('skus').insert(skuOf('code', { sku: 'c', failed_part: 'halt' }))).rejects.toThrow();
  // Run once more by somebody who did not see it end: no harm.
  await bundles.up(database.write);
  expect(await kinds()).toEqual([{ sku: 'bundle', kind: 'bundle' }, ...BEFORE]);
});
