// How far a cost may move by itself, and locks that stop every change until their time: for all, for an account, for a
// category, for a SKU; the narrowest holds.
import type { Command } from 'commander';
import {
  currentPolicies,
  DEFAULT_LIMITS,
  type PolicyFields,
  type PolicyRow,
  type PolicyScope,
  setPolicy,
} from '../catalog/cost-policies.js';
import { decimalText } from '../orders/view.js';
import { amountOf, type Context, columns, timeOf, withDatabase } from './context.js';
import { usageError } from './failure.js';
import { dayOf } from './rates.js';

interface ScopeFlags {
  all?: boolean;
  account?: string;
  category?: string;
  sku?: string;
}
interface ActFlags {
  by: string;
  reason: string;
}
type Limit = number | null;
/** As a flag: commander makes an empty text of null. */
type Wanted = number | 'none';
interface PolicyFlags extends ScopeFlags, Partial<ActFlags> {
  riseMax?: Wanted;
  fallMax?: Wanted;
  marginMin?: Wanted;
  floor?: Wanted;
  ceiling?: Wanted;
  currency?: string;
  impactMax?: Wanted;
}

export function addPriceLimits(price: Command, context: Context): void {
  scoped(price.command('policy').description('the limits in force; sets those that are given, none takes one back'))
    .option('--rise-max <percent>', 'the most a cost may rise by itself', limitOf('--rise-max', percentOf))
    .option('--fall-max <percent>', 'the most it may fall by itself', limitOf('--fall-max', percentOf))
    .option(
      '--margin-min <percent>',
      'the least that must be left of the price after a rise',
      limitOf('--margin-min', percentOf),
    )
    .option('--floor <amount>', 'a cost below it is refused; needs --currency', limitOf('--floor', amountOf))
    .option('--ceiling <amount>', 'a cost above it is refused; needs --currency', limitOf('--ceiling', amountOf))
    .option('--currency <code>', 'of floor and ceiling')
    .option(
      '--impact-max <amount>',
      'above this monthly impact a second person must approve',
      limitOf('--impact-max', amountOf),
    )
    .option('--by <name>', 'who sets them; needed to set anything')
    .option('--reason <text>', 'why; needed to set anything')
    .action((flags: PolicyFlags) => policy(context, flags));
  scoped(price.command('lock').description('let no cost change by itself until a time: each one waits for a person'))
    .requiredOption('--until <time>', 'a day, a time, now to lift it, or none to leave it to the wider scope', untilOf)
    .requiredOption('--by <name>', 'who locks it')
    .requiredOption('--reason <text>', 'why')
    .action((flags: ScopeFlags & ActFlags & { until: 'now' | 'none' | number }) => lock(context, flags));
}

function scoped(command: Command): Command {
  return command
    .option('--all', 'for everything')
    .option('--account <account>', 'for this account')
    .option('--category <category>', 'for the SKUs of this category')
    .option('--sku <sku>', 'for this SKU');
}

async function policy(context: Context, flags: PolicyFlags): Promise<void> {
  const fields = fieldsOf(flags);
  if (Object.keys(fields).length === 0) {
    // Whoever names a scope, a person or a reason means to set something.
    const given = (['by', 'reason', 'all', 'account', 'category', 'sku'] as const).find(
      (flag) => flags[flag] !== undefined,
    );
    if (given)
      throw usageError(`--${given}`, `--${given} stands without a limit`, 'Name a limit, such as --rise-max 3.');
    await list(context);
  } else {
    const { by, reason } = flags;
    if (by === undefined) throw usageError('--by', '--by is missing', 'Say who sets these limits.');
    if (reason === undefined) throw usageError('--reason', '--reason is missing', 'Say why.');
    await change(context, { ...scopeOf(flags), fields, by, reason });
  }
}

async function lock(
  context: Context,
  { until, by, reason, ...scope }: ScopeFlags & ActFlags & { until: 'now' | 'none' | number },
): Promise<void> {
  const now = Date.now();
  if (typeof until === 'number' && until <= now)
    throw usageError('--until', '--until is in the past', 'Name a time to come, or now to lift a lock.');
  const locked_until = until === 'now' ? now : until === 'none' ? null : until;
  await change(context, { ...scopeOf(scope), fields: { locked_until }, by, reason });
}

async function list(context: Context): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database, { base_currency }) => {
    const { floor: _, ceiling: __, ...limits } = DEFAULT_LIMITS;
    const built_in = policyView({ ...UNSET, ...limits, ...BUILT_IN });
    const policies = [built_in, ...(await currentPolicies(database.read)).map(policyView)];
    context.show(policies, () =>
      columns(
        [
          'scope',
          'of',
          'rise',
          'fall',
          'margin',
          'floor',
          'ceiling',
          `impact, ${base_currency}`,
          'locked until',
          'set by',
          'reason',
        ],
        policies.map((row) => [
          row.scope,
          row.subject,
          limitText(row.rise_max_bp),
          limitText(row.fall_max_bp),
          limitText(row.margin_min_bp),
          row.floor && `${row.floor} ${row.currency}`,
          row.ceiling && `${row.ceiling} ${row.currency}`,
          row.impact_max,
          row.locked_until,
          row.set_by,
          row.reason,
        ]),
      ),
    );
  });
}

