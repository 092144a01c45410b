// An order as its storefront sees it: the row's facts in the API's words, the recipient masked, money as decimal text,
// times in RFC 3339. Never a code, never a source, an account or a supplier's words.
import type { Recipient } from '../../adapters/kit/contract.js';
import type { OrderKind } from '../catalog/skus.js';
import { must } from '../errors.js';
import { type RefundAdvice, refundAdvice, refundableQuantity } from './notices.js';
import { publicReason } from './reason.js';
import { requestOf } from './request.js';
import { isFinal, type OrderState } from './states.js';
import type { EventRow, OrderRow } from './store.js';

export type Fault = 'customer' | 'upstream' | 'platform';

/** Why an order is not delivered. */
export interface ReasonView {
  code: string;
  message: string;
  fault: Fault;
  /** A new order for the same thing may succeed later. */
  retryable: boolean;
}

export interface OrderView {
  id: string;
  object: 'order';
  livemode: true;
  external_id: string;
  sku: string;
  kind: OrderKind;
  quantity: number;
  delivered_quantity: number;
  /** Units proven never to be delivered; 0 where a bundle came in part: see its parts. */
  refundable_quantity: number;
  /** What may be given back in all: never more than what is proven not to be delivered was priced. */
  refundable_amount: string;
  status: OrderState;
  final: boolean;
  refund_advice: RefundAdvice;
  reason: ReasonView | null;
  unit_price: string;
  total_price: string;
  currency: string;
  recipient: Recipient | null;
  allow_partial: boolean;
  metadata: Record<string, string> | null;
  /** Of a bundle: what it is made of, in the order declared. Null for any other. */
  parts: PartView[] | null;
  /** Null where nothing of it is a code. */
  codes: { count: number; url: string } | null;
  /** By then the status has changed; null where it will not, or where a person decides. */
  next_update_by: string | null;
  created_at: string;
  updated_at: string;
  completed_at: string | null;
  version: number;
}

/** One part of a bundle, with what it counts for in the bundle's price. */
export interface PartView {
  sku: string;
  kind: OrderKind;
  quantity: number;
  delivered_quantity: number;
  refundable_quantity: number;
  refundable_amount: string;
  status: OrderState;
  refund_advice: RefundAdvice;
  reason: ReasonView | null;
  unit_price: string;
}

/** The order object of the API; `parts` are the orders of a bundle's parts, and empty for any other. */
export function orderView(order: OrderRow, parts: readonly OrderRow[] = []): OrderView {
  must((order.kind === 'bundle') === parts.length > 0, 'a bundle is shown with its parts');
  const { recipient, allow_partial, metadata } = requestOf(order);
  const final = isFinal(order.state);
  return {
    id: order.order_id,
    object: 'order',
    livemode: true,
    external_id: order.external_id,
    sku: order.sku,
    kind: order.kind,
    quantity: order.quantity,
    delivered_quantity: order.delivered_quantity,
    refundable_quantity: refundableQuantity(order),
    refundable_amount: decimalText(refundableAmount(order, parts)),
    status: order.state,
    final,
    refund_advice: refundAdvice(order),
    reason: reasonView(order),
    unit_price: decimalText(order.unit_price_e4),
    total_price: decimalText(totalPrice(order)),
    currency: order.currency,
    recipient: recipient && maskRecipient(recipient),
    allow_partial,
    metadata,
    parts: order.kind === 'bundle' ? parts.map(partView) : null,
    codes: codesView(order, parts),
    next_update_by: final || order.state === 'held' ? null : timeText(order.deadline_at),
    created_at: timeText(order.created_at),
    updated_at: timeText(order.updated_at),
    completed_at: order.completed_at === null ? null : timeText(order.completed_at),
    version: order.version,
  };
}

function partView(part: OrderRow): PartView {
  return {
    sku: part.sku,
    kind: part.kind,
    quantity: part.quantity,
    delivered_quantity: part.delivered_quantity,
    refundable_quantity: refundableQuantity(part),
    refundable_amount: decimalText(refundableAmount(part, [])),
    status: part.state,
    refund_advice: refundAdvice(part),
    reason: reasonView(part),
    unit_price: decimalText(part.unit_price_e4),
  };
}

function codesView(order: OrderRow, parts: readonly OrderRow[]): OrderView['codes'] {
  const of_codes = [order, ...parts].filter(({ kind }) => kind === 'code');
  if (of_codes.length === 0) return null;
  const count = of_codes.reduce((sum, { delivered_quantity }) => sum + delivered_quantity, 0);
  return { count, url: `/v1/orders/${order.order_id}/codes` };
}

function totalPrice({ unit_price_e4, quantity }: OrderRow): bigint {
  return BigInt(unit_price_e4) * BigInt(quantity);
}

/** Of a bundle that came in part, what its missing parts count for; while any part is open, nothing. */
function refundableAmount(order: OrderRow, parts: readonly OrderRow[]): bigint {
  if (refundAdvice(order) === 'refund_parts') return parts.reduce((sum, part) => sum + refundableAmount(part, []), 0n);
  return BigInt(order.unit_price_e4) * BigInt(refundableQuantity(order));
}

