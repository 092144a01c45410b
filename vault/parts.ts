// A batch that is filled in parts, as an import streams by: opened, added to, closed.
import type { Core } from './core.js';
import { checkDeposit, newBatch } from './deposit.js';
import { VaultError } from './errors.js';
import { batchKeyName } from './gate.js';
import { claimKind } from './kinds.js';
import {
  BATCH_CODES_MAX,
  deposited,
  insertSealed,
  markKnown,
  prepareCodes,
  recordDeposit,
  wipe,
  wrapBatchKey,
} from './prepare.js';
import type { BatchRow } from './tables.js';
import type { Deposit, Deposited, PlainCode, Trx } from './types.js';

/** What an import knows of its batch before it has read a line. */
export interface BatchOpening {
  sku: string;
  account: string | null;
  document: string | null;
  currency: string | null;
  received_by: string;
  file_hash: string;
  quarantined?: string;
}

/** Opens a batch that is filled in parts, and returns its id. */
export async function openBatch(core: Core, trx: Trx, opening: BatchOpening): Promise<string> {
  await core.gate.fingerprintKeys(trx);
  const deposit: Deposit = {
    ...opening,
    origin: 'deposit',
    attempt_id: null,
    total_cost_e4: null,
    codes: [],
  };
  checkDeposit(deposit);
  await claimKind(trx, deposit.sku, 'code', core.now());
  const batch: BatchRow = { ...newBatch(core, deposit, [], 0, []), state: 'open' };
  const priced = { ...batch, currency: opening.currency, total_cost_e4: opening.currency === null ? null : 0 };
  await core.store.insertBatch(trx, priced, wrapBatchKey(core.keyring, batch, core.keyring.newKey(), 0));
  return batch.batch_id;
}

/**
 * Adds codes to an open batch; each carries its own cost. Throws `batch_closed`, or `batch_full` where the batch's key
 * may not seal so many more.
 */
export async function appendCodes(
  core: Core,
  trx: Trx,
  batch_id: string,
  codes: PlainCode[],
  quarantined: string | undefined,
): Promise<Deposited[]> {
  const keys = await core.gate.fingerprintKeys(trx);
  const batch: BatchRow | undefined = await trx('batches').where({ batch_id }).forUpdate().first();
  if (batch?.state !== 'open') {
    throw new VaultError('batch_closed', `${batch_id} takes no more codes`, {
      field: 'batch_id',
      fix: 'Begin a new batch.',
    });
  }
  const prepared = await prepareCodes(core, batch.sku, keys, codes);
  await markKnown(core, trx, keys, prepared);
  const fresh = prepared.filter(({ duplicate }) => duplicate === null);
  const costs = fresh.map(({ code }) => code.cost_e4 ?? null);
  const { key_version } = batch;
  const counted = await trx('batch_keys')
    .where({ batch_id, key_version })
    .where('seals_count', '<=', BATCH_CODES_MAX - fresh.length)
    .increment('seals_count', fresh.length);
  if (counted !== 1) {
    throw new VaultError('batch_full', `${batch_id} holds as many codes as one key may seal`, {
      field: 'codes',
      fix: 'Put the rest into another batch.',
    });
  }
  const key = (await core.gate.batchKeys(trx, [{ batch_id, key_version }])).get(
    batchKeyName({ batch_id, key_version }),
  );
  if (!key)
    throw new VaultError('unauthentic', `the key of ${batch_id} cannot be trusted`, {
      fix: 'Run `kamigate vault verify`.',
    });
  const rows = await insertSealed(core, trx, batch, key, fresh, costs, quarantined);
  wipe(prepared);
  const cost = costs.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  await trx('batches')
    .where({ batch_id })
    .increment({
      codes_count: fresh.length,
      duplicates_count: prepared.length - fresh.length,
      ...(batch.currency === null ? {} : { total_cost_e4: cost }),
    });
  await recordDeposit(core, trx, { ...batch, duplicates_count: prepared.length - fresh.length }, rows, true);
  return prepared.map((one) => deposited(one, quarantined));
}

/** Ends a batch. What was paid beyond what its codes carry is kept as unallocated, so that the total is exact. */
export async function closeBatch(trx: Trx, batch_id: string, total_cost_e4: number | null): Promise<void> {
  const batch: BatchRow | undefined = await trx('batches').where({ batch_id }).forUpdate().first();
  if (batch?.state !== 'open') {
    throw new VaultError('batch_closed', `${batch_id} is closed already`, {
      field: 'batch_id',
      fix: 'Begin a new batch.',
    });
  }
  const carried = Number(batch.total_cost_e4 ?? 0);
  const paid =
    total_cost_e4 === null || batch.currency === null ? {} : { total_cost_e4, unallocated_e4: total_cost_e4 - carried };
  await trx('batches')
    .where({ batch_id })
    .update({ state: 'closed', ...paid });
}
