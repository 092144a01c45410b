// How a file of codes is laid out: format, encoding, a row of names or none, which column is what. From the flags, the
// file's name, and its first row; what would be read wrongly is refused, not guessed.
import { extname } from 'node:path';
import { type Command, Option } from 'commander';
import { COLUMNS, type Column, type ColumnMap } from '../../vault/line.js';
import { type Bytes, type Cell, readRows, type SheetFormat } from '../../vault/sheet.js';
import { usageError } from './failure.js';

export interface FormatFlags {
  format?: SheetFormat['kind'];
  encoding: 'utf8' | 'gbk';
  separator?: string;
  /** Undefined: by the format. */
  header?: boolean;
  map?: ColumnMap;
  utcOffset: number;
}

export interface Layout {
  format: SheetFormat;
  map?: ColumnMap;
  /** A column says what each code cost. */
  has_costs: boolean;
}

/** What the columns are where nothing names them. */
const PLACES: readonly Column[] = ['number', 'pin', 'serial'];

export function addFormatFlags(command: Command): void {
  command
    .addOption(new Option('--format <kind>', 'how to read the file; else by its name').choices(['csv', 'text', 'xlsx']))
    .addOption(new Option('--encoding <name>', 'of text').choices(['utf8', 'gbk']).default('utf8'))
    .option('--separator <text>', 'between columns; a comma for CSV, none for text', separatorOf)
    .option('--header', 'the first row names the columns')
    .option('--no-header', 'the first row is a code already')
    .option(
      '--map <column=name>',
      `a column of the file, by name or place: ${COLUMNS.join(', ')}; may be repeated`,
      mapOf,
    )
    .option('--utc-offset <±hh:mm>', 'where a date without a time ends', offsetOf, 0);
}

/** Reads the file's beginning, and where it has no names for its columns, that no row has more than are known. */
export async function layoutOf(file: string, flags: FormatFlags, open: () => Bytes): Promise<Layout> {
  const kind = flags.format ?? kindOf(file);
  const format: SheetFormat = {
    kind: kind ?? 'csv',
    encoding: flags.encoding,
    ...(flags.separator === undefined ? {} : { separator: flags.separator }),
  };
  const first = await firstRow(open, format);
  const is_named = kind === 'csv' || kind === 'xlsx';
  const has_header = flags.header ?? (is_named || first.some((cell) => COLUMNS.includes(cell as Column)));
  const named = { ...format, has_header };
  if (flags.map) return { format: named, map: flags.map, has_costs: flags.map.unit_cost !== undefined };
  if (has_header) return { format: named, has_costs: first.includes('unit_cost') };
  const places = kind === 'text' && flags.separator === undefined ? PLACES.slice(0, 1) : PLACES;
  await checkWidth(open, named, places.length);
  return { format: named, map: Object.fromEntries(places.map((column, at) => [column, at + 1])), has_costs: false };
}

function kindOf(file: string): SheetFormat['kind'] | null {
  const ending = extname(file).toLowerCase();
  return ending === '.csv' ? 'csv' : ending === '.xlsx' ? 'xlsx' : null;
}

async function firstRow(open: () => Bytes, format: SheetFormat): Promise<Cell[]> {
  for await (const { cells } of readRows(open(), format))
    return cells.map((cell) => (typeof cell === 'string' ? cell.trim() : cell));
  return [];
}

/** A column that nothing names would be dropped, and with it part of a code. */
async function checkWidth(open: () => Bytes, format: SheetFormat, width: number): Promise<void> {
  for await (const { line, cells } of readRows(open(), format)) {
    if (cells.length <= width) continue;
    throw usageError(
      'file',
      `line ${line} has ${cells.length} columns`,
      'Write number[,pin[,serial]] on each line, quote a code that holds a comma, or say with --map what is what.',
    );
  }
}

function mapOf(text: string, before: ColumnMap = {}): ColumnMap {
  const at = text.indexOf('=');
  const [column, place] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 1 || place === '' || !COLUMNS.includes(column as Column)) {
    throw usageError(
      '--map',
      '--map is not column=name',
      `Write it such as --map number=卡号 or --map pin=2, for ${COLUMNS.join(', ')}.`,
    );
  }
  return { ...before, [column]: /^[1-9]\d{0,3}$/.test(place) ? Number(place) : place };
}

function separatorOf(text: string): string {
  const separator = text === '\\t' ? '\t' : text;
  if (separator !== '') return separator;
  throw usageError('--separator', '--separator is empty', 'Write it such as --separator ---- or --separator \\t.');
}

function offsetOf(text: string): number {
  const [, sign, hours = '', minutes = ''] = /^([+-])(0\d|1[0-4]):([0-5]\d)$/.exec(text) ?? [];
  if (sign) return (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
  throw usageError('--utc-offset', '--utc-offset is not ±hh:mm', 'Write it such as --utc-offset +08:00.');
}
