// Every Prometheus metric in one table: name, kind, labels with all the values each may have, and help. A metric is
// added here and nowhere else. Labels come from closed sets: never an id, a code, a phone, an amount or a message.
import {
  ATTEMPT_RESULTS,
  CALL_OUTCOMES,
  CALLBACK_RESULTS,
  CODE_STATES,
  COST_DECISIONS,
  DUE_QUEUES,
  FAILOVER_REASONS,
  FINISHED,
  HTTP_CODES,
  HTTP_METHODS,
  KINDS,
  OFFER_STATUSES,
  OPEN_STATES,
  OPERATIONS,
  ORDER_KINDS,
  QUEUES,
  READINGS,
  SOURCE_COUNTS,
  STOCK_STATUSES,
  VIOLATIONS,
  WINDOWS,
} from './metric-words.js';

/** Values that are known only at run time: names from the database, and the routes of the API. */
export type Named = 'supplier' | 'storefront' | 'sku' | 'route' | 'text';
export type LabelSet = readonly string[] | Named;

export interface Definition {
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  labels: Readonly<Record<string, LabelSet>>;
  buckets?: readonly number[];
  /** Slow buckets name an order, for scrapers that take OpenMetrics. */
  exemplars?: true;
  /** Read from the database by the one elected process, and removed by a process that is not. */
  elected?: true;
  /** Not set to zero beforehand, because most of the combinations never come up. */
  sparse?: true;
}

const CALL_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type LabelSets = Readonly<Record<string, LabelSet>>;
type More = Pick<Definition, 'exemplars' | 'sparse'>;
const counter = <const L extends LabelSets>(labels: L, help: string, more: More = {}) =>
  ({ type: 'counter', labels, help, ...more }) as const;
const gauge = <const L extends LabelSets>(labels: L, help: string) => ({ type: 'gauge', labels, help }) as const;
const elected = <const L extends LabelSets>(labels: L, help: string) =>
  ({ type: 'gauge', labels, help, elected: true }) as const;
const histogram = <const L extends LabelSets>(labels: L, buckets: readonly number[], help: string, more: More = {}) =>
  ({ type: 'histogram', labels, help, buckets, ...more }) as const;

