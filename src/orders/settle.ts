// The one door through which an attempt's fate is decided, whoever brings the news: the supplier's answer, a callback,
// a lookup, an operator. Attempt, order, codes and notice change in one transaction or not at all.
import type { Found, Outcome, Supplier } from '../../adapters/kit/contract.js';
import { disableSource, markSoldOut, markStale } from '../catalog/offers.js';
import { atomic, type Trx } from '../db/atomic.js';
import { pauseAccount } from '../suppliers/accounts.js';
import { announce } from './announce.js';
import { deliver } from './deliver.js';
import { detachIfAllowed } from './detach.js';
import { type Engine, nextLookupAt } from './engine.js';
import { REFUSALS } from './failover.js';
import { goOn, hold } from './flow.js';
import { signOf } from './health.js';
import { noticesOf } from './notices.js';
import { restAt } from './rest.js';
import type { News, Settled, Settling } from './settling.js';
import { type AttemptEvent, type AttemptState, isFinal, moveAttempt, type OrderState } from './states.js';
import { type AttemptRow, insertEvents, lockAttempt, newEvent, updateAttempt, updateOrder } from './store.js';
import { writeTranscript } from './transcripts.js';

/** Settles in a transaction of its own and tells of it after the commit. */
export async function settleNow(engine: Engine, attempt_id: string, news: News): Promise<Settled | null> {
  const settled = await atomic(engine.database, `settle ${news.via}`, (trx) => settle(engine, trx, attempt_id, news));
  if (settled) tell(engine, settled, news);
  return settled;
}

/** Tells the metrics and whoever waits what a settling has committed. */
export function tell(engine: Engine, settled: Settled, news: News): void {
  const { before, order, attempt } = settled;
  const sign = signOf(before.attempt, attempt, news);
  if (sign && attempt.sent_at !== null) {
    engine.health.note(attempt.account, order.kind, { sign, sent_at: attempt.sent_at, at: engine.now() });
  }
  announce(engine, { before: before.order, after: order });
  const { found } = news;
  if (found.outcome === 'unknown' && found.unmapped !== undefined) {
    engine.observe({
      event: 'unmapped_reply',
      account: attempt.account,
      word: found.unmapped,
      order_id: order.order_id,
    });
  }
  if (before.attempt.state === attempt.state) return;
  const is_detached = attempt.detached_at !== null && before.attempt.detached_at === null;
  if (settled.goes_on && (is_detached || attempt.state === 'refused')) {
    const reason = is_detached ? 'detached' : (attempt.reason ?? 'declined');
    engine.observe({ event: 'failover', account: attempt.account, reason });
  }
  engine.observe({
    event: 'attempt_settled',
    account: attempt.account,
    kind: order.kind,
    state: attempt.state,
    reason: attempt.reason,
    doubt: attempt.doubt,
    settled_by: news.via,
    was_unknown: before.attempt.state === 'unknown',
    duration_ms: engine.now() - (attempt.sent_at ?? attempt.planned_at),
    order_id: order.order_id,
    cost_e4: attempt.cost_e4,
    expected_cost_e4: attempt.expected_cost_e4,
    currency: attempt.currency,
  });
}

/**
 * Applies one piece of news to an attempt and its order. News that changes nothing, or comes after the end, is written
 * down and changes nothing else. Returns null if there is no such attempt.
 */
export async function settle(engine: Engine, trx: Trx, attempt_id: string, news: News): Promise<Settled | null> {
  const locked = await lockAttempt(trx, attempt_id);
  if (!locked) return null;
  const { adapter, deadline_ms } = await accountOf(trx, locked.attempt.account);
  const settling: Settling = {
    engine,
    trx,
    now: engine.now(),
    deadline_ms: deadline_ms ?? engine.supplierFor(adapter).limits.deadline_ms,
    supplier: engine.supplierFor(adapter),
    news,
    before: locked,
    ...locked,
  };
  await writeTranscript(settling);
  const move = moveFor(settling);
  if (move) await applyMove(settling, move);
  else await noteOldNews(settling);
  await writeBack(settling);
  const { order, attempt } = settling;
  return {
    before: locked,
    order,
    attempt,
    goes_on: order.state === 'sourcing' && attempt.open_order_id === null && move !== null,
  };
}

