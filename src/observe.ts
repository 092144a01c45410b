// What happens, as metrics and log lines: one function per kind of happening. Nothing is decided here, and nothing that
// happens here can make an order fail.
import type { CodeState, Deposit, Trx, Vault } from '../vault/vault.js';
import type { Database } from './db/connect.js';
import type { Logger } from './log.js';
import type { CALL_OUTCOMES, FINISHED } from './metric-words.js';
import type { EngineEvent } from './orders/engine.js';
import type { Metrics } from './registry.js';
import { VAULT_ACCOUNT } from './suppliers/accounts.js';
import type { CallMeasure } from './suppliers/channel.js';

/** Ten-thousandths of a currency in the base currency's main unit, or null where there is no rate. */
export type ToBase = (amount_e4: number, currency: string) => number | null;

type Finished = (typeof FINISHED)[number];
type CallOutcome = (typeof CALL_OUTCOMES)[number];

/** Who is at fault for an order that was not delivered; the customer's own mistakes do not count against anybody. */
export function finishedAs(state: string, reason: string | null): Finished {
  if (state === 'delivered' || state === 'partial' || state === 'cancelled') return state;
  if (reason === 'recipient_invalid') return 'failed_customer';
  return OUR_REASONS.has(reason ?? '') ? 'failed_ours' : 'failed_upstream';
}
const OUR_REASONS: ReadonlySet<string> = new Set([
  'no_live_source',
  'request_invalid',
  'too_late',
  'closed_by_operator',
]);

function attemptResult(state: string, reason: string | null): string {
  if (state === 'delivered' || state === 'unknown') return state;
  if (reason === 'recipient_invalid') return 'failed_customer';
  return reason === 'request_invalid' || reason === 'duplicate' ? 'failed_ours' : 'failed_supplier';
}

/** An answer's word (an outcome, a refusal's reason, a doubt) as the label tells it. */
export function callOutcome({ operation, outcome }: Pick<CallMeasure, 'operation' | 'outcome'>): CallOutcome {
  if (ANSWERS.has(outcome)) return 'ok';
  // To a lookup, "refused" is a good answer: it says what was asked.
  if (operation === 'lookup' && outcome === 'refused') return 'ok';
  return CALL_WORDS[outcome] ?? 'refused';
}
const ANSWERS: ReadonlySet<string> = new Set(['ok', 'delivered', 'accepted', 'absent']);
const CALL_WORDS: Readonly<Record<string, CallOutcome>> = {
  out_of_stock: 'out_of_stock',
  float_low: 'float_low',
  credentials: 'credentials',
  busy: 'busy',
  maintenance: 'maintenance',
  not_sent: 'not_sent',
  breaker_open: 'breaker_open',
  deadline: 'deadline',
  reset: 'reset',
  http_5xx: 'http_5xx',
  unreadable: 'unreadable',
  bad_signature: 'unreadable',
  codes_missing: 'unreadable',
  unmapped: 'unreadable',
  supplier_said: 'unknown',
  duplicate: 'unknown',
  crashed: 'unknown',
};
/** Whatever else they say, they were reached and spoke for themselves. */
const REACHED: ReadonlySet<CallOutcome> = new Set(['ok', 'refused', 'out_of_stock', 'float_low', 'busy']);

/** The channel's `onCall`. */
export function callObserver(metrics: Metrics, now: () => number): (measure: CallMeasure) => void {
  return (measure) => {
    const { account: supplier, operation, duration_ms } = measure;
    const outcome = callOutcome(measure);
    metrics.count('supplier_requests_total', { supplier, operation, outcome });
    if (REACHED.has(outcome))
      metrics.set('supplier_last_success_timestamp_seconds', { supplier, operation }, now() / 1_000);
    if (outcome === 'breaker_open' || operation === 'offers' || operation === 'balance') return;
    metrics.observe('supplier_request_duration_seconds', { supplier, operation }, duration_ms / 1_000);
  };
}

