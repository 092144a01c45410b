// Plan → send → settle, until the order rests. Each phase is one short transaction; between them lies at most one call
// to a supplier, and a process may die between any two: what is committed tells the next one where to go on.
import PQueue from 'p-queue';
import type { Outcome, Purchase } from '../../adapters/kit/contract.js';
import { plainKind } from '../catalog/bundles.js';
import { atomic } from '../db/atomic.js';
import type { Answer } from '../suppliers/channel.js';
import { announce } from './announce.js';
import { takeBundleStep } from './bundle.js';
import { type Commits, createCommits } from './commits.js';
import type { Engine } from './engine.js';
import { noticesOf } from './notices.js';
import { planAttempts } from './plan.js';
import { requestOf } from './request.js';
import type { News, Settled } from './settling.js';
import { isFinal } from './states.js';
import {
  type AttemptRow,
  claimOrder,
  insertAttempts,
  insertEvents,
  lockOrder,
  newEvent,
  type OrderRow,
  readAttempts,
  readOrder,
  updateAttempt,
  updateOrder,
} from './store.js';

/** More steps than any order may need: attempts are limited per SKU, and each takes two. */
const STEPS_MAX = 64;

/** Who is served first when the queue is long: a storefront waits, a resumed order has waited already. */
export const PRIORITY = { storefront: 2, resumed: 1, lookup: 0 } as const;

export interface Fulfilment {
  /** Goes on with an order this process owns under its `fence`; returns at once. */
  start(order: { order_id: string; fence: number }, priority?: number): void;
  /** The same for an order just accepted; its first attempt was planned in that commit, if there is one. */
  startNew(order: OrderRow, attempt: AttemptRow | null): void;
  /** Runs other work of the engine in the same bounded queue. */
  run(work: () => Promise<void>, priority: number): boolean;
  /** The orders this process works on now. */
  owned(): { order_id: string; fence: number }[];
  /** Waiting and running pieces of work. */
  size(): number;
  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void>;
  /** Takes nothing more; what waits is dropped, its leases run out, and any process picks it up. */
  stop(): void;
}

export function createFulfilment(engine: Engine): Fulfilment {
  const queue = new PQueue({ concurrency: engine.options.fulfil_concurrency });
  const commits = createCommits(engine);
  const owned = new Map<string, number>();
  let is_stopped = false;

  /** False if there is no room. Nothing is lost by it: what is due in the database is picked up when there is. */
  function run(work: () => Promise<void>, priority: number): boolean {
    if (is_stopped || queue.size >= engine.options.fulfil_waiting_max) return false;
    queue.add(work, { priority }).catch((error: unknown) => {
      engine.observe({ event: 'failure', where: 'fulfil', error });
    });
    return true;
  }

  function start({ order_id, fence }: { order_id: string; fence: number }, priority: number, first?: NextStep): void {
    const work = async (): Promise<void> => {
      try {
        const { begun, bundle } = await fulfil(
          engine,
          { order_id, fence },
          { commits, isStopping: () => is_stopped, ...(first ? { first } : {}) },
        );
        for (const part of begun) start(part, priority);
        if (bundle !== null) await goOnWithBundle(bundle, priority);
      } finally {
        if (owned.get(order_id) === fence) owned.delete(order_id);
      }
    };
    // Owned while it waits as well: its lease must not run out only because the queue is long.
    if (run(work, priority)) owned.set(order_id, fence);
  }

  /** Where a part's end has made its bundle due, the bundle's step follows at once. */
  async function goOnWithBundle(order_id: string, priority: number): Promise<void> {
    engine.reach('part_settled');
    const bundle = await readOrder(engine.database.read, order_id);
    if (!bundle || !isDue(bundle, engine.now())) return;
    const taken = await takeOver(engine, bundle);
    if (taken) start(taken, priority);
  }

  return {
    start: (order, priority = PRIORITY.resumed) => start(order, priority),
    startNew: (order, attempt) => {
      const planned = attempt && { before: order, after: order, attempt, begun: [], is_new: false };
      start(order, PRIORITY.storefront, planned ?? undefined);
    },
    run,
    owned: () => [...owned].map(([order_id, fence]) => ({ order_id, fence })),
    size: () => queue.size + queue.pending,
    idle: () => queue.onIdle(),
    stop: () => {
      is_stopped = true;
      queue.clear();
    },
  };
}

/**
 * Works on one order as long as its fence owns it and there is a step to take. `first` is a step whose attempt is
 * committed already; if it was taken over meanwhile, marking it as sent fails, and nothing is sent.
 */
export async function fulfil(
  engine: Engine,
  { order_id, fence }: { order_id: string; fence: number },
  { first, ...process }: OwnProcess & { first?: NextStep },
): Promise<Followed> {
  let next = first ?? null;
  let bundle: string | null = null;
  for (let step = 0; step < STEPS_MAX; step++) {
    next ??= await atomic(engine.database, 'plan', (trx) => takeStep(engine, trx, order_id, fence));
    if (!next) break;
    announce(engine, next);
    bundle = next.after.parent_order_id;
    if (next.after.kind === 'bundle') {
      engine.reach('bundle_moved');
      return { begun: next.begun, bundle: null };
    }
    if (!next.attempt) break;
    if (next.is_new) engine.reach('attempt_planned');
    const goes_on = await sendAttempt(engine, next.after, next.attempt, fence, process);
    if (!goes_on) break;
    next = null;
  }
  return { begun: [], bundle };
}

/** What an order's work is done with. */
interface OwnProcess {
  commits: Commits;
  isStopping: () => boolean;
}

