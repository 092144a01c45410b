// Importing a file of codes: a dry run that gives each line a verdict and never its text, then a commit that writes the
// good lines as they stream by and hands the bad ones back, masked, to be corrected and sent again.
import { createHash, randomBytes } from 'node:crypto';
import { stringify } from 'csv-stringify/sync';
import type { Knex } from 'knex';
import { encodeContent } from './content.js';
import { numberRule } from './control.js';
import { type Core, invalid } from './core.js';
import type { FingerprintKey } from './gate.js';
import {
  COLUMNS,
  type Column,
  type ColumnMap,
  FIXES,
  masked,
  placeColumns,
  type RowRules,
  readLine,
  VERDICTS,
  type Verdict,
} from './line.js';
import { appendCodes, closeBatch, openBatch } from './parts.js';
import { breathe } from './prepare.js';
import { fingerprint } from './seal.js';
import { type Bytes, type Row, readRows, type SheetFormat } from './sheet.js';
import type { PlainCode, Trx } from './types.js';

/** Lines looked at together, and on commit one transaction: some 50 ms, which orders meanwhile can wait. */
const SLICE = 1000;
/** Lines of one import; its fingerprints are kept in memory to find doubles. */
export const LINES_MAX = 2 ** 20;
/** Verdicts listed one by one; counts go on. */
const LISTED_MAX = 1000;

export interface IntakePlan {
  sku: string;
  /** The supplier account it was bought from, if any. */
  account: string | null;
  document: string | null;
  currency: string | null;
  /** What each code cost, where no column says so and no total is given. */
  unit_cost_e4: number | null;
  /** What the file cost; split over its good lines, to the last ten-thousandth. */
  total_cost_e4: number | null;
  received_by: string;
  format: SheetFormat;
  map?: ColumnMap;
  utc_offset_minutes?: number;
  quarantined?: string;
  /** Goes on filling a batch that was left open: a corrected error file. */
  batch_id?: string;
}

export interface Intake {
  plan: IntakePlan;
  /** Opens the file from its beginning; a commit reads it twice. */
  open: () => Bytes;
  /** Runs one transaction; the program's `atomic`. */
  tx: <T>(fn: (trx: Trx) => Promise<T>) => Promise<T>;
  /** For reading. */
  knex: Knex;
  on_progress?: (lines: number) => void;
}

export interface LineVerdict {
  line: number;
  verdict: Verdict;
  /** `duplicate_in_file`: the line that has it first. */
  same_as_line?: number;
}

export interface IntakeReport {
  file_hash: string;
  lines: number;
  counts: Record<Verdict, number>;
  /** The first 1,000 lines that are not ok. */
  bad: LineVerdict[];
}

export interface CommitOptions {
  /** The good lines a dry run found; the commit refuses to write if it finds another number. */
  expected_ok?: number;
  /** Receives the error file, CSV, piece by piece. */
  errors?: (text: string) => void;
  /** Leaves the batch open for the corrected error file. */
  keep_open?: boolean;
}

export interface CommitReport extends IntakeReport {
  batch_id: string;
  /** Codes written now. */
  deposited: number;
}

/** A line, its verdict so far, and its code if it has one. */
interface Line extends LineVerdict {
  row: Row;
  code: PlainCode | null;
}

/** Gives every line its verdict and writes nothing. */
export async function dryRun(core: Core, intake: Intake): Promise<IntakeReport> {
  const scan = await startScan(core, intake);
  for await (const slice of scan.slices()) scan.report.count(slice);
  return scan.report.finish();
}

/** Writes the good lines into one batch, slice by slice, and returns what a dry run would, as it turned out. */
export async function commitIntake(core: Core, intake: Intake, options: CommitOptions): Promise<CommitReport> {
  const dry = await dryRun(core, intake);
  const { plan, tx } = intake;
  if (options.expected_ok !== undefined && options.expected_ok !== dry.counts.ok) {
    throw invalid(
      'expected_ok',
      `is ${options.expected_ok}, and ${dry.counts.ok} lines are good now`,
      'Look at a new dry run, then commit that.',
    );
  }
  const { sku, account, document, currency, received_by, quarantined } = plan;
  const opening = {
    sku,
    account,
    document,
    currency,
    received_by,
    file_hash: dry.file_hash,
    ...(quarantined === undefined ? {} : { quarantined }),
  };
  const batch_id = plan.batch_id ?? (await tx((trx) => openBatch(core, trx, opening)));
  const scan = await startScan(core, intake);
  const costs = unitCosts(plan, dry.counts.ok);
  options.errors?.(stringify([['line', 'verdict', 'fix', ...COLUMNS]]));
  let deposited = 0;
  for await (const slice of scan.slices()) {
    deposited += await writeSlice(core, intake, batch_id, slice, costs);
    scan.report.count(slice);
    for (const line of slice) if (line.verdict !== 'ok') options.errors?.(errorLine(line, scan.places()));
  }
  const report = scan.report.finish();
  if (report.file_hash !== dry.file_hash)
    throw invalid('file', 'changed while it was read', 'Import it again; what went in is found as duplicates.');
  if (!options.keep_open && report.counts.batch_closed === 0)
    await tx((trx) => closeBatch(trx, batch_id, plan.total_cost_e4));
  return { ...report, batch_id, deposited };
}

