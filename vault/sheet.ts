// Reading a file of codes as rows of cells: CSV, plain text with any separator, XLSX; UTF-8 with or without BOM, GBK.
// Streams, writes nothing, and never trims or cleans a cell.
import { createHash, type Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import iconv from 'iconv-lite';
import { invalid } from './core.js';
import { VaultError } from './errors.js';

export type Bytes = AsyncIterable<Uint8Array>;

export interface SheetFormat {
  kind: 'csv' | 'text' | 'xlsx';
  /** CSV and text; `utf8` drops a BOM. */
  encoding?: 'utf8' | 'gbk';
  /** Between cells: `,` where left out for CSV; without one a line of text is a single cell. */
  separator?: string;
  /** The first row names the columns. True where left out for CSV and XLSX, false for text. */
  has_header?: boolean;
}

/** A number in a spreadsheet: it may have lost leading zeroes and digits, so it is told apart from text. */
export interface NumberCell {
  number: string;
}
export type Cell = string | NumberCell | Date | null;

export interface Row {
  /** As an editor counts them, from 1. */
  line: number;
  cells: Cell[];
}

/** A spreadsheet is a zip and is read as a whole, in memory. */
const XLSX_BYTES_MAX = 64 * 2 ** 20;

/** The rows of a file. `hash` is fed every byte. Throws `invalid` for a file that is not what its format says. */
export async function* readRows(
  input: Bytes,
  format: SheetFormat,
  hash: Hash = createHash('sha256'),
): AsyncGenerator<Row> {
  const bytes = hashed(input, hash);
  if (format.kind === 'xlsx') yield* readXlsx(bytes);
  else if (format.kind === 'csv') yield* readCsv(decoded(bytes, format.encoding), format.separator ?? ',');
  else yield* readText(decoded(bytes, format.encoding), format.separator);
}

async function* hashed(input: Bytes, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of input) {
    hash.update(chunk);
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
}

async function* decoded(
  bytes: AsyncIterable<Buffer>,
  encoding: SheetFormat['encoding'] = 'utf8',
): AsyncGenerator<string> {
  const decoder = encoding === 'gbk' ? iconv.getDecoder('gbk') : iconv.getDecoder('utf8', { stripBOM: true });
  let is_first = true;
  for await (const chunk of bytes) {
    let text = decoder.write(chunk);
    if (is_first && text.length > 0) {
      if (text.startsWith('\ufeff')) text = text.slice(1);
      is_first = false;
    }
    // What the encoding cannot read is replaced, and a replaced byte is a lost code.
    if (text.includes('\ufffd')) throw notEncoded(encoding);
    if (text.length > 0) yield text;
  }
  const rest = decoder.end() ?? '';
  if (rest.includes('\ufffd')) throw notEncoded(encoding);
  if (rest.length > 0) yield rest;
}

function notEncoded(encoding: string): VaultError {
  return invalid('encoding', `is not ${encoding}`, 'Choose the encoding the file was saved in: utf8 or gbk.');
}

async function* readCsv(text: AsyncIterable<string>, separator: string): AsyncGenerator<Row> {
  const parser = parse({
    delimiter: separator,
    info: true,
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: false,
    max_record_size: 2 ** 20,
  });
  const source = Readable.from(text);
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      yield { line: info.lines, cells: record };
    }
  } catch (error) {
    if (error instanceof VaultError) throw error;
    const { lines } = error as { lines?: number };
    throw invalid(
      'file',
      `is not CSV at line ${lines ?? '?'}`,
      'Close the quotes there, or read it as text with a separator.',
    );
  } finally {
    source.destroy();
  }
}

async function* readText(text: AsyncIterable<string>, separator: string | undefined): AsyncGenerator<Row> {
  let line = 0;
  let rest = '';
  const row = (content: string): Row => {
    line++;
    // The end of a line on Windows; a carriage return anywhere else stays.
    const whole = content.endsWith('\r') ? content.slice(0, -1) : content;
    return { line, cells: separator ? whole.split(separator) : [whole] };
  };
  for await (const chunk of text) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop()!;
    for (const part of parts) yield row(part);
  }
  if (rest.length > 0) yield row(rest);
}

async function* readXlsx(bytes: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > XLSX_BYTES_MAX)
      throw invalid('file', 'is too large a spreadsheet', 'Save it as CSV, which is read as a stream.');
    chunks.push(chunk);
  }
  // Loaded only here: few imports are spreadsheets.
  const { readSheet } = await import('read-excel-file/node');
  let rows: unknown[][];
  try {
    const options = { trim: false, parseNumber: (number: string): NumberCell => ({ number }) };
    rows = (await readSheet(Buffer.concat(chunks), options as never)) as unknown[][];
  } catch {
    throw invalid('file', 'is not an XLSX file', 'Save it as .xlsx, or as CSV.');
  }
  for (const [at, cells] of rows.entries()) yield { line: at + 1, cells: cells.map(asCell) };
}

function asCell(value: unknown): Cell {
  if (value === null || value === undefined || typeof value === 'string') return value ?? null;
  if (value instanceof Date) return value;
  if (typeof value === 'boolean') return String(value).toUpperCase();
  return value as NumberCell;
}
