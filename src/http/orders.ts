// Orders as a storefront places, reads, lists and withdraws them; and the one place where its codes are shown.
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { RevealedCode, Vault } from '../../vault/vault.js';
import { RECIPIENT_LENGTH_MAX } from '../catalog/skus.js';
import { atomic } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import type { Orders } from '../orders/orders.js';
import type { OrderRequest } from '../orders/request.js';
import { isFinal, ORDER_STATES } from '../orders/states.js';
import type { OrderRow } from '../orders/store.js';
import { eventView, timeText } from '../orders/view.js';
import { webhookUrlFault } from '../storefronts/egress.js';
import { amount, currency, pageLimit, printable, strictObject, text, time, wholeNumber } from './input.js';
import { callerOf, type Exchange, param, type Reply, type Route, route } from './route.js';

export interface OrderRoutesDeps {
  orders: Orders;
  vault: Pick<Vault, 'reveal'>;
  database: Database;
  /** Longest that `Prefer: wait=N` holds a response open. */
  wait_max_ms: number;
  /** Callback URLs may be plain http and point into private networks. */
  allow_private_webhooks: boolean;
  isDraining: () => boolean;
}

/** The most an order may ask for by form; each SKU has a limit of its own below it. */
const QUANTITY_MAX = 10_000;
/** A waiting response looks this often whether the process is draining or the client has gone. */
const WAIT_SLICE_MS = 1_000;
const ORDER_ID = /^ord_[0-9A-Z]{26}$/;

export function orderRoutes(deps: OrderRoutesDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/orders',
      scope: 'orders:write',
      body: orderRequest(deps),
      handle: (exchange) => placeOrder(deps, exchange),
    }),
    route({
      method: 'GET',
      path: '/v1/orders',
      scope: 'orders:read',
      query: listQuery,
      handle: (exchange) => findOrders(deps, exchange),
    }),
    route({
      method: 'GET',
      path: '/v1/orders/:order_id',
      scope: 'orders:read',
      handle: async (exchange) => ({ status: 200, body: await deps.orders.view(await readOwn(deps, exchange)) }),
    }),
    route({
      method: 'POST',
      path: '/v1/orders/:order_id/cancel',
      scope: 'orders:write',
      handle: async (exchange) => {
        const { storefront } = callerOf(exchange);
        const order = await deps.orders.cancel(storefront, orderIdOf(exchange));
        return { status: 200, body: await deps.orders.view(order) };
      },
    }),
    route({
      method: 'GET',
      path: '/v1/orders/:order_id/codes',
      scope: 'codes:read',
      query: codesQuery,
      refuses_head: true,
      handle: (exchange) => showCodes(deps, exchange),
    }),
    route({
      method: 'GET',
      path: '/v1/orders/:order_id/events',
      scope: 'orders:read',
      handle: async (exchange) => {
        const order = await readOwn(deps, exchange);
        const events = await deps.orders.events(order.order_id);
        return {
          status: 200,
          body: { object: 'list', data: events.flatMap((event) => eventView(event) ?? []), next: null },
        };
      },
    }),
  ];
}

const EXTRA_FIELDS_MAX = 20;
const METADATA_KEYS_MAX = 20;
const METADATA_KEY_LENGTH_MAX = 40;
const METADATA_VALUE_LENGTH_MAX = 500;
const CALLBACK_URL_LENGTH_MAX = 1_000;

/** By form only: which recipient fields an SKU takes, and of what pattern, the catalog says. */
const recipient = strictObject({
  account: text(RECIPIENT_LENGTH_MAX).optional(),
  account_type: text(RECIPIENT_LENGTH_MAX).optional(),
  region: text(RECIPIENT_LENGTH_MAX).optional(),
  server: text(RECIPIENT_LENGTH_MAX).optional(),
  role: text(RECIPIENT_LENGTH_MAX).optional(),
  extra: texts({ keys_max: EXTRA_FIELDS_MAX, length_max: RECIPIENT_LENGTH_MAX }).optional(),
});

/** The order request's schema: a field that is null is as good as left out. */
export function orderRequest({ allow_private_webhooks }: { allow_private_webhooks: boolean }): z.ZodType<OrderRequest> {
  return strictObject({
    external_id: printable(),
    sku: printable(),
    quantity: wholeNumber(1, QUANTITY_MAX),
    recipient: recipient.nullish(),
    max_unit_price: amount().nullish(),
    currency: currency().nullish(),
    allow_partial: z.boolean('must be true or false').nullish(),
    deliver_before: time().nullish(),
    callback_url: callbackUrl(allow_private_webhooks).nullish(),
    metadata: texts({ keys_max: METADATA_KEYS_MAX, length_max: METADATA_VALUE_LENGTH_MAX }).nullish(),
  })
    .refine((order) => typeof order.max_unit_price !== 'number' || typeof order.currency === 'string', {
      path: ['currency'],
      params: { code: 'required' },
      error: 'is required beside max_unit_price',
    })
    .transform((order) => ({
      external_id: order.external_id,
      sku: order.sku,
      quantity: order.quantity,
      // Undefined fields are not there: the canonical request has one spelling.
      recipient: order.recipient ? (order.recipient as OrderRequest['recipient']) : null,
      max_unit_price_e4: order.max_unit_price ?? null,
      currency: order.currency ?? null,
      allow_partial: order.allow_partial ?? false,
      deliver_before: order.deliver_before ?? null,
      callback_url: order.callback_url ?? null,
      metadata: order.metadata ?? null,
    }));
}