async function writeSlice(
  core: Core,
  { plan, tx }: Intake,
  batch_id: string,
  slice: Line[],
  costs: () => number | null,
): Promise<number> {
  const good = slice.filter((line) => line.verdict === 'ok');
  if (good.length === 0) return 0;
  const codes = good.map((line) => {
    const cost_e4 = line.code!.cost_e4 ?? costs();
    return cost_e4 === null ? line.code! : { ...line.code!, cost_e4 };
  });
  const results = await tx((trx) => appendCodes(core, trx, batch_id, codes, plan.quarantined));
  let deposited = 0;
  for (const [at, result] of results.entries()) {
    // Another import was faster with the same code.
    if ('duplicate_of' in result)
      good[at]!.verdict = result.state === 'issued' ? 'duplicate_of_issued' : 'duplicate_in_stock';
    else deposited++;
  }
  return deposited;
}

/** Each good line's part of the total, or the unit cost. */
function unitCosts({ total_cost_e4, unit_cost_e4 }: IntakePlan, count: number): () => number | null {
  if (total_cost_e4 === null) return () => unit_cost_e4;
  const part = count === 0 ? 0 : Math.floor(total_cost_e4 / count);
  let rest = total_cost_e4 - part * count;
  return () => (rest-- > 0 ? part + 1 : part);
}

/** One pass over the file. */
async function startScan(core: Core, intake: Intake) {
  const { plan, knex } = intake;
  checkPlan(plan);
  const { fingerprint_keys } = await core.gate.pass(knex);
  // Before the first deposit there is nothing to compare with but the file itself.
  const keys: FingerprintKey[] =
    fingerprint_keys.length > 0 ? fingerprint_keys : [{ version: 0, slot: 'a', key: randomBytes(32) }];
  const policy = await knex('vault_policies').where({ sku: plan.sku }).first('number_rule');
  const rules: RowRules = {
    number_rule: policy?.number_rule ? numberRule(policy.number_rule) : null,
    utc_offset_minutes: plan.utc_offset_minutes ?? 0,
  };
  const is_closed = plan.batch_id !== undefined && (await isClosed(knex, plan.batch_id, plan.sku));
  const hash = createHash('sha256');
  const report = new Report(hash, intake.on_progress);
  const seen = new Map<string, number>();
  let places: Map<Column, number> | null = null;

  async function* slices(): AsyncGenerator<Line[]> {
    let slice: Line[] = [];
    let lines = 0;
    const has_header = plan.format.has_header ?? plan.format.kind !== 'text';
    for await (const row of readRows(intake.open(), plan.format, hash)) {
      if (places === null) {
        places = placeColumns(plan.map, has_header ? row.cells : null);
        if (has_header) continue;
      }
      if (++lines > LINES_MAX) throw invalid('file', `has more than ${LINES_MAX} lines`, 'Split the file.');
      slice.push(judge(core, row, places, rules, is_closed));
      if (slice.length < SLICE) continue;
      yield await compare(core, knex, plan.sku, keys, seen, slice);
      slice = [];
      await breathe();
    }
    if (slice.length > 0) yield await compare(core, knex, plan.sku, keys, seen, slice);
  }
  return { slices, report, places: () => places ?? new Map<Column, number>() };
}

function judge(core: Core, row: Row, places: Map<Column, number>, rules: RowRules, is_closed: boolean): Line {
  const reading = readLine(row, places, rules);
  if ('fault' in reading) return { line: row.line, verdict: reading.fault, row, code: null };
  const { code } = reading;
  const is_expired = code.expires_at !== undefined && code.expires_at <= core.now();
  return { line: row.line, verdict: is_closed ? 'batch_closed' : is_expired ? 'expired' : 'ok', row, code };
}

