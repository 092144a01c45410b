// Everything that happened to one order, as one timeline for a person: what was asked, decided, sent, answered, looked
// up, called back, changed, told, and what it cost. Recipients are masked; codes are never in it.
import type { Knex } from 'knex';
import { REFUSALS } from './failover.js';
import { requestOf } from './request.js';
import {
  type AttemptRow,
  type EventRow,
  type OrderRow,
  readAttempts,
  readEvents,
  type TranscriptRow,
} from './store.js';
import { decimalText, maskRecipient } from './view.js';

export const ENTRY_KINDS = [
  'request',
  'decision',
  'attempt',
  'call',
  'lookup',
  'callback',
  'state',
  'person',
  'webhook',
  'money',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export interface TraceEntry {
  at: number;
  /** Milliseconds since the order was accepted. */
  offset_ms: number;
  kind: EntryKind;
  /** Who did it: `storefront:<name>`, `supplier:<account>`, `operator:<name>` or `kamigate`. */
  actor: string;
  /** One plain sentence. */
  text: string;
  data: Record<string, unknown>;
}

export interface Trace {
  order_id: string;
  storefront: string;
  external_id: string;
  sku: string;
  state: string;
  reason: string | null;
  entries: TraceEntry[];
}

export interface TraceDeps {
  knex: Knex;
  openText: (purpose: string, context: string, sealed: string) => string;
}

/** More calls of one attempt than this are told of by number: a lookup may be repeated for weeks. */
const CALLS_MAX = 200;

/** The timeline of an order, oldest first. Null if there is no such order. */
export async function traceOrder(deps: TraceDeps, order_id: string): Promise<Trace | null> {
  const { knex } = deps;
  const order = (await knex('orders').where({ order_id }).first()) as OrderRow | undefined;
  if (!order) return null;
  const attempts = await readAttempts(knex, order_id);
  const by_id = new Map(attempts.map((attempt) => [attempt.attempt_id, attempt]));
  // Suppliers' own words may repeat whom it was for.
  const mask = recipientMask(order);
  const entries = [
    ...(await readEvents(knex, order_id)).map((event) => eventEntry(order, { ...event, data: mask(event.data) })),
    ...(await callEntries(deps, order, { attempts: by_id, mask })),
    ...(await callbackEntries(knex, order, by_id)),
    ...(await noticeEntries(knex, order)),
    ...moneyEntries(order, attempts),
  ];
  entries.sort((a, b) => a.at - b.at || RANK[a.kind] - RANK[b.kind]);
  const { storefront, external_id, sku, state, reason, held_reason } = order;
  return { order_id, storefront, external_id, sku, state, reason: held_reason ?? reason, entries };
}

/** At one and the same moment: what was asked before what was decided, and the end last. */
const RANK: Readonly<Record<EntryKind, number>> = {
  request: 0,
  decision: 1,
  call: 2,
  lookup: 3,
  callback: 4,
  attempt: 5,
  person: 6,
  state: 7,
  webhook: 8,
  money: 9,
};

type Facts = Record<string, unknown>;

function entry(order: OrderRow, at: number, kind: EntryKind, actor: string, text: string, data: Facts): TraceEntry {
  return { at, offset_ms: at - order.created_at, kind, actor, text, data };
}

interface Told {
  kind: EntryKind;
  text: (facts: Facts) => string;
}

const EVENTS: Readonly<Record<string, Told>> = {
  attempt_planned: {
    kind: 'decision',
    text: (facts) =>
      `attempt ${facts.number} goes to ${facts.account} for ${facts.quantity} of ${facts.product}${skippedText(facts)}`,
  },
  bundle_parts: { kind: 'decision', text: partsText },
  part_begun: { kind: 'decision', text: (facts) => `the part ${facts.sku} begins (${facts.part})` },
  part_withdrawn: {
    kind: 'decision',
    text: (facts) => `the part ${facts.sku} is not bought, for another one failed (${facts.part})`,
  },
  sources_exhausted: { kind: 'decision', text: (facts) => `no source is left (${facts.reason})${skippedText(facts)}` },
  attempt_accepted: {
    kind: 'attempt',
    text: (facts) => `${facts.account} has attempt ${facts.number} and will finish it`,
  },
  attempt_unknown: {
    kind: 'attempt',
    text: (facts) =>
      `attempt ${facts.number} at ${facts.account} is in doubt (${facts.doubt}): it may have been bought`,
  },
  attempt_refused: { kind: 'attempt', text: refusedText },
  attempt_delivered: {
    kind: 'attempt',
    text: (facts) => `${facts.account} delivered ${facts.quantity} by attempt ${facts.number}`,
  },
  attempt_detached: {
    kind: 'decision',
    text: (facts) =>
      `the order goes on without attempt ${facts.number} at ${facts.account}; what that brings becomes stock`,
  },
  attempt_reversed: { kind: 'attempt', text: (facts) => `${facts.account} took a delivered attempt back` },
  late_success: { kind: 'attempt', text: (facts) => `${facts.account} delivered what had been settled as refused` },
  late_codes: {
    kind: 'attempt',
    text: (facts) => `${facts.codes} codes came late from ${facts.account} and became stock`,
  },
  cost_above_ceiling: { kind: 'money', text: (facts) => `${facts.account} charged more than the ceiling it was given` },
  operator_released: { kind: 'person', text: (facts) => `released by ${facts.by}: ${facts.reason}` },
  operator_closed: { kind: 'person', text: (facts) => `closed by ${facts.by}: ${facts.reason}` },
};

function eventEntry(order: OrderRow, { type, at, data }: EventRow): TraceEntry {
  const facts = JSON.parse(data) as Facts;
  if (type === 'order_received') return requestEntry(order, at);
  const decision = facts.decision as { by: string; reason: string; evidence: string } | undefined;
  if (decision) {
    const text = `${decision.by} decided ${type.replace('attempt_', '')}: ${decision.reason} (${decision.evidence})`;
    return entry(order, at, 'person', `operator:${decision.by}`, text, facts);
  }
  const told = EVENTS[type];
  const actor = typeof facts.by === 'string' ? `operator:${facts.by}` : 'kamigate';
  if (told) return entry(order, at, told.kind, actor, told.text(facts), facts);
  const state = /^order_(\w+)$/.exec(type)?.[1];
  const why = facts.held_reason ?? facts.reason;
  const text = state ? `the order is ${state}${why ? ` (${why})` : ''}` : type.replaceAll('_', ' ');
  return entry(order, at, 'state', actor, text, facts);
}

function requestEntry(order: OrderRow, at: number): TraceEntry {
  const { recipient, max_unit_price_e4, deliver_before, allow_partial } = requestOf(order);
  const text = `${order.storefront} ordered ${order.quantity} of ${order.sku} at ${decimalText(order.unit_price_e4)} ${order.currency}`;
  return entry(order, at, 'request', `storefront:${order.storefront}`, text, {
    external_id: order.external_id,
    recipient: recipient && maskRecipient(recipient),
    max_unit_price: max_unit_price_e4 === null ? null : decimalText(max_unit_price_e4),
    deliver_before: deliver_before === null ? null : new Date(deliver_before).toISOString(),
    allow_partial,
  });
}

function partsText({ parts, no_source_for }: Facts): string {
  const list = (parts ?? []) as { part: string; sku: string; quantity: number }[];
  const text = list.map(({ part, sku, quantity }) => `${quantity} of ${sku} (${part})`).join(', ');
  return no_source_for ? `${text}; nothing is bought, for ${no_source_for} has no source now` : text;
}

function skippedText({ skipped }: Facts): string {
  const list = (skipped ?? []) as { account: string; because: string }[];
  return list.length === 0
    ? ''
    : `; passed over: ${list.map(({ account, because }) => `${account}, ${because}`).join('; ')}`;
}

function refusedText({ number, account, reason, message }: Facts): string {
  const permission = REFUSALS[reason as keyof typeof REFUSALS];
  const next = {
    try_next: 'another source may be tried',
    stop: 'others would say the same',
    hold: 'a person must look',
  };
  const why = permission ? `; nothing was bought, so ${next[permission.next]}` : '';
  return `${account} refused attempt ${number} (${reason}${message ? `: ${message}` : ''})${permission?.next === 'hold' ? '; a person must look' : why}`;
}

interface Exchange {
  body: string;
  url: string;
  status: number | null;
  reply_body: string;
}

async function callEntries(
  { knex, openText }: TraceDeps,
  order: OrderRow,
  { attempts, mask }: { attempts: ReadonlyMap<string, AttemptRow>; mask: (text: string) => string },
): Promise<TraceEntry[]> {
  const rows = (await knex('transcripts')
    .whereIn('attempt_id', [...attempts.keys()])
    .orderBy('transcript_id')
    .limit(CALLS_MAX)) as TranscriptRow[];
  return rows.map((row) => {
    const attempt = attempts.get(row.attempt_id)!;
    const facts = {
      attempt: attempt.number,
      reference: attempt.reference,
      duration_ms: row.duration_ms,
      outcome: row.outcome,
    };
    if (row.verb === 'kept_codes') {
      return entry(
        order,
        row.at,
        'call',
        `supplier:${attempt.account}`,
        `${row.outcome}: kept sealed, for they could not be trusted`,
        facts,
      );
    }
    const kind = row.verb === 'lookup' ? 'lookup' : 'call';
    const text = `${row.verb} at ${attempt.account} took ${row.duration_ms} ms: ${row.outcome}`;
    return entry(order, row.at, kind, `supplier:${attempt.account}`, text, {
      ...facts,
      exchanges: openExchanges(openText, row, mask),
    });
  });
}

/** A reply that nobody could read may hold a code that no scrubbing has found: such a body stays sealed. */
function openExchanges(
  openText: TraceDeps['openText'],
  { attempt_id, exchanges_sealed, outcome }: TranscriptRow,
  mask: (text: string) => string,
): Exchange[] | string {
  try {
    const exchanges = JSON.parse(openText('transcript', attempt_id, exchanges_sealed)) as Exchange[];
    return exchanges.map((exchange) => ({
      ...exchange,
      url: mask(exchange.url),
      body: mask(exchange.body),
      reply_body: outcome.startsWith('unknown')
        ? `[${exchange.reply_body.length} characters, kept sealed: it may hold a code]`
        : mask(exchange.reply_body),
    }));
  } catch {
    return '[sealed: the vault gives no key now]';
  }
}

/** Puts the masked form wherever a transcript repeats the recipient, plain or as a URL has it. */
function recipientMask(order: OrderRow): (text: string) => string {
  const { recipient } = requestOf(order);
  if (!recipient) return (text) => text;
  const masked = maskRecipient(recipient);
  const pairs: [string, string][] = [];
  for (const field of ['account', 'role'] as const)
    if (recipient[field]) pairs.push([recipient[field], masked[field]!]);
  for (const [name, value] of Object.entries(recipient.extra ?? {})) pairs.push([value, masked.extra![name]!]);
  return (text) =>
    pairs.reduce((so_far, [plain, hidden]) => {
      return so_far.replaceAll(plain, hidden).replaceAll(encodeURIComponent(plain), hidden);
    }, text);
}

async function callbackEntries(
  knex: Knex,
  order: OrderRow,
  attempts: ReadonlyMap<string, AttemptRow>,
): Promise<TraceEntry[]> {
  const rows = (await knex('callbacks')
    .whereIn('attempt_id', [...attempts.keys()])
    .orderBy('received_at')
    .limit(CALLS_MAX)
    .select('account', 'received_at', 'repeats', 'trust', 'result')) as {
    account: string;
    received_at: number;
    repeats: number;
    trust: string;
    result: string;
  }[];
  return rows.map(({ account, received_at, repeats, trust, result }) => {
    const again = repeats > 0 ? `, and again ${repeats} times` : '';
    const text = `${account} called back: ${trust}, ${result}${again}`;
    return entry(order, received_at, 'callback', `supplier:${account}`, text, { trust, result, repeats });
  });
}

interface NoticeRow {
  notice_id: string;
  type: string;
  created_at: number;
  due_at: number | null;
  tries: number;
  delivered_at: number | null;
  given_up_at: number | null;
  last_result: string | null;
}

async function noticeEntries(knex: Knex, order: OrderRow): Promise<TraceEntry[]> {
  const rows = (await knex('notices').where({ order_id: order.order_id }).orderBy('notice_id')) as NoticeRow[];
  return rows.map(({ notice_id, type, created_at, due_at, tries, delivered_at, given_up_at, last_result }) => {
    const at = delivered_at ?? given_up_at ?? created_at;
    const end = delivered_at ? 'delivered' : given_up_at ? 'given up' : 'not delivered yet';
    const text = `webhook ${type}: ${end} after ${tries} ${tries === 1 ? 'try' : 'tries'}${last_result ? ` (${last_result})` : ''}`;
    const facts = { notice_id, tries, last_result, next_try_at: due_at && new Date(due_at).toISOString() };
    return entry(order, at, 'webhook', 'kamigate', text, facts);
  });
}

/** What the order came to in money, once it is at its end; margin only where cost and price share a currency. */
function moneyEntries(order: OrderRow, attempts: readonly AttemptRow[]): TraceEntry[] {
  if (order.completed_at === null) return [];
  const price_e4 = BigInt(order.unit_price_e4) * BigInt(order.delivered_quantity);
  const bought = attempts.filter((attempt) => attempt.state === 'delivered' && attempt.detached_at === null);
  const is_known = bought.every(({ cost_e4, currency }) => cost_e4 !== null && currency === order.currency);
  const cost_e4 = bought.reduce((sum, attempt) => sum + BigInt(attempt.cost_e4 ?? 0), 0n);
  const price = `${decimalText(price_e4)} ${order.currency}`;
  const text = is_known
    ? `price ${price}, cost ${decimalText(cost_e4)}, margin ${decimalText(price_e4 - cost_e4)}`
    : `price ${price}; the cost is not known in ${order.currency}`;
  const facts = {
    price: decimalText(price_e4),
    cost: is_known ? decimalText(cost_e4) : null,
    currency: order.currency,
  };
  return [entry(order, order.completed_at, 'money', 'kamigate', text, facts)];
}

/** The timeline as text, a line for each entry: offset, kind, sentence. */
export function traceText(trace: Trace): string {
  const head = `${trace.order_id}  ${trace.state}${trace.reason ? ` (${trace.reason})` : ''}  ${trace.storefront} ${trace.external_id}`;
  const lines = trace.entries.map(({ at, offset_ms, kind, text }) => {
    return `${new Date(at).toISOString()}  +${(offset_ms / 1_000).toFixed(3).padStart(9)}  ${kind.padEnd(8)}  ${text}`;
  });
  return [head, ...lines].join('\n');
}
