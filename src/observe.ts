// What happens in the engine, as metrics and log lines. One function per kind of happening; nothing is decided here.
import type { Logger } from './log.js';
import type { Metrics } from './metrics.js';
import type { EngineEvent } from './orders/engine.js';

/** Who is at fault for an order that was not delivered; the customer's own mistakes do not count against anybody. */
function finishedAs(state: string, reason: string | null): string {
  if (state !== 'failed') return state;
  if (reason === 'recipient_invalid') return 'failed_customer';
  return reason === 'no_live_source' || reason === 'request_invalid' ? 'failed_ours' : 'failed_upstream';
}

function attemptResult(state: string, reason: string | null): string {
  if (state === 'delivered' || state === 'unknown') return state;
  if (reason === 'recipient_invalid') return 'failed_customer';
  return reason === 'request_invalid' || reason === 'not_sent' ? 'failed_ours' : 'failed_supplier';
}

/** The engine's `observe`. */
export function engineObserver(metrics: Metrics, log: Logger): (event: EngineEvent) => void {
  return (event) => {
    switch (event.event) {
      case 'order_created':
        metrics.count('orders_created_total', { storefront: event.storefront, kind: event.kind });
        return;
      case 'order_rested': {
        const { storefront, kind, state, reason } = event;
        metrics.count('orders_finished_total', { storefront, kind, outcome: finishedAs(state, reason) });
        const outcome = state === 'delivered' ? 'delivered' : 'failed';
        metrics.observe('order_duration_seconds', { kind, outcome }, event.duration_ms / 1_000);
        metrics.observe('order_attempts', { kind }, event.attempts);
        return;
      }
      case 'attempt_settled':
        observeAttempt(metrics, event);
        return;
      case 'failover':
        metrics.count('failovers_total', { supplier: event.account, reason: event.reason });
        return;
      case 'unmapped_reply':
        metrics.count('unmapped_replies_total', { supplier: event.account });
        log.warn({ account: event.account, word: event.word }, 'unmapped reply');
        return;
      case 'late_codes':
        metrics.count('late_codes_total', { supplier: event.account }, event.codes);
        return;
      case 'contradiction':
        metrics.count('contradictions_total', { supplier: event.account, was: event.was, now: event.now });
        log.warn({ ...event }, 'news contradicts a settled attempt');
        return;
      case 'failure':
        metrics.count('failures_total', { where: event.where });
        log.error({ err: event.error, where: event.where }, 'failure');
        return;
    }
  };
}

function observeAttempt(metrics: Metrics, event: Extract<EngineEvent, { event: 'attempt_settled' }>): void {
  const { account: supplier, kind, state, reason, was_unknown } = event;
  if (was_unknown && (state === 'delivered' || state === 'refused')) {
    const actor = event.settled_by === 'operator' ? 'operator' : 'auto';
    metrics.count('unknown_outcomes_resolved_total', {
      supplier,
      resolution: state === 'delivered' ? 'delivered' : 'failed',
      actor,
    });
  } else if (state === 'delivered' || state === 'refused' || state === 'unknown') {
    metrics.count('supplier_attempts_total', { supplier, kind, result: attemptResult(state, reason) });
  }
}
