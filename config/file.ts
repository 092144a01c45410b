// Reads kamigate.yaml: one `name: value` for each setting, as text with the line it stands on. What the values mean is
// for the table of options.
import { readFileSync } from 'node:fs';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import type { ConfigProblem } from './problems.js';

/** A setting's text, and where it was written. */
export interface Found {
  text: string;
  origin: string;
}

/** The settings of the file by name; an absent file is an empty one unless it was named. Problems go to `problems`. */
export function readConfigFile(path: Found, problems: ConfigProblem[]): Map<string, Found> {
  const settings = new Map<string, Found>();
  let text: string;
  try {
    text = readFileSync(path.text, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && path.origin === 'default') return settings;
    problems.push({
      kind: code === 'ENOENT' ? 'missing' : 'invalid',
      name: 'config_file',
      wrong: code === 'ENOENT' ? `there is no file ${path.text}` : `${path.text} cannot be read (${code})`,
      origin: path.origin,
      fix: 'Name a readable YAML file, or none.',
    });
    return settings;
  }
  const lines = new LineCounter();
  // failsafe: every scalar stays the text that was written; the table knows the types.
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines });
  const at = (offset: number): string => `${path.text}:${lines.linePos(offset).line}`;
  for (const error of document.errors) {
    problems.push({
      kind: 'invalid',
      name: 'config_file',
      wrong: error.code === 'DUPLICATE_KEY' ? 'names a setting twice' : 'is not readable as YAML here',
      origin: at(error.pos[0]),
      fix: 'Correct this line: one `name: value` for each setting.',
    });
  }
  if (document.contents === null || document.errors.length > 0) return settings;
  if (isMap(document.contents)) collectSettings(problems, document.contents, at, settings);
  else {
    problems.push({
      kind: 'invalid',
      name: 'config_file',
      wrong: 'is not a list of `name: value`',
      origin: path.text,
      fix: 'Write one `name: value` for each setting, such as `port: 8080`.',
    });
  }
  return settings;
}

function collectSettings(
  problems: ConfigProblem[],
  map: YAMLMap,
  at: (offset: number) => string,
  settings: Map<string, Found>,
): void {
  for (const { key, value } of map.items) {
    const name = isScalar(key) ? String(key.value) : '';
    const origin = at((isScalar(key) && key.range?.[0]) || 0);
    if (isScalar(value)) settings.set(name, { text: String(value.value ?? ''), origin });
    else if (isSeq(value) && value.items.every(isScalar)) {
      settings.set(name, { text: value.items.map((item) => String(item.value)).join(','), origin });
    } else {
      problems.push({
        kind: 'invalid',
        name,
        wrong: 'is not a single value',
        origin,
        fix: 'Write one value, or a list of values.',
      });
    }
  }
}
