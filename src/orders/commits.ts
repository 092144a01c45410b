// The two commits around every call to a supplier, shared among the orders that are at them at the same moment where
// the database has one writer: each commit there is a write to the disk that all others wait for.
import { plainKind } from '../catalog/bundles.js';
import type { Trx } from '../db/atomic.js';
import { together } from '../db/together.js';
import { GatewayError } from '../errors.js';
import type { Engine } from './engine.js';
import { settle, tell } from './settle.js';
import type { News, Settled } from './settling.js';
import { markSent, type OrderRow } from './store.js';

export interface Sending {
  order: OrderRow;
  attempt_id: string;
  fence: number;
}

export interface Commits {
  /** Commits that bytes of the attempt may leave from now on; false if it is no longer ours, or the vault is sealed. */
  markSent(sending: Sending): Promise<boolean>;
  /** Settles the answer to a call, and tells of it after the commit. Null if there is no such attempt. */
  settle(answer: { attempt_id: string; news: News }): Promise<Settled | null>;
}

/** Few, so that no other transaction waits long, and the process stays awake. */
const SHARED_MAX = 8;

export function createCommits(engine: Engine): Commits {
  const { database, options } = engine;
  const has_one_writer = database.dialect === 'sqlite';
  const rules = {
    items_max: has_one_writer ? SHARED_MAX : 1,
    concurrency: has_one_writer ? 1 : options.fulfil_concurrency,
    waiting_max: options.fulfil_waiting_max,
    full: () => new GatewayError('unavailable', 'too many orders are at this step', { fix: 'It goes on by itself.' }),
  };
  const settleShared = together(
    database,
    'settle answers',
    async (trx, answers: { attempt_id: string; news: News }[]) => {
      const settled: (Settled | null)[] = [];
      for (const { attempt_id, news } of answers) settled.push(await settle(engine, trx, attempt_id, news));
      return settled;
    },
    rules,
  );
  return {
    markSent: together(database, 'mark sent', (trx, sendings: Sending[]) => markAll(engine, trx, sendings), rules),
    settle: async (answer) => {
      const settled = await settleShared(answer);
      if (settled) tell(engine, settled, answer.news);
      return settled;
    },
  };
}

async function markAll(engine: Engine, trx: Trx, sendings: readonly Sending[]): Promise<boolean[]> {
  const sealed = new Map<string, boolean>();
  for (const kind of new Set(sendings.map(({ order }) => plainKind(order.kind)))) {
    // Sealed since it was planned: it stays `planned`, and is abandoned and planned anew when its lease is over.
    sealed.set(kind, (await engine.vaultFault(trx, kind)) !== null);
  }
  const now = engine.now();
  const marked: boolean[] = [];
  for (const { order, attempt_id, fence } of sendings) {
    const owner = { order_id: order.order_id, fence, due_at: now + engine.options.lease_ms };
    marked.push(!sealed.get(order.kind) && (await markSent(trx, attempt_id, owner, now)));
  }
  return marked;
}
