// What nobody is working on: orders whose owner died or whose deadline has come, and attempts whose answer is still
// missing. Run by every process; rows are taken by compare-and-set, so that two never do the same.
import { plainKind } from '../catalog/bundles.js';
import { atomic } from '../db/atomic.js';
import type { Channel } from '../suppliers/channel.js';
import { type Engine, nextLookupAt } from './engine.js';
import { type Fulfilment, isDue, PRIORITY, purchaseOf, takeOver } from './fulfil.js';
import { noticesOf } from './notices.js';
import { readParts } from './parts.js';
import { canBeAsked, mayResend, settleNow } from './settle.js';
import type { News, Settled } from './settling.js';
import { mayHaveBought, moveOrder } from './states.js';
import {
  type AttemptRow,
  claimLookup,
  insertEvents,
  lockOrder,
  newEvent,
  type OrderRow,
  readAttempt,
  readAttempts,
  readDueLookups,
  readDueOrders,
  readOrder,
  renewLeases,
  updateOrder,
} from './store.js';

/** Tells the database which orders this process still works on. Returns how many. */
export async function renewOwned(engine: Engine, fulfilment: Fulfilment): Promise<number> {
  const owned = fulfilment.owned();
  if (owned.length === 0) return 0;
  const due_at = engine.now() + engine.options.lease_ms;
  await atomic(engine.database, 'renew leases', (trx) => renewLeases(trx, owned, due_at));
  return owned.length;
}

/** Takes over the orders that are due. Returns how many it took. */
export async function resumeDue(engine: Engine, fulfilment: Fulfilment): Promise<number> {
  const due = await readDueOrders(engine.database.read, engine.now(), engine.options.pass_max);
  let taken = 0;
  for (const order of due) {
    if (await resumeOrder(engine, fulfilment, order)) taken++;
  }
  return taken;
}

async function resumeOrder(engine: Engine, fulfilment: Fulfilment, order: OrderRow): Promise<boolean> {
  const owned = await takeOver(engine, order);
  if (!owned) return false;
  engine.reach('order_resumed');
  const open = (await readAttempts(engine.database.read, order.order_id)).find((a) => a.open_order_id !== null);
  if (open && (await settleLeftOver(engine, owned, open)) === 'waits') {
    if (order.parent_order_id !== null) await goOnWith(engine, fulfilment, order.parent_order_id);
    return true;
  }
  fulfilment.start(owned, PRIORITY.resumed);
  return true;
}

/**
 * An attempt found open on an order nobody owned. `planned`: no byte left, it is abandoned. `sent`: the process that
 * sent it is gone, so the answer is missing. Past the deadline: a person decides. `waits` if lookups go on meanwhile.
 */
async function settleLeftOver(
  engine: Engine,
  owned: { order_id: string; fence: number },
  open: AttemptRow,
): Promise<'goes_on' | 'waits'> {
  if (open.state === 'planned' || open.state === 'sent') {
    const settled = await settleNow(engine, open.attempt_id, {
      via: 'restart',
      found:
        open.state === 'planned'
          ? { outcome: 'refused', reason: 'not_sent', message: 'found planned: its process ended before sending' }
          : { outcome: 'unknown', doubt: 'crashed' },
      fence: owned.fence,
    });
    return settled?.goes_on ? 'goes_on' : 'waits';
  }
  const held = await atomic(engine.database, 'hold overdue', async (trx) => {
    const order = await lockOrder(trx, owned.order_id);
    if (order?.state !== 'sourcing' || order.fence !== owned.fence) return null;
    const now = engine.now();
    if (now < order.deadline_at) {
      // It was only a lease that ran out; the deadline is still to come.
      await updateOrder(trx, order, { due_at: order.deadline_at }, now);
      return null;
    }
    const state = moveOrder(order.state, 'attempt_overdue', 'held');
    const held = await updateOrder(trx, order, { state, held_reason: `attempt_${open.state}`, due_at: null }, now);
    await insertEvents(trx, [
      newEvent(order.order_id, now, 'order_held', { held_reason: held.held_reason, attempt_id: open.attempt_id }),
    ]);
    await noticesOf(trx, [held], now);
    return held;
  });
  if (held) engine.bell.ring(held.order_id);
  return 'waits';
}

/** Looks up the attempts that are due. Returns how many it took. */
export async function lookUpDue(engine: Engine, fulfilment: Fulfilment): Promise<number> {
  // While the vault is sealed no answer could be kept; what is due stays due.
  if (await engine.vaultFault(engine.database.read, 'recharge')) return 0;
  const due = await readDueLookups(engine.database.read, engine.now(), engine.options.pass_max);
  let taken = 0;
  for (const attempt of due) {
    const next = nextLookupAt(engine.options, attempt.lookups + 1, engine.now());
    const claimed = await atomic(engine.database, 'claim lookup', (trx) => claimLookup(trx, attempt, next));
    if (!claimed) continue;
    engine.reach('lookup_claimed');
    taken++;
    fulfilment.run(() => lookUp(engine, fulfilment, attempt.attempt_id), PRIORITY.lookup);
  }
  return taken;
}

