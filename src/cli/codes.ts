// Reads codes from a text or CSV file: one code a line, `number[,pin[,serial]]`. A code is what stands there, to the
// last space: nothing is trimmed or cleaned. No message ever repeats a line.
import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { usageError } from './failure.js';

/** One line's code, and where it stood. */
export interface CodeLine {
  line: number;
  number?: string;
  pin?: string;
  serial?: string;
}

export const CODES_BYTES_MAX = 200_000_000;
const FIELDS = ['number', 'pin', 'serial'] as const;

/** The codes of the file, without empty lines; a first line that names the columns is left out. Throws a usage error. */
export function readCodes(field: string, bytes: Buffer): CodeLine[] {
  if (!isUtf8(bytes)) throw usageError(field, 'the file is not UTF-8 text', 'Save it as UTF-8.');
  const records = parseLines(field, bytes);
  const codes = records.flatMap(({ record, info }): CodeLine[] => {
    if (record.length > FIELDS.length) {
      throw usageError(
        field,
        `line ${info.lines} has ${record.length} columns`,
        'Write number[,pin[,serial]] on each line; quote a code that holds a comma.',
      );
    }
    if (record.every((cell) => cell === '')) return [];
    const cells = FIELDS.flatMap((name, at) => (record[at] ? [[name, record[at]]] : []));
    return [{ line: info.lines, ...Object.fromEntries(cells) }];
  });
  const [first] = records;
  const is_head = first?.record.every((cell, at) => cell.toLowerCase() === FIELDS[at]) ?? false;
  return is_head ? codes.slice(1) : codes;
}

interface Line {
  record: string[];
  info: { lines: number };
}

function parseLines(field: string, bytes: Buffer): Line[] {
  try {
    return parse(bytes, {
      bom: true,
      info: true,
      relax_column_count: true,
      // A quote inside a code is part of it; only one at its beginning opens a quoted code.
      relax_quotes: true,
      record_delimiter: ['\r\n', '\n'],
    }) as unknown as Line[];
  } catch (error) {
    const { lines } = error as { lines?: number };
    throw usageError(
      field,
      `the file cannot be read as CSV${lines ? ` at line ${lines}` : ''}`,
      'Close every quote; double a quote inside a quoted code.',
    );
  }
}
