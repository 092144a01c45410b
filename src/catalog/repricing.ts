// What the guard's judgements do to sources: the costs of one chunk of a list, judged and written down together. Locks
// nothing itself; the caller holds the sources' rows.
import type { Money } from '../../adapters/kit/contract.js';
import type { Trx } from '../db/atomic.js';
import { insertRows } from '../db/rows.js';
import { newId } from '../ids.js';
import { CHANGE_COLUMNS, type CostChangeRow, PENDING_MS } from './cost-changes.js';
import type { PolicyBook } from './cost-policies.js';
import type { Rates } from './currencies.js';
import { type Judgement, judgeCost } from './guard.js';
import type { SourceRow } from './skus.js';

/** A source and the cost its supplier names now. */
export interface Repricing {
  source: SourceRow;
  fresh: Money;
}

export interface RepricingParts {
  policies: PolicyBook;
  rates: Rates;
  account_currency: string;
  now: number;
}

/** For metrics and logs. */
export interface Repriced {
  source: string;
  account: string;
  direction: 'up' | 'down';
  decision: 'auto_applied' | 'pending_approval' | 'rejected';
  rule: string;
}

const DAY_MS = 86_400_000;
/** Attempts looked at for a month's volume; more are estimated from these. */
const VOLUME_SAMPLE = 20_000;

/**
 * Judges and notes the changes, and puts what follows into the sources' rows in memory; the caller writes those. A
 * source whose supplier has gone back to its settled cost is settled again.
 */
export async function reprice(trx: Trx, repricings: readonly Repricing[], parts: RepricingParts): Promise<Repriced[]> {
  const back = repricings.filter(({ source, fresh }) => isCost(source, fresh) && source.cost_state !== 'settled');
  const changed = repricings.filter(({ source, fresh }) => !isCost(source, fresh) && !isOffered(source, fresh));
  if (back.length + changed.length === 0) return [];
  const waiting = await endWaiting(
    trx,
    [...back, ...changed],
    new Set(back.map(({ source }) => source.source)),
    parts.now,
  );
  for (const { source } of back) settle(source);
  if (changed.length === 0) return [];
  const skus = await readSkuFacts(trx, changed);
  const steps = await readSteps(trx, changed, parts.now);
  const judged = changed.map((repricing) => ({ ...repricing, ...judge(repricing, skus, steps, parts) }));
  const volumes = await readVolumes(
    trx,
    judged.filter(({ verdict }) => verdict !== 'apply'),
    parts.now,
  );
  const rows = judged.map((entry) => changeRow(entry, waiting.get(entry.source.source), volumes, parts));
  await insertRows(trx, 'cost_changes', CHANGE_COLUMNS, rows);
  return judged.map((entry) => putInto(entry));
}

function isCost(source: SourceRow, fresh: Money): boolean {
  return source.cost_e4 === fresh.amount_e4 && source.currency === fresh.currency;
}

function isOffered(source: SourceRow, fresh: Money): boolean {
  const is_same = source.offered_cost_e4 === fresh.amount_e4 && source.offered_currency === fresh.currency;
  return is_same && (source.cost_state !== 'settled' || source.cost_e4 === null);
}

function settle(source: SourceRow): void {
  source.cost_state = 'settled';
  source.offered_cost_e4 = null;
  source.offered_currency = null;
}

/** Ends the open changes of these sources and returns them: a newer cost takes over the day its forerunner had left. */
async function endWaiting(
  trx: Trx,
  repricings: readonly Repricing[],
  back: ReadonlySet<string>,
  now: number,
): Promise<Map<string, CostChangeRow>> {
  const sources = repricings.map(({ source }) => source.source);
  const open: CostChangeRow[] = await trx('cost_changes').whereIn('open_source', sources);
  for (const [decided_by, is_back] of [
    ['rule:back_again', true],
    ['rule:newer_cost', false],
  ] as const) {
    const ids = open.filter((change) => back.has(change.source) === is_back).map((change) => change.change_id);
    if (ids.length === 0) continue;
    await trx('cost_changes')
      .whereIn('change_id', ids)
      .update({ state: 'superseded', open_source: null, decided_at: now, decided_by });
  }
  return new Map(open.map((change) => [change.source, change]));
}

interface SkuFacts {
  sku: string;
  category: string | null;
  price_e4: number;
  currency: string;
}

async function readSkuFacts(trx: Trx, changed: readonly Repricing[]): Promise<Map<string, SkuFacts>> {
  const names = [...new Set(changed.map(({ source }) => source.sku))];
  const rows: SkuFacts[] = await trx('skus').whereIn('sku', names).select('sku', 'category', 'price_e4', 'currency');
  return new Map(rows.map((row) => [row.sku, row]));
}

/** Source → its cost before the rule-made rises of the last day, since a person or the file last decided. */
async function readSteps(trx: Trx, changed: readonly Repricing[], now: number): Promise<Map<string, number>> {
  const rising = changed.filter(({ source, fresh }) => source.cost_e4 !== null && fresh.amount_e4 > source.cost_e4);
  if (rising.length === 0) return new Map();
  const rows: Pick<CostChangeRow, 'source' | 'rule' | 'state' | 'old_cost_e4'>[] = await trx('cost_changes')
    .whereIn(
      'source',
      rising.map(({ source }) => source.source),
    )
    .where('created_at', '>', now - DAY_MS)
    .whereIn('state', ['applied', 'approved'])
    .orderBy('change_id')
    .select('source', 'rule', 'state', 'old_cost_e4');
  const steps = new Map<string, number>();
  for (const { source, rule, state, old_cost_e4 } of rows) {
    if (state === 'approved' || rule !== 'within_limits' || old_cost_e4 === null) steps.delete(source);
    else if (!steps.has(source)) steps.set(source, old_cost_e4);
  }
  return steps;
}

