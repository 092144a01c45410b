// Is this database the one that issued last? At a start the journal is compared with it; a database that lacks issues
// the journal has was put back from a backup, and issues nothing until the journal is replayed into it.
import { randomBytes } from 'node:crypto';
import type { Core } from './core.js';
import { VaultError } from './errors.js';
import { type Journal, type JournalEntry, type JournalUnit, sizesOf } from './journal.js';
import { digestOf, issueRecord, writeRecords } from './ledger.js';
import { inSlices, insertRows } from './rows.js';
import type { CodeRow, IssueRow } from './tables.js';
import type { Act, Trx } from './types.js';

type IssuedEntry = Extract<JournalEntry, { type: 'issued' }>;

export type StartResult =
  /** Issuing is open. Without a journal nothing protects against a restored backup. */
  | { status: 'ready'; has_journal: boolean }
  /** Issuing stays sealed: `missing` issues are in the journal and not in the database, or the journal is not there. */
  | { status: 'behind'; missing: number; why: string };

/** Compares the journal with the database and opens issuing if nothing is missing. See `Vault.start`. */
export async function startVault(core: Core, trx: Trx): Promise<StartResult> {
  const { journal, now } = core;
  core.gate.forget();
  const row = await trx('vault_state').where({ name: 'journal_id' }).first();
  const known: string | null = row?.value ?? null;
  if (!journal) {
    if (known === null) return { status: 'ready', has_journal: false };
    return { status: 'behind', missing: 0, why: 'this database writes a journal, and none is configured' };
  }
  const found = journal.id();
  if (found === null && known !== null)
    return { status: 'behind', missing: 0, why: `no journal is in ${journal.folder}` };
  if (found !== null && known !== null && found !== known) {
    return { status: 'behind', missing: 0, why: `the journal in ${journal.folder} belongs to another database` };
  }
  const missing = found === null ? [] : await missingIssues(trx, journal);
  if (missing.length > 0) {
    return { status: 'behind', missing: countUnits(missing), why: 'the database is older than the journal' };
  }
  const journal_id = found ?? `jrn_${randomBytes(16).toString('hex')}`;
  if (known === null)
    await insertRows(trx, 'vault_state', [{ name: 'journal_id', value: journal_id, updated_at: now() }]);
  await journal.begin(journal_id, now());
  core.confirmed.journal_id = journal_id;
  return { status: 'ready', has_journal: true };
}

export interface ReplayResult {
  /** Codes that are marked as issued now and were not before. */
  marked: number;
  /** Codes of the journal that this database never had: they were deposited after the backup. */
  absent: number;
  /** Units that hold another code here: the journal's code was voided instead. */
  conflicts: number;
}

/** Marks every code the journal says was issued, for the order it was issued to. Nothing is issued to anyone new. */
export async function replayJournal(core: Core, trx: Trx, { by, reason }: Act): Promise<ReplayResult> {
  const { journal, now } = core;
  const found = journal?.id() ?? null;
  if (!journal || found === null) {
    throw new VaultError('journal', 'there is no journal to replay', {
      field: 'journal_dir',
      fix: 'Put the journal folder of this database in its place and point KAMIGATE_JOURNAL_DIR to it.',
    });
  }
  const result: ReplayResult = { marked: 0, absent: 0, conflicts: 0 };
  const covers = sizesOf(journal);
  const entries = await missingIssues(trx, journal);
  for (const entry of entries) await markIssued(core, trx, entry, result);
  const [record] = await writeRecords(trx, now(), [
    {
      act: 'restore',
      actor: by,
      count: result.marked,
      digest: digestOf([[found, result]]),
      data: { reason, ...result },
    },
  ]);
  await trx('vault_state').where({ name: 'journal_id' }).delete();
  await insertRows(trx, 'vault_state', [{ name: 'journal_id', value: found, updated_at: now() }]);
  await journal.begin(found, now());
  await journal.append([{ type: 'replayed', entry_id: record!.entry_id, covers }]);
  return result;
}

/** An early entry this much older than a mark was committed or given up before it: no transaction lives so long. */
const EARLY_MS = 600_000;

/** The journal's issues that are not in the database, each order's units narrowed to those that are missing. */
async function missingIssues(trx: Trx, journal: Journal): Promise<IssuedEntry[]> {
  const settled = await coveredSizes(trx, journal);
  const doubtful: IssuedEntry[] = [];
  let file = '';
  let pending: { entry: IssuedEntry; end: number }[] = [];
  const keep = (): void => {
    for (const { entry } of pending) doubtful.push(entry);
    pending = [];
  };
  for (const { file: name, entry, end } of journal.read()) {
    if (name !== file) keep();
    file = name;
    if (end <= (settled[file] ?? 0)) continue;
    if (entry.type === 'issued') pending.push({ entry, end });
    if (entry.type !== 'mark' || pending.length === 0 || !(await hasLink(trx, entry))) continue;
    pending = pending.filter(
      (one) => one.end > entry.covers || (one.entry.early && one.entry.at > entry.at - EARLY_MS),
    );
  }
  keep();
  return withoutKnown(trx, doubtful);
}