/** The engine's `observe`. */
export function engineObserver(metrics: Metrics, log: Logger, toBase: ToBase): (event: EngineEvent) => void {
  return (event) => {
    switch (event.event) {
      case 'order_created':
        metrics.count('orders_created_total', { storefront: event.storefront, kind: event.kind });
        return;
      case 'order_request':
        metrics.count('idempotency_total', { result: event.result });
        return;
      case 'order_rested':
        observeRest(metrics, log, toBase, event);
        return;
      case 'attempt_settled':
        observeAttempt(metrics, log, toBase, event);
        return;
      case 'failover':
        metrics.count('failovers_total', { supplier: event.account, reason: event.reason });
        return;
      case 'unmapped_reply':
        metrics.count('unmapped_replies_total', { supplier: event.account });
        log.warn({ account: event.account, word: event.word, order_id: event.order_id }, 'unmapped reply');
        return;
      case 'late_codes':
        metrics.count('late_codes_total', { supplier: event.account }, event.codes);
        return;
      case 'contradiction': {
        const type = event.was === 'refused' ? 'late_success' : 'reversal';
        metrics.count('contradictions_total', { supplier: event.account, type });
        log.warn({ ...event }, 'news contradicts a settled attempt');
        return;
      }
      case 'failure':
        metrics.count('failures_total', { where: event.where });
        log.error({ err: event.error, where: event.where }, 'failure');
        return;
    }
  };
}

function observeRest(
  metrics: Metrics,
  log: Logger,
  toBase: ToBase,
  event: Extract<EngineEvent, { event: 'order_rested' }>,
): void {
  const { storefront, kind, state, reason, order_id, attempts, duration_ms, is_part } = event;
  // What was bought is measured by what it is, for a bundle part by part: they add up to its price.
  if (kind !== 'bundle' && !(is_part && state === 'cancelled')) {
    const outcome = state === 'delivered' ? 'delivered' : 'failed';
    metrics.observe('order_duration_seconds', { kind, outcome }, duration_ms / 1_000, order_id);
    metrics.observe('order_attempts', { kind }, attempts);
    countSales(metrics, toBase, event);
  }
  // What was ordered is counted once.
  if (is_part) return;
  metrics.count('orders_finished_total', { storefront, kind, outcome: finishedAs(state, reason) });
  log.info({ order_id, storefront, state, reason, attempts, duration_ms }, 'order rests');
}

function countSales(
  metrics: Metrics,
  toBase: ToBase,
  { storefront, kind, unit_price_e4, delivered_quantity, currency }: Extract<EngineEvent, { event: 'order_rested' }>,
): void {
  const sales = toBase(unit_price_e4 * delivered_quantity, currency);
  if (sales === null) metrics.count('unconverted_amounts_total', { type: 'sales' });
  else metrics.count('sales_amount_total', { storefront, kind }, sales);
}

function observeAttempt(
  metrics: Metrics,
  log: Logger,
  toBase: ToBase,
  event: Extract<EngineEvent, { event: 'attempt_settled' }>,
): void {
  const { account: supplier, kind, state, reason, was_unknown, order_id } = event;
  if (was_unknown && (state === 'delivered' || state === 'refused')) {
    const actor = event.settled_by === 'operator' ? 'operator' : 'auto';
    metrics.count('unknown_outcomes_resolved_total', { supplier, resolution: state, actor });
  } else if (state === 'delivered' || state === 'refused' || state === 'unknown') {
    metrics.count('supplier_attempts_total', { supplier, kind, result: attemptResult(state, reason) });
  }
  if (state === 'delivered') {
    metrics.observe('supplier_delivery_seconds', { supplier, kind }, event.duration_ms / 1_000, order_id);
    // Some suppliers never say what they charged; then it is what their offer said.
    const cost_e4 = event.cost_e4 ?? event.expected_cost_e4;
    countCost(metrics, toBase, { supplier, kind, cost_e4, currency: event.currency });
  }
  const line = { order_id, account: supplier, state, reason, doubt: event.doubt, via: event.settled_by };
  if (state === 'unknown') log.warn(line, 'nobody knows what an attempt came to');
  else log.debug(line, 'attempt settled');
}

