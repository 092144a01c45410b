// What a broken reply, or silence, proves; and what an adapter's answer must look like before it is believed.

import type { Found, Outcome, Purchase } from '../../adapters/kit/contract.js';
import { checkOutcome, doubtOf, outcomeOf } from '../../adapters/kit/doubt.js';
import type { OpenWire } from './wire.js';

/**
 * Runs `place` and answers an outcome whatever happens: a thrown failure becomes `refused: not_sent` only where the
 * wire proves that nothing which could buy has left, else `unknown`.
 */
export async function outcomeOfPlace(
  purchase: Purchase,
  wire: OpenWire,
  place: () => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return checkOutcome(purchase, await place());
  } catch (error) {
    return outcomeOf(error, wire.facts);
  }
}

/** Runs `lookup`: a failure tells nothing, so it is `unknown`, and never a refusal. */
export async function outcomeOfLookup(purchase: Purchase, lookup: () => Promise<Found>): Promise<Found> {
  try {
    const found = await lookup();
    return found.outcome === 'absent' ? found : checkOutcome(purchase, found);
  } catch (error) {
    return doubtOf(error);
  }
}

/**
 * Whether this answer speaks against the supplier's health. A business no never does: "sold out" a hundred times is
 * a supplier that works.
 */
export function tripsBreaker(found: Found): boolean {
  if (found.outcome === 'refused') return found.reason === 'maintenance' || found.reason === 'not_sent';
  return found.outcome === 'unknown' && UNHEALTHY_DOUBTS.has(found.doubt);
}
/** Doubts that speak against the supplier's health. */
export const UNHEALTHY_DOUBTS: ReadonlySet<string> = new Set(['deadline', 'reset', 'http_5xx', 'unreadable']);
