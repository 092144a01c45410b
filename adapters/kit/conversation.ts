// A conversation file: what we send, what they answer, what we conclude. Reads it forgivingly, fills in what its author
// left out, and turns its input into what a verb takes.
import type { Kind, Message, Money, Purchase, Recipient, Supplier } from './contract.js';
import * as read from './reading.js';
import { compactJson, type Fields, fieldText, formEncode, queryText } from './signing.js';

export const VERBS = [
  'prepare',
  'place',
  'lookup',
  'listOffers',
  'watchOffers',
  'readBalance',
  'readCallback',
] as const;
export type Verb = (typeof VERBS)[number];

const VERB_SPELLINGS: Readonly<Record<string, Verb>> = {
  placeorder: 'place',
  order: 'place',
  buy: 'place',
  query: 'lookup',
  queryorder: 'lookup',
  offers: 'listOffers',
  catalog: 'listOffers',
  subscribe: 'watchOffers',
  balance: 'readBalance',
  callback: 'readCallback',
};

type Json = Readonly<Record<string, unknown>>;

export interface Exchange {
  request: Json | null;
  response: Json | null;
}
export interface Conversation {
  title: string;
  /** The adapter's code, where the file names one; else its folder does. */
  adapter: string | null;
  verb: Verb;
  clock: number;
  credentials: Readonly<Record<string, string>>;
  options: Readonly<Record<string, string>>;
  input: Json;
  exchanges: readonly Exchange[];
  expect: Json;
}

/** Reads the text of a conversation file. Throws an Error whose sentence names the field and the fix. */
export function readConversation(text: string): Conversation {
  let file: unknown;
  try {
    file = read.parseJson(text.replace(/^\ufeff/, ''));
  } catch {
    throw new Error('a conversation is a JSON file: check its commas and quotes');
  }
  const verb = verbOf(read.maybeTextAt(file, 'verb'));
  const expect = read.at(file, 'expect');
  if (typeof expect !== 'object' || expect === null) throw new Error('expect is missing: say what we conclude');
  const clock = read.maybeTextAt(file, 'clock') ?? read.maybeTextAt(file, 'now');
  return {
    title: read.maybeTextAt(file, 'title') ?? 'untitled',
    adapter: read.firstTextAt(file, ['adapter', 'supplier']) ?? null,
    verb,
    clock: clock === undefined ? Date.UTC(2026, 0, 1) : read.parseTime(clock, 'Z'),
    credentials: texts(read.at(file, 'credentials')),
    options: { ...texts(read.at(file, 'options')), ...topLevelOptions(file) },
    input: objectOr(read.at(file, 'input')),
    exchanges: read.itemsAt(file, 'exchanges').map((exchange) => ({
      request: maybeObject(read.at(exchange, 'request')),
      response: maybeObject(read.at(exchange, 'response')),
    })),
    expect: expect as Json,
  };
}

function verbOf(word: string | undefined): Verb {
  const known = VERBS.find((verb) => verb === word) ?? VERB_SPELLINGS[word?.toLowerCase() ?? ''];
  if (!known) throw new Error(`verb is ${word ?? 'missing'}: use one of ${VERBS.join(', ')}`);
  return known;
}

function topLevelOptions(file: unknown): Record<string, string> {
  const names = ['base_url', 'callback_url', 'nonce', 'uuid', 'token'];
  return Object.fromEntries(
    names
      .map((name) => [name, read.maybeTextAt(file, name)] as const)
      .filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}

function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(objectOr(value)).map(([name, member]) => [name, fieldText(member)]));
}

function maybeObject(value: unknown): Json | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
}
function objectOr(value: unknown): Json {
  return maybeObject(value) ?? {};
}

/** The purchase a conversation is about. What the file leaves out is filled in: quantity 1, a reference that fits. */
export function purchaseOf(conversation: Conversation, supplier: Supplier): Purchase {
  const { input } = conversation;
  const recipient = recipientOf(read.at(input, 'recipient') ?? read.at(input, 'account'));
  const supplier_reference =
    read.firstTextAt(input, ['supplier_reference', 'order_id']) ?? guessedReference(conversation, supplier);
  return {
    reference: read.firstTextAt(input, ['reference', 'external_id']) ?? referenceFor(supplier),
    product: read.firstTextAt(input, ['product', 'sku', 'product_id']) ?? '1',
    kind: kindOf(conversation, supplier, recipient),
    quantity: read.maybeTextAt(input, 'quantity') === undefined ? 1 : read.integerAt(input, 'quantity'),
    recipient,
    cost_ceiling: moneyIn(
      read.at(input, 'cost_ceiling'),
      supplier.money.currency ?? conversation.options.currency ?? 'CNY',
    ),
    ...(supplier_reference === undefined ? {} : { supplier_reference }),
    ...(supplier.promises.lookup_by === 'resend' ? { resend: read.maybeTextAt(input, 'resend') !== 'false' } : {}),
  };
}

