// Compares the declared accounts, SKUs and sources with the rows there are: what to create, update and disable, field
// by field. Writes nothing. Secrets are compared by opening what is sealed, and shown as changed or not, never as text.
import type { Knex } from 'knex';
import type { Declaration, DeclaredAccount, DeclaredRate, DeclaredSku } from '../../config/declaration.js';
import type { Trx } from '../db/atomic.js';
import { newId } from '../ids.js';
import {
  type AccountRow,
  CREDENTIALS_PURPOSE,
  credentialsText,
  MANUAL_ACCOUNT,
  VAULT_ACCOUNT,
} from '../suppliers/accounts.js';
import type { BundlePart } from './bundles.js';
import {
  addChange,
  addDisable,
  type Cells,
  type ComparedSecret,
  type FieldChange,
  type Plan,
  type PlanParts,
  SEALED,
  type Target,
} from './changes.js';
import { dayOf, type RateRow } from './currencies.js';
import { type ApiKeyRow, planKeys, planStorefronts } from './plan-storefronts.js';
import type { SkuRow, SourceRow } from './skus.js';

/** Why a source is off that the file does not name. Any other reason is the engine's or an operator's, and stays. */
const NOT_DECLARED = 'not_declared';

/** Compares everything. `handle` may be an open transaction. */
export async function makePlan(handle: Knex | Trx, declaration: Declaration, parts: PlanParts): Promise<Plan> {
  const plan: Plan = { now: parts.now(), changes: [], issued: [], moves: [] };
  planAccounts(plan, parts, await handle('accounts'), declaration);
  planSkus(plan, await handle('skus'), declaration.skus);
  planSources(plan, await handle('sources'), declaration);
  planRates(plan, declaration.rates.length === 0 ? [] : await handle('rates'), declaration);
  planStorefronts(plan, parts, await handle('storefronts'), declaration.storefronts);
  const keys: ApiKeyRow[] = await handle('api_keys').select('api_key_id', 'storefront', 'scopes', 'disabled_at');
  planKeys(plan, parts, keys, declaration.storefronts);
  return plan;
}

function planAccounts(
  plan: Plan,
  parts: PlanParts,
  rows: AccountRow[],
  { accounts: declared, skus }: Declaration,
): void {
  const known = new Map(rows.map((row) => [row.account, row]));
  for (const entry of declared) {
    const row = known.get(entry.account);
    const cells = {
      adapter: entry.adapter,
      base_url: entry.base_url,
      options: sortedJson(entry.options),
      limits: sortedJson(entry.limits),
      currency: entry.currency,
      exposure_limit_e4: entry.exposure_limit,
      float_min_e4: entry.float_min,
      maintenance: entry.maintenance ? JSON.stringify(entry.maintenance) : null,
      is_enabled: 1,
    };
    addChange(plan, accountTarget(entry.account, row), cells, comparedCredentials(parts, row, entry));
  }
  const needs_person = skus.some(({ sources }) => sources.some(({ account }) => account === MANUAL_ACCOUNT));
  const of_ours = needs_person ? [VAULT_ACCOUNT, MANUAL_ACCOUNT] : [VAULT_ACCOUNT];
  for (const account of of_ours) {
    // Only made here: what an operator changes of it (a pause) stays.
    if (!known.has(account))
      addChange(plan, accountTarget(account, undefined), { adapter: account, ...OWN_ACCOUNT_CELLS });
  }
  const named = new Set([...declared.map((entry) => entry.account), VAULT_ACCOUNT, MANUAL_ACCOUNT]);
  for (const row of rows) {
    if (named.has(row.account) || !row.is_enabled) continue;
    addDisable(plan, accountTarget(row.account, row), { is_enabled: 0, updated_at: plan.now });
  }
}

function accountTarget(account: string, row: AccountRow | undefined): Target {
  return { kind: 'account', table: 'accounts', name: account, key: { account }, row };
}

/** The vault's account and a person's: no supplier, no address, no secret, and "no currency" in the words of ISO 4217. */
const OWN_ACCOUNT_CELLS: Cells = {
  base_url: '',
  credentials_sealed: '',
  options: '{}',
  limits: '{}',
  currency: 'XXX',
  exposure_limit_e4: 0,
  float_min_e4: 0,
  maintenance: null,
  is_enabled: 1,
};

