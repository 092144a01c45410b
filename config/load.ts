// The door for settings: flags over environment over kamigate.yaml over defaults, checked against the table of
// options and frozen. The only file that reads `process.env`.
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { closest } from './closest.js';
import { type Found, readConfigFile } from './file.js';
import { envName, flagName, OPTIONS, type Option, type OptionName } from './options.js';
import { ConfigError, type ConfigProblem } from './problems.js';
import { HiddenText, holdsSecret, readValue, type Value } from './values.js';

type ValueOf<O extends Option> = O extends { is_secret: true }
  ? O['default'] extends null
    ? HiddenText | null
    : HiddenText
  : O['type'] extends 'integer' | 'port'
    ? number
    : O['type'] extends 'flag'
      ? boolean
      : O['type'] extends 'ladder_ms'
        ? readonly number[]
        : O['default'] extends null
          ? string | null
          : string;

/** Every setting, by its name in the table; secrets are wrapped and print as `[sealed]`. */
export type Config = { readonly [N in OptionName]: ValueOf<(typeof OPTIONS)[N]> };

export interface LoadedConfig {
  config: Config;
  /** Where each value came from: `flag --port`, `env KAMIGATE_PORT`, `kamigate.yaml:3`, `default`. */
  origins: Readonly<Record<OptionName, string>>;
  /** Allowed, but not good; one sentence each. */
  warnings: readonly string[];
}

export interface ConfigInput {
  env?: Readonly<Record<string, string | undefined>>;
  /** Path of the configuration file; wins over KAMIGATE_CONFIG_FILE. */
  file?: string;
  /** By option name; left out where the flag was not given. */
  flags?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** The master key's file need not be there yet: it is about to be made. */
  makes_key?: boolean;
}

interface Reading {
  env: Readonly<Record<string, string | undefined>>;
  flags: Readonly<Record<string, string | number | boolean | undefined>>;
  file: Map<string, Found>;
  problems: ConfigProblem[];
  warnings: string[];
}

const TABLE: Readonly<Record<string, Option>> = OPTIONS;
const NAMES = Object.keys(OPTIONS) as OptionName[];
/** What the file itself may hold. */
const SETTINGS: string[] = NAMES.filter((name) => name !== 'config_file');

/**
 * Reads every setting. Throws one `ConfigError` with all problems at once. An empty environment variable counts as
 * not set. Warnings are for the caller to print.
 */
export function loadConfig(input: ConfigInput = {}): LoadedConfig {
  const env = input.env ?? process.env;
  const reading: Reading = { env, flags: input.flags ?? {}, file: new Map(), problems: [], warnings: [] };
  const config_file = findConfigFile(reading, input.file);
  reading.file = readConfigFile(config_file, reading.problems);

  const values: Record<string, unknown> = { config_file: config_file.text };
  const origins: Record<string, string> = { config_file: config_file.origin };
  for (const name of NAMES) {
    if (name === 'config_file') continue;
    const found = findSetting(reading, name);
    origins[name] = found?.origin ?? 'default';
    values[name] = found ? settingValue(reading, name, found) : defaultValue(OPTIONS[name], values);
  }
  findUnknown(reading);
  checkTogether(reading, values, origins);
  if (input.makes_key) {
    const is_wanted = ({ kind, name }: ConfigProblem): boolean => kind === 'missing' && name === 'master_key_file';
    reading.problems = reading.problems.filter((problem) => !is_wanted(problem));
  }
  if (reading.problems.length > 0) throw new ConfigError(reading.problems, config_file.text);
  return {
    config: Object.freeze(values) as unknown as Config,
    origins: Object.freeze(origins) as Record<OptionName, string>,
    warnings: reading.warnings,
  };
}

/** Every setting with its value as text and where it came from, for `config print`. Never a secret. */
export function printableConfig({ config, origins }: LoadedConfig): {
  name: OptionName;
  value: string | null;
  origin: string;
}[] {
  return NAMES.map((name) => {
    const value = config[name];
    const is_open = value instanceof HiddenText && !holdsSecret(OPTIONS[name], value.reveal());
    return { name, value: value === null ? null : String(is_open ? value.reveal() : value), origin: origins[name] };
  });
}