async function accountOf(trx: Trx, account: string): Promise<{ adapter: string; deadline_ms: number | undefined }> {
  const row = (await trx('accounts').where({ account }).first('adapter', 'limits')) as {
    adapter: string;
    limits: string;
  };
  return { adapter: row.adapter, deadline_ms: (JSON.parse(row.limits) as { deadline_ms?: number }).deadline_ms };
}

interface Move {
  event: AttemptEvent;
  to: AttemptState;
}

/** Outcome → the event and the state it leads to, for an answer and for news that was found later. */
const BY_ANSWER: Readonly<Record<Outcome['outcome'], Move>> = {
  delivered: { event: 'answered_delivered', to: 'delivered' },
  accepted: { event: 'answered_accepted', to: 'accepted' },
  refused: { event: 'answered_refused', to: 'refused' },
  unknown: { event: 'answer_missing', to: 'unknown' },
};
const BY_FINDING: Readonly<Record<Outcome['outcome'], Move | null>> = {
  delivered: { event: 'found_delivered', to: 'delivered' },
  accepted: { event: 'found_accepted', to: 'accepted' },
  refused: { event: 'found_refused', to: 'refused' },
  unknown: null,
};

/** The move this news makes, or null if it makes none. */
function moveFor(settling: Settling): Move | null {
  const { attempt, news } = settling;
  const { state } = attempt;
  const { found, via } = news;
  if (state === 'delivered' || state === 'refused') return null;
  if (via === 'operator') return operatorMove(found);
  if (found.outcome === 'absent') return provesAbsence(settling) ? { event: 'found_absent', to: 'refused' } : null;
  if (state === 'planned') {
    const is_abandoned = found.outcome === 'refused' && found.reason === 'not_sent';
    return is_abandoned ? { event: 'send_abandoned', to: 'refused' } : null;
  }
  // Their "duplicate" means that something under our reference is there already: that is doubt, and no refusal.
  const is_duplicate = found.outcome === 'refused' && found.reason === 'duplicate';
  if (state === 'sent' && (via === 'answer' || via === 'restart')) {
    return is_duplicate ? BY_ANSWER.unknown : BY_ANSWER[found.outcome];
  }
  // A lookup's "not sent" speaks of the lookup.
  if (is_duplicate || (found.outcome === 'refused' && found.reason === 'not_sent')) return null;
  const move = BY_FINDING[found.outcome];
  return move && state === move.to ? null : move;
}

function operatorMove(found: Found): Move | null {
  if (found.outcome === 'delivered') return { event: 'operator_decided', to: 'delivered' };
  return found.outcome === 'refused' ? { event: 'operator_decided', to: 'refused' } : null;
}

/**
 * "No such order" is proof only where the supplier's protocol makes it so, and only after its delay, counted from when
 * the last byte may have left: a sender that stood still after the mark may send until its deadline, and not after.
 */
function provesAbsence({ attempt, supplier, now, deadline_ms }: Settling): boolean {
  const { absence } = supplier.promises;
  if (attempt.state !== 'unknown' || absence === 'proves_nothing' || attempt.sent_at === null) return false;
  return now - attempt.sent_at >= deadline_ms + absence.proves_not_bought_after_ms;
}

async function applyMove(settling: Settling, { event, to }: Move): Promise<void> {
  const { attempt, news, now } = settling;
  const state = moveAttempt(attempt.state, event, to);
  settling.attempt = { ...attempt, state, ...learned(settling) };
  if (state === 'delivered' || state === 'refused') {
    settling.attempt = {
      ...settling.attempt,
      open_order_id: null,
      settled_at: now,
      settled_by: news.decision ? `operator:${news.decision.by}`.slice(0, 64) : news.via,
      next_lookup_at: null,
    };
  }
  if (state === 'delivered') await deliver(settling);
  else if (state === 'refused') await refuse(settling);
  else await keepWaiting(settling);
}