function countCost(
  metrics: Metrics,
  toBase: ToBase,
  bought: { supplier: string; kind: string; cost_e4: number | null; currency: string | null },
): void {
  const { supplier, kind, cost_e4, currency } = bought;
  if (cost_e4 === null || currency === null) return;
  const cost = toBase(cost_e4, currency);
  if (cost === null) metrics.count('unconverted_amounts_total', { type: 'purchase_cost' });
  else metrics.count('purchase_cost_amount_total', { supplier, kind }, cost);
}

/** One answered request of the API. */
export interface RequestMeasure {
  route: string;
  method: string;
  status: number;
  duration_ms: number;
  storefront: string | null;
}

/** The HTTP layer's `observeRequest`. */
export function requestObserver(metrics: Metrics): (seen: RequestMeasure) => void {
  return ({ route, method, status, duration_ms, storefront }) => {
    metrics.count('http_requests_total', { route, method, code: String(status) });
    metrics.observe('http_request_duration_seconds', { route }, duration_ms / 1_000);
    if (storefront !== null) {
      metrics.count('storefront_requests_total', { storefront, outcome: requestOutcome(status) });
    }
    // Suppliers' callbacks have a 401 of their own, counted with the callbacks.
    if (!route.startsWith('/v1/')) return;
    if (status === 401) metrics.count('auth_failures_total', { reason: 'unauthorized' });
    if (status === 403) metrics.count('auth_failures_total', { reason: 'scope_missing' });
  };
}

function requestOutcome(status: number): string {
  if (status < 400) return 'ok';
  if (status >= 500) return 'server_error';
  const named: Record<number, string> = { 401: 'auth_error', 403: 'auth_error', 409: 'conflict', 429: 'rate_limited' };
  return named[status] ?? 'client_error';
}

/** The vault, with what it does counted once its transaction has committed. */
export function measuredVault(vault: Vault, metrics: Metrics, toBase: ToBase): Vault {
  return {
    ...vault,
    deposit: async (trx, deposit) => {
      const result = await vault.deposit(trx, deposit);
      onCommit(trx, () => countDeposit(metrics, toBase, deposit, result.codes));
      return result;
    },
    issue: async (trx, wanted) => {
      const started_at = performance.now();
      try {
        const results = await vault.issue(trx, wanted);
        metrics.observe('vault_issue_duration_seconds', { result: 'ok' }, (performance.now() - started_at) / 1_000);
        const issued = results.flatMap((result) => ('issued' in result ? [result.issued.length] : []));
        const codes = issued.reduce((sum, count) => sum + count, 0);
        onCommit(trx, () => {
          metrics.count('vault_issues_total', { result: 'issued' }, issued.length);
          metrics.count('vault_issues_total', { result: 'short' }, results.length - issued.length);
          metrics.count('vault_decrypts_total', { purpose: 'issue', result: 'ok' }, codes);
        });
        return results;
      } catch (error) {
        metrics.observe('vault_issue_duration_seconds', { result: 'fail' }, (performance.now() - started_at) / 1_000);
        countUnauthentic(metrics, 'issue', error);
        throw error;
      }
    },
    reveal: async (trx, request) => {
      const purpose = request.by.startsWith('storefront:') ? 'storefront' : 'person';
      try {
        const codes = await vault.reveal(trx, request);
        onCommit(trx, () => metrics.count('vault_decrypts_total', { purpose, result: 'ok' }, codes.length));
        return codes;
      } catch (error) {
        countUnauthentic(metrics, purpose, error);
        throw error;
      }
    },
  };
}

