// Getting codes ready: content as bytes, fingerprints, which of them are already here; then sealing and writing them.
import { encodeContent } from './content.js';
import { type Core, invalid } from './core.js';
import { batchKeyName, type FingerprintKey } from './gate.js';
import { newId } from './ids.js';
import type { Keyring } from './keyring.js';
import { digestOf, writeRecords } from './ledger.js';
import { bindingBytes, fingerprint, seal } from './seal.js';
import { type BatchKeyRow, type BatchRow, type CodeRow, NEVER, SLOT_COLUMN } from './tables.js';
import type { CodeState, Deposited, PlainCode, Trx } from './types.js';

/** Codes one batch key may seal, 2^20: random nonces stay far from repeating. */
export const BATCH_CODES_MAX = 2 ** 20;
/** Codes between two turns of the event loop. */
const SLICE = 250;
const SLOTS = ['a', 'b'] as const;

/** A code ready to be sealed: content as bytes, and its fingerprint in each slot in use. */
export interface Prepared {
  code: PlainCode;
  content: Buffer;
  fingerprints: (Buffer | null)[];
  duplicate: { code_id: string; state: CodeState } | Prepared | null;
  code_id: string;
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

/** Fingerprints the codes and finds which of them are twice among themselves. Looks into no table: see `markKnown`. */
export async function prepareCodes(
  core: Core,
  sku: string,
  keys: FingerprintKey[],
  codes: PlainCode[],
): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  const seen = new Map<string, Prepared>();
  const slots = SLOTS.map((slot) => keys.find((one) => one.slot === slot));
  for (const [at, code] of codes.entries()) {
    const one = prepareCode(core, sku, slots, code, at);
    const print = (one.fingerprints[0] ?? one.fingerprints[1]!).toString('latin1');
    one.duplicate = seen.get(print) ?? null;
    if (one.duplicate === null) seen.set(print, one);
    prepared.push(one);
    if (at % SLICE === SLICE - 1) await breathe();
  }
  return prepared;
}

function prepareCode(
  core: Core,
  sku: string,
  slots: (FingerprintKey | undefined)[],
  code: PlainCode,
  at: number,
): Prepared {
  checkCode(code, at);
  const { content, identity } = encodeContent(code);
  const fingerprints = slots.map((slot) => (slot ? fingerprint(slot.key, sku, identity) : null));
  return { code, content, fingerprints, duplicate: null, code_id: newId('cod', core.now()) };
}

/** Marks the prepared codes that are in the vault already as duplicates of the ones there. */
export async function markKnown(core: Core, trx: Trx, keys: FingerprintKey[], prepared: Prepared[]): Promise<void> {
  for (let from = 0; from < prepared.length; from += SLICE) {
    const slice = prepared.slice(from, from + SLICE);
    for (const [one, known] of await findKnown(core, trx, keys, slice)) one.duplicate = known;
    if (prepared.length > SLICE) await breathe();
  }
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

/**
 * Seals and writes them slice by slice, the next one sealed while a server still writes the one before. Throws
 * `VaultRetry` where a code of the same fingerprint is already there.
 */
export async function insertSealed(
  core: Core,
  trx: Trx,
  batch: BatchRow,
  key: Buffer,
  fresh: Prepared[],
  costs: (number | null)[],
  quarantined: string | undefined,
): Promise<CodeRow[]> {
  const rows: CodeRow[] = [];
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let from = 0; from < fresh.length; from += SLICE) {
      const slice = fresh
        .slice(from, from + SLICE)
        .map((one, at) => sealCode(batch, key, one, costs[from + at] ?? null, quarantined));
      await writing;
      writing = core.store.insertCodes(trx, slice);
      // Its failure is met at the next `await`; until then it must not count as one that nobody looks at.
      writing.catch(() => undefined);
      for (const row of slice) rows.push(row);
      if (fresh.length > SLICE) await breathe();
    }
  } finally {
    // Nothing of this may still be under way when the caller rolls back.
    await writing;
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

/** Overwrites the content of prepared codes: once they are sealed, or the deposit has failed, nobody needs it. */
export function wipe(prepared: Prepared[]): void {
  for (const { content } of prepared) content.fill(0);
}

/** Covers what a deposit wrote, whatever order its rows are read in. */
export function depositDigest(rows: Pick<CodeRow, 'code_id' | 'cost_e4' | 'expires_at'>[]): string {
  const sorted = [...rows].sort((one, other) => (one.code_id < other.code_id ? -1 : 1));
  return digestOf(
    sorted.map((row) => [row.code_id, row.cost_e4 === null ? null : Number(row.cost_e4), Number(row.expires_at)]),
  );
}

export async function recordDeposit(
  core: Core,
  trx: Trx,
  batch: BatchRow,
  rows: CodeRow[],
  is_part = false,
): Promise<void> {
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
export function deposited({ code_id, duplicate }: Prepared, quarantined: string | undefined): Deposited {
  if (duplicate === null) return { code_id };
  // Twice in this very deposit: the first one is in the state they all go in with.
  const state = 'state' in duplicate ? duplicate.state : quarantined === undefined ? 'available' : 'quarantined';
  return { duplicate_of: duplicate.code_id, state };
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

export function checkMoney(field: string, amount_e4: number | null): void {
  if (amount_e4 !== null && (!Number.isSafeInteger(amount_e4) || amount_e4 < 0)) {
    throw invalid(field, 'is not an amount', 'Give a whole number of ten-thousandths, 0 or more.');
  }
}

/** Gives timers and sockets a turn: SQLite answers in microtasks alone. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
