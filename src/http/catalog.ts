// What can be ordered: SKUs with their price, what a recipient must look like, and whether there is stock. No source,
// no cost and no count of what is there.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Vault } from '../../vault/vault.js';
import { type BundlePart, bundleParts } from '../catalog/bundles.js';
import { type CandidateRow, readCandidates } from '../catalog/offers.js';
import { listSkus, type RecipientRule, type RecipientRules, readSkus, type SkuRow } from '../catalog/skus.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import { decimalText, timeText } from '../orders/view.js';
import { MANUAL_ACCOUNT, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import { pageLimit, strictObject, time } from './input.js';
import { callerOf, type Exchange, param, type Reply, type Route, route } from './route.js';

export interface CatalogRoutesDeps {
  database: Database;
  vault: Pick<Vault, 'available'>;
}

export function catalogRoutes(deps: CatalogRoutesDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/skus',
      scope: 'catalog:read',
      query: skusQuery,
      handle: (exchange) => showSkus(deps, exchange),
    }),
    route({
      method: 'GET',
      path: '/v1/skus/:sku',
      scope: 'catalog:read',
      handle: (exchange) => showSku(deps, exchange),
    }),
  ];
}

const skusQuery = strictObject({
  cursor: z.string().max(500, 'is not one that this list gave').optional(),
  limit: pageLimit(),
  kind: z.enum(['recharge', 'code', 'bundle'], 'must be recharge, code or bundle').optional(),
  updated_since: time().optional(),
});

async function showSkus(
  deps: CatalogRoutesDeps,
  exchange: Exchange<undefined, z.output<typeof skusQuery>>,
): Promise<Reply> {
  callerOf(exchange);
  const { cursor = null, limit, kind = null, updated_since = null } = exchange.query;
  // Whoever keeps a copy asks by time, and must hear of what is no longer sold; whoever does not, need not.
  const only_enabled = updated_since === null;
  const { skus, next } = await listSkus(deps.database.read, { cursor, limit, kind, updated_since, only_enabled });
  return { status: 200, body: { object: 'list', data: await skuViews(deps, skus), next } };
}

async function showSku(deps: CatalogRoutesDeps, exchange: Exchange): Promise<Reply> {
  const name = param(exchange, 'sku');
  const sku = (await readSkus(deps.database.read, [name])).get(name);
  if (!sku) {
    throw new GatewayError('sku_not_found', 'there is no such SKU', {
      field: 'sku',
      fix: 'Read GET /v1/skus for what can be ordered.',
    });
  }
  const [view] = await skuViews(deps, [sku]);
  const etag = `"${createHash('sha256').update(JSON.stringify(view)).digest('base64url').slice(0, 22)}"`;
  const headers = { ETag: etag, 'Cache-Control': 'private, no-cache' };
  const is_known = isListed(exchange.headers['if-none-match'], etag);
  return is_known ? { status: 304, body: null, headers } : { status: 200, body: view!, headers };
}

/** `If-None-Match` compares weakly (RFC 9110, 13.1.2). */
function isListed(if_none_match: string | undefined, etag: string): boolean {
  if (if_none_match === undefined) return false;
  return if_none_match.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag);
}

async function skuViews(deps: CatalogRoutesDeps, skus: readonly SkuRow[]): Promise<object[]> {
  if (skus.length === 0) return [];
  const named = new Map(skus.map((sku) => [sku.sku, sku]));
  const of_bundles = [...new Set(skus.flatMap((sku) => bundleParts(sku).map((part) => part.sku)))];
  const all = new Map([...named, ...(await readSkus(deps.database.read, of_bundles))]);
  const stock = await readStock(deps, [...all.values()]);
  return skus.map((sku) => skuView(sku, stock.get(sku.sku) ?? 'off_sale', all));
}

async function readStock(
  { database, vault }: CatalogRoutesDeps,
  skus: readonly SkuRow[],
): Promise<Map<string, StockStatus>> {
  const candidates = await readCandidates(
    database.read,
    skus.map((sku) => sku.sku),
  );
  const stock = new Map<string, StockStatus>();
  for (const sku of skus.filter(({ kind }) => kind !== 'bundle')) {
    const sources = candidates.get(sku.sku) ?? [];
    const asks_vault = sku.vault_rank !== 'never' && sources.some((source) => isVaultSource(source));
    const is_in_vault = asks_vault && (await vault.available(database.read, sku.sku, 1)) > 0;
    stock.set(sku.sku, stockStatus(sku, sources, is_in_vault));
  }
  for (const sku of skus.filter(({ kind }) => kind === 'bundle')) {
    stock.set(
      sku.sku,
      bundleStatus(
        sku,
        bundleParts(sku).map((part) => stock.get(part.sku)),
      ),
    );
  }
  return stock;
}

/** A bundle is there if each of its parts is. */
function bundleStatus(sku: SkuRow, parts: readonly (StockStatus | undefined)[]): StockStatus {
  if (!sku.is_enabled || parts.some((status) => status === undefined || status === 'off_sale')) return 'off_sale';
  return parts.every((status) => status === 'in_stock') ? 'in_stock' : 'out_of_stock';
}

type StockStatus = 'in_stock' | 'out_of_stock' | 'off_sale';

/** Whether one unit could be had now, as far as is known; an order is the only proof. */
function stockStatus(sku: SkuRow, sources: readonly CandidateRow[], is_in_vault: boolean): StockStatus {
  if (!sku.is_enabled) return 'off_sale';
  return is_in_vault || sources.some(canSell) ? 'in_stock' : 'out_of_stock';
}

function isVaultSource(source: CandidateRow): boolean {
  return source.account === VAULT_ACCOUNT && source.is_enabled === 1;
}

function canSell(source: CandidateRow): boolean {
  const is_open = source.is_enabled === 1 && source.account_is_enabled === 1 && source.account_paused_at === null;
  // What a person's delivery costs is told afterwards.
  const has_cost = source.cost_e4 !== null || source.account === MANUAL_ACCOUNT;
  return is_open && source.account !== VAULT_ACCOUNT && has_cost && source.stock !== 0;
}

function skuView(sku: SkuRow, stock_status: StockStatus, all: ReadonlyMap<string, SkuRow>): object {
  const { extra, ...fields } = JSON.parse(sku.recipient_rules) as RecipientRules;
  return {
    sku: sku.sku,
    object: 'sku',
    name: sku.name,
    kind: sku.kind,
    price: decimalText(sku.price_e4),
    currency: sku.currency,
    stock_status,
    quantity_max: sku.quantity_max,
    parts: sku.kind === 'bundle' ? bundleParts(sku).map((part) => partView(part, all)) : null,
    recipient: { ...ruleViews(fields), ...(extra ? { extra: ruleViews(extra) } : {}) },
    version: sku.version,
    updated_at: timeText(sku.updated_at),
  };
}

/** What one part is, and what a unit of it counts for in the bundle's price. */
function partView({ sku, quantity, price_e4 }: BundlePart, all: ReadonlyMap<string, SkuRow>): object {
  const { name = sku, kind = null } = all.get(sku) ?? {};
  return { sku, name, kind, quantity, unit_price: decimalText(price_e4) };
}

function ruleViews(rules: Record<string, RecipientRule | undefined>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(rules).flatMap(([name, rule]) =>
      rule ? [[name, { ...rule, is_required: rule.is_required === 1 }] as const] : [],
    ),
  );
}
