// What reading a catalog file keeps at hand: the rules it is checked against, and the problems found, with their lines.
import { type Document, isMap, isScalar, isSeq, type LineCounter, type Node } from 'yaml';
import { closest } from './closest.js';
import type { ConfigProblem } from './problems.js';
import type { SecretSource } from './schema.js';

/** What an adapter demands of an account; `Supplier` of the adapters' contract has this shape. */
export interface AdapterFacts {
  code: string;
  delivers: readonly string[];
  base_urls: { live: string | null; sandbox: string | null };
  credentials: Readonly<Record<string, string>>;
  options?: Readonly<Record<string, { help: string; default: string }>>;
  money: { currency: string | null };
}

/** What the file is checked against, handed in by the program. The checks answer what is wrong, or null. */
export interface DeclarationRules {
  adapters: readonly AdapterFacts[];
  scopes: readonly string[];
  checkPattern: (pattern: string) => string | null;
  checkWebhookUrl: (url: string) => string | null;
  /** Throws with a printable sentence where the secret is not to be had. */
  readSecret: (source: SecretSource) => string;
}

export type Path = (string | number)[];

export interface Reader {
  file: string;
  rules: DeclarationRules;
  document: Document;
  lines: LineCounter;
  problems: ConfigProblem[];
}

export function add(reader: Reader, kind: ConfigProblem['kind'], path: Path, wrong: string, fix: string): void {
  const origin = `${reader.file}:${lineOf(reader, path)}`;
  reader.problems.push({ kind, name: path.join('.') || 'file', wrong, origin, fix });
}

/** The line of the deepest part of the path that stands in the file. */
function lineOf({ document, lines }: Reader, path: Path): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === step);
      offset = (pair?.key as Node | undefined)?.range?.[0] ?? offset;
      next = pair?.value;
    } else if (isSeq(node) && typeof step === 'number') {
      next = node.items[step];
      offset = (next as Node | undefined)?.range?.[0] ?? offset;
    }
    if (next === undefined) break;
    node = next;
  }
  return lines.linePos(offset).line;
}

export function addUnknown(
  reader: Reader,
  kind: ConfigProblem['kind'],
  path: Path,
  word: string,
  known: readonly string[],
  wrong: string,
): void {
  const guess = closest(word, known);
  add(reader, kind, path, wrong, guess ? `Did you mean ${guess}?` : `Known here: ${known.join(', ') || 'none'}.`);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