/** What the news tells of the attempt whatever it decides: their reference, the cost, the doubt. */
function learned({ attempt, news }: Settling): Partial<AttemptRow> {
  const { found } = news;
  if (found.outcome === 'absent') return { message: clip(found.message) ?? attempt.message };
  return {
    supplier_reference: found.supplier_reference?.slice(0, 128) ?? attempt.supplier_reference,
    cost_e4: found.cost?.amount_e4 ?? attempt.cost_e4,
    currency: found.cost?.currency ?? attempt.currency,
    message: clip(found.message) ?? attempt.message,
    doubt:
      found.outcome === 'unknown'
        ? found.doubt
        : found.outcome === 'refused' && found.reason === 'duplicate'
          ? 'duplicate'
          : attempt.doubt,
  };
}

function clip(message: string | undefined): string | null {
  return message === undefined ? null : message.slice(0, 500);
}

async function refuse(settling: Settling): Promise<void> {
  const { attempt, order, news, now, trx } = settling;
  const reason = news.found.outcome === 'refused' ? news.found.reason : 'not_sent';
  // Found planned at start-up: the same source may be tried again, see plan.ts.
  const doubt = news.via === 'restart' ? 'crashed' : attempt.doubt;
  settling.attempt = { ...attempt, reason, doubt, cost_e4: null };
  const permission = REFUSALS[reason];
  if (permission.also === 'stock_is_zero') await markSoldOut(trx, attempt.source, now);
  if (permission.also === 'refresh_offer') await markStale(trx, attempt.source);
  if (permission.also === 'disable_source') await disableSource(trx, attempt.source, reason, now);
  if (permission.also === 'pause_account') await pauseAccount(trx, attempt.account, reason, now);
  await insertEvents(trx, [
    newEvent(order.order_id, now, 'attempt_refused', {
      attempt_id: attempt.attempt_id,
      number: attempt.number,
      account: attempt.account,
      reason,
      via: news.via,
      message: settling.attempt.message,
      ...(news.decision ? { decision: news.decision } : {}),
    }),
  ]);
  // A detached attempt no longer concerns its order.
  if (attempt.detached_at !== null || isFinal(order.state)) return;
  if (permission.next === 'try_next' || news.via === 'operator') {
    goOn(settling, 'attempt_refused');
  } else if (permission.next === 'hold') {
    hold(settling, 'attempt_refused', reason);
  } else {
    const to: OrderState = order.delivered_quantity > 0 ? 'partial' : 'failed';
    settling.order = restAt(order, to, 'attempt_refused', reason, now);
  }
}

/** Accepted or unknown: nothing is decided. The lookups go on; where nobody can be asked, a person must look. */
async function keepWaiting(settling: Settling): Promise<void> {
  const { attempt, order, news, now, trx, supplier } = settling;
  const is_unknown = attempt.state === 'unknown';
  settling.attempt = {
    ...attempt,
    doubted_at: is_unknown ? (attempt.doubted_at ?? now) : attempt.doubted_at,
    next_lookup_at: canBeAsked(attempt, supplier, now) ? firstLookupAt(settling) : null,
  };
  await insertEvents(trx, [
    newEvent(order.order_id, now, is_unknown ? 'attempt_unknown' : 'attempt_accepted', {
      attempt_id: attempt.attempt_id,
      number: attempt.number,
      account: attempt.account,
      via: news.via,
      doubt: is_unknown ? settling.attempt.doubt : null,
      next_lookup_at: settling.attempt.next_lookup_at,
    }),
  ]);
  if (attempt.detached_at !== null || isFinal(order.state) || order.state === 'held') return;
  settling.order = { ...order, due_at: order.deadline_at };
  if (is_unknown && (await detachIfAllowed(settling))) return;
  const can_learn = settling.attempt.next_lookup_at !== null || supplier.promises.callback_trust === 'authenticated';
  if (!can_learn) hold(settling, 'attempt_overdue', 'supplier_cannot_be_asked');
}

