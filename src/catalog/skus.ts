// SKUs and their sources as they are read: what is for sale, at what price, and what a recipient must look like. They
// are declared in the catalog file and written by apply.ts alone.
import type { Knex } from 'knex';
import { LRUCache } from 'lru-cache';
import type { Kind, Recipient } from '../../adapters/kit/contract.js';
import type { Trx } from '../db/atomic.js';
import { type FieldError, GatewayError } from '../errors.js';
import { compilePattern, type Pattern } from './pattern.js';

/** What an order can be of: something that is bought or issued, or what is made of such. */
export type OrderKind = Kind | 'bundle';

/** What becomes of a bundle's order when one part fails: the others go on, or nothing more is bought. */
export type FailedPart = 'finish' | 'stop';

export interface SkuRow {
  sku: string;
  name: string;
  kind: OrderKind;
  /** What a storefront pays for one unit. */
  price_e4: number;
  currency: string;
  /** `RecipientRules` as JSON. */
  recipient_rules: string;
  quantity_max: number;
  attempts_max: number;
  deadline_ms: number;
  can_detach: number;
  vault_rank: 'first' | 'last' | 'never';
  /** How its sources are ranked. */
  strategy: 'priority' | 'cheapest' | 'weighted' | 'balanced';
  /** Least margin on the price, in hundredths of a percent; null: none beyond not losing. */
  margin_min_bp: number | null;
  /** What a second of waiting is worth, for `balanced`. */
  second_cost_e4: number;
  /** What limits of costs may be set for together. */
  category: string | null;
  /** What it is made of, for finding the supplier products that fit. */
  brand: string | null;
  region: string | null;
  face_value_e4: number | null;
  face_currency: string | null;
  /** How old an offer may be before it is not bought from blindly; null: the gateway's own limit. */
  stale_after_ms: number | null;
  /** What a bundle is made of, as JSON: see bundles.ts. Null for any other. */
  parts: string | null;
  failed_part: FailedPart | null;
  is_enabled: number;
  version: number;
  created_at: number;
  updated_at: number;
}

export interface SourceRow {
  source: string;
  sku: string;
  account: string;
  product: string;
  priority: number;
  /** Its share among the others, where the SKU is bought by weight. */
  weight: number;
  /** JSON: whom it serves; null: everybody. */
  recipients: string | null;
  is_enabled: number;
  disabled_reason: string | null;
  cost_e4: number | null;
  currency: string | null;
  stock: number | null;
  seen_at: number | null;
  /** When its supplier was asked to tell of its product; null: not yet, or it tells without being asked. */
  watched_at: number | null;
  /** What the catalog file says it costs, if it does. */
  declared_cost_e4: number | null;
  /** A person accepted this mapping; the file need not name it. */
  accepted_by: string | null;
  accepted_at: number | null;
  /** `pending` and `rejected`: the supplier names another cost than `cost_e4`; `expired`: nobody decided in time. */
  cost_state: 'settled' | 'pending' | 'rejected' | 'expired';
  offered_cost_e4: number | null;
  offered_currency: string | null;
  created_at: number;
  updated_at: number;
}

/** What one field of a recipient must be. */
export interface RecipientRule {
  label: string;
  example: string;
  /** Matches the whole text; see pattern.ts for what it may hold. */
  pattern?: string;
  values?: string[];
  is_required: number;
}
type PlainField = Exclude<keyof Recipient, 'extra'>;
export type RecipientRules = Partial<Record<PlainField, RecipientRule>> & { extra?: Record<string, RecipientRule> };

/** Longest text of any recipient field, checked before any pattern sees it. */
export const RECIPIENT_LENGTH_MAX = 128;

/** The SKUs of these names that exist, by name. */
export async function readSkus(handle: Knex | Trx, skus: readonly string[]): Promise<Map<string, SkuRow>> {
  if (skus.length === 0) return new Map();
  const rows: SkuRow[] = await handle('skus').whereIn('sku', [...skus]);
  return new Map(rows.map((row) => [row.sku, row]));
}

/** The sources of these SKUs, by SKU, in order of priority; switched-off ones too. */
export async function readSources(handle: Knex | Trx, skus: readonly string[]): Promise<Map<string, SourceRow[]>> {
  if (skus.length === 0) return new Map();
  const rows: SourceRow[] = await handle('sources')
    .whereIn('sku', [...skus])
    .orderBy(['priority', 'source']);
  const by_sku = new Map<string, SourceRow[]>();
  for (const row of rows) by_sku.set(row.sku, [...(by_sku.get(row.sku) ?? []), row]);
  return by_sku;
}

export interface SkuQuery {
  /** From an earlier page. */
  cursor: string | null;
  limit: number;
  kind: OrderKind | null;
  /** Only what changed at or after this time. */
  updated_since: number | null;
  /** Leave out what is not sold at present. A storefront that keeps a copy wants to hear of those too. */
  only_enabled: boolean;
}

