// Seat pools: one shared account that several orders use at once. Another kind of stock than one-time codes, in tables
// of its own: a seat is taken, ends, and is taken again; the account's password has versions.
import type { Knex } from 'knex';
import { type Core, checkIssuing, invalid } from './core.js';
import { VaultError } from './errors.js';
import { newId } from './ids.js';
import { claimKind } from './kinds.js';
import { digestOf, writeRecords } from './ledger.js';
import { insertRows } from './rows.js';
import { NEVER } from './tables.js';
import { openTextWith, sealTextWith } from './text.js';
import { type Act, Content, type Trx } from './types.js';

/** Seats of one pool; the tables are made for dozens. */
const SEATS_MAX = 10_000;

export interface SeatPoolOpening {
  sku: string;
  name: string;
  seats: number;
  /** What a holder is given: user name, password, link, as one text. */
  content: string;
  expires_at?: number;
  by: string;
}

export interface Seat {
  pool_id: string;
  seat_no: number;
  order_id: string;
  unit_no: number;
  ends_at: number;
  /** The version of the content its holder has seen, 0 before the first look. */
  shown_version: number;
}

/** Opens a pool. Throws `conflict` if the SKU is one of one-time codes. */
export async function openPool(
  core: Core,
  trx: Trx,
  { sku, name, seats, content, expires_at, by }: SeatPoolOpening,
): Promise<{ pool_id: string }> {
  if (!Number.isInteger(seats) || seats < 1 || seats > SEATS_MAX)
    throw invalid('seats', 'is out of range', `Give 1 to ${SEATS_MAX}.`);
  if (content.length === 0) throw invalid('content', 'is empty', 'Give what a holder needs to sign in.');
  await core.gate.pass(trx);
  const at = core.now();
  await claimKind(trx, sku, 'seat', at);
  const pool_id = newId('sea', at);
  await insertRows(trx, 'seat_pools', [
    {
      pool_id,
      sku,
      name,
      seats_count: seats,
      content_version: 1,
      content_sealed: sealTextWith(core.keyring, 'seat', pool_id, content),
      state: 'open',
      expires_at: expires_at ?? NEVER,
      created_by: by,
      created_at: at,
    },
  ]);
  await insertRows(
    trx,
    'seats',
    Array.from({ length: seats }, (_, seat) => ({ pool_id, seat_no: seat + 1 })),
  );
  await writeRecords(trx, at, [
    {
      act: 'seat',
      actor: by,
      sku,
      count: seats,
      digest: digestOf([[pool_id, seats]]),
      data: { what: 'open', pool_id },
    },
  ]);
  return { pool_id };
}

/**
 * Takes a free seat for a unit of an order until `ends_at`; the same unit again keeps its seat. A seat whose time is
 * over is free. Null: none is.
 */
export async function takeSeat(
  core: Core,
  trx: Trx,
  wanted: { sku: string; order_id: string; unit_no: number; ends_at: number },
): Promise<Seat | null> {
  const { sku, order_id, unit_no, ends_at } = wanted;
  const state = await core.gate.pass(trx);
  checkIssuing(core, state.journal_id);
  const now = core.now();
  if (!Number.isSafeInteger(ends_at) || ends_at <= now)
    throw invalid('ends_at', 'is over already', 'Give a time to come.');
  const mine = await trx('seats').where({ order_id, unit_no }).first();
  if (mine) return seatOf(mine);
  if (state.frozen_all || state.frozen_skus.has(sku)) return null;
  const free = await core.store.claimSeat(trx, sku, now, ends_at);
  if (!free) return null;
  const { pool_id, seat_no } = free;
  const row = { pool_id, seat_no, order_id, unit_no, taken_at: now, ends_at, shown_version: 0 };
  const taken = await trx('seats')
    .where({ pool_id, seat_no })
    .where((either) => either.whereNull('order_id').orWhere('ends_at', '<=', now))
    .update({ order_id, unit_no, taken_at: now, ends_at, shown_version: 0 });
  if (taken !== 1) throw new VaultError('conflict', 'the seat was taken', { fix: 'Repeat the request.' });
  await writeRecords(trx, now, [
    {
      act: 'seat',
      actor: 'gateway',
      order_id,
      sku,
      count: 1,
      digest: digestOf([[pool_id, seat_no, order_id, unit_no, ends_at]]),
      data: { what: 'take', pool_id, seat_no, unit_no },
    },
  ]);
  return row;
}

