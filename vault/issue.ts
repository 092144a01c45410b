// Binding codes to orders: one call serves many orders with a handful of statements. No edge leads back from here.
import { claimReadable, type Pool, quarantineUnreadable, unreadableOf } from './claim.js';
import { type Core, checkIssuing, invalid } from './core.js';
import { VaultError, VaultRetry } from './errors.js';
import type { GateState } from './gate.js';
import { issueRecord, type RecordInput, writeRecords } from './ledger.js';
import { claimSpread } from './share.js';
import type { Claimed, IssueRow } from './tables.js';
import type { Issued, IssueResult, Trx, Wanted } from './types.js';

/** Units one call may bind; a larger order is issued in parts. */
export const UNITS_MAX = 10_000;
/** One wanted on its way: the units still missing, and what came of it. */
export interface Task {
  wanted: Wanted;
  units: number[];
  known: IssueRow[];
  codes: Claimed[];
  available: number;
}

/** Issues codes, all or none for each wanted. See `Vault.issue`. */
export async function issueCodes(core: Core, trx: Trx, wanted: Wanted[]): Promise<IssueResult[]> {
  if (wanted.length === 0) return [];
  checkWanted(wanted);
  const state = await core.gate.pass(trx);
  checkIssuing(core, state.journal_id);
  const now = core.now();
  const tasks = await planTasks(core, trx, wanted);
  const bound = tasks.filter((task) => task.units.length > 0 && task.wanted.code_ids);
  const open_tasks = tasks.filter((task) => task.units.length > 0 && !task.wanted.code_ids);
  if (bound.length > 0) await claimBound(core, trx, bound, now);
  if (open_tasks.length > 0) await claimFromStock(core, trx, open_tasks, state, now + core.expiry_margin_ms);
  await bind(
    core,
    trx,
    tasks.filter((task) => task.codes.length > 0),
    now,
  );
  return tasks.map((task) => resultOf(task));
}

async function planTasks(core: Core, trx: Trx, wanted: Wanted[]): Promise<Task[]> {
  const first = Math.min(...wanted.map((one) => one.first_unit));
  const end = Math.max(...wanted.map((one) => one.first_unit + one.quantity));
  const known = new Map<string, IssueRow>();
  for (const row of await core.store.findIssues(trx, [...new Set(wanted.map((one) => one.order_id))], first, end)) {
    known.set(`${row.order_id} ${row.unit_no}`, row);
  }
  return wanted.map((one) => planTask(one, known));
}

function planTask(wanted: Wanted, known: Map<string, IssueRow>): Task {
  const task: Task = { wanted, units: [], known: [], codes: [], available: 0 };
  for (let unit_no = wanted.first_unit; unit_no < wanted.first_unit + wanted.quantity; unit_no++) {
    const row = known.get(`${wanted.order_id} ${unit_no}`);
    if (!row) {
      task.units.push(unit_no);
      continue;
    }
    if (row.sku !== wanted.sku) {
      throw new VaultError('conflict', `unit ${unit_no} of ${wanted.order_id} was issued as another SKU`, {
        field: 'sku',
        fix: 'An order is of one SKU; ask for what it was issued as.',
      });
    }
    task.known.push(row);
  }
  return task;
}

async function claimBound(core: Core, trx: Trx, tasks: Task[], now: number): Promise<void> {
  const ids = tasks.flatMap((task) => boundIds(task));
  const claimed = new Map((await core.store.claimThese(trx, ids, now)).map((code) => [code.code_id, code]));
  const unreadable = new Set((await unreadableOf(core, trx, [...claimed.values()])).map((code) => code.code_id));
  for (const task of tasks) {
    const codes = boundIds(task).map((id) => claimed.get(id));
    const usable = codes.filter(
      (code) => code && code.sku === task.wanted.sku && !unreadable.has(code.code_id),
    ) as Claimed[];
    task.available = task.known.length + usable.length;
    if (usable.length === codes.length) task.codes = usable;
  }
  await quarantineUnreadable(
    core,
    trx,
    [...claimed.values()].filter((code) => unreadable.has(code.code_id)),
  );
}

/** The codes named for the units that are still missing. */
function boundIds({ wanted, units }: Task): string[] {
  return units.map((unit_no) => wanted.code_ids![unit_no - wanted.first_unit]!);
}

