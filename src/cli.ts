#!/usr/bin/env node
// Where the process starts: `kamigate <verb>`. Reads flags and settings, runs the verb, and turns whatever it throws
// into what, which field, the fix, and an exit code. The verbs are in cli/, one file for each group.
import { Command, CommanderError, Option } from 'commander';
import { loadConfig, printableConfig, readNamedSecret } from '../config/load.js';
import { flagName, OPTIONS, type Option as Setting } from '../config/options.js';
import { addAdapters } from './cli/adapters.js';
import { addCatalog } from './cli/catalog.js';
import { type Context, type GlobalFlags, wholeNumber } from './cli/context.js';
import { addDemo } from './cli/demo.js';
import { addDoctor } from './cli/doctor.js';
import { EXIT, type Failure, failureOf, failureText } from './cli/failure.js';
import { addHeld } from './cli/held.js';
import { addManual } from './cli/manual.js';
import { addOrders } from './cli/orders.js';
import { addPrices } from './cli/prices.js';
import { addRates } from './cli/rates.js';
import { addRoute } from './cli/route.js';
import { addServing } from './cli/serving.js';
import { addSetup } from './cli/setup.js';
import { addSkus } from './cli/skus.js';
import { addSuppliers } from './cli/suppliers.js';
import { addVault } from './cli/vault.js';
import { version } from './version.js';

const TIMEOUT_S_MAX = 86_400;
/** Options of the root command that are no settings. */
const GLOBAL = ['config', 'json', 'quiet', 'verbose', 'color', 'input', 'yes', 'timeout'];

interface RootFlags extends Omit<GlobalFlags, 'color'> {
  config?: string;
  timeout?: number;
  color: boolean;
}

let exit_code: number = EXIT.ok;
const program = new Command();

function rootFlags(): RootFlags {
  return program.opts<RootFlags>();
}

function buildProgram(): void {
  program
    .name('kamigate')
    .description('A gateway to many suppliers of digital goods, and a vault for their codes.')
    .version(version(), '-V, --version')
    .option('--config <file>', 'the configuration file (default: ./kamigate.yaml, if it is there)')
    .option('--json', 'data as JSON', false)
    .option('-q, --quiet', 'say nothing but data and errors', false)
    .option('--verbose', 'show where an unexpected error happened', false)
    .option('--no-color', 'no colours (as NO_COLOR and TERM=dumb do)')
    .option('--no-input', 'never ask')
    .option('-y, --yes', 'say yes beforehand', false)
    .addOption(
      new Option('--timeout <seconds>', 'give up after so long').argParser(wholeNumber('--timeout', 1, TIMEOUT_S_MAX)),
    )
    .optionsGroup('Settings (also in kamigate.yaml, and as KAMIGATE_… in the environment):')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  for (const [name, setting] of Object.entries(OPTIONS) as [string, Setting][]) {
    // A secret has no flag: every process of the machine could read it there.
    if (name === 'config_file' || (setting.is_secret && setting.type !== 'database_url')) continue;
    program.addOption(new Option(`${flagName(name)} <value>`, setting.help));
  }
}

/** The settings given as flags, by their name in the table. */
function settingFlags(): Record<string, string> {
  const given = Object.entries(program.opts<Record<string, unknown>>()).filter(
    ([key, value]) => !GLOBAL.includes(key) && value !== undefined && program.getOptionValueSource(key) === 'cli',
  );
  return Object.fromEntries(
    given.map(([key, value]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), String(value)]),
  );
}

function makeContext(): Context {
  return {
    flags: () => {
      const { json, quiet, verbose, color, input, yes } = rootFlags();
      return { json, quiet, verbose, color, input, yes };
    },
    load: (options = {}) => {
      const { config: file } = rootFlags();
      return loadConfig({ ...options, flags: settingFlags(), ...(file === undefined ? {} : { file }) });
    },
    printable: printableConfig,
    readSecret: readNamedSecret,
    out: (text) => void process.stdout.write(`${text}\n`),
    tell: (text) => {
      if (!rootFlags().quiet) process.stderr.write(`${text}\n`);
    },
    show: (data, text) => {
      process.stdout.write(`${rootFlags().json ? JSON.stringify(data, null, 2) : text()}\n`);
    },
    setExit: (code) => {
      exit_code = code;
    },
  };
}

function startTimeout(): void {
  program.hook('preAction', () => {
    const { timeout } = rootFlags();
    if (timeout === undefined) return;
    setTimeout(() => {
      process.stderr.write(`error: not done within ${timeout} s\n  fix: Repeat it with a longer --timeout.\n`);
      process.exit(EXIT.timed_out);
    }, timeout * 1_000).unref();
  });
}

function tellFailure(failure: Failure, error: unknown): void {
  const { exit_code: _, ...told } = failure;
  process.stderr.write(`${rootFlags().json ? JSON.stringify({ error: told }) : failureText(failure)}\n`);
  if (rootFlags().verbose && failure.exit_code === EXIT.bug && error instanceof Error) {
    // The frames alone: a driver's message repeats the statement with its values.
    process.stderr.write(
      `${(error.stack ?? '')
        .split('\n')
        .filter((line) => /^\s+at /.test(line))
        .join('\n')}\n`,
    );
  }
}

/** Commander's own refusals are wrong usage; help and version are none. */
function usageFailure(error: CommanderError): Failure | null {
  if (error.exitCode === 0 || error.code === 'commander.help') return null;
  const [message = '', ...hints] = error.message.replace(/^error: /, '').split('\n');
  return { exit_code: EXIT.usage, code: 'usage', message, fix: [...hints, 'See kamigate --help.'].join(' ') };
}

async function main(): Promise<void> {
  buildProgram();
  const context = makeContext();
  for (const add of [
    addSetup,
    addServing,
    addCatalog,
    addOrders,
    addHeld,
    addManual,
    addRoute,
    addVault,
    addSuppliers,
    addPrices,
    addRates,
    addSkus,
    addAdapters,
    addDoctor,
    addDemo,
  ]) {
    add(program, context);
  }
  startTimeout();
  try {
    await program.parseAsync();
    process.exitCode = exit_code;
  } catch (error) {
    const failure = error instanceof CommanderError ? usageFailure(error) : failureOf(error);
    if (failure) tellFailure(failure, error);
    process.exitCode = failure?.exit_code ?? EXIT.ok;
  }
}

// A reader that closed its end (`kamigate … | head`) is no error of ours.
process.stdout.on('error', () => process.exit(EXIT.ok));
await main();
