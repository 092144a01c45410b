// The vault's commands as real processes on the database of a gateway. One world for all, because a command takes long
// enough: each test has a SKU of its own.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import iconv from 'iconv-lite';
import forge from 'node-forge';
import writeXlsxFile from 'write-excel-file/node';
import { SEALED_COLUMNS } from '../../src/sealed-columns.js';
import { VAULT_SEALED_COLUMNS } from '../../vault/rotate.js';
import { makeWorld, type World } from '../kit/world.js';
import { data, type Environment, environmentOf, type Ran, type RunOptions, run } from './program.js';

let world: World;
let env: Environment;
let folder: string;
let sku: string;
let tests = 0;
beforeAll(async () => {
  world = await makeWorld({ journal: true, real_clock: true });
  env = environmentOf(world);
  folder = dirname(world.key_file);
});
afterAll(async () => {
  await world.close();
});
beforeEach(async () => {
  sku = `sku-${++tests}`;
  await world.addSku(sku);
});

// Up to a dozen processes a test, on a machine that may have much else to do.
jest.setTimeout(240_000);

const WHY = ['--reason', 'test', '--by', 'li'];
const json = async (args: string[], options: RunOptions = {}): Promise<Ran & { json: Record<string, unknown> }> => {
  const ran = await run(['--json', ...args], { env, ...options });
  // An error is the last line: how far it came was told before.
  const said = ran.stdout || (ran.stderr.trimEnd().split('\n').at(-1) ?? '');
  return { ...ran, json: JSON.parse(said) as Record<string, unknown> };
};
const deposit = (args: string[], input: string) => json(['vault', 'deposit', '-', '--sku', sku, ...args], { input });
const stock = async (): Promise<Record<string, unknown>> =>
  (await world.gateway.vault.stock(world.database.read, [sku]))[0] as unknown as Record<string, unknown>;
const placed = async (quantity = 1): Promise<string> => {
  const { order } = await world.place({ sku, quantity });
  expect(order.state).toBe('delivered');
  return order.order_id;
};
const batchOf = async (): Promise<string> =>
  ((await world.database.read('batches').where({ sku }).first('batch_id')) as { batch_id: string }).batch_id;
function file(name: string, content: string | Buffer): string {
  const path = join(folder, `${tests}-${name}`);
  writeFileSync(path, content);
  return path;
}

