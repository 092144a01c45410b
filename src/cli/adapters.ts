// Adapters: which there are, and replaying conversation files against them.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { readConversation } from '../../adapters/kit/conversation.js';
import { replay } from '../../adapters/kit/replay.js';
import { verbsOf } from '../../adapters/kit/table.js';
import { SUPPLIERS, supplierFor } from '../../adapters/register.js';
import { type Context, columns } from './context.js';
import { EXIT, usageError } from './failure.js';

export function addAdapters(program: Command, context: Context): void {
  const adapters = program.command('adapters').description('the suppliers kamigate can speak to');
  adapters
    .command('list', { isDefault: true })
    .description('every adapter, what it delivers and what it promises')
    .action(() => list(context));
  adapters
    .command('replay')
    .description('run conversation files; one line each; fails if any of them fails')
    .argument('<paths...>', 'files, or folders that hold them')
    .option('--strict', 'every exchange must be used, and nothing unexpected sent')
    .option('--adapter <code>', 'for files that name no adapter and lie in no folder of its name')
    .action((paths: string[], flags: { strict?: boolean; adapter?: string }) => replayAll(context, paths, flags));
}

function list(context: Context): void {
  const suppliers = Object.values(SUPPLIERS);
  context.show(
    suppliers.map((supplier) => {
      const { code, name, region, delivers, credentials, options, limits, promises } = supplier;
      return { code, name, region, kinds: delivers, verbs: verbsOf(supplier), credentials, options, limits, promises };
    }),
    () =>
      columns(
        ['adapter', 'name', 'region', 'delivers', 'a repeated reference', 'looked up by'],
        suppliers.map(({ code, name, region, delivers, promises }) => [
          code,
          name,
          region,
          delivers.join(', '),
          String(promises.repeat_reference),
          promises.lookup_by,
        ]),
      ),
  );
}

interface Replayed {
  file: string;
  title: string | null;
  adapter: string | null;
  passed: boolean;
  differences: string[];
}

async function replayAll(
  context: Context,
  paths: string[],
  flags: { strict?: boolean; adapter?: string },
): Promise<void> {
  const files = paths.flatMap(filesOf);
  if (files.length === 0) {
    throw usageError(
      'paths',
      'there is no conversation file in them',
      'Name a .json file, or a folder that holds some.',
    );
  }
  const results: Replayed[] = [];
  for (const file of files) {
    const result = await replayOne(file, flags);
    results.push(result);
    if (!context.flags().json) context.out(lineOf(result));
  }
  const failed = results.filter(({ passed }) => !passed).length;
  const summary = { passed: results.length - failed, failed };
  context.show({ results, ...summary }, () => `${summary.passed} passed, ${summary.failed} failed`);
  if (failed > 0) context.setExit(EXIT.found_problems);
}

/** The .json files under a path, in order of name. */
function filesOf(path: string): string[] {
  const entry = statSync(path, { throwIfNoEntry: false });
  if (!entry) throw usageError('paths', `there is no ${path}`, 'Name files or folders that exist.');
  if (!entry.isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((found) => found.isFile() && found.name.endsWith('.json'))
    .map((found) => join(found.parentPath, found.name))
    .sort();
}

async function replayOne(file: string, { strict, adapter }: { strict?: boolean; adapter?: string }): Promise<Replayed> {
  let title: string | null = null;
  let code: string | null = null;
  try {
    const conversation = readConversation(readFileSync(file, 'utf8'));
    title = conversation.title;
    code = adapter ?? conversation.adapter ?? basename(dirname(file));
    const { passed, differences } = await replay(supplierFor(code), conversation, { strict: strict === true });
    return { file, title, adapter: code, passed, differences };
  } catch (error) {
    // The file cannot be run at all: that is a failure of this file, and the others still run.
    return { file, title, adapter: code, passed: false, differences: [(error as Error).message] };
  }
}

function lineOf({ file, title, passed, differences }: Replayed): string {
  return `${passed ? 'ok  ' : 'FAIL'} ${file}: ${[title ?? 'unreadable', ...differences].join(' · ')}`;
}
