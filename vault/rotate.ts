// Key rotation, online and resumable: every step is one short transaction that leaves everything readable, so a
// process that is killed between two steps is simply followed by another. Issuing goes on meanwhile.
import type { Knex } from 'knex';
import type { Core } from './core.js';
import { VaultError, VaultRetry } from './errors.js';
import { batchKeyName, registerMasterKeys, unwrapReloading } from './gate.js';
import { digestOf, writeRecords } from './ledger.js';
import { BATCH_CODES_MAX, wrapBatchKey } from './prepare.js';
import { insertRows, withBuffers } from './rows.js';
import { bindingBytes, open, seal } from './seal.js';
import type { BatchKeyRow, CodeRow } from './tables.js';
import { openTextWith, sealedTextVersion, sealTextWith } from './text.js';
import type { Act, Trx } from './types.js';

/** Rows of one step: some tens of milliseconds. */
const STEP_ROWS = 250;

/** A column that holds sealed texts. Every one there is must be listed, or raising the minimum would lose it. */
export interface SealedColumn {
  table: string;
  /** The primary key, one column. */
  key: string;
  column: string;
  purpose: string;
  /** The context the text was sealed with, from the row. */
  context: (row: Record<string, string>) => string;
}

/** The vault's own. The program adds those of its tables. */
export const VAULT_SEALED_COLUMNS: readonly SealedColumn[] = [
  { table: 'claims', key: 'claim_id', column: 'content_sealed', purpose: 'claim', context: (row) => row.claim_id! },
  { table: 'seat_pools', key: 'pool_id', column: 'content_sealed', purpose: 'seat', context: (row) => row.pool_id! },
];

/** What one step did. `is_waiting`: rows are left that others hold for the moment. */
export interface Step {
  changed: number;
  is_done: boolean;
  is_waiting?: boolean;
}

/** Makes a master key version that was added to the source known to every process. Returns the current version. */
export async function adoptMasterKey(core: Core, trx: Trx, act: Act): Promise<number> {
  core.keyring.unseal();
  await registerMasterKeys(trx, core.keyring, core.now());
  const version = core.keyring.current_version;
  await writeRecords(trx, core.now(), [keyRecord(act, 'adopt', { version })]);
  return version;
}

/** Wraps up to 250 keys anew under the current master version. No code is touched. */
export async function rewrapStep(core: Core, trx: Trx): Promise<Step> {
  await core.gate.pass(trx);
  const current = core.keyring.current_version;
  const own = withBuffers(
    await trx('vault_keys').where('master_version', '<', current).whereNot({ state: 'retired' }).select(),
    'wrapped',
  );
  for (const row of own) {
    const key = unwrapReloading(core.keyring, row.purpose, String(row.version), row);
    await trx('vault_keys')
      .where({ purpose: row.purpose, version: row.version })
      .update(core.keyring.wrap(row.purpose, String(row.version), key));
  }
  const rows: BatchKeyRow[] = await core.store.oldBatchKeys(trx, current, STEP_ROWS);
  const wrapped = rows.map((row) => ({
    ...row,
    ...core.keyring.wrap('batch', batchKeyName(row), core.gate.unwrapBatchKey(row)),
  }));
  await core.store.rewrapBatchKeys(trx, wrapped);
  const left =
    rows.length > 0 || own.length > 0 ? true : await exists(trx('batch_keys').where('master_version', '<', current));
  return { changed: rows.length + own.length, is_done: !left, is_waiting: left && rows.length === 0 };
}

/** Re-encrypts up to 250 codes of one batch under a new key of that batch; drops the old key when none needs it. */
export async function deepStep(core: Core, trx: Trx): Promise<Step> {
  await core.gate.pass(trx);
  const current = core.keyring.current_version;
  const old: BatchKeyRow | undefined = await trx('batch_keys')
    .where('born_version', '<', current)
    .orderBy([{ column: 'born_version' }, { column: 'batch_id' }])
    .first();
  if (!old) return { changed: 0, is_done: true };
  withBuffers([old], 'wrapped');
  const target = await youngKey(core, trx, old, current);
  const codes = await core.store.codesUnder(trx, old, STEP_ROWS);
  if (codes.length === 0) return dropKey(core, trx, old);
  const counted = await trx('batch_keys')
    .where({ batch_id: target.batch_id, key_version: target.key_version })
    .where('seals_count', '<=', BATCH_CODES_MAX - codes.length)
    .increment('seals_count', codes.length);
  if (counted !== 1)
    throw new VaultError('batch_full', `the new key of ${old.batch_id} has sealed all it may`, {
      fix: 'Add another master key version and rotate again.',
    });
  const from = core.gate.unwrapBatchKey(old);
  const to = core.gate.unwrapBatchKey(target);
  await core.store.reseal(
    trx,
    codes.map((code) => resealed(code, from, to, target.key_version)),
  );
  return { changed: codes.length, is_done: false };
}

function resealed(code: CodeRow, from: Buffer, to: Buffer, key_version: number): CodeRow {
  const content = open(from, bindingBytes(code), code.sealed);
  const sealed = seal(to, bindingBytes({ ...code, key_version }), content);
  content.fill(0);
  return { ...code, key_version, sealed };
}

