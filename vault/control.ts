// What operators do to stock as a whole: seal and unseal, freeze and lift, set a SKU's policy. Each takes effect in
// every process within a second, and each is in the ledger.
import type { Knex } from 'knex';
import { type Core, invalid } from './core.js';
import { VaultError } from './errors.js';
import { newId } from './ids.js';
import { digestOf, writeRecords } from './ledger.js';
import { insertRows } from './rows.js';
import { selected } from './store.js';
import type { Act, Selection, Trx } from './types.js';

/** From the commit on no process opens a code; this one forgets its keys at once. Idempotent. */
export async function sealVault(core: Core, trx: Trx, act: Act): Promise<void> {
  checkAct(act);
  const at = core.now();
  await trx('vault_state')
    .insert({ name: 'sealed_at', value: String(at), updated_at: at })
    .onConflict('name')
    .ignore();
  await writeRecords(trx, at, [
    { act: 'seal', actor: act.by, count: 0, digest: digestOf([[act.reason]]), data: { reason: act.reason } },
  ]);
  afterCommit(trx, () => {
    core.keyring.sealNow();
    core.gate.forget();
  });
}

/** Lets every process read its keys again. */
export async function unsealVault(core: Core, trx: Trx, act: Act): Promise<void> {
  checkAct(act);
  await trx('vault_state').where({ name: 'sealed_at' }).delete();
  await writeRecords(trx, core.now(), [
    { act: 'unseal', actor: act.by, count: 0, digest: digestOf([[act.reason]]), data: { reason: act.reason } },
  ]);
  afterCommit(trx, () => {
    core.keyring.unseal();
    core.gate.forget();
  });
}

function afterCommit(trx: Trx, work: () => void): void {
  // A rolled back act has no effect here either; whoever began the transaction hears of the failure.
  trx.executionPromise.then(work, () => undefined);
}

export type FreezeScope = 'all' | 'sku' | 'batch' | 'account';

export interface Freeze {
  freeze_id: string;
  scope: FreezeScope;
  subject: string;
  reason: string;
  frozen_by: string;
  frozen_at: number;
}

/** Stops issuing from a SKU, a batch, a supplier account or everything, whatever its size, with one row. */
export async function freezeStock(
  core: Core,
  trx: Trx,
  selection: Selection,
  act: Act,
): Promise<{ freeze_id: string }> {
  checkAct(act);
  const { scope, subject } = scopeOf(selection);
  const at = core.now();
  const freeze_id = newId('frz', at);
  await insertRows(trx, 'freezes', [
    { freeze_id, scope, subject, reason: act.reason.slice(0, 500), frozen_by: act.by, frozen_at: at },
  ]);
  await writeRecords(trx, at, [
    {
      act: 'freeze',
      actor: act.by,
      count: 0,
      digest: digestOf([[freeze_id, scope, subject]]),
      data: { freeze_id, scope, subject, reason: act.reason },
    },
  ]);
  afterCommit(trx, () => core.gate.forget());
  return { freeze_id };
}

/** Ends a freeze. Throws `not_found` if it is not in force. */
export async function liftFreeze(core: Core, trx: Trx, freeze_id: string, act: Act): Promise<void> {
  checkAct(act);
  const at = core.now();
  const lifted = await trx('freezes')
    .where({ freeze_id })
    .whereNull('lifted_at')
    .update({ lifted_at: at, lifted_by: act.by });
  if (lifted !== 1) {
    throw new VaultError('not_found', `no freeze ${freeze_id} is in force`, {
      field: 'freeze_id',
      fix: 'List the freezes; it may be lifted already.',
    });
  }
  await writeRecords(trx, at, [
    {
      act: 'unfreeze',
      actor: act.by,
      count: 0,
      digest: digestOf([[freeze_id]]),
      data: { freeze_id, reason: act.reason },
    },
  ]);
  afterCommit(trx, () => core.gate.forget());
}

/** The freezes in force, newest first. */
export async function listFreezes(knex: Knex): Promise<Freeze[]> {
  return knex('freezes')
    .whereNull('lifted_at')
    .orderBy('frozen_at', 'desc')
    .select('freeze_id', 'scope', 'subject', 'reason', 'frozen_by', 'frozen_at');
}