function comparedCredentials(parts: PlanParts, row: AccountRow | undefined, entry: DeclaredAccount): ComparedSecret {
  const text = credentialsText(entry.credentials);
  const sealed = row?.credentials_sealed;
  const before = sealed ? parts.seal.openText(CREDENTIALS_PURPOSE, entry.account, sealed) : '{}';
  if (row && before === text) return { cells: {}, fields: [] };
  const old = JSON.parse(before) as Record<string, string>;
  const names = [...new Set([...Object.keys(old), ...Object.keys(entry.credentials)])].sort();
  const fields = names.flatMap((name): FieldChange[] => {
    const fresh = entry.credentials[name]?.reveal();
    if (old[name] === fresh) return [];
    const after = fresh === undefined ? null : name in old ? `${SEALED} changed` : SEALED;
    return [{ field: `credentials.${name}`, before: name in old ? SEALED : null, after }];
  });
  return { cells: { credentials_sealed: parts.seal.sealText(CREDENTIALS_PURPOSE, entry.account, text) }, fields };
}

function planSkus(plan: Plan, rows: SkuRow[], declared: DeclaredSku[]): void {
  const known = new Map(rows.map((row) => [row.sku, row]));
  for (const entry of declared) {
    const row = known.get(entry.sku);
    const change = addChange(plan, skuTarget(entry.sku, row), {
      name: entry.name,
      kind: entry.kind,
      price_e4: entry.price.amount,
      currency: entry.price.currency,
      recipient_rules: JSON.stringify(entry.recipient_rules),
      quantity_max: entry.quantity_max,
      attempts_max: entry.attempts_max,
      deadline_ms: entry.deadline_ms,
      can_detach: entry.can_detach,
      vault_rank: entry.vault_rank,
      strategy: entry.strategy ?? 'priority',
      margin_min_bp: entry.margin_min_percent ?? null,
      second_cost_e4: entry.second_cost ?? 0,
      category: entry.category ?? null,
      brand: entry.brand ?? null,
      region: entry.region ?? null,
      face_value_e4: entry.face_value?.amount ?? null,
      face_currency: entry.face_value?.currency ?? null,
      stale_after_ms: entry.stale_after_ms ?? null,
      parts: partsText(entry),
      failed_part: entry.failed_part ?? null,
      is_enabled: 1,
    });
    if (change.action !== 'unchanged') change.cells.version = (row?.version ?? 0) + 1;
  }
  const named = new Set(declared.map((entry) => entry.sku));
  for (const row of rows) {
    if (named.has(row.sku) || !row.is_enabled) continue;
    addDisable(plan, skuTarget(row.sku, row), { is_enabled: 0, version: row.version + 1, updated_at: plan.now });
  }
}

function partsText({ parts }: DeclaredSku): string | null {
  if (!parts) return null;
  return JSON.stringify(
    parts.map(({ sku, quantity, price, recipient }): BundlePart => ({ sku, quantity, price_e4: price, recipient })),
  );
}

function skuTarget(sku: string, row: SkuRow | undefined): Target {
  return { kind: 'sku', table: 'skus', name: sku, key: { sku }, row };
}

interface WantedSource {
  sku: string;
  account: string;
  product: string;
  priority: number;
  weight: number;
  recipients: string | null;
  cost_e4: number | null;
  currency: string | null;
}

function planSources(plan: Plan, rows: SourceRow[], declaration: Declaration): void {
  const known = new Map(rows.map((row) => [sourceName(row), row]));
  const named = new Set<string>();
  for (const wanted of wantedSources(declaration)) {
    const name = sourceName(wanted);
    const row = known.get(name);
    const { sku, account, product } = wanted;
    named.add(name);
    addChange(
      plan,
      { kind: 'source', table: 'sources', name, key: { sku, account, product }, row },
      sourceCells(wanted, row, plan.now),
    );
  }
  for (const row of rows) {
    const name = sourceName(row);
    // What a person accepted is his to take back, not the file's silence.
    if (named.has(name) || !row.is_enabled || row.accepted_by !== null) continue;
    addDisable(
      plan,
      { kind: 'source', table: 'sources', name, key: { source: row.source }, row },
      { is_enabled: 0, disabled_reason: NOT_DECLARED, updated_at: plan.now },
    );
  }
}

