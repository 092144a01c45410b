// Reads the catalog file: suppliers' accounts, SKUs with their sources, storefronts. Checks all of it against the
// schema, the adapters and itself, and reports every problem at once with its line. Knows no database.
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { closest } from './closest.js';
import {
  type DeclaredAccount,
  type DeclaredRate,
  type DeclaredSku,
  type DeclaredStorefront,
  finishAccount,
  finishRate,
  finishSku,
  finishStorefront,
} from './entries.js';
import { ConfigError } from './problems.js';
import { add, type DeclarationRules, isRecord, type Path, type Reader } from './reader.js';
import { identifier, SECTIONS } from './schema.js';

export type { DeclaredAccount, DeclaredRate, DeclaredSku, DeclaredStorefront } from './entries.js';
export type { AdapterFacts, DeclarationRules } from './reader.js';
export type { SecretSource } from './schema.js';

export interface Declaration {
  /** The file's path, for messages. */
  file: string;
  accounts: DeclaredAccount[];
  skus: DeclaredSku[];
  storefronts: DeclaredStorefront[];
  rates: DeclaredRate[];
}

const ENTRIES_MAX = 100_000;
/** Reads the file's text. Throws one `ConfigError` with all problems, each with its line; never a secret's value. */
export function readDeclaration(text: string, file: string, rules: DeclarationRules): Declaration {
  const lines = new LineCounter();
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines });
  const reader: Reader = { file, rules, document, lines, problems: [] };
  for (const error of document.errors) {
    reader.problems.push({
      kind: 'invalid',
      name: 'file',
      wrong: error.code === 'DUPLICATE_KEY' ? 'the same name stands here twice' : 'is not readable as YAML here',
      origin: `${file}:${lines.linePos(error.pos[0]).line}`,
      fix: error.code === 'DUPLICATE_KEY' ? 'Rename or remove one of the two.' : 'Correct this line.',
    });
  }
  // An unreadable file would only yield problems that are none.
  if (reader.problems.length > 0) throw new ConfigError(reader.problems, file);
  const root = readRoot(reader);
  const accounts = readEntries(reader, root, 'accounts');
  const skus = readEntries(reader, root, 'skus');
  const storefronts = readEntries(reader, root, 'storefronts');
  const rates = readEntries(reader, root, 'rates').map(([name, entry]) => finishRate(reader, name, entry));
  const declared_accounts = accounts.map(([name, entry]) => finishAccount(reader, name, entry));
  const named = new Map(skus);
  const declaration: Declaration = {
    file,
    accounts: declared_accounts,
    skus: skus.map(([name, entry]) => finishSku(reader, name, entry, root, declared_accounts, rates, named)),
    storefronts: storefronts.map(([name, entry]) => finishStorefront(reader, name, entry, root)),
    rates,
  };
  if (reader.problems.length > 0) throw new ConfigError(reader.problems, file);
  return declaration;
}

function readRoot(reader: Reader): Record<string, unknown> {
  const root: unknown = reader.document.toJS({ maxAliasCount: 1000 });
  if (!isRecord(root)) {
    add(reader, 'invalid', [], 'is not a list of accounts, skus and storefronts', 'Begin with `accounts:`.');
    return {};
  }
  const known = Object.keys(SECTIONS);
  for (const name of Object.keys(root)) {
    if (known.includes(name)) continue;
    const guess = closest(name, known);
    const fix = guess ? `Did you mean ${guess}?` : `Remove it; known here: ${known.join(', ')}.`;
    add(reader, 'unknown', [name], 'there is no such section', fix);
  }
  return root;
}

type Section = keyof typeof SECTIONS;

/** The entries of one section that have the right shape; problems of the others are noted. */
function readEntries<S extends Section>(
  reader: Reader,
  root: Record<string, unknown>,
  section: S,
): [string, z.output<(typeof SECTIONS)[S]>][] {
  const entries = root[section] === '' ? {} : (root[section] ?? {});
  if (!isRecord(entries) || Object.keys(entries).length > ENTRIES_MAX) {
    add(reader, 'invalid', [section], `is not a list of at most ${ENTRIES_MAX} names`, 'Write one `name:` for each.');
    return [];
  }
  const read: [string, z.output<(typeof SECTIONS)[S]>][] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const path = [section, name];
    const named = identifier(64).safeParse(name);
    if (!named.success) addIssues(reader, path, named.error.issues);
    const parsed = SECTIONS[section].safeParse(entry);
    if (parsed.success) read.push([name, parsed.data as z.output<(typeof SECTIONS)[S]>]);
    else addIssues(reader, path, parsed.error.issues);
  }
  return read;
}

function addIssues(reader: Reader, path: Path, issues: readonly z.core.$ZodIssue[]): void {
  for (const issue of issues) {
    const at = [...path, ...(issue.path as Path)];
    const [wrong = '', fix = ''] = issue.message.split('\n');
    if (issue.code === 'unrecognized_keys') {
      const fixes = issue.message.split('\n');
      for (const [index, key] of issue.keys.entries()) {
        add(reader, 'unknown', [...at, key], 'there is no such field', fixes[index]!);
      }
    } else if (issue.code === 'invalid_key') addIssues(reader, at, issue.issues);
    else add(reader, wrong === 'is missing' ? 'missing' : 'invalid', at, wrong, fix);
  }
}