/** What the holder of a seat signs in with, and its version; null once its time is over. The look is recorded first. */
export async function showSeat(
  core: Core,
  trx: Trx,
  { order_id, unit_no, by, reason }: { order_id: string; unit_no: number } & Act,
): Promise<{ content: Content; content_version: number; ends_at: number } | null> {
  await core.gate.pass(trx);
  const now = core.now();
  const seat = await trx('seats').where({ order_id, unit_no }).where('ends_at', '>', now).first();
  if (!seat) return null;
  const pool = await trx('seat_pools').where({ pool_id: seat.pool_id }).first();
  const { pool_id, content_version, content_sealed, sku } = pool;
  await trx('seats').where({ pool_id, seat_no: seat.seat_no }).update({ shown_version: content_version });
  await writeRecords(trx, now, [
    {
      act: 'reveal',
      actor: by,
      order_id,
      sku,
      count: 1,
      digest: digestOf([[pool_id, seat.seat_no, content_version]]),
      data: { pool_id, content_version, reason },
    },
  ]);
  const content = new Content(Buffer.from(openTextWith(core.keyring, 'seat', pool_id, content_sealed), 'utf8'));
  return { content, content_version, ends_at: Number(seat.ends_at) };
}

/** Changes the account's content and returns whom to tell: the seats in use, and which version each has seen. */
export async function changePool(core: Core, trx: Trx, pool_id: string, content: string, act: Act): Promise<Seat[]> {
  await core.gate.pass(trx);
  const now = core.now();
  const changed = await trx('seat_pools')
    .where({ pool_id })
    .update({ content_sealed: sealTextWith(core.keyring, 'seat', pool_id, content) });
  if (changed !== 1)
    throw new VaultError('not_found', `no seat pool ${pool_id}`, { field: 'pool_id', fix: 'List the pools.' });
  await trx('seat_pools').where({ pool_id }).increment('content_version', 1);
  await writeRecords(trx, now, [
    {
      act: 'seat',
      actor: act.by,
      count: 0,
      digest: digestOf([[pool_id]]),
      data: { what: 'change', pool_id, reason: act.reason },
    },
  ]);
  const rows = await trx('seats').where({ pool_id }).where('ends_at', '>', now).orderBy('seat_no').select();
  return rows.map(seatOf);
}

export interface SeatStock {
  sku: string;
  seats: number;
  taken: number;
}

/** Seats of open pools per SKU, and how many are in use. */
export async function countSeats(core: Core, knex: Knex): Promise<SeatStock[]> {
  const now = core.now();
  const pools: { sku: string; seats: unknown }[] = await (knex('seat_pools')
    .where({ state: 'open' })
    .where('expires_at', '>', now)
    .groupBy('sku')
    .select('sku')
    .sum({ seats: 'seats_count' }) as never);
  const taken: { sku: string; count: unknown }[] = await (knex('seats')
    .join('seat_pools', 'seat_pools.pool_id', 'seats.pool_id')
    .where('seats.ends_at', '>', now)
    .where({ 'seat_pools.state': 'open' })
    .groupBy('seat_pools.sku')
    .select('seat_pools.sku')
    .count({ count: '*' }) as never);
  const in_use = new Map(taken.map((row) => [row.sku, Number(row.count)]));
  return pools.map((row) => ({ sku: row.sku, seats: Number(row.seats), taken: in_use.get(row.sku) ?? 0 }));
}

function seatOf(row: Record<string, unknown>): Seat {
  return {
    pool_id: String(row.pool_id),
    seat_no: Number(row.seat_no),
    order_id: String(row.order_id),
    unit_no: Number(row.unit_no),
    ends_at: Number(row.ends_at),
    shown_version: Number(row.shown_version ?? 0),
  };
}
