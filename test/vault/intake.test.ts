// Importing files: a verdict for every line and never its text, the good lines in, the bad ones back.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import iconv from 'iconv-lite';
import writeXlsxFile from 'write-excel-file/node';
import type { CommitOptions, CommitReport, Intake, IntakePlan } from '../../vault/intake.js';
import { DAY, depositOf, openVaultWorld, START, type VaultWorld } from './world.js';

let world: VaultWorld;
let serial = 0;
let sku: string;

beforeAll(async () => {
  world = await openVaultWorld();
});
afterAll(() => world.close());
beforeEach(() => {
  sku = `SKU-${++serial}`;
  world.clock.now = START + serial * DAY;
});

async function* chunked(bytes: Uint8Array, size = 7): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
function intake(content: string | Uint8Array, plan: Partial<IntakePlan> = {}): Intake {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return {
    plan: {
      sku,
      account: null,
      document: 'PO-1',
      currency: null,
      unit_cost_e4: null,
      total_cost_e4: null,
      received_by: 'operator:lin',
      format: { kind: 'csv' },
      ...plan,
    },
    open: () => chunked(bytes),
    tx: world.tx,
    knex: world.database.read,
  };
}
const dryRun = (content: string | Uint8Array, plan: Partial<IntakePlan> = {}) =>
  world.vault.intake.dryRun(intake(content, plan));
const commit = (
  content: string | Uint8Array,
  plan: Partial<IntakePlan> = {},
  options: CommitOptions = {},
): Promise<CommitReport> => world.vault.intake.commit(intake(content, plan), options);
async function delivered(): Promise<
  { number?: string; pin?: string; serial?: string; link?: string; expires_at: number | null; cost_e4: number | null }[]
> {
  const { available } = (await world.vault.stock(world.database.read, [sku]))[0]!;
  if (available === 0) return [];
  const wanted = [{ order_id: `ord_${serial}`, sku, first_unit: 1, quantity: available }];
  const [result] = await world.tx((trx) => world.vault.issue(trx, wanted));
  const issued = 'issued' in result! ? result.issued : [];
  const codes = await world.tx((trx) =>
    world.vault.reveal(trx, { order_id: `ord_${serial}`, by: 'storefront:shop', reason: 'x' }),
  );
  return codes.map(({ number, pin, serial: label, link, expires_at }, at) => ({
    ...(number ? { number: number.reveal() } : {}),
    ...(pin ? { pin: pin.reveal() } : {}),
    ...(label ? { serial: label.reveal() } : {}),
    ...(link ? { link: link.reveal() } : {}),
    expires_at,
    cost_e4: issued[at]!.cost_e4,
  }));
}

describe('formats', () => {
  const numbers = async () => (await delivered()).map((code) => code.number);

  test('CSV with quotes, a BOM, a header in any order, and CRLF', async () => {
    const text = '\ufeffpin,number,note\r\n0001,"A,""1""\n2",x\r\n 02 ,＝B,y\r\n';
    expect((await commit(text)).counts.ok).toBe(2);
    expect((await delivered()).map(({ number, pin }) => [number, pin])).toEqual([
      ['A,"1"\n2', '0001'],
      ['＝B', ' 02 '],
    ]);
  });

  test('text: a line is a code, whatever is in it; or any separator', async () => {
    await commit('A%0AB\r\n<i>"x"\n =1+1\t\n', { format: { kind: 'text' } });
    expect(await numbers()).toEqual(['A%0AB', '<i>"x"', ' =1+1\t']);
    sku = `${sku}-b`;
    serial += 1000;
    await commit('A----1\nB----2', { format: { kind: 'text', separator: '----' }, map: { number: 1, pin: 2 } });
    expect((await delivered()).map(({ number, pin }) => [number, pin])).toEqual([
      ['A', '1'],
      ['B', '2'],
    ]);
  });

  test('GBK, cut anywhere between two bytes', async () => {
    const text = '卡号,密码\n测试卡一,密一\n测试卡二,密二\n';
    await commit(iconv.encode(text, 'gbk'), {
      format: { kind: 'csv', encoding: 'gbk' },
      map: { number: '卡号', pin: '密码' },
    });
    expect((await delivered()).map(({ number, pin }) => [number, pin])).toEqual([
      ['测试卡一', '密一'],
      ['测试卡二', '密二'],
    ]);
    await expect(dryRun(iconv.encode(text, 'gbk'))).rejects.toMatchObject({ details: { field: 'encoding' } });
  });

  test('XLSX: text cells as they are; a number is not a code, for it has lost its zeroes', async () => {
    const cell = (value: string | number) =>
      typeof value === 'number' ? { value, type: Number } : { value, type: String };
    const rows = [
      ['number', 'pin', 'unit_cost'],
      [' 0012 ', '00', 1.25],
      [12345, 'x', 1],
      ['=SUM(A1)', 'y', 2],
    ];
    const bytes = await (
      writeXlsxFile(rows.map((row) => row.map(cell)) as never) as unknown as { toBuffer(): Promise<Buffer> }
    ).toBuffer();
    const report = await commit(bytes, { format: { kind: 'xlsx' }, currency: 'CNY' });
    expect(report.bad).toEqual([{ line: 3, verdict: 'format' }]);
    expect((await delivered()).map(({ number, cost_e4 }) => [number, cost_e4])).toEqual([
      [' 0012 ', 12_500],
      ['=SUM(A1)', 20_000],
    ]);
    await expect(dryRun('no zip', { format: { kind: 'xlsx' } })).rejects.toMatchObject({ details: { field: 'file' } });
  });
});

