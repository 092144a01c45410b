// The next step of orders that have no open attempt: pick a source, write the attempt down, and where the source is
// the vault, issue at once. Works on a list in one open transaction; it changes rows in memory and leaves writing
// the orders to its caller, who knows whether they are new.

import { readCandidates } from '../catalog/offers.js';
import { readSkus } from '../catalog/skus.js';
import type { Trx } from '../db/atomic.js';
import { must } from '../errors.js';
import { newId } from '../ids.js';
import { MANUAL_ACCOUNT, VAULT_ACCOUNT } from '../suppliers/accounts.js';
import { referenceFor } from '../suppliers/reference.js';
import {
  type Around,
  type Choice,
  type Choosing,
  choose,
  hasOtherSource,
  hasSourceNow,
  surroundingsOf,
  takesPart,
  takeTurnOf,
} from './choose.js';
import type { Engine } from './engine.js';
import { restAt } from './rest.js';
import { type Candidate, costCeiling, reasonsOf } from './routing.js';
import { moveAttempt, moveOrder } from './states.js';
import { type AttemptRow, type EventRow, newEvent, type OrderRow } from './store.js';
import { writeTurns } from './turns.js';
import { unitsOf } from './units.js';

export interface Planning {
  order: OrderRow;
  /** All attempts made so far. */
  attempts: readonly AttemptRow[];
}

/** What one order's step came to: rows to be written, and the attempt to be sent if there is one. */
export interface Step {
  order: OrderRow;
  new_attempts: AttemptRow[];
  open_attempt: AttemptRow | null;
  events: EventRow[];
}

interface Draft extends Step, Choosing {
  order: OrderRow;
  tried: Set<string>;
  /** Why the last source said no; an order that ends here gives it as its reason. */
  last_reason: string | null;
  /** Set after a first answer, where the order takes less: what the vault can give of what is wanted. */
  vault_units: number | null;
  settled: boolean;
}

/**
 * Plans each order's next attempt. Afterwards an order is `sourcing` with an open attempt, `delivered` from the vault,
 * or at its end because no source is left. The vault is asked for all orders together.
 */
export async function planAttempts(engine: Engine, trx: Trx, plannings: readonly Planning[]): Promise<Step[]> {
  const drafts = await draftSteps(trx, plannings);
  const around = await surroundingsOf(engine, trx, drafts, { takes_turns: true });
  // Each round settles every order that does not want the vault; a refusal by the vault costs that order one round.
  for (let round = 0; drafts.some((draft) => !draft.settled); round++) {
    must(round < 4, 'an order asks the vault at most twice a step: for all it wants, and for what is there');
    await planRound(engine, trx, drafts, around);
  }
  await writeTurns(trx, around.turns.values());
  return drafts;
}

/** Whether the order could go on from another source than those it has tried; a person is none. */
export async function hasNextSource(engine: Engine, trx: Trx, planning: Planning): Promise<boolean> {
  const [draft] = await draftSteps(trx, [planning]);
  must(draft, 'one planning makes one draft');
  return hasOtherSource(engine, trx, draft);
}

/** Whether the order could be begun now: by a supplier, by a person, or from enough codes in the vault. */
export async function couldBegin(engine: Engine, trx: Trx, order: OrderRow): Promise<boolean> {
  const [draft] = await draftSteps(trx, [{ order, attempts: [] }]);
  must(draft, 'one planning makes one draft');
  return hasSourceNow(engine, trx, draft);
}

async function draftSteps(trx: Trx, plannings: readonly Planning[]): Promise<Draft[]> {
  const wanted = [...new Set(plannings.map(({ order }) => order.sku))];
  const skus = await readSkus(trx, wanted);
  const candidates = await readCandidates(trx, wanted);
  return plannings.map(({ order, attempts }) => {
    const sku = skus.get(order.sku);
    must(sku, `order ${order.order_id} names a SKU that exists`);
    return {
      order,
      sku,
      new_attempts: [],
      open_attempt: null,
      events: [],
      tried: new Set(attempts.filter((attempt) => !mayRepeat(attempt)).map((attempt) => attempt.source)),
      candidates: candidates.get(order.sku) ?? [],
      supplier_attempts: attempts.filter(({ account }) => account !== VAULT_ACCOUNT && account !== MANUAL_ACCOUNT)
        .length,
      last_reason: attempts.at(-1)?.reason ?? null,
      vault_units: null,
      settled: false,
    };
  });
}