/** An object of texts under names of the caller's choice. */
function texts({ keys_max, length_max }: { keys_max: number; length_max: number }) {
  const value = text(length_max);
  return z
    .custom<object>(
      (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
      'must be an object',
    )
    .transform((input, context): Record<string, string> => {
      const entries = Object.entries(input);
      if (entries.length > keys_max) {
        context.addIssue({
          code: 'custom',
          params: { code: 'too_big' },
          message: `must have at most ${keys_max} keys`,
        });
        return z.NEVER;
      }
      for (const [key, inner] of entries) {
        const fault = keyFault(key) ?? value.safeParse(inner).error?.issues[0]?.message;
        if (fault) context.addIssue({ code: 'custom', path: [key], message: fault });
      }
      return Object.fromEntries(entries);
    });
}

function keyFault(key: string): string | null {
  if (key === '__proto__') return 'is not a name that can be used';
  if (key.length >= 1 && key.length <= METADATA_KEY_LENGTH_MAX && !/\p{Surrogate}|\p{Cc}/u.test(key)) return null;
  return `must have a name of 1 to ${METADATA_KEY_LENGTH_MAX} characters`;
}

function callbackUrl(allow_private: boolean) {
  return text(CALLBACK_URL_LENGTH_MAX).superRefine((url, context) => {
    const fault = webhookUrlFault(url, { allow_private });
    if (fault) context.addIssue({ code: 'custom', message: `${fault}; send an https URL without credentials` });
  });
}

async function placeOrder(deps: OrderRoutesDeps, exchange: Exchange<OrderRequest>): Promise<Reply> {
  const { storefront } = callerOf(exchange);
  const wait_s = preferredWait(exchange.headers.prefer, deps.wait_max_ms);
  const { order, is_replay } = await deps.orders.place({ storefront, request: exchange.body });
  const settled = wait_s > 0 ? await waitForRest(deps, exchange, order, wait_s * 1_000) : order;
  const headers: Record<string, string> = { Location: `/v1/orders/${order.order_id}` };
  if (is_replay) headers['Idempotent-Replayed'] = 'true';
  if (wait_s > 0) headers['Preference-Applied'] = `wait=${wait_s}`;
  const is_known = is_replay || (wait_s > 0 && isFinal(settled.state));
  const body = await deps.orders.view(settled);
  return { status: is_known ? 200 : 201, body, headers, order_id: order.order_id };
}

/** Seconds of `Prefer: wait=N` (RFC 7240), at most what is allowed; 0 if there is none, or none that can be read. */
function preferredWait(prefer: string | string[] | undefined, wait_max_ms: number): number {
  if (prefer === undefined) return 0;
  const wanted = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i.exec(String(prefer))?.[1];
  return wanted === undefined ? 0 : Math.min(Number(wanted), Math.floor(wait_max_ms / 1_000));
}

/** Waits in slices, so that a draining process answers soon with what it has. */
async function waitForRest(
  deps: OrderRoutesDeps,
  exchange: Exchange,
  order: OrderRow,
  wait_ms: number,
): Promise<OrderRow> {
  const ends_at = performance.now() + wait_ms;
  for (let seen = order; ; ) {
    const left_ms = ends_at - performance.now();
    if (isFinal(seen.state) || left_ms <= 0 || deps.isDraining() || exchange.isGone()) return seen;
    seen = await deps.orders.waitFor(order.order_id, Math.ceil(Math.min(left_ms, WAIT_SLICE_MS)));
  }
}

const listQuery = strictObject({
  external_id: printable().optional(),
  cursor: z.string().regex(ORDER_ID, 'is not one that this list gave').optional(),
  limit: pageLimit(),
  status: z.enum(ORDER_STATES, `must be one of ${ORDER_STATES.join(', ')}`).optional(),
}).refine((query) => query.external_id === undefined || (query.cursor ?? query.status) === undefined, {
  path: ['external_id'],
  error: 'names one order: it goes with no other parameter',
});

async function findOrders(
  deps: OrderRoutesDeps,
  exchange: Exchange<undefined, z.output<typeof listQuery>>,
): Promise<Reply> {
  const { storefront } = callerOf(exchange);
  const { external_id, cursor = null, limit, status = null } = exchange.query;
  if (external_id !== undefined) {
    const order = await deps.orders.read(storefront, { external_id });
    if (!order) throw orderNotFound();
    return { status: 200, body: await deps.orders.view(order) };
  }
  // One more than asked for tells whether there is a next page.
  const orders = await deps.orders.list(storefront, { state: status, cursor, limit: limit + 1 });
  const page = orders.slice(0, limit);
  const next = orders.length > limit ? (page.at(-1)?.order_id ?? null) : null;
  return { status: 200, body: { object: 'list', data: await deps.orders.views(page), next } };
}

async function readOwn(deps: OrderRoutesDeps, exchange: Exchange): Promise<OrderRow> {
  const order = await deps.orders.read(callerOf(exchange).storefront, { order_id: orderIdOf(exchange) });
  if (!order) throw orderNotFound();
  return order;
}

function orderIdOf(exchange: Pick<Exchange, 'params'>): string {
  const order_id = param(exchange, 'order_id');
  if (!ORDER_ID.test(order_id)) throw orderNotFound();
  return order_id;
}

function orderNotFound(): GatewayError {
  return new GatewayError('order_not_found', 'there is no such order', { fix: 'Check the id.' });
}

const codesQuery = strictObject({
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,4}$/, 'is not one that this list gave')
    .transform(Number)
    .optional(),
  limit: pageLimit(),
});

