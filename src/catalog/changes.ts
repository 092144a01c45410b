// What a comparison of the declared catalog with the rows comes to: changes, field by field, and how one is noted.
import type { Trx } from '../db/atomic.js';

/** A text that may be shown once; prints as `[sealed]`. */
export interface Shown {
  reveal(): string;
}

export interface PlanParts {
  /** Milliseconds since the epoch. */
  now: () => number;
  seal: {
    sealText: (purpose: string, context: string, text: string) => string;
    openText: (purpose: string, context: string, sealed: string) => string;
  };
  /** What storefronts need, handed in: they are not below the catalog. */
  storefronts: {
    webhook_secret_purpose: string;
    makeKey: () => { key: Shown; key_hash: string; hint: string };
    makeWebhookSecret: () => Shown;
    scopesText: (scopes: readonly string[]) => string;
    moveNotices: (
      trx: Trx,
      move: { storefront: string; from_url: string; to_url: string | null; now: number },
    ) => Promise<unknown>;
  };
}

export type ChangeKind = 'account' | 'sku' | 'source' | 'storefront' | 'key' | 'rate';
export type Cell = string | number | null;
export interface FieldChange {
  field: string;
  before: Cell;
  after: Cell;
}
export interface Change {
  kind: ChangeKind;
  /** The name, or for a source `sku ← account/product`, for a key `storefront/key`. */
  name: string;
  /** What the file no longer names is disabled, never deleted. */
  action: 'create' | 'update' | 'disable' | 'unchanged';
  fields: FieldChange[];
  /** Open work that forbids this change. */
  blocked_by: { orders: number; attempts: number } | null;
}
/** A secret that was made and is to be shown once. */
export interface Issued {
  storefront: string;
  what: string;
  secret: Shown;
}

export const TABLES = ['accounts', 'skus', 'sources', 'storefronts', 'api_keys', 'rates'] as const;
export type Table = (typeof TABLES)[number];
export type Cells = Record<string, Cell>;
export interface PlannedChange extends Change {
  table: Table;
  /** Where the row is found, and what the refusal of a change asks about. */
  key: Cells;
  /** Columns to write; for `create` all of them. */
  cells: Cells;
}
export interface Plan {
  now: number;
  changes: PlannedChange[];
  issued: Issued[];
  moves: { storefront: string; from_url: string; to_url: string | null }[];
}

export interface ComparedSecret {
  cells: Cells;
  fields: FieldChange[];
}

export const SEALED = '[sealed]';

/** Columns that say nothing to a reader of the plan. */
const UNSHOWN = new Set([
  'source',
  'created_at',
  'seen_at',
  'storefront',
  'declared_cost_e4',
  'cost_state',
  'offered_cost_e4',
  'offered_currency',
  'accepted_by',
  'accepted_at',
  'set_by',
]);

/** Whom a change is about. */
export interface Target {
  kind: ChangeKind;
  table: Table;
  name: string;
  key: Cells;
  /** As it stands in the database, if it does. */
  row: object | undefined;
}

/** Notes what it takes for the row to have these cells; `secret` are cells that were compared already. */
export function addChange(
  plan: Plan,
  { row, ...target }: Target,
  cells: Cells,
  secret: ComparedSecret = { cells: {}, fields: [] },
): PlannedChange {
  const old = row as Cells | undefined;
  const different = Object.entries(cells).filter(([column, value]) => !old || old[column] !== value);
  const fields = different
    .filter(([column, value]) => !UNSHOWN.has(column) && !(old === undefined && value === null))
    .map(([field, after]): FieldChange => ({ field, before: old?.[field] ?? null, after }));
  const change: PlannedChange = {
    ...target,
    action: old ? 'update' : 'create',
    fields: [...fields, ...secret.fields],
    blocked_by: null,
    cells: { ...Object.fromEntries(different), ...secret.cells },
  };
  if (old && Object.keys(change.cells).length === 0) change.action = 'unchanged';
  else if (target.table !== 'api_keys') change.cells.updated_at = plan.now;
  if (!old) Object.assign(change.cells, target.key, { created_at: plan.now });
  plan.changes.push(change);
  return change;
}

/** Notes that a row is to be switched off by these cells. */
export function addDisable(plan: Plan, { row, ...target }: Target, cells: Cells): void {
  const old = row as Cells;
  const fields = Object.entries(cells)
    .filter(([column]) => column === 'is_enabled' || column === 'disabled_at')
    .map(([field, after]): FieldChange => ({ field, before: old[field] ?? null, after }));
  plan.changes.push({ ...target, action: 'disable', fields, blocked_by: null, cells });
}
