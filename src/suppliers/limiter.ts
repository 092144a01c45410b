// Who calls a supplier next: so many at a time, the most urgent first, evenly spaced where the supplier names a limit.
// When a request may really leave is held once more at the moment of sending, see pace.ts.
import PQueue from 'p-queue';
import type { Limits } from '../../adapters/kit/contract.js';

/** Higher is served first: a storefront waits for a purchase, nobody waits for a sweep. */
export const PRIORITY = { place: 3, lookup: 2, offers: 1, balance: 1 } as const;

/** Too many wait: the work was not begun. */
export class LimiterFull extends Error {}

export interface Limiter {
  /** Does the work when its turn comes. Throws `LimiterFull` if too many wait. */
  run<T>(priority: number, work: () => Promise<T>): Promise<T>;
  /** Calls now under way or waiting. */
  readonly in_flight: number;
  /** What waits is dropped; what runs goes on. */
  close(): void;
}

export function createLimiter({ requests, per_ms, concurrency }: Limits, waiting_max: number): Limiter {
  const queue = new PQueue({
    concurrency: Math.max(1, concurrency),
    // Even spacing rather than a bucket: no window of the supplier's own clock ever holds more than it allows.
    ...(requests === null ? {} : { intervalCap: 1, interval: Math.ceil(per_ms / requests) + 1, strict: true }),
  });
  return {
    run: async (priority, work) => {
      if (queue.size >= waiting_max) throw new LimiterFull('too many calls wait for this account');
      return queue.add(work, { priority });
    },
    get in_flight() {
      return queue.size + queue.pending;
    },
    close: () => queue.clear(),
  };
}
