// `kamigate vault deposit`: a file of codes, tried first, then written. A line is told by its number and verdict, never
// by its text; nothing of the file touches a disk of ours.
import { createReadStream, statSync, writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { CommitReport, Intake, IntakePlan, IntakeReport, LineVerdict } from '../../vault/intake.js';
import { FIXES, VERDICTS } from '../../vault/line.js';
import type { Bytes } from '../../vault/sheet.js';
import { readSkus } from '../catalog/skus.js';
import { atomic } from '../db/atomic.js';
import { GatewayError } from '../errors.js';
import type { Gateway } from '../main.js';
import { CODES_BYTES_MAX } from './codes.js';
import { amountOf, type Context, columns, onGateway, readInput } from './context.js';
import { EXIT, usageError } from './failure.js';
import { createProgress } from './progress.js';
import { operatorOf } from './vault-acts.js';
import { addFormatFlags, type FormatFlags, layoutOf } from './vault-layout.js';

interface DepositFlags extends FormatFlags {
  sku: string;
  supplier?: string;
  unitCost?: number;
  totalCost?: number;
  currency?: string;
  document?: string;
  by?: string;
  commit?: boolean;
  errors?: string;
  quarantine?: string;
  batch?: string;
  keepOpen?: boolean;
}

/** Verdicts printed one by one; --json has a thousand. */
const LINES_SHOWN = 20;

export function addVaultDeposit(vault: Command, context: Context): void {
  const command = vault
    .command('deposit')
    .description('put a file of codes into stock; tries only, and tells each line’s verdict, unless --commit')
    .argument(
      '<file>',
      '.csv and .xlsx with a row of names; anything else: number[,pin[,serial]] a line; - standard input',
    )
    .requiredOption('--sku <sku>', 'what they are');
  addFormatFlags(command);
  command
    .option('--supplier <account>', 'the supplier account they were bought from')
    .option('--unit-cost <amount>', 'what each of them cost', amountOf('--unit-cost'))
    .option('--total-cost <amount>', 'what all of them together cost', amountOf('--total-cost'))
    .option('--currency <code>', 'of the cost; the SKU’s if left out')
    .option('--document <number>', 'the purchase document')
    .option('--quarantine <reason>', 'let them in as quarantined')
    .option('--by <name>', 'who deposits; the system’s user if left out')
    .option('--commit', 'write the good lines')
    .addOption(new Option('--errors <file>', 'write the bad lines there, masked, to be corrected (needs --commit)'))
    .option('--batch <batch_id>', 'go on with a batch that was left open')
    .option('--keep-open', 'leave the batch open for the corrected lines')
    .action((file: string, flags: DepositFlags) => deposit(context, file, flags));
}

async function deposit(context: Context, file: string, flags: DepositFlags): Promise<void> {
  if (flags.errors !== undefined && !flags.commit)
    throw usageError('--errors', '--errors needs --commit', 'Without --commit look at the verdicts that are printed.');
  const source = await sourceOf(file);
  const layout = await layoutOf(file, flags, source.open);
  await onGateway(context, async (gateway) => {
    const plan = await planOf(gateway, flags, layout);
    const { open, watch } = counted(source);
    const intake: Intake = {
      plan,
      open,
      tx: (fn) => atomic(gateway.database, 'deposit', fn),
      knex: gateway.database.read,
    };
    const report = await watched(context, 'reading', watch, () => gateway.vault.intake.dryRun(intake));
    if (report.lines === 0)
      throw usageError('file', 'the file holds no code', 'Write one code a line: number[,pin[,serial]].');
    const is_written = flags.commit === true && report.counts.ok > 0;
    if (!is_written) return tell(context, flags, report);
    const options = {
      expected_ok: report.counts.ok,
      ...(flags.errors === undefined ? {} : { errors: errorFile(flags.errors) }),
      ...(flags.keepOpen ? { keep_open: true } : {}),
    };
    const committed = await watched(context, 'writing', watch, () => gateway.vault.intake.commit(intake, options));
    tell(context, flags, committed);
  });
}

interface Source {
  open: () => Bytes;
  bytes: number;
}

/** The file, to be read as often as needed; standard input is kept in memory, and nowhere else. */
async function sourceOf(file: string): Promise<Source> {
  if (file === '-') {
    const bytes = await readInput('file', file, CODES_BYTES_MAX);
    return { open: () => pieces(bytes), bytes: bytes.length };
  }
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile()) {
    throw usageError(
      'file',
      `there is no file ${file}`,
      'Name a file that this user can read, or - for standard input.',
    );
  }
  return { open: () => createReadStream(file), bytes: found.size };
}

const PIECE_BYTES = 2 ** 16;

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

type Watch = (tell: ((done: number, total: number) => void) | null) => void;

/** The source, with what was read of it told to whoever watches. */
function counted(source: Source): { open: () => Bytes; watch: Watch } {
  let tellTo: ((done: number, total: number) => void) | null = null;
  let passes = 0;
  async function* read(): AsyncGenerator<Uint8Array> {
    const before = passes++ * source.bytes;
    let done = 0;
    for await (const piece of source.open()) {
      done += piece.length;
      tellTo?.(before + done, source.bytes);
      yield piece;
    }
  }
  return {
    open: read,
    watch: (tell) => {
      tellTo = tell;
      passes = 0;
    },
  };
}