async function claimFromStock(
  core: Core,
  trx: Trx,
  tasks: Task[],
  state: GateState,
  expires_after: number,
): Promise<void> {
  // In the order of their names, so that two calls that want the same SKUs cannot wait for each other.
  const skus = [...new Set(tasks.map((task) => task.wanted.sku))].sort();
  for (const sku of skus) {
    const mine = tasks.filter((task) => task.wanted.sku === sku);
    const stock: Pool = { sku, expires_after, excluded: state.excluded };
    const share = state.shares.get(sku);
    if (state.frozen_all || state.frozen_skus.has(sku)) allot(mine, []);
    else if (share) await claimSpread(core, trx, stock, share, mine);
    else {
      const needed = mine.reduce((sum, task) => sum + task.units.length, 0);
      allot(mine, await claimReadable(core, trx, stock, needed));
    }
  }
}

/** In the order they came, all or none: one too large for what is left does not stop a smaller one behind it. */
function allot(tasks: Task[], codes: Claimed[]): void {
  let taken = 0;
  for (const task of tasks) {
    const left = codes.length - taken;
    task.available = task.known.length + Math.min(left, task.units.length);
    if (left < task.units.length) continue;
    task.codes = codes.slice(taken, taken + task.units.length);
    taken += task.units.length;
  }
}

async function bind(core: Core, trx: Trx, tasks: Task[], now: number): Promise<void> {
  if (tasks.length === 0) return;
  const code_ids = tasks.flatMap((task) => task.codes.map((code) => code.code_id));
  const moved = await core.store.markIssued(trx, code_ids);
  // The claim holds the rows locked, so this cannot differ; if it does, nothing of this transaction may stand.
  if (moved !== code_ids.length) throw new VaultRetry('a claimed code was no longer available');
  const records: RecordInput[] = [];
  const rows: IssueRow[] = [];
  for (const task of tasks) {
    const issued = task.codes.map((code, at) => issueRow(task, code, at, now));
    for (const row of issued) rows.push(row);
    records.push(issueRecord(issued));
    task.known.push(...issued);
  }
  await core.store.insertIssues(trx, rows);
  await writeRecords(trx, now, records);
}

function issueRow({ wanted, units }: Task, code: Claimed, at: number, now: number): IssueRow {
  return {
    order_id: wanted.order_id,
    unit_no: units[at]!,
    generation: 0,
    code_id: code.code_id,
    sku: code.sku,
    batch_id: code.batch_id,
    cost_e4: code.cost_e4,
    currency: code.currency,
    issued_at: now,
  };
}

function resultOf({ wanted, known, available }: Task): IssueResult {
  if (known.length < wanted.quantity) return { short: { available } };
  const issued: Issued[] = known.map(({ unit_no, code_id, batch_id, cost_e4, currency }) => ({
    unit_no,
    code_id,
    batch_id,
    cost_e4,
    currency,
  }));
  return { issued: issued.sort((one, other) => one.unit_no - other.unit_no) };
}

function checkWanted(wanted: Wanted[]): void {
  const ends = new Map<string, [number, number][]>();
  let units = 0;
  for (const { order_id, first_unit, quantity, code_ids } of wanted) {
    if (!Number.isInteger(first_unit) || first_unit < 1)
      throw invalid('first_unit', 'is not a unit', 'Count units from 1.');
    if (!Number.isInteger(quantity) || quantity < 1)
      throw invalid('quantity', 'is not a quantity', 'Ask for 1 or more.');
    units += quantity;
    if (code_ids && (code_ids.length !== quantity || new Set(code_ids).size !== quantity)) {
      throw invalid('code_ids', 'are not one for each unit', 'Name as many different codes as units.');
    }
    const ranges = ends.get(order_id) ?? [];
    if (ranges.some(([from, to]) => first_unit < to && from < first_unit + quantity)) {
      throw invalid('wanted', `names a unit of ${order_id} twice`, 'Name each unit once a call.');
    }
    ends.set(order_id, [...ranges, [first_unit, first_unit + quantity]]);
  }
  if (units > UNITS_MAX) throw invalid('wanted', `asks for ${units} units`, `Ask for at most ${UNITS_MAX} a call.`);
}
