// The ledger's chain, its proofs, and a vault that does not forget what it issued when its database is put back.
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Journal, openJournal } from '../../vault/journal.js';
import { checkProof } from '../../vault/proof.js';
import { createVault, type Vault } from '../../vault/vault.js';
import { depositOf, numbered, openVaultWorld, renewVaultWorld, type VaultWorld } from './world.js';

let first: VaultWorld;
let world: VaultWorld;
let folder: string;
let opened: Journal[] = [];
const sku = 'VIDEO-MONTH';
const act = { by: 'operator:lin', reason: 'drill' };

beforeAll(async () => {
  first = await openVaultWorld();
});
afterAll(() => first.close());
beforeEach(async () => {
  world = await renewVaultWorld(first);
  folder = mkdtempSync(join(tmpdir(), 'kamigate-journal-'));
});
afterEach(async () => {
  for (const journal of opened) await journal.close();
  opened = [];
  rmSync(folder, { recursive: true, force: true });
});

const issue = (vault: Vault, order_id: string, quantity = 1) =>
  world.tx(async (trx) => (await vault.issue(trx, [{ order_id, sku, first_unit: 1, quantity }]))[0]!);
const chainAll = async (vault: Vault) => {
  while ((await world.tx((trx) => vault.chain(trx))) > 0);
};
const withJournal = (journal: Journal): Vault => {
  opened.push(journal);
  const { dialect, can_skip_locked } = world.database;
  return createVault({ keyring: world.keyring, now: () => world.clock.now, dialect, can_skip_locked, journal });
};
const faultsOf = async (vault = world.vault) =>
  (await vault.verify(world.database.read, { open_codes: true })).checks.flatMap((check) => check.faults);

async function someActs(vault = world.vault): Promise<void> {
  await world.tx((trx) => vault.deposit(trx, depositOf(numbered(20), { total_cost_e4: 1003, currency: 'CNY' })));
  for (let at = 1; at <= 5; at++) await issue(vault, `ord_${at}`, 2);
  await world.tx((trx) => vault.reveal(trx, { order_id: 'ord_1', by: 'storefront:shop', reason: 'delivery' }));
  await world.tx((trx) => vault.aftersale.replace(trx, { order_id: 'ord_1', unit_no: 1 }, act)).catch(() => undefined);
  await world.tx((trx) => vault.quarantine(trx, { sku }, act));
}