describe('deposit', () => {
  test('only tries unless --commit, with a verdict for each line and never its text', async () => {
    const tried = await deposit([], 'AAA-1\nAAA-2,1234\n\nAAA-1\n');
    expect(tried.code).toBe(8);
    expect(tried.json).toMatchObject({
      committed: false,
      batch_id: null,
      deposited: 2,
      lines: 4,
      counts: { ok: 2, empty: 1, duplicate_in_file: 1 },
      bad: [
        { line: 3, verdict: 'empty' },
        { line: 4, verdict: 'duplicate_in_file', same_as_line: 1, fix: expect.stringContaining('Delete') },
      ],
    });
    expect(tried.stdout + tried.stderr).not.toContain('AAA');
    expect(await stock()).toMatchObject({ available: 0 });
    const text = await run(['vault', 'deposit', '-', '--sku', sku], { env, input: 'AAA-1\nAAA-1\n' });
    expect(text.stdout).toMatch(/would deposit 1 codes[\s\S]*2 +duplicate_in_file \(line 1\)/);
    expect(text.stderr).toContain('reading: 100 %');
  });

  test('--commit puts them into stock, once, exactly as they stand; the cost is split to the last part', async () => {
    const first = await deposit(
      ['--commit', '--total-cost', '19.5001', '--document', 'PO-7', '--supplier', 'vault'],
      'AAA-1\n  AAA 2 ,"p,1"\r\n',
    );
    expect([first.code, first.json.deposited]).toEqual([0, 2]);
    const again = await deposit(['--commit'], 'AAA-1\nAAA-3\n');
    expect(again.code).toBe(8);
    expect(again.json).toMatchObject({ deposited: 1, bad: [{ line: 1, verdict: 'duplicate_in_stock' }] });
    const batches = await data<object[]>(['vault', 'batches', '--sku', sku], { env });
    expect(batches).toMatchObject([
      { codes_count: 1, total_cost: null, states: { available: 1 } },
      {
        codes_count: 2,
        total_cost: '19.5001',
        currency: 'CNY',
        document: 'PO-7',
        unallocated: '0.00',
        state: 'closed',
      },
    ]);
    expect(await world.codes(await placed(2))).toEqual(['AAA-1', '  AAA 2 ']);
  });

  test('reads GBK with the columns mapped, and gives dates the offset that is said', async () => {
    const path = file('codes.csv', iconv.encode('卡号,密码,到期\n甲-1,1111,2031-01-01\n甲-2,2222,2031-01-01\n', 'gbk'));
    const map = ['--map', 'number=卡号', '--map', 'pin=密码', '--map', 'expires_at=到期'];
    const wrong = await json(['vault', 'deposit', path, '--sku', sku, ...map]);
    expect([wrong.code, wrong.json]).toMatchObject([2, { error: { field: 'encoding' } }]);
    const args = ['--encoding', 'gbk', '--utc-offset', '+08:00', '--unit-cost', '1.25', '--commit'];
    const done = await json(['vault', 'deposit', path, '--sku', sku, ...map, ...args]);
    expect([done.code, done.json.deposited]).toEqual([0, 2]);
    expect(await world.codes(await placed(1))).toEqual(['甲-1']);
    const { expires_at, cost_e4 } = await world.database.read('codes').where({ sku }).first();
    expect([Number(expires_at), cost_e4]).toEqual([Date.UTC(2031, 0, 1, 16), 12_500]);
    const soon = await data<object[]>(['vault', 'expiring', '--days', '3650'], { env });
    expect(soon).toContainEqual(expect.objectContaining({ sku, count: 1, cost: '1.25' }));
    expect(await data(['vault', 'expiring', '--days', '1'], { env })).toEqual([]);
  });

  test('reads a spreadsheet, where a number is no code', async () => {
    const rows = [
      ['number', 'unit_cost'],
      ['0012', 1.5],
      [12, 1.5],
    ];
    const cell = (value: string | number) => ({ value, type: typeof value === 'string' ? String : Number });
    const book = writeXlsxFile(rows.map((row) => row.map(cell)) as never) as unknown as { toBuffer(): Promise<Buffer> };
    const done = await json(['vault', 'deposit', file('codes.xlsx', await book.toBuffer()), '--sku', sku, '--commit']);
    expect(done.code).toBe(8);
    expect(done.json).toMatchObject({ deposited: 1, bad: [{ line: 3, verdict: 'format' }] });
    expect(await world.codes(await placed())).toEqual(['0012']);
  });

  test('writes the bad lines to a file of their own, masked, to be corrected into the same batch', async () => {
    await data(['vault', 'policy', sku, '--number-rule', '[A-Z]{12}', ...WHY], { env });
    const errors = join(folder, `${tests}-errors.csv`);
    const first = await deposit(['--commit', '--errors', errors, '--keep-open'], 'ABCDEFGHIJKL\nabcdefghijkl,77\n');
    expect([first.code, first.json.deposited]).toEqual([8, 1]);
    const text = readFileSync(errors, 'utf8');
    expect(text).toContain('2,format');
    expect(text).not.toContain('cdefghij');
    expect(statSync(errors).mode & 0o077).toBe(0);
    expect((await json(['vault', 'deposit', errors, '--sku', sku])).json).toMatchObject({ counts: { format: 1 } });
    const corrected = file('corrected.csv', text.replace(/ab•••kl/, 'MNOPQRSTUVWX').replace('•••', '77'));
    const batch = ['--batch', String(first.json.batch_id)];
    const second = await json(['vault', 'deposit', corrected, '--sku', sku, '--commit', ...batch]);
    expect(second).toMatchObject({ code: 0, json: { deposited: 1, batch_id: first.json.batch_id } });
    expect(await stock()).toMatchObject({ available: 2 });
    const closed = await json(['vault', 'deposit', corrected, '--sku', sku, '--commit', ...batch]);
    expect(closed).toMatchObject({ code: 8, json: { counts: { batch_closed: 1 } } });
    expect((await deposit(['--commit', '--errors', errors], 'MNOPQRSTUVWY\nx\n')).code).toBe(2);
  });

  test.each([
    ['a SKU that is not there', ['--sku', 'none'], 'A\n', 6],
    ['a supplier that is not there', ['--supplier', 'none'], 'A\n', 6],
    ['a cost that is no amount', ['--total-cost', '1,5'], 'A\n', 2],
    ['two costs', ['--total-cost', '1', '--unit-cost', '1'], 'A\n', 2],
    ['no code at all', [], '', 2],
    ['too many columns', [], 'A\nA,B,C,D\n', 2],
    ['an open quote', [], '"A\n', 2],
    ['a column that the file does not have', ['--header', '--map', 'number=卡号'], 'a\nb\n', 2],
    ['an error file without a commit', ['--errors', '/dev/null'], 'A\n', 2],
  ])('refuses %s', async (_what, args, input, code) => {
    const result = await run(['vault', 'deposit', '-', '--sku', sku, ...args], { env, input });
    expect(result.stderr).toMatch(/field: [\s\S]*fix: /);
    expect(result.code).toBe(code);
  });
});

