// What a storefront is told, beside the state: whether it is final, and whether it may refund. And the outbox rows
// that say so, written in the order's own transaction: thin, never a code, never a supplier's name.
import type { Trx } from '../db/atomic.js';
import { writeNotices } from '../storefronts/webhooks.js';
import { publicReason } from './reason.js';
import { requestOf } from './request.js';
import { isFinal, type OrderState } from './states.js';
import type { OrderRow } from './store.js';

/** `refund_parts`: of a bundle some parts were delivered; the others are refunded, each by its own advice. */
export type RefundAdvice = 'do_not_refund' | 'safe_to_refund' | 'refund_parts' | 'none';

/** State → may the storefront give the money back? Anything that may still deliver says no. */
const REFUND_ADVICE: Readonly<Record<OrderState, RefundAdvice>> = {
  received: 'do_not_refund',
  sourcing: 'do_not_refund',
  held: 'do_not_refund',
  delivered: 'none',
  // For the units that are missing: see `refundable_quantity`.
  partial: 'safe_to_refund',
  failed: 'safe_to_refund',
  cancelled: 'safe_to_refund',
};

export function refundAdvice({ state, kind }: Pick<OrderRow, 'state' | 'kind'>): RefundAdvice {
  return kind === 'bundle' && state === 'partial' ? 'refund_parts' : REFUND_ADVICE[state];
}

/** Units proven never to be delivered; 0 while anything is open, and where a bundle came in part. */
export function refundableQuantity(
  order: Pick<OrderRow, 'state' | 'kind' | 'quantity' | 'delivered_quantity'>,
): number {
  return refundAdvice(order) === 'safe_to_refund' ? order.quantity - order.delivered_quantity : 0;
}

/**
 * Writes a notice for each of these orders that has come to its end or is held, if its storefront listens. Of a bundle
 * the storefront knows the whole, and its parts only within it.
 */
export async function noticesOf(trx: Trx, orders: readonly OrderRow[], now: number): Promise<void> {
  const telling = orders.filter(
    ({ state, parent_order_id }) => (isFinal(state) || state === 'held') && parent_order_id === null,
  );
  if (telling.length === 0) return;
  const urls = await webhookUrls(trx, telling);
  await writeNotices(
    trx,
    telling.flatMap((order) => {
      const url = requestOf(order).callback_url ?? urls.get(order.storefront);
      return url ? [noticeOf(order, url, now)] : [];
    }),
  );
}

async function webhookUrls(trx: Trx, orders: readonly OrderRow[]): Promise<Map<string, string | null>> {
  const rows = (await trx('storefronts')
    .whereIn('storefront', [...new Set(orders.map((order) => order.storefront))])
    .select('storefront', 'webhook_url')) as { storefront: string; webhook_url: string | null }[];
  return new Map(rows.map((row) => [row.storefront, row.webhook_url]));
}

function noticeOf(order: OrderRow, url: string, now: number) {
  const type = `order.${order.state}`;
  return {
    storefront: order.storefront,
    order_id: order.order_id,
    type,
    url,
    created_at: now,
    payload: {
      type,
      timestamp: new Date(now).toISOString(),
      data: {
        order_id: order.order_id,
        external_id: order.external_id,
        status: order.state,
        final: isFinal(order.state),
        refund_advice: refundAdvice(order),
        delivered_quantity: order.delivered_quantity,
        reason: publicReason(order.reason),
        version: order.version,
      },
    },
  };
}