/** Finds which good lines are doubles, of a line above or of a code that is here. */
async function compare(
  core: Core,
  knex: Knex,
  sku: string,
  keys: FingerprintKey[],
  seen: Map<string, number>,
  slice: Line[],
): Promise<Line[]> {
  const prints = new Map<Line, Buffer[]>();
  for (const line of slice) {
    if (line.verdict !== 'ok') continue;
    const { identity } = encodeContent(line.code!);
    const own = keys.map(({ key }) => fingerprint(key, sku, identity));
    const name = own[0]!.toString('latin1');
    const first = seen.get(name);
    if (first !== undefined) Object.assign(line, { verdict: 'duplicate_in_file', same_as_line: first });
    else {
      seen.set(name, line.line);
      prints.set(line, own);
    }
  }
  for (const [at, { slot }] of keys.entries()) {
    const found = await core.store.findByFingerprint(
      knex,
      slot,
      [...prints.values()].map((own) => own[at]!),
    );
    const states = new Map(found.map((row) => [row.fingerprint.toString('latin1'), row.state]));
    for (const [line, own] of prints) {
      const state = states.get(own[at]!.toString('latin1'));
      if (state !== undefined) line.verdict = state === 'issued' ? 'duplicate_of_issued' : 'duplicate_in_stock';
    }
  }
  return slice;
}

class Report {
  readonly #hash;
  readonly #on_progress;
  readonly #counts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0])) as Record<Verdict, number>;
  readonly #bad: LineVerdict[] = [];
  #lines = 0;

  constructor(hash: ReturnType<typeof createHash>, on_progress: ((lines: number) => void) | undefined) {
    this.#hash = hash;
    this.#on_progress = on_progress;
  }

  count(slice: Line[]): void {
    for (const { line, verdict, same_as_line } of slice) {
      this.#lines++;
      this.#counts[verdict]++;
      if (verdict === 'ok' || this.#bad.length >= LISTED_MAX) continue;
      this.#bad.push({ line, verdict, ...(same_as_line === undefined ? {} : { same_as_line }) });
    }
    this.#on_progress?.(this.#lines);
  }

  finish(): IntakeReport {
    return { file_hash: this.#hash.digest('hex'), lines: this.#lines, counts: this.#counts, bad: this.#bad };
  }
}

/** A line of the error file. It has the default column names, so that the corrected file needs no map. */
function errorLine({ line, verdict, same_as_line, row }: Line, places: Map<Column, number>): string {
  const fix = FIXES[verdict as Exclude<Verdict, 'ok'>].replace(
    'further up',
    same_as_line === undefined ? 'further up' : `in line ${same_as_line}`,
  );
  const cells = COLUMNS.map((column) => {
    const place = places.get(column);
    const cell = place === undefined ? null : (row.cells[place] ?? null);
    const is_secret = column === 'number' || column === 'pin' || column === 'serial' || column === 'link';
    return is_secret || typeof cell !== 'string' ? masked(cell) : cell;
  });
  return stringify([[String(line), verdict, fix, ...cells]]);
}

async function isClosed(knex: Knex, batch_id: string, sku: string): Promise<boolean> {
  const batch = await knex('batches').where({ batch_id }).first('state', 'sku');
  if (!batch || batch.sku !== sku)
    throw invalid('batch_id', 'is no batch of this SKU', 'Leave it out to begin a new batch.');
  return batch.state === 'closed';
}

function checkPlan({ sku, received_by, currency, unit_cost_e4, total_cost_e4, batch_id, map }: IntakePlan): void {
  if (sku.length === 0 || sku.length > 64)
    throw invalid('sku', 'must have 1 to 64 characters', 'Name the SKU the codes are for.');
  if (received_by.length === 0) throw invalid('received_by', 'is empty', 'Name who imports the codes.');
  for (const [field, cost] of Object.entries({ unit_cost_e4, total_cost_e4 })) {
    if (cost !== null && (!Number.isSafeInteger(cost) || cost < 0))
      throw invalid(field, 'is not an amount', 'Give a whole number of ten-thousandths.');
  }
  const has_cost = unit_cost_e4 !== null || total_cost_e4 !== null || map?.unit_cost !== undefined;
  if (has_cost && !/^[A-Z]{3}$/.test(currency ?? ''))
    throw invalid('currency', 'is missing', 'A cost needs an ISO 4217 currency, such as CNY.');
  if (total_cost_e4 !== null && (unit_cost_e4 !== null || map?.unit_cost !== undefined))
    throw invalid('total_cost_e4', 'contradicts the unit cost', 'Give one or the other.');
  if (total_cost_e4 !== null && batch_id !== undefined)
    throw invalid('total_cost_e4', 'was given with the first file', 'Leave it out for the corrected lines.');
}
