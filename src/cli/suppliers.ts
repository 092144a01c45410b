// Suppliers' accounts: see them and our money there, take one out of routing, put it back, have its offers read. A server
// notices within five seconds.
import type { Command } from 'commander';
import { atomic } from '../db/atomic.js';
import { GatewayError } from '../errors.js';
import type { Gateway } from '../main.js';
import { decimalText } from '../orders/view.js';
import {
  type BreakerNote,
  listAccounts,
  pauseAccount,
  resetBreaker,
  resumeAccount,
  VAULT_ACCOUNT,
} from '../suppliers/accounts.js';
import { listFloats } from '../suppliers/float.js';
import { type Context, columns, onGateway, timeOf, wholeNumber, withDatabase } from './context.js';
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
  suppliers
    .command('sync')
    .description('have a serving process read its whole list of offers now')
    .argument('<account>', 'which account')
    .action((account: string) => sync(context, account));
  suppliers
    .command('believe')
    .description('believe its next list of offers however short it is: somebody has looked at it')
    .argument('<account>', 'which account')
    .requiredOption('--by <name>', 'who has looked')
    .action((account: string, { by }: { by: string }) => believe(context, account, by));
  suppliers
    .command('balance')
    .description('our money at each supplier, the shortest runway first, and what to top up')
    .option('--days <n>', 'top up for so many days of the mean daily spend', wholeNumber('--days', 1, 90), 3)
    .action(({ days }: { days: number }) => balance(context, days));
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

async function sync(context: Context, account: string): Promise<void> {
  await onGateway(context, async (gateway) => {
    await mustBeSwept(gateway, account);
    await gateway.catalog.sweeper.sweepSoon(account);
    context.show({ account, due: true }, () => `${account}: its offers are read as soon as a serving process looks`);
  });
  context.tell(`next: kamigate price history --account ${account}`);
}

async function believe(context: Context, account: string, by: string): Promise<void> {
  if (by.trim() === '') throw usageError('--by', '--by is empty', 'Say who has looked.');
  await onGateway(context, async (gateway) => {
    await mustBeSwept(gateway, account);
    // One that was never read gets its row first.
    await gateway.catalog.sweeper.sweepSoon(account);
    await gateway.catalog.sweeper.believeList(account, by);
    context.show({ account, believed: true, by }, () => `${account}: its next list is believed, however short`);
  });
  context.tell(`next: kamigate price history --account ${account}`);
}

/** Refuses an account whose offers nobody would read: nothing that is asked for may be silently left undone. */
async function mustBeSwept({ database, engine }: Gateway, account: string): Promise<void> {
  refuseVault(account);
  const found = (await listAccounts(database.read)).find((each) => each.account === account);
  if (!found) {
    throw new GatewayError('not_found', `there is no account ${JSON.stringify(account)}`, {
      field: 'account',
      fix: 'Run `kamigate suppliers` for the names.',
    });
  }
  const { adapter, is_enabled, paused_at } = found;
  if (!is_enabled || paused_at !== null) {
    throw new GatewayError(
      'conflict',
      `${account} is ${is_enabled ? 'paused' : 'switched off'}: its offers are not read`,
      {
        field: 'account',
        fix: is_enabled
          ? `Run \`kamigate suppliers resume ${account}\` first.`
          : 'Declare it in the catalog file again.',
      },
    );
  }
  if (engine.supplierFor(adapter).listOffers !== undefined) return;
  throw usageError('account', `${account} has no list of offers`, 'Write what its products cost in the catalog file.');
}

async function balance(context: Context, target_days: number): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    const floats = await listFloats(database.read, { now: Date.now(), target_days });
    const views = floats.map(
      ({ balance_e4, reserved_e4, expected_e4, float_min_e4, spent_24h_e4, spent_7d_e4, top_up_e4, ...float }) => ({
        ...float,
        read_at: timeOf(float.read_at),
        balance: decimalText(balance_e4),
        reserved: decimalText(reserved_e4),
        expected: decimalText(expected_e4),
        float_min: decimalText(float_min_e4),
        spent_24h: decimalText(spent_24h_e4),
        spent_7d: decimalText(spent_7d_e4),
        top_up: decimalText(top_up_e4),
      }),
    );
    context.show(views, () =>
      views.length === 0
        ? 'no balance was read yet'
        : columns(
            [
              'account',
              'expected',
              'balance',
              'read',
              'warning',
              'spent in 24 h',
              'runway',
              `top up for ${target_days} days`,
            ],
            views.map((float) => [
              float.account,
              `${float.expected} ${float.currency}`,
              float.balance,
              float.read_at,
              float.warned === 'none' ? null : float.warned,
              float.spent_24h,
              float.runway_h === null ? null : `${float.runway_h.toFixed(1)} h`,
              float.top_up,
            ]),
          ),
    );
  });
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