type ReasonFacts = readonly [message: string, fault: Fault, retryable: boolean];

/** An order's reason → what a storefront is told of it. */
export const REASON_FACTS: Readonly<Record<string, ReasonFacts>> = {
  no_live_source: ['no source could take this order', 'platform', true],
  too_late: ['it could not be delivered before deliver_before', 'platform', true],
  out_of_stock: ['it is sold out', 'upstream', true],
  declined: ['the source declined it', 'upstream', true],
  recipient_invalid: ['the recipient does not exist or cannot receive it', 'customer', false],
  bundle_stopped: ['another part of the bundle failed, so this one was not bought', 'upstream', true],
  closed_by_operator: ['a person closed it without a delivery', 'upstream', true],
};
const HELD: ReasonFacts = ['proof is missing, so a person decides; do not refund meanwhile', 'upstream', false];
const OTHER: ReasonFacts = ['it could not be delivered', 'platform', false];

function reasonView({ state, reason }: OrderRow): ReasonView | null {
  if (state === 'held') return reasonOf('held', HELD);
  const code = publicReason(reason);
  return code === null ? null : reasonOf(code, REASON_FACTS[code] ?? OTHER);
}

function reasonOf(code: string, [message, fault, retryable]: ReasonFacts): ReasonView {
  return { code, message, fault, retryable };
}

/** What tells who the recipient is, is masked: account, role, and every extra field. */
export function maskRecipient(recipient: Recipient): Recipient {
  const { account, role, extra, ...others } = recipient;
  return {
    ...(account === undefined ? {} : { account: mask(account) }),
    ...others,
    ...(role === undefined ? {} : { role: mask(role) }),
    ...(extra === undefined
      ? {}
      : { extra: Object.fromEntries(Object.entries(extra).map(([name, text]) => [name, mask(text)])) }),
  };
}

/**
 * Enough for its owner to know it by, too little for anyone else: 138****8000, a****@example.com. Always four stars,
 * so that the length stays hidden too.
 */
export function mask(text: string): string {
  const at = text.lastIndexOf('@');
  if (at > 0) return `${at > 1 ? first(text, 1) : ''}****${text.slice(at)}`;
  const length = Array.from(text).length;
  if (length >= 11) return `${first(text, 3)}****${last(text, 4)}`;
  if (length >= 8) return `${first(text, 2)}****${last(text, 2)}`;
  return length >= 4 ? `${first(text, 1)}****${last(text, 1)}` : '****';
}

// By whole characters: half a surrogate pair is not one.
function first(text: string, count: number): string {
  return Array.from(text).slice(0, count).join('');
}
function last(text: string, count: number): string {
  return Array.from(text).slice(-count).join('');
}

/** Ten-thousandths as decimal text with two to four places: 95000 is "9.50", 48715 is "4.8715". */
export function decimalText(amount_e4: number | bigint): string {
  const digits = String(amount_e4).replace('-', '').padStart(5, '0');
  const cents_end = digits.length - 2;
  const fine = digits.slice(cents_end).replace(/0+$/, '');
  const text = `${digits.slice(0, -4)}.${digits.slice(-4, cents_end)}${fine}`;
  return amount_e4 < 0 ? `-${text}` : text;
}

/** RFC 3339, UTC, with milliseconds. */
export function timeText(at_ms: number): string {
  return new Date(at_ms).toISOString();
}

export interface EventView {
  id: string;
  object: 'event';
  type: string;
  at: string;
  data: Record<string, unknown>;
}

const ORDER_MOVED = ['reason', 'delivered_quantity'];

/** Event type → what of its data a storefront may see. An event that is not here is not shown. */
const STOREFRONT_EVENTS: Readonly<Record<string, readonly string[]>> = {
  order_received: ['quantity', 'unit_price_e4', 'currency'],
  order_sourcing: ORDER_MOVED,
  order_held: ORDER_MOVED,
  order_delivered: ORDER_MOVED,
  order_partial: ORDER_MOVED,
  order_failed: ORDER_MOVED,
  order_cancelled: ORDER_MOVED,
  sources_exhausted: ['reason'],
  part_begun: ['sku'],
  part_withdrawn: ['sku'],
  attempt_planned: ['number', 'quantity'],
  attempt_accepted: ['number'],
  attempt_unknown: ['number'],
  attempt_detached: ['number'],
  attempt_refused: ['number', 'reason'],
  attempt_delivered: ['number', 'quantity'],
};

/** The event as a storefront may see it, or null. Accounts, products, costs, people and suppliers' words are left out. */
export function eventView(event: EventRow): EventView | null {
  const shown = STOREFRONT_EVENTS[event.type];
  if (!shown) return null;
  const data = JSON.parse(event.data) as Record<string, unknown>;
  const fields = shown.flatMap((name): [string, unknown][] => {
    const value = data[name];
    if (value === undefined || value === null) return [];
    if (name === 'reason') return [[name, publicReason(String(value))]];
    return [name.endsWith('_e4') ? [name.slice(0, -3), decimalText(value as number)] : [name, value]];
  });
  return {
    id: event.event_id,
    object: 'event',
    type: event.type,
    at: timeText(event.at),
    data: Object.fromEntries(fields),
  };
}
