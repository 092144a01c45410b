// The supplier's own limit, held at the moment of sending: however late our timers fire after a stall, no window of
// `per_ms` ever holds more than `requests`. The limiter before it decides who goes first; this decides when.
import type { Limits } from '../../adapters/kit/contract.js';

export interface Pace {
  /** Resolves to true when one more request may leave now, or to false if that would take longer than `wait_ms`. */
  turn(wait_ms: number): Promise<boolean>;
}

/** Two requests can come closer together on the way; the window is kept a little wider than theirs. */
const MARGIN_MS = 25;

/** Null where the supplier names no limit. `monotonic` in milliseconds. */
export function createPace({ requests, per_ms }: Limits, monotonic: () => number): Pace | null {
  if (requests === null) return null;
  const sent: number[] = [];
  let last: Promise<unknown> = Promise.resolve();

  async function next(ends_at: number): Promise<boolean> {
    for (;;) {
      const now = monotonic();
      const oldest = sent.length < requests! ? undefined : sent[0];
      const free_at = oldest === undefined ? now : oldest + per_ms + MARGIN_MS;
      if (free_at <= now) {
        if (sent.length >= requests!) sent.shift();
        sent.push(now);
        return true;
      }
      if (free_at > ends_at) return false;
      await new Promise((resolve) => setTimeout(resolve, free_at - now));
    }
  }

  return {
    turn: (wait_ms) => {
      const ends_at = monotonic() + wait_ms;
      // One after the other, in the order they came.
      const mine = last.then(() => next(ends_at));
      last = mine;
      return mine;
    },
  };
}