/** A source may be asked again only if its attempt ended because our own process did. */
function mayRepeat(attempt: AttemptRow): boolean {
  return attempt.state === 'refused' && attempt.reason === 'not_sent' && attempt.doubt === 'crashed';
}

async function planRound(engine: Engine, trx: Trx, drafts: readonly Draft[], around: Around): Promise<void> {
  const from_vault: { draft: Draft; candidate: Candidate }[] = [];
  for (const draft of drafts) {
    if (draft.settled) continue;
    const choice = await choose(engine, trx, draft, drafts, around);
    const { best } = choice;
    if (!best) exhaust(engine, draft, choice);
    else if (best.is_vault) from_vault.push({ draft, candidate: best });
    else if (best.is_manual) queueForPerson(engine, draft, best, choice);
    else planPurchase(engine, draft, best, choice, around);
  }
  if (from_vault.length > 0) await issueFromVault(engine, trx, from_vault);
}

function planPurchase(engine: Engine, draft: Draft, best: Candidate, choice: Choice, around: Around): void {
  const now = engine.now();
  const { want } = choice;
  // Where the storefront takes part of it, no more is asked of a source than it says it has.
  const units = takesPart(draft.order) && best.stock !== null ? Math.min(best.stock, want.quantity) : want.quantity;
  takeTurnOf(draft, choice, units, around);
  const attempt: AttemptRow = {
    ...newAttempt(draft, best, now, units),
    open_order_id: draft.order.order_id,
    state: 'planned',
    expected_cost_e4: best.cost_e4 === null ? null : best.cost_e4 * units,
    reference: referenceFor(engine.supplierFor(best.adapter).promises.reference_format, now),
    cost_ceiling_e4: costCeiling(best, { ...want, quantity: units }),
    currency: best.currency,
  };
  open(draft, attempt, choice, now, now + engine.options.lease_ms);
  // Reserved at once, so that the next order of this very step does not count on the same money.
  const left_e4 = around.floats.get(best.account);
  if (left_e4 !== undefined) around.floats.set(best.account, left_e4 - (attempt.cost_ceiling_e4 ?? 0));
  draft.open_attempt = attempt;
}

/** Nothing is sent: the attempt waits in the queue until a person settles it, or the order's deadline holds it. */
function queueForPerson(engine: Engine, draft: Draft, best: Candidate, choice: Choice): void {
  const now = engine.now();
  const attempt: AttemptRow = {
    ...newAttempt(draft, best, now),
    open_order_id: draft.order.order_id,
    state: moveAttempt('planned', 'manual_queued', 'accepted'),
    cost_ceiling_e4: best.cost_e4 === null ? null : costCeiling(best, choice.want),
    expected_cost_e4: best.cost_e4 === null ? null : best.cost_e4 * choice.want.quantity,
    currency: best.currency,
  };
  open(draft, attempt, choice, now, draft.order.deadline_at);
}

function open(draft: Draft, attempt: AttemptRow, { decision, want }: Choice, now: number, due_at: number): void {
  take(draft, attempt);
  draft.order = { ...draft.order, state: moveOrder(draft.order.state, 'attempt_planned', 'sourcing'), due_at };
  draft.events.push(
    newEvent(draft.order.order_id, now, attempt.state === 'accepted' ? 'manual_queued' : 'attempt_planned', {
      attempt_id: attempt.attempt_id,
      number: attempt.number,
      account: attempt.account,
      product: attempt.product,
      quantity: attempt.quantity,
      cost_ceiling_e4: attempt.cost_ceiling_e4,
      strategy: want.strategy,
      ranked: reasonsOf(decision, want),
      skipped: decision.skipped,
    }),
  );
  draft.settled = true;
}

