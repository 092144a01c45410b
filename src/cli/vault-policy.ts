// What a SKU's codes must look like, how its orders spread over batches, and when disputes stop a batch.
import type { Command } from 'commander';
import type { Policy } from '../../vault/vault.js';
import { readSkus } from '../catalog/skus.js';
import { GatewayError } from '../errors.js';
import type { Gateway } from '../main.js';
import { type Context, columns, onGateway } from './context.js';
import { usageError } from './failure.js';
import { type ActFlags, actOf, transact } from './vault-acts.js';

/** `none` stays a word until here: commander turns a null from a parser into an empty text. */
type Rule = number | 'none';
interface PolicyFlags {
  orderShare?: Rule;
  hourBatchMax?: Rule;
  disputesMax?: Rule;
  numberRule?: string;
  reason?: string;
  by?: string;
}

const COUNT_MAX = 2_147_483_647;

export function addVaultPolicy(vault: Command, context: Context): void {
  vault
    .command('policy')
    .description('the rules for a SKU’s codes; sets those that are given, and shows all')
    .argument('<sku>', 'whose')
    .option(
      '--order-share <percent>',
      'the most of one order that one batch may give; none: no rule',
      ruleOf('--order-share', 100),
    )
    .option('--hour-batch-max <n>', 'codes one batch may give in an hour', ruleOf('--hour-batch-max', COUNT_MAX))
    .option(
      '--disputes-max <n>',
      'so many disputed codes quarantine the rest of a batch',
      ruleOf('--disputes-max', COUNT_MAX),
    )
    .option('--number-rule <pattern>', 'a regular expression the whole number must match at a deposit; none: no rule')
    .option('--reason <text>', 'why; needed to set anything')
    .option('--by <name>', 'who does it; the system’s user if left out')
    .action((sku: string, flags: PolicyFlags) => policy(context, sku, flags));
}

function ruleOf(field: string, most: number): (text: string) => Rule {
  return (text) => {
    if (text === 'none') return 'none';
    const value = /^\d{1,10}$/.test(text) ? Number(text) : 0;
    if (value >= 1 && value <= most) return value;
    throw usageError(field, `${field} is not a whole number from 1 to ${most}`, 'Give one, or none for no rule.');
  };
}

async function policy(context: Context, sku: string, flags: PolicyFlags): Promise<void> {
  const changes = changesOf(flags);
  const act = Object.keys(changes).length > 0 ? actFor(flags) : null;
  await onGateway(context, async (gateway) => {
    const { vault, database } = gateway;
    await mustHaveSku(gateway, sku);
    const wanted = { ...(await vault.control.policy(database.read, sku)), ...changes };
    if (act) await transact(gateway, 'policy', (trx) => vault.control.setPolicy(trx, sku, wanted, actOf(act)));
    context.show({ sku, ...wanted }, () =>
      columns(
        ['rule', 'value'],
        Object.entries(wanted).map(([rule, value]) => [rule, value ?? 'none']),
      ),
    );
  });
}

function changesOf({ orderShare, hourBatchMax, disputesMax, numberRule }: PolicyFlags): Partial<Policy> {
  return {
    ...(orderShare === undefined ? {} : { order_share_pct: ruleGiven(orderShare) }),
    ...(hourBatchMax === undefined ? {} : { hour_batch_max: ruleGiven(hourBatchMax) }),
    ...(disputesMax === undefined ? {} : { disputes_max: ruleGiven(disputesMax) }),
    ...(numberRule === undefined ? {} : { number_rule: ruleGiven(numberRule) }),
  };
}

function ruleGiven<T>(given: T | 'none'): Exclude<T, 'none'> | null {
  return given === 'none' ? null : (given as Exclude<T, 'none'>);
}

function actFor({ reason, by }: PolicyFlags): ActFlags {
  if (reason !== undefined) return by === undefined ? { reason } : { reason, by };
  throw usageError('--reason', '--reason is missing', 'Say why the rules change: it is kept in the ledger.');
}

async function mustHaveSku({ database }: Gateway, sku: string): Promise<void> {
  if ((await readSkus(database.read, [sku])).has(sku)) return;
  throw new GatewayError('sku_not_found', `there is no SKU ${JSON.stringify(sku)}`, {
    field: 'sku',
    fix: 'Add it to the catalog file and run `kamigate apply`.',
  });
}
