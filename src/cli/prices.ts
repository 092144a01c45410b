// Cost changes that the price guard stopped: see what waits, approve or reject it, read what was decided. What the guard
// goes by is in price-limits.ts.
import type { Command } from 'commander';
import {
  approveChange,
  type CostChangeRow,
  type Decision,
  listChanges,
  listPending,
  rejectChange,
} from '../catalog/cost-changes.js';
import { GatewayError } from '../errors.js';
import { decimalText } from '../orders/view.js';
import { type Context, columns, timeOf, wholeNumber, withDatabase } from './context.js';
import { EXIT, usageError } from './failure.js';
import { addPriceLimits, percentOf, percentText } from './price-limits.js';

interface ApproveFlags {
  by: string;
  reason: string;
  allBelow?: number;
  account?: string;
}

interface HistoryFlags {
  account?: string;
  source?: string;
  limit: number;
}

export function addPrices(program: Command, context: Context): void {
  const price = program.command('price').description('suppliers’ cost changes, and how far they may go by themselves');
  price
    .command('pending', { isDefault: true })
    .description('changes that wait for a person, the most money first')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, 1_000), 200)
    .action(({ limit }: { limit: number }) => pending(context, limit));
  deciding(
    price,
    'approve',
    '[change_id]',
    'buy at the new cost from now on; above the impact limit another person must approve too',
  )
    .option('--all-below <percent>', 'every waiting change up to so much, up or down', percentOf('--all-below'))
    .option('--account <account>', 'with --all-below: only of this account')
    .action((change_id: string | undefined, flags: ApproveFlags) => approve(context, change_id, flags));
  deciding(
    price,
    'reject',
    '<change_id>',
    'keep the old cost; it is used only where the supplier itself holds to a ceiling',
  ).action((change_id: string, flags: { by: string; reason: string }) => reject(context, { change_id, ...flags }));
  price
    .command('history')
    .description('the cost changes of an account or of one source, newest first, with who or what decided')
    .option('--account <account>', 'of this account')
    .option('--source <id>', 'of this source')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, 1_000), 50)
    .action((flags: HistoryFlags) => history(context, flags));
  addPriceLimits(price, context);
}

function deciding(price: Command, verb: string, change_id: string, description: string): Command {
  return price
    .command(verb)
    .description(description)
    .argument(change_id, 'which change')
    .requiredOption('--by <name>', 'who decides')
    .requiredOption('--reason <text>', 'why; kept for ever');
}

async function pending(context: Context, limit: number): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database, { base_currency }) => {
    const changes = await listPending(database.read, limit);
    context.show(
      changes.map(({ change_bp, needs_second, ...change }) => ({
        ...changeView(change, base_currency),
        change_bp,
        needs_second,
      })),
      () =>
        changes.length === 0
          ? 'no change waits'
          : columns(
              [
                'change',
                'sku',
                'account',
                'product',
                'cost',
                'by',
                'rule',
                `a month, ${base_currency}`,
                'approved by',
                'until',
              ],
              changes.map((change) => [
                change.change_id,
                change.sku,
                change.account,
                change.product,
                stepText(change),
                change.change_bp === null ? null : percentText(change.change_bp, { is_signed: true }),
                change.rule,
                change.impact_e4 === null ? null : decimalText(change.impact_e4),
                change.first_approved_by,
                timeOf(change.expires_at),
              ]),
            ),
    );
    if (changes.length > 0) context.tell('next: kamigate price approve <change_id> --by … --reason …, or price reject');
  });
}

async function approve(context: Context, change_id: string | undefined, flags: ApproveFlags): Promise<void> {
  const { by, reason, allBelow, account } = flags;
  if ((change_id === undefined) === (allBelow === undefined)) {
    throw usageError('change_id', 'either a change or --all-below is needed, and one alone', 'Name one of the two.');
  }
  if (change_id !== undefined) await approveOne(context, { change_id, by, reason });
  else await approveBelow(context, { by, reason, below_bp: allBelow!, ...(account === undefined ? {} : { account }) });
}

/** Most changes one run looks at; the next run takes the rest. */
const PENDING_MAX = 1_000;

