// The vault's only face: what can be done with codes, and small sealed texts. It is given the open transaction of
// each act and never begins one; what it returns counts only once the caller has committed.
import type { Knex } from 'knex';
import { type Core, depositCodes, invalid } from './deposit.js';
import { createGate } from './gate.js';
import { issueCodes } from './issue.js';
import type { Keyring } from './keyring.js';
import { type ActName, digestOf, writeRecords } from './ledger.js';
import { revealCodes } from './reveal.js';
import { createStore, NEVER } from './store.js';
import { openTextWith, sealTextWith } from './text.js';
import type {
  Act,
  CodeState,
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

export type * from './types.js';

export interface VaultOptions extends VaultDialect {
  keyring: Keyring;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Codes that expire within it are not issued; 0 where left out. */
  expiry_margin_ms?: number;
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
}

/** Builds the vault on a keyring and the database's abilities. Opens nothing and reads nothing yet. */
export function createVault(options: VaultOptions): Vault {
  const { keyring, now, expiry_margin_ms = 0 } = options;
  const store = createStore(options);
  const core: Core = { keyring, store, now, gate: createGate(keyring, store, now) };
  return {
    deposit: (trx, deposit) => depositCodes(core, trx, deposit),
    issue: (trx, wanted) => issueCodes(core, { expiry_margin_ms }, trx, wanted),
    reveal: (trx, request) => revealCodes(core, trx, request),
    stock: (knex, skus) => countStock(core, expiry_margin_ms, knex, skus),
    available: async (knex, sku, limit) => {
      const { excluded, frozen_all, frozen_skus } = await core.gate.look(knex);
      if (frozen_all || frozen_skus.has(sku)) return 0;
      return store.countAvailable(knex, sku, limit, now() + expiry_margin_ms, excluded);
    },
    quarantine: (trx, selection, act) =>
      move(core, trx, selection, act, { act: 'quarantine', from: ['available'], to: 'quarantined' }),
    release: (trx, selection, act) =>
      move(core, trx, selection, act, { act: 'release', from: ['quarantined'], to: 'available' }),
    voidCodes: (trx, selection, act) =>
      move(core, trx, selection, act, { act: 'void', from: ['available', 'quarantined'], to: 'void' }),
    sealText: (purpose, context, text) => sealTextWith(keyring, purpose, context, text),
    openText: (purpose, context, sealed) => openTextWith(keyring, purpose, context, sealed),
    isSealed: async (knex) => (await core.gate.look(knex)).sealed_at !== null || keyring.is_sealed,
  };
}

async function move(
  core: Core,
  trx: Trx,
  selection: Selection,
  { by, reason }: Act,
  { act, from, to }: { act: ActName; from: CodeState[]; to: CodeState },
): Promise<{ count: number }> {
  if (reason.trim().length === 0) throw invalid('reason', 'is empty', 'Say why.');
  if (by.length === 0) throw invalid('by', 'is empty', 'Name who does it.');
  if (Object.keys(selection).length !== 1)
    throw invalid('selection', 'is not one thing', 'Choose by code_ids, batch_id, sku, account or all.');
  const count = await core.store.moveCodes(trx, selection, from, to, to === 'available' ? null : reason.slice(0, 128));
  const subject =
    'code_ids' in selection
      ? { code_ids: selection.code_ids.slice(0, 20), ids_count: selection.code_ids.length }
      : selection;
  await writeRecords(trx, core.now(), [
    {
      act,
      actor: by,
      ...('batch_id' in selection ? { batch_id: selection.batch_id } : {}),
      ...('sku' in selection ? { sku: selection.sku } : {}),
      count,
      digest: digestOf('code_ids' in selection ? selection.code_ids.map((id) => [id]) : [[selection]]),
      data: { reason: reason.slice(0, 500), ...subject },
    },
  ]);
  return { count };
}

async function countStock(core: Core, margin_ms: number, knex: Knex, skus: string[] | undefined): Promise<Stock[]> {
  const [states, unexpired] = await Promise.all([
    core.store.countStates(knex, skus),
    core.store.countUnexpired(knex, skus, core.now() + margin_ms),
  ]);
  const stocks = new Map<string, Stock>();
  const of = (sku: string): Stock => {
    const stock = stocks.get(sku) ?? {
      sku,
      available: 0,
      quarantined: 0,
      issued: 0,
      void: 0,
      expired: 0,
      next_expiry_at: null,
    };
    stocks.set(sku, stock);
    return stock;
  };
  for (const sku of skus ?? []) of(sku);
  for (const { sku, state, count } of states) of(sku)[state] = Number(count);
  for (const stock of stocks.values()) stock.expired = stock.available;
  for (const { sku, count, first } of unexpired) {
    const stock = of(sku);
    // Two statements may see two moments; a figure is never below zero for it.
    stock.expired = Math.max(0, stock.available - Number(count));
    stock.next_expiry_at = Number(first) >= NEVER ? null : Number(first);
    stock.available = Number(count);
  }
  for (const stock of stocks.values()) if (!unexpired.some(({ sku }) => sku === stock.sku)) stock.available = 0;
  return [...stocks.values()];
}
