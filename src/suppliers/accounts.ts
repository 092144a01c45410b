// Suppliers' accounts as the channel needs them: adapter, address, opened credentials, options, limits; and pause and
// resume. What they are is declared in the catalog file and written by `catalog/apply.ts`.
import type { Knex } from 'knex';
import { type Limits, Secret, type Supplier } from '../../adapters/kit/contract.js';
import type { Trx } from '../db/atomic.js';
import { GatewayError } from '../errors.js';

/** Opens a text that was sealed for `purpose` and `context`; throws where it was moved or edited. */
export type OpenText = (purpose: string, context: string, sealed: string) => string;

/** The account that stands for the vault itself, so that an attempt on it names a source like any other. */
export const VAULT_ACCOUNT = 'vault';
/** The account that stands for a person who delivers: a source of last resort, to which nothing is ever sent. */
export const MANUAL_ACCOUNT = 'manual';
/** What credentials are sealed for; the context is the account. */
export const CREDENTIALS_PURPOSE = 'account_credentials';

/** The row as it is stored: JSON in texts, flags 0 or 1. */
export interface AccountRow {
  account: string;
  adapter: string;
  base_url: string;
  credentials_sealed: string;
  options: string;
  limits: string;
  currency: string;
  exposure_limit_e4: number;
  is_enabled: number;
  paused_at: number | null;
  paused_reason: string | null;
  breaker: string | null;
  created_at: number;
  updated_at: number;
}

/** An account without its secrets. */
export interface AccountFacts {
  account: string;
  adapter: string;
  base_url: string;
  options: Record<string, string>;
  /** What the operator set other than the adapter's own limits. */
  limits: Partial<Limits>;
  currency: string;
  /** Most money that may be at risk in detached attempts; 0 means none is ever detached. */
  exposure_limit_e4: number;
  is_enabled: boolean;
  paused_at: number | null;
  paused_reason: string | null;
  /** Changes whenever the declaration, a pause or a resume does: a reader that caches compares it. */
  updated_at: number;
}

/** An account as its channel needs it. */
export interface OpenAccount extends Omit<AccountFacts, 'limits'> {
  /** The adapter's own, with what the operator set. */
  limits: Limits;
  credentials: Record<string, Secret>;
}

export interface OpenAccountParts {
  openText: OpenText;
  supplierFor: (adapter: string) => Supplier;
}

const PUBLIC_COLUMNS = [
  'account',
  'adapter',
  'base_url',
  'options',
  'limits',
  'currency',
  'exposure_limit_e4',
  'is_enabled',
  'paused_at',
  'paused_reason',
  'breaker',
  'updated_at',
] as const satisfies readonly (keyof AccountRow)[];

export interface ListedAccount extends AccountFacts {
  /** As a serving process last wrote it down; null while it never changed, or since it was reset. */
  breaker: BreakerNote | null;
}

/** Every account in order of name, without credentials; the vault's own account is among them. */
export async function listAccounts(knex: Knex): Promise<ListedAccount[]> {
  const rows: AccountRow[] = await knex('accounts').select(PUBLIC_COLUMNS).orderBy('account');
  return rows.map((row) => ({
    ...factsOf(row),
    breaker: row.breaker === null ? null : (JSON.parse(row.breaker) as BreakerNote),
  }));
}

/** One account with its credentials opened. Throws `not_found`. */
export async function readAccount(knex: Knex, parts: OpenAccountParts, account: string): Promise<OpenAccount> {
  const row: AccountRow | undefined = await knex('accounts').where({ account }).first();
  if (!row) throw noAccount(account);
  return openAccount(row, parts);
}

/** Every account with its credentials opened, in order of name, without the vault's own. */
export async function readAccounts(knex: Knex, parts: OpenAccountParts): Promise<OpenAccount[]> {
  const rows: AccountRow[] = await knex('accounts').whereNot({ adapter: VAULT_ACCOUNT }).orderBy('account');
  return rows.map((row) => openAccount(row, parts));
}

/**
 * Takes the account out of routing, with the reason an operator will read; its open attempts go on being looked up.
 * False where it was paused already: the first reason and time stay. Throws `not_found`.
 */
export async function pauseAccount(trx: Trx, account: string, reason: string, now: number): Promise<boolean> {
  const paused_reason = [...reason].slice(0, REASON_LENGTH_MAX).join('');
  const changed = await trx('accounts')
    .where({ account })
    .whereNull('paused_at')
    .update({ paused_at: now, paused_reason, updated_at: now });
  if (changed === 0) await mustExist(trx, account);
  return changed === 1;
}

/** Puts the account back into routing. False where it was not paused. Throws `not_found`. */
export async function resumeAccount(trx: Trx, account: string, now: number): Promise<boolean> {
  const changed = await trx('accounts')
    .where({ account })
    .whereNotNull('paused_at')
    .update({ paused_at: null, paused_reason: null, updated_at: now });
  if (changed === 0) await mustExist(trx, account);
  return changed === 1;
}

/** The width of `accounts.paused_reason`. */
const REASON_LENGTH_MAX = 200;

/** What a serving process last saw of the account's circuit breaker; for people, nothing is decided by it. */
export interface BreakerNote {
  state: string;
  since: number;
  because: string | null;
}

/** Writes down a breaker's change, so that other processes can show it. */
export async function noteBreaker(trx: Trx, account: string, note: BreakerNote): Promise<void> {
  await trx('accounts')
    .where({ account })
    .update({ breaker: JSON.stringify(note) });
}

/**
 * Closes the account's breaker in every process: its channel is opened anew, with a closed breaker, as soon as the
 * row's change is seen (five seconds). Throws `not_found`.
 */
export async function resetBreaker(trx: Trx, account: string, now: number): Promise<void> {
  const changed = await trx('accounts').where({ account }).update({ breaker: null, updated_at: now });
  if (changed === 0) await mustExist(trx, account);
}

async function mustExist(trx: Trx, account: string): Promise<void> {
  if (!(await trx('accounts').where({ account }).first('account'))) throw noAccount(account);
}

function noAccount(account: string): GatewayError {
  return new GatewayError('not_found', `there is no account ${JSON.stringify(account)}`, {
    field: 'account',
    fix: 'Run `kamigate suppliers` for the names.',
  });
}

/** Credentials as they go under the seal: names in order, so that the same ones make the same text. */
export function credentialsText(credentials: Readonly<Record<string, { reveal(): string }>>): string {
  const names = Object.keys(credentials).sort();
  return JSON.stringify(Object.fromEntries(names.map((name) => [name, credentials[name]!.reveal()])));
}

function openAccount(row: AccountRow, { openText, supplierFor }: OpenAccountParts): OpenAccount {
  const credentials: Record<string, Secret> = {};
  if (row.credentials_sealed !== '') {
    const text = openText(CREDENTIALS_PURPOSE, row.account, row.credentials_sealed);
    for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, string>)) {
      credentials[name] = new Secret(value);
    }
  }
  const facts = factsOf(row);
  return { ...facts, limits: { ...supplierFor(row.adapter).limits, ...facts.limits }, credentials };
}

function factsOf(row: AccountRow): AccountFacts {
  return {
    account: row.account,
    adapter: row.adapter,
    base_url: row.base_url,
    options: JSON.parse(row.options) as Record<string, string>,
    limits: JSON.parse(row.limits) as Partial<Limits>,
    currency: row.currency,
    exposure_limit_e4: row.exposure_limit_e4,
    is_enabled: row.is_enabled === 1,
    paused_at: row.paused_at,
    paused_reason: row.paused_reason,
    updated_at: row.updated_at,
  };
}