async function coveredSizes(trx: Trx, journal: Journal): Promise<Record<string, number>> {
  const settled: Record<string, number> = {};
  for (const { entry } of journal.read()) {
    if (entry.type !== 'replayed') continue;
    const { entry_id } = entry;
    const there =
      (await trx('ledger').where({ entry_id }).first('seq')) ??
      (await trx('ledger_inbox').where({ entry_id }).first('at'));
    if (there)
      for (const [name, size] of Object.entries(entry.covers)) settled[name] = Math.max(settled[name] ?? 0, size);
  }
  return settled;
}

async function hasLink(trx: Trx, { seq, hash }: { seq: number; hash: string }): Promise<boolean> {
  const row = await trx('ledger').where({ seq }).first('hash');
  return row?.hash === hash;
}

async function withoutKnown(trx: Trx, entries: IssuedEntry[]): Promise<IssuedEntry[]> {
  const code_ids = [...new Set(entries.flatMap((entry) => entry.units.map(([, , code_id]) => code_id)))];
  const rows = await inSlices(code_ids, (some) => trx('issues').whereIn('code_id', some).select('code_id'));
  const seen = new Set(rows.map((row) => row.code_id));
  const missing: IssuedEntry[] = [];
  for (const entry of entries) {
    const units = entry.units.filter(([, , code_id]) => !seen.has(code_id));
    // The same issue may be in several processes' files.
    for (const [, , code_id] of units) seen.add(code_id);
    if (units.length > 0) missing.push({ ...entry, units });
  }
  // A code that is void or not here at all cannot be issued again: it is not what issuing must wait for.
  const there = await inSlices(
    missing.flatMap((entry) => entry.units.map(([, , code_id]) => code_id)),
    (some) => trx('codes').whereIn('code_id', some).whereNot({ state: 'void' }).select('code_id'),
  );
  const issuable = new Set(there.map((row) => row.code_id));
  return missing.filter((entry) => entry.units.some(([, , code_id]) => issuable.has(code_id)));
}

function countUnits(entries: IssuedEntry[]): number {
  return entries.reduce((sum, entry) => sum + entry.units.length, 0);
}

async function markIssued(core: Core, trx: Trx, entry: IssuedEntry, result: ReplayResult): Promise<void> {
  const codes: CodeRow[] = await inSlices(
    entry.units.map(([, , code_id]) => code_id),
    (some) => trx('codes').whereIn('code_id', some).whereNot({ state: 'issued' }).select(),
  );
  const by_id = new Map(codes.map((code) => [code.code_id, code]));
  const taken = new Set(
    (await trx('issues').where({ order_id: entry.order_id }).select('unit_no', 'generation')).map(
      (row) => `${row.unit_no} ${row.generation}`,
    ),
  );
  const issued: IssueRow[] = [];
  const conflicting: string[] = [];
  for (const unit of entry.units) {
    const code = by_id.get(unit[2]);
    if (!code) result.absent++;
    else if (taken.has(`${unit[0]} ${unit[1]}`)) conflicting.push(code.code_id);
    else issued.push(issueRowOf(entry, unit, code));
  }
  if (conflicting.length > 0) {
    await core.store.moveCodes(
      trx,
      { code_ids: conflicting },
      ['available', 'quarantined'],
      'void',
      'issued before a restore',
    );
    result.conflicts += conflicting.length;
  }
  if (issued.length === 0) return;
  await inSlices(issued, async (some) => {
    await trx('codes')
      .whereIn(
        'code_id',
        some.map((row) => row.code_id),
      )
      .update({ state: 'issued' });
    return [];
  });
  await insertRows(trx, 'issues', issued);
  const generations = [...new Set(issued.map((row) => row.generation))];
  const records = generations.map((generation) => issueRecord(issued.filter((row) => row.generation === generation)));
  // At the time of the issue: that is what ties a record to its rows.
  for (const record of records) await writeRecords(trx, entry.at, [{ ...record, actor: 'journal' }]);
  result.marked += issued.length;
}

function issueRowOf(entry: IssuedEntry, [unit_no, generation, code_id]: JournalUnit, code: CodeRow): IssueRow {
  const { sku, batch_id, cost_e4, currency } = code;
  return {
    order_id: entry.order_id,
    unit_no,
    generation,
    code_id,
    sku,
    batch_id,
    cost_e4,
    currency,
    issued_at: entry.at,
  };
}

/** What the journal keeps of issues: one entry an order. */
export function issuedEntries(
  rows: Pick<IssueRow, 'order_id' | 'unit_no' | 'generation' | 'code_id' | 'sku' | 'issued_at'>[],
  early: boolean,
): JournalEntry[] {
  const entries = new Map<string, IssuedEntry>();
  for (const { order_id, unit_no, generation, code_id, sku, issued_at } of rows) {
    const entry = entries.get(order_id) ?? {
      type: 'issued' as const,
      order_id,
      sku,
      at: Number(issued_at),
      units: [],
      ...(early ? { early: true as const } : {}),
    };
    entry.units.push([unit_no, generation, code_id]);
    entries.set(order_id, entry);
  }
  return [...entries.values()];
}