describe('verdicts', () => {
  test('each line gets its own, a dry run writes nothing, and no text comes back', async () => {
    await world.tx((trx) => world.vault.deposit(trx, depositOf([{ number: 'SOLD-CODE-1' }], { sku })));
    await world.tx((trx) => world.vault.issue(trx, [{ order_id: `ord_s${serial}`, sku, first_unit: 1, quantity: 1 }]));
    await world.tx((trx) => world.vault.deposit(trx, depositOf([{ number: 'STOCK-CODE-1' }], { sku })));
    await world.tx((trx) =>
      world.vault.control.setPolicy(
        trx,
        sku,
        { order_share_pct: null, hour_batch_max: null, disputes_max: null, number_rule: '[A-Z0-9-]{8,}|x+' },
        { by: 'x', reason: 'y' },
      ),
    );
    const text = [
      'number,expires_at,unit_cost',
      'GOOD-CODE-1,2030-01-31,1.5',
      ',,',
      `${'x'.repeat(4097)},,`,
      'short,,',
      'GOOD-CODE-1,,',
      'STOCK-CODE-1,,',
      'SOLD-CODE-1,,',
      'EXPIRED-CODE-1,2020-01-01,',
      'BAD-DATE-1,31/12/2030,',
      'BAD-COST-1,,1.23456',
      'GOOD-CODE-2,2030-02-30,',
      'GOOD-CODE-3,2030-01-31T12:00:00+08:00,',
    ].join('\n');
    const before = await world.database.read('codes').where({ sku });
    const report = await dryRun(text, { currency: 'CNY' });
    expect(report.bad).toEqual([
      { line: 3, verdict: 'empty' },
      { line: 4, verdict: 'too_long' },
      { line: 5, verdict: 'format' },
      { line: 6, verdict: 'duplicate_in_file', same_as_line: 2 },
      { line: 7, verdict: 'duplicate_in_stock' },
      { line: 8, verdict: 'duplicate_of_issued' },
      { line: 9, verdict: 'expired' },
      { line: 10, verdict: 'format' },
      { line: 11, verdict: 'format' },
      { line: 12, verdict: 'format' },
    ]);
    expect(report).toMatchObject({ lines: 12, counts: { ok: 2, format: 4 } });
    expect(JSON.stringify(report)).not.toContain('CODE');
    expect(await world.database.read('codes').where({ sku })).toEqual(before);
    await world.tx((trx) => world.vault.quarantine(trx, { sku }, { by: 'x', reason: 'y' }));
    await commit(text, { currency: 'CNY' });
    expect((await delivered()).map(({ number, expires_at, cost_e4 }) => [number, expires_at, cost_e4])).toEqual([
      ['GOOD-CODE-3', Date.UTC(2030, 0, 31, 4), null],
      ['GOOD-CODE-1', Date.UTC(2030, 1, 1), 15_000],
    ]);
  });

  test('the bad lines come back masked, and the corrected file goes on in the same batch', async () => {
    let errors = '';
    const first = await commit(
      'number,serial\nAAAABBBBCCCC,1\n,2\nAAAABBBBCCCC,1\n',
      {},
      {
        errors: (text) => {
          errors += text;
        },
        keep_open: true,
      },
    );
    expect(first).toMatchObject({ deposited: 1, counts: { ok: 1, empty: 1, duplicate_in_file: 1 } });
    expect(errors).not.toContain('AAAABBBB');
    expect(
      errors
        .split('\n')
        .slice(0, 3)
        .map((line) => line.split(',').slice(0, 2)),
    ).toEqual([
      ['line', 'verdict'],
      ['3', 'empty'],
      ['4', 'duplicate_in_file'],
    ]);
    const uncorrected = await dryRun(errors, { batch_id: first.batch_id });
    expect(uncorrected.counts).toMatchObject({ ok: 0, format: 2 });
    const corrected = 'line,verdict,fix,number,serial\n3,empty,,NEW-NUMBER,2\n';
    const second = await commit(corrected, { batch_id: first.batch_id });
    expect(second).toMatchObject({ batch_id: first.batch_id, deposited: 1 });
    expect(await world.database.read('batches').where({ batch_id: first.batch_id }).first()).toMatchObject({
      codes_count: 2,
      state: 'closed',
      document: 'PO-1',
      file_hash: first.file_hash,
    });
    expect((await dryRun(corrected.replace('NEW', 'OTHER'), { batch_id: first.batch_id })).counts).toMatchObject({
      batch_closed: 1,
    });
    expect((await commit(corrected.replace('NEW', 'OTHER'), { batch_id: first.batch_id })).deposited).toBe(0);
  });
});

