// Nobody with the database alone can move a code: any two of ciphertext, id, SKU, batch and key version are swapped
// between rows, and bits are flipped; every single one is refused when it is opened.
import { isUntrusted } from '../../vault/gate.js';
import { bindingBytes, open } from '../../vault/seal.js';
import type { CodeRow } from '../../vault/tables.js';
import { depositOf, numbered } from '../vault/world.js';
import { type DrillReport, seeded } from './report.js';
import { openDrillVault } from './vault-setup.js';

export interface TamperSize {
  swaps: number;
  flips: number;
  /** Of the swaps, how many are also written to the database and issued from it. */
  written: number;
}
export const FULL: TamperSize = { swaps: 10_000, flips: 1000, written: 200 };
export const SMALL: TamperSize = { swaps: 300, flips: 40, written: 10 };

const PARTS = ['sealed', 'code_id', 'sku', 'batch_id', 'key_version'] as const;
const SKUS = ['A', 'B', 'C'];

export async function run(size: TamperSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-tamper', figures: {}, violations: [] };
  const drill = await openDrillVault();
  try {
    const codes = await depositAll(drill, size.swaps);
    const keys = await batchKeys(drill, codes);
    const opens = (code: CodeRow): boolean => {
      const key = keys.get(`${code.batch_id} ${code.key_version}`);
      if (!key) return false;
      try {
        open(key, bindingBytes(code), code.sealed);
        return true;
      } catch (error) {
        if (!isUntrusted(error)) throw error;
        return false;
      }
    };
    const random = seeded(11);
    const pick = (): CodeRow => codes[Math.floor(random() * codes.length)]!;
    let swapped = 0;
    for (let at = 0; at < size.swaps; at++) {
      const changed = swapParts(codes[at]!, pick, random);
      if (!changed) continue;
      swapped++;
      if (opens(changed)) report.violations.push(`${codes[at]!.code_id} opens with parts of another row`);
    }
    let bits = 0;
    for (let at = 0; at < size.flips; at++) {
      const code = pick();
      for (let bit = 0; bit < code.sealed.length * 8; bit++, bits++) {
        const sealed = Buffer.from(code.sealed);
        sealed[bit >> 3]! ^= 1 << (bit & 7);
        if (opens({ ...code, sealed })) report.violations.push(`${code.code_id} opens with bit ${bit} flipped`);
      }
    }
    const refused = await issueTampered(drill, size.written, report);
    report.figures = {
      'swaps refused': swapped,
      'bits flipped, all refused': bits,
      'written to the database, quarantined at issue': refused,
    };
  } finally {
    await drill.close();
  }
  return report;
}

async function depositAll(
  { vault, tx, database }: Awaited<ReturnType<typeof openDrillVault>>,
  count: number,
): Promise<CodeRow[]> {
  for (let from = 0, batch = 0; from < count; from += 500, batch++) {
    const sku = SKUS[batch % SKUS.length]!;
    await tx((trx) => vault.deposit(trx, depositOf(numbered(Math.min(500, count - from), `B${batch}`), { sku })));
  }
  const rows: CodeRow[] = await database.read('codes').select();
  return rows.map((row) => ({ ...row, sealed: Buffer.from(row.sealed) }));
}

async function batchKeys(
  drill: Awaited<ReturnType<typeof openDrillVault>>,
  codes: CodeRow[],
): Promise<Map<string, Buffer>> {
  const keys = new Map<string, Buffer>();
  for (const row of await drill.database.read('batch_keys').select()) {
    const name = `${row.batch_id} ${row.key_version}`;
    keys.set(name, drill.keyring.unwrap('batch', name, { ...row, wrapped: Buffer.from(row.wrapped) }));
  }
  if (keys.size === 0 || codes.length === 0) throw new Error('must hold: there are codes to tamper with');
  return keys;
}

/** The row with one or two parts of another; null where that changes nothing. */
function swapParts(code: CodeRow, pick: () => CodeRow, random: () => number): CodeRow | null {
  const other = pick();
  const first = PARTS[Math.floor(random() * PARTS.length)]!;
  const second = PARTS[Math.floor(random() * PARTS.length)]!;
  const changed = { ...code, [first]: other[first], [second]: other[second] };
  // All rows here have key version 1: another version stands for a swap with a rotated row.
  if (first === 'key_version' || second === 'key_version') changed.key_version = 2;
  // Taking an id and its own ciphertext within a batch is the other row as it was: nothing was moved.
  const is_row = (row: CodeRow): boolean => PARTS.every((part) => changed[part] === row[part]);
  return is_row(code) || is_row(other) ? null : changed;
}

/** Swaps ciphertexts in the database itself and orders all of it: none of them may be issued. */
async function issueTampered(
  drill: Awaited<ReturnType<typeof openDrillVault>>,
  count: number,
  report: DrillReport,
): Promise<number> {
  const { vault, tx, database } = drill;
  const sku = 'SWAPPED';
  const half = Math.floor(count / 2);
  await tx((trx) => vault.deposit(trx, depositOf(numbered(half * 2 + 10, 'S'), { sku })));
  const rows = await database.read('codes').where({ sku }).orderBy('code_id').select('code_id', 'sealed');
  for (let at = 0; at < half; at++) {
    const [one, other] = [rows[at * 2], rows[at * 2 + 1]];
    await tx(async (trx) => {
      await trx('codes')
        .where({ code_id: one.code_id })
        .update({ sealed: Buffer.from(other.sealed) });
      await trx('codes')
        .where({ code_id: other.code_id })
        .update({ sealed: Buffer.from(one.sealed) });
    });
  }
  // Eight rounds of a claim are the most one call makes; each quarantines what it met.
  for (let order = 0; order < 10; order++) {
    const [result] = await tx((trx) =>
      vault.issue(trx, [{ order_id: `ord_swapped_${order}`, sku, first_unit: 1, quantity: 1 }]),
    );
    if (!result || 'short' in result) report.violations.push('a sound code was not issued because others are damaged');
  }
  const [stock] = await vault.stock(database.read, [sku]);
  if (stock!.quarantined !== half * 2)
    report.violations.push(`${stock!.quarantined} damaged codes quarantined of ${half * 2}`);
  if (stock!.issued !== 10) report.violations.push(`${stock!.issued} sound codes issued of 10`);
  return stock!.quarantined;
}