// A lookup by their id whose author left the id out of the input: it is the one he expects back, if he asks by it.
function guessedReference({ verb, expect, exchanges }: Conversation, { promises }: Supplier): string | undefined {
  const expected = read.maybeTextAt(expect, 'supplier_reference');
  if (verb !== 'lookup' || expected === undefined || promises.lookup_by === 'reference') return undefined;
  const url = read.maybeTextAt(exchanges[0]?.request, 'url');
  return promises.lookup_by === 'supplier_reference' || url?.includes(expected) ? expected : undefined;
}

function kindOf({ input, expect, verb }: Conversation, supplier: Supplier, recipient: Recipient): Kind {
  const named = read.maybeTextAt(input, 'kind');
  if (named === 'recharge' || named === 'code') return named;
  const [only, ...others] = supplier.delivers;
  if (only && others.length === 0) return only;
  if (read.at(expect, 'codes')) return 'code';
  if (recipient.account) return 'recharge';
  // A stranger's lookup names no recipient: what it says was delivered without codes was a recharge.
  return verb === 'lookup' && read.maybeTextAt(expect, 'outcome') === 'delivered' ? 'recharge' : 'code';
}

/** A reference in the form the supplier demands. */
export function referenceFor({ promises }: Supplier): string {
  const { alphabet, prefix = '', max_length } = promises.reference_format;
  if (alphabet === 'uuid') return '00000000-0000-4000-8000-000000000001';
  return (prefix + (alphabet === 'digits' ? '20260101000000000001' : 'GW20260101000001')).slice(0, max_length);
}

function recipientOf(value: unknown): Recipient {
  if (typeof value === 'string') return { account: value };
  const recipient: Recipient = {};
  for (const name of ['account', 'account_type', 'region', 'server', 'role'] as const) {
    const text = read.maybeTextAt(value, name);
    if (text !== undefined) recipient[name] = text;
  }
  const extra = texts(read.at(value, 'extra'));
  return Object.keys(extra).length > 0 ? { ...recipient, extra } : recipient;
}

/** `"5.00"`, `5`, `{amount, currency}` or `{amount_e4, currency}`; null where there is none. */
export function moneyIn(value: unknown, currency: string): Money | null {
  if (value === undefined || value === null || value === '') return null;
  const named = read.maybeTextAt(value, 'currency') ?? currency;
  const amount_e4 = read.maybeTextAt(value, 'amount_e4');
  if (amount_e4 !== undefined) return read.money(amount_e4, named, 'e4');
  return read.money(read.maybeTextAt(value, 'amount') ?? fieldText(value), named);
}

/** The message of a `readCallback` conversation. A body given as JSON is written as the content type says. */
export function messageOf({ input, options }: Conversation): Message {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(texts(read.at(input, 'headers')))) headers[name.toLowerCase()] = value;
  const url = read.maybeTextAt(input, 'url') ?? options.callback_url ?? '/callbacks/test';
  const { pathname, search } = new URL(url, 'https://gateway.example');
  const query = read.at(input, 'query');
  const asked = typeof query === 'object' && query !== null ? `?${queryText(query as Fields)}` : search;
  return { headers, body: bodyOf(input, headers['content-type'] ?? ''), url: pathname + asked };
}

/** The bytes of a message or a response: `body` as text or JSON, or `body_base64`. */
export function bodyOf(holder: Json, content_type: string): Buffer {
  const base64 = read.maybeTextAt(holder, 'body_base64');
  if (base64 !== undefined) return Buffer.from(base64, 'base64');
  const body = read.at(holder, 'body') ?? read.at(holder, 'json');
  if (body === undefined || body === null) return Buffer.alloc(0);
  if (typeof body === 'string') return Buffer.from(body);
  const is_form = content_type.toLowerCase().includes('x-www-form-urlencoded');
  return Buffer.from(is_form ? queryText(body as Fields, formEncode) : compactJson(body));
}