/**
 * The secret that a catalog file names as `{ env: NAME }` or `{ file: PATH }`; a relative path begins at `folder`. One
 * line end at the end of a file is not part of the secret. Throws an `Error` fit to print; it never holds the secret.
 */
export function readNamedSecret(
  source: { env: string } | { file: string },
  folder: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if ('env' in source) {
    const text = env[source.env];
    if (!text) throw new Error(`the environment variable ${source.env} is not set`);
    return text;
  }
  const text = readSecretFile(resolve(folder, source.file));
  if (text === '') throw new Error(`the file ${source.file} is empty`);
  return text;
}

function findConfigFile({ env }: Reading, file: string | undefined): Found {
  if (file) return { text: file, origin: 'flag --config' };
  const name = envName('config_file');
  if (env[name]) return { text: env[name], origin: `env ${name}` };
  return { text: OPTIONS.config_file.default, origin: 'default' };
}

function findSetting(reading: Reading, name: OptionName): Found | null {
  const option: Option = OPTIONS[name];
  const candidates = [
    findFlag(reading, name, option),
    ...findInEnv(reading, name, option),
    findInFile(reading, name, option),
  ];
  return candidates.find((found) => found !== null) ?? null;
}

function findFlag(reading: Reading, name: OptionName, option: Option): Found | null {
  const given = reading.flags[name];
  if (given === undefined) return null;
  if (!holdsSecret(option, String(given))) return { text: String(given), origin: `flag ${flagName(name)}` };
  reading.problems.push({
    kind: 'insecure',
    name,
    wrong: 'a secret was given as a flag, where every process on this machine can read it',
    origin: `flag ${flagName(name)}`,
    fix: secretFix(name, option),
  });
  return null;
}

function findInEnv(reading: Reading, name: OptionName, option: Option): (Found | null)[] {
  const variable = envName(name);
  const text = reading.env[variable] ?? '';
  const path = option.is_secret && !option.file_option ? (reading.env[`${variable}_FILE`] ?? '') : '';
  if (text !== '' && path !== '') {
    reading.problems.push({
      kind: 'invalid',
      name,
      wrong: `both ${variable} and ${variable}_FILE are set`,
      origin: `env ${variable}`,
      fix: `Unset one of them; ${variable}_FILE is the safer.`,
    });
  }
  const from_file = path === '' ? null : readFromFile(reading, name, path);
  if (text === '') return [from_file];
  if (holdsSecret(option, text)) {
    const instead = option.file_option ? envName(option.file_option) : `${variable}_FILE`;
    reading.warnings.push(`${variable} holds a secret in the environment; ${instead} keeps it in a file.`);
  }
  return [from_file, { text, origin: `env ${variable}` }];
}

function readFromFile(reading: Reading, name: OptionName, path: string): Found | null {
  const origin = `env ${envName(name)}_FILE`;
  try {
    return { text: readSecretFile(path), origin };
  } catch (error) {
    reading.problems.push({
      kind: 'missing',
      name,
      wrong: (error as Error).message,
      origin,
      fix: `Put the secret alone into a file that this process can read, and name the file in ${envName(name)}_FILE.`,
    });
    return null;
  }
}

function findInFile(reading: Reading, name: OptionName, option: Option): Found | null {
  const found = reading.file.get(name);
  if (!found || !holdsSecret(option, found.text)) return found ?? null;
  reading.problems.push({
    kind: 'insecure',
    name,
    wrong: 'a secret stands in the configuration file',
    origin: found.origin,
    fix: secretFix(name, option),
  });
  return null;
}

function settingValue(reading: Reading, name: OptionName, found: Found): Value | HiddenText {
  const option: Option = OPTIONS[name];
  const read = readValue(option, found.text);
  if ('value' in read) return option.is_secret ? new HiddenText(String(read.value)) : read.value;
  reading.problems.push({ kind: 'invalid', name, wrong: read.wrong, origin: found.origin, fix: fixOf(name) });
  return option.is_secret ? new HiddenText('') : '';
}

function defaultValue(option: Option, known: Record<string, unknown>): unknown {
  const value = typeof option.default === 'function' ? option.default(known) : option.default;
  return option.is_secret && value !== null ? new HiddenText(String(value)) : value;
}