export interface Affected {
  /** Codes in stock that would stop being issued. */
  available: number;
  /** Codes already issued, and to how many orders. */
  issued: number;
  orders: number;
}

/** What a freeze, quarantine or void of this selection concerns, to be shown before it is done. */
export async function countAffected(knex: Knex, selection: Selection): Promise<Affected> {
  const states = await selected(knex('codes'), selection).groupBy('state').select('state').count({ count: '*' });
  const of = (state: string): number =>
    Number(states.find((row: { state: string }) => row.state === state)?.count ?? 0);
  const orders = await knex('issues')
    .whereIn('code_id', selected(knex('codes'), selection).where({ state: 'issued' }).select('code_id'))
    .countDistinct({ count: 'order_id' })
    .first();
  return { available: of('available'), issued: of('issued'), orders: Number(orders?.count ?? 0) };
}

/** Null: no such rule. */
export interface Policy {
  /** The most of one order, in percent, that may come from one batch. */
  order_share_pct: number | null;
  /** The most codes one batch may give in an hour. */
  hour_batch_max: number | null;
  /** So many disputed codes in one batch quarantine the rest of it. */
  disputes_max: number | null;
  /** A regular expression the whole number of a code must match at intake. */
  number_rule: string | null;
}

/** Sets the policy of a SKU as a whole. Throws `invalid` naming the field. */
export async function setPolicy(core: Core, trx: Trx, sku: string, policy: Policy, act: Act): Promise<void> {
  checkAct(act);
  checkPolicy(policy);
  const at = core.now();
  const row = { sku, ...policy, updated_by: act.by, updated_at: at };
  await trx('vault_policies').insert(row).onConflict('sku').merge();
  await writeRecords(trx, at, [
    {
      act: 'policy',
      actor: act.by,
      sku,
      count: 0,
      digest: digestOf([[sku, policy]]),
      data: { ...policy, reason: act.reason },
    },
  ]);
  afterCommit(trx, () => core.gate.forget());
}

/** The policy of a SKU; every rule null where none was set. */
export async function readPolicy(knex: Knex, sku: string): Promise<Policy> {
  const row = await knex('vault_policies')
    .where({ sku })
    .first('order_share_pct', 'hour_batch_max', 'disputes_max', 'number_rule');
  return row ?? { order_share_pct: null, hour_batch_max: null, disputes_max: null, number_rule: null };
}

function checkPolicy({ order_share_pct, hour_batch_max, disputes_max, number_rule }: Policy): void {
  const whole = (field: string, value: number | null, most: number): void => {
    if (value !== null && (!Number.isInteger(value) || value < 1 || value > most)) {
      throw invalid(field, 'is out of range', `Give a whole number from 1 to ${most}, or null for no rule.`);
    }
  };
  whole('order_share_pct', order_share_pct, 100);
  whole('hour_batch_max', hour_batch_max, 2 ** 31 - 1);
  whole('disputes_max', disputes_max, 2 ** 31 - 1);
  if (number_rule !== null) numberRule(number_rule);
}

/** The rule as it is applied: to the whole number. Throws `invalid`. */
export function numberRule(rule: string): RegExp {
  try {
    return new RegExp(`^(?:${rule})$`, 'u');
  } catch {
    throw invalid('number_rule', 'is not a regular expression', 'Write one such as [A-Z0-9]{4}(-[A-Z0-9]{4}){3}.');
  }
}

export function checkAct({ by, reason }: Act): void {
  if (by.length === 0 || by.length > 128) throw invalid('by', 'must have 1 to 128 characters', 'Name who does it.');
  if (reason.trim().length === 0) throw invalid('reason', 'is empty', 'Say why.');
}

function scopeOf(selection: Selection): { scope: FreezeScope; subject: string } {
  if ('all' in selection) return { scope: 'all', subject: '' };
  if ('sku' in selection) return { scope: 'sku', subject: selection.sku };
  if ('batch_id' in selection) return { scope: 'batch', subject: selection.batch_id };
  if ('account' in selection) return { scope: 'account', subject: selection.account };
  throw invalid('selection', 'names single codes', 'Quarantine single codes; freeze a SKU, batch, account or all.');
}
