// Putting codes into the vault: fingerprint, compare, split the cost, seal, write. All in the caller's transaction.
import { encodeContent } from './content.js';
import { type Core, invalid } from './core.js';
import { VaultError } from './errors.js';
import { batchKeyName, type FingerprintKey } from './gate.js';
import { newId } from './ids.js';
import type { Keyring } from './keyring.js';
import { claimKind } from './kinds.js';
import { digestOf, writeRecords } from './ledger.js';
import { bindingBytes, fingerprint, seal } from './seal.js';
import { type BatchKeyRow, type BatchRow, type CodeRow, NEVER, SLOT_COLUMN } from './store.js';
import {
  type CodeState,
  type Deposit,
  type Deposited,
  type DepositResult,
  ORIGINS,
  type PlainCode,
  type Trx,
} from './types.js';

/** Codes one batch key may seal, 2^20: random nonces stay far from repeating. */
export const BATCH_CODES_MAX = 2 ** 20;
/** Codes between two turns of the event loop. */
const SLICE = 250;

/** A code ready to be sealed: content as bytes, and its fingerprint in each slot in use. */
interface Prepared {
  code: PlainCode;
  content: Buffer;
  fingerprints: (Buffer | null)[];
  duplicate: { code_id: string; state: CodeState } | Prepared | null;
  code_id: string;
}

/** Deposits the codes as one batch. See `Vault.deposit`. */
export async function depositCodes(core: Core, trx: Trx, deposit: Deposit): Promise<DepositResult> {
  checkDeposit(deposit);
  const keys = await core.gate.fingerprintKeys(trx);
  await claimKind(trx, deposit.sku, 'code', core.now());
  const prepared = await prepareCodes(core, trx, deposit.sku, keys, deposit.codes);
  const fresh = prepared.filter(({ duplicate }) => duplicate === null);
  const costs = splitCost(deposit, fresh);
  const batch = newBatch(core, deposit, fresh, prepared.length - fresh.length, costs);
  const key = core.keyring.newKey();
  await core.store.insertBatch(trx, batch, wrapBatchKey(core.keyring, batch, key, fresh.length));
  const rows = await insertSealed(core, trx, batch, key, fresh, costs, deposit.quarantined);
  await recordDeposit(core, trx, batch, rows);
  core.keyring.cache(batchKeyName(batch), key);
  return { batch_id: batch.batch_id, codes: prepared.map((one) => deposited(one, deposit.quarantined)) };
}

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
    codes: [{ number: '-' }],
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
  const prepared = await prepareCodes(core, trx, batch.sku, keys, codes);
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

/** The row of a batch key: wrapped under the current master version, bound to its batch and version. */
export function wrapBatchKey(
  keyring: Keyring,
  { batch_id, key_version }: { batch_id: string; key_version: number },
  key: Buffer,
  seals_count: number,
): BatchKeyRow {
  const wrapped = keyring.wrap('batch', batchKeyName({ batch_id, key_version }), key);
  return { batch_id, key_version, seals_count, born_version: wrapped.master_version, ...wrapped };
}

/** Fingerprints the codes and finds which of them are already here, or twice among themselves. */
async function prepareCodes(
  core: Core,
  trx: Trx,
  sku: string,
  keys: FingerprintKey[],
  codes: PlainCode[],
): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  const seen = new Map<string, Prepared>();
  for (let from = 0; from < codes.length; from += SLICE) {
    const slice = codes.slice(from, from + SLICE).map((code, at) => prepareCode(core, sku, keys, code, from + at));
    const known = await findKnown(core, trx, keys, slice);
    for (const one of slice) {
      const print = one.fingerprints.find((some) => some !== null)!.toString('latin1');
      one.duplicate = known.get(one) ?? seen.get(print) ?? null;
      if (one.duplicate === null) seen.set(print, one);
      prepared.push(one);
    }
    if (codes.length > SLICE) await breathe();
  }
  return prepared;
}

function prepareCode(core: Core, sku: string, keys: FingerprintKey[], code: PlainCode, at: number): Prepared {
  checkCode(code, at);
  const { content, identity } = encodeContent(code);
  const fingerprints = (['a', 'b'] as const).map((slot) => {
    const key = keys.find((one) => one.slot === slot);
    return key ? fingerprint(key.key, sku, identity) : null;
  });
  return { code, content, fingerprints, duplicate: null, code_id: newId('cod', core.now()) };
}

async function findKnown(core: Core, trx: Trx, keys: FingerprintKey[], slice: Prepared[]) {
  const known = new Map<Prepared, { code_id: string; state: CodeState }>();
  for (const { slot } of keys) {
    const at = slot === 'a' ? 0 : 1;
    const found = await core.store.findByFingerprint(
      trx,
      slot,
      slice.map((one) => one.fingerprints[at]!),
    );
    const rows = new Map(found.map((row) => [row.fingerprint.toString('latin1'), row]));
    for (const one of slice) {
      const row = rows.get(one.fingerprints[at]!.toString('latin1'));
      if (row) known.set(one, { code_id: row.code_id, state: row.state });
    }
  }
  return known;
}