/** Runs `work` with its progress shown: a commit reads the file twice, and writes in the second pass. */
async function watched<T>(context: Context, what: string, watch: Watch, work: () => Promise<T>): Promise<T> {
  const progress = createProgress(context, what);
  const passes = what === 'writing' ? 2 : 1;
  watch((done, total) => progress.at(done, total * passes));
  try {
    return await work();
  } finally {
    watch(null);
    progress.end();
  }
}

async function planOf(
  gateway: Gateway,
  flags: DepositFlags,
  { format, map, has_costs }: Awaited<ReturnType<typeof layoutOf>>,
): Promise<IntakePlan> {
  const currency = await currencyOf(gateway, flags);
  await checkSupplier(gateway, flags.supplier);
  const is_priced = flags.unitCost !== undefined || flags.totalCost !== undefined || has_costs;
  return {
    sku: flags.sku,
    account: flags.supplier ?? null,
    document: flags.document ?? null,
    // Without a cost the currency would say that they cost nothing.
    currency: is_priced ? currency : null,
    unit_cost_e4: flags.unitCost ?? null,
    total_cost_e4: flags.totalCost ?? null,
    received_by: operatorOf(flags.by),
    format,
    ...(map ? { map } : {}),
    utc_offset_minutes: flags.utcOffset,
    ...(flags.quarantine === undefined ? {} : { quarantined: flags.quarantine }),
    ...(flags.batch === undefined ? {} : { batch_id: flags.batch }),
  };
}

async function currencyOf({ database }: Gateway, { sku: name, currency }: DepositFlags): Promise<string> {
  const sku = (await readSkus(database.read, [name])).get(name);
  if (!sku) {
    throw new GatewayError('sku_not_found', `there is no SKU ${JSON.stringify(name)}`, {
      field: '--sku',
      fix: 'Add it to the catalog file and run `kamigate apply`.',
    });
  }
  if (sku.kind !== 'code')
    throw usageError('--sku', `${name} is a recharge: it has no codes`, 'Name a SKU of kind code.');
  return currency ?? sku.currency;
}

async function checkSupplier({ database }: Gateway, account: string | undefined): Promise<void> {
  if (account === undefined || (await database.read('accounts').where({ account }).first('account'))) return;
  throw new GatewayError('not_found', `there is no supplier account ${JSON.stringify(account)}`, {
    field: '--supplier',
    fix: 'Run `kamigate suppliers` for those there are.',
  });
}

/** Appends to a new file that only its owner can read. Throws a usage error if it is there already. */
function errorFile(path: string): (text: string) => void {
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usageError('--errors', `${path} cannot be made (${code})`, 'Name a file that is not there yet.');
  }
  return (text) => writeFileSync(path, text, { flag: 'a' });
}

function tell(context: Context, flags: DepositFlags, report: IntakeReport | CommitReport): void {
  const committed = 'batch_id' in report;
  const { lines, counts, bad, file_hash } = report;
  const data = {
    committed,
    sku: flags.sku,
    batch_id: committed ? report.batch_id : null,
    file_hash,
    lines,
    counts,
    deposited: committed ? report.deposited : counts.ok,
    bad: bad.map((line) => ({ ...line, fix: fixOf(line) })),
  };
  context.show(data, () => depositText(data));
  const not_ok = lines - counts.ok;
  if (not_ok > 0) context.setExit(EXIT.partial);
  if (bad.length > LINES_SHOWN) context.tell(`and ${not_ok - LINES_SHOWN} more; --json has the first ${bad.length}`);
  if (committed && flags.errors !== undefined && not_ok > 0)
    context.tell(`the bad lines are in ${flags.errors}, masked: correct them and deposit that file`);
  if (committed) context.tell(`next: kamigate vault stock ${flags.sku}`);
  else if (flags.commit) context.tell('nothing was written: no line is good');
  else context.tell('nothing was written; next: the same with --commit');
}

function depositText({
  committed,
  sku,
  batch_id,
  counts,
  deposited,
  bad,
}: {
  committed: boolean;
  sku: string;
  batch_id: string | null;
  counts: IntakeReport['counts'];
  deposited: number;
  bad: (LineVerdict & { fix: string })[];
}): string {
  const first = committed
    ? `batch ${batch_id}: ${deposited} codes of ${sku}`
    : `would deposit ${deposited} codes of ${sku}`;
  const verdicts = VERDICTS.filter((verdict) => counts[verdict] > 0);
  const summary = columns(
    ['verdict', 'lines'],
    verdicts.map((verdict) => [verdict, counts[verdict]]),
  );
  if (bad.length === 0) return `${first}\n${summary}`;
  const rows = bad
    .slice(0, LINES_SHOWN)
    .map(({ line, verdict, same_as_line = null, fix }) => [
      line,
      same_as_line === null ? verdict : `${verdict} (line ${same_as_line})`,
      fix,
    ]);
  return [first, summary, '', columns(['line', 'verdict', 'fix'], rows)].join('\n');
}

function fixOf({ verdict }: LineVerdict): string {
  return verdict === 'ok' ? '' : FIXES[verdict];
}
