// Checks everything the vault promises about its own rows and says what it checked. Reads only; a fault is a sentence.
import type { Knex } from 'knex';
import { ChainCheck, type Fault, type Head, type LedgerRow, publicKeys } from './chain.js';
import type { Core } from './core.js';
import { batchKeyName, isUntrusted } from './gate.js';
import type { Journal } from './journal.js';
import { digestOf, type InboxRow, recordedIssues } from './ledger.js';
import { depositDigest } from './prepare.js';
import { bindingBytes, open } from './seal.js';
import type { CodeRow } from './tables.js';

/** Rows read at a time. */
const PAGE = 1000;
/** Faults listed for one check; the rest are counted. */
const FAULTS_MAX = 20;

export interface Check {
  name: string;
  /** How many rows or records were looked at. */
  checked: number;
  faults: Fault[];
}

export interface VerifyReport {
  ok: boolean;
  checks: Check[];
}

export interface VerifyOptions {
  /** Also opens every code, which needs the keys and about 10 µs a code. */
  open_codes?: boolean;
}

/** Runs every check. Faults of a check are cut at 20, with the number of the rest. See `Vault.verify`. */
export async function verifyVault(core: Core, knex: Knex, options: VerifyOptions): Promise<VerifyReport> {
  const checks = [
    await checkChain(core, knex),
    await checkRecords(knex),
    await checkIssuedStates(knex),
    await checkSingleIssue(knex),
    await checkBatches(knex),
    ...(options.open_codes ? [await checkCodes(core, knex)] : []),
  ];
  return { ok: checks.every((check) => check.faults.length === 0), checks: checks.map(shorten) };
}

function shorten(check: Check): Check {
  const rest = check.faults.length - FAULTS_MAX;
  return rest > 0 ? { ...check, faults: [...check.faults.slice(0, FAULTS_MAX), `and ${rest} more`] } : check;
}

async function checkChain(core: Core, knex: Knex): Promise<Check> {
  const heads: Head[] = (await knex('ledger_heads').select()).map((row) => ({ ...row, seq: Number(row.seq) }));
  // The journal's heads were written down outside the database: they tell when its end was cut off.
  if (core.journal) heads.push(...journaledHeads(core.journal));
  const check = new ChainCheck(heads, await publicKeys(knex));
  for await (const row of pages<LedgerRow>(knex, 'ledger', 'seq')) check.feed(row);
  const { records, faults } = check.end();
  return { name: 'the ledger is one unbroken, signed chain', checked: records, faults };
}

/** Heads of the journal, but for those of a branch that a restore ended: the journal itself says which those are. */
function journaledHeads(journal: Journal): Head[] {
  const covered: Record<string, number> = {};
  const lines = [...journal.read()];
  for (const { entry } of lines) {
    if (entry.type !== 'replayed') continue;
    for (const [file, size] of Object.entries(entry.covers)) covered[file] = Math.max(covered[file] ?? 0, size);
  }
  return lines.flatMap(({ file, entry, end }) => (entry.type === 'head' && end > (covered[file] ?? 0) ? [entry] : []));
}

/** Every issue and deposit record against the rows it speaks of, and every row against the records. */
async function checkRecords(knex: Knex): Promise<Check> {
  const faults: Fault[] = [];
  let checked = 0;
  let issued = 0;
  for (const table of ['ledger', 'ledger_inbox'] as const) {
    for await (const record of pages<InboxRow>(knex, table, table === 'ledger' ? 'seq' : 'entry_id')) {
      if (record.act === 'issue' || record.act === 'replace') {
        issued += record.count;
        if (digestOf(await recordedIssues(knex, record)) !== record.digest)
          faults.push(`the ${record.act} record ${record.entry_id} of ${record.order_id} is not what the issues say`);
        checked++;
      } else if (record.act === 'deposit' && record.batch_id) {
        const digest = await batchDigest(knex, record);
        if (digest !== null && digest !== record.digest)
          faults.push(`the codes of ${record.batch_id} are not what was deposited`);
        checked++;
      }
    }
  }
  const rows = await knex('issues').count({ count: '*' }).first();
  if (Number(rows?.count) !== issued) faults.push(`${rows?.count} codes are issued, the ledger knows of ${issued}`);
  return { name: 'every issue and deposit has its record, and none was changed', checked, faults };
}

/** Null for a batch that was deposited in parts: each part has a record, the batch has the count. */
async function batchDigest(knex: Knex, record: InboxRow): Promise<string | null> {
  if ((JSON.parse(record.data) as { is_part?: boolean }).is_part) return null;
  const rows = await knex('codes').where({ batch_id: record.batch_id }).select('code_id', 'cost_e4', 'expires_at');
  return depositDigest(rows);
}