describe('commit', () => {
  const lines = (count: number, prefix = 'N') =>
    `number\n${Array.from({ length: count }, (_, at) => `${prefix}-${at}`).join('\n')}\n`;

  test('a total is split over the good lines to the last ten-thousandth', async () => {
    const report = await commit(`${lines(600)}N-0\n`, { total_cost_e4: 1_000_001, currency: 'CNY' });
    expect(report.deposited).toBe(600);
    const batch = await world.database.read('batches').where({ batch_id: report.batch_id }).first();
    expect(batch).toMatchObject({ total_cost_e4: 1_000_001, unallocated_e4: 0, codes_count: 600 });
    const sum = await world.database.read('codes').where({ batch_id: report.batch_id }).sum({ sum: 'cost_e4' }).first();
    expect(Number(sum?.sum)).toBe(1_000_001);
    expect((await world.vault.verify(world.database.read)).checks.flatMap((check) => check.faults)).toEqual([]);
  });

  test('refuses to write when another number of lines is good than was shown', async () => {
    await expect(commit(lines(3), {}, { expected_ok: 4 })).rejects.toMatchObject({ details: { field: 'expected_ok' } });
    expect(await world.database.read('codes').where({ sku })).toEqual([]);
  });

  test('two imports of the same lines at once write each code once', async () => {
    const reports = await Promise.all([commit(lines(700)), commit(lines(700))]);
    expect(reports[0]!.deposited + reports[1]!.deposited).toBe(700);
    expect((await world.vault.stock(world.database.read, [sku]))[0]).toMatchObject({ available: 700 });
    const counts = reports.map((report) => report.counts.ok + report.counts.duplicate_in_stock);
    expect(counts).toEqual([700, 700]);
  });

  test.each([
    ['an unknown column', 'number\nA\n', { map: { number: 'code' } }, 'map.number'],
    ['no column for the code', 'a,b\n1,2\n', {}, 'map'],
    ['a cost without a currency', 'number\nA\n', { unit_cost_e4: 5 }, 'currency'],
    ['two kinds of cost', 'number\nA\n', { unit_cost_e4: 5, total_cost_e4: 5, currency: 'CNY' }, 'total_cost_e4'],
    ['an unclosed quote', 'number\n"A\n', {}, 'file'],
    ['a batch of another SKU', 'number\nA\n', { batch_id: 'bat_none' }, 'batch_id'],
    ['nobody', 'number\nA\n', { received_by: '' }, 'received_by'],
  ] as [string, string, Partial<IntakePlan>, string][])(
    'refuses %s, naming the field',
    async (_title, text, plan, field) => {
      await expect(commit(text, plan)).rejects.toMatchObject({ code: 'invalid', details: { field } });
    },
  );
});
