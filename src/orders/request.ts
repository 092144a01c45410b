// What a storefront asked for: its one spelling, by which a repeat is told from a different order.
import type { Recipient } from '../../adapters/kit/contract.js';

/** What a storefront asks for, checked for form by the HTTP layer; every field is present. */
export interface OrderRequest {
  external_id: string;
  sku: string;
  quantity: number;
  recipient: Recipient | null;
  max_unit_price_e4: number | null;
  currency: string | null;
  allow_partial: boolean;
  deliver_before: number | null;
  callback_url: string | null;
  metadata: Record<string, string> | null;
}

/** One spelling for one request: known fields in a fixed order, nested keys sorted. */
export function canonicalRequest(request: OrderRequest): string {
  const { external_id, sku, quantity, recipient, max_unit_price_e4, currency, allow_partial } = request;
  const { deliver_before, callback_url, metadata } = request;
  return JSON.stringify({
    external_id,
    sku,
    quantity,
    recipient: recipient && sorted(recipient),
    max_unit_price_e4,
    currency,
    allow_partial,
    deliver_before,
    callback_url,
    metadata: metadata && sorted(metadata),
  });
}

function sorted(value: object): object {
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, inner !== null && typeof inner === 'object' ? sorted(inner as object) : inner]),
  );
}

/** The order's request, read back. */
export function requestOf(order: { request: string }): OrderRequest {
  return JSON.parse(order.request) as OrderRequest;
}
