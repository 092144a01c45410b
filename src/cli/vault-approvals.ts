// The second person: what one person may not do alone is asked for, and given by someone else.
import { type Command, Option } from 'commander';
import type { ApprovedAct } from '../../vault/approvals.js';
import { type Context, columns, onGateway, timeOf } from './context.js';
import { operatorOf, transact } from './vault-acts.js';

const LIST_MAX = 500;

interface AskFlags {
  act: ApprovedAct;
  subject: string;
  reason: string;
  by?: string;
}

export function addVaultApprovals(vault: Command, context: Context): void {
  vault
    .command('approvals')
    .description('what was asked for and is not used up, newest first')
    .action(() => list(context));
  vault
    .command('ask')
    .description('ask for a second person’s approval; it allows nothing until someone else gives it')
    .addOption(new Option('--act <act>', 'what for').choices(['reveal', 'claim']).makeOptionMandatory())
    .requiredOption('--subject <id>', 'the order, or the claim')
    .requiredOption('--reason <text>', 'why')
    .option('--by <name>', 'who asks; the system’s user if left out')
    .action((flags: AskFlags) => ask(context, flags));
  vault
    .command('approve')
    .description('approve what another person asked for; good for one use within a day')
    .argument('<approval_id>', 'which request')
    .requiredOption('--by <name>', 'who approves')
    .action((approval_id: string, { by }: { by: string }) => approve(context, approval_id, by));
}

interface ApprovalRow {
  approval_id: string;
  act: string;
  subject: string;
  reason: string;
  asked_by: string;
  asked_at: number;
  approved_by: string | null;
  expires_at: number;
}

async function list(context: Context): Promise<void> {
  await onGateway(context, async ({ database, engine }) => {
    const rows = (await database
      .read('approvals')
      .whereNull('used_at')
      .where('expires_at', '>', engine.now())
      .orderBy('approval_id', 'desc')
      .limit(LIST_MAX)
      .select(
        'approval_id',
        'act',
        'subject',
        'reason',
        'asked_by',
        'asked_at',
        'approved_by',
        'expires_at',
      )) as ApprovalRow[];
    const approvals = rows.map((row) => ({
      ...row,
      asked_at: timeOf(Number(row.asked_at)),
      expires_at: timeOf(Number(row.expires_at)),
    }));
    context.show(approvals, () =>
      approvals.length === 0
        ? 'nothing is asked for'
        : columns(
            ['approval', 'act', 'of', 'asked by', 'why', 'approved by', 'lapses'],
            approvals.map((one) => [
              one.approval_id,
              one.act,
              one.subject,
              one.asked_by,
              one.reason,
              one.approved_by,
              one.expires_at,
            ]),
          ),
    );
  });
}

async function ask(context: Context, { act, subject, reason, by }: AskFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    const { approval_id } = await transact(gateway, 'ask', (trx) =>
      gateway.vault.control.askApproval(trx, { act, subject, reason, by: operatorOf(by) }),
    );
    context.show({ approval_id, act, subject }, () => approval_id);
    context.tell(`next: someone else runs kamigate vault approve ${approval_id} --by …`);
  });
}

async function approve(context: Context, approval_id: string, by: string): Promise<void> {
  await onGateway(context, async (gateway) => {
    await transact(gateway, 'approve', (trx) => gateway.vault.control.giveApproval(trx, approval_id, operatorOf(by)));
    context.show({ approval_id, approved_by: operatorOf(by) }, () => `${approval_id} is approved`);
  });
}
