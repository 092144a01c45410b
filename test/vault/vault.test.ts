// The vault's promises on a real database: what goes in comes out, once, to one order.

import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createKeyring } from '../../vault/keyring.js';
import { keyText } from '../../vault/sources.js';
import { createVault, type IssueResult } from '../../vault/vault.js';
import { DAY, depositOf, numbered, openVaultWorld, START, type VaultWorld } from './world.js';

let world: VaultWorld;
let serial = 0;
/** A SKU and an order of this test alone. */
let sku: string;
let order: string;

beforeAll(async () => {
  world = await openVaultWorld();
});
afterAll(() => world.close());
beforeEach(() => {
  serial++;
  sku = `SKU-${serial}`;
  order = `ord_${serial}`;
  world.clock.now = START + serial * DAY;
});

const deposit = (codes: Parameters<typeof depositOf>[0], more: Parameters<typeof depositOf>[1] = {}) =>
  world.tx((trx) => world.vault.deposit(trx, depositOf(codes, { sku, ...more })));
const issue = (quantity: number, more: { order_id?: string; first_unit?: number; code_ids?: string[] } = {}) =>
  world.tx(
    async (trx) => (await world.vault.issue(trx, [{ order_id: order, sku, first_unit: 1, quantity, ...more }]))[0]!,
  );
const reveal = (order_id = order, more = {}) =>
  world.tx((trx) => world.vault.reveal(trx, { order_id, by: 'storefront:shop', reason: 'delivery', ...more }));
const idsOf = (result: IssueResult): string[] => ('issued' in result ? result.issued.map((one) => one.code_id) : []);
const stock = async () => (await world.vault.stock(world.database.read, [sku]))[0]!;

