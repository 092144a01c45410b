// Storefronts, their API keys and what each key may do. A key is shown once, when it is made; the database holds its
// SHA-256 only, which is enough: a key is 192 random bits, so there is nothing to guess.
import { createHash, randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { LRUCache } from 'lru-cache';
import { Secret } from '../../adapters/kit/contract.js';
import { isDuplicate, type Trx } from '../db/atomic.js';
import { GatewayError } from '../errors.js';
import { newId } from '../ids.js';

export const SCOPES = ['orders:read', 'orders:write', 'codes:read', 'catalog:read', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Opens a text that was sealed for `purpose` and `context`. */
export type OpenText = (purpose: string, context: string, sealed: string) => string;

export interface StorefrontRow {
  storefront: string;
  name: string;
  currency: string;
  webhook_url: string | null;
  webhook_secret_sealed: string | null;
  is_enabled: number;
  created_at: number;
  updated_at: number;
}
export interface ApiKeyRow {
  api_key_id: string;
  storefront: string;
  key_hash: string;
  hint: string;
  scopes: string;
  created_at: number;
  disabled_at: number | null;
}

/** Who is calling. */
export interface Caller {
  storefront: string;
  currency: string;
  api_key_id: string;
  scopes: ReadonlySet<Scope>;
}

/** A key just made: `key` is to be shown once, the rest to be stored. */
export interface NewKey {
  key: Secret;
  key_hash: string;
  /** Its last four characters, by which a person tells keys apart. */
  hint: string;
}

const KEY_FORM = /^sk_live_[A-Za-z0-9_-]{32}$/;
const KEY_BYTES = 24;
/** Standard Webhooks asks for 24 to 64 random bytes. */
const WEBHOOK_SECRET_BYTES = 32;

/** A fresh API key, `sk_live_…`, of 192 random bits. */
export function makeKey(): NewKey {
  const text = `sk_live_${randomBytes(KEY_BYTES).toString('base64url')}`;
  return { key: new Secret(text), key_hash: hashKey(text), hint: text.slice(-4) };
}

/** A fresh webhook secret, `whsec_…`. */
export function makeWebhookSecret(): Secret {
  return new Secret(`whsec_${randomBytes(WEBHOOK_SECRET_BYTES).toString('base64')}`);
}

/** Creates a storefront without a webhook. Throws `conflict` where the name is taken. */
export async function createStorefront(
  trx: Trx,
  { storefront, name, currency, now }: { storefront: string; name: string; currency: string; now: number },
): Promise<void> {
  try {
    await trx('storefronts').insert({ storefront, name, currency, is_enabled: 1, created_at: now, updated_at: now });
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new GatewayError('conflict', `there is a storefront ${JSON.stringify(storefront)} already`, {
      field: 'storefront',
      fix: 'Choose another name.',
    });
  }
}

/** Makes a key for a storefront. The returned key is shown once and stored nowhere. Throws `not_found`. */
export async function issueKey(
  trx: Trx,
  { storefront, scopes, now }: { storefront: string; scopes: readonly Scope[]; now: number },
): Promise<{ api_key_id: string; key: Secret }> {
  if (!(await trx('storefronts').where({ storefront }).first('storefront'))) {
    throw new GatewayError('not_found', `there is no storefront ${JSON.stringify(storefront)}`, {
      field: 'storefront',
      fix: 'Create it in the catalog file and apply that first.',
    });
  }
  const { key, key_hash, hint } = makeKey();
  const api_key_id = newId('key', now);
  await trx('api_keys').insert({
    api_key_id,
    storefront,
    key_hash,
    hint,
    scopes: scopesText(scopes),
    created_at: now,
    disabled_at: null,
  });
  return { api_key_id, key };
}

/** Ends a key. False where it had ended already. Other processes notice within `key_cache_ms`. Throws `not_found`. */
export async function disableKey(trx: Trx, { api_key_id, now }: { api_key_id: string; now: number }): Promise<boolean> {
  const changed = await trx('api_keys').where({ api_key_id }).whereNull('disabled_at').update({ disabled_at: now });
  if (changed === 0 && !(await trx('api_keys').where({ api_key_id }).first('api_key_id'))) {
    throw new GatewayError('not_found', `there is no API key ${JSON.stringify(api_key_id)}`, {
      field: 'api_key_id',
      fix: 'Check the id.',
    });
  }
  return changed === 1;
}

/** A storefront's keys, oldest first, without anything secret. */
export async function listKeys(knex: Knex, storefront: string): Promise<Omit<ApiKeyRow, 'key_hash'>[]> {
  return knex('api_keys')
    .select('api_key_id', 'storefront', 'hint', 'scopes', 'created_at', 'disabled_at')
    .where({ storefront })
    .orderBy('created_at')
    .orderBy('api_key_id');
}

export interface AuthenticatorOptions {
  database: { read: Knex };
  /** Milliseconds since the epoch. */
  now: () => number;
  /** How long a checked key is believed without asking again; 0 asks each time. */
  key_cache_ms: number;
  key_cache_max: number;
}

export interface Authenticator {
  /**
   * Who an `Authorization` header speaks for. Throws `unauthorized` for a missing, malformed, unknown or ended key
   * and for a disabled storefront, in one and the same wording.
   */
  authenticate(authorization: string | undefined): Promise<Caller>;
  /** Forgets every remembered key; for the process that has just changed one. */
  forget(): void;
}

/** Checks API keys, remembering good ones for a short while. What is wrong is never remembered. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const known = new LRUCache<string, { caller: Caller; read_at: number }>({ max: options.key_cache_max });
  return {
    async authenticate(authorization) {
      const key = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? '';
      if (!KEY_FORM.test(key)) throw unauthorized();
      const key_hash = hashKey(key);
      const remembered = known.get(key_hash);
      const now = options.now();
      if (remembered && now - remembered.read_at < options.key_cache_ms) return remembered.caller;
      const caller = await readCaller(options.database.read, key_hash);
      if (caller) known.set(key_hash, { caller, read_at: now });
      else known.delete(key_hash);
      if (!caller) throw unauthorized();
      return caller;
    },
    forget: () => known.clear(),
  };
}

/** Throws `scope_missing` unless the key has the scope; `admin` has them all. */
export function requireScope(caller: Caller, scope: Scope): void {
  if (caller.scopes.has(scope) || caller.scopes.has('admin')) return;
  throw new GatewayError('scope_missing', `this API key lacks the scope ${scope}`, {
    fix: `Use a key with the scope ${scope}, or have it added.`,
    extra: { scope },
  });
}

/** Scopes as they are stored: each once, in order, between spaces. */
export function scopesText(scopes: readonly string[]): string {
  return [...new Set(scopes)].sort().join(' ');
}

async function readCaller(knex: Knex, key_hash: string): Promise<Caller | null> {
  const row: (ApiKeyRow & StorefrontRow) | undefined = await knex('api_keys')
    .join('storefronts', 'storefronts.storefront', 'api_keys.storefront')
    .where({ 'api_keys.key_hash': key_hash, 'storefronts.is_enabled': 1 })
    .whereNull('api_keys.disabled_at')
    .first('api_keys.api_key_id', 'api_keys.scopes', 'storefronts.storefront', 'storefronts.currency');
  if (!row) return null;
  const { storefront, currency, api_key_id } = row;
  const scopes = new Set(SCOPES.filter((scope) => row.scopes.split(' ').includes(scope)));
  return { storefront, currency, api_key_id, scopes };
}

function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

function unauthorized(): GatewayError {
  return new GatewayError('unauthorized', 'the API key is missing, malformed or not valid', {
    field: 'Authorization',
    fix: 'Send the header `Authorization: Bearer sk_live_…` with a key of this gateway.',
  });
}
