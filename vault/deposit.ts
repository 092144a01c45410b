// Putting codes into the vault as one batch: fingerprint, compare, split the cost, seal, write. All in the caller's
// transaction.
import { type Core, invalid } from './core.js';
import { VaultError, VaultRetry } from './errors.js';
import { batchKeyName } from './gate.js';
import { newId } from './ids.js';
import { claimKind } from './kinds.js';
import {
  BATCH_CODES_MAX,
  checkMoney,
  deposited,
  insertSealed,
  markKnown,
  type Prepared,
  prepareCodes,
  recordDeposit,
  wipe,
  wrapBatchKey,
} from './prepare.js';
import type { BatchRow } from './tables.js';
import { type Deposit, type DepositResult, ORIGINS, type PlainCode, type Trx } from './types.js';

/**
 * From this many codes on they are written first and looked up only if the database refuses one: looking up costs as
 * much as a third of the insert. Below it, one look is less than a savepoint and what follows a refusal.
 */
const INSERT_FIRST_MIN = 100;

/** Deposits the codes as one batch. See `Vault.deposit`. */
export async function depositCodes(core: Core, trx: Trx, deposit: Deposit): Promise<DepositResult> {
  checkDeposit(deposit);
  checkCount(deposit.codes);
  const keys = await core.gate.fingerprintKeys(trx);
  await claimKind(trx, deposit.sku, 'code', core.now());
  const prepared = await prepareCodes(core, deposit.sku, keys, deposit.codes);
  try {
    let batch_id = prepared.length < INSERT_FIRST_MIN ? null : await insertFirst(core, trx, deposit, prepared);
    if (batch_id === null) {
      await markKnown(core, trx, keys, prepared);
      batch_id = await write(core, trx, deposit, prepared);
    }
    return { batch_id, codes: prepared.map((one) => deposited(one, deposit.quarantined)) };
  } finally {
    wipe(prepared);
  }
}

/** Writes them as if none were here already. Null: at least one is, and nothing was written. */
async function insertFirst(core: Core, trx: Trx, deposit: Deposit, prepared: Prepared[]): Promise<string | null> {
  await trx.raw('savepoint deposit');
  try {
    return await write(core, trx, deposit, prepared);
  } catch (error) {
    if (!(error instanceof VaultRetry)) throw error;
    await trx.raw('rollback to savepoint deposit');
    return null;
  }
}

/** Seals and writes those that are no duplicates as a batch under a key of its own, with its record. */
async function write(core: Core, trx: Trx, deposit: Deposit, prepared: Prepared[]): Promise<string> {
  const fresh = prepared.filter(({ duplicate }) => duplicate === null);
  const costs = splitCost(deposit, fresh);
  const batch = newBatch(core, deposit, fresh, prepared.length - fresh.length, costs);
  const key = core.keyring.newKey();
  await core.store.insertBatch(trx, batch, wrapBatchKey(core.keyring, batch, key, fresh.length));
  const rows = await insertSealed(core, trx, batch, key, fresh, costs, deposit.quarantined);
  await recordDeposit(core, trx, batch, rows);
  core.keyring.cache(batchKeyName(batch), key);
  return batch.batch_id;
}

export function newBatch(
  core: Core,
  deposit: Deposit,
  fresh: Prepared[],
  duplicates_count: number,
  costs: (number | null)[],
): BatchRow {
  const carried = costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0);
  const total_cost_e4 = deposit.total_cost_e4 ?? (costs.some((cost) => cost !== null) ? carried : null);
  const now = core.now();
  return {
    batch_id: newId('bat', now),
    sku: deposit.sku,
    origin: deposit.origin,
    account: deposit.account,
    attempt_id: deposit.attempt_id,
    document: deposit.document,
    file_hash: deposit.file_hash ?? null,
    received_by: deposit.received_by,
    received_at: now,
    currency: total_cost_e4 === null ? null : deposit.currency,
    total_cost_e4,
    unallocated_e4: total_cost_e4 === null ? 0 : total_cost_e4 - carried,
    codes_count: fresh.length,
    duplicates_count,
    state: 'closed',
    key_version: 1,
  };
}

/** Each code's cost. Parts of a total differ by at most one ten-thousandth and sum to it exactly. */
function splitCost({ total_cost_e4 }: Deposit, fresh: Prepared[]): (number | null)[] {
  if (total_cost_e4 === null) return fresh.map(({ code }) => code.cost_e4 ?? null);
  const part = Math.floor(total_cost_e4 / fresh.length);
  const rest = total_cost_e4 - part * fresh.length;
  return fresh.map((_, at) => (at < rest ? part + 1 : part));
}

export function checkDeposit(deposit: Deposit): void {
  const { sku, origin, codes, total_cost_e4, currency, received_by, quarantined } = deposit;
  if (sku.length === 0 || sku.length > 64)
    throw invalid('sku', 'must have 1 to 64 characters', 'Name the SKU the codes are for.');
  if (!ORIGINS.includes(origin)) throw invalid('origin', 'is unknown', `Use one of ${ORIGINS.join(', ')}.`);
  if (received_by.length === 0) throw invalid('received_by', 'is empty', 'Name who deposits the codes.');
  if (quarantined === '') throw invalid('quarantined', 'is empty', 'Give the reason for the quarantine.');
  checkLengths(deposit);
  checkMoney('total_cost_e4', total_cost_e4);
  const has_cost = total_cost_e4 !== null || codes.some(({ cost_e4 }) => cost_e4 !== undefined);
  if (has_cost && !/^[A-Z]{3}$/.test(currency ?? '')) {
    throw invalid('currency', 'is missing', 'A cost needs an ISO 4217 currency, such as CNY.');
  }
  if (total_cost_e4 !== null && codes.some(({ cost_e4 }) => cost_e4 !== undefined)) {
    throw invalid('total_cost_e4', 'contradicts the costs of single codes', 'Give one or the other.');
  }
}

function checkCount(codes: PlainCode[]): void {
  if (codes.length === 0) throw invalid('codes', 'holds no code', 'Deposit at least one code.');
  if (codes.length > BATCH_CODES_MAX) {
    throw new VaultError('batch_full', `${codes.length} codes are more than one batch key may seal`, {
      field: 'codes',
      fix: `Deposit at most ${BATCH_CODES_MAX} codes a batch.`,
    });
  }
}

/** What the columns hold; the database would refuse more with a sentence of its own. */
const LENGTHS = { account: 64, attempt_id: 40, document: 128, received_by: 128, quarantined: 128 } as const;

function checkLengths(deposit: Deposit): void {
  for (const [field, most] of Object.entries(LENGTHS)) {
    const value = deposit[field as keyof typeof LENGTHS];
    if (value && value.length > most) throw invalid(field, `is longer than ${most} characters`, 'Shorten it.');
  }
}