describe('deposit', () => {
  test('every kind of content comes out byte for byte', async () => {
    const bytes = Buffer.from([0, 255, 13, 10, 128, 37, 48, 65]);
    const codes = [
      {
        number: '%0A<>"\'=\t＝１２３\u0065\u0301🎁',
        pin: '0000',
        serial: 'S-1',
        link: 'https://redeem.example/?a=1&b=2',
      },
      { number: bytes },
      { pin: ' 12 34 ', expires_at: START + 900 * DAY },
      { link: 'x'.repeat(4096) },
      { number: { reveal: () => 'wrapped' } },
    ];
    await deposit(codes);
    await issue(5);
    const out = await reveal();
    expect(out).toHaveLength(5);
    const first = out.find((code) => code.expires_at !== null)!;
    expect(first.unit_no).toBe(1);
    expect(first.pin!.reveal()).toBe(' 12 34 ');
    expect(out.map((code) => code.number?.reveal()).filter((text) => text === codes[0]!.number)).toHaveLength(1);
    const full = out.find((code) => code.serial)!;
    expect([full.pin!.reveal(), full.serial!.reveal(), full.link!.reveal()]).toEqual(['0000', 'S-1', codes[0]!.link]);
    expect(out.some((code) => code.number?.bytes().equals(bytes))).toBe(true);
    expect(out.some((code) => code.link?.reveal() === 'x'.repeat(4096))).toBe(true);
    expect(out.some((code) => code.number?.reveal() === 'wrapped')).toBe(true);
  });

  test('the parts of a total cost sum to it exactly', async () => {
    const { batch_id } = await deposit(numbered(7), { total_cost_e4: 1_000_003, currency: 'CNY' });
    const result = await issue(7);
    const costs = 'issued' in result ? result.issued.map((one) => one.cost_e4!) : [];
    expect(costs.reduce((sum, cost) => sum + cost, 0)).toBe(1_000_003);
    expect(Math.max(...costs) - Math.min(...costs)).toBe(1);
    expect(
      'issued' in result && result.issued.every((one) => one.batch_id === batch_id && one.currency === 'CNY'),
    ).toBe(true);
  });

  test('content already here, issued, or twice in the deposit is named and not stored again', async () => {
    const first = await deposit([{ number: 'A', pin: '1', serial: 'S1' }, { number: 'B' }]);
    await issue(1);
    const second = await deposit([
      { number: 'B' },
      { number: 'NEW' },
      { number: 'NEW' },
      { number: 'A', pin: '1', serial: 'S2' },
    ]);
    const [a, b] = first.codes as { code_id: string }[];
    const fresh = (second.codes[1] as { code_id: string }).code_id;
    expect(second.codes).toEqual([
      { duplicate_of: b!.code_id, state: 'available' },
      { code_id: fresh },
      { duplicate_of: fresh, state: 'available' },
      { duplicate_of: a!.code_id, state: 'issued' },
    ]);
    expect(await stock()).toMatchObject({ available: 2, issued: 1 });
  });

  test('another PIN is another code, and another SKU another scope', async () => {
    await deposit([{ number: 'A', pin: '1' }]);
    const more = await deposit([{ number: 'A', pin: '2' }, { number: 'A' }, { pin: 'A' }]);
    expect(more.codes.every((code) => 'code_id' in code)).toBe(true);
    sku = `${sku}-OTHER`;
    const other = await deposit([{ number: 'A', pin: '1' }]);
    expect('code_id' in other.codes[0]!).toBe(true);
  });

  test('a large deposit writes first, and still names each code that was here, and splits the cost over the rest', async () => {
    const before = await deposit(numbered(3, 'OLD'));
    const codes = [...numbered(300, 'NEW'), numbered(3, 'OLD')[1]!, ...numbered(1, 'NEW')];
    const { result, row_before } = await world.tx(async (trx) => {
      // What the transaction wrote before the refused insert stays.
      await trx('vault_state').insert({ name: `mark-${sku}`, value: 'kept', updated_at: world.clock.now });
      const result = await world.vault.deposit(
        trx,
        depositOf(codes, { sku, total_cost_e4: 1_000_003, currency: 'CNY' }),
      );
      return {
        result,
        row_before: await trx('vault_state')
          .where({ name: `mark-${sku}` })
          .first(),
      };
    });
    expect(row_before).toMatchObject({ value: 'kept' });
    const first = (result.codes[0] as { code_id: string }).code_id;
    expect(result.codes.slice(300)).toEqual([
      { duplicate_of: (before.codes[1] as { code_id: string }).code_id, state: 'available' },
      { duplicate_of: first, state: 'available' },
    ]);
    const { batch_id } = result;
    const batches = await world.database.read('batches').where({ sku });
    expect(batches).toHaveLength(2);
    expect(batches.find((one) => one.batch_id === batch_id)).toMatchObject({
      codes_count: 300,
      duplicates_count: 2,
      unallocated_e4: 0,
    });
    expect(await world.database.read('batch_keys').where({ batch_id })).toMatchObject([{ seals_count: 300 }]);
    const rows = await world.database.read('codes').where({ batch_id });
    expect(rows.map((one) => one.code_id).sort()).toEqual(
      result.codes.slice(0, 300).map((one) => (one as { code_id: string }).code_id),
    );
    expect(rows.reduce((sum, one) => sum + one.cost_e4, 0)).toBe(1_000_003);
    expect(await world.database.read('ledger_inbox').where({ batch_id, act: 'deposit' })).toMatchObject([
      { count: 300 },
    ]);
    await issue(303);
    const numbers = (await reveal()).map((code) => code.number!.reveal());
    expect(new Set(numbers)).toEqual(
      new Set([...numbered(300, 'NEW'), ...numbered(3, 'OLD')].map((one) => one.number)),
    );
  });

  test('two large deposits of the same codes at once leave each code once', async () => {
    const results = await Promise.all([deposit(numbered(400)), deposit(numbered(400))]);
    expect(await stock()).toMatchObject({ available: 400 });
    const fresh = results.flatMap(({ codes }) => codes.filter((one) => 'code_id' in one));
    expect(fresh).toHaveLength(400);
  });

  test('a deposit of duplicates only keeps the batch and what it cost', async () => {
    await deposit([{ number: 'A' }]);
    const { batch_id } = await deposit([{ number: 'A' }], { total_cost_e4: 500, currency: 'CNY' });
    const row = await world.database.read('batches').where({ batch_id }).first();
    expect(row).toMatchObject({ codes_count: 0, duplicates_count: 1, total_cost_e4: 500, unallocated_e4: 500 });
  });

  test.each([
    ['no code', { codes: [] }, 'codes'],
    ['a serial alone', { codes: [{ serial: 'S' }] }, 'number'],
    ['an empty number', { codes: [{ number: '' }] }, 'number'],
    ['4,097 bytes', { codes: [{ number: 'x'.repeat(4097) }] }, 'number'],
    ['half a surrogate pair', { codes: [{ pin: '\ud800' }] }, 'pin'],
    ['a broken expiry', { codes: [{ number: 'A', expires_at: 1.5 }] }, 'codes[0].expires_at'],
    ['a negative cost', { total_cost_e4: -1, currency: 'CNY' }, 'total_cost_e4'],
    ['a cost without currency', { total_cost_e4: 5 }, 'currency'],
    ['no SKU', { sku: '' }, 'sku'],
    ['nobody', { received_by: '' }, 'received_by'],
    ['a long document', { document: 'x'.repeat(129) }, 'document'],
    ['an unknown origin', { origin: 'gift' as never }, 'origin'],
  ])('refuses %s and names the field', async (_title, fault, field) => {
    await expect(deposit([{ number: 'A' }], fault)).rejects.toMatchObject({
      name: 'VaultError',
      code: 'invalid',
      details: { field },
    });
    expect(await stock()).toMatchObject({ available: 0 });
  });

  test('an error about a code does not hold the code', async () => {
    const secret = `CANARY-${'9'.repeat(4100)}`;
    const error = await deposit([{ number: secret }]).catch((thrown) => thrown);
    expect(inspect(error, { depth: 9 })).not.toContain('CANARY-99');
  });
});