function judge(
  { source, fresh }: Repricing,
  skus: ReadonlyMap<string, SkuFacts>,
  steps: ReadonlyMap<string, number>,
  { policies, rates, account_currency, now }: RepricingParts,
): Judgement {
  const sku = skus.get(source.sku)!;
  const old =
    source.cost_e4 === null || source.currency === null
      ? null
      : { amount_e4: source.cost_e4, currency: source.currency };
  const news = {
    old,
    fresh,
    before_steps_e4: steps.get(source.source) ?? null,
    price: { amount_e4: sku.price_e4, currency: sku.currency },
    account_currency,
  };
  const limits = policies.limitsFor({ account: source.account, category: sku.category, sku: source.sku });
  return judgeCost(news, limits, rates, now);
}

/** Source → units a month, from its account's latest purchases. */
async function readVolumes(trx: Trx, stopped: readonly Repricing[], now: number): Promise<Map<string, number>> {
  const volumes = new Map<string, number>();
  const account = stopped[0]?.source.account;
  if (account === undefined) return volumes;
  const wanted = new Set(stopped.map(({ source }) => source.source));
  const since = now - 30 * DAY_MS;
  const rows: { source: string; quantity: number; state: string; planned_at: number }[] = await trx('attempts')
    .where({ account })
    .where('planned_at', '>', since)
    .orderBy('planned_at', 'desc')
    .limit(VOLUME_SAMPLE)
    .select('source', 'quantity', 'state', 'planned_at');
  for (const { source, quantity, state } of rows) {
    if (state === 'delivered' && wanted.has(source)) volumes.set(source, (volumes.get(source) ?? 0) + quantity);
  }
  const oldest = rows.at(-1)?.planned_at ?? since;
  const scale = rows.length < VOLUME_SAMPLE ? 1 : (30 * DAY_MS) / Math.max(now - oldest, 1);
  for (const source of wanted) volumes.set(source, Math.round((volumes.get(source) ?? 0) * scale));
  return volumes;
}

function changeRow(
  { source, fresh, verdict, rule }: Repricing & Judgement,
  waiting: CostChangeRow | undefined,
  volumes: ReadonlyMap<string, number>,
  { rates, now }: RepricingParts,
): CostChangeRow {
  const state = verdict === 'apply' ? 'applied' : verdict === 'wait' ? 'pending' : 'rejected';
  const units_30d = volumes.get(source.source) ?? null;
  return {
    change_id: newId('prc', now),
    source: source.source,
    open_source: state === 'pending' ? source.source : null,
    sku: source.sku,
    account: source.account,
    product: source.product,
    old_cost_e4: source.cost_e4,
    old_currency: source.currency,
    new_cost_e4: fresh.amount_e4,
    new_currency: fresh.currency,
    state,
    rule,
    decided_by: state === 'pending' ? null : `rule:${rule}`,
    reason: null,
    first_approved_by: null,
    first_approved_at: null,
    impact_e4: units_30d === null ? null : impactOf(source, fresh, units_30d, rates),
    units_30d,
    created_at: now,
    decided_at: state === 'pending' ? null : now,
    // A cost that keeps moving must not wait for ever.
    expires_at: state === 'pending' ? (waiting?.expires_at ?? now + PENDING_MS) : null,
  };
}

function impactOf(source: SourceRow, fresh: Money, units: number, rates: Rates): number | null {
  const before =
    source.cost_e4 === null || source.currency === null
      ? null
      : rates.convert(source.cost_e4, source.currency, rates.base);
  const after = rates.convert(fresh.amount_e4, fresh.currency, rates.base);
  if (before === null || after === null) return null;
  const impact = BigInt(after - before) * BigInt(units);
  return impact > BigInt(Number.MAX_SAFE_INTEGER) || impact < BigInt(Number.MIN_SAFE_INTEGER) ? null : Number(impact);
}

function putInto({ source, fresh, verdict, rule }: Repricing & Judgement): Repriced {
  const { account, cost_e4 } = source;
  const direction = cost_e4 === null || fresh.amount_e4 >= cost_e4 ? 'up' : 'down';
  if (verdict === 'apply') {
    source.cost_e4 = fresh.amount_e4;
    source.currency = fresh.currency;
    settle(source);
    return { source: source.source, account, direction, decision: 'auto_applied', rule };
  }
  source.offered_cost_e4 = fresh.amount_e4;
  source.offered_currency = fresh.currency;
  // A source that has left routing comes back by a person, or by a cost within its limits.
  if (source.cost_state !== 'expired') source.cost_state = verdict === 'wait' ? 'pending' : 'rejected';
  const decision = verdict === 'wait' ? 'pending_approval' : 'rejected';
  return { source: source.source, account, direction, decision, rule };
}
