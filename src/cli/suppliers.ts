// Suppliers' accounts: see them, take one out of routing, put it back. A server notices within five seconds.
import type { Command } from 'commander';
import { atomic } from '../db/atomic.js';
import { decimalText } from '../orders/view.js';
import {
  type BreakerNote,
  listAccounts,
  pauseAccount,
  resetBreaker,
  resumeAccount,
  VAULT_ACCOUNT,
} from '../suppliers/accounts.js';
import { type Context, columns, timeOf, withDatabase } from './context.js';
import { usageError } from './failure.js';

export function addSuppliers(program: Command, context: Context): void {
  const suppliers = program.command('suppliers').description('suppliers’ accounts');
  suppliers
    .command('list', { isDefault: true })
    .description('every account, and whether it is bought from')
    .action(() => list(context));
  suppliers
    .command('pause')
    .description('buy nothing more from it; what is open goes on being looked up')
    .argument('<account>', 'which account')
    .requiredOption('--reason <text>', 'why; the next operator reads it')
    .action((account: string, { reason }: { reason: string }) => pause(context, account, reason));
  suppliers
    .command('resume')
    .description('buy from it again')
    .argument('<account>', 'which account')
    .action((account: string) => resume(context, account));
  suppliers
    .command('reset-breaker')
    .description('close its circuit breaker in every serving process')
    .argument('<account>', 'which account')
    .action((account: string) => reset(context, account));
}

async function list(context: Context): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    const accounts = (await listAccounts(database.read)).filter(({ adapter }) => adapter !== VAULT_ACCOUNT);
    context.show(
      accounts.map(({ exposure_limit_e4, ...account }) => ({
        ...account,
        exposure_limit: decimalText(exposure_limit_e4),
        paused_at: timeOf(account.paused_at),
        updated_at: timeOf(account.updated_at),
      })),
      () =>
        accounts.length === 0
          ? 'no accounts'
          : columns(
              ['account', 'adapter', 'state', 'because', 'breaker', 'currency', 'exposure limit', 'address'],
              accounts.map((account) => [
                account.account,
                account.adapter,
                account.is_enabled ? (account.paused_at === null ? 'open' : 'paused') : 'switched off',
                account.paused_reason,
                breakerText(account.breaker),
                account.currency,
                decimalText(account.exposure_limit_e4),
                account.base_url,
              ]),
            ),
    );
  });
}

async function pause(context: Context, account: string, reason: string): Promise<void> {
  refuseVault(account);
  if (reason.trim() === '') throw usageError('--reason', '--reason is empty', 'Say why.');
  await withDatabase(context, 'must_be_current', async (database) => {
    const changed = await atomic(database, 'pause', (trx) => pauseAccount(trx, account, reason, Date.now()));
    context.show(
      { account, paused: true, changed },
      () => `${account} ${changed ? 'is paused' : 'was paused already'}`,
    );
  });
  context.tell(`next: kamigate suppliers resume ${account}`);
}

async function resume(context: Context, account: string): Promise<void> {
  refuseVault(account);
  await withDatabase(context, 'must_be_current', async (database) => {
    const changed = await atomic(database, 'resume', (trx) => resumeAccount(trx, account, Date.now()));
    context.show(
      { account, paused: false, changed },
      () => `${account} ${changed ? 'is open again' : 'was not paused'}`,
    );
  });
  context.tell('next: kamigate suppliers');
}

async function reset(context: Context, account: string): Promise<void> {
  refuseVault(account);
  await withDatabase(context, 'must_be_current', async (database) => {
    await atomic(database, 'reset breaker', (trx) => resetBreaker(trx, account, Date.now()));
    context.show({ account, breaker: 'reset' }, () => `${account}: the breaker is closed within five seconds`);
  });
  context.tell('next: kamigate suppliers');
}

/** What the breaker last did, in a few words. */
function breakerText(breaker: BreakerNote | null): string {
  if (!breaker || breaker.state === 'closed') return 'closed';
  return `${breaker.state} since ${timeOf(breaker.since)}${breaker.because ? ` (${breaker.because})` : ''}`;
}

function refuseVault(account: string): void {
  if (account !== VAULT_ACCOUNT) return;
  throw usageError('account', 'vault is no supplier', 'Set vault_rank: never on the SKU to stop issuing from stock.');
}
