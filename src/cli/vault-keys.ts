// Keys: which versions there are and what is under each, rotation to a new one, the minimum that still counts; and
// sealing the vault at once.
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { VAULT_SEALED_COLUMNS } from '../../vault/rotate.js';
import { type RotationPhase, type RotationRun, runFingerprints, runRotation } from '../../vault/rotation.js';
import { addKeyVersion } from '../../vault/sources.js';
import type { Gateway } from '../main.js';
import { SEALED_COLUMNS } from '../sealed-columns.js';
import { type Context, columns, configOf, confirm, onGateway, wholeNumber } from './context.js';
import { usageError } from './failure.js';
import { createProgress, type Progress } from './progress.js';
import { type ActFlags, actOf, transact, withAct } from './vault-acts.js';

const ALL_COLUMNS = [...VAULT_SEALED_COLUMNS, ...SEALED_COLUMNS];
const VERSION_MAX = 999_999_999;

export function addVaultKeys(vault: Command, context: Context): void {
  vault
    .command('keys')
    .description('master key versions, and how much is under each')
    .option('--public', 'only the ledger’s public key, as PEM: what checks a proof')
    .action((flags: { public?: boolean }) => (flags.public ? showPublic(context) : showKeys(context)));
  vault
    .command('add-key')
    .description('add a new master key version to the key file; back it up, then rotate')
    .action(() => addKey(context));
  withAct(
    vault
      .command('rotate')
      .description('bring everything under the newest master key; killed, it goes on where it was'),
  )
    .option('--deep', 'encrypt every code anew too')
    .option('--fingerprints', 'replace the key of the fingerprints too')
    .action((flags: RotateFlags) => rotate(context, flags));
  withAct(
    vault
      .command('raise-minimum')
      .description('from now on refuse everything under an older version than this')
      .argument('[version]', 'the newest one if left out', wholeNumber('version', 1, VERSION_MAX)),
  ).action((version: number | undefined, flags: ActFlags) => raiseMinimum(context, version, flags));
  withAct(vault.command('seal-now').description('within a second no process opens a code')).action((flags: ActFlags) =>
    seal(context, flags),
  );
  withAct(vault.command('unseal').description('let every process read its keys again')).action((flags: ActFlags) =>
    unseal(context, flags),
  );
}

interface KeyUse {
  version: number;
  /** The process has it in memory. */
  at_hand: boolean;
  batch_keys: number;
  vault_keys: number;
  texts: number;
}

async function showKeys(context: Context): Promise<void> {
  await onGateway(context, async (gateway) => {
    const { vault, database } = gateway;
    const status = await vault.rotation.status(database.read);
    const uses = await keyUses(gateway, status.versions);
    const data = { ...status, uses };
    context.show(data, () =>
      [
        columns(
          ['version', '', 'batch keys', 'keys of the vault', 'sealed texts'],
          uses.map((use) => [
            use.version,
            [
              ...(use.version === status.current_version ? ['current'] : []),
              ...(use.version < status.minimum_version ? ['refused'] : []),
              ...(use.at_hand ? [] : ['not at hand']),
            ].join(', '),
            use.batch_keys,
            use.vault_keys,
            use.texts,
          ]),
        ),
        `${status.codes_to_reseal} of ${status.codes_total} codes are under a batch key made before version ${status.current_version}`,
      ].join('\n'),
    );
    if (status.keys_to_rewrap > 0) context.tell('next: kamigate vault rotate --reason …');
  });
}

async function keyUses({ database }: Gateway, at_hand: readonly number[]): Promise<KeyUse[]> {
  const { read } = database;
  const uses = new Map<number, KeyUse>();
  const of = (version: number): KeyUse => {
    const use = uses.get(version) ?? {
      version,
      at_hand: at_hand.includes(version),
      batch_keys: 0,
      vault_keys: 0,
      texts: 0,
    };
    uses.set(version, use);
    return use;
  };
  for (const version of at_hand) of(version);
  for (const { version } of (await read('master_keys').select('version')) as { version: number }[]) of(version);
  const grouped = (table: string) =>
    read(table).groupBy('master_version').select('master_version').count({ count: '*' }) as unknown as Promise<
      { master_version: number; count: number | string }[]
    >;
  for (const { master_version, count } of await grouped('batch_keys')) of(master_version).batch_keys = Number(count);
  for (const { master_version, count } of await grouped('vault_keys')) of(master_version).vault_keys = Number(count);
  for (const version of [...uses.keys()]) {
    for (const { table, column } of ALL_COLUMNS) {
      const row = await read(table).where(column, 'like', `1.${version}.%`).count({ count: '*' }).first();
      of(version).texts += Number((row as { count: number | string }).count);
    }
  }
  return [...uses.values()].sort((one, other) => one.version - other.version);
}

async function showPublic(context: Context): Promise<void> {
  await onGateway(context, async ({ vault, database }) => {
    const keys = [...(await vault.publicKeys(database.read))];
    context.show(
      keys.map(([version, public_key]) => ({ version, public_key })),
      () => keys.map(([, public_key]) => public_key.trimEnd()).join('\n'),
    );
    if (keys.length === 0) context.tell('no head of the ledger was signed yet');
  });
}