async function insertSealed(
  core: Core,
  trx: Trx,
  batch: BatchRow,
  key: Buffer,
  fresh: Prepared[],
  costs: (number | null)[],
  quarantined: string | undefined,
): Promise<CodeRow[]> {
  const rows: CodeRow[] = [];
  for (let from = 0; from < fresh.length; from += SLICE) {
    const slice = fresh
      .slice(from, from + SLICE)
      .map((one, at) => sealCode(batch, key, one, costs[from + at] ?? null, quarantined));
    await core.store.insertCodes(trx, slice);
    for (const row of slice) rows.push(row);
    if (fresh.length > SLICE) await breathe();
  }
  return rows;
}

function sealCode(
  batch: BatchRow,
  key: Buffer,
  one: Prepared,
  cost_e4: number | null,
  quarantined: string | undefined,
): CodeRow {
  const { code_id, code, content, fingerprints } = one;
  const bound = bindingBytes({ sku: batch.sku, batch_id: batch.batch_id, code_id, key_version: batch.key_version });
  const sealed = seal(key, bound, content);
  content.fill(0);
  return {
    code_id,
    sku: batch.sku,
    batch_id: batch.batch_id,
    account: batch.account,
    state: quarantined === undefined ? 'available' : 'quarantined',
    reason: quarantined ?? null,
    expires_at: code.expires_at ?? NEVER,
    cost_e4,
    currency: cost_e4 === null ? null : batch.currency,
    face_value_e4: code.face_value_e4 ?? null,
    key_version: batch.key_version,
    sealed,
    [SLOT_COLUMN.a]: fingerprints[0]!,
    [SLOT_COLUMN.b]: fingerprints[1]!,
  };
}

/** Covers what a deposit wrote, whatever order its rows are read in. */
export function depositDigest(rows: Pick<CodeRow, 'code_id' | 'cost_e4' | 'expires_at'>[]): string {
  const sorted = [...rows].sort((one, other) => (one.code_id < other.code_id ? -1 : 1));
  return digestOf(
    sorted.map((row) => [row.code_id, row.cost_e4 === null ? null : Number(row.cost_e4), Number(row.expires_at)]),
  );
}

async function recordDeposit(core: Core, trx: Trx, batch: BatchRow, rows: CodeRow[], is_part = false): Promise<void> {
  await writeRecords(trx, core.now(), [
    {
      act: 'deposit',
      actor: batch.received_by,
      batch_id: batch.batch_id,
      sku: batch.sku,
      count: rows.length,
      digest: depositDigest(rows),
      data: {
        origin: batch.origin,
        duplicates: batch.duplicates_count,
        ...(is_part ? { is_part } : {}),
        ...(rows[0]?.reason ? { quarantined: rows[0].reason } : {}),
      },
    },
  ]);
}

function newBatch(
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

function deposited({ code_id, duplicate }: Prepared, quarantined: string | undefined): Deposited {
  if (duplicate === null) return { code_id };
  // Twice in this very deposit: the first one is in the state they all go in with.
  const state = 'state' in duplicate ? duplicate.state : quarantined === undefined ? 'available' : 'quarantined';
  return { duplicate_of: duplicate.code_id, state };
}

function checkDeposit(deposit: Deposit): void {
  const { sku, origin, codes, total_cost_e4, currency, received_by, quarantined } = deposit;
  if (sku.length === 0 || sku.length > 64)
    throw invalid('sku', 'must have 1 to 64 characters', 'Name the SKU the codes are for.');
  if (!ORIGINS.includes(origin)) throw invalid('origin', 'is unknown', `Use one of ${ORIGINS.join(', ')}.`);
  if (codes.length === 0) throw invalid('codes', 'holds no code', 'Deposit at least one code.');
  if (codes.length > BATCH_CODES_MAX) {
    throw new VaultError('batch_full', `${codes.length} codes are more than one batch key may seal`, {
      field: 'codes',
      fix: `Deposit at most ${BATCH_CODES_MAX} codes a batch.`,
    });
  }
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

/** What the columns hold; the database would refuse more with a sentence of its own. */
const LENGTHS = { account: 64, attempt_id: 40, document: 128, received_by: 128, quarantined: 128 } as const;

function checkLengths(deposit: Deposit): void {
  for (const [field, most] of Object.entries(LENGTHS)) {
    const value = deposit[field as keyof typeof LENGTHS];
    if (value && value.length > most) throw invalid(field, `is longer than ${most} characters`, 'Shorten it.');
  }
}

function checkCode({ expires_at, cost_e4, face_value_e4 }: PlainCode, at: number): void {
  if (expires_at !== undefined && (!Number.isSafeInteger(expires_at) || expires_at <= 0 || expires_at >= NEVER)) {
    throw invalid(
      `codes[${at}].expires_at`,
      'is not a time in milliseconds',
      'Leave it out for a code that does not expire.',
    );
  }
  checkMoney(`codes[${at}].cost_e4`, cost_e4 ?? null);
  checkMoney(`codes[${at}].face_value_e4`, face_value_e4 ?? null);
}

function checkMoney(field: string, amount_e4: number | null): void {
  if (amount_e4 !== null && (!Number.isSafeInteger(amount_e4) || amount_e4 < 0)) {
    throw invalid(field, 'is not an amount', 'Give a whole number of ten-thousandths, 0 or more.');
  }
}

/** Gives timers and sockets a turn: SQLite answers in microtasks alone. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
