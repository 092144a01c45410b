// What the vault's commands share: who does it and why, which codes it is for, and asking with the figures at hand.
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { Knex } from 'knex';
import { selected } from '../../vault/store.js';
import type { Act, Selection, Trx } from '../../vault/vault.js';
import { atomic } from '../db/atomic.js';
import type { Gateway } from '../main.js';
import { type Context, confirm } from './context.js';
import { usageError } from './failure.js';

export interface ActFlags {
  by?: string;
  reason: string;
}

export interface SelectionFlags {
  sku?: string;
  batch?: string;
  account?: string;
  code?: string[];
  all?: boolean;
}

/** Adds --by and a --reason that must be given. */
export function withAct(command: Command): Command {
  return command
    .requiredOption('--reason <text>', 'why; kept in the ledger for ever')
    .option('--by <name>', 'who does it; the system’s user if left out');
}

/** Adds the flags that choose codes; exactly one of them must be given. */
export function withSelection(command: Command, { codes }: { codes: boolean }): Command {
  command
    .option('--sku <sku>', 'all codes of this SKU')
    .option('--batch <batch_id>', 'all codes of this batch')
    .option('--account <account>', 'all codes bought from this supplier account')
    .option('--all', 'every code there is');
  return codes
    ? command.option('--code <code_id>', 'this code; may be repeated', (id: string, before: string[] = []) => [
        ...before,
        id,
      ])
    : command;
}

/** `operator:<name>`, as everything a person does is signed. */
export function operatorOf(by: string | undefined): string {
  return `operator:${by ?? userInfo().username}`;
}

export function actOf({ by, reason }: ActFlags): Act {
  return { by: operatorOf(by), reason };
}

/** The one thing that was chosen. Throws a usage error for none or several. */
export function selectionOf({ sku, batch, account, code, all }: SelectionFlags): Selection {
  const chosen: Selection[] = [];
  if (sku !== undefined) chosen.push({ sku });
  if (batch !== undefined) chosen.push({ batch_id: batch });
  if (account !== undefined) chosen.push({ account });
  if (code !== undefined) chosen.push({ code_ids: code });
  if (all) chosen.push({ all: true });
  const [selection] = chosen;
  if (selection && chosen.length === 1) return selection;
  const wrong = chosen.length === 0 ? 'nothing says which codes are meant' : 'more than one thing says which codes';
  throw usageError('--sku', wrong, 'Give exactly one of --sku, --batch, --account, --code and --all.');
}

/** The selection as the rest of a sentence. */
export function selectionText(selection: Selection): string {
  if ('sku' in selection) return `SKU ${selection.sku}`;
  if ('batch_id' in selection) return `batch ${selection.batch_id}`;
  if ('account' in selection) return `account ${selection.account}`;
  if ('code_ids' in selection) return `${selection.code_ids.length} named codes`;
  return 'the whole vault';
}

export interface Concerned {
  available: number;
  quarantined: number;
  issued: number;
  /** To which the issued ones went. */
  orders: number;
}

/** What an act on these codes concerns, counted now. */
export async function countConcerned({ vault, database }: Gateway, selection: Selection): Promise<Concerned> {
  const affected = await vault.control.affected(database.read, selection);
  const row = await selected(database.read('codes') as Knex.QueryBuilder, selection)
    .where({ state: 'quarantined' })
    .count({ count: '*' })
    .first();
  return { ...affected, quarantined: Number((row as { count?: unknown } | undefined)?.count ?? 0) };
}

/** Tells what is concerned and asks whether to go on. */
export async function confirmFor(
  context: Context,
  verb: string,
  selection: Selection,
  concerned: Concerned,
): Promise<boolean> {
  const { available, quarantined, issued, orders } = concerned;
  context.tell(
    `${selectionText(selection)}: ${available} available, ${quarantined} quarantined, ${issued} issued to ${orders} orders`,
  );
  return confirm(context, `${verb} ${selectionText(selection)}?`);
}

/** One transaction of a command. */
export function transact<T>({ database }: Gateway, name: string, fn: (trx: Trx) => Promise<T>): Promise<T> {
  return atomic(database, name, fn);
}
