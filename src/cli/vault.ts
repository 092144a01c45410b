// The vault from the command line: put codes in, count what is there.
import { createHash } from 'node:crypto';
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { Deposit, DepositResult } from '../../vault/vault.js';
import { readSkus } from '../catalog/skus.js';
import { atomic } from '../db/atomic.js';
import { GatewayError } from '../errors.js';
import type { Gateway } from '../main.js';
import { CODES_BYTES_MAX, type CodeLine, readCodes } from './codes.js';
import { amountOf, type Context, columns, onGateway, readInput, timeOf } from './context.js';
import { EXIT, usageError } from './failure.js';

interface DepositFlags {
  sku: string;
  totalCost?: number;
  currency?: string;
  document?: string;
  by?: string;
  commit?: boolean;
}

/** More line numbers than these help nobody. */
const LINES_SHOWN = 20;

export function addVault(program: Command, context: Context): void {
  const vault = program.command('vault').description('the vault of codes');
  vault
    .command('deposit')
    .description('put codes into stock: one a line, number[,pin[,serial]]; tries only, unless --commit')
    .argument('<file>', 'text or CSV file; - reads standard input')
    .requiredOption('--sku <sku>', 'what they are')
    .option('--total-cost <amount>', 'what all of them together cost', amountOf('--total-cost'))
    .option('--currency <code>', 'of the cost; the SKU’s if left out')
    .option('--document <number>', 'the purchase document')
    .option('--by <name>', 'who deposits; the system’s user if left out')
    .option('--commit', 'write it')
    .action((file: string, flags: DepositFlags) => deposit(context, file, flags));
  vault
    .command('stock', { isDefault: true })
    .description('how many codes there are, by SKU')
    .argument('[sku...]', 'only these')
    .action((skus: string[]) => stock(context, skus));
}

async function deposit(context: Context, file: string, flags: DepositFlags): Promise<void> {
  const bytes = await readInput('file', file, CODES_BYTES_MAX);
  const lines = readCodes('file', bytes);
  if (lines.length === 0)
    throw usageError('file', 'the file holds no code', 'Write one code a line: number[,pin[,serial]].');
  await onGateway(context, async (gateway) => {
    const currency = await currencyOf(gateway, flags);
    const result = await tryOrWrite(gateway, flags.commit === true, {
      sku: flags.sku,
      origin: 'deposit',
      account: null,
      attempt_id: null,
      document: flags.document ?? null,
      total_cost_e4: flags.totalCost ?? null,
      currency: flags.totalCost === undefined ? null : currency,
      received_by: `operator:${flags.by ?? userInfo().username}`,
      file_hash: createHash('sha256').update(bytes).digest('hex'),
      codes: lines.map(({ line: _line, ...code }) => code),
    });
    tellDeposit(context, flags, lines, result);
  });
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

/** Carries the result of a deposit out of the transaction that is rolled back. */
class OnlyTried extends Error {
  constructor(readonly result: DepositResult) {
    super('only tried');
  }
}

/** Deposits; a trial is the very same deposit, rolled back, so that its verdicts are the real ones. */
async function tryOrWrite({ database, vault }: Gateway, is_written: boolean, deposit: Deposit): Promise<DepositResult> {
  try {
    return await atomic(database, 'deposit', async (trx) => {
      const result = await vault.deposit(trx, deposit);
      if (!is_written) throw new OnlyTried(result);
      return result;
    });
  } catch (error) {
    if (error instanceof OnlyTried) return error.result;
    throw error;
  }
}

function tellDeposit(context: Context, flags: DepositFlags, lines: readonly CodeLine[], result: DepositResult): void {
  const committed = flags.commit === true;
  const duplicates = result.codes.flatMap((code, at) =>
    'duplicate_of' in code ? [{ line: lines[at]!.line, state: code.state }] : [],
  );
  const deposited = result.codes.length - duplicates.length;
  const batch_id = committed ? result.batch_id : null;
  context.show({ committed, sku: flags.sku, batch_id, lines: lines.length, deposited, duplicates }, () =>
    committed
      ? `batch ${result.batch_id}: ${deposited} codes of ${flags.sku}`
      : `would deposit ${deposited} codes of ${flags.sku}`,
  );
  if (duplicates.length > 0) {
    const shown = duplicates.slice(0, LINES_SHOWN).map(({ line, state }) => `${line} (${state})`);
    const more = duplicates.length > LINES_SHOWN ? `, and ${duplicates.length - LINES_SHOWN} more` : '';
    context.tell(`${duplicates.length} lines hold a code that is here already: ${shown.join(', ')}${more}`);
    context.setExit(EXIT.partial);
  }
  context.tell(
    committed ? `next: kamigate vault stock ${flags.sku}` : 'nothing was written; next: the same with --commit',
  );
}

async function stock(context: Context, skus: string[]): Promise<void> {
  await onGateway(context, async ({ vault, database }) => {
    const stocks = await vault.stock(database.read, skus.length > 0 ? skus : undefined);
    context.show(
      stocks.map((each) => ({ ...each, next_expiry_at: timeOf(each.next_expiry_at) })),
      () =>
        stocks.length === 0
          ? 'the vault is empty'
          : columns(
              ['sku', 'available', 'issued', 'quarantined', 'void', 'expired', 'next expiry'],
              stocks.map((each) => [
                each.sku,
                each.available,
                each.issued,
                each.quarantined,
                each.void,
                each.expired,
                timeOf(each.next_expiry_at),
              ]),
            ),
    );
  });
}