function findUnknown({ env, flags, file, problems }: Reading): void {
  const variables = NAMES.flatMap((name) => {
    const option = TABLE[name]!;
    return option.is_secret && !option.file_option ? [envName(name), `${envName(name)}_FILE`] : [envName(name)];
  });
  const unknown = (name: string, origin: string, right: readonly string[], otherwise: string): void => {
    const guess = closest(name, right);
    const fix = guess ? `Did you mean ${guess}?` : otherwise;
    problems.push({ kind: 'unknown', name, wrong: 'there is no such setting', origin, fix });
  };
  for (const name of Object.keys(env)) {
    if (!name.startsWith('KAMIGATE_') || variables.includes(name)) continue;
    unknown(name, 'environment', variables, 'Unset it. A secret of the catalog file needs a name without KAMIGATE_.');
  }
  for (const [name, found] of file) {
    if (SETTINGS.includes(name)) continue;
    unknown(name, found.origin, SETTINGS, 'Remove it; `kamigate config print` lists every setting.');
  }
  for (const [name, value] of Object.entries(flags)) {
    if (value === undefined || name in OPTIONS) continue;
    unknown(flagName(name), 'flag', NAMES.map(flagName), 'Remove it; `kamigate help` lists every flag.');
  }
}

/** What no single value shows: two settings that do not go together, and the state of the key's file. */
function checkTogether(reading: Reading, values: Record<string, unknown>, origins: Record<string, string>): void {
  const { problems } = reading;
  if (typeof values.port === 'number' && values.port > 0 && values.port === values.metrics_port) {
    problems.push({
      kind: 'invalid',
      name: 'metrics_port',
      wrong: 'is the public port; metrics must not be reachable there',
      origin: origins.metrics_port!,
      fix: `Set ${envName('metrics_port')} to another port, such as 9464.`,
    });
  }
  checkPkcs12(problems, values, origins);
  if (values.master_key === null) checkKeyFile(problems, String(values.master_key_file), origins.master_key_file!);
  else if (origins.master_key_file !== 'default') {
    problems.push({
      kind: 'invalid',
      name: 'master_key',
      wrong: 'a master key is given twice: as a value and as a file',
      origin: origins.master_key!,
      fix: `Unset ${envName('master_key')}; the file is the safer.`,
    });
  }
}

/** PKCS#12 files stand in place of the other two. */
function checkPkcs12(
  problems: ConfigProblem[],
  values: Record<string, unknown>,
  origins: Record<string, string>,
): void {
  if (values.master_key_p12_files === null) return;
  const problem = { name: 'master_key_p12_files', origin: origins.master_key_p12_files! };
  if (values.master_key !== null || origins.master_key_file !== 'default') {
    const wrong = 'a master key is given twice: as PKCS#12 and as a file or value';
    const fix = `Unset ${envName('master_key_p12_files')}, or the other one.`;
    problems.push({ ...problem, kind: 'invalid', wrong, fix });
  }
}

function checkKeyFile(problems: ConfigProblem[], path: string, origin: string): void {
  const entry = statSync(path, { throwIfNoEntry: false });
  const problem = { name: 'master_key_file', origin };
  if (!entry) {
    // The default place may be empty: the program generates a key there on its first start.
    if (origin === 'default') return;
    const fix = 'Name the file that holds the key, or restore it from its backup; a new key opens nothing old.';
    problems.push({ ...problem, kind: 'missing', wrong: `there is no file ${path}`, fix });
  } else if (!entry.isFile()) {
    problems.push({ ...problem, kind: 'invalid', wrong: `${path} is not a file`, fix: fixOf('master_key_file') });
  } else if (process.platform !== 'win32' && (entry.mode & 0o077) !== 0) {
    const wrong = `${path} can be read by others than its owner`;
    problems.push({ ...problem, kind: 'insecure', wrong, fix: `Run: chmod 600 ${path}` });
  }
}

function readSecretFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`the file ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function fixOf(name: string): string {
  const option = TABLE[name];
  return option ? `Set ${envName(name)} or \`${name}:\`, for example ${option.example}.` : 'Correct or remove it.';
}

function secretFix(name: OptionName, option: Option): string {
  const variable = option.file_option ? envName(option.file_option) : `${envName(name)}_FILE`;
  return `Put it alone into a file that only this process can read, and set ${variable} to the file's path.`;
}