/** By the ladder, but at once after a crash: the answer may have been there for long. Never before they allow it. */
function firstLookupAt({ attempt, news, now, engine, supplier }: Settling): number {
  const at = news.via === 'restart' ? now : nextLookupAt(engine.options, attempt.lookups, now);
  return Math.max(at, (attempt.sent_at ?? now) + (supplier.limits.first_lookup_after_ms ?? 0));
}

/** Whether a lookup of this attempt can tell anything at all. */
export function canBeAsked(attempt: AttemptRow, supplier: Supplier, now: number): boolean {
  if (!supplier.lookup) return false;
  const by = supplier.promises.lookup_by;
  if (by === 'supplier_reference') return attempt.supplier_reference !== null;
  if (by === 'resend') return attempt.supplier_reference !== null || mayResend(attempt, supplier, now);
  return by === 'reference';
}

/**
 * Sending the same purchase again buys nothing new only if they promise the original, for as long as they promise it,
 * and only while the order still wants it.
 */
export function mayResend(attempt: AttemptRow, supplier: Supplier, now: number): boolean {
  const { repeat_reference, lookup_by } = supplier.promises;
  if (lookup_by !== 'resend' || attempt.detached_at !== null || attempt.sent_at === null) return false;
  if (typeof repeat_reference === 'string') return repeat_reference === 'returns_original';
  // After their window a repeat buys again; a tenth of it is kept clear of both clocks.
  return now - attempt.sent_at < repeat_reference.returns_original_within_ms * 0.9;
}

/** News that makes no move: kept if it teaches something, and told if it contradicts what was settled. */
async function noteOldNews(settling: Settling): Promise<void> {
  const { attempt, order, news, now, trx, engine } = settling;
  const { found } = news;
  const is_over = attempt.state === 'delivered' || attempt.state === 'refused';
  if (!is_over) {
    if (found.outcome !== 'absent') settling.attempt = { ...attempt, ...learned(settling), doubt: attempt.doubt };
    return;
  }
  const contradicts =
    (attempt.state === 'refused' && found.outcome === 'delivered') ||
    (attempt.state === 'delivered' &&
      found.outcome === 'refused' &&
      found.reason !== 'not_sent' &&
      found.reason !== 'duplicate');
  if (!contradicts || news.via === 'operator') return;
  engine.observe({
    event: 'contradiction',
    account: attempt.account,
    attempt_id: attempt.attempt_id,
    was: attempt.state,
    now: found.outcome,
  });
  await insertEvents(trx, [
    newEvent(order.order_id, now, attempt.state === 'delivered' ? 'attempt_reversed' : 'late_success', {
      attempt_id: attempt.attempt_id,
      account: attempt.account,
      via: news.via,
      cost_e4: found.cost?.amount_e4 ?? null,
    }),
  ]);
  if (found.outcome === 'delivered' && found.codes) await deliver(settling);
}

async function writeBack(settling: Settling): Promise<void> {
  const { trx, now, before, engine } = settling;
  const attempt_changes = changed(before.attempt, settling.attempt);
  if (Object.keys(attempt_changes).length > 0) await updateAttempt(trx, before.attempt, attempt_changes);
  const order_changes = changed(before.order, settling.order);
  if (Object.keys(order_changes).length > 0) {
    settling.order = await updateOrder(trx, before.order, order_changes, now);
    if (before.order.state !== settling.order.state) {
      await insertEvents(trx, [
        newEvent(settling.order.order_id, now, `order_${settling.order.state}`, {
          reason: settling.order.reason,
          held_reason: settling.order.held_reason,
          delivered_quantity: settling.order.delivered_quantity,
        }),
      ]);
      await noticesOf(trx, [settling.order], now);
    }
  }
  engine.reach('settle_written');
}

function changed<R extends object>(before: R, after: R): Partial<R> {
  return Object.fromEntries(
    Object.entries(after).filter(([key, value]) => before[key as keyof R] !== value),
  ) as Partial<R>;
}
