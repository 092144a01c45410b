// Units of an order are numbered from 1; each is bound to one code, once, for ever.
import type { OrderRow } from './store.js';

/** The units still missing: where they begin and how many. */
export function unitsOf(order: Pick<OrderRow, 'order_id' | 'quantity' | 'delivered_quantity'>): {
  order_id: string;
  first_unit: number;
  quantity: number;
} {
  return {
    order_id: order.order_id,
    first_unit: order.delivered_quantity + 1,
    quantity: order.quantity - order.delivered_quantity,
  };
}