describe('issue', () => {
  test('the same order again returns the same codes', async () => {
    await deposit(numbered(5));
    const first = await issue(2);
    expect(await issue(2)).toEqual(first);
    const third = await issue(3);
    expect(idsOf(third).slice(0, 2)).toEqual(idsOf(first));
    expect(await stock()).toMatchObject({ available: 2, issued: 3 });
  });

  test('first expired first, then oldest; never an expired or quarantined one', async () => {
    const now = world.clock.now;
    await deposit([{ number: 'gone', expires_at: now }]);
    await deposit([{ number: 'doubt', expires_at: now + DAY }], { quarantined: 'supplier complained' });
    await deposit([{ number: 'old' }]);
    await deposit([
      { number: 'late', expires_at: now + 9 * DAY },
      { number: 'soon', expires_at: now + 2 * DAY },
    ]);
    world.clock.now += 1;
    await deposit([{ number: 'new' }]);
    await issue(4);
    expect((await reveal()).map((code) => code.number!.reveal())).toEqual(['soon', 'late', 'old', 'new']);
    expect(await issue(1, { order_id: `${order}-b` })).toEqual({ short: { available: 0 } });
    expect(await stock()).toEqual({
      sku,
      available: 0,
      quarantined: 1,
      issued: 4,
      void: 0,
      expired: 1,
      next_expiry_at: null,
    });
  });

  test('short stock is a typed refusal, all or none for each wanted', async () => {
    await deposit(numbered(5));
    const wanted = [3, 4, 2].map((quantity, at) => ({ order_id: `${order}-${at}`, sku, first_unit: 1, quantity }));
    const [a, b, c] = await world.tx((trx) => world.vault.issue(trx, wanted));
    expect(idsOf(a!)).toHaveLength(3);
    expect(b).toEqual({ short: { available: 2 } });
    expect(idsOf(c!)).toHaveLength(2);
    expect(await stock()).toMatchObject({ available: 0, issued: 5 });
  });

  test("binds exactly the codes a supplier delivered, and not another SKU's or another order's", async () => {
    await deposit(numbered(3, 'STOCK'));
    const { codes } = await deposit(numbered(2, 'MINE'), {
      origin: 'supplier',
      account: 'sup-a',
      attempt_id: `att_${serial}`,
    });
    const code_ids = codes.map((code) => (code as { code_id: string }).code_id);
    const result = await issue(2, { code_ids });
    expect(idsOf(result)).toEqual(code_ids);
    expect((await reveal()).map((code) => code.number!.reveal())).toEqual(['MINE-000000', 'MINE-000001']);
    expect(await issue(2, { code_ids })).toEqual(result);
    expect(await issue(2, { order_id: `${order}-x`, code_ids })).toEqual({ short: { available: 0 } });
    const elsewhere = await world.tx((trx) =>
      world.vault.issue(trx, [{ order_id: `${order}-y`, sku: 'OTHER', first_unit: 1, quantity: 2, code_ids }]),
    );
    expect(elsewhere).toEqual([{ short: { available: 0 } }]);
  });

  test('serves 64 orders in one call, with the costs of exactly their codes', async () => {
    await deposit(numbered(64), { total_cost_e4: 64_000, currency: 'CNY' });
    const wanted = Array.from({ length: 64 }, (_, at) => ({
      order_id: `${order}-${at}`,
      sku,
      first_unit: 1,
      quantity: 1,
    }));
    const results = await world.tx((trx) => world.vault.issue(trx, wanted));
    expect(new Set(results.flatMap(idsOf)).size).toBe(64);
    expect(results.every((one) => 'issued' in one && one.issued[0]!.cost_e4 === 1000)).toBe(true);
    expect(await world.tx((trx) => world.vault.issue(trx, wanted))).toEqual(results);
  });

  test('a claim walks the claim index and no other', async () => {
    await deposit(numbered(5));
    const { write } = world.database;
    const seen: { sql: string; bindings: unknown[] }[] = [];
    const listen = (query: { sql: string; bindings: unknown[] }): void => void seen.push(query);
    write.on('query', listen);
    await issue(2);
    write.removeListener('query', listen);
    const claim = seen.find(
      ({ sql }) => sql.includes('codes_claim') || (sql.startsWith('select') && sql.includes('`sealed` from `codes`')),
    )!;
    const explain = world.database.dialect === 'mysql' ? 'explain' : 'explain query plan';
    const plan = await write.raw(`${explain} ${claim.sql.replace(/ for update.*/, '')}`, claim.bindings as never);
    expect(JSON.stringify(plan)).toContain('codes_claim');
    expect(JSON.stringify(plan)).not.toMatch(/TEMP B-TREE|filesort/);
  });

  test('racing transactions never share a code, and the refusals are exact', async () => {
    await deposit(numbered(40));
    const results = await Promise.all(Array.from({ length: 60 }, (_, at) => issue(1, { order_id: `${order}-${at}` })));
    expect(new Set(results.flatMap(idsOf)).size).toBe(40);
    expect(results.filter((one) => 'short' in one)).toHaveLength(20);
  });

  test('the same order raced sixteen times gets one set of codes', async () => {
    await deposit(numbered(40));
    const results = await Promise.all(Array.from({ length: 16 }, () => issue(2)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await stock()).toMatchObject({ available: 38, issued: 2 });
  });

  test('a rolled back issue leaves the codes in stock', async () => {
    await deposit(numbered(2));
    const failed = world.tx(async (trx) => {
      await world.vault.issue(trx, [{ order_id: order, sku, first_unit: 1, quantity: 2 }]);
      throw new Error('the order changed its mind');
    });
    await expect(failed).rejects.toThrow('changed its mind');
    expect(await stock()).toMatchObject({ available: 2, issued: 0 });
  });

  test('a code that does not open is quarantined by itself, and the next one issued', async () => {
    const { codes } = await deposit(numbered(3));
    const bad = (codes[0] as { code_id: string }).code_id;
    const row = await world.database.read('codes').where({ code_id: bad }).first();
    const sealed = Buffer.from(row.sealed);
    sealed[20]! ^= 1;
    await world.tx((trx) => trx('codes').where({ code_id: bad }).update({ sealed }));
    const ids = idsOf(await issue(2));
    expect(ids).toHaveLength(2);
    expect(ids).not.toContain(bad);
    expect(await stock()).toMatchObject({ available: 0, quarantined: 1, issued: 2 });
  });

  test.each([
    [[{ quantity: 0 }], 'quantity'],
    [[{ first_unit: 0 }], 'first_unit'],
    [[{ code_ids: ['cod_1', 'cod_2'] }], 'code_ids'],
    [[{ quantity: 2 }, { first_unit: 2 }], 'wanted'],
    [[{ quantity: 10_001 }], 'wanted'],
  ])('refuses %j and names the field', async (faults, field) => {
    const wanted = faults.map((fault) => ({ order_id: order, sku, first_unit: 1, quantity: 1, ...fault }));
    await expect(world.tx((trx) => world.vault.issue(trx, wanted))).rejects.toMatchObject({
      code: 'invalid',
      details: { field },
    });
  });

  test('the database itself refuses a second issue of a code, of a unit, or as another SKU', async () => {
    await deposit(numbered(3));
    const ids = idsOf(await issue(1));
    const row = {
      order_id: 'ord_x',
      unit_no: 1,
      generation: 0,
      code_id: ids[0]!,
      sku,
      batch_id: 'bat_x',
      issued_at: 1,
    };
    const insert = (more: object) => world.tx((trx) => trx('issues').insert({ ...row, ...more }));
    const spare = await world.database.read('codes').where({ sku, state: 'available' }).first();
    await expect(insert({})).rejects.toThrow(/UNIQUE|Duplicate/);
    await expect(insert({ order_id: order, code_id: spare.code_id })).rejects.toThrow(/UNIQUE|Duplicate/);
    await expect(insert({ code_id: spare.code_id, sku: 'OTHER' })).rejects.toThrow(/FOREIGN|foreign/);
  });
});

describe('reveal', () => {
  test('writes who and why before anything is opened, and pages', async () => {
    await deposit(numbered(10));
    await issue(10);
    const page = await reveal(order, { first_unit: 4, limit: 3, by: 'operator:wu', reason: 'buyer lost the mail' });
    expect(page.map((code) => code.unit_no)).toEqual([4, 5, 6]);
    const row = await world.database.read('reveals').where({ order_id: order }).first();
    expect(row).toMatchObject({ revealed_by: 'operator:wu', reason: 'buyer lost the mail', codes_count: 3 });
    const record = await world.database.read('ledger_inbox').where({ order_id: order, act: 'reveal' }).first();
    expect(record).toMatchObject({ actor: 'operator:wu', count: 3 });
  });

  test('an order without codes shows nothing and leaves no row', async () => {
    expect(await reveal('ord_none')).toEqual([]);
    expect(await world.database.read('reveals').where({ order_id: 'ord_none' })).toHaveLength(0);
  });

  test('no ledger, no reveal', async () => {
    await deposit(numbered(1));
    await issue(1);
    await world.database.write.schema.renameTable('ledger_inbox', 'ledger_away');
    try {
      await expect(reveal()).rejects.toThrow(/ledger_inbox/);
    } finally {
      await world.database.write.schema.renameTable('ledger_away', 'ledger_inbox');
    }
    expect(await world.database.read('reveals').where({ order_id: order })).toHaveLength(0);
    expect(await reveal()).toHaveLength(1);
  });

  test('content prints as sealed wherever text is made of it', async () => {
    await deposit([{ number: 'CANARY' }]);
    await issue(1);
    const codes = await reveal();
    expect(codes[0]!.number!.reveal()).toBe('CANARY');
    expect(`${codes[0]!.number} ${JSON.stringify(codes)} ${inspect(codes)}`).not.toContain('CANARY');
  });

  test('a code moved to another order row, or edited, is refused', async () => {
    await deposit(numbered(2));
    await issue(2);
    const [a, b] = await world.database.read('codes').where({ sku }).orderBy('code_id');
    await world.tx(async (trx) => {
      await trx('codes')
        .where({ code_id: a.code_id })
        .update({ sealed: Buffer.from(b.sealed) });
    });
    await expect(reveal()).rejects.toMatchObject({ code: 'unauthentic' });
  });
});

describe('quarantine, release, void', () => {
  const act = { by: 'operator:lin', reason: 'supplier recalls the batch' };

  test('a batch goes out of stock and comes back; void is for good; issued codes stay', async () => {
    const { batch_id } = await deposit(numbered(5));
    await issue(1);
    const run = (name: 'quarantine' | 'release' | 'voidCodes') =>
      world.tx((trx) => world.vault[name](trx, { batch_id }, act));
    expect(await run('quarantine')).toEqual({ count: 4 });
    expect(await issue(1, { order_id: `${order}-b` })).toEqual({ short: { available: 0 } });
    expect(await run('release')).toEqual({ count: 4 });
    expect(await run('voidCodes')).toEqual({ count: 4 });
    expect(await run('release')).toEqual({ count: 0 });
    expect(await run('quarantine')).toEqual({ count: 0 });
    expect(await stock()).toMatchObject({ available: 0, quarantined: 0, issued: 1, void: 4 });
  });

  test('an act needs a name and a reason', async () => {
    const run = (by: string, reason: string) => world.tx((trx) => world.vault.quarantine(trx, { sku }, { by, reason }));
    await expect(run('', 'why')).rejects.toMatchObject({ details: { field: 'by' } });
    await expect(run('x', ' ')).rejects.toMatchObject({ details: { field: 'reason' } });
  });
});

describe('keys', () => {
  test('another master key is refused before anything is written', async () => {
    await deposit(numbered(1));
    const keyring = createKeyring(keyText('another file', `1 ${Buffer.alloc(32, 7).toString('base64')}`));
    const { dialect, can_skip_locked } = world.database;
    const stranger = createVault({ keyring, now: () => world.clock.now, dialect, can_skip_locked });
    await expect(world.tx((trx) => stranger.deposit(trx, depositOf(numbered(1, 'X'), { sku })))).rejects.toMatchObject({
      code: 'key_source',
    });
    await expect(
      world.tx((trx) => stranger.issue(trx, [{ order_id: order, sku, first_unit: 1, quantity: 1 }])),
    ).rejects.toMatchObject({ code: 'key_source' });
  });

  test('sealed in the database, every vault stops within a second and figures still work', async () => {
    await deposit(numbered(2));
    await issue(1);
    const sealing = (work: 'insert' | 'delete') =>
      world.tx(async (trx) => {
        if (work === 'delete') await trx('vault_state').where({ name: 'sealed_at' }).delete();
        else
          await trx('vault_state').insert({
            name: 'sealed_at',
            value: String(world.clock.now),
            updated_at: world.clock.now,
          });
      });
    await sealing('insert');
    world.clock.now += 1000;
    await expect(reveal()).rejects.toMatchObject({ code: 'sealed' });
    await expect(issue(1)).rejects.toMatchObject({ code: 'sealed' });
    await expect(deposit(numbered(1, 'Z'))).rejects.toMatchObject({ code: 'sealed' });
    expect(() => world.vault.sealText('webhook_secret', 'shop', 'x')).toThrow(
      expect.objectContaining({ code: 'sealed' }),
    );
    expect(await world.vault.isSealed(world.database.read)).toBe(true);
    expect(await stock()).toMatchObject({ available: 1, issued: 1 });
    await sealing('delete');
    world.clock.now += 1000;
    expect(await reveal()).toHaveLength(1);
  });

  test('a sealed text opens only for its purpose and context', () => {
    const { vault } = world;
    const sealed = vault.sealText('webhook_secret', 'shop-a', '密钥 🎁');
    expect(sealed).not.toContain('密钥');
    expect(vault.openText('webhook_secret', 'shop-a', sealed)).toBe('密钥 🎁');
    for (const [purpose, context, text] of [
      ['webhook_secret', 'shop-b', sealed],
      ['credentials', 'shop-a', sealed],
      ['webhook_secret', 'shop-a', `${sealed.slice(0, -2)}AA`],
      ['webhook_secret', 'shop-a', 'plain'],
    ] as const) {
      expect(() => vault.openText(purpose, context, text)).toThrow(expect.objectContaining({ code: 'unauthentic' }));
    }
  });
});
