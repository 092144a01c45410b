// What every command is handed: its flags, where data and messages go, and the doors to configuration, database and
// gateway. Data goes to standard output, everything said to a person to standard error.
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import type { Readable } from 'node:stream';
import Table from 'cli-table3';
import type { Config, LoadedConfig } from '../../config/load.js';
import type { Database } from '../db/connect.js';
import type { Gateway } from '../main.js';
import { type CommandNeeds, openDatabase, type SchemaWish, withGateway } from '../open.js';
import { usageError } from './failure.js';

/** Flags that every command takes. */
export interface GlobalFlags {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  /** False with --no-color, NO_COLOR, TERM=dumb, or where standard output is no terminal. */
  color: boolean;
  /** False with --no-input: nothing is asked, ever. */
  input: boolean;
  yes: boolean;
}

/** What only cli.ts may do, being the sole caller of config/load.ts. */
export interface ConfigDoor {
  load: (options?: { makes_key?: boolean }) => LoadedConfig;
  printable: (loaded: LoadedConfig) => { name: string; value: string | null; origin: string }[];
  readSecret: (source: { env: string } | { file: string }, folder: string) => string;
}

export interface Context extends ConfigDoor {
  flags: () => GlobalFlags;
  /** Data: a text as it is. */
  out: (text: string) => void;
  /** A sentence for a person. Nothing with --quiet. */
  tell: (text: string) => void;
  /** Data as JSON with --json, else as `text()` puts it. */
  show: (data: unknown, text: () => string) => void;
  /** The exit code of the command; 0 unless set. */
  setExit: (code: number) => void;
}

/** Rows as columns without lines, wide characters counted as two; `head` in capitals. */
export function columns(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  const table = new Table({
    head: head.map((word) => word.toUpperCase()),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: Object.fromEntries(EDGES.map((edge) => [edge, ''])) as Record<(typeof EDGES)[number], string>,
  });
  for (const row of rows) table.push(row.map((cell) => (cell === null ? '-' : String(cell))));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
const EDGES = [
  ...(['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'] as const),
  ...(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'] as const),
];

/** Runs `work` on the open database and closes it again. */
export async function withDatabase<T>(
  context: Context,
  schema: SchemaWish,
  work: (database: Database, config: Config) => Promise<T>,
): Promise<T> {
  const { config } = configOf(context);
  const database = await openDatabase(config, schema);
  try {
    return await work(database, config);
  } finally {
    await database.close();
  }
}

/** Runs `work` on a gateway without jobs. */
export function onGateway<T>(
  context: Context,
  work: (gateway: Gateway, config: Config) => Promise<T>,
  needs: CommandNeeds = {},
): Promise<T> {
  const { config } = configOf(context);
  return withGateway(config, (gateway) => work(gateway, config), needs);
}

/** The configuration, its warnings told. */
export function configOf(context: Context, options?: { makes_key?: boolean }): LoadedConfig {
  const loaded = context.load(options);
  for (const warning of loaded.warnings) context.tell(`warning: ${warning}`);
  return loaded;
}

/**
 * Whether the person says yes. --yes says it beforehand; without a terminal, or with --no-input, it is a usage error:
 * a script must say --yes itself.
 */
export async function confirm(context: Context, question: string): Promise<boolean> {
  const { yes, input } = context.flags();
  if (yes) return true;
  if (!input || !process.stdin.isTTY) {
    throw usageError(
      '--yes',
      'nothing was written: there is nobody to confirm it',
      'Look at the plan, then repeat the command with --yes.',
    );
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(`${question} [y/N] `)).trim());
  } finally {
    asking.close();
  }
}

/** All bytes of a file, or of standard input for `-`. Throws a usage error that names the flag. */
export async function readInput(field: string, path: string, bytes_max: number): Promise<Buffer> {
  const source: Readable = path === '-' ? process.stdin : await openFile(field, path);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytes_max) {
      throw usageError(field, `${path} is larger than ${bytes_max} bytes`, 'Split it into smaller files.');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function openFile(field: string, path: string): Promise<Readable> {
  try {
    return (await open(path)).createReadStream();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw usageError(
      field,
      `${path} cannot be read (${code})`,
      'Name a file that this user can read, or - for standard input.',
    );
  }
}

/** `text` as a whole number. For commander: throws a usage error that names the flag. */
export function wholeNumber(field: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw usageError(
      field,
      `${field} is not a whole number from ${min} to ${max}`,
      `Write it such as ${field} ${Math.max(min, 1)}.`,
    );
  };
}

/** Decimal text with up to four places as ten-thousandths. For commander: throws a usage error that names the flag. */
export function amountOf(field: string): (text: string) => number {
  return (text) => {
    const [, whole = '', places = ''] = /^(\d{1,11})(?:\.(\d{1,4}))?$/.exec(text) ?? [];
    if (whole !== '') return Number(whole) * 10_000 + Number(places.padEnd(4, '0'));
    throw usageError(field, `${field} is not an amount`, `Write it such as ${field} 48.00, with up to four places.`);
  };
}

/** RFC 3339 for JSON; null stays null. */
export function timeOf(at_ms: number | null): string | null {
  return at_ms === null ? null : new Date(at_ms).toISOString();
}
