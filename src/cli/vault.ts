// The vault from the command line: what is there. What is done to it has files of its own beside this one.
import type { Command } from 'commander';
import { decimalText } from '../orders/view.js';
import { type Context, columns, onGateway, timeOf, wholeNumber } from './context.js';
import { EXIT } from './failure.js';
import { addVaultAftersale } from './vault-aftersale.js';
import { addVaultApprovals } from './vault-approvals.js';
import { addVaultControl } from './vault-control.js';
import { addVaultDeposit } from './vault-deposit.js';
import { addVaultKeys } from './vault-keys.js';
import { addVaultPolicy } from './vault-policy.js';
import { addVaultProof } from './vault-proof.js';

const DAY_MS = 86_400_000;
const DAYS_MAX = 3_650;
const LIST_MAX = 500;

export function addVault(program: Command, context: Context): void {
  const vault = program.command('vault').description('the vault of codes');
  vault
    .command('stock', { isDefault: true })
    .description('how many codes there are, by SKU')
    .argument('[sku...]', 'only these')
    .action((skus: string[]) => stock(context, skus));
  addVaultDeposit(vault, context);
  vault
    .command('batches')
    .description('what came in together, newest first, and what became of it')
    .option('--sku <sku>', 'only of this SKU')
    .option('--account <account>', 'only from this supplier account')
    .option('--before <batch_id>', 'go on below this batch')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, LIST_MAX), 50)
    .action((flags: BatchFlags) => batches(context, flags));
  vault
    .command('expiring')
    .description('codes in stock that expire soon, and what they cost')
    .option('--days <n>', 'within so many days', wholeNumber('--days', 1, DAYS_MAX), 30)
    .action(({ days }: { days: number }) => expiring(context, days));
  vault
    .command('verify')
    .description('check the ledger, every record, every state, that no code was issued twice; exit 9 on a fault')
    .option('--open', 'open every code too')
    .action(({ open }: { open?: boolean }) => verify(context, open === true));
  addVaultControl(vault, context);
  addVaultPolicy(vault, context);
  addVaultAftersale(vault, context);
  addVaultApprovals(vault, context);
  addVaultKeys(vault, context);
  addVaultProof(vault, context);
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

interface BatchFlags {
  sku?: string;
  account?: string;
  before?: string;
  limit: number;
}

async function batches(context: Context, filter: BatchFlags): Promise<void> {
  await onGateway(context, async ({ vault, database }) => {
    const found = await vault.batches(database.read, filter);
    const views = found.map(({ total_cost_e4, unallocated_e4, received_at, key_version: _key, ...batch }) => ({
      ...batch,
      total_cost: total_cost_e4 === null ? null : decimalText(total_cost_e4),
      unallocated: decimalText(unallocated_e4),
      received_at: timeOf(Number(received_at)),
    }));
    context.show(views, () =>
      views.length === 0
        ? 'no batches'
        : columns(
            [
              'batch',
              'sku',
              'origin',
              'account',
              'codes',
              'available',
              'issued',
              'disputed',
              'cost',
              'document',
              'received',
            ],
            views.map((batch) => [
              batch.batch_id,
              batch.sku,
              batch.state === 'open' ? `${batch.origin}, open` : batch.origin,
              batch.account,
              batch.codes_count,
              batch.states.available,
              batch.states.issued,
              batch.disputes,
              batch.total_cost === null ? null : `${batch.total_cost} ${batch.currency}`,
              batch.document,
              batch.received_at,
            ]),
          ),
    );
  });
}

async function expiring(context: Context, days: number): Promise<void> {
  await onGateway(context, async ({ vault, database, engine }) => {
    const found = await vault.expiring(database.read, engine.now() + days * DAY_MS);
    const views = found.map(({ cost_e4, first_at, last_at, ...each }) => ({
      ...each,
      cost: cost_e4 === null ? null : decimalText(cost_e4),
      first_at: timeOf(first_at),
      last_at: timeOf(last_at),
    }));
    context.show(views, () =>
      views.length === 0
        ? `nothing in stock expires within ${days} days`
        : columns(
            ['sku', 'batch', 'codes', 'first', 'last', 'cost'],
            views.map((each) => [
              each.sku,
              each.batch_id,
              each.count,
              each.first_at,
              each.last_at,
              each.cost === null ? null : `${each.cost} ${each.currency}`,
            ]),
          ),
    );
  });
}

async function verify(context: Context, open_codes: boolean): Promise<void> {
  await onGateway(context, async ({ vault, database }) => {
    const report = await vault.verify(database.read, { open_codes });
    context.show(report, () =>
      report.checks
        .flatMap(({ name, checked, faults }) => [
          `${faults.length === 0 ? 'ok  ' : 'FAIL'} ${name} (${checked} checked)`,
          ...faults.map((fault) => `     ${fault}`),
        ])
        .join('\n'),
    );
    if (report.ok) return;
    context.setExit(EXIT.found_problems);
    context.tell('next: kamigate vault freeze … what is in doubt; change no row by hand');
  });
}