describe('stock', () => {
  test('is moved by selection once the count was shown and said yes to', async () => {
    await world.deposit(sku, ['S-1', 'S-2', 'S-3']);
    await placed();
    const unsure = await run(['vault', 'quarantine', '--sku', sku, ...WHY], { env });
    expect(unsure.code).toBe(2);
    expect(unsure.stderr).toMatch(/2 available, 0 quarantined, 1 issued to 1 orders[\s\S]*--yes/);
    expect(await stock()).toMatchObject({ available: 2 });
    const moved = await json(['--yes', 'vault', 'quarantine', '--sku', sku, ...WHY]);
    expect(moved).toMatchObject({ code: 0, json: { count: 2, concerned: { available: 2, issued: 1, orders: 1 } } });
    const batch = ['--batch', await batchOf(), ...WHY];
    expect((await json(['--yes', 'vault', 'release', ...batch])).json).toMatchObject({ count: 2 });
    const { code_id } = await world.database.read('codes').where({ sku, state: 'available' }).first();
    expect((await json(['--yes', 'vault', 'void', '--code', code_id, ...WHY])).json).toMatchObject({ count: 1 });
    expect(await data(['vault', 'stock', sku], { env })).toMatchObject([{ available: 1, void: 1, issued: 1 }]);
    expect((await json(['--yes', 'vault', 'void', '--sku', sku, '--all', ...WHY])).code).toBe(2);
    expect((await json(['--yes', 'vault', 'void', ...WHY])).code).toBe(2);
  });

  test('what is frozen is not issued until it is lifted', async () => {
    await world.deposit(sku, ['F-1', 'F-2']);
    const frozen = await json(['--yes', 'vault', 'freeze', '--sku', sku, ...WHY]);
    expect(frozen).toMatchObject({ code: 0, json: { concerned: { available: 2 } } });
    expect(await data(['vault', 'freezes'], { env })).toMatchObject([
      { freeze_id: frozen.json.freeze_id, scope: 'sku', subject: sku, frozen_by: 'operator:li' },
    ]);
    const args = ['order', 'place', '--storefront', 'mall', '--sku', sku];
    expect(await data(args, { env })).toMatchObject({ status: 'failed' });
    expect((await json(['vault', 'lift', '--sku', sku, ...WHY])).json).toMatchObject({
      freeze_ids: [frozen.json.freeze_id],
    });
    expect((await json(['vault', 'lift', String(frozen.json.freeze_id), ...WHY])).code).toBe(6);
    expect((await json(['vault', 'lift', '--sku', sku, ...WHY])).code).toBe(2);
    expect(await data(args, { env })).toMatchObject({ status: 'delivered' });
  });
});

