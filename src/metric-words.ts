// The closed sets that labels of metrics are made of. The words are the glossary's; what is not here becomes `other`.

/** What can be bought or issued. */
export const KINDS = ['recharge', 'code'] as const;
/** What can be ordered. */
export const ORDER_KINDS = [...KINDS, 'bundle'] as const;
export const OPERATIONS = ['place', 'lookup', 'offers', 'balance'] as const;
/** What one call came to. `ok` is any answer that says what was asked; the rest are refusals, then doubts. */
export const CALL_OUTCOMES = [
  'ok',
  'refused',
  'out_of_stock',
  'float_low',
  'credentials',
  'busy',
  'maintenance',
  'not_sent',
  'breaker_open',
  'deadline',
  'reset',
  'http_5xx',
  'unreadable',
  'unknown',
] as const;
export const FAILOVER_REASONS = [
  'not_sent',
  'out_of_stock',
  'cost_changed',
  'limit_reached',
  'busy',
  'maintenance',
  'float_low',
  'credentials',
  'sku_unknown',
  'declined',
  'detached',
] as const;
export const ATTEMPT_RESULTS = ['delivered', 'failed_supplier', 'failed_customer', 'failed_ours', 'unknown'] as const;
export const FINISHED = [
  'delivered',
  'partial',
  'failed_upstream',
  'failed_ours',
  'failed_customer',
  'cancelled',
] as const;
export const CALLBACK_RESULTS = [
  'settled',
  'offers',
  'hint',
  'repeat',
  'signature',
  'unreadable',
  'stale',
  'unknown_order',
  'crossed',
] as const;
export const QUEUES = [
  'renew_leases',
  'resume_orders',
  'look_up',
  'write_health',
  'probe_suppliers',
  'send_notices',
  'sweep_offers',
  'watch_offers',
  'read_floats',
  'expire_cost_changes',
  'chain_ledger',
  'sign_ledger',
  'watch_vault',
  'brake_vault',
  'gauges',
  'verify_vault',
  'alerts',
] as const;
/** The queues whose work lies in the database. */
export const DUE_QUEUES = ['resume_orders', 'look_up', 'send_notices'] as const;
export const OPEN_STATES = ['received', 'sourcing', 'held'] as const;
export const CODE_STATES = ['available', 'quarantined', 'issued', 'void', 'expired'] as const;
export const STOCK_STATUSES = ['ok', 'low', 'out', 'untracked'] as const;
export const WINDOWS = ['lt_7d', '7d_30d'] as const;
/** The checks of `vault verify`, in its order. */
export const VIOLATIONS = ['chain', 'records', 'issued_state', 'double_issue', 'batches', 'codes'] as const;
export const OFFER_STATUSES = ['active', 'off', 'pending', 'out_of_stock', 'unpriced'] as const;
export const READINGS = ['offers', 'balance'] as const;
export const COST_DECISIONS = ['auto_applied', 'pending_approval', 'rejected'] as const;
export const SOURCE_COUNTS = ['0', '1', '2', '3plus'] as const;
export const HTTP_CODES = [
  '200',
  '201',
  '204',
  '400',
  '401',
  '403',
  '404',
  '405',
  '409',
  '413',
  '415',
  '422',
  '429',
  '500',
  '502',
  '503',
] as const;
export const HTTP_METHODS = ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE'] as const;