async function change(
  context: Context,
  wanted: { scope: PolicyScope; subject: string; fields: Partial<PolicyFields> } & ActFlags,
): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    const row = policyView(await setPolicy(database, wanted, Date.now()));
    context.show(row, () => `the limits of ${row.scope === 'all' ? 'all' : `${row.scope} ${row.subject}`} are set`);
  });
  context.tell('next: kamigate price policy');
}

/** The limits that hold where nobody set any, as a row of their own. */
const BUILT_IN = { policy_id: '', scope: 'all', subject: '*', set_by: 'built in', reason: '', set_at: null } as const;
const UNSET = { floor_e4: null, ceiling_e4: null, currency: null } as const;

function policyView(row: Omit<PolicyRow, 'set_at'> & { set_at: number | null }) {
  const { policy_id: _, floor_e4, ceiling_e4, impact_max_e4, locked_until, set_at, ...rest } = row;
  const amount = (amount_e4: Limit): string | null => (amount_e4 === null ? null : decimalText(amount_e4));
  return {
    ...rest,
    floor: amount(floor_e4),
    ceiling: amount(ceiling_e4),
    impact_max: amount(impact_max_e4),
    locked_until: timeOf(locked_until),
    set_at: timeOf(set_at),
  };
}

function fieldsOf({ currency, ...flags }: PolicyFlags): Partial<PolicyFields> {
  if (currency !== undefined && !/^[A-Z]{3}$/.test(currency))
    throw usageError('--currency', '--currency is not a currency', 'Write an ISO 4217 code such as CNY.');
  const limits = {
    rise_max_bp: flags.riseMax,
    fall_max_bp: flags.fallMax,
    margin_min_bp: flags.marginMin,
    floor_e4: flags.floor,
    ceiling_e4: flags.ceiling,
    impact_max_e4: flags.impactMax,
  };
  const given = Object.entries(limits).filter(([, limit]) => limit !== undefined);
  const fields: Partial<PolicyFields> = Object.fromEntries(
    given.map(([field, limit]) => [field, limit === 'none' ? null : limit]),
  );
  return currency === undefined ? fields : { ...fields, currency };
}

/** One scope, never a guessed one: what is meant for a SKU must not hold for all. */
function scopeOf({ all, account, category, sku }: ScopeFlags): { scope: PolicyScope; subject: string } {
  const named = Object.entries({ all: all ? '*' : undefined, account, category, sku }).filter(
    (entry): entry is [PolicyScope, string] => entry[1] !== undefined,
  );
  const [only] = named;
  if (only && named.length === 1) return { scope: only[0], subject: only[1] };
  throw usageError(
    '--all',
    named.length === 0 ? 'it is not said for what' : 'more than one scope is named',
    'Name one of --all, --account, --category, --sku.',
  );
}

/** What `read` makes of the text, or none. */
function limitOf(field: string, read: (field: string) => (text: string) => number): (text: string) => Wanted {
  return (text) => (text === 'none' ? 'none' : read(field)(text));
}

/** Percent with up to two places, in hundredths. */
/** Percent with up to two places as hundredths of it. For commander: throws a usage error that names the flag. */
export function percentOf(field: string): (text: string) => number {
  return (text) => {
    const [, whole = '', places = ''] = /^(\d{1,5})(?:\.(\d{1,2}))?%?$/.exec(text) ?? [];
    if (whole !== '') return Number(whole) * 100 + Number(places.padEnd(2, '0'));
    throw usageError(field, `${field} is not a percentage`, `Write it such as ${field} 2.5, or none.`);
  };
}

function untilOf(text: string): 'now' | 'none' | number {
  if (text === 'now' || text === 'none') return text;
  const [, day, time] = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d))?$/.exec(text) ?? [];
  const at = time === undefined ? Number.NaN : Date.parse(text);
  if (day !== undefined && time === undefined) return dayOf('--until')(day);
  if (day !== undefined && Number.isFinite(at) && dayOf('--until')(day)) return at;
  throw usageError('--until', '--until is not a time', 'Write a day such as 2026-01-31, or 2026-01-31T08:00+08:00.');
}

/** Hundredths of a percent for people. */
export function percentText(bp: number, { is_signed = false } = {}): string {
  return `${is_signed && bp > 0 ? '+' : ''}${bp / 100} %`;
}

function limitText(bp: Limit): string | null {
  return bp === null ? null : percentText(bp);
}