describe('after the sale', () => {
  test('a bad code is replaced from another batch, disputed, and claimed with a second person', async () => {
    await world.deposit(sku, ['BAD-CODE-0001', 'BAD-CODE-0002']);
    await world.deposit(sku, ['GOOD-1']);
    const order_id = await placed();
    expect((await json(['vault', 'policy', sku, '--disputes-max', '1'])).code).toBe(2);
    // `none` takes a rule away; it must not become a rule of its own.
    expect(await data(['vault', 'policy', sku, '--disputes-max', 'none', ...WHY], { env })).toMatchObject({
      disputes_max: null,
    });
    expect(await data(['vault', 'policy', sku, '--disputes-max', '1', ...WHY], { env })).toMatchObject({
      disputes_max: 1,
    });
    const unit = [order_id, '1', ...WHY];
    const disputed = await json(['vault', 'dispute', ...unit]);
    expect(disputed).toMatchObject({
      code: 0,
      json: { disputes: 1, quarantined: 1, claim_id: expect.stringMatching(/^clm_/) },
    });
    expect((await json(['vault', 'replace', ...unit])).json).toMatchObject({ order_id, code_id: expect.any(String) });
    expect(await world.codes(order_id)).toEqual(['GOOD-1']);
    const none = await json(['vault', 'replace', ...unit]);
    expect([none.code, none.json]).toMatchObject([7, { error: { code: 'conflict' } }]);
    expect((await json(['vault', 'replace', order_id, '9', ...WHY])).code).toBe(6);

    const claim_id = String(disputed.json.claim_id);
    expect(await data(['vault', 'claims'], { env })).toMatchObject([{ claim_id, codes_count: 1 }]);
    const { approval_id } = (await json(['vault', 'ask', '--act', 'claim', '--subject', claim_id, ...WHY])).json;
    const out = join(folder, `${tests}-claim.csv`);
    const open = (path: string) =>
      json(['vault', 'claim', claim_id, '--approval', String(approval_id), '--out', path, '--by', 'li']);
    expect((await open(`${out}-early`)).code).toBe(5);
    expect((await json(['vault', 'approve', String(approval_id), '--by', 'wang'])).code).toBe(0);
    const opened = await open(out);
    expect(opened.code).toBe(0);
    expect(readFileSync(out, 'utf8')).toContain('BAD-CODE-0001');
    expect(opened.stdout + opened.stderr).not.toContain('BAD-CODE-0001');
    expect(statSync(out).mode & 0o077).toBe(0);
  });
});

describe('order codes', () => {
  test('are masked, in full if asked for, and beyond the day’s number only with a second person', async () => {
    await world.deposit(sku, ['SECRET-NUMBER-01', ...Array.from({ length: 5 }, (_, at) => `MORE-${tests}-${at}`)]);
    const [one, many] = [await placed(1), await placed(5)];
    const who = ['--reason', 'the buyer asks', '--by', `person-${tests}`];
    const masked = await run(['order', 'codes', one, ...who], { env });
    expect(masked.code).toBe(0);
    expect(masked.stdout).toContain('number SE•••01');
    expect(masked.stdout).not.toContain('NUMBER');
    expect(await data(['order', 'codes', one, '--full', '--unit', '1', ...who], { env })).toMatchObject({
      is_masked: false,
      codes: [{ unit: 1, fields: { number: 'SECRET-NUMBER-01' } }],
    });
    const refused = await json(['order', 'codes', many, ...who]);
    expect(refused).toMatchObject({ code: 5, json: { error: { code: 'approval_needed' } } });
    expect((await run(['order', 'codes', one], { env })).code).toBe(2);
    expect((await json(['order', 'codes', 'ord_none', ...who])).code).toBe(6);

    const { approval_id } = (await json(['vault', 'ask', '--act', 'reveal', '--subject', many, ...who])).json;
    expect(await data(['vault', 'approvals'], { env })).toContainEqual(
      expect.objectContaining({ approval_id, subject: many, approved_by: null }),
    );
    expect((await json(['vault', 'approve', String(approval_id), '--by', `person-${tests}`])).code).toBe(2);
    await data(['vault', 'approve', String(approval_id), '--by', 'wang'], { env });
    const allowed = ['order', 'codes', many, ...who, '--approval', String(approval_id)];
    expect((await json(allowed)).json.codes).toHaveLength(5);
    expect((await json(allowed)).code).toBe(5);
    const reveals = await world.database.read('reveals').whereIn('order_id', [one, many]).orderBy('at');
    expect(reveals.map(({ codes_count, is_person, reason }) => [codes_count, is_person, reason])).toEqual([
      [1, 1, 'the buyer asks'],
      [1, 1, 'the buyer asks'],
      [5, 1, 'the buyer asks'],
    ]);
  });
});

