// What the vault needs of a running program: its journal compared at the start, its ledger chained and signed, its seal
// noticed within a second, and a word to the engine on whether a code may be bought or issued now.
import type { Knex } from 'knex';
import type { BrakeRules, Runaway } from '../vault/brake.js';
import { VaultError } from '../vault/errors.js';
import type { Journal } from '../vault/journal.js';
import type { StartResult } from '../vault/restore.js';
import type { Vault } from '../vault/vault.js';
import { atomic, classify, isDuplicate } from './db/atomic.js';
import type { Database } from './db/connect.js';
import type { Job } from './jobs.js';
import type { Logger } from './log.js';

export interface Upkeep {
  /**
   * Compares the journal with the database and opens issuing if nothing is missing; else issuing stays sealed and all
   * the rest works. Call it before the first issue. May be called again.
   */
  start(): Promise<StartResult>;
  /** Why issuing is sealed although the vault is open, as a sentence; null where it is not. */
  issuingFault(): string | null;
  /**
   * Why nothing of this kind may be bought or issued now, or null. A sealed vault keeps neither a code nor a supplier's
   * answer; while issuing is sealed, recharges go on.
   */
  fault(knex: Knex, kind: 'code' | 'recharge'): Promise<VaultError | null>;
  /** Moves committed records into the chain, the issues among them into the journal. Returns how many; 0 where issuing is sealed. */
  chain(): Promise<number>;
  jobs: Job[];
  /** Chains what is left and closes the journal. Takes nothing from a vault that was never started. */
  close(): Promise<void>;
}

export interface UpkeepParts {
  database: Database;
  vault: Vault;
  journal: Journal | null;
  log: Logger;
  now: () => number;
  /** When stock is frozen by itself; null: never. */
  brake: BrakeRules | null;
  onBrake: () => void;
}

const CHAIN_MS = 1_000;
const SIGN_MS = 60_000;
/** With the half second for which the vault believes what it has read, three quarters of the second that is promised. */
const WATCH_MS = 250;
/** A theft is seen within this after it has passed what is usual. */
const BRAKE_MS = 1_000;
/** How often a vault that was found behind is compared again although nobody has replayed anything. */
const COMPARE_MS = 60_000;
/** How often the same trouble of the watch is told. */
const TOLD_MS = 15_000;
/** Records one call of the vault moves, and calls of one turn of the job: 10,000 records a second. */
const RECORDS_A_PASS = 500;
const PASSES_MAX = 20;