async function youngKey(core: Core, trx: Trx, old: BatchKeyRow, current: number): Promise<BatchKeyRow> {
  const { batch_id } = old;
  const newest: BatchKeyRow = await trx('batch_keys').where({ batch_id }).orderBy('key_version', 'desc').first();
  withBuffers([newest], 'wrapped');
  if (newest.born_version >= current) return newest;
  const key = core.keyring.newKey();
  const row = wrapBatchKey(core.keyring, { batch_id, key_version: newest.key_version + 1 }, key, 0);
  await insertRows(trx, 'batch_keys', [row]);
  await trx('batches').where({ batch_id }).update({ key_version: row.key_version });
  return row;
}

async function dropKey(core: Core, trx: Trx, old: BatchKeyRow): Promise<Step> {
  const { batch_id, key_version } = old;
  // The claim above passes over rows that an issue holds: they come with the next step.
  if (await exists(trx('codes').where({ batch_id, key_version })))
    return { changed: 0, is_done: false, is_waiting: true };
  const dropped = await trx('batch_keys').where({ batch_id, key_version }).delete();
  if (dropped !== 1) throw new VaultRetry('another process dropped the same key');
  await writeRecords(trx, core.now(), [
    { ...keyRecord({ by: 'vault', reason: 'rotation' }, 'drop', { key_version }), batch_id },
  ]);
  return { changed: 0, is_done: false };
}

/** Seals up to 250 texts of one column anew, from the key `after` on. Null: the column's end. */
export async function textStep(
  core: Core,
  trx: Trx,
  column: SealedColumn,
  after: string | null,
): Promise<{ changed: number; after: string | null }> {
  await core.gate.pass(trx);
  const { table, key, column: name, purpose, context } = column;
  // An empty text is none: an account without credentials has one.
  const query = trx(table).whereNotNull(name).whereNot(name, '').orderBy(key).limit(STEP_ROWS).select();
  if (after !== null) query.where(key, '>', after);
  const rows: Record<string, string>[] = await query;
  let changed = 0;
  for (const row of rows) {
    if (sealedTextVersion(row[name]!) >= core.keyring.current_version) continue;
    const sealed = sealTextWith(
      core.keyring,
      purpose,
      context(row),
      openTextWith(core.keyring, purpose, context(row), row[name]!),
    );
    // Only what was read: a value that was set meanwhile is newer than ours.
    changed += await trx(table)
      .where({ [key]: row[key]!, [name]: row[name]! })
      .update({ [name]: sealed });
  }
  return { changed, after: rows.length < STEP_ROWS ? null : rows.at(-1)![key]! };
}

/** What is still under an older master version than the current one. */
export interface RotationStatus {
  versions: number[];
  current_version: number;
  minimum_version: number;
  /** Keys still wrapped by an older version. */
  keys_to_rewrap: number;
  /** Codes whose batch key was made under an older version. */
  codes_to_reseal: number;
  codes_total: number;
}

export async function rotationStatus(core: Core, knex: Knex): Promise<RotationStatus> {
  const { minimum_version } = await core.gate.pass(knex);
  const { versions, current_version } = core.keyring;
  const count = async (query: Knex.QueryBuilder): Promise<number> =>
    Number((await query.count({ count: '*' }).first())?.count ?? 0);
  const old_keys = knex('batch_keys').where('born_version', '<', current_version);
  const codes_to_reseal = await count(
    old_keys.join('codes', (on) =>
      on.on('codes.batch_id', 'batch_keys.batch_id').andOn('codes.key_version', 'batch_keys.key_version'),
    ),
  );
  return {
    versions,
    current_version,
    minimum_version,
    keys_to_rewrap:
      (await count(knex('batch_keys').where('master_version', '<', current_version))) +
      (await count(knex('vault_keys').where('master_version', '<', current_version).whereNot({ state: 'retired' }))),
    codes_to_reseal,
    codes_total: await count(knex('codes') as Knex.QueryBuilder),
  };
}

/** From now on refuses everything under an older version. Throws `conflict` while anything still needs one. */
export async function raiseMinimum(
  core: Core,
  trx: Trx,
  version: number,
  columns: readonly SealedColumn[],
  act: Act,
): Promise<void> {
  await core.gate.pass(trx);
  const refuse = (what: string): VaultError =>
    new VaultError('conflict', `${what} still need a master key version below ${version}`, {
      field: 'version',
      fix: 'Run `kamigate vault rotate` to its end first.',
    });
  if (version > core.keyring.current_version) throw refuse('all keys');
  if (await exists(trx('batch_keys').where('master_version', '<', version))) throw refuse('batch keys');
  if (await exists(trx('vault_keys').where('master_version', '<', version).whereNot({ state: 'retired' })))
    throw refuse('keys of the vault');
  for (const { table, column } of columns) {
    for (const old of core.keyring.versions.filter((one) => one < version)) {
      if (await exists(trx(table).where(column, 'like', `1.${old}.%`))) throw refuse(`${table}.${column}`);
    }
  }
  await trx('vault_state')
    .insert({ name: 'minimum_version', value: String(version), updated_at: core.now() })
    .onConflict('name')
    .merge();
  await writeRecords(trx, core.now(), [keyRecord(act, 'minimum', { version })]);
  trx.executionPromise.then(
    () => core.gate.forget(),
    () => undefined,
  );
}

export function keyRecord(act: Act, what: string, data: Record<string, unknown>) {
  return {
    act: 'key' as const,
    actor: act.by,
    count: 0,
    digest: digestOf([[what, data]]),
    data: { what, ...data, reason: act.reason },
  };
}

async function exists(query: Knex.QueryBuilder): Promise<boolean> {
  return (await query.limit(1).select()).length > 0;
}