/** Asks the supplier once what became of the attempt, settles the answer, and goes on with its order if need be. */
export async function lookUp(engine: Engine, fulfilment: Fulfilment, attempt_id: string): Promise<void> {
  const attempt = await readAttempt(engine.database.read, attempt_id);
  if (!attempt || !mayHaveBought(attempt.state) || attempt.state === 'sent') return;
  const order = await readOrder(engine.database.read, attempt.order_id);
  // An answer that cannot be kept is not asked for: some suppliers show a code once.
  if (!order || (await engine.vaultFault(engine.database.read, plainKind(order.kind)))) return;
  const channel = await engine.channels.channel(attempt.account);
  if (!canBeAsked(attempt, channel.supplier, engine.now())) return;
  const allowed_at = (attempt.sent_at ?? 0) + (channel.supplier.limits.first_lookup_after_ms ?? 0);
  if (engine.now() < allowed_at) return;
  const may_resend =
    order.state === 'sourcing' &&
    hasEnded(engine, channel, attempt) &&
    mayResend(attempt, channel.supplier, engine.now());
  const purchase = { ...purchaseOf(order, attempt), ...(may_resend ? { resend: true } : {}) };
  const answer = await channel.lookup(purchase, { may_resend, about: { order_id: order.order_id, attempt_id } });
  engine.reach('lookup_answered');
  const news: News = { via: 'lookup', found: answer.found, transcript: answer.transcript };
  const settled = await settleNow(engine, attempt_id, news);
  engine.reach('lookup_settled');
  await goOnAfter(engine, fulfilment, settled);
}

/** The first request is surely over: two of one reference at the same moment may both buy. */
function hasEnded(engine: Engine, channel: Channel, attempt: AttemptRow): boolean {
  return (
    attempt.sent_at !== null && engine.now() - attempt.sent_at > channel.account.limits.deadline_ms + RESEND_MARGIN_MS
  );
}
/** Beyond our deadline their side may still be at work on a request we gave up. */
const RESEND_MARGIN_MS = 30_000;

/** Goes on with what news from elsewhere has set going again: the order, or the bundle it is a part of. */
export async function goOnAfter(engine: Engine, fulfilment: Fulfilment, settled: Settled | null): Promise<void> {
  if (!settled) return;
  const { order, goes_on } = settled;
  if (goes_on || order.parent_order_id !== null) await goOnWith(engine, fulfilment, order.order_id);
}

/** Takes over the order if it is due, and the bundle it is a part of if that is. */
export async function goOnWith(engine: Engine, fulfilment: Fulfilment, order_id: string): Promise<void> {
  const order = await readOrder(engine.database.read, order_id);
  if (!order) return;
  if (isDue(order, engine.now())) await resumeOrder(engine, fulfilment, order);
  if (order.parent_order_id !== null) await goOnWith(engine, fulfilment, order.parent_order_id);
}

/** A reader asks: an answer that is missing is looked for now, unless that was done a moment ago. */
export async function lookUpForReader(engine: Engine, fulfilment: Fulfilment, order: OrderRow): Promise<void> {
  if (order.state !== 'sourcing' && order.state !== 'held') return;
  if (order.kind === 'bundle') {
    const parts = (await readParts(engine.database.read, [order.order_id])).get(order.order_id) ?? [];
    for (const part of parts) await lookUpForReader(engine, fulfilment, part);
    return;
  }
  const now = engine.now();
  const open = (await readAttempts(engine.database.read, order.order_id)).find((a) => a.open_order_id !== null);
  if (!open || open.next_lookup_at === null || (open.state !== 'accepted' && open.state !== 'unknown')) return;
  const pause_ms = nextLookupAt(engine.options, open.lookups, 0);
  const last_at = open.next_lookup_at - pause_ms;
  if (now - last_at < engine.options.lookup_on_read_ms) return;
  // Asking by sending again follows the ladder alone: some suppliers want a minute between two of one reference.
  const { supplier } = await engine.channels.channel(open.account);
  if (supplier.promises.lookup_by === 'resend' && open.supplier_reference === null) return;
  const next = nextLookupAt(engine.options, open.lookups, now);
  const claimed = await atomic(engine.database, 'claim lookup', (trx) =>
    claimLookup(trx, { ...open, lookups: open.lookups - 1 }, next),
  );
  if (claimed) fulfilment.run(() => lookUp(engine, fulfilment, open.attempt_id), PRIORITY.lookup);
}