async function showCodes(
  deps: OrderRoutesDeps,
  exchange: Exchange<undefined, z.output<typeof codesQuery>>,
): Promise<Reply> {
  const order = await readOwn(deps, exchange);
  const shelves = await shelvesOf(deps, order);
  const last_unit = Math.max(0, ...shelves.map(({ before, delivered }) => before + delivered));
  if (last_unit === 0) throw codesNotReady(order, shelves.length > 0);
  const { cursor: first_unit = 1, limit } = exchange.query;
  // The record of who saw what is committed before anything is shown.
  const codes = await atomic(deps.database, 'reveal', async (trx) => {
    const shown: object[] = [];
    for (const { order_id, sku, before, delivered } of shelves) {
      const left = limit - shown.length;
      if (left === 0 || before + delivered < first_unit) continue;
      const revealed = await deps.vault.reveal(trx, {
        order_id,
        by: `storefront:${order.storefront}`,
        reason: `request ${exchange.request_id}`,
        first_unit: Math.max(1, first_unit - before),
        limit: left,
      });
      shown.push(...revealed.map((code) => ({ ...sku, ...codeView(code), unit: before + code.unit_no })));
    }
    return shown as { unit: number }[];
  });
  const next_unit = (codes.at(-1)?.unit ?? last_unit) + 1;
  const next = next_unit <= last_unit ? String(next_unit) : null;
  return { status: 200, body: { object: 'list', data: codes, next } };
}

/** Orders that codes are issued to: the order itself or, of a bundle, its parts, one after the other. */
interface Shelf {
  order_id: string;
  /** Named only where there are several. */
  sku: { sku?: string };
  /** Units of the parts before it: a unit keeps its number whatever else is delivered meanwhile. */
  before: number;
  delivered: number;
}

async function shelvesOf(deps: OrderRoutesDeps, order: OrderRow): Promise<Shelf[]> {
  const parts = order.kind === 'bundle' ? await deps.orders.parts(order.order_id) : [order];
  let before = 0;
  return parts.flatMap(({ order_id, sku, kind, quantity, delivered_quantity }) => {
    if (kind !== 'code') return [];
    const shelf = { order_id, sku: order.kind === 'bundle' ? { sku } : {}, before, delivered: delivered_quantity };
    before += quantity;
    return [shelf];
  });
}

function codesNotReady({ state }: OrderRow, has_codes: boolean): GatewayError {
  return new GatewayError(
    'codes_not_ready',
    has_codes ? 'no code is delivered yet' : 'nothing of this order is a code',
    {
      fix:
        has_codes && !isFinal(state)
          ? 'Read the order until codes.count is above 0.'
          : 'Read the order: it tells what became of it.',
      extra: { status: state },
    },
  );
}

/** Text where the bytes are UTF-8, else Base64 under `<field>_base64`: exactly what was deposited either way. */
function codeView(code: RevealedCode): Record<string, unknown> {
  const view: Record<string, unknown> = { unit: code.unit_no };
  for (const field of ['number', 'pin', 'serial', 'link'] as const) {
    const bytes = code[field]?.bytes();
    if (bytes === undefined) continue;
    if (isUtf8(bytes)) view[field] = bytes.toString('utf8');
    else view[`${field}_base64`] = bytes.toString('base64');
  }
  return { ...view, expires_at: code.expires_at === null ? null : timeText(code.expires_at) };
}