/** A transaction may be run again as a whole: what it did counts once, when it is committed. */
function onCommit(trx: Trx, count: () => void): void {
  trx.executionPromise.then(count, () => undefined);
}

function countDeposit(
  metrics: Metrics,
  toBase: ToBase,
  { account, origin, total_cost_e4, currency }: Deposit,
  codes: readonly ({ code_id: string } | { duplicate_of: string; state: CodeState })[],
): void {
  const supplier = account ?? VAULT_ACCOUNT;
  const imported = codes.filter((code) => 'code_id' in code).length;
  metrics.count('vault_codes_imported_total', { supplier, result: 'imported' }, imported);
  metrics.count('vault_codes_imported_total', { supplier, result: 'duplicate' }, codes.length - imported);
  // Codes bought order by order are counted with their attempt.
  if (origin !== 'deposit') return;
  countCost(metrics, toBase, { supplier, kind: 'code', cost_e4: total_cost_e4, currency });
}

/** A wrong key or an altered row: the one failure of opening that says the vault is damaged. */
function countUnauthentic(metrics: Metrics, purpose: string, error: unknown): void {
  if ((error as { code?: unknown }).code !== 'unauthentic') return;
  metrics.count('vault_decrypts_total', { purpose, result: 'failed' });
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** The logger, with its lines counted. */
export function countingLogger(log: Logger, metrics: Metrics): Logger {
  const counting = Object.create(log) as Logger;
  for (const level of LEVELS) {
    const write = log[level].bind(log) as (...args: unknown[]) => void;
    counting[level] = ((...args: unknown[]) => {
      if (log.isLevelEnabled(level)) metrics.count('log_messages_total', { level });
      write(...args);
    }) as Logger[typeof level];
  }
  return counting;
}

const OPS: Readonly<Record<string, string>> = {
  select: 'select',
  first: 'select',
  pluck: 'select',
  insert: 'insert',
  update: 'update',
  del: 'delete',
};
/** Statements waited for at a time; beyond it the oldest is forgotten. Far more than any pool has. */
const STATEMENTS_MAX = 5_000;

/** Times every statement of the database, and reads its pool at each scrape. */
export function measureDatabase({ read, write }: Database, metrics: Metrics): void {
  for (const handle of new Set([read, write])) {
    const begun = new Map<string, number>();
    const ended = (query: { __knexQueryUid: string; method?: string }): void => {
      const began_at = begun.get(query.__knexQueryUid);
      if (began_at === undefined) return;
      begun.delete(query.__knexQueryUid);
      const op = OPS[query.method ?? ''] ?? 'other';
      metrics.observe('db_query_duration_seconds', { op }, (performance.now() - began_at) / 1_000);
    };
    handle.on('query', (query: { __knexQueryUid: string }) => {
      if (begun.size >= STATEMENTS_MAX) begun.delete(begun.keys().next().value ?? '');
      begun.set(query.__knexQueryUid, performance.now());
    });
    handle.on('query-response', (_response: unknown, query: { __knexQueryUid: string }) => ended(query));
    handle.on('query-error', (_error: unknown, query: { __knexQueryUid: string }) => ended(query));
  }
  metrics.onCollect(() => {
    const pools = [...new Set([read, write])].map((handle) => handle.client.pool as Pool | undefined);
    const sum = (count: (pool: Pool) => number): number =>
      pools.reduce((total, pool) => total + (pool ? count(pool) : 0), 0);
    metrics.set(
      'db_pool_connections',
      { state: 'idle' },
      sum((pool) => pool.numFree()),
    );
    metrics.set(
      'db_pool_connections',
      { state: 'busy' },
      sum((pool) => pool.numUsed()),
    );
    metrics.set(
      'db_pool_connections',
      { state: 'waiting' },
      sum((pool) => pool.numPendingAcquires()),
    );
  });
}

interface Pool {
  numFree(): number;
  numUsed(): number;
  numPendingAcquires(): number;
}
