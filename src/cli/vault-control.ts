// Taking codes out of stock and putting them back, one by one or all at once. What is concerned is counted and shown
// first, and nothing is done without a yes.
import type { Command } from 'commander';
import type { Act, Selection, Trx } from '../../vault/vault.js';
import type { Gateway } from '../main.js';
import { type Context, columns, onGateway, timeOf } from './context.js';
import { usageError } from './failure.js';
import {
  type ActFlags,
  actOf,
  type Concerned,
  confirmFor,
  countConcerned,
  type SelectionFlags,
  selectionOf,
  selectionText,
  transact,
  withAct,
  withSelection,
} from './vault-acts.js';

type Flags = ActFlags & SelectionFlags;
type Move = 'quarantine' | 'release' | 'void';

const MOVES: Record<Move, string> = {
  quarantine: 'take available codes out of stock for doubt',
  release: 'put quarantined codes back into stock',
  void: 'take codes out for good; nothing brings them back',
};

export function addVaultControl(vault: Command, context: Context): void {
  for (const [name, help] of Object.entries(MOVES) as [Move, string][]) {
    withSelection(withAct(vault.command(name).description(help)), { codes: true }).action((flags: Flags) =>
      move(context, name, flags),
    );
  }
  withSelection(
    withAct(vault.command('freeze').description('issue nothing more of it, whatever its size, within a second')),
    { codes: false },
  ).action((flags: Flags) => freeze(context, flags));
  withSelection(
    withAct(
      vault
        .command('lift')
        .description('end a freeze, or all freezes of one thing')
        .argument('[freeze_id]', 'which freeze'),
    ),
    { codes: false },
  ).action((freeze_id: string | undefined, flags: Flags) => lift(context, freeze_id, flags));
  vault
    .command('freezes')
    .description('what is frozen, by whom and why')
    .action(() => listFreezes(context));
}

async function move(context: Context, name: Move, flags: Flags): Promise<void> {
  const selection = selectionOf(flags);
  await onGateway(context, async (gateway) => {
    const concerned = await countConcerned(gateway, selection);
    if (!(await confirmFor(context, name, selection, concerned))) return notDone(context);
    const { count } = await transact(gateway, name, (trx) => moveFor(gateway, name, trx, selection, actOf(flags)));
    context.show({ act: name, ...selection, concerned, count }, () => `${count} codes: ${name}`);
    context.tell('next: kamigate vault stock');
  });
}

function moveFor({ vault }: Gateway, name: Move, trx: Trx, selection: Selection, act: Act): Promise<{ count: number }> {
  if (name === 'quarantine') return vault.quarantine(trx, selection, act);
  return name === 'release' ? vault.release(trx, selection, act) : vault.voidCodes(trx, selection, act);
}

async function freeze(context: Context, flags: Flags): Promise<void> {
  const selection = selectionOf(flags);
  await onGateway(context, async (gateway) => {
    const concerned: Concerned = await countConcerned(gateway, selection);
    if (!(await confirmFor(context, 'freeze', selection, concerned))) return notDone(context);
    const { freeze_id } = await transact(gateway, 'freeze', (trx) =>
      gateway.vault.control.freeze(trx, selection, actOf(flags)),
    );
    context.show(
      { act: 'freeze', ...selection, concerned, freeze_id },
      () => `${freeze_id}: ${selectionText(selection)} is frozen`,
    );
    context.tell(`next: kamigate vault lift ${freeze_id} --reason …`);
  });
}

async function lift(context: Context, freeze_id: string | undefined, flags: Flags): Promise<void> {
  await onGateway(context, async (gateway) => {
    const ids = freeze_id === undefined ? await freezesOf(gateway, selectionOf(flags)) : [freeze_id];
    await transact(gateway, 'lift', async (trx) => {
      for (const id of ids) await gateway.vault.control.lift(trx, id, actOf(flags));
    });
    context.show({ act: 'lift', freeze_ids: ids }, () => `lifted ${ids.join(', ')}`);
  });
}

async function freezesOf({ vault, database }: Gateway, selection: Selection): Promise<string[]> {
  const freezes = await vault.control.freezes(database.read);
  const ids = freezes
    .filter(({ scope, subject }) => {
      if ('all' in selection) return scope === 'all';
      if ('sku' in selection) return scope === 'sku' && subject === selection.sku;
      if ('batch_id' in selection) return scope === 'batch' && subject === selection.batch_id;
      return 'account' in selection && scope === 'account' && subject === selection.account;
    })
    .map((one) => one.freeze_id);
  if (ids.length > 0) return ids;
  throw usageError('--sku', `${selectionText(selection)} is not frozen`, 'Run `kamigate vault freezes` for what is.');
}

async function listFreezes(context: Context): Promise<void> {
  await onGateway(context, async ({ vault, database }) => {
    const freezes = (await vault.control.freezes(database.read)).map((one) => ({
      ...one,
      frozen_at: timeOf(Number(one.frozen_at)),
    }));
    context.show(freezes, () =>
      freezes.length === 0
        ? 'nothing is frozen'
        : columns(
            ['freeze', 'what', '', 'by', 'since', 'why'],
            freezes.map((one) => [one.freeze_id, one.scope, one.subject, one.frozen_by, one.frozen_at, one.reason]),
          ),
    );
  });
}

function notDone(context: Context): void {
  context.tell('nothing was done');
}
