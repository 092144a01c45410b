// Tampering with the ledger shows: at every position a record is edited, deleted, swapped, inserted, or everything from
// there on cut off, and each time the check reports it.
import { ChainCheck, type Head, type LedgerRow, publicKeys, recordHash } from '../../vault/chain.js';
import { depositOf, numbered } from '../vault/world.js';
import { type DrillReport, secondsSince } from './report.js';
import { chainAll, openDrillVault } from './vault-setup.js';

export interface LedgerSize {
  positions: number;
}
export const FULL: LedgerSize = { positions: 1000 };
export const SMALL: LedgerSize = { positions: 60 };

type Tamper = (rows: LedgerRow[], at: number) => LedgerRow[];

const TAMPERS: Record<string, Tamper> = {
  edit: (rows, at) => rows.map((row, place) => (place === at ? { ...row, actor: `${row.actor}!` } : row)),
  'edit and recompute that hash': (rows, at) =>
    rows.map((row, place) => {
      if (place !== at) return row;
      const edited = { ...row, count: row.count + 1 };
      return { ...edited, hash: recordHash(rows[at - 1]?.hash ?? '0'.repeat(64), edited) };
    }),
  'edit and recompute all hashes after': (rows, at) =>
    rechained(rows, at, (row) => ({ ...row, order_id: 'ord_other' })),
  delete: (rows, at) => rows.filter((_, place) => place !== at),
  'delete and renumber': (rows, at) =>
    rechained(
      rows.filter((_, place) => place !== at),
      at,
      (row) => row,
    ),
  swap: (rows, at) => {
    const other = (at + 1) % rows.length;
    return rows.map((row, place) => (place === at ? rows[other]! : place === other ? rows[at]! : row));
  },
  insert: (rows, at) => [...rows.slice(0, at), { ...rows[at]!, entry_id: 'evt_forged' }, ...rows.slice(at)],
  'insert and recompute': (rows, at) =>
    rechained([...rows.slice(0, at), { ...rows[at]!, entry_id: 'evt_forged' }, ...rows.slice(at)], at, (row) => row),
  truncate: (rows, at) => rows.slice(0, at),
};

/** What a thief with the database and a calculator would do: everything fits again but the signature. */
function rechained(rows: LedgerRow[], from: number, edit: (row: LedgerRow) => LedgerRow): LedgerRow[] {
  const result = rows.slice(0, from);
  for (let at = from; at < rows.length; at++) {
    const row = { ...(at === from ? edit(rows[at]!) : rows[at]!), seq: at + 1 };
    result.push({ ...row, hash: recordHash(result.at(-1)?.hash ?? '0'.repeat(64), row) });
  }
  return result;
}

export async function run({ positions }: LedgerSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-ledger', figures: {}, violations: [] };
  const drill = await openDrillVault();
  try {
    await drill.tx((trx) => drill.vault.deposit(trx, depositOf(numbered(positions), { sku: 'LEDGER' })));
    for (let order = 0; order < positions; order++) {
      await drill.tx((trx) =>
        drill.vault.issue(trx, [{ order_id: `ord_${order}`, sku: 'LEDGER', first_unit: 1, quantity: 1 }]),
      );
    }
    await chainAll(drill);
    await drill.tx((trx) => drill.vault.signHead(trx));
    const rows: LedgerRow[] = (await drill.database.read('ledger').orderBy('seq')).map((row) => ({
      ...row,
      seq: Number(row.seq),
      at: Number(row.at),
    }));
    const heads: Head[] = (await drill.database.read('ledger_heads')).map((row) => ({
      ...row,
      seq: Number(row.seq),
      at: Number(row.at),
    }));
    const keys = await publicKeys(drill.database.read);
    const faultsOf = (some: LedgerRow[]): number => {
      const check = new ChainCheck(heads, keys);
      for (const row of some) check.feed(row);
      return check.end().faults.length;
    };
    if (faultsOf(rows) !== 0) report.violations.push('the untouched ledger does not verify');
    const start = process.hrtime.bigint();
    for (const [name, tamper] of Object.entries(TAMPERS)) {
      let detected = 0;
      for (let at = 0; at < positions; at++) if (faultsOf(tamper(rows, at)) > 0) detected++;
      if (detected !== positions) report.violations.push(`${name}: ${detected} of ${positions} positions detected`);
      report.figures[name] = `${detected} of ${positions} detected`;
    }
    report.figures.seconds = secondsSince(start).toFixed(1);
  } finally {
    await drill.close();
  }
  return report;
}
