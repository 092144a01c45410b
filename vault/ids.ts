// Identifiers of the vault's own rows: a prefix and a ULID, so that they sort by the time they were made. The vault
// takes nothing from the program, so it makes its own.
import { randomFillSync } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Two characters for every ten bits: four look-ups make a 40-bit half. */
const PAIRS = Array.from({ length: 1024 }, (_, at) => ALPHABET[at >> 5]! + ALPHABET[at & 31]!);
const HALF = 2 ** 40;
const pool = Buffer.alloc(10 * 256);
let used = pool.length;
let last_ms = -1;
let time = '';
let high = '';
let low = 0;

export type VaultIdPrefix = 'bat' | 'cod' | 'evt' | 'rev' | 'apr' | 'frz' | 'clm' | 'sea';

/** A new id such as `cod_01J…` (30 characters). Ids made by one process keep their order. */
export function newId(prefix: VaultIdPrefix, now_ms: number): string {
  // Within a millisecond count on, so that the order is kept and nothing repeats.
  if (now_ms === last_ms && low + 1 < HALF) low++;
  else start(now_ms);
  return `${prefix}_${time}${high}${encode(low)}`;
}

function start(now_ms: number): void {
  if (used >= pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  high = encode(pool.readUIntBE(used, 5));
  // Half of the range is left above, to count into.
  low = pool.readUIntBE(used + 5, 5) % (HALF / 2);
  used += 10;
  last_ms = now_ms;
  time = encodeTime(now_ms);
}

function encode(half: number): string {
  const upper = Math.floor(half / 2 ** 20);
  const lower = half % 2 ** 20;
  return PAIRS[upper >> 10]! + PAIRS[upper & 1023]! + PAIRS[lower >> 10]! + PAIRS[lower & 1023]!;
}

function encodeTime(now_ms: number): string {
  let text = '';
  for (let rest = now_ms, digit = 0; digit < 10; digit++) {
    text = ALPHABET[rest % 32] + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