export const METRICS = {
  // ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────
  http_requests_total: counter(
    { route: 'route', method: HTTP_METHODS, code: HTTP_CODES },
    'Requests answered, by route pattern, method and status.',
    { sparse: true },
  ),
  http_request_duration_seconds: histogram(
    { route: 'route' },
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    'Time to answer a request.',
  ),
  http_requests_in_flight: gauge({}, 'Requests being answered by this process.'),
  storefront_requests_total: counter(
    {
      storefront: 'storefront',
      outcome: ['ok', 'client_error', 'auth_error', 'conflict', 'rate_limited', 'server_error'],
    },
    'Requests of storefronts by what they came to.',
  ),
  auth_failures_total: counter({ reason: ['unauthorized', 'scope_missing'] }, 'Requests refused for their key.'),
  idempotency_total: counter(
    { result: ['new', 'replayed', 'mismatch'] },
    'What an order request’s external id turned out to be.',
  ),

  // ── Orders ───────────────────────────────────────────────────────────────────────────────────────────────────────
  orders_created_total: counter({ storefront: 'storefront', kind: ORDER_KINDS }, 'Orders accepted.'),
  orders_finished_total: counter(
    { storefront: 'storefront', kind: ORDER_KINDS, outcome: FINISHED },
    'Orders at their end, by who is at fault if not delivered.',
  ),
  order_duration_seconds: histogram(
    { kind: KINDS, outcome: ['delivered', 'failed'] },
    [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600],
    'From acceptance to the end of an order; of a bundle, of each part.',
    { exemplars: true },
  ),
  order_attempts: histogram({ kind: KINDS }, [1, 2, 3, 4, 5, 8], 'Attempts an order took; of a bundle, each part.'),
  orders_open: elected({ state: OPEN_STATES }, 'Orders not at their end.'),
  orders_open_oldest_timestamp_seconds: elected(
    { state: OPEN_STATES },
    'Acceptance of the oldest open order in this state; 0 if none.',
  ),
  orders_unsent_oldest_timestamp_seconds: elected(
    {},
    'Last change of the stalest open order that has nothing at a supplier; 0 if none.',
  ),
  unknown_outcomes: elected({ supplier: 'supplier' }, 'Attempts of which nobody knows yet what they came to.'),
  unknown_outcome_oldest_timestamp_seconds: elected(
    { supplier: 'supplier' },
    'Since when the oldest unknown attempt is in doubt; 0 if none.',
  ),
  unknown_outcomes_resolved_total: counter(
    { supplier: 'supplier', resolution: ['delivered', 'refused'], actor: ['auto', 'operator'] },
    'How unknown attempts ended, and who ended them.',
  ),

  // ── Suppliers ────────────────────────────────────────────────────────────────────────────────────────────────────
  supplier_requests_total: counter(
    { supplier: 'supplier', operation: OPERATIONS, outcome: CALL_OUTCOMES },
    'Calls to suppliers by what they came to.',
  ),
  supplier_request_duration_seconds: histogram(
    { supplier: 'supplier', operation: ['place', 'lookup'] },
    CALL_BUCKETS,
    'Time of one call to a supplier.',
  ),
  supplier_attempts_total: counter(
    { supplier: 'supplier', kind: KINDS, result: ATTEMPT_RESULTS },
    'Attempts by result; an unknown one is settled in unknown_outcomes_resolved_total.',
  ),
  supplier_delivery_seconds: histogram(
    { supplier: 'supplier', kind: KINDS },
    [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600],
    'From sending an attempt to its proven delivery.',
    { exemplars: true },
  ),
  supplier_in_flight: gauge({ supplier: 'supplier' }, 'Calls of this process under way or waiting.'),
  supplier_circuit_state: gauge(
    { supplier: 'supplier' },
    'Purchases: 0 closed, 1 half-open, 2 open, 3 account paused.',
  ),
  supplier_circuit_transitions_total: counter(
    { supplier: 'supplier', to: ['closed', 'half_open', 'open'] },
    'Changes of a circuit breaker.',
  ),
  failovers_total: counter(
    { supplier: 'supplier', reason: FAILOVER_REASONS },
    'Orders that left this supplier for the next source.',
  ),
  supplier_callbacks_total: counter({ supplier: 'supplier', result: CALLBACK_RESULTS }, 'Messages from suppliers.'),
  supplier_balance_amount: elected({ supplier: 'supplier' }, 'Prepaid balance last read, in the base currency.'),
  supplier_clock_skew_seconds: gauge({ supplier: 'supplier' }, 'Their Date header minus our clock.'),
  supplier_last_success_timestamp_seconds: gauge(
    { supplier: 'supplier', operation: OPERATIONS },
    'Last good answer to a call of this process.',
  ),
  supplier_enabled: elected({ supplier: 'supplier' }, 'Routing may use it: 0 while paused.'),
  supplier_info: elected({ supplier: 'supplier', adapter: 'text' }, 'The account’s adapter; always 1.'),
  unmapped_replies_total: counter(
    { supplier: 'supplier' },
    'Replies with a status or code that no table of the adapter holds.',
  ),
  late_codes_total: counter({ supplier: 'supplier' }, 'Codes that came late and became stock.'),
  contradictions_total: counter(
    { supplier: 'supplier', type: ['late_success', 'reversal'] },
    'News that contradicts a settled attempt.',
  ),

  // ── Vault ────────────────────────────────────────────────────────────────────────────────────────────────────────
  vault_codes: elected({ state: CODE_STATES }, 'Codes in the vault.'),
  vault_skus: elected(
    { stock_status: STOCK_STATUSES },
    'Enabled code SKUs by stock; untracked ones were never stocked.',
  ),
  vault_sku_available_codes: elected({ sku: 'sku' }, 'Codes that could be issued now, of watched SKUs only.'),
  vault_codes_expiring: elected({ window: WINDOWS }, 'Available codes by time to expiry; the windows do not overlap.'),
  vault_codes_imported_total: counter(
    { supplier: 'supplier', result: ['imported', 'duplicate'] },
    'Codes deposited, by where they came from.',
  ),
  vault_issues_total: counter({ result: ['issued', 'short'] }, 'Orders the vault was asked to issue for.'),
  vault_issue_duration_seconds: histogram(
    { result: ['ok', 'fail'] },
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
    'Time to claim and open the codes of one issue.',
  ),
  vault_invariant_violations_total: counter(
    { check: VIOLATIONS },
    'Broken promises found in the vault; must stay 0 for ever.',
  ),
  vault_decrypts_total: counter(
    { purpose: ['issue', 'storefront', 'person'], result: ['ok', 'failed'] },
    'Codes opened, by what for.',
  ),
  vault_rewrap_pending_keys: elected({}, 'Batch keys still wrapped by an older master key.'),
  vault_active_key_created_timestamp_seconds: elected({}, 'When the current master key was made; 0 if none.'),
  vault_inventory_cost_amount: elected({}, 'Cost of available codes, in the base currency.'),
  vault_inventory_at_risk_cost_amount: elected({}, 'Cost of available codes that expire within 30 days.'),
  vault_unchained_oldest_timestamp_seconds: elected({}, 'Oldest record of the ledger not in its chain yet; 0 if none.'),
  vault_untrusted_codes: elected({}, 'Codes taken out because they could not be opened.'),
  vault_freezes: elected({}, 'Freezes in force.'),
  vault_brakes_total: counter({}, 'SKUs the vault has frozen by itself, because they left far faster than is usual.'),
  vault_approvals_waiting: elected({}, 'Requests that wait for a second person.'),
  vault_sealed: elected({}, '1 while nothing can be opened.'),

  // ── Offers and money ─────────────────────────────────────────────────────────────────────────────────────────────
  sync_last_success_timestamp_seconds: elected(
    { supplier: 'supplier', type: READINGS },
    'Begin of the last whole sweep, and last read of the balance; 0 if never.',
  ),
  sync_failures: elected({ supplier: 'supplier', type: READINGS }, 'Failures in a row since the last success.'),
  sync_last_duration_seconds: elected({ supplier: 'supplier' }, 'How long the last whole sweep took.'),
  cost_changes_total: counter(
    { supplier: 'supplier', direction: ['up', 'down'], decision: COST_DECISIONS },
    'Changes of cost that sweeps found, by what the guard decided.',
  ),
  cost_approvals_pending: elected({}, 'Changes of cost that wait for a person.'),
  cost_approval_oldest_timestamp_seconds: elected({}, 'Since when the oldest of them waits; 0 if none.'),
  catalog_unmapped_products: elected({ supplier: 'supplier' }, 'Listed products that no SKU has as a source.'),
  margin_negative_skus: elected({}, 'Enabled SKUs whose cheapest known cost is above their price.'),
  offers: elected({ supplier: 'supplier', status: OFFER_STATUSES }, 'Sources by what their offer is worth.'),
  skus_by_live_sources: elected(
    { sources: SOURCE_COUNTS },
    'Enabled SKUs by number of sources that could deliver now.',
  ),
  sales_amount_total: counter(
    { storefront: 'storefront', kind: KINDS },
    'Price of delivered units, in the base currency.',
  ),
  purchase_cost_amount_total: counter(
    { supplier: 'supplier', kind: KINDS },
    'Cost of what was bought, in the base currency.',
  ),
  unconverted_amounts_total: counter(
    { type: ['sales', 'purchase_cost', 'balance'] },
    'Amounts in another currency, left out of the money metrics.',
  ),

  // ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────
  notify_deliveries_total: counter(
    { storefront: 'storefront', result: ['delivered', 'failed', 'given_up'] },
    'Tries to deliver a webhook.',
  ),
  notify_duration_seconds: histogram(
    {},
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15],
    'Time of one try to deliver a webhook.',
  ),
  notify_pending: elected({ storefront: 'storefront' }, 'Webhooks not delivered yet.'),
  notify_oldest_pending_timestamp_seconds: elected(
    { storefront: 'storefront' },
    'When the oldest undelivered webhook was written; 0 if none.',
  ),

  // ── Workers, storage, process ────────────────────────────────────────────────────────────────────────────────────
  jobs_total: counter({ queue: QUEUES, result: ['ok', 'failed'] }, 'Passes of background jobs.'),
  job_duration_seconds: histogram({ queue: QUEUES }, [0.005, 0.05, 0.5, 1, 5, 10, 30], 'Time of one pass of a job.'),
  jobs_pending: elected({ queue: DUE_QUEUES }, 'Pieces of work that are due.'),
  jobs_oldest_timestamp_seconds: elected(
    { queue: DUE_QUEUES },
    'Since when the oldest due piece of work waits; 0 if none.',
  ),
  fulfil_queue: gauge({}, 'Orders and lookups this process works on or has in line.'),
  db_pool_connections: gauge(
    { state: ['idle', 'busy', 'waiting'] },
    'Database connections of this process, and who waits for one.',
  ),
  db_query_duration_seconds: histogram(
    { op: ['select', 'insert', 'update', 'delete', 'other'] },
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
    'Time of one statement.',
  ),
  leader: gauge({ role: ['exporter'] }, 'This process holds the role.'),
  build_info: gauge({ version: 'text', node_version: 'text' }, 'What runs; always 1.'),
  config_info: gauge({ base_currency: 'text', database: ['sqlite', 'mysql'] }, 'How it is set up; always 1.'),
  log_messages_total: counter({ level: ['debug', 'info', 'warn', 'error'] }, 'Log lines written.'),
  failures_total: counter(
    { where: ['http', 'fulfil', 'settle', 'renew_leases', 'vault'] },
    'Errors of our own that were caught at the top.',
  ),
  alert_notices_total: counter(
    { result: ['delivered', 'failed'] },
    'Notices to operators sent by this process itself.',
  ),
  gauges_updated_timestamp_seconds: elected({}, 'When the figures of the database were last read.'),
  metrics_label_overflow_total: counter(
    { metric: 'text' },
    'Label values outside of their closed set, counted as other.',
    { sparse: true },
  ),
  metrics_collect_duration_seconds: gauge({}, 'Time to read the figures of the database, last time.'),
  metrics_collect_errors_total: counter({}, 'Times the figures could not be read.'),
} satisfies Record<string, Definition>;

export type MetricName = keyof typeof METRICS;
export type Labels<N extends MetricName> = { readonly [L in keyof (typeof METRICS)[N]['labels']]: string };