describe('the chain', () => {
  test('takes what is committed, each record once, and verifies with everything else', async () => {
    await someActs();
    await Promise.all([world.tx((trx) => world.vault.chain(trx)), world.tx((trx) => world.vault.chain(trx))]);
    await chainAll(world.vault);
    const head = await world.tx((trx) => world.vault.signHead(trx));
    expect(await world.tx((trx) => world.vault.signHead(trx))).toBeNull();
    const report = await world.vault.verify(world.database.read, { open_codes: true });
    expect(report.checks.flatMap((check) => check.faults)).toEqual([]);
    expect(report.ok).toBe(true);
    expect(report.checks.map((check) => check.checked > 0)).toEqual(report.checks.map(() => true));
    expect(report.checks[0]!.checked).toBe(head!.seq);
    expect(await world.database.read('ledger_inbox').select()).toEqual([]);
  });

  test('records of a rolled back act never reach it', async () => {
    await world.tx((trx) => world.vault.deposit(trx, depositOf(numbered(2))));
    const failed = world.tx(async (trx) => {
      await world.vault.issue(trx, [{ order_id: 'ord_x', sku, first_unit: 1, quantity: 1 }]);
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    await chainAll(world.vault);
    expect(await world.database.read('ledger').where({ act: 'issue' })).toEqual([]);
  });

  test.each([
    ['edited', (trx, seq) => trx('ledger').where({ seq }).update({ actor: 'someone else' })],
    ['deleted', (trx, seq) => trx('ledger').where({ seq }).delete()],
    ['cut off at the end', (trx, seq) => trx('ledger').where('seq', '>=', seq).delete()],
    [
      'swapped',
      async (trx, seq) => {
        const [a, b] = await trx('ledger')
          .whereIn('seq', [seq, seq + 1])
          .orderBy('seq');
        await trx('ledger')
          .whereIn('seq', [seq, seq + 1])
          .delete();
        await trx('ledger').insert([
          { ...a, seq: b.seq },
          { ...b, seq: a.seq },
        ]);
      },
    ],
    [
      'inserted',
      async (trx, seq) => {
        const row = await trx('ledger').where({ seq }).first();
        await trx('ledger').insert({ ...row, seq: 10_000, entry_id: 'evt_forged', hash: 'f'.repeat(64) });
      },
    ],
  ] as [string, (trx: Parameters<Parameters<VaultWorld['tx']>[0]>[0], seq: number) => Promise<unknown>][])(
    'a record that was %s shows',
    async (_title, tamper) => {
      await someActs();
      await chainAll(world.vault);
      await world.tx((trx) => world.vault.signHead(trx));
      await world.tx((trx) => tamper(trx, 3));
      const { checks, ok } = await world.vault.verify(world.database.read);
      expect(ok).toBe(false);
      expect(checks[0]!.faults.length).toBeGreaterThan(0);
    },
  );

  test('an issue that was moved to another order, a code set back to available, a batch count: all show', async () => {
    await someActs();
    await chainAll(world.vault);
    const row = await world.database.read('issues').where({ order_id: 'ord_2' }).first();
    await world.tx(async (trx) => {
      await trx('issues').where({ code_id: row.code_id }).update({ order_id: 'ord_thief' });
      await trx('codes')
        .where({ sku, state: 'issued' })
        .whereNot({ code_id: row.code_id })
        .limit(1)
        .update({ state: 'available' });
      await trx('batches').where({ sku }).update({ codes_count: 7 });
    });
    const text = (await faultsOf()).join('\n');
    expect(text).toMatch(/issue record .* of ord_2 is not what the issues say/);
    expect(text).toMatch(/was issued and is available/);
    expect(text).toMatch(/says 7 codes and has 20/);
  });

  test('a proof of single issue holds by the public key alone, and no altered one does', async () => {
    await someActs();
    const { code_id } = await world.database.read('issues').where({ order_id: 'ord_3', unit_no: 2 }).first();
    await expect(world.tx((trx) => world.vault.prove(trx, code_id))).rejects.toMatchObject({ code: 'conflict' });
    await chainAll(world.vault);
    const proof = await world.tx((trx) => world.vault.prove(trx, code_id));
    const [public_key] = [...(await world.vault.publicKeys(world.database.read)).values()];
    expect(checkProof(JSON.parse(JSON.stringify(proof)), public_key!)).toBe(true);
    for (const change of [
      { order_id: 'ord_9' },
      { unit_no: 1 },
      { code_id: 'cod_other' },
      { hash: 'f'.repeat(64) },
      { issued_at: 1 },
    ]) {
      expect(checkProof({ ...proof, ...change }, public_key!)).toBe(false);
    }
    await expect(world.tx((trx) => world.vault.prove(trx, 'cod_none'))).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('the journal', () => {
  /** What a backup holds: every row of the vault's tables. */
  const TABLES = [
    'vault_state',
    'vault_keys',
    'master_keys',
    'stock_kinds',
    'batches',
    'batch_keys',
    'codes',
    'issues',
    'reveals',
    'ledger_inbox',
    'ledger',
    'ledger_heads',
  ];
  const backup = async () =>
    Promise.all(TABLES.map(async (table) => ({ table, rows: await world.database.read(table).select() })));
  const restore = (saved: Awaited<ReturnType<typeof backup>>) =>
    world.tx(async (trx) => {
      for (const table of [...TABLES].reverse()) await trx(table).delete();
      for (const { table, rows } of saved) {
        for (const row of rows) {
          const bytes = Object.entries(row).map(([name, value]) => [
            name,
            value !== null && typeof value === 'object' ? Buffer.from(value as Buffer) : value,
          ]);
          await trx(table).insert(Object.fromEntries(bytes));
        }
      }
    });
  const start = (vault: Vault) => world.tx((trx) => vault.start(trx));

  test('a restored database issues nothing without it, and with it marks exactly what was issued since', async () => {
    const journal = openJournal(folder);
    const vault = withJournal(journal);
    expect(await start(vault)).toEqual({ status: 'ready', has_journal: true });
    await world.tx((trx) => vault.deposit(trx, depositOf(numbered(60))));
    await issue(vault, 'ord_before', 3);
    await chainAll(vault);
    await issue(vault, 'ord_before2', 2);
    await chainAll(vault);
    const saved = await backup();
    for (let at = 0; at < 20; at++) await issue(vault, `ord_since_${at}`);
    await chainAll(vault);
    const since = (await world.database.read('issues').where('order_id', 'like', 'ord_since%').orderBy('code_id')).map(
      (row) => row.code_id,
    );
    await journal.close();
    await restore(saved);

    world.clock.now += 1000;
    const empty = mkdtempSync(join(tmpdir(), 'kamigate-journal-'));
    for (const other of [world.vault, withJournal(openJournal(empty))]) {
      expect(await start(other)).toMatchObject({ status: 'behind' });
      await expect(issue(other, 'ord_new')).rejects.toMatchObject({ code: 'issuing_sealed' });
    }
    rmSync(empty, { recursive: true });

    const again = withJournal(openJournal(folder));
    expect(await start(again)).toMatchObject({ status: 'behind', missing: 20 });
    await expect(issue(again, 'ord_new')).rejects.toMatchObject({ code: 'issuing_sealed' });
    expect(await world.database.read('issues').where('order_id', 'like', 'ord_since%')).toEqual([]);
    expect(await world.tx((trx) => again.replay(trx, act))).toEqual({ marked: 20, absent: 0, conflicts: 0 });
    expect(await start(again)).toMatchObject({ status: 'ready' });
    const marked = (await world.database.read('issues').where('order_id', 'like', 'ord_since%').orderBy('code_id')).map(
      (row) => row.code_id,
    );
    expect(marked).toEqual(since);
    expect(await world.vault.stock(world.database.read, [sku])).toMatchObject([{ available: 35, issued: 25 }]);
    const result = await issue(again, 'ord_new', 35);
    expect('issued' in result && result.issued.some((one) => since.includes(one.code_id))).toBe(false);
    await chainAll(again);
    expect(await faultsOf(again)).toEqual([]);
    expect(await start(withJournal(openJournal(folder)))).toMatchObject({ status: 'ready' });
  });

  test('what was revealed is in it before it leaves, chained or not', async () => {
    const journal = openJournal(folder);
    const vault = withJournal(journal);
    await start(vault);
    await world.tx((trx) => vault.deposit(trx, depositOf(numbered(3))));
    const saved = await backup();
    await issue(vault, 'ord_1');
    await world.tx((trx) => vault.reveal(trx, { order_id: 'ord_1', by: 'storefront:shop', reason: 'delivery' }));
    await journal.close();
    await restore(saved);
    expect(await start(withJournal(openJournal(folder)))).toMatchObject({ status: 'behind', missing: 1 });
  });

  test('an ordinary restart is ready at once, with unchained records too', async () => {
    const journal = openJournal(folder);
    const vault = withJournal(journal);
    await start(vault);
    await world.tx((trx) => vault.deposit(trx, depositOf(numbered(9))));
    for (let at = 0; at < 3; at++) {
      await issue(vault, `ord_${at}`);
      await chainAll(vault);
    }
    await issue(vault, 'ord_8');
    await journal.close();
    world.clock.now += 1000;
    const next = withJournal(openJournal(folder));
    expect(await start(next)).toMatchObject({ status: 'ready' });
    await issue(next, 'ord_9');
  });

  test('a reveal is refused while it cannot be written; a torn last line is no damage, an edited one is', async () => {
    const journal = openJournal(folder);
    const vault = withJournal(journal);
    await start(vault);
    await world.tx((trx) => vault.deposit(trx, depositOf(numbered(3))));
    await issue(vault, 'ord_1');
    await chainAll(vault);
    await issue(vault, 'ord_2');
    await journal.close();
    await expect(
      world.tx((trx) => vault.reveal(trx, { order_id: 'ord_2', by: 'storefront:shop', reason: 'x' })),
    ).rejects.toMatchObject({ code: 'journal' });
    const file = join(folder, readdirSync(folder)[0]!);
    appendFileSync(file, '0123456789abcdef {"type":"iss');
    expect(await start(withJournal(openJournal(folder)))).toMatchObject({ status: 'ready' });
    writeFileSync(file, readFileSync(file, 'utf8').replace('ord_1', 'ord_7'));
    await expect(start(withJournal(openJournal(folder)))).rejects.toMatchObject({ code: 'journal' });
    expect(readFileSync(file, 'utf8')).not.toContain('C-000');
  });

  test('a cut-off end shows by the head in the journal, even with the heads cut off too', async () => {
    const vault = withJournal(openJournal(folder));
    await start(vault);
    await someActs(vault);
    await chainAll(vault);
    await world.tx((trx) => vault.signHead(trx));
    await world.tx(async (trx) => {
      await trx('ledger').where('seq', '>', 2).delete();
      await trx('ledger_heads').delete();
    });
    expect((await faultsOf(vault)).join()).toMatch(/the end of the ledger was cut off/);
  });
});