async function checkIssuedStates(knex: Knex): Promise<Check> {
  const unissued = await knex('issues')
    .join('codes', 'codes.code_id', 'issues.code_id')
    .whereNot('codes.state', 'issued')
    .select('issues.code_id', 'codes.state');
  const ownerless = await knex('codes')
    .leftJoin('issues', 'issues.code_id', 'codes.code_id')
    .where('codes.state', 'issued')
    .whereNull('issues.code_id')
    .select('codes.code_id');
  const counted = await knex('codes').count({ count: '*' }).first();
  return {
    name: 'a code is in state issued exactly if it was issued',
    checked: Number(counted?.count ?? 0),
    faults: [
      ...unissued.map((row) => `${row.code_id} was issued and is ${row.state}`),
      ...ownerless.map((row) => `${row.code_id} is in state issued and no order has it`),
    ],
  };
}

async function checkSingleIssue(knex: Knex): Promise<Check> {
  const twice: { code_id: string }[] = await (knex('issues')
    .groupBy('code_id')
    .select('code_id')
    .count({ times: '*' })
    .having('times', '>', 1) as never);
  const orphans = await knex('issues')
    .leftJoin('codes', (on) => on.on('codes.code_id', 'issues.code_id').andOn('codes.sku', 'issues.sku'))
    .whereNull('codes.code_id')
    .select('issues.code_id');
  const counted = await knex('issues').count({ count: '*' }).first();
  return {
    name: 'no code was issued twice, and each as its own SKU',
    checked: Number(counted?.count ?? 0),
    faults: [
      ...twice.map((row) => `${row.code_id} was issued more than once`),
      ...orphans.map((row) => `${row.code_id} was issued and is not a code of that SKU`),
    ],
  };
}

async function checkBatches(knex: Knex): Promise<Check> {
  const faults: Fault[] = [];
  let checked = 0;
  for await (const batch of pages<{
    batch_id: string;
    codes_count: number;
    total_cost_e4: number | null;
    unallocated_e4: number;
  }>(knex, 'batches', 'batch_id')) {
    const sums = await knex('codes')
      .where({ batch_id: batch.batch_id })
      .count({ count: '*' })
      .sum({ cost: 'cost_e4' })
      .first();
    if (Number(sums?.count) !== batch.codes_count)
      faults.push(`${batch.batch_id} says ${batch.codes_count} codes and has ${sums?.count}`);
    const carried = BigInt(sums?.cost ?? 0) + BigInt(batch.unallocated_e4);
    if (batch.total_cost_e4 !== null && carried !== BigInt(batch.total_cost_e4)) {
      faults.push(`${batch.batch_id} cost ${batch.total_cost_e4}, its codes carry ${carried}`);
    }
    checked++;
  }
  return { name: 'every batch has its codes, and they carry exactly its cost', checked, faults };
}

async function checkCodes(core: Core, knex: Knex): Promise<Check> {
  await core.gate.pass(knex);
  const faults: Fault[] = [];
  let checked = 0;
  let page: CodeRow[] = [];
  const openPage = async (): Promise<void> => {
    const keys = await core.gate.batchKeys(knex, page);
    for (const code of page) {
      try {
        const key = keys.get(batchKeyName(code));
        if (!key) throw new Error('no key');
        open(key, bindingBytes(code), Buffer.from(code.sealed)).fill(0);
      } catch (error) {
        if (error instanceof Error && error.message !== 'no key' && !isUntrusted(error)) throw error;
        faults.push(`${code.code_id} (${code.state}) does not open`);
      }
    }
    checked += page.length;
    page = [];
  };
  for await (const code of pages<CodeRow>(knex, 'codes', 'code_id')) {
    page.push(code);
    if (page.length >= PAGE) await openPage();
  }
  await openPage();
  return { name: 'every code opens under its own SKU, batch, id and key version', checked, faults };
}

/** All rows of a table in the order of a unique column, a page at a time. */
async function* pages<R extends object>(knex: Knex, table: string, column: string): AsyncGenerator<R> {
  let last: unknown = null;
  for (;;) {
    const query = knex(table).orderBy(column).limit(PAGE).select();
    if (last !== null) query.where(column, '>', last as string);
    const rows: R[] = await query;
    yield* rows;
    if (rows.length < PAGE) return;
    last = rows.at(-1)![column as keyof R];
  }
}
