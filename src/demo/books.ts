// The suppliers' own books against ours, reference by reference, to the ten-thousandth; and where every unit is that
// was paid for: delivered, or in stock.
import type { Books } from '../../adapters/kit/shop.js';
import type { Database } from '../db/connect.js';
import type { AttemptRow } from '../orders/store.js';

export interface Account {
  account: string;
  /** What they say they charged, and what our attempts say it cost. */
  theirs_e4: number;
  ours_e4: number;
  units: number;
}

export interface Comparison {
  accounts: Account[];
  units_delivered: number;
  units_in_stock: number;
  /** One sentence for each thing that does not agree. */
  differences: string[];
}

/** Compares the books of all suppliers with the database. */
export async function compareBooks(database: Database, books: Readonly<Record<string, Books>>): Promise<Comparison> {
  const comparison: Comparison = { accounts: [], units_delivered: 0, units_in_stock: 0, differences: [] };
  for (const [account, theirs] of Object.entries(books)) {
    const attempts = (await database.read('attempts').where({ account })) as AttemptRow[];
    await compareAccount(database, comparison, account, theirs, attempts);
  }
  return comparison;
}

async function compareAccount(
  database: Database,
  comparison: Comparison,
  account: string,
  theirs: Books,
  attempts: readonly AttemptRow[],
): Promise<void> {
  const { differences } = comparison;
  const delivered = attempts.filter(({ state }) => state === 'delivered');
  const ours_e4 = delivered.reduce((sum, { cost_e4 }) => sum + (cost_e4 ?? 0), 0);
  comparison.accounts.push({ account, theirs_e4: theirs.net_e4, ours_e4, units: theirs.units });
  const open = attempts.filter(({ state }) => state !== 'delivered' && state !== 'refused');
  for (const { reference, state } of open) differences.push(`${account} ${reference}: is still ${state}`);
  for (const [reference, entry] of Object.entries(theirs.by_reference)) {
    const attempt = attempts.find((candidate) => candidate.reference === reference);
    if (entry.orders !== 1) differences.push(`${account} ${reference}: was bought ${entry.orders} times`);
    if (!attempt) differences.push(`${account} ${reference}: we know nothing of it`);
    else if ((attempt.state === 'delivered' ? attempt.cost_e4 : 0) !== entry.net_e4) {
      differences.push(`${account} ${reference}: they charged ${entry.net_e4}, we wrote down ${attempt.cost_e4}`);
    }
  }
  for (const attempt of delivered) {
    const entry = theirs.by_reference[attempt.reference];
    if (!entry) differences.push(`${account} ${attempt.reference}: they know nothing of it`);
    else await placeUnits(database, comparison, attempt, entry.units);
  }
}

/** Where the units of one delivered attempt are. */
async function placeUnits(
  database: Database,
  comparison: Comparison,
  attempt: AttemptRow,
  units: number,
): Promise<void> {
  const order = (await database.read('orders').where({ order_id: attempt.order_id }).first('kind')) as { kind: string };
  if (order.kind === 'recharge') {
    comparison.units_delivered += units;
    return;
  }
  const codes = (await database
    .read('codes')
    .join('batches', 'batches.batch_id', 'codes.batch_id')
    .where({ 'batches.attempt_id': attempt.attempt_id })
    .select('codes.state')) as { state: string }[];
  const issued = codes.filter(({ state }) => state === 'issued').length;
  const stock = codes.filter(({ state }) => state === 'available').length;
  comparison.units_delivered += issued;
  comparison.units_in_stock += stock;
  if (issued + stock !== units) {
    comparison.differences.push(
      `${attempt.account} ${attempt.reference}: ${units} paid for, ${issued} delivered, ${stock} in stock`,
    );
  }
}