describe('proofs', () => {
  test('one is made of an issued code, and checked without database and settings', async () => {
    await world.deposit(sku, ['P-1']);
    const order_id = await placed();
    const { code_id } = await world.database.read('issues').where({ order_id }).first();
    const made = join(folder, `${tests}-proof.json`);
    await data(['vault', 'prove', code_id, '--out', made], { env });
    const key = file('key.pem', (await run(['vault', 'keys', '--public'], { env })).stdout);
    // Not even a readable configuration: it is not looked at.
    const bare = { env: { KAMIGATE_PORT: 'none' } };
    const checked = await json(['vault', 'check-proof', made, '--public-key', key], bare);
    expect(checked).toMatchObject({ code: 0, json: { holds: true, code_id, order_id, unit_no: 1 } });

    const other = file('other.json', readFileSync(made, 'utf8').replaceAll(order_id, `${order_id.slice(0, -1)}x`));
    expect(await json(['vault', 'check-proof', other, '--public-key', key], bare)).toMatchObject({
      code: 9,
      json: { holds: false },
    });
    expect((await json(['vault', 'check-proof', key, '--public-key', key], bare)).code).toBe(2);
    expect((await json(['vault', 'check-proof', made, '--public-key', made], bare)).code).toBe(2);
    expect((await json(['vault', 'prove', 'cod_none'])).code).toBe(6);
  });
});

describe('verify', () => {
  test('tells what it checked, and is exit 9 on a row that was changed', async () => {
    await world.deposit(sku, ['V-1', 'V-2']);
    const order_id = await placed();
    const good = await json(['vault', 'verify', '--open']);
    expect([good.code, good.json.ok, (good.json.checks as object[]).length]).toEqual([0, true, 6]);
    const { code_id } = await world.database.read('issues').where({ order_id }).first();
    const set = (state: string) => world.database.write('codes').where({ code_id }).update({ state });
    await set('available');
    const bad = await run(['vault', 'verify'], { env });
    await set('issued');
    expect(bad.code).toBe(9);
    expect(bad.stdout).toMatch(/ok {3}the ledger is one unbroken[\s\S]*FAIL[\s\S]*was issued and is available/);
  });
});

describe('seal-now', () => {
  test('shuts every way to a code and nothing else, until unseal', async () => {
    await world.deposit(sku, ['Z-1']);
    await data(['vault', 'seal-now', ...WHY], { env });
    try {
      const args = ['order', 'place', '--storefront', 'mall', '--sku', sku];
      expect(await json(args)).toMatchObject({ code: 7, json: { error: { code: 'sealed' } } });
      expect(await world.database.read('orders').where({ sku })).toEqual([]);
      expect((await deposit(['--commit'], 'Z-2\n')).code).toBe(7);
      expect(await data(['vault', 'stock', sku], { env })).toMatchObject([{ available: 1 }]);
      expect((await json(['vault', 'verify'])).code).toBe(0);
      expect((await json(['vault', 'verify', '--open'])).code).toBe(7);
    } finally {
      await data(['vault', 'unseal', ...WHY], { env });
    }
    expect((await deposit(['--commit'], 'Z-2\n')).code).toBe(0);
  });
});

