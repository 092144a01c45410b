// Compares the declared accounts, SKUs and sources with the rows there are: what to create, update and disable, field
// by field. Writes nothing. Secrets are compared by opening what is sealed, and shown as changed or not, never as text.
import type { Knex } from 'knex';
import type { Declaration, DeclaredAccount, DeclaredSku } from '../../config/declaration.js';
import type { Trx } from '../db/atomic.js';
import { newId } from '../ids.js';
import { type AccountRow, CREDENTIALS_PURPOSE, credentialsText, VAULT_ACCOUNT } from '../suppliers/accounts.js';
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
import { type ApiKeyRow, planKeys, planStorefronts } from './plan-storefronts.js';
import type { SkuRow, SourceRow } from './skus.js';

/** Why a source is off that the file does not name. Any other reason is the engine's or an operator's, and stays. */
const NOT_DECLARED = 'not_declared';

/** Compares everything. `handle` may be an open transaction. */
export async function makePlan(handle: Knex | Trx, declaration: Declaration, parts: PlanParts): Promise<Plan> {
  const plan: Plan = { now: parts.now(), changes: [], issued: [], moves: [] };
  planAccounts(plan, parts, await handle('accounts'), declaration.accounts);
  planSkus(plan, await handle('skus'), declaration.skus);
  planSources(plan, await handle('sources'), declaration);
  planStorefronts(plan, parts, await handle('storefronts'), declaration.storefronts);
  const keys: ApiKeyRow[] = await handle('api_keys').select('api_key_id', 'storefront', 'scopes', 'disabled_at');
  planKeys(plan, parts, keys, declaration.storefronts);
  return plan;
}

function planAccounts(plan: Plan, parts: PlanParts, rows: AccountRow[], declared: DeclaredAccount[]): void {
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
      is_enabled: 1,
    };
    addChange(plan, accountTarget(entry.account, row), cells, comparedCredentials(parts, row, entry));
  }
  const vault = known.get(VAULT_ACCOUNT);
  if (!vault) addChange(plan, accountTarget(VAULT_ACCOUNT, undefined), VAULT_ACCOUNT_CELLS);
  const named = new Set([...declared.map((entry) => entry.account), VAULT_ACCOUNT]);
  for (const row of rows) {
    if (named.has(row.account) || !row.is_enabled) continue;
    addDisable(plan, accountTarget(row.account, row), { is_enabled: 0, updated_at: plan.now });
  }
}

function accountTarget(account: string, row: AccountRow | undefined): Target {
  return { kind: 'account', table: 'accounts', name: account, key: { account }, row };
}

/** The vault's own account: no supplier, no address, no secret, and "no currency" in the words of ISO 4217. */
const VAULT_ACCOUNT_CELLS: Cells = {
  adapter: VAULT_ACCOUNT,
  base_url: '',
  credentials_sealed: '',
  options: '{}',
  limits: '{}',
  currency: 'XXX',
  exposure_limit_e4: 0,
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

function skuTarget(sku: string, row: SkuRow | undefined): Target {
  return { kind: 'sku', table: 'skus', name: sku, key: { sku }, row };
}

interface WantedSource {
  sku: string;
  account: string;
  product: string;
  priority: number;
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
    if (named.has(name) || !row.is_enabled) continue;
    addDisable(
      plan,
      { kind: 'source', table: 'sources', name, key: { source: row.source }, row },
      { is_enabled: 0, disabled_reason: NOT_DECLARED, updated_at: plan.now },
    );
  }
}

function sourceCells(wanted: WantedSource, row: SourceRow | undefined, now: number): Cells {
  const { priority, cost_e4, currency } = wanted;
  // A cost the file names is an offer seen now; one it leaves out is read from the supplier and stays.
  const is_new_cost = cost_e4 !== null && (row?.cost_e4 !== cost_e4 || row.currency !== currency);
  const cost = is_new_cost ? { cost_e4, currency, seen_at: now } : {};
  if (!row) {
    const none = { stock: null, cost_e4: null, currency: null, seen_at: null };
    return { ...none, source: newId('src', now), priority, is_enabled: 1, disabled_reason: null, ...cost };
  }
  // Off for a reason that is not ours to overrule: the supplier no longer knew the product, or a person decided.
  const stays_off = !row.is_enabled && row.disabled_reason !== NOT_DECLARED;
  return { priority, ...(stays_off ? {} : { is_enabled: 1, disabled_reason: null }), ...cost };
}

/** The declared sources, and for each code SKU the vault, whose product is the SKU itself. */
function wantedSources({ accounts, skus }: Declaration): WantedSource[] {
  const currencies = new Map(accounts.map((entry) => [entry.account, entry.currency]));
  return skus.flatMap(({ sku, kind, sources }): WantedSource[] => {
    const wanted = sources.map(({ account, product, priority, cost }) => {
      const cost_e4 = cost ?? null;
      return { sku, account, product, priority, cost_e4, currency: cost_e4 === null ? null : currencies.get(account)! };
    });
    // What a code of the vault cost is known by batch, so its source has none.
    const vault = { sku, account: VAULT_ACCOUNT, product: sku, priority: 0, cost_e4: null, currency: null };
    return kind === 'code' ? [...wanted, vault] : wanted;
  });
}

function sourceName({ sku, account, product }: Pick<SourceRow, 'sku' | 'account' | 'product'>): string {
  return `${sku} ← ${account}/${product}`;
}

function sortedJson(value: object): string {
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}
