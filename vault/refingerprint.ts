// Replacing the fingerprint key without a gap: while it lasts every code carries the fingerprint under both keys, each
// in a column of its own, and a deposit is compared with both. Steps as in rotate.ts.
import { identityOf } from './content.js';
import type { Core } from './core.js';
import { VaultError } from './errors.js';
import { batchKeyName, type FingerprintKey } from './gate.js';
import { writeRecords } from './ledger.js';
import { keyRecord, type Step } from './rotate.js';
import { insertRows } from './rows.js';
import { bindingBytes, fingerprint, open } from './seal.js';
import { SLOT_COLUMN, type Slot } from './tables.js';
import type { Act, Trx } from './types.js';

const STEP_ROWS = 250;
/** Longer than any process goes without reading the state, so that all of them have heard of a phase. */
const HEARD_MS = 1500;

/**
 * filling: deposits write both, older codes get the second · retiring: the new key counts, both are still written ·
 * clearing: only the new one is written, the old column is emptied.
 */
type Phase = 'filling' | 'retiring' | 'clearing';

/** Begins the replacement. Throws `conflict` if one is under way, or nothing has been deposited yet. */
export async function beginFingerprintKey(core: Core, trx: Trx, act: Act): Promise<void> {
  core.gate.forget();
  const keys = (await core.gate.pass(trx)).fingerprint_keys;
  const rows = await trx('vault_keys')
    .where({ purpose: 'fingerprint' })
    .whereNot({ state: 'retired' })
    .select('version', 'slot');
  if (keys.length !== 1 || rows.length !== 1) {
    throw new VaultError('conflict', 'the fingerprint key cannot be replaced now', {
      fix: 'A replacement is under way (finish it first), or there is no code yet.',
    });
  }
  const version = rows[0]!.version + 1;
  const slot: Slot = rows[0]!.slot === 'a' ? 'b' : 'a';
  const wrapped = core.keyring.wrap('fingerprint', String(version), core.keyring.newKey());
  await insertRows(trx, 'vault_keys', [
    { purpose: 'fingerprint', version, ...wrapped, state: 'filling', slot, created_at: core.now() },
  ]);
  await setPhase(core, trx, 'filling');
  await writeRecords(trx, core.now(), [keyRecord(act, 'fingerprint', { version })]);
  trx.executionPromise.then(
    () => core.gate.forget(),
    () => undefined,
  );
}

/** Does the next bit of a replacement under way. `is_waiting`: until every process has heard of the phase. */
export async function fingerprintStep(core: Core, trx: Trx): Promise<Step> {
  const row = await trx('vault_state').where({ name: 'fingerprint_phase' }).first();
  if (!row) return { changed: 0, is_done: true };
  core.gate.forget();
  const { fingerprint_keys } = await core.gate.pass(trx);
  const heard = core.now() - Number(row.updated_at) > HEARD_MS;
  if (row.value === 'clearing') return heard ? clearStep(core, trx) : waiting();
  const newest = fingerprint_keys.at(-1)!;
  const filled = await fillStep(core, trx, newest);
  if (filled > 0 || !heard) return { changed: filled, is_done: false, is_waiting: filled === 0 };
  const column = SLOT_COLUMN[newest.slot];
  if (await trx('codes').whereNull(column).first('code_id')) return waiting();
  return row.value === 'filling' ? promote(core, trx, newest) : retire(core, trx, newest);
}

async function fillStep(core: Core, trx: Trx, { slot, key }: FingerprintKey): Promise<number> {
  const codes = await core.store.codesWithout(trx, slot, STEP_ROWS);
  const keys = await core.gate.batchKeys(trx, codes);
  for (const code of codes) {
    const batch_key = keys.get(batchKeyName(code));
    if (!batch_key)
      throw new VaultError('unauthentic', `${code.code_id} cannot be opened`, {
        fix: 'Run `kamigate vault verify` and settle its faults first.',
      });
    const content = open(batch_key, bindingBytes(code), code.sealed);
    const print = fingerprint(key, code.sku, identityOf(content));
    content.fill(0);
    await trx('codes')
      .where({ code_id: code.code_id, sku: code.sku })
      .update({ [SLOT_COLUMN[slot]]: print });
  }
  return codes.length;
}

async function promote(core: Core, trx: Trx, newest: FingerprintKey): Promise<Step> {
  await trx('vault_keys').where({ purpose: 'fingerprint', state: 'current' }).update({ state: 'retiring' });
  await trx('vault_keys').where({ purpose: 'fingerprint', version: newest.version }).update({ state: 'current' });
  await setPhase(core, trx, 'retiring');
  return { changed: 0, is_done: false, is_waiting: true };
}

async function retire(core: Core, trx: Trx, newest: FingerprintKey): Promise<Step> {
  // The old key is of no use to anyone from here on, a thief included.
  await trx('vault_keys')
    .where({ purpose: 'fingerprint' })
    .whereNot({ version: newest.version })
    .update({ state: 'retired', wrapped: Buffer.alloc(0) });
  await setPhase(core, trx, 'clearing');
  return { changed: 0, is_done: false, is_waiting: true };
}

async function clearStep(core: Core, trx: Trx): Promise<Step> {
  const [current] = (await core.gate.pass(trx)).fingerprint_keys;
  const column = SLOT_COLUMN[current!.slot === 'a' ? 'b' : 'a'];
  const rows = await trx('codes').whereNotNull(column).limit(STEP_ROWS).select('code_id');
  if (rows.length > 0) {
    const ids = rows.map((row) => row.code_id);
    return {
      changed: await trx('codes')
        .whereIn('code_id', ids)
        .update({ [column]: null }),
      is_done: false,
    };
  }
  await trx('vault_state').where({ name: 'fingerprint_phase' }).delete();
  return { changed: 0, is_done: true };
}

async function setPhase(core: Core, trx: Trx, value: Phase): Promise<void> {
  const row = { name: 'fingerprint_phase', value, updated_at: core.now() };
  await trx('vault_state').insert(row).onConflict('name').merge();
}

function waiting(): Step {
  return { changed: 0, is_done: false, is_waiting: true };
}
