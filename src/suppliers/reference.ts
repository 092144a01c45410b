// Our reference for an attempt, in the form the supplier demands: unique for ever, made before anything is sent.
import { randomUUID } from 'node:crypto';
import type { ReferenceFormat } from '../../adapters/kit/contract.js';
import { must } from '../errors.js';
import { newUlid, randomDecimal } from '../ids.js';

/** Fewest unpredictable characters a reference must hold, so that no two attempts of one account ever share one. */
const DIGITS_MIN = 18;

/** A new reference in this format. Throws if the format is too narrow to be unique. */
export function referenceFor(format: ReferenceFormat, now: number): string {
  if (format.alphabet === 'uuid') return randomUUID();
  const prefix = format.prefix ?? '';
  const room = format.max_length - prefix.length;
  if (format.alphabet === 'digits') {
    must(room >= DIGITS_MIN, `a digits reference needs ${DIGITS_MIN} places`);
    const time = String(now);
    return prefix + time + randomDecimal(Math.min(room, 32) - time.length);
  }
  // The tail of a ULID is its random part: of a shorter reference keep that and the low digits of the time.
  must(room >= 16, 'an alphanumeric reference needs 16 places');
  return prefix + newUlid(now).slice(-Math.min(room, 26));
}
