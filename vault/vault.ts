// The vault's only face: what can be done with codes, and small sealed texts. It is given the open transaction of
// each act and never begins one; what it returns counts only once the caller has committed.
import type { Knex } from 'knex';
import { type DisputeResult, disputeCode, openClaim, type ReplaceResult, replaceCode, type Unit } from './aftersale.js';
import { type ApprovalRequest, askApproval, giveApproval } from './approvals.js';
import { type BrakeRules, brakeSku, createBrake, type Runaway } from './brake.js';
import { type Head, publicKeys } from './chain.js';
import * as control from './control.js';
import type { Core } from './core.js';
import { depositCodes } from './deposit.js';
import { countFigures, type VaultFigures } from './figures.js';
import { createGate } from './gate.js';
import {
  type CommitOptions,
  type CommitReport,
  commitIntake,
  dryRun,
  type Intake,
  type IntakeReport,
} from './intake.js';
import { issueCodes } from './issue.js';
import type { Journal } from './journal.js';
import { createKeeper } from './keeper.js';
import type { Keyring } from './keyring.js';
import { type BatchFilter, type BatchSummary, type Expiring, listBatches, listExpiring } from './lists.js';
import { proveSingleIssue, type SingleIssueProof } from './proof.js';
import { beginFingerprintKey, fingerprintStep } from './refingerprint.js';
import { type ReplayResult, replayJournal, type StartResult, startVault } from './restore.js';
import { revealCodes } from './reveal.js';
import * as rotate from './rotate.js';
import * as seats from './seats.js';
import { countStock, moveCodes } from './stock.js';
import { createStore } from './store.js';
import { openTextWith, sealTextWith } from './text.js';
import type {
  Act,
  Deposit,
  DepositResult,
  IssueResult,
  RevealedCode,
  RevealRequest,
  Selection,
  Stock,
  Trx,
  VaultDialect,
  Wanted,
} from './types.js';
import { type VerifyOptions, type VerifyReport, verifyVault } from './verify.js';

export type { Affected, Freeze, Policy } from './control.js';
export type { VaultFigures } from './figures.js';
export type * from './types.js';

export interface VaultOptions extends VaultDialect {
  keyring: Keyring;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Codes that expire within it are not issued; 0 where left out. */
  expiry_margin_ms?: number;
  /** The record of issues outside the database. With one, call `start` before the first issue. */
  journal?: Journal;
  /** Codes one person may see in 24 hours without a second person; 5 where left out. */
  person_codes_per_day?: number;
}

/**
 * Every function throws `VaultError` with a `code`: `sealed` when no key is in memory, `invalid` with the field's name
 * for bad input, `unauthentic` for a ciphertext that was moved or edited. An error named `Retry` (errno 1205) asks for
 * the whole transaction to be rolled back and run again.
 */
export interface Vault {
  /**
   * Seals the codes as one batch and returns, in input order, each one's id or the code already here with the same
   * content. A total cost is split over the new codes so that the parts sum to it exactly.
   */
  deposit(trx: Trx, deposit: Deposit): Promise<DepositResult>;
  /**
   * Binds codes to units of orders, for ever: first expired first, then oldest; never an expired or quarantined one.
   * All units of a wanted or none. The same order and unit again returns the same code. Each code has been opened
   * once, in memory, before it counts. One call may serve many orders.
   */
  issue(trx: Trx, wanted: Wanted[]): Promise<IssueResult[]>;
  /**
   * Opens the codes issued to an order, from `first_unit` on and at most `limit` (1,000). The reveal is recorded
   * first. Send nothing before the commit. Empty if nothing was issued there.
   */
  reveal(trx: Trx, request: RevealRequest): Promise<RevealedCode[]>;
  /** Figures of these SKUs, or of all, counted from the rows. A SKU without codes has a row of zeroes if asked for. */
  stock(knex: Knex, skus?: string[]): Promise<Stock[]>;
  /** How many codes of a SKU could be issued now, counted up to `limit`: cheap however large the stock is. */
  available(knex: Knex, sku: string, limit: number): Promise<number>;
  /** Takes available codes out of stock for doubt, and returns how many. */
  quarantine(trx: Trx, selection: Selection, act: Act): Promise<{ count: number }>;
  /** Puts quarantined codes back into stock. */
  release(trx: Trx, selection: Selection, act: Act): Promise<{ count: number }>;
  /** Takes available and quarantined codes out for good. */
  voidCodes(trx: Trx, selection: Selection, act: Act): Promise<{ count: number }>;
  /** Seals a small text; `purpose` chooses the key, `context` (an id) binds it to its place. */
  sealText(purpose: string, context: string, text: string): string;
  openText(purpose: string, context: string, sealed: string): string;
  /** Whether nothing can be opened now. Works sealed and unsealed. */
  isSealed(knex: Knex): Promise<boolean>;

