// Compares the declared storefronts and their API keys with the rows there are. Writes nothing.
import { createHash } from 'node:crypto';
import type { DeclaredStorefront } from '../../config/declaration.js';
import {
  addChange,
  addDisable,
  type Cells,
  type ComparedSecret,
  type Plan,
  type PlanParts,
  SEALED,
  type Shown,
  type Target,
} from './changes.js';

export interface StorefrontRow {
  storefront: string;
  name: string;
  currency: string;
  webhook_url: string | null;
  webhook_secret_sealed: string | null;
  is_enabled: number;
}
export interface ApiKeyRow {
  api_key_id: string;
  storefront: string;
  scopes: string;
  disabled_at: number | null;
}

/** Ids of declared keys, which carry the key's name; keys made in other ways have ids without a dot and are left alone. */
const DECLARED_KEY = /^key_([a-z0-9-]{1,16})\.[0-9a-f]{16}$/;

export function planStorefronts(
  plan: Plan,
  parts: PlanParts,
  rows: StorefrontRow[],
  declared: DeclaredStorefront[],
): void {
  const known = new Map(rows.map((row) => [row.storefront, row]));
  for (const entry of declared) {
    const { storefront, name, currency } = entry;
    const row = known.get(storefront);
    const webhook_url = entry.webhook_url ?? null;
    const cells = {
      name,
      currency,
      webhook_url,
      accounts_only: listText(entry.accounts_only),
      accounts_except: listText(entry.accounts_except),
      is_enabled: 1,
    };
    addChange(plan, storefrontTarget(storefront, row), cells, comparedWebhookSecret(plan, parts, row, entry));
    if (row?.webhook_url && row.webhook_url !== webhook_url) {
      plan.moves.push({ storefront, from_url: row.webhook_url, to_url: webhook_url });
    }
  }
  const named = new Set(declared.map((entry) => entry.storefront));
  for (const row of rows) {
    if (named.has(row.storefront) || !row.is_enabled) continue;
    addDisable(plan, storefrontTarget(row.storefront, row), { is_enabled: 0, updated_at: plan.now });
  }
}

function listText(list: readonly string[] | undefined): string | null {
  return list ? JSON.stringify([...list].sort()) : null;
}

function storefrontTarget(storefront: string, row: StorefrontRow | undefined): Target {
  return { kind: 'storefront', table: 'storefronts', name: storefront, key: { storefront }, row };
}

// Every storefront has a secret, even without a webhook of its own: an order may name an address for itself.
function comparedWebhookSecret(
  plan: Plan,
  parts: PlanParts,
  row: StorefrontRow | undefined,
  { storefront, webhook_secret }: DeclaredStorefront,
): ComparedSecret {
  const purpose = parts.storefronts.webhook_secret_purpose;
  const sealed = row?.webhook_secret_sealed ?? null;
  const before = sealed === null ? null : parts.seal.openText(purpose, storefront, sealed);
  const is_same = before !== null && (webhook_secret === null || webhook_secret.reveal() === before);
  if (is_same) return { cells: {}, fields: [] };
  const secret: Shown = webhook_secret ?? parts.storefronts.makeWebhookSecret();
  if (webhook_secret === null) plan.issued.push({ storefront, what: 'webhook secret', secret });
  return {
    cells: { webhook_secret_sealed: parts.seal.sealText(purpose, storefront, secret.reveal()) },
    fields: [
      { field: 'webhook_secret', before: before && SEALED, after: before === null ? SEALED : `${SEALED} changed` },
    ],
  };
}

export function planKeys(plan: Plan, parts: PlanParts, rows: ApiKeyRow[], declared: DeclaredStorefront[]): void {
  const known = new Map(rows.map((row) => [row.api_key_id, row]));
  const named = new Set<string>();
  for (const { storefront, keys } of declared) {
    for (const [name, scopes] of Object.entries(keys)) {
      const api_key_id = keyId(storefront, name);
      named.add(api_key_id);
      planKey(plan, parts, known.get(api_key_id), { api_key_id, storefront, name, scopes });
    }
  }
  for (const row of rows) {
    const name = DECLARED_KEY.exec(row.api_key_id)?.[1];
    if (name === undefined || named.has(row.api_key_id) || row.disabled_at !== null) continue;
    addDisable(plan, keyTarget(row.api_key_id, `${row.storefront}/${name}`, row), { disabled_at: plan.now });
  }
}

function planKey(
  plan: Plan,
  parts: PlanParts,
  row: ApiKeyRow | undefined,
  { api_key_id, storefront, name, scopes }: { api_key_id: string; storefront: string; name: string; scopes: string[] },
): void {
  const target = keyTarget(api_key_id, `${storefront}/${name}`, row);
  const cells: Cells = { scopes: parts.storefronts.scopesText(scopes), disabled_at: null };
  if (row && row.disabled_at === null) {
    addChange(plan, target, cells);
    return;
  }
  // An ended key that is named again is a new key: the old secret stays dead.
  const { key, key_hash, hint } = parts.storefronts.makeKey();
  plan.issued.push({ storefront, what: `key ${name}`, secret: key });
  addChange(plan, target, cells, {
    cells: { key_hash, hint, storefront, created_at: plan.now },
    fields: [{ field: 'key', before: row ? SEALED : null, after: `${SEALED} new` }],
  });
}

function keyTarget(api_key_id: string, name: string, row: ApiKeyRow | undefined): Target {
  return { kind: 'key', table: 'api_keys', name, key: { api_key_id }, row };
}

/** The id of a declared key: its name, and which storefront's it is. */
function keyId(storefront: string, name: string): string {
  return `key_${name}.${createHash('sha256').update(storefront).digest('hex').slice(0, 16)}`;
}