describe('keys', () => {
  test('every column of sealed text in the schema is known to the rotation', async () => {
    const { read, dialect } = world.database;
    const tables: string[] =
      dialect === 'sqlite'
        ? (await read('sqlite_master').where({ type: 'table' }).select('name')).map((row) => row.name)
        : (
            await read('information_schema.tables')
              .where('table_schema', read.raw('database()'))
              .select('table_name as name')
          ).map((row) => row.name);
    const found: string[] = [];
    for (const table of tables) {
      for (const column of Object.keys(await read(table).columnInfo()))
        if (/_sealed$/.test(column)) found.push(`${table}.${column}`);
    }
    const known = [...VAULT_SEALED_COLUMNS, ...SEALED_COLUMNS].map(({ table, column }) => `${table}.${column}`);
    expect(found.sort()).toEqual(known.sort());
  });

  test('a new version is added, everything is brought under it, and what is older is refused', async () => {
    await world.deposit(sku, ['K-1', 'K-2']);
    const order_id = await placed();
    await world.addSupplier('keyed');
    expect(await data(['vault', 'add-key'], { env })).toMatchObject({ version: 2 });
    const early = await json(['--yes', 'vault', 'raise-minimum', '2', ...WHY]);
    expect(early).toMatchObject({ code: 7, json: { error: { fix: expect.stringContaining('vault rotate') } } });
    const rotated = await json(['vault', 'rotate', '--deep', '--fingerprints', ...WHY]);
    expect(rotated).toMatchObject({ code: 0, json: { current_version: 2 } });
    expect(Number(rotated.json.codes_resealed)).toBeGreaterThanOrEqual(2);
    expect(Number(rotated.json.texts_resealed)).toBeGreaterThanOrEqual(1);
    expect(rotated.stderr).toMatch(/codes: 100 %[\s\S]*sealed texts: 100 %/);
    const again = await json(['vault', 'rotate', '--deep', ...WHY]);
    expect(again.json).toMatchObject({ keys_rewrapped: 0, texts_resealed: 0, codes_resealed: 0 });
    const keys = await data<{ uses: object[]; codes_to_reseal: number }>(['vault', 'keys'], { env });
    expect(keys).toMatchObject({ current_version: 2, minimum_version: 1, codes_to_reseal: 0, keys_to_rewrap: 0 });
    expect(keys.uses[0]).toMatchObject({ version: 1, batch_keys: 0, texts: 0 });

    expect((await run(['vault', 'raise-minimum', ...WHY], { env })).code).toBe(2);
    expect(await data(['--yes', 'vault', 'raise-minimum', ...WHY], { env })).toEqual({ minimum_version: 2 });
    expect((await run(['vault', 'keys'], { env })).stdout).toMatch(/1 +refused/);
    expect(await world.codes(order_id)).toEqual(['K-1']);
    expect(await world.codes(await placed())).toEqual(['K-2']);
    expect((await json(['vault', 'verify', '--open'])).code).toBe(0);
    const ledger = await world.database.read('ledger_inbox').where({ act: 'key' }).select('actor');
    const chained = await world.database.read('ledger').where({ act: 'key' }).select('actor');
    expect([...ledger, ...chained].map((row) => row.actor)).toContain('operator:li');
  });

  test('the master key may be a PKCS#12 file with its pass phrase in another', async () => {
    const pair = forge.pki.rsa.generateKeyPair(1024);
    const asn1 = forge.pkcs12.toPkcs12Asn1(pair.privateKey, null as never, 'geheim', { algorithm: '3des' });
    const p12 = join(folder, `${tests}.p12`);
    writeFileSync(p12, Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'binary'), { mode: 0o600 });
    const home = join(folder, `home-${tests}`);
    const own: Environment = { KAMIGATE_DATA_DIR: home, KAMIGATE_MASTER_KEY_P12_FILES: `1=${p12}` };
    const missing = await run(['vault', 'keys'], { env: own });
    expect([missing.code, missing.stderr]).toEqual([
      3,
      expect.stringContaining('KAMIGATE_MASTER_KEY_P12_PASSWORD_FILE'),
    ]);
    const phrase = { KAMIGATE_MASTER_KEY_P12_PASSWORD_FILE: file('phrase', 'geheim\n') };
    expect(await data(['init'], { env: { ...own, ...phrase } })).toMatchObject({
      master_key_file: null,
      made_key: false,
    });
    expect(existsSync(join(home, 'master.key'))).toBe(false);
    expect(await data(['vault', 'keys'], { env: { ...own, ...phrase } })).toMatchObject({ versions: [1] });
    expect((await json(['vault', 'add-key'], { env: { ...own, ...phrase } })).code).toBe(2);
    const wrong = { KAMIGATE_MASTER_KEY_P12_PASSWORD_FILE: file('wrong', 'falsch\n') };
    expect((await run(['vault', 'keys'], { env: { ...own, ...wrong } })).code).toBe(3);
    const twice = await run(['vault', 'keys'], {
      env: { ...own, ...phrase, KAMIGATE_MASTER_KEY_FILE: world.key_file },
    });
    expect([twice.code, twice.stderr]).toEqual([3, expect.stringContaining('given twice')]);
  });
});
