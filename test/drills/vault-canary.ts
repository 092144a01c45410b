// Plaintext is nowhere but in memory: canary codes go through every flow, errors and debug logging included, and then
// every byte the run left behind is searched for them in seven spellings.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { VAULT_SEALED_COLUMNS } from '../../vault/rotate.js';
import { runFingerprints, runRotation } from '../../vault/rotation.js';
import { addKeyVersion } from '../../vault/sources.js';
import { depositOf } from '../vault/world.js';
import type { DrillReport } from './report.js';
import { chainAll, type DrillVault, openDrillVault } from './vault-setup.js';

export interface CanarySize {
  codes: number;
}
export const FULL: CanarySize = { codes: 1000 };
export const SMALL: CanarySize = { codes: 60 };

const SKU = 'CANARY-SKU';
const act = { by: 'operator:drill', reason: 'drill' };

export async function run({ codes }: CanarySize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-canary', figures: {}, violations: [] };
  const before = new Set(readdirSync(tmpdir()));
  const drill = await openDrillVault();
  const canaries = Array.from({ length: codes }, () => `KC${randomBytes(9).toString('hex').toUpperCase()}`);
  try {
    const log = await runFlows(drill, canaries);
    writeFileSync(join(drill.folder, 'debug.log'), log);
    const files = [...filesUnder(drill.folder), ...databaseFiles(drill), ...newTempFiles(before, drill.folder)];
    const dump = await dumpRows(drill);
    let hits = 0;
    let bytes = dump.length;
    const look = (content: Buffer, where: string): void => {
      const found = countHits(content, canaries);
      hits += found;
      if (found > 0) report.violations.push(`${found} hits in ${where}`);
    };
    look(dump, 'the rows');
    for (const file of files) {
      // Other tests come and go in the same folder.
      if (!existsSync(file)) continue;
      const content = readFileSync(file);
      bytes += content.length;
      look(content, file.split('/').at(-1)!);
    }
    // The search itself must be able to find: a canary on purpose.
    if (countHits(Buffer.from(`x${canaries[0]}y`), canaries) !== 1)
      report.violations.push('the search finds nothing at all');
    report.figures = {
      canaries: codes,
      spellings: SPELLINGS.length,
      'files searched': files.length,
      'bytes searched': bytes,
      hits,
    };
  } finally {
    await drill.close();
  }
  return report;
}

/** Every flow there is; returns what a debug log would hold of its inputs, results and errors. */
async function runFlows(drill: DrillVault, canaries: string[]): Promise<string> {
  const { vault, tx, database } = drill;
  let log = '';
  const debug = (value: unknown): void => {
    log += `${inspect(value, { depth: 8, maxArrayLength: 5 })} ${JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? String(one) : one))}\n`;
  };
  const attempt = async (work: Promise<unknown>): Promise<void> => debug(await work.catch((error: unknown) => error));
  const third = Math.floor(canaries.length / 3);
  const [deposited, imported, doubtful] = [
    canaries.slice(0, third),
    canaries.slice(third, 2 * third),
    canaries.slice(2 * third),
  ];
  const all = (numbers: string[]) =>
    numbers.map((number) => ({ number, pin: `${number}P`, serial: `${number}S`, link: `https://x.example/${number}` }));
  const statements: unknown[] = [];
  database.write.on('query-error', (error: unknown) => statements.push(error));
  await attempt(tx((trx) => vault.deposit(trx, depositOf(all(deposited), { sku: SKU, account: 'sup-a' }))));
  await attempt(tx((trx) => vault.deposit(trx, depositOf(all(deposited), { sku: SKU }))));
  await attempt(
    tx((trx) => vault.deposit(trx, depositOf([{ number: `${deposited[0]}${'x'.repeat(5000)}` }], { sku: SKU }))),
  );
  await attempt(tx((trx) => vault.deposit(trx, depositOf(all(doubtful), { sku: SKU, quarantined: 'drill' }))));
  // A database that refuses the row: the driver's error carries the statement.
  await attempt(
    tx(async (trx) => {
      await trx('batches').update({ codes_count: -1 });
    }),
  );
  const text = `number,pin\n${imported.map((number) => `${number},1`).join('\n')}\n${imported[0]},1\n${deposited[0]},9${'y'.repeat(5000)}\n`;
  const intake = {
    plan: {
      sku: SKU,
      account: null,
      document: null,
      currency: null,
      unit_cost_e4: null,
      total_cost_e4: null,
      received_by: 'drill',
      format: { kind: 'csv' as const },
    },
    open: async function* () {
      yield Buffer.from(text);
    },
    tx,
    knex: database.read,
  };
  await attempt(vault.intake.dryRun(intake));
  let errors = '';
  await attempt(vault.intake.commit(intake, { errors: (piece) => (errors += piece) }));
  writeFileSync(join(drill.folder, 'errors.csv'), errors);
  for (let order = 0; order < third; order++) {
    const order_id = `ord_${order}`;
    await attempt(tx((trx) => vault.issue(trx, [{ order_id, sku: SKU, first_unit: 1, quantity: 1 }])));
    await attempt(tx((trx) => vault.reveal(trx, { order_id, by: 'storefront:drill', reason: 'drill' })));
  }
  await attempt(tx((trx) => vault.aftersale.dispute(trx, { order_id: 'ord_0', unit_no: 1 }, act)));
  await attempt(tx((trx) => vault.aftersale.replace(trx, { order_id: 'ord_0', unit_no: 1 }, act)));
  await attempt(tx((trx) => vault.release(trx, { sku: SKU }, act)));
  await attempt(
    tx((trx) => vault.seats.open(trx, { sku: 'SEATS', name: 'x', seats: 2, content: canaries[0]!, by: 'drill' })),
  );
  await chainAll(drill);
  await tx((trx) => vault.signHead(trx));
  addKeyVersion(drill.key_path);
  await tx((trx) => vault.rotation.adopt(trx, act));
  const rotation = {
    vault,
    tx,
    knex: database.read,
    columns: VAULT_SEALED_COLUMNS,
    is_deep: true,
    pause: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
  };
  await attempt(runRotation(rotation));
  await tx((trx) => vault.rotation.beginFingerprintKey(trx, act));
  await attempt(runFingerprints(rotation, canaries.length));
  const bad = await database.read('codes').where({ state: 'issued' }).first('code_id');
  await tx((trx) =>
    trx('codes')
      .where({ code_id: bad.code_id })
      .update({ sealed: Buffer.alloc(60, 1) }),
  );
  await attempt(vault.verify(database.read, { open_codes: true }));
  await attempt(vault.figures(database.read));
  debug(statements);
  return log;
}