function addKey(context: Context): void {
  const { config } = configOf(context);
  if (config.master_key !== null || config.master_key_p12_files !== null) {
    throw usageError(
      'master_key_file',
      'the master key is not in a key file',
      config.master_key === null
        ? 'Add another PKCS#12 file, as version=path, to KAMIGATE_MASTER_KEY_P12_FILES.'
        : 'Add a line such as `2 BASE64` to KAMIGATE_MASTER_KEY; the old versions stay.',
    );
  }
  const path = config.master_key_file;
  if (!existsSync(path))
    throw usageError('master_key_file', `there is no key file ${path}`, 'Run `kamigate init` once to make one.');
  const version = addKeyVersion(path);
  context.show({ master_key_file: path, version }, () => `version ${version} is in ${path}`);
  context.tell(
    'Back the file up now, and put the same file before every process. Then: kamigate vault rotate --reason …',
  );
}

interface RotateFlags extends ActFlags {
  deep?: boolean;
  fingerprints?: boolean;
}

const PHASES: Record<RotationPhase, string> = {
  deep: 'codes',
  rewrap: 'batch keys',
  texts: 'sealed texts',
  fingerprints: 'fingerprints',
};

async function rotate(context: Context, flags: RotateFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    const { vault, database } = gateway;
    const version = await adopt(gateway, flags);
    const bars = new Map<RotationPhase, Progress>();
    const run: RotationRun = {
      vault,
      tx: (fn) => transact(gateway, 'rotate', fn),
      knex: database.read,
      columns: ALL_COLUMNS,
      is_deep: flags.deep === true,
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      on_progress: (phase, done, total) => {
        if (!bars.has(phase)) {
          for (const bar of bars.values()) bar.end();
          bars.set(phase, createProgress(context, PHASES[phase]));
        }
        bars.get(phase)!.at(done, total);
      },
    };
    const result = await runRotation(run);
    const fingerprints = flags.fingerprints ? await replaceFingerprints(gateway, run, flags) : 0;
    for (const bar of bars.values()) bar.end();
    context.show({ current_version: version, ...result, fingerprints }, () =>
      [
        `everything is under version ${version}:`,
        `${result.keys_rewrapped} keys wrapped anew, ${result.texts_resealed} texts and ${result.codes_resealed} codes sealed anew`,
      ].join(' '),
    );
    context.tell('next: kamigate vault raise-minimum --reason … refuses what is older, in backups too');
  });
}

/** Once for each version: it is in the ledger that it was put to use, and by whom. */
async function adopt(gateway: Gateway, flags: ActFlags): Promise<number> {
  const { vault, database } = gateway;
  const { current_version } = await vault.rotation.status(database.read);
  const known = await database.read('master_keys').where({ version: current_version }).first('version');
  if (known) return current_version;
  await transact(gateway, 'adopt', (trx) => vault.rotation.adopt(trx, actOf(flags)));
  // Until then another process may still seal under the version before.
  await new Promise((resolve) => setTimeout(resolve, HEARD_MS));
  return current_version;
}

/** Every process has heard of a new version after so long. */
const HEARD_MS = 1_000;

async function replaceFingerprints(gateway: Gateway, run: RotationRun, flags: ActFlags): Promise<number> {
  const { vault, database } = gateway;
  const under_way = await database.read('vault_state').where({ name: 'fingerprint_phase' }).first('value');
  if (!under_way)
    await transact(gateway, 'fingerprints', (trx) => vault.rotation.beginFingerprintKey(trx, actOf(flags)));
  const { codes_total } = await vault.rotation.status(database.read);
  // Filled under the new key, and emptied of the old one.
  return runFingerprints(run, codes_total * 2);
}

async function raiseMinimum(context: Context, version: number | undefined, flags: ActFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    const { vault, database } = gateway;
    const { current_version, minimum_version } = await vault.rotation.status(database.read);
    const wanted = version ?? current_version;
    if (wanted < minimum_version)
      throw usageError('version', `the minimum is ${minimum_version} already`, 'It is never lowered.');
    const question = `Refuse everything under a version below ${wanted}, backups from before included?`;
    if (!(await confirm(context, question))) return context.tell('nothing was done');
    await transact(gateway, 'raise minimum', (trx) =>
      vault.rotation.raiseMinimum(trx, wanted, ALL_COLUMNS, actOf(flags)),
    );
    context.show({ minimum_version: wanted }, () => `the minimum is version ${wanted}`);
    context.tell('Older versions may leave the key file once no backup from before is needed any more.');
  });
}

/** Asks nothing: who seals is in a hurry. */
async function seal(context: Context, flags: ActFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    await transact(gateway, 'seal', (trx) => gateway.vault.control.seal(trx, actOf(flags)));
    context.show({ is_sealed: true }, () => 'the vault is sealed');
    context.tell('next: kamigate vault unseal --reason … once that is settled');
  });
}

async function unseal(context: Context, flags: ActFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    await transact(gateway, 'unseal', (trx) => gateway.vault.control.unseal(trx, actOf(flags)));
    context.show({ is_sealed: false }, () => 'the vault is open');
  });
}
