// Many small units of work, one commit: what arrives while a transaction runs shares the next one. The work itself
// stays a function of an open transaction and a list, so alone and together are the same code.

import { atomic, type Trx } from './atomic.js';
import type { Database } from './connect.js';

export interface TogetherOptions {
  /** Most items in one transaction. */
  items_max: number;
  /** Most items waiting; beyond it `add` rejects, so that a backlog is refused rather than hidden. */
  waiting_max: number;
  /** Transactions of this kind at a time in this process. */
  concurrency: number;
  /** What to throw when too many wait. */
  full: () => Error;
}

interface Waiting<I, O> {
  item: I;
  resolve: (result: O) => void;
  reject: (error: unknown) => void;
}

/**
 * Returns `add(item)`, which resolves to that item's result once its transaction is committed. `fn` answers one
 * result per item, in order. When a shared transaction fails, each of its items is run alone, so that one bad item
 * fails alone.
 */
export function together<I, O>(
  database: Database,
  name: string,
  fn: (trx: Trx, items: I[]) => Promise<O[]>,
  options: TogetherOptions,
): (item: I) => Promise<O> {
  const waiting: Waiting<I, O>[] = [];
  let running = 0;

  function startNext(): void {
    if (running >= options.concurrency || waiting.length === 0) return;
    running++;
    const batch = waiting.splice(0, options.items_max);
    void commitBatch(batch).finally(() => {
      running--;
      startNext();
    });
    startNext();
  }

  async function commitBatch(batch: Waiting<I, O>[]): Promise<void> {
    try {
      const results = await atomic(database, name, (trx) =>
        fn(
          trx,
          batch.map((entry) => entry.item),
        ),
      );
      batch.forEach((entry, at) => {
        entry.resolve(results[at] as O);
      });
    } catch (error) {
      if (batch.length === 1) batch[0]!.reject(error);
      else for (const entry of batch) await commitBatch([entry]);
    }
  }

  return (item) =>
    new Promise<O>((resolve, reject) => {
      if (waiting.length >= options.waiting_max) {
        reject(options.full());
        return;
      }
      waiting.push({ item, resolve, reject });
      // One turn of the loop lets what arrived together go together.
      setImmediate(startNext);
    });
}
