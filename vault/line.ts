// One row of a file as a code: which cell is what, and whether it may go in. Never shows a cell's text.
import { FIELD_BYTES_MAX } from './content.js';
import { invalid } from './core.js';
import type { Cell, NumberCell, Row } from './sheet.js';
import type { PlainCode } from './types.js';

export const VERDICTS = [
  'ok',
  'empty',
  'too_long',
  'format',
  'duplicate_in_file',
  'duplicate_in_stock',
  'duplicate_of_issued',
  'expired',
  'batch_closed',
] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What to do about a line that did not go in. */
export const FIXES: Record<Exclude<Verdict, 'ok'>, string> = {
  empty: 'Give a number, PIN or link, or delete the line.',
  too_long: `Shorten the field to ${FIELD_BYTES_MAX} bytes; a line break may be missing.`,
  format: "Write the code as the SKU's rule wants it, as text; dates as 2026-12-31, costs as 12.3456.",
  duplicate_in_file: 'Delete the line: the same code stands further up.',
  duplicate_in_stock: 'Delete the line: the code is here already.',
  duplicate_of_issued: 'Do not sell it: this code was sold before. Claim it from the supplier.',
  expired: 'Delete the line, or correct its expiry.',
  batch_closed: 'Import it into a new batch.',
};

export const COLUMNS = ['number', 'pin', 'serial', 'link', 'expires_at', 'face_value', 'unit_cost'] as const;
export type Column = (typeof COLUMNS)[number];
/** Column → its name in the header, or its place from 1. */
export type ColumnMap = Partial<Record<Column, string | number>>;

/** Stands in an error file where content was; a line that still has it was not corrected. */
const MASK = '•••';

export interface RowRules {
  /** What the whole number must match, or null. */
  number_rule: RegExp | null;
  /** Added to a date without a time, which ends with its day: minutes east of UTC. */
  utc_offset_minutes: number;
}

export type Reading = { code: PlainCode } | { fault: 'empty' | 'too_long' | 'format' };

/** Turns the map into places from 0. Throws `invalid` for a column the header does not have. */
export function placeColumns(map: ColumnMap | undefined, header: Cell[] | null): Map<Column, number> {
  const names = header?.map((cell) => (typeof cell === 'string' ? cell.trim() : '')) ?? [];
  const places = new Map<Column, number>();
  for (const column of COLUMNS) {
    const wanted = map === undefined ? (header ? column : column === 'number' ? 1 : undefined) : map[column];
    if (wanted === undefined) continue;
    const place = typeof wanted === 'number' ? wanted - 1 : names.indexOf(wanted);
    if (place >= 0) places.set(column, place);
    else if (map !== undefined)
      throw invalid(
        `map.${column}`,
        'names no column of the file',
        `The header has: ${names.filter(Boolean).join(', ') || 'nothing'}.`,
      );
  }
  if (!['number', 'pin', 'link'].some((column) => places.has(column as Column))) {
    throw invalid('map', 'has no column for the code', 'Map number, pin or link to a column of the file.');
  }
  return places;
}

/** Reads one row. The code's cells are taken as they are. */
export function readLine({ cells }: Row, places: Map<Column, number>, rules: RowRules): Reading {
  const code: PlainCode = {};
  let has_content = false;
  for (const column of ['number', 'pin', 'serial', 'link'] as const) {
    const cell = cellOf(cells, places, column);
    if (cell === null || cell === '') continue;
    // A spreadsheet's number has lost its leading zeroes, perhaps its last digits: it is not the code.
    if (typeof cell !== 'string' || cell.includes(MASK)) return { fault: 'format' };
    if (Buffer.byteLength(cell) > FIELD_BYTES_MAX) return { fault: 'too_long' };
    if (/\p{Surrogate}/u.test(cell)) return { fault: 'format' };
    code[column] = cell;
    has_content ||= column !== 'serial';
  }
  if (!has_content) return { fault: 'empty' };
  if (rules.number_rule && !rules.number_rule.test((code.number as string | undefined) ?? ''))
    return { fault: 'format' };
  return readFacts(code, cells, places, rules);
}

function readFacts(code: PlainCode, cells: Cell[], places: Map<Column, number>, rules: RowRules): Reading {
  const expiry = cellOf(cells, places, 'expires_at');
  if (!isBlank(expiry)) {
    const at = readTime(expiry!, rules.utc_offset_minutes);
    if (at === null) return { fault: 'format' };
    code.expires_at = at;
  }
  for (const [column, field] of [
    ['face_value', 'face_value_e4'],
    ['unit_cost', 'cost_e4'],
  ] as const) {
    const cell = cellOf(cells, places, column);
    if (isBlank(cell)) continue;
    const amount = readAmount(cell!);
    if (amount === null) return { fault: 'format' };
    code[field] = amount;
  }
  return { code };
}

function cellOf(cells: Cell[], places: Map<Column, number>, column: Column): Cell {
  const place = places.get(column);
  return place === undefined ? null : (cells[place] ?? null);
}

function isBlank(cell: Cell): boolean {
  return cell === null || (typeof cell === 'string' && cell.trim() === '');
}

function textOf(cell: Exclude<Cell, null | Date>): string {
  return (typeof cell === 'string' ? cell : (cell as NumberCell).number).trim();
}

/** `12.3456` as 123456. Null for anything else; more than four decimals are not rounded away. */
function readAmount(cell: Exclude<Cell, null>): number | null {
  if (cell instanceof Date) return null;
  const [, whole, part = ''] = /^([0-9]{1,11})(?:\.([0-9]{1,4})0*)?$/.exec(textOf(cell)) ?? [];
  return whole === undefined ? null : Number(whole) * 10_000 + Number(part.padEnd(4, '0'));
}

/** A date ends with its day; a date and time is taken as it says. Milliseconds since the epoch, or null. */
function readTime(cell: Exclude<Cell, null>, utc_offset_minutes: number): number | null {
  const text = cell instanceof Date ? cell.toISOString().slice(0, 10) : textOf(cell);
  const [, year, month, day] = /^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$/.exec(text) ?? [];
  if (year !== undefined) {
    const at = Date.UTC(Number(year), Number(month) - 1, Number(day));
    const is_real = new Date(at).getUTCMonth() === Number(month) - 1 && new Date(at).getUTCDate() === Number(day);
    return is_real ? at + 86_400_000 - utc_offset_minutes * 60_000 : null;
  }
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/.test(text)) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

/** A cell for the error file: enough to find it by, not enough to use it. */
export function masked(cell: Cell): string {
  if (cell === null || cell === '') return '';
  if (typeof cell !== 'string') return MASK;
  const letters = [...cell];
  return letters.length < 12 ? MASK : `${letters.slice(0, 2).join('')}${MASK}${letters.slice(-2).join('')}`;
}
