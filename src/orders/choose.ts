// The choice of a source for one order: what is known around it, what is wanted, the decision by rules and rank, and
// what the choice itself uses up: a probe, a turn, a try-out. Everything is read and taken in one open transaction.
import type { CandidateRow } from '../catalog/offers.js';
import type { SkuRow } from '../catalog/skus.js';
import type { Trx } from '../db/atomic.js';
import { must } from '../errors.js';
import { ALL_ALLOWED, type Allowed, readAllowed } from '../storefronts/allowed.js';
import { MANUAL_ACCOUNT, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import { countFloats } from '../suppliers/float.js';
import { candidatesOf, ratesFor, type Surroundings } from './candidates.js';
import type { Engine } from './engine.js';
import { requestOf } from './request.js';
import { type Candidate, costCeiling, type Decision, rankCandidates, type Want } from './routing.js';
import type { OrderRow } from './store.js';
import { countExploration, EXPLORE_EVERY, lockTurns, readTurns, type Turns, takeTurn } from './turns.js';

/** The order that wants a source, with its SKU and what was tried. */
export interface Choosing {
  order: OrderRow;
  sku: SkuRow;
  candidates: readonly CandidateRow[];
  tried: ReadonlySet<string>;
  supplier_attempts: number;
}

/** What one step knows beside its rows; the floats are counted when first an order would spend of one. */
export interface Around extends Surroundings {
  floats: Map<string, number>;
  floats_counted: boolean;
  allowed: ReadonlyMap<string, Allowed>;
  turns: Map<string, Turns>;
}

/** `takes_turns`: the choice will be acted on, so whose turn it is stays locked until the transaction ends. */
export async function surroundingsOf(
  engine: Engine,
  trx: Trx,
  choosings: readonly Choosing[],
  { takes_turns }: { takes_turns: boolean },
): Promise<Around> {
  await engine.health.refresh(trx);
  const storefronts = new Set(choosings.map(({ order }) => order.storefront));
  const by_turns = choosings.filter((choosing) => goesByTurns(engine, choosing)).map(({ sku }) => sku.sku);
  const orders = choosings.map(({ order, candidates }) => ({ currency: order.currency, candidates }));
  return {
    rates: await ratesFor(engine, trx, orders),
    floats: new Map(),
    floats_counted: false,
    allowed: await readAllowed(trx, [...storefronts]),
    turns: takes_turns ? await lockTurns(trx, by_turns) : await readTurns(trx, by_turns),
  };
}

/** Weights need turns always; `balanced` only while there is both a source that is known and one that is not. */
function goesByTurns(engine: Engine, { order, sku, candidates }: Choosing): boolean {
  const suppliers = candidates.filter(({ account }) => account !== VAULT_ACCOUNT && account !== MANUAL_ACCOUNT);
  if (suppliers.length < 2) return false;
  if (sku.strategy !== 'balanced') return sku.strategy === 'weighted';
  const known = suppliers.filter(({ account }) => engine.health.facts(account, order.kind).has_evidence).length;
  return known > 0 && known < suppliers.length;
}

export interface Choice {
  decision: Decision;
  want: Want;
  /** The source to take; undefined: none is left, or none may be tried any more. */
  best: Candidate | undefined;
}

/** The decision as things stand. Takes nothing. */
export function decideFor(engine: Engine, choosing: Choosing, around: Around): { decision: Decision; want: Want } {
  const want = wantOf(engine, choosing, around);
  return { want, decision: rankCandidates(candidatesOf(engine, choosing, around), want) };
}

/** Chooses, and where the best is on trial, takes its probe: without it the choice falls to the next one. */
export async function choose(
  engine: Engine,
  trx: Trx,
  choosing: Choosing,
  all: readonly Choosing[],
  around: Around,
): Promise<Choice> {
  for (let turn = 0; ; turn++) {
    must(turn <= choosing.candidates.length + 1, 'each probe that is refused takes its candidate away');
    const { decision, want } = decideFor(engine, choosing, around);
    if (decision.ranked[0]?.is_vault === false && !around.floats_counted) {
      await countFloatsOf(engine, trx, all, around);
      continue;
    }
    const best = bestOf(engine, choosing, decision);
    if (best?.health === 'probing' && !(await engine.health.claimProbe(trx, best.account, choosing.order.kind)))
      continue;
    return { decision, want, best };
  }
}

function bestOf(
  engine: Engine,
  { order, sku, supplier_attempts }: Choosing,
  { ranked }: Decision,
): Candidate | undefined {
  const { deliver_before } = order;
  if (deliver_before !== null && deliver_before <= engine.now()) return undefined;
  // A person is the last resort, after as many suppliers as may be tried.
  return supplier_attempts < sku.attempts_max ? ranked[0] : ranked.find(({ is_manual }) => is_manual);
}

/** Whether anything but a person could go on with the order. */
export async function hasOtherSource(engine: Engine, trx: Trx, choosing: Choosing): Promise<boolean> {
  const around = await surroundingsOf(engine, trx, [choosing], { takes_turns: false });
  await countFloatsOf(engine, trx, [choosing], around);
  const best = bestOf(engine, choosing, decideFor(engine, choosing, around).decision);
  return best !== undefined && !best.is_manual;
}

/** Whether anything at all could begin the order; what the vault has is counted, and promised to nobody. */
export async function hasSourceNow(engine: Engine, trx: Trx, choosing: Choosing): Promise<boolean> {
  const around = await surroundingsOf(engine, trx, [choosing], { takes_turns: false });
  await countFloatsOf(engine, trx, [choosing], around);
  const { decision, want } = decideFor(engine, choosing, around);
  if (bestOf(engine, choosing, decision) === undefined) return false;
  if (decision.ranked.some(({ is_vault }) => !is_vault)) return true;
  return (await engine.vault.available(trx, choosing.sku.sku, want.quantity)) >= want.quantity;
}

export async function countFloatsOf(engine: Engine, trx: Trx, all: readonly Choosing[], around: Around): Promise<void> {
  if (around.floats_counted) return;
  const questions = all.flatMap((choosing) => {
    const want = wantOf(engine, choosing, around);
    return candidatesOf(engine, choosing, around)
      .filter((candidate) => !candidate.is_vault && candidate.account_open && candidate.currency !== null)
      .map((candidate) => {
        const ceiling_e4 = costCeiling(candidate, want);
        return { account: candidate.account, currency: candidate.currency!, ceiling_e4 };
      });
  });
  around.floats = await countFloats(trx, questions, engine.now());
  around.floats_counted = true;
}

/** Takes what the choice of a supplier uses up: its turn among the weighted, or the turn to try something out. */
export function takeTurnOf(choosing: Choosing, { decision, want, best }: Choice, units: number, around: Around): void {
  const turns = around.turns.get(choosing.sku.sku);
  if (!turns || !best) return;
  const suppliers = decision.ranked.filter(({ is_vault, is_manual }) => !is_vault && !is_manual);
  if (want.strategy === 'weighted') takeTurn(turns, suppliers, best.source, units);
  else if (suppliers.some(({ has_evidence }) => !has_evidence)) countExploration(turns, !best.has_evidence);
}

/** The storefront takes units from several sources, and fewer than it asked for. */
export function takesPart(order: OrderRow): boolean {
  return requestOf(order).allow_partial;
}

function wantOf(engine: Engine, { order, sku, tried }: Choosing, { allowed, turns }: Around): Want {
  const { recipient, allow_partial } = requestOf(order);
  const turn = turns.get(sku.sku);
  return {
    quantity: order.quantity - order.delivered_quantity,
    takes_part: allow_partial,
    unit_price_e4: order.unit_price_e4,
    currency: order.currency,
    vault_rank: sku.vault_rank,
    recipient: recipient ?? {},
    ...(allowed.get(order.storefront) ?? ALL_ALLOWED),
    now: engine.now(),
    strategy: sku.strategy,
    second_cost_e4: sku.second_cost_e4,
    credits: turn?.credits ?? NO_CREDITS,
    explores: turn !== undefined && turn.since_explored >= EXPLORE_EVERY - 1,
    tried,
  };
}
const NO_CREDITS: ReadonlyMap<string, number> = new Map();
