// Rates of exchange: each has a date and a base, and one that is too old is not used. Amounts are compared through the
// base currency; what is stored stays in its own. All arithmetic is whole numbers.
import type { Knex } from 'knex';
import { atomic, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';

export interface RateRow {
  currency: string;
  base: string;
  /** The day it was set for, in ms at midnight UTC. */
  as_of: number;
  /** What one unit of `currency` is worth in `base`, in hundred-millionths. */
  rate_e8: number;
  set_by: string;
  created_at: number;
  updated_at: number;
}

export interface Rates {
  base: string;
  /** The amount in the currency `to`; null if one of the two has no rate that is young enough. */
  convert(amount_e4: number, from: string, to: string, rounding?: 'up' | 'down'): number | null;
}

export interface RateOptions {
  base_currency: string;
  /** A rate older than this many days is not used. */
  rate_days_max: number;
}

export const RATE_DEFAULTS: RateOptions = { base_currency: 'CNY', rate_days_max: 7 };

const DAY_MS = 86_400_000;
const ONE_E8 = 100_000_000;
/** A rate that differs more from the one before it is more often a slip of the hand than the market. */
const JUMP_PERCENT_MAX = 20;

/** The newest usable rate of each currency into the base, at `now`. */
export async function readRates(handle: Knex | Trx, options: RateOptions, now: number): Promise<Rates> {
  const rows: RateRow[] = await handle('rates')
    .where({ base: options.base_currency })
    .where('as_of', '<=', now)
    .where('as_of', '>=', now - options.rate_days_max * DAY_MS)
    .orderBy('as_of');
  return ratesOf(options.base_currency, rows);
}

/** Rates of these rows, oldest first: the last of each currency counts. */
export function ratesOf(base: string, rows: readonly Pick<RateRow, 'currency' | 'rate_e8'>[]): Rates {
  const by_currency = new Map(rows.map(({ currency, rate_e8 }) => [currency, rate_e8]));
  by_currency.set(base, ONE_E8);
  return {
    base,
    convert: (amount_e4, from, to, rounding = 'down') => {
      if (from === to) return amount_e4;
      const [rate_from, rate_to] = [by_currency.get(from), by_currency.get(to)];
      if (rate_from === undefined || rate_to === undefined) return null;
      const dividend = BigInt(amount_e4) * BigInt(rate_from);
      const divisor = BigInt(rate_to);
      const extra = rounding === 'up' && dividend % divisor !== 0n ? 1n : 0n;
      return Number(dividend / divisor + extra);
    },
  };
}

export interface NewRate {
  currency: string;
  base: string;
  /** Decimal text with up to eight places, such as 7.1234. */
  rate: string;
  /** Milliseconds; the day counts. Not in the future. */
  as_of: number;
  by: string;
  /** The person has looked: a jump against the rate before is meant. */
  is_jump_meant?: boolean;
}

/** Sets the rate of one day. Throws `validation_failed`; `conflict` for a jump that nobody confirmed. */
export async function setRate(database: Database, wanted: NewRate, now: number): Promise<RateRow> {
  const rate_e8 = rateE8(wanted.rate);
  for (const field of ['currency', 'base'] as const) {
    if (!/^[A-Z]{3}$/.test(wanted[field])) throw fault(field, `${field} is not a currency`, 'Write an ISO 4217 code.');
  }
  if (wanted.currency === wanted.base) throw fault('base', 'a currency has no rate into itself', 'Name another base.');
  if (wanted.by.trim() === '') throw fault('by', 'nobody is named', 'Say who sets this rate.');
  if (wanted.as_of > now) throw fault('as_of', 'the day is in the future', 'Set today’s rate today.');
  return atomic(database, 'setting a rate', async (trx) => {
    const { currency, base } = wanted;
    const before: RateRow | undefined = await trx('rates').where({ currency, base }).orderBy('as_of', 'desc').first();
    if (before && isJump(before.rate_e8, rate_e8) && !wanted.is_jump_meant) {
      throw new GatewayError('conflict', `this rate is more than ${JUMP_PERCENT_MAX} % away from the one before it`, {
        field: 'rate',
        fix: 'Check the decimal point and the direction; if it is meant, confirm the jump.',
      });
    }
    const row: RateRow = {
      currency,
      base,
      as_of: dayOf(wanted.as_of),
      rate_e8,
      set_by: wanted.by.slice(0, 128),
      created_at: now,
      updated_at: now,
    };
    await trx('rates').insert(row).onConflict(['currency', 'base', 'as_of']).merge(['rate_e8', 'set_by', 'updated_at']);
    return row;
  });
}

/** Every rate, newest first. */
export async function listRates(handle: Knex | Trx, limit = 1_000): Promise<RateRow[]> {
  return (await handle('rates')
    .orderBy([{ column: 'as_of', order: 'desc' }, 'currency', 'base'])
    .limit(limit)) as RateRow[];
}

/** Midnight UTC of the day. */
export function dayOf(at_ms: number): number {
  return Math.floor(at_ms / DAY_MS) * DAY_MS;
}

function rateE8(text: string): number {
  const [, whole = '', places = ''] = /^(\d{1,7})(?:\.(\d{1,8}))?$/.exec(text) ?? [];
  const rate_e8 = whole === '' ? 0 : Number(whole) * ONE_E8 + Number(places.padEnd(8, '0'));
  if (rate_e8 <= 0)
    throw fault('rate', 'the rate is not a positive number', 'Write it such as 7.1234, up to eight places.');
  return rate_e8;
}

function isJump(before_e8: number, rate_e8: number): boolean {
  return Math.abs(rate_e8 - before_e8) * 100 > before_e8 * JUMP_PERCENT_MAX;
}

function fault(field: string, message: string, fix: string): GatewayError {
  return new GatewayError('validation_failed', message, { field, fix });
}
