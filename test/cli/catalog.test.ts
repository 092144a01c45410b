// `kamigate apply` as a real process: a plan first, a yes, then the rows; the same file again changes nothing.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { makeWorld, type World } from '../kit/world.js';
import { data, type Environment, environmentOf, run } from './program.js';

const SECRET = 'the-secret-of-supplier-a';
const CATALOG = `
accounts:
  sim-a:
    adapter: simulated
    base_url: http://127.0.0.1:9101
    currency: CNY
    credentials: { app_key: { env: SIM_A_KEY }, app_secret: { file: ./sim-a-secret } }
skus:
  CARD-10:
    name: Card
    kind: code
    price: { amount: 10.00, currency: CNY }
    sources:
      - { account: sim-a, product: code-10, cost: 9.80 }
storefronts:
  shop: { name: Shop, currency: CNY, keys: { main: [orders:read, orders:write] } }
`;

let world: World;
let env: Environment;
let folder: string;
let file: string;
beforeEach(async () => {
  world = await makeWorld();
  env = { ...environmentOf(world), SIM_A_KEY: 'demo-key' };
  folder = mkdtempSync(join(tmpdir(), 'kamigate-catalog-'));
  file = join(folder, 'catalog.yaml');
  writeFileSync(file, CATALOG);
  writeFileSync(join(folder, 'sim-a-secret'), `${SECRET}\n`);
});
afterEach(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Applied {
  applied: boolean;
  changes: { kind: string; name: string; action: string }[];
  issued: { storefront: string; what: string; secret: string }[];
}

const skus = () => world.database.read('skus').select('sku', 'is_enabled', 'price_e4');

describe('apply', () => {
  test('with --dry-run shows the plan and writes nothing', async () => {
    const { code, stdout, stderr } = await run(['apply', file, '--dry-run'], { env });
    expect(code).toBe(0);
    expect(stdout).toContain('+ sku CARD-10');
    expect(stdout).toContain('price: 10.00');
    expect(stdout + stderr).not.toContain(SECRET);
    expect(await skus()).toEqual([]);
  });

  test('with nobody to confirm writes nothing, and is wrong usage', async () => {
    const { code, stderr } = await run(['apply', file], { env });
    expect(code).toBe(2);
    expect(stderr).toContain('repeat the command with --yes');
    expect(await skus()).toEqual([]);
  });

  test('with --yes writes it and shows the new key once; again changes nothing', async () => {
    const first = await data<Applied>(['apply', file, '--yes'], { env });
    expect(first.applied).toBe(true);
    expect(first.issued.find(({ what }) => what === 'key main')?.secret).toMatch(/^sk_live_/);
    expect(await skus()).toEqual([{ sku: 'CARD-10', is_enabled: 1, price_e4: 100_000 }]);
    const again = await data<Applied>(['apply', file, '--yes'], { env });
    expect(again.issued).toEqual([]);
    expect(again.changes.filter(({ kind, action }) => kind !== 'storefront' && action !== 'unchanged')).toEqual([]);
  });

  test('shows a changed price as before and after', async () => {
    await data(['apply', file, '--yes'], { env });
    writeFileSync(file, CATALOG.replace('10.00', '10.5001'));
    const { code, stderr } = await run(['apply', file, '--yes'], { env });
    expect(code).toBe(0);
    expect(stderr).toContain('price: 10.00 → 10.5001');
  });

  test('reports every fault of the file with its line, and is exit 3', async () => {
    writeFileSync(file, CATALOG.replace('kind: code', 'kind: cod').replace('account: sim-a,', 'account: sim-b,'));
    const { code, stderr } = await run(['apply', file, '--yes'], { env });
    expect(code).toBe(3);
    expect(stderr).toMatch(/skus\.CARD-10\.kind: .*catalog\.yaml:\d+/);
    expect(await skus()).toEqual([]);
  });

  test('names a secret that is not to be had', async () => {
    const { SIM_A_KEY: _, ...others } = env;
    const { code, stderr } = await run(['apply', file, '--yes'], { env: others });
    expect(code).toBe(3);
    expect(stderr).toContain('SIM_A_KEY is not set');
  });

  test('refuses to drop what open orders need, and is exit 7', async () => {
    await data(['apply', file, '--yes'], { env });
    await world.addSupplier('b');
    await world.addSku('airtime', { kind: 'recharge' });
    await world.addSource('airtime', 'b');
    world.simulators.b!.fault('accept_then_drop');
    await world.place({ sku: 'airtime', recipient: { account: '13900001111' } });
    await world.idle();
    const planned = await run(['apply', file, '--dry-run'], { env });
    expect(planned.code).toBe(7);
    expect(planned.stdout).toContain('refused: 1 orders and 1 attempts are open');
    const applied = await run(['apply', file, '--yes'], { env });
    expect(applied.code).toBe(7);
    expect(applied.stderr).toContain('cannot disable sku airtime');
    expect(await world.database.read('skus').where({ sku: 'airtime' }).first('is_enabled')).toEqual({ is_enabled: 1 });
  });

  test('a file that is not there is wrong usage', async () => {
    expect((await run(['apply', join(folder, 'none.yaml')], { env })).code).toBe(2);
  });
});
