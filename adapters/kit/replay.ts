// Runs a conversation file against an adapter: the verb talks to the file's exchanges, what it throws is mapped as the
// channel maps it, and the conclusion is compared with what the file expects.
import {
  type Callback,
  type Found,
  type Money,
  type NotTheirs,
  type OfferNotice,
  type OfferPage,
  type Outcome,
  type Refused,
  SaidNo,
  type Supplier,
  type Wire,
} from './contract.js';
import { type Conversation, messageOf, purchaseOf, type Verb } from './conversation.js';
import { checkOutcome, doubtOf, outcomeOf, watchPurchase } from './doubt.js';
import { compareExpectation } from './expectation.js';
import * as read from './reading.js';
import { type Rehearsal, rehearse, type Sent } from './rehearsal.js';

/** What a verb concluded, by verb; `failed` where a reading verb (offers, balance) threw. */
export type Conclusion =
  | { verb: 'prepare'; prepared: { supplier_reference: string } | Outcome }
  | { verb: 'place' | 'lookup'; found: Found }
  | { verb: 'listOffers'; page: OfferPage }
  | { verb: 'watchOffers'; watched: true }
  | { verb: 'readBalance'; balance: Money }
  | { verb: 'readCallback'; callback: Callback | OfferNotice | NotTheirs }
  | { verb: Verb; failed: Outcome };

export interface Replay {
  passed: boolean;
  /** One sentence each; they name fields, never a code or a credential. */
  differences: string[];
  conclusion: Conclusion;
  sent: Sent[];
  /** Exchanges that no request asked for. */
  unused: number;
}
export interface ReplayRules {
  /** For our own conversations: every exchange must be used, and request bodies may hold nothing unexpected. */
  strict?: boolean;
}

/** Runs one conversation. Never throws for what an adapter does; throws if the conversation itself cannot be run. */
export async function replay(supplier: Supplier, conversation: Conversation, rules: ReplayRules = {}): Promise<Replay> {
  const strict = rules.strict ?? false;
  let base_url = baseUrlOf(supplier, conversation);
  let run = await runOnce(supplier, conversation, base_url, strict);
  if (run.rehearsal.better_base !== null && conversation.options.base_url === undefined) {
    base_url = run.rehearsal.better_base;
    run = await runOnce(supplier, conversation, base_url, strict);
  }
  const { rehearsal, conclusion } = run;
  const differences = [...rehearsal.differences, ...compareExpectation(conversation.expect, conclusion, strict)];
  if (strict && rehearsal.unused() > 0) differences.push(`${rehearsal.unused()} exchanges were not used`);
  return {
    passed: differences.length === 0,
    differences,
    conclusion,
    sent: rehearsal.sent,
    unused: rehearsal.unused(),
  };
}

async function runOnce(
  supplier: Supplier,
  conversation: Conversation,
  base_url: string,
  strict: boolean,
): Promise<{ rehearsal: Rehearsal; conclusion: Conclusion }> {
  const rehearsal = rehearse(supplier, conversation, base_url, strict);
  const conclusion = await perform(supplier, conversation, rehearsal.wire);
  return { rehearsal, conclusion };
}

/**
 * Runs the conversation's verb on a wire and maps what it throws exactly as the channel does: after a buying request
 * began nothing is called refused that is not proved.
 */
export async function perform(supplier: Supplier, conversation: Conversation, wire: Wire): Promise<Conclusion> {
  const { verb } = conversation;
  if (!supplier[verb]) throw new Error(`${supplier.code} has no ${verb}: it does not support that`);
  if (verb === 'readCallback') return { verb, callback: supplier.readCallback!(messageOf(conversation), wire) };
  if (verb === 'place') return { verb, found: await place(supplier, conversation, wire) };
  const watched = watchPurchase(wire);
  try {
    if (verb === 'listOffers') {
      const cursor = read.maybeTextAt(conversation.input, 'cursor') ?? null;
      return { verb, page: await supplier.listOffers!(cursor, watched.wire) };
    }
    if (verb === 'watchOffers') {
      const products = read.itemsAt(conversation.input, 'products').map((product) => read.textAt(product, ''));
      await supplier.watchOffers!(products, watched.wire);
      return { verb, watched: true };
    }
    if (verb === 'readBalance') return { verb, balance: await supplier.readBalance!(watched.wire) };
    const purchase = purchaseOf(conversation, supplier);
    if (verb === 'prepare') return { verb, prepared: await supplier.prepare!(purchase, watched.wire) };
    return { verb, found: checkOutcome(purchase, await supplier.lookup!(purchase, watched.wire)) };
  } catch (error) {
    if (verb === 'lookup') return { verb, found: doubtOf(error) };
    return {
      verb,
      failed: verb === 'prepare' || error instanceof SaidNo ? outcomeOf(error, watched.facts) : doubtOf(error),
    };
  }
}

// Where a supplier creates first and pays second, a conversation that names no supplier reference holds both.
async function place(supplier: Supplier, conversation: Conversation, wire: Wire): Promise<Found> {
  const purchase = purchaseOf(conversation, supplier);
  const watched = watchPurchase(wire);
  try {
    if (supplier.prepare && purchase.supplier_reference === undefined) {
      const prepared: { supplier_reference: string } | Refused = await supplier.prepare(purchase, watched.wire);
      if ('outcome' in prepared) return prepared;
      purchase.supplier_reference = prepared.supplier_reference;
    }
    return checkOutcome(purchase, await supplier.place(purchase, watched.wire));
  } catch (error) {
    return outcomeOf(error, watched.facts);
  }
}

/**
 * The base URL a conversation runs against: its own option; else the adapter's live or sandbox one that the first
 * request's URL has the origin of; else that URL's origin, for suppliers where every merchant has an address.
 */
export function baseUrlOf(supplier: Supplier, { options, exchanges }: Conversation): string {
  if (options.base_url !== undefined) return options.base_url.replace(/\/+$/, '');
  const { live, sandbox } = supplier.base_urls;
  const known = [live, sandbox].filter((url): url is string => url !== null);
  const urls = exchanges
    .map(({ request }) => read.maybeTextAt(request, 'url'))
    .filter((url) => /^https?:/.test(url ?? ''));
  for (const url of urls) {
    const base = known.find((base) => new URL(base).origin === new URL(url!).origin);
    if (base) return base;
  }
  // Where a session is opened first, that may be at another host; the last request is at the supplier's own.
  const own = supplier.session ? urls.at(-1) : urls[0];
  if (live === null && own) return new URL(own).origin;
  return known[0] ?? 'https://supplier.example';
}