  /** Compares the journal with this database and opens issuing if nothing is missing; else issuing stays sealed. */
  start(trx: Trx): Promise<StartResult>;
  /** Marks what the journal says was issued and this database does not know. Then call `start` again. */
  replay(trx: Trx, act: Act): Promise<ReplayResult>;
  /** Moves up to 500 committed records into the journal and the hash chain; 0: none left. Every second, by a job. */
  chain(trx: Trx): Promise<number>;
  /** Signs the newest link of the chain. Every minute, by a job. */
  signHead(trx: Trx): Promise<Head | null>;
  /** Checks chain, records, states, single issue, batches and, if asked to, opens every code. Reads only. */
  verify(knex: Knex, options?: VerifyOptions): Promise<VerifyReport>;
  /** A signed proof that one code was issued once; `checkProof` of proof.ts checks it with the public key alone. */
  prove(trx: Trx, code_id: string): Promise<SingleIssueProof>;
  /** Public keys of the ledger by version, PEM. */
  publicKeys(knex: Knex): Promise<Map<number, string>>;
  /** Batches, newest first, with what became of their codes. */
  batches(knex: Knex, filter?: BatchFilter): Promise<BatchSummary[]>;
  /** Available codes that expire until then, by SKU and batch. */
  expiring(knex: Knex, until: number): Promise<Expiring[]>;
  /** SKUs that leave far faster than is usual and are not frozen. Reads only; every second, by a job. */
  runaways(knex: Knex, rules: BrakeRules): Promise<Runaway[]>;
  /** Freezes one of them; null if somebody has meanwhile. */
  brake(trx: Trx, runaway: Runaway): Promise<{ freeze_id: string } | null>;
  /** Everything the gauges show. */
  figures(knex: Knex): Promise<VaultFigures>;

  readonly control: VaultControl;
  readonly aftersale: VaultAftersale;
  readonly rotation: VaultRotation;
  readonly intake: VaultIntake;
  readonly seats: VaultSeats;
}

/** Seal, freeze, policies and the second person. Each takes effect in every process within a second. */
export interface VaultControl {
  seal(trx: Trx, act: Act): Promise<void>;
  unseal(trx: Trx, act: Act): Promise<void>;
  freeze(trx: Trx, selection: Selection, act: Act): Promise<{ freeze_id: string }>;
  lift(trx: Trx, freeze_id: string, act: Act): Promise<void>;
  freezes(knex: Knex): Promise<control.Freeze[]>;
  /** What a freeze, quarantine or void would concern, to be shown before it is done. */
  affected(knex: Knex, selection: Selection): Promise<control.Affected>;
  setPolicy(trx: Trx, sku: string, policy: control.Policy, act: Act): Promise<void>;
  policy(knex: Knex, sku: string): Promise<control.Policy>;
  askApproval(trx: Trx, request: ApprovalRequest): Promise<{ approval_id: string }>;
  giveApproval(trx: Trx, approval_id: string, by: string): Promise<void>;
}

/** Bad codes: another one for the buyer, a claim for the supplier. */
export interface VaultAftersale {
  replace(trx: Trx, unit: Unit, act: Act): Promise<ReplaceResult>;
  dispute(trx: Trx, unit: Unit, act: Act): Promise<DisputeResult>;
  openClaim(trx: Trx, claim_id: string, by: string, approval_id: string | undefined): Promise<string>;
}

/** Key rotation, step by step; `runRotation` of rotation.ts runs the steps to their end. */
export interface VaultRotation {
  adopt(trx: Trx, act: Act): Promise<number>;
  status(knex: Knex): Promise<rotate.RotationStatus>;
  rewrapStep(trx: Trx): Promise<rotate.Step>;
  deepStep(trx: Trx): Promise<rotate.Step>;
  textStep(
    trx: Trx,
    column: rotate.SealedColumn,
    after: string | null,
  ): Promise<{ changed: number; after: string | null }>;
  beginFingerprintKey(trx: Trx, act: Act): Promise<void>;
  fingerprintStep(trx: Trx): Promise<rotate.Step>;
  raiseMinimum(trx: Trx, version: number, columns: readonly rotate.SealedColumn[], act: Act): Promise<void>;
}

/** Importing files of codes. */
export interface VaultIntake {
  dryRun(intake: Intake): Promise<IntakeReport>;
  commit(intake: Intake, options?: CommitOptions): Promise<CommitReport>;
}

/** Shared accounts with seats: another kind of stock. */
export interface VaultSeats {
  open(trx: Trx, opening: seats.SeatPoolOpening): Promise<{ pool_id: string }>;
  take(
    trx: Trx,
    wanted: { sku: string; order_id: string; unit_no: number; ends_at: number },
  ): Promise<seats.Seat | null>;
  show(trx: Trx, request: { order_id: string; unit_no: number } & Act): ReturnType<typeof seats.showSeat>;
  change(trx: Trx, pool_id: string, content: string, act: Act): Promise<seats.Seat[]>;
  stock(knex: Knex): Promise<seats.SeatStock[]>;
}

