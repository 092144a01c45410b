// When a code turns out bad: another one for the buyer, a dispute against the batch, a claim for the supplier.
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { VaultError } from '../../vault/errors.js';
import { type Context, columns, onGateway, timeOf, wholeNumber } from './context.js';
import { usageError } from './failure.js';
import { type ActFlags, actOf, operatorOf, transact, withAct } from './vault-acts.js';

const UNITS_MAX = 10_000;
const LIST_MAX = 500;

export function addVaultAftersale(vault: Command, context: Context): void {
  const unit = wholeNumber('unit', 1, UNITS_MAX);
  withAct(
    vault
      .command('replace')
      .description('issue another code for a unit, from another batch; the bad one stays issued for ever')
      .argument('<order_id>', 'whose unit')
      .argument('<unit>', 'which unit, from 1', unit),
  ).action((order_id: string, unit_no: number, flags: ActFlags) => replace(context, order_id, unit_no, flags));
  withAct(
    vault
      .command('dispute')
      .description('write down that a buyer disputes a code; too many of a batch stop the rest of it')
      .argument('<order_id>', 'whose unit')
      .argument('<unit>', 'which unit, from 1', unit),
  ).action((order_id: string, unit_no: number, flags: ActFlags) => dispute(context, order_id, unit_no, flags));
  vault
    .command('claims')
    .description('claims that were prepared for suppliers')
    .action(() => listClaims(context));
  vault
    .command('claim')
    .description('write the file of disputed codes for the supplier; needs a second person')
    .argument('<claim_id>', 'which claim')
    .requiredOption('--out <file>', 'a new file, for its owner alone')
    .requiredOption('--approval <approval_id>', 'the second person’s approval')
    .option('--by <name>', 'who asks; the system’s user if left out')
    .action((claim_id: string, flags: ClaimFlags) => openClaim(context, claim_id, flags));
}

async function replace(context: Context, order_id: string, unit_no: number, flags: ActFlags): Promise<void> {
  await onGateway(
    context,
    async (gateway) => {
      const result = await transact(gateway, 'replace', (trx) =>
        gateway.vault.aftersale.replace(trx, { order_id, unit_no }, actOf(flags)),
      );
      if ('short' in result) {
        throw new VaultError('conflict', 'there is no other code of this SKU in another batch', {
          fix: 'Deposit codes, lift a freeze, or refund the unit.',
        });
      }
      const { code_id, old_code_id, batch_id } = result.replaced;
      context.show(
        { order_id, unit_no, code_id, old_code_id, batch_id },
        () => `${old_code_id} is replaced by ${code_id}`,
      );
      context.tell(
        `next: kamigate vault dispute ${order_id} ${unit_no} --reason … counts the bad one against its batch`,
      );
    },
    { issues: true },
  );
}

async function dispute(context: Context, order_id: string, unit_no: number, flags: ActFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    const result = await transact(gateway, 'dispute', (trx) =>
      gateway.vault.aftersale.dispute(trx, { order_id, unit_no }, actOf(flags)),
    );
    context.show({ order_id, unit_no, ...result }, () => {
      const stopped = result.claim_id === null ? '' : `; ${result.quarantined} quarantined, claim ${result.claim_id}`;
      return `${result.disputes} disputed codes in its batch${stopped}`;
    });
  });
}

async function listClaims(context: Context): Promise<void> {
  await onGateway(context, async ({ database }) => {
    const rows = (await database
      .read('claims')
      .orderBy('claim_id', 'desc')
      .limit(LIST_MAX)
      .select('claim_id', 'batch_id', 'account', 'codes_count', 'prepared_at')) as Claim[];
    const claims = rows.map((row) => ({ ...row, prepared_at: timeOf(Number(row.prepared_at)) }));
    context.show(claims, () =>
      claims.length === 0
        ? 'no claims'
        : columns(
            ['claim', 'batch', 'account', 'codes', 'prepared'],
            claims.map((one) => [one.claim_id, one.batch_id, one.account, one.codes_count, one.prepared_at]),
          ),
    );
  });
}

interface Claim {
  claim_id: string;
  batch_id: string;
  account: string | null;
  codes_count: number;
  prepared_at: number;
}

interface ClaimFlags {
  out: string;
  approval: string;
  by?: string;
}

async function openClaim(context: Context, claim_id: string, { out, approval, by }: ClaimFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    makeFile(out);
    const content = await transact(gateway, 'open claim', (trx) =>
      gateway.vault.aftersale.openClaim(trx, claim_id, operatorOf(by), approval),
    );
    writeFileSync(out, content);
    context.show({ claim_id, file: out }, () => `${claim_id} is in ${out}`);
    context.tell('It holds whole codes: delete it once the supplier has it.');
  });
}

/** Before the approval is used up: a file that cannot be made must not cost it. */
function makeFile(path: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usageError('--out', `${path} cannot be made (${code})`, 'Name a file that is not there yet.');
  }
}