export function createUpkeep({ database, vault, journal, log, now, ...parts }: UpkeepParts): Upkeep {
  let started: StartResult | null = null;
  let compared = { at: 0, journal_mark: '' };
  let was_sealed = false;
  let told_at = Number.NEGATIVE_INFINITY;

  async function start(): Promise<StartResult> {
    compared = { at: now(), journal_mark: await journalMark(database) };
    started = await compare();
    return started;
  }

  async function compare(): Promise<StartResult> {
    try {
      return await atomic(database, 'start vault', (trx) => vault.start(trx));
    } catch (error) {
      // A journal that cannot be read or written proves nothing: the same as one that is not there.
      if (error instanceof VaultError && error.code === 'journal')
        return { status: 'behind', missing: 0, why: error.message };
      throw error;
    }
  }

  function issuingFault(): string | null {
    if (started?.status === 'behind') return behindText(started);
    return journal !== null && started === null ? 'the issuance journal was not compared yet' : null;
  }

  async function watch(): Promise<number> {
    try {
      const is_sealed = await vault.isSealed(database.read);
      if (is_sealed !== was_sealed) log.warn(is_sealed ? 'the vault is sealed' : 'the vault is open again');
      was_sealed = is_sealed;
      if (started?.status !== 'behind') return 0;
      const is_due = now() - compared.at >= COMPARE_MS || (await journalMark(database)) !== compared.journal_mark;
      if (is_due) tellStart(log, await start());
      return is_due ? 1 : 0;
    } catch (error) {
      // Four times a second is too often to say so; that the database is away, other jobs say.
      const is_away = classify(error) !== null || (error as { code?: unknown }).code === 'unavailable';
      if (is_away || now() - told_at < TOLD_MS) return 0;
      told_at = now();
      throw error;
    }
  }

  async function chain(): Promise<number> {
    // A record in the chain counts as journaled: who cannot journal must leave it to a process that can.
    if (issuingFault() !== null) return 0;
    let moved = 0;
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const records = await unlessAnother(() => atomic(database, 'chain', (trx) => vault.chain(trx)), 0);
      moved += records;
      if (records < RECORDS_A_PASS) break;
    }
    return moved;
  }

  async function sign(): Promise<number> {
    if (await vault.isSealed(database.read)) return 0;
    const head = await unlessAnother(() => atomic(database, 'sign', (trx) => vault.signHead(trx)), null);
    return head ? 1 : 0;
  }

  /** Looks first, outside any transaction: counting seven days must not make orders wait. */
  async function brake(): Promise<number> {
    const fast = parts.brake === null ? [] : await vault.runaways(database.read, parts.brake);
    const runaways = await beyondOneOrder(database, fast);
    for (const runaway of runaways) {
      const braked = await atomic(database, 'brake', (trx) => vault.brake(trx, runaway));
      if (!braked) continue;
      parts.onBrake();
      log.error({ ...runaway, ...braked, fix: LIFT }, 'codes left too fast: their SKU is frozen');
    }
    return runaways.length;
  }

  return {
    start,
    issuingFault,
    fault: async (knex, kind) => {
      if (await vault.isSealed(knex)) return sealed();
      const why = kind === 'code' ? issuingFault() : null;
      return why === null ? null : issuingSealed(why);
    },
    chain,
    jobs: [
      { name: 'chain_ledger', interval_ms: CHAIN_MS, run: chain },
      { name: 'sign_ledger', interval_ms: SIGN_MS, run: sign },
      { name: 'watch_vault', interval_ms: WATCH_MS, run: watch },
      { name: 'brake_vault', interval_ms: BRAKE_MS, run: brake },
    ],
    close: async () => {
      try {
        if (started !== null) await chain();
      } finally {
        await journal?.close();
      }
    },
  };
}

/** Says what a start has found, and where issuing stays sealed, what to do. */
export function tellStart(log: Logger, result: StartResult): void {
  if (result.status === 'behind') {
    log.error({ missing: result.missing, why: result.why, fix: FIX }, 'issuing is sealed');
  } else if (result.has_journal) log.info('the vault is ready');
  else log.warn('the vault keeps no issuance journal: after a restored backup codes could be issued again');
}

const LIFT =
  'See who ordered: `kamigate order list`. If it is sound, `kamigate vault lift`, and raise vault_brake_codes_min.';

const FIX = 'Put the issuance journal in its place (journal_dir), then run `kamigate vault replay`.';

function behindText({ missing, why }: Extract<StartResult, { status: 'behind' }>): string {
  return missing > 0 ? `${why}: ${missing} issues are missing` : why;
}

/** Two processes at the same work: the second finds the row there, and nothing is left for it to do. */
async function unlessAnother<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isDuplicate(error)) return otherwise;
    throw error;
  }
}

/** One order as large as its SKU allows, and a second one, are no theft. */
async function beyondOneOrder(database: Database, runaways: readonly Runaway[]): Promise<Runaway[]> {
  if (runaways.length === 0) return [];
  const rows: { sku: string; quantity_max: number }[] = await database
    .read('skus')
    .whereIn(
      'sku',
      runaways.map(({ sku }) => sku),
    )
    .select('sku', 'quantity_max');
  const allowed = new Map(rows.map(({ sku, quantity_max }) => [sku, 2 * quantity_max]));
  return runaways.filter(({ sku, codes }) => codes > (allowed.get(sku) ?? 0));
}

/** Changes when a journal is replayed into this database, by whatever process. */
async function journalMark(database: Database): Promise<string> {
  const row = await database.read('vault_state').where({ name: 'journal_id' }).first('value', 'updated_at');
  return row ? `${row.value} ${row.updated_at}` : '';
}

function sealed(): VaultError {
  return new VaultError('sealed', 'the vault is sealed', {
    fix: 'Run `kamigate vault unseal` once the reason for sealing is settled.',
  });
}

function issuingSealed(why: string): VaultError {
  return new VaultError('issuing_sealed', `issuing is sealed: ${why}`, { fix: FIX });
}