/** Each by itself: one that somebody decided meanwhile is told of, and stops none of the others. */
async function approveBelow(
  context: Context,
  { below_bp, account, ...said }: { by: string; reason: string; below_bp: number; account?: string },
): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database, { base_currency }) => {
    const waiting = await listPending(database.read, PENDING_MAX);
    // A change that is none in percent, from nothing or to another currency, is looked at one by one.
    const small = waiting.filter(
      (change) =>
        change.change_bp !== null &&
        Math.abs(change.change_bp) <= below_bp &&
        (account === undefined || change.account === account),
    );
    const done: { change: CostChangeRow; needs_second: boolean }[] = [];
    for (const { change_id } of small) {
      try {
        done.push(await approveChange(database, { change_id, ...said }, Date.now()));
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        context.tell(`${change_id} is left: ${error.message}`);
      }
    }
    context.show(
      done.map(({ change, needs_second }) => ({ ...changeView(change, base_currency), needs_second })),
      () => (done.length === 0 ? 'no change was approved' : done.map(approvedText).join('\n')),
    );
    if (done.length < small.length) context.setExit(EXIT.partial);
    context.tell(`${done.length} of ${waiting.length} waiting changes; next: kamigate price pending`);
  });
}

function approvedText({ change, needs_second }: { change: CostChangeRow; needs_second: boolean }): string {
  return needs_second
    ? `${change.change_id} is approved by ${change.first_approved_by} and waits for a second person`
    : `${change.account} ${change.product} costs ${stepText(change)}`;
}

async function approveOne(context: Context, decision: Decision): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database, { base_currency }) => {
    const approved = await approveChange(database, decision, Date.now());
    const { change, needs_second } = approved;
    context.show({ ...changeView(change, base_currency), needs_second }, () => approvedText(approved));
    context.tell(
      needs_second
        ? `next: somebody else runs kamigate price approve ${change.change_id} --by … --reason …`
        : `next: kamigate price history --source ${change.source}`,
    );
  });
}

async function reject(context: Context, decision: Decision): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database, { base_currency }) => {
    const change = await rejectChange(database, decision, Date.now());
    context.show(changeView(change, base_currency), () => `${change.change_id} is rejected; the old cost stays`);
    context.tell(`next: kamigate price history --source ${change.source}`);
  });
}

async function history(context: Context, { account, source, limit }: HistoryFlags): Promise<void> {
  const of =
    account === undefined ? (source === undefined ? null : { source }) : source === undefined ? { account } : null;
  if (!of)
    throw usageError('--account', 'either --account or --source is needed, and one alone', 'Name one of the two.');
  await withDatabase(context, 'must_be_current', async (database, { base_currency }) => {
    const changes = await listChanges(database.read, of, limit);
    context.show(
      changes.map((change) => changeView(change, base_currency)),
      () =>
        changes.length === 0
          ? 'no change is kept'
          : columns(
              ['at', 'sku', 'account', 'product', 'cost', 'state', 'rule', 'decided by', 'reason'],
              changes.map((change) => [
                timeOf(change.decided_at ?? change.created_at),
                change.sku,
                change.account,
                change.product,
                stepText(change),
                change.state,
                change.rule,
                change.decided_by,
                change.reason,
              ]),
            ),
    );
  });
}

/** Both costs in a few words. */
function stepText({ old_cost_e4, old_currency, new_cost_e4, new_currency }: CostChangeRow): string {
  const fresh = `${decimalText(new_cost_e4)} ${new_currency}`;
  return old_cost_e4 === null ? fresh : `${decimalText(old_cost_e4)} ${old_currency} → ${fresh}`;
}

function changeView(change: CostChangeRow, base_currency: string) {
  const { open_source: _, old_cost_e4, new_cost_e4, impact_e4, ...row } = change;
  return {
    ...row,
    old_cost: old_cost_e4 === null ? null : decimalText(old_cost_e4),
    new_cost: decimalText(new_cost_e4),
    impact: impact_e4 === null ? null : decimalText(impact_e4),
    impact_currency: base_currency,
    first_approved_at: timeOf(row.first_approved_at),
    created_at: timeOf(row.created_at),
    decided_at: timeOf(row.decided_at),
    expires_at: timeOf(row.expires_at),
  };
}
