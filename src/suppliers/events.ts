// What happened to an account outside any order: refused lists, warnings of its float, top-ups. Written once, read by
// operators; nothing is decided from it.
import type { Knex } from 'knex';
import type { Trx } from '../db/atomic.js';
import { insertRows } from '../db/rows.js';
import { newId } from '../ids.js';

export interface AccountEvent {
  event_id: string;
  account: string;
  at: number;
  type: string;
  /** JSON; never a credential. */
  data: string;
}

/** Writes one event. */
export async function noteAccountEvent(
  trx: Trx,
  { account, at, type, data }: { account: string; at: number; type: string; data: object },
): Promise<void> {
  const row: AccountEvent = { event_id: newId('evt', at), account, at, type, data: JSON.stringify(data) };
  await insertRows(trx, 'account_events', ['event_id', 'account', 'at', 'type', 'data'], [row]);
}

/** An account's events, newest first. */
export async function readAccountEvents(handle: Knex | Trx, account: string, limit: number): Promise<AccountEvent[]> {
  return (await handle('account_events').where({ account }).orderBy('event_id', 'desc').limit(limit)) as AccountEvent[];
}
