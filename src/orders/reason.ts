// An order's reason as a storefront may know it. That our balance is low or a key was refused is nobody's business.
const INTERNAL = new Set([
  'not_sent',
  'cost_changed',
  'limit_reached',
  'busy',
  'maintenance',
  'float_low',
  'credentials',
  'sku_unknown',
  'duplicate',
  'request_invalid',
]);

/** The public code of a reason; null stays null. */
export function publicReason(reason: string | null): string | null {
  return reason !== null && INTERNAL.has(reason) ? 'no_live_source' : reason;
}
