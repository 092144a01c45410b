// Binding codes to orders: one call serves many orders with a handful of statements. No edge leads back from here.
import { type Core, invalid } from './deposit.js';
import { VaultError, VaultRetry } from './errors.js';
import { batchKeyName, type GateState, isUntrusted } from './gate.js';
import { digestOf, type RecordInput, writeRecords } from './ledger.js';
import { bindingBytes, open } from './seal.js';
import type { Claimed, Excluded, IssueRow } from './store.js';
import type { Issued, IssueResult, Trx, Wanted } from './types.js';

/** Units one call may bind; a larger order is issued in parts. */
export const UNITS_MAX = 10_000;
/** How often a claim is made again because codes in it could not be opened. */
const CLAIMS_MAX = 8;

export interface IssueOptions {
  /** Codes that expire within it are not issued. */
  expiry_margin_ms: number;
}

/** One wanted on its way: the units still missing, and what came of it. */
interface Task {
  wanted: Wanted;
  units: number[];
  known: IssueRow[];
  codes: Claimed[];
  available: number;
}

/** Issues codes, all or none for each wanted. See `Vault.issue`. */
export async function issueCodes(
  core: Core,
  options: IssueOptions,
  trx: Trx,
  wanted: Wanted[],
): Promise<IssueResult[]> {
  if (wanted.length === 0) return [];
  checkWanted(wanted);
  const state = await core.gate.pass(trx);
  const now = core.now();
  const tasks = await planTasks(core, trx, wanted);
  const bound = tasks.filter((task) => task.units.length > 0 && task.wanted.code_ids);
  const open_tasks = tasks.filter((task) => task.units.length > 0 && !task.wanted.code_ids);
  if (bound.length > 0) await claimBound(core, trx, bound, now);
  if (open_tasks.length > 0) await claimFromStock(core, trx, open_tasks, state, now + options.expiry_margin_ms);
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
    const needed = mine.reduce((sum, task) => sum + task.units.length, 0);
    const frozen = state.frozen_all || state.frozen_skus.has(sku);
    const codes = frozen ? [] : await claimReadable(core, trx, sku, needed, expires_after, state.excluded);
    allot(mine, codes);
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

async function claimReadable(
  core: Core,
  trx: Trx,
  sku: string,
  needed: number,
  expires_after: number,
  excluded: Excluded,
): Promise<Claimed[]> {
  for (let round = 0; round < CLAIMS_MAX; round++) {
    const codes = await core.store.claim(trx, sku, needed, expires_after, excluded);
    if (codes.length < needed) await refuseIfHeld(core, trx, sku, codes.length, needed, expires_after, excluded);
    const unreadable = await unreadableOf(core, trx, codes);
    if (unreadable.length === 0) return codes;
    await quarantineUnreadable(core, trx, unreadable);
  }
  throw new VaultError('unauthentic', `too many codes of ${sku} cannot be opened`, {
    field: 'sku',
    fix: 'Run `kamigate vault verify`: rows of this SKU were damaged or moved.',
  });
}

/** Fewer than wanted is "out of stock" only if nobody else holds the rest: a holder may yet roll back. */
async function refuseIfHeld(
  core: Core,
  trx: Trx,
  sku: string,
  claimed: number,
  needed: number,
  expires_after: number,
  excluded: Excluded,
): Promise<void> {
  const available = await core.store.countAvailable(trx, sku, needed, expires_after, excluded);
  if (available > claimed) throw new VaultRetry(`codes of ${sku} are being issued by another transaction`);
}

/** Opens each code and returns those that fail: what is issued has been proven to open. */
async function unreadableOf(core: Core, trx: Trx, codes: Claimed[]): Promise<Claimed[]> {
  const keys = await core.gate.batchKeys(trx, codes);
  return codes.filter((code) => {
    const key = keys.get(batchKeyName(code));
    if (!key) return true;
    try {
      open(key, bindingBytes(code), code.sealed).fill(0);
      return false;
    } catch (error) {
      if (isUntrusted(error)) return true;
      throw error;
    }
  });
}

async function quarantineUnreadable(core: Core, trx: Trx, codes: Claimed[]): Promise<void> {
  if (codes.length === 0) return;
  const code_ids = codes.map((code) => code.code_id);
  await core.store.moveCodes(trx, { code_ids }, ['available'], 'quarantined', 'unauthentic');
  await writeRecords(trx, core.now(), [
    {
      act: 'quarantine',
      actor: 'vault',
      sku: codes[0]!.sku,
      count: codes.length,
      digest: digestOf(code_ids.map((id) => [id])),
      data: { reason: 'unauthentic', code_ids: code_ids.slice(0, 20) },
    },
  ]);
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

/** One record an order: `verify` recomputes the digest from the rows, so no issue can be changed unseen. */
export function issueRecord(issued: IssueRow[]): RecordInput {
  const { order_id, sku } = issued[0]!;
  return {
    act: 'issue',
    actor: 'gateway',
    order_id,
    sku,
    count: issued.length,
    digest: digestOf(issued.map((row) => [row.order_id, row.unit_no, row.generation, row.code_id])),
    data: { units: unitRanges(issued) },
  };
}

/** `[first, last]` of each run of consecutive units. */
function unitRanges(issued: IssueRow[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const { unit_no } of issued) {
    const last = ranges.at(-1);
    if (last && last[1] === unit_no - 1) last[1] = unit_no;
    else ranges.push([unit_no, unit_no]);
  }
  return ranges;
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
