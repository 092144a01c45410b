// Whom a source can serve, where a supplier's product is for some recipients only: one region, one operator, one server
// of a game. Declared on the source; pure, and what was read once is kept by its text.
import { LRUCache } from 'lru-cache';
import type { Recipient } from '../../adapters/kit/contract.js';

/** Every field that is named must have one of its values; a recipient that does not say is not served. */
export interface Served {
  region?: readonly string[];
  account_type?: readonly string[];
  server?: readonly string[];
  extra?: Readonly<Record<string, readonly string[]>>;
  /** Beginnings of the account: an operator's number ranges. */
  account_prefixes?: readonly string[];
}

/** The condition of a source's `recipients` text; null where it serves everybody. */
export function readServed(text: string | null): Served | null {
  if (text === null) return null;
  let served = kept.get(text);
  if (!served) {
    served = JSON.parse(text) as Served;
    kept.set(text, served);
  }
  return served;
}
const kept = new LRUCache<string, Served>({ max: 5_000 });

export function serves(served: Served, recipient: Recipient): boolean {
  const { account_prefixes, extra, ...fields } = served;
  for (const [name, values] of Object.entries(fields) as [keyof typeof fields, readonly string[]][]) {
    if (!isOneOf(values, recipient[name])) return false;
  }
  for (const [name, values] of Object.entries(extra ?? {})) {
    if (!isOneOf(values, recipient.extra?.[name])) return false;
  }
  if (!account_prefixes) return true;
  const { account } = recipient;
  return account !== undefined && account_prefixes.some((prefix) => account.startsWith(prefix));
}

function isOneOf(values: readonly string[], value: string | undefined): boolean {
  return value !== undefined && values.includes(value);
}
