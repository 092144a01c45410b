// How far a cost may move by itself: limits per account, category and SKU, with defaults. The newest row of a scope
// holds; the older ones are its history. A lock stops every change until its date.
import type { Knex } from 'knex';
import type { Money } from '../../adapters/kit/contract.js';
import { atomic, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import { newId } from '../ids.js';

export type PolicyScope = 'all' | 'account' | 'category' | 'sku';

/** What one scope sets; null leaves it to the wider scope. Hundredths of a percent are `_bp`. */
export interface PolicyFields {
  rise_max_bp: number | null;
  fall_max_bp: number | null;
  /** Least share of the storefront's price that must be left after a rise. */
  margin_min_bp: number | null;
  floor_e4: number | null;
  ceiling_e4: number | null;
  /** Of floor and ceiling. */
  currency: string | null;
  /** Above this monthly impact, in the base currency, a second person must approve. */
  impact_max_e4: number | null;
  /** No change is applied by a rule before this time; a time in the past lifts a wider lock. */
  locked_until: number | null;
}

export interface PolicyRow extends PolicyFields {
  policy_id: string;
  scope: PolicyScope;
  subject: string;
  set_by: string;
  reason: string;
  set_at: number;
}

/** The limits that hold for one source. */
export interface CostLimits {
  rise_max_bp: number;
  fall_max_bp: number;
  margin_min_bp: number | null;
  floor: Money | null;
  ceiling: Money | null;
  impact_max_e4: number;
  locked_until: number | null;
}

/** Procurement's defaults: 2 % up, 10 % down; beyond 1,000 of the base currency a month, a second person. */
export const DEFAULT_LIMITS: CostLimits = {
  rise_max_bp: 200,
  fall_max_bp: 1_000,
  margin_min_bp: null,
  floor: null,
  ceiling: null,
  impact_max_e4: 10_000_000,
  locked_until: null,
};

export interface PolicyBook {
  limitsFor(of: { account: string; category: string | null; sku: string }): CostLimits;
}

/** The limits in force. */
export async function readPolicies(handle: Knex | Trx): Promise<PolicyBook> {
  const rows = await currentPolicies(handle);
  const by_scope = new Map(rows.map((row) => [`${row.scope} ${row.subject}`, row]));
  return {
    limitsFor: ({ account, category, sku }) => {
      const limits = { ...DEFAULT_LIMITS };
      // The narrowest comes last and wins.
      const names = [
        'all *',
        `account ${account}`,
        ...(category === null ? [] : [`category ${category}`]),
        `sku ${sku}`,
      ];
      for (const name of names) narrow(limits, by_scope.get(name));
      return limits;
    },
  };
}

/** Each scope's newest row. */
export async function currentPolicies(handle: Knex | Trx): Promise<PolicyRow[]> {
  const newest = handle('cost_policies').max('policy_id').groupBy('scope', 'subject');
  return (await handle('cost_policies').whereIn('policy_id', newest).orderBy(['scope', 'subject'])) as PolicyRow[];
}

function narrow(limits: CostLimits, row: PolicyRow | undefined): void {
  if (!row) return;
  for (const field of ['rise_max_bp', 'fall_max_bp', 'margin_min_bp', 'impact_max_e4', 'locked_until'] as const) {
    const value = row[field];
    if (value !== null) limits[field] = value;
  }
  if (row.floor_e4 !== null) limits.floor = { amount_e4: row.floor_e4, currency: row.currency! };
  if (row.ceiling_e4 !== null) limits.ceiling = { amount_e4: row.ceiling_e4, currency: row.currency! };
}

export interface PolicyChange {
  scope: PolicyScope;
  /** The account, category or SKU; `*` for scope `all`. */
  subject: string;
  /** What is to change; null takes the field back to the wider scope. */
  fields: Partial<PolicyFields>;
  by: string;
  reason: string;
}

/**
 * Sets limits of one scope, with name and reason. Costs that were refused under the old limits are judged anew at the
 * next sweep. Throws `validation_failed` or, for a subject that is not there, `not_found`.
 */
export async function setPolicy(database: Database, change: PolicyChange, now: number): Promise<PolicyRow> {
  checkChange(change);
  return atomic(database, 'setting cost limits', async (trx) => {
    const { scope, subject } = change;
    await mustExist(trx, scope, subject);
    const before: PolicyRow | undefined = await trx('cost_policies')
      .where({ scope, subject })
      .orderBy('policy_id', 'desc')
      .first();
    const row: PolicyRow = {
      ...NOTHING_SET,
      ...before,
      ...change.fields,
      policy_id: newId('prc', now),
      scope,
      subject,
      set_by: change.by.slice(0, 128),
      reason: change.reason.slice(0, 500),
      set_at: now,
    };
    if ((row.floor_e4 !== null || row.ceiling_e4 !== null) && row.currency === null) {
      throw fault('currency', 'floor and ceiling need a currency', 'Name the currency they are in.');
    }
    if (row.floor_e4 !== null && row.ceiling_e4 !== null && row.floor_e4 > row.ceiling_e4) {
      throw fault('floor_e4', 'the floor is above the ceiling', 'Exchange the two.');
    }
    await trx('cost_policies').insert(row);
    await trx('sources').where({ cost_state: 'rejected' }).update({ offered_cost_e4: null, offered_currency: null });
    return row;
  });
}

const NOTHING_SET: PolicyFields = {
  rise_max_bp: null,
  fall_max_bp: null,
  margin_min_bp: null,
  floor_e4: null,
  ceiling_e4: null,
  currency: null,
  impact_max_e4: null,
  locked_until: null,
};

const BOUNDS: Partial<Record<keyof PolicyFields, number>> = {
  rise_max_bp: 1_000_000,
  fall_max_bp: 10_000,
  margin_min_bp: 10_000,
};

function checkChange({ scope, subject, fields, by, reason }: PolicyChange): void {
  if (scope === 'all' && subject !== '*') throw fault('subject', 'scope all has no subject', 'Write * for it.');
  if (by.trim() === '') throw fault('by', 'nobody is named', 'Say who sets these limits.');
  if (reason.trim() === '') throw fault('reason', 'no reason is given', 'Say why.');
  for (const [field, value] of Object.entries(fields)) {
    if (!(field in NOTHING_SET))
      throw fault(field, `there is no limit ${field}`, `Known: ${Object.keys(NOTHING_SET).join(', ')}.`);
    if (value === null || field === 'currency') continue;
    const max = BOUNDS[field as keyof PolicyFields] ?? Number.MAX_SAFE_INTEGER;
    if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max) continue;
    throw fault(field, `${field} is not a whole number from 0 to ${max}`, 'Correct it.');
  }
}

async function mustExist(trx: Trx, scope: PolicyScope, subject: string): Promise<void> {
  if (scope === 'all') return;
  const table = scope === 'account' ? 'accounts' : 'skus';
  if (
    await trx(table)
      .where({ [scope]: subject })
      .first(scope)
  )
    return;
  throw new GatewayError('not_found', `there is no ${scope} ${JSON.stringify(subject)}`, {
    field: 'subject',
    fix: 'Use a name of the catalog file.',
  });
}

function fault(field: string, message: string, fix: string): GatewayError {
  return new GatewayError('validation_failed', message, { field, fix });
}
