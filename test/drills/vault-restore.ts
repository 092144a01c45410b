// Yesterday's backup must not sell today's codes again: back up, issue, put the backup back. Without the journal nothing
// is issued; with it exactly the codes issued since are marked.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openJournal } from '../../vault/journal.js';
import { createVault, type Vault } from '../../vault/vault.js';
import { depositOf, numbered } from '../vault/world.js';
import { type DrillReport, secondsSince } from './report.js';
import { chainAll, type DrillVault, issueAll, openDrillVault } from './vault-setup.js';

export interface RestoreSize {
  codes: number;
  issued_before: number;
  issued_since: number;
}
export const FULL: RestoreSize = { codes: 5000, issued_before: 1000, issued_since: 1000 };
export const SMALL: RestoreSize = { codes: 120, issued_before: 20, issued_since: 30 };

const SKU = 'RESTORE';
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

export async function run(size: RestoreSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-restore', figures: {}, violations: [] };
  const drill = await openDrillVault();
  const { vault, tx, database, journal } = drill;
  try {
    await tx((trx) => vault.deposit(trx, depositOf(numbered(size.codes), { sku: SKU })));
    await issueAll(drill, SKU, size.issued_before, 1, 'before');
    await chainAll(drill);
    await backUp(drill);
    await issueAll(drill, SKU, size.issued_since, 1, 'since');
    await chainAll(drill);
    const since = await issuedTo(drill, 'since%');
    await journal.close();
    await restore(drill);
    if ((await issuedTo(drill, 'since%')).length > 0)
      throw new Error('must hold: the restored database is the old one');
    await withoutJournal(drill, report);
    const again = vaultWith(drill, join(drill.folder, 'journal'));
    await expectSealed(drill, again, report, 'before the replay');
    const start = process.hrtime.bigint();
    const result = await tx((trx) => again.replay(trx, { by: 'drill', reason: 'drill' }));
    report.figures['journal replayed, ms'] = Math.round(secondsSince(start) * 1000);
    const ready = await tx((trx) => again.start(trx));
    if (ready.status !== 'ready') report.violations.push(`still ${ready.status} after the replay`);
    const marked = await issuedTo(drill, 'since%');
    if (JSON.stringify(marked) !== JSON.stringify(since))
      report.violations.push(`${marked.length} codes marked, ${since.length} were issued`);
    const rest = size.codes - size.issued_before - size.issued_since;
    await issueAll({ ...drill, vault: again }, SKU, rest, Math.min(rest, 500), 'after');
    const twice = (await issuedTo(drill, 'after%')).filter((code_id) => since.includes(code_id));
    if (twice.length > 0) report.violations.push(`${twice.length} codes issued again`);
    await chainAll({ ...drill, vault: again });
    for (const { faults } of (await again.verify(database.read)).checks) report.violations.push(...faults);
    report.figures['issued since the backup / marked'] = `${since.length} / ${result.marked}`;
    report.figures['issued after the replay, none of them before'] = rest - twice.length;
  } finally {
    await drill.close();
  }
  return report;
}

/** Another process on the same database; the drill closes its journal with its own. */
function vaultWith({ database, keyring, opened }: DrillVault, folder: string | null): Vault {
  const { dialect, can_skip_locked } = database;
  const options = { keyring, now: Date.now, dialect, can_skip_locked };
  if (folder === null) return createVault(options);
  const journal = openJournal(folder);
  opened.push(journal);
  return createVault({ ...options, journal });
}

async function withoutJournal(drill: DrillVault, report: DrillReport): Promise<void> {
  const empty = mkdtempSync(join(tmpdir(), 'kamigate-drill-'));
  await expectSealed(drill, vaultWith(drill, empty), report, 'with an empty journal folder');
  await expectSealed(drill, vaultWith(drill, null), report, 'without a journal');
  rmSync(empty, { recursive: true });
}

async function expectSealed({ tx }: DrillVault, vault: Vault, report: DrillReport, when: string): Promise<void> {
  const started = await tx((trx) => vault.start(trx));
  if (started.status !== 'behind') report.violations.push(`${when}: it starts as if nothing had happened`);
  const code = await tx((trx) =>
    vault.issue(trx, [{ order_id: `ord_${when}`.slice(0, 40), sku: SKU, first_unit: 1, quantity: 1 }]),
  ).then(
    () => 'issued',
    (error) => error.code,
  );
  if (code !== 'issuing_sealed') report.violations.push(`${when}: an order ended with ${code}`);
}

async function issuedTo({ database }: DrillVault, orders: string): Promise<string[]> {
  const rows = await database.read('issues').where('order_id', 'like', orders).orderBy('code_id').select('code_id');
  return rows.map((row) => row.code_id);
}

async function backUp({ database, tx }: DrillVault): Promise<void> {
  for (const table of TABLES) await database.write.schema.createTableLike(`backup_${table}`, table);
  await tx(async (trx) => {
    for (const table of TABLES) await trx(`backup_${table}`).insert(trx.select().from(table));
  });
}

async function restore({ tx }: DrillVault): Promise<void> {
  await tx(async (trx) => {
    for (const table of [...TABLES].reverse()) await trx(table).delete();
    for (const table of TABLES) await trx(table).insert(trx.select().from(`backup_${table}`));
  });
}