/** What follows from the work on one order. */
interface Followed {
  /** Parts of a bundle that its step has begun, owned by this process. */
  begun: { order_id: string; fence: number }[];
  /** The bundle of which the order is a part. */
  bundle: string | null;
}

/** Somebody must take the order's next step, and nobody does. */
export function isDue({ due_at }: OrderRow, now: number): boolean {
  return due_at !== null && due_at <= now;
}

/** Makes a due order this process's own; null if somebody else was first. */
export async function takeOver(engine: Engine, order: OrderRow): Promise<{ order_id: string; fence: number } | null> {
  const due_at = engine.now() + engine.options.lease_ms;
  return atomic(engine.database, 'take over', async (trx) => {
    if (!(await claimOrder(trx, order, due_at))) return null;
    return { order_id: order.order_id, fence: order.fence + 1 };
  });
}

interface NextStep {
  before: OrderRow;
  after: OrderRow;
  /** The attempt to send now; null if the order has come to its end. */
  attempt: AttemptRow | null;
  /** Of a bundle: the parts that were begun. */
  begun: OrderRow[];
  is_new: boolean;
}

/** Plans the next attempt unless one is planned already; null if there is nothing to do or the order is not ours. */
async function takeStep(
  engine: Engine,
  trx: Parameters<typeof lockOrder>[0],
  order_id: string,
  fence: number,
): Promise<NextStep | null> {
  const order = await lockOrder(trx, order_id);
  if (!order || order.fence !== fence || isFinal(order.state)) return null;
  if (order.kind === 'bundle') {
    return { before: order, ...(await takeBundleStep(engine, trx, order)), attempt: null, is_new: true };
  }
  if (order.state === 'held') return null;
  const attempts = await readAttempts(trx, order_id);
  const open = attempts.find((attempt) => attempt.open_order_id !== null);
  if (open) {
    return open.state === 'planned' ? { before: order, after: order, attempt: open, begun: [], is_new: false } : null;
  }

  // It stays due: whoever takes it up after its lease looks again.
  if (await engine.vaultFault(trx, plainKind(order.kind))) return null;
  const now = engine.now();
  const [step] = await planAttempts(engine, trx, [{ order, attempts }]);
  const { order_id: _id, ...changes } = step!.order;
  const after = await updateOrder(trx, order, changes, now);
  await insertAttempts(trx, step!.new_attempts);
  const moved =
    after.state === order.state ? [] : [newEvent(order_id, now, `order_${after.state}`, { reason: after.reason })];
  await insertEvents(trx, [...step!.events, ...moved]);
  if (isFinal(after.state)) await noticesOf(trx, [after], now);
  return { before: order, after, attempt: step!.open_attempt, begun: [], is_new: true };
}

/** Sends a planned attempt and settles its answer. True if the order needs another step by this owner. */
async function sendAttempt(
  engine: Engine,
  order: OrderRow,
  attempt: AttemptRow,
  fence: number,
  process: OwnProcess,
): Promise<boolean> {
  const channel = await engine.channels.channel(attempt.account);
  const answer: Answer<Outcome> = await channel.place(purchaseOf(order, attempt), {
    about: { order_id: order.order_id, attempt_id: attempt.attempt_id },
    prepared: async (supplier_reference) => {
      const is_ours = await atomic(engine.database, 'prepared', async (trx) => {
        const locked = await lockOrder(trx, order.order_id);
        if (locked?.fence !== fence) return false;
        await updateAttempt(trx, attempt, { supplier_reference });
        return true;
      });
      engine.reach('attempt_prepared');
      return is_ours;
    },
    beforeSend: async () => {
      const is_ours = await process.commits.markSent({ order, attempt_id: attempt.attempt_id, fence });
      engine.reach('attempt_sent');
      return is_ours;
    },
  });
  if (answer.abandoned) return false;
  engine.reach('supplier_answered');
  const news: News = { via: 'answer', found: answer.found, transcript: answer.transcript, fence };
  const settled = await settlePatiently(engine, attempt.attempt_id, news, process);
  engine.reach('outcome_settled');
  return settled?.goes_on ?? false;
}

/**
 * Settles an answer, and tries again while the database or the vault refuse: it may hold codes that exist nowhere else.
 * Gives up when the process stops or after the last pause; the attempt then stays `sent`, and is looked up.
 */
async function settlePatiently(
  engine: Engine,
  attempt_id: string,
  news: News,
  { commits, isStopping }: OwnProcess,
): Promise<Settled | null> {
  for (let pause_ms = SETTLE_PAUSE_MS; ; pause_ms *= 2) {
    try {
      return await commits.settle({ attempt_id, news });
    } catch (error) {
      engine.observe({ event: 'failure', where: 'settle', error });
      if (isStopping() || pause_ms > SETTLE_PAUSE_MS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
}
/** Doubling from a quarter of a second to over two minutes: about four minutes of patience. */
const SETTLE_PAUSE_MS = 250;
const SETTLE_PAUSE_MS_MAX = 130_000;

/** The purchase an attempt stands for, as the adapter is told. */
export function purchaseOf(order: OrderRow, attempt: AttemptRow): Purchase {
  return {
    reference: attempt.reference,
    product: attempt.product,
    kind: plainKind(order.kind),
    quantity: attempt.quantity,
    recipient: requestOf(order).recipient ?? {},
    cost_ceiling:
      attempt.cost_ceiling_e4 !== null && attempt.currency
        ? { amount_e4: attempt.cost_ceiling_e4, currency: attempt.currency }
        : null,
    ...(attempt.supplier_reference === null ? {} : { supplier_reference: attempt.supplier_reference }),
  };
}