async function issueFromVault(
  engine: Engine,
  trx: Trx,
  entries: readonly { draft: Draft; candidate: Candidate }[],
): Promise<void> {
  const now = engine.now();
  const answers = await engine.vault.issue(
    trx,
    entries.map(({ draft }) => {
      const units = unitsOf(draft.order);
      return { ...units, sku: draft.order.sku, quantity: draft.vault_units ?? units.quantity };
    }),
  );
  entries.forEach(({ draft, candidate }, at) => {
    const answer = answers[at];
    must(answer, 'the vault answers every order');
    if ('short' in answer && draft.vault_units === null && answer.short.available > 0 && takesPart(draft.order)) {
      draft.vault_units = answer.short.available;
      return;
    }
    const attempt = newAttempt(draft, candidate, now, draft.vault_units ?? undefined);
    draft.tried.add(candidate.source);
    draft.order = { ...draft.order, state: moveOrder(draft.order.state, 'attempt_planned', 'sourcing') };
    if ('short' in answer) {
      take(draft, { ...attempt, state: moveAttempt('planned', 'vault_issued', 'refused'), reason: 'out_of_stock' });
      draft.last_reason = 'out_of_stock';
      return;
    }
    must(answer.issued.length === attempt.quantity, 'the vault issues all units or none');
    const cost = costOf(answer.issued);
    take(draft, { ...attempt, state: moveAttempt('planned', 'vault_issued', 'delivered'), ...cost });
    const delivered_quantity = draft.order.delivered_quantity + attempt.quantity;
    draft.settled = delivered_quantity === draft.order.quantity;
    draft.order = draft.settled
      ? { ...restAt(draft.order, 'delivered', 'attempt_delivered', null, now), delivered_quantity }
      : { ...draft.order, state: moveOrder(draft.order.state, 'attempt_delivered', 'sourcing'), delivered_quantity };
    draft.events.push(
      newEvent(draft.order.order_id, now, 'attempt_delivered', {
        attempt_id: attempt.attempt_id,
        number: attempt.number,
        account: VAULT_ACCOUNT,
        quantity: attempt.quantity,
        ...cost,
      }),
    );
  });
}

/** The attempt's cost is the cost of exactly the codes issued; unknown if one code's is, or they differ in currency. */
function costOf(issued: readonly { cost_e4: number | null; currency: string | null }[]): {
  cost_e4: number | null;
  currency: string | null;
} {
  const currency = issued[0]?.currency ?? null;
  const known = issued.every((code) => code.cost_e4 !== null && code.currency === currency);
  return { cost_e4: known ? issued.reduce((sum, code) => sum + (code.cost_e4 ?? 0), 0) : null, currency };
}

function newAttempt(draft: Draft, candidate: Candidate, now: number, units?: number): AttemptRow {
  const attempt_id = newId('att', now);
  return {
    attempt_id,
    order_id: draft.order.order_id,
    number: draft.order.attempts_count + 1,
    open_order_id: null,
    source: candidate.source,
    account: candidate.account,
    product: candidate.product,
    quantity: units ?? draft.order.quantity - draft.order.delivered_quantity,
    state: 'planned',
    reason: null,
    doubt: null,
    message: null,
    reference: attempt_id,
    supplier_reference: null,
    cost_ceiling_e4: null,
    cost_e4: null,
    expected_cost_e4: null,
    currency: null,
    planned_at: now,
    sent_at: null,
    doubted_at: null,
    settled_at: candidate.is_vault ? now : null,
    settled_by: candidate.is_vault ? 'vault' : null,
    detached_at: null,
    next_lookup_at: null,
    lookups: 0,
  };
}

function take(draft: Draft, attempt: AttemptRow): void {
  draft.new_attempts.push(attempt);
  draft.order = { ...draft.order, attempts_count: attempt.number };
}

function exhaust(engine: Engine, draft: Draft, { decision }: Choice): void {
  const now = engine.now();
  const { order } = draft;
  const to = order.delivered_quantity > 0 ? 'partial' : 'failed';
  const reason =
    order.deliver_before !== null && order.deliver_before <= now ? 'too_late' : (draft.last_reason ?? 'no_live_source');
  draft.order = restAt(order, to, 'sources_exhausted', reason, now);
  draft.events.push(newEvent(order.order_id, now, 'sources_exhausted', { reason, skipped: decision.skipped }));
  draft.settled = true;
}
