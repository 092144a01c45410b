// Identifiers: a prefix and a ULID (48 bits of milliseconds, 80 random), so that they sort by the time they were made
// and two processes never make the same one.
import { randomFillSync } from 'node:crypto';

export type IdPrefix =
  | 'ord'
  | 'att'
  | 'bat'
  | 'cod'
  | 'iss'
  | 'evt'
  | 'ntc'
  | 'cbk'
  | 'trn'
  | 'src'
  | 'key'
  | 'prc'
  | 'req';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const pool = Buffer.alloc(16 * 512);
let used = pool.length;
let last_ms = -1;
let last_random: number[] = [];

/** A new id such as `ord_01J…` (30 characters). Ids made by one process within one millisecond keep their order. */
export function newId(prefix: IdPrefix, now_ms: number): string {
  return `${prefix}_${newUlid(now_ms)}`;
}

/** 26 characters of Crockford base 32. */
export function newUlid(now_ms: number): string {
  if (now_ms === last_ms) increment(last_random);
  else last_random = randomDigits();
  last_ms = now_ms;
  let time = '';
  for (let rest = now_ms, digit = 0; digit < 10; digit++) {
    time = ALPHABET[rest % 32] + time;
    rest = Math.floor(rest / 32);
  }
  let random = '';
  for (const digit of last_random) random += ALPHABET[digit];
  return time + random;
}

/** `length` unpredictable decimal digits. */
export function randomDecimal(length: number): string {
  let text = '';
  while (text.length < length) {
    const byte = randomByte();
    // 250 is the largest multiple of ten in a byte: what lies above would favour the low digits.
    if (byte < 250) text += String(byte % 10);
  }
  return text;
}

function randomDigits(): number[] {
  // The first digit stays below 16, so that counting up within a millisecond has room.
  return Array.from({ length: 16 }, (_, at) => randomByte() % (at === 0 ? 16 : 32));
}

function randomByte(): number {
  if (used >= pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool[used++]!;
}

function increment(digits: number[]): void {
  for (let at = digits.length - 1; at >= 0; at--) {
    if (digits[at]! < 31) {
      digits[at]!++;
      return;
    }
    digits[at] = 0;
  }
}