const SPELLINGS: ((text: string) => Buffer)[] = [
  (text) => Buffer.from(text),
  (text) => Buffer.from(text.toLowerCase()),
  (text) => Buffer.from(text, 'utf16le'),
  (text) => Buffer.from(text, 'utf16le').swap16(),
  (text) => Buffer.from(Buffer.from(text).toString('hex')),
  (text) => Buffer.from(Buffer.from(text).toString('hex').toUpperCase()),
  (text) => Buffer.from([...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase()}`).join('')),
];

/** Hits of every canary in every spelling; base64 by its three alignments, less the characters the edges decide. */
function countHits(content: Buffer, canaries: string[]): number {
  let hits = 0;
  const text = content.toString('latin1');
  for (const canary of canaries) {
    for (const spelled of SPELLINGS) if (text.includes(spelled(canary).toString('latin1'))) hits++;
    for (const shift of [0, 1, 2]) {
      const encoded = Buffer.from(`${'x'.repeat(shift)}${canary}`)
        .toString('base64')
        .replace(/=+$/, '');
      if (text.includes(encoded.slice(shift === 0 ? 0 : 4, -3))) hits++;
    }
  }
  return hits;
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

/** SQLite's file, its WAL and a backup of it. A server's files are its own; there its rows are dumped. */
function databaseFiles({ url }: DrillVault): string[] {
  if (!url.startsWith('sqlite:')) return [];
  const path = url.slice('sqlite:'.length);
  execFileSync('cp', [path, `${path}.backup`]);
  return filesUnder(join(path, '..'));
}

function newTempFiles(before: Set<string>, own: string): string[] {
  return readdirSync(tmpdir())
    .filter((name) => !before.has(name) && /^kamigate-(drill|test)-/.test(name) && join(tmpdir(), name) !== own)
    .flatMap((name) => {
      const path = join(tmpdir(), name);
      return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? filesUnder(path) : [path];
    });
}

async function dumpRows({ database }: DrillVault): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const table of [
    'batches',
    'batch_keys',
    'codes',
    'issues',
    'reveals',
    'ledger',
    'ledger_inbox',
    'vault_keys',
    'vault_state',
    'claims',
    'disputes',
    'replacements',
    'seat_pools',
    'seats',
  ]) {
    for (const row of await database.read(table).select()) {
      for (const value of Object.values(row)) {
        if (value !== null && value !== undefined)
          parts.push(
            typeof value === 'object' ? Buffer.from(value as Buffer) : Buffer.from(String(value)),
            Buffer.from('\n'),
          );
      }
    }
  }
  return Buffer.concat(parts);
}