/** Builds the vault on a keyring and the database's abilities. Opens nothing and reads nothing yet. */
export function createVault(options: VaultOptions): Vault {
  const { keyring, now, expiry_margin_ms = 0, person_codes_per_day = 5 } = options;
  const store = createStore(options);
  const gate = createGate(keyring, store, now);
  const journal = options.journal ?? null;
  const core: Core = {
    keyring,
    store,
    gate,
    now,
    journal,
    confirmed: { journal_id: null },
    expiry_margin_ms,
    person_codes_per_day,
  };
  const keeper = createKeeper(core);
  return {
    deposit: (trx, deposit) => depositCodes(core, trx, deposit),
    issue: (trx, wanted) => issueCodes(core, trx, wanted),
    reveal: (trx, request) => revealCodes(core, keeper, trx, request),
    stock: (knex, skus) => countStock(core, knex, skus),
    available: async (knex, sku, limit) => {
      const { excluded, frozen_all, frozen_skus } = await gate.look(knex);
      if (frozen_all || frozen_skus.has(sku)) return 0;
      return store.countAvailable(knex, sku, limit, now() + expiry_margin_ms, excluded);
    },
    quarantine: (trx, selection, act) => moveCodes(core, trx, 'quarantine', selection, act),
    release: (trx, selection, act) => moveCodes(core, trx, 'release', selection, act),
    voidCodes: (trx, selection, act) => moveCodes(core, trx, 'void', selection, act),
    sealText: (purpose, context, text) => sealTextWith(keyring, purpose, context, text),
    openText: (purpose, context, sealed) => openTextWith(keyring, purpose, context, sealed),
    isSealed: async (knex) => (await gate.look(knex)).sealed_at !== null || keyring.is_sealed,
    start: (trx) => startVault(core, trx),
    replay: (trx, act) => replayJournal(core, trx, act),
    chain: (trx) => keeper.chain(trx),
    signHead: (trx) => keeper.sign(trx),
    verify: (knex, verify_options = {}) => verifyVault(core, knex, verify_options),
    prove: (trx, code_id) => proveSingleIssue(core, trx, code_id),
    publicKeys: (knex) => publicKeys(knex),
    batches: (knex, filter = {}) => listBatches(knex, filter),
    expiring: (knex, until) => listExpiring(core, knex, until),
    runaways: createBrake(core),
    brake: (trx, runaway) => brakeSku(core, trx, runaway),
    figures: (knex) => countFigures(core, knex),
    control: controlOf(core),
    aftersale: {
      replace: (trx, unit, act) => replaceCode(core, trx, unit, act),
      dispute: (trx, unit, act) => disputeCode(core, trx, unit, act),
      openClaim: (trx, claim_id, by, approval_id) => openClaim(core, trx, claim_id, by, approval_id),
    },
    rotation: rotationOf(core),
    intake: {
      dryRun: (intake) => dryRun(core, intake),
      commit: (intake, commit_options = {}) => commitIntake(core, intake, commit_options),
    },
    seats: {
      open: (trx, opening) => seats.openPool(core, trx, opening),
      take: (trx, wanted) => seats.takeSeat(core, trx, wanted),
      show: (trx, request) => seats.showSeat(core, trx, request),
      change: (trx, pool_id, content, act) => seats.changePool(core, trx, pool_id, content, act),
      stock: (knex) => seats.countSeats(core, knex),
    },
  };
}

function controlOf(core: Core): VaultControl {
  return {
    seal: (trx, act) => control.sealVault(core, trx, act),
    unseal: (trx, act) => control.unsealVault(core, trx, act),
    freeze: (trx, selection, act) => control.freezeStock(core, trx, selection, act),
    lift: (trx, freeze_id, act) => control.liftFreeze(core, trx, freeze_id, act),
    freezes: (knex) => control.listFreezes(knex),
    affected: (knex, selection) => control.countAffected(knex, selection),
    setPolicy: (trx, sku, policy, act) => control.setPolicy(core, trx, sku, policy, act),
    policy: (knex, sku) => control.readPolicy(knex, sku),
    askApproval: (trx, request) => askApproval(core, trx, request),
    giveApproval: (trx, approval_id, by) => giveApproval(core, trx, approval_id, by),
  };
}

function rotationOf(core: Core): VaultRotation {
  return {
    adopt: (trx, act) => rotate.adoptMasterKey(core, trx, act),
    status: (knex) => rotate.rotationStatus(core, knex),
    rewrapStep: (trx) => rotate.rewrapStep(core, trx),
    deepStep: (trx) => rotate.deepStep(core, trx),
    textStep: (trx, column, after) => rotate.textStep(core, trx, column, after),
    beginFingerprintKey: (trx, act) => beginFingerprintKey(core, trx, act),
    fingerprintStep: (trx) => fingerprintStep(core, trx),
    raiseMinimum: (trx, version, columns, act) => rotate.raiseMinimum(core, trx, version, columns, act),
  };
}
