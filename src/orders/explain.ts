// How an order would be routed now, and why: every source of a SKU with its place or with the rule that takes it away.
// Decides as an order does, takes nothing, and sends nothing.

import type { Recipient } from '../../adapters/kit/contract.js';
import { bundleParts, partRecipient } from '../catalog/bundles.js';
import { readCandidates } from '../catalog/offers.js';
import { checkRecipient, readSkus, type SkuRow } from '../catalog/skus.js';
import { atomic, type Trx } from '../db/atomic.js';
import { GatewayError, must } from '../errors.js';
import { countFloatsOf, decideFor, surroundingsOf } from './choose.js';
import type { Engine } from './engine.js';
import { whyRanked } from './ranking.js';
import { canonicalRequest } from './request.js';
import type { OrderRow } from './store.js';

export interface ExplainRequest {
  /** Whose order it would be; without one, no storefront's lists are looked at. */
  storefront?: string;
  quantity?: number;
  recipient?: Recipient;
}

export interface ExplainedSource {
  source: string;
  account: string;
  product: string;
  /** 1 is where the order would go first; null: a rule takes it away. */
  place: number | null;
  rule: string | null;
  because: string;
  priority: number;
  weight: number;
  cost_e4: number | null;
  currency: string | null;
  stock: number | null;
  health: 'well' | 'ailing' | 'probing';
  success_rate: number;
  latency_ms: number;
}

export interface RouteExplained {
  sku: string;
  strategy: SkuRow['strategy'];
  storefront: string | null;
  quantity: number;
  /** Best first, then those that are taken away. A bundle has none: its parts do. */
  sources: ExplainedSource[];
  /** Of a bundle: the route of each part, in the order declared. */
  parts: RouteExplained[];
  /** Time the rules and the ranking took. */
  decided_us: number;
}

/** Explains the route of an order for `sku`. Throws `sku_not_found`, `not_found` for the storefront, `recipient_invalid`. */
export async function explainRoute(engine: Engine, sku: string, request: ExplainRequest = {}): Promise<RouteExplained> {
  return atomic(engine.database, 'explain a route', async (trx) => {
    const row = (await readSkus(trx, [sku])).get(sku);
    if (!row) {
      throw new GatewayError('sku_not_found', `there is no SKU ${JSON.stringify(sku)}`, {
        field: 'sku',
        fix: 'Name one of the catalog file.',
      });
    }
    checkRequest(row, request);
    const { storefront } = request;
    if (storefront !== undefined && !(await trx('storefronts').where({ storefront }).first('storefront'))) {
      throw new GatewayError('not_found', `there is no storefront ${JSON.stringify(storefront)}`, {
        field: 'storefront',
        fix: 'Name one of the catalog file, or leave it out.',
      });
    }
    return row.kind === 'bundle' ? explainBundle(engine, trx, row, request) : explainPlain(engine, trx, row, request);
  });
}

async function explainBundle(
  engine: Engine,
  trx: Trx,
  row: SkuRow,
  { storefront, quantity = 1, recipient }: ExplainRequest,
): Promise<RouteExplained> {
  const declared = bundleParts(row);
  const skus = await readSkus(
    trx,
    declared.map((part) => part.sku),
  );
  const parts: RouteExplained[] = [];
  for (const part of declared) {
    const part_sku = skus.get(part.sku);
    must(part_sku, `the parts of ${row.sku} exist`);
    const of_part = recipient && partRecipient(part, part_sku, recipient);
    const request = {
      quantity: quantity * part.quantity,
      price: { price_e4: part.price_e4, currency: row.currency },
      ...(storefront === undefined ? {} : { storefront }),
      ...(of_part ? { recipient: of_part } : {}),
    };
    parts.push(await explainPlain(engine, trx, part_sku, request));
  }
  const decided_us = parts.reduce((sum, part) => sum + part.decided_us, 0);
  const { sku, strategy } = row;
  return { sku, strategy, storefront: storefront ?? null, quantity, sources: [], parts, decided_us };
}

async function explainPlain(
  engine: Engine,
  trx: Trx,
  row: SkuRow,
  request: ExplainRequest & { price?: { price_e4: number; currency: string } },
): Promise<RouteExplained> {
  const { storefront } = request;
  const { sku } = row;
  const candidates = (await readCandidates(trx, [sku])).get(sku) ?? [];
  const order = imagined({ ...row, ...request.price }, request, engine.now());
  const choosing = { order, sku: row, candidates, tried: new Set<string>(), supplier_attempts: 0 };
  const around = await surroundingsOf(engine, trx, [choosing], { takes_turns: false });
  await countFloatsOf(engine, trx, [choosing], around);
  const begun_at = process.hrtime.bigint();
  const { decision, want } = decideFor(engine, choosing, around);
  const decided_us = Number((process.hrtime.bigint() - begun_at) / 1_000n);
  const skipped = new Map(decision.skipped.map((each) => [each.source, each]));
  const all = new Map(candidates.map((candidate) => [candidate.source, candidate]));
  const sources = [...decision.ranked.map(({ source }) => source), ...skipped.keys()].map((source, index) => {
    const candidate = all.get(source)!;
    const against = skipped.get(source);
    const { health, success_rate, latency_ms } = engine.health.facts(candidate.account, row.kind);
    return {
      source,
      account: candidate.account,
      product: candidate.product,
      place: against ? null : index + 1,
      rule: against?.rule ?? null,
      because: against?.because ?? whyRanked(decision.ranked[index]!, want),
      priority: candidate.priority,
      weight: candidate.weight,
      cost_e4: candidate.cost_e4,
      currency: candidate.currency,
      stock: candidate.stock,
      health,
      success_rate,
      latency_ms,
    };
  });
  return {
    sku,
    strategy: row.strategy,
    storefront: storefront ?? null,
    quantity: order.quantity,
    sources,
    parts: [],
    decided_us,
  };
}

function checkRequest(sku: SkuRow, { quantity = 1, recipient }: ExplainRequest): void {
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > sku.quantity_max) {
    throw new GatewayError('quantity_not_allowed', `quantity is ${quantity}; at most ${sku.quantity_max}`, {
      field: 'quantity',
      fix: `Ask for 1 to ${sku.quantity_max} units.`,
    });
  }
  const errors = recipient === undefined ? [] : checkRecipient(sku, recipient);
  if (errors.length === 0) return;
  throw new GatewayError('recipient_invalid', errors.map(({ message }) => message).join('; '), {
    field: 'recipient',
    fix: 'Give the recipient as an order would, or leave it out.',
    errors,
  });
}

/** The order as it would be placed. It has no id and is written nowhere. */
function imagined(sku: SkuRow, { storefront = '', quantity = 1, recipient }: ExplainRequest, now: number): OrderRow {
  return {
    order_id: '',
    storefront,
    external_id: '',
    request: canonicalRequest({
      external_id: '',
      sku: sku.sku,
      quantity,
      recipient: recipient ?? null,
      max_unit_price_e4: null,
      currency: null,
      allow_partial: false,
      deliver_before: null,
      callback_url: null,
      metadata: null,
    }),
    sku: sku.sku,
    kind: sku.kind,
    quantity,
    delivered_quantity: 0,
    state: 'received',
    reason: null,
    held_reason: null,
    unit_price_e4: sku.price_e4,
    currency: sku.currency,
    due_at: null,
    fence: 0,
    deadline_at: now + sku.deadline_ms,
    deliver_before: null,
    attempts_count: 0,
    version: 0,
    created_at: now,
    updated_at: now,
    completed_at: null,
    parent_order_id: null,
  };
}