function sourceCells(wanted: WantedSource, row: SourceRow | undefined, now: number): Cells {
  const { priority, weight, recipients, cost_e4, currency } = wanted;
  // A cost the file names is an offer seen now, until the supplier's own list names another; one it leaves out is read
  // from the supplier and stays.
  const is_new_cost = cost_e4 !== null && !isDeclared(row, cost_e4, currency);
  const cost = is_new_cost
    ? { cost_e4, currency, seen_at: now, cost_state: 'settled', offered_cost_e4: null, offered_currency: null }
    : {};
  const declared = { declared_cost_e4: cost_e4, accepted_by: null, accepted_at: null };
  if (!row) {
    const unseen = { stock: null, cost_e4: null, currency: null, seen_at: null };
    const settled = { cost_state: 'settled', offered_cost_e4: null, offered_currency: null };
    return {
      ...unseen,
      ...settled,
      ...declared,
      source: newId('src', now),
      priority,
      weight,
      recipients,
      is_enabled: 1,
      disabled_reason: null,
      ...cost,
    };
  }
  // Off for a reason that is not ours to overrule: the supplier no longer knew the product, or a person decided.
  const stays_off = !row.is_enabled && row.disabled_reason !== NOT_DECLARED;
  return {
    priority,
    weight,
    recipients,
    ...declared,
    ...(stays_off ? {} : { is_enabled: 1, disabled_reason: null }),
    ...cost,
  };
}

/** The file said this already: what the supplier said since stands. */
function isDeclared(row: SourceRow | undefined, cost_e4: number, currency: string | null): boolean {
  if (!row || row.declared_cost_e4 !== cost_e4) return false;
  const is_untouched = row.cost_e4 === cost_e4 && row.currency !== currency;
  return row.cost_e4 !== null && !is_untouched;
}

/** Rates are only added to: one that the file names no more was still the rate of its day. */
function planRates(plan: Plan, rows: RateRow[], { rates, file }: Declaration): void {
  const known = new Map(rows.map((row) => [`${row.currency}/${row.base} ${row.as_of}`, row]));
  for (const rate of rates) {
    const key = { currency: rate.currency, base: rate.base, as_of: dayOf(rate.as_of) };
    const name = `${rate.currency}/${rate.base} ${key.as_of}`;
    const shown = `${rate.currency}/${rate.base} ${new Date(key.as_of).toISOString().slice(0, 10)}`;
    const row = known.get(name);
    const rate_e8 = rateE8(rate);
    const set_by = row?.rate_e8 === rate_e8 ? row.set_by : `file:${file}`.slice(0, 128);
    addChange(plan, { kind: 'rate', table: 'rates', name: shown, key, row }, { rate_e8, set_by });
  }
}

function rateE8({ rate }: DeclaredRate): number {
  const [whole = '', places = ''] = rate.split('.');
  return Number(whole) * 100_000_000 + Number(places.padEnd(8, '0'));
}

/** The declared sources, and for each code SKU the vault, whose product is the SKU itself. */
function wantedSources({ accounts, skus }: Declaration): WantedSource[] {
  const currencies = new Map(accounts.map((entry) => [entry.account, entry.currency]));
  return skus.flatMap(({ sku, kind, price, sources }): WantedSource[] => {
    const wanted = sources.map(({ account, product, priority, cost, weight = 1, recipients }) => {
      const cost_e4 = cost ?? null;
      // What a person spends is in the currency of the price.
      const currency = cost_e4 === null ? null : (currencies.get(account) ?? price.currency);
      const served = recipients ? JSON.stringify(recipients) : null;
      return { sku, account, product, priority, weight, recipients: served, cost_e4, currency };
    });
    // What a code of the vault cost is known by batch, so its source has none.
    const vault = { sku, account: VAULT_ACCOUNT, product: sku, ...OF_THE_VAULT };
    return kind === 'code' ? [...wanted, vault] : wanted;
  });
}

const OF_THE_VAULT = { priority: 0, weight: 1, recipients: null, cost_e4: null, currency: null };

function sourceName({ sku, account, product }: Pick<SourceRow, 'sku' | 'account' | 'product'>): string {
  return `${sku} ← ${account}/${product}`;
}

function sortedJson(value: object): string {
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}