/** A page of SKUs, least recently changed first; `next` is null at the end. Throws `invalid_cursor`. */
export async function listSkus(knex: Knex, query: SkuQuery): Promise<{ skus: SkuRow[]; next: string | null }> {
  const select = knex('skus')
    .orderBy(['updated_at', 'sku'])
    .limit(query.limit + 1);
  if (query.kind) select.where('kind', query.kind);
  if (query.only_enabled) select.where('is_enabled', 1);
  if (query.updated_since !== null) select.where('updated_at', '>=', query.updated_since);
  if (query.cursor !== null) {
    const [updated_at, sku] = readCursor(query.cursor);
    select.where((after) =>
      after
        .where('updated_at', '>', updated_at)
        .orWhere((same) => same.where('updated_at', updated_at).where('sku', '>', sku)),
    );
  }
  const rows: SkuRow[] = await select;
  const skus = rows.slice(0, query.limit);
  const last = skus.at(-1);
  return { skus, next: rows.length > query.limit && last ? writeCursor(last) : null };
}

/** The recipient fields the SKU knows; `extra.…` for the further ones. */
export function fieldNames({ recipient_rules }: Pick<SkuRow, 'recipient_rules'>): string[] {
  return [...compiledRules(recipient_rules).keys()].map((name) => name.replace('/', '.'));
}

/** What is wrong with the recipient of an order for this SKU, field by field; empty where it is right. */
export function checkRecipient(sku: Pick<SkuRow, 'recipient_rules'>, recipient: Recipient | null): FieldError[] {
  const rules = compiledRules(sku.recipient_rules);
  const { extra, ...fields } = recipient ?? {};
  const given = new Map<string, unknown>([
    ...Object.entries(fields),
    ...Object.entries(extra ?? {}).map(([name, value]): [string, unknown] => [`extra/${name}`, value]),
  ]);
  const errors: FieldError[] = [];
  for (const [name, rule] of rules) {
    const error = fieldError(name, rule, given.get(name));
    if (error) errors.push(error);
  }
  for (const [name, value] of given) {
    if (rules.has(name) || value === undefined) continue;
    errors.push(fault(name, 'unknown_field', `this SKU takes no ${name}; remove it`));
  }
  return errors;
}

interface CompiledRule extends RecipientRule {
  fits: Pattern;
}

/** Field name (`extra/…` for extra ones) → its rule. Keyed by the rules' text, so a changed SKU is another entry. */
const compiled = new LRUCache<string, Map<string, CompiledRule>>({ max: 2_000 });

function compiledRules(text: string): Map<string, CompiledRule> {
  const known = compiled.get(text);
  if (known) return known;
  const { extra, ...fields } = JSON.parse(text) as RecipientRules;
  const rules = new Map<string, CompiledRule>();
  const add = (name: string, rule: RecipientRule): void => {
    rules.set(name, { ...rule, fits: rule.pattern === undefined ? () => true : compilePattern(rule.pattern) });
  };
  for (const [name, rule] of Object.entries(fields)) add(name, rule);
  for (const [name, rule] of Object.entries(extra ?? {})) add(`extra/${name}`, rule);
  compiled.set(text, rules);
  return rules;
}

function fieldError(name: string, rule: CompiledRule, value: unknown): FieldError | null {
  const like = `${rule.label}, for example ${rule.example}`;
  if (value === undefined || value === null || value === '') {
    return rule.is_required ? fault(name, 'required', `${name} is required: ${like}`) : null;
  }
  if (typeof value !== 'string') return fault(name, 'type', `${name} must be a text: ${like}`);
  if (value.length > RECIPIENT_LENGTH_MAX) {
    return fault(name, 'too_long', `${name} must have at most ${RECIPIENT_LENGTH_MAX} characters`);
  }
  if (rule.values && !rule.values.includes(value)) {
    return fault(name, 'value', `${name} must be one of ${rule.values.join(', ')}`);
  }
  // The text itself is a person's account: it is never repeated.
  return rule.fits(value) ? null : fault(name, 'pattern', `${name} is not of the form of a ${like}`);
}

function fault(name: string, code: string, message: string): FieldError {
  return { pointer: `/recipient/${name}`, code, message };
}

function writeCursor({ updated_at, sku }: SkuRow): string {
  return Buffer.from(JSON.stringify([updated_at, sku])).toString('base64url');
}

function readCursor(cursor: string): [number, string] {
  try {
    const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[];
    if (Array.isArray(parts) && Number.isSafeInteger(parts[0]) && typeof parts[1] === 'string') {
      return [parts[0] as number, parts[1]];
    }
  } catch {
    // Not one of ours: answered below.
  }
  throw new GatewayError('invalid_cursor', 'cursor is not one that this list gave', {
    field: 'cursor',
    fix: 'Send `next` of the last page unchanged, or leave cursor out to begin again.',
  });
}
