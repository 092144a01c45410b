// The append-only record of everything done to codes. An act writes its record into the inbox in its own transaction,
// so that no two acts wait for one another; chain.ts moves what is committed into the hash chain.
import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import { newId } from './ids.js';
import { insertRows } from './rows.js';
import type { IssueRow } from './tables.js';
import type { Trx } from './types.js';

export const ACTS = [
  'deposit',
  'issue',
  'reveal',
  'quarantine',
  'release',
  'void',
  'replace',
  'dispute',
  'approve',
  'freeze',
  'unfreeze',
  'export',
  'policy',
  'key',
  'seal',
  'unseal',
  'restore',
  'seat',
] as const;
export type ActName = (typeof ACTS)[number];

/** What an act tells the ledger. `digest` covers the rows it wrote; `data` holds no content and no key. */
export interface RecordInput {
  act: ActName;
  actor: string;
  order_id?: string | null;
  batch_id?: string | null;
  sku?: string | null;
  count: number;
  digest: string;
  data?: Record<string, unknown>;
}

export interface InboxRow {
  entry_id: string;
  at: number;
  act: string;
  actor: string;
  order_id: string | null;
  batch_id: string | null;
  sku: string | null;
  count: number;
  digest: string;
  data: string;
}

/** Writes the records of one act. If this fails, so does the act: no ledger, no reveal. */
export async function writeRecords(trx: Trx, at: number, inputs: RecordInput[]): Promise<InboxRow[]> {
  const rows = inputs.map((input) => ({
    entry_id: newId('evt', at),
    at,
    act: input.act,
    actor: input.actor.slice(0, 128),
    order_id: input.order_id ?? null,
    batch_id: input.batch_id ?? null,
    sku: input.sku ?? null,
    count: input.count,
    digest: input.digest,
    data: input.data === undefined ? '{}' : JSON.stringify(input.data),
  }));
  await insertRows(trx, 'ledger_inbox', rows);
  return rows;
}

/** SHA-256 over lines of fields, hex. JSON, so that no two different lists give the same bytes. */
export function digestOf(lines: unknown[][]): string {
  const hash = createHash('sha256');
  for (const line of lines) hash.update(`${JSON.stringify(line)}\n`);
  return hash.digest('hex');
}

/** A range of consecutive units: `[first, last]`. */
type UnitRange = [number, number];

/** One record an order and generation: `verify` recomputes the digest from the rows, so no issue can be changed unseen. */
export function issueRecord(issued: IssueRow[]): RecordInput & { data: { units: UnitRange[]; generation: number } } {
  const { order_id, sku, generation } = issued[0]!;
  return {
    act: 'issue',
    actor: 'gateway',
    order_id,
    sku,
    count: issued.length,
    digest: digestOf(issued.map(issueLine)),
    data: { units: unitRanges(issued), generation },
  };
}

function issueLine(row: IssueRow): [string, number, number, string] {
  return [row.order_id, row.unit_no, row.generation, row.code_id];
}

/** The issues a record speaks of, as its digest's lines. */
export async function recordedIssues(knex: Knex, { order_id, at, data }: Pick<InboxRow, 'order_id' | 'at' | 'data'>) {
  const { units, generation } = JSON.parse(data) as { units: UnitRange[]; generation: number };
  const rows: IssueRow[] = await knex('issues')
    .where({ order_id, generation, issued_at: at })
    .orderBy('unit_no')
    .select();
  return rows
    .filter((row) => units.some(([first, last]) => row.unit_no >= first && row.unit_no <= last))
    .map(issueLine);
}

function unitRanges(issued: { unit_no: number }[]): UnitRange[] {
  const ranges: UnitRange[] = [];
  for (const { unit_no } of issued) {
    const last = ranges.at(-1);
    if (last && last[1] === unit_no - 1) last[1] = unit_no;
    else ranges.push([unit_no, unit_no]);
  }
  return ranges;
}
