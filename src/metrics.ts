// Every Prometheus metric in one table, and the functions that count. Labels are from closed sets: an account, a
// storefront, a kind, a state. Never an id, a code, a phone or a message.
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const METRICS = {
  http_requests_total: { type: 'counter', labels: ['route', 'method', 'code'], help: 'Requests answered.' },
  http_request_duration_seconds: {
    type: 'histogram',
    labels: ['route'],
    help: 'Time to answer a request.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
  },
  orders_created_total: { type: 'counter', labels: ['storefront', 'kind'], help: 'Orders accepted.' },
  orders_finished_total: {
    type: 'counter',
    labels: ['storefront', 'kind', 'outcome'],
    help: 'Orders at their end, by who is at fault if not delivered.',
  },
  order_duration_seconds: {
    type: 'histogram',
    labels: ['kind', 'outcome'],
    help: 'From acceptance to the end.',
    buckets: [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600],
  },
  order_attempts: {
    type: 'histogram',
    labels: ['kind'],
    help: 'Attempts an order took.',
    buckets: [1, 2, 3, 4, 5, 8],
  },
  supplier_requests_total: {
    type: 'counter',
    labels: ['supplier', 'operation', 'outcome'],
    help: 'Calls to suppliers by what they came to.',
  },
  supplier_request_duration_seconds: {
    type: 'histogram',
    labels: ['supplier', 'operation'],
    help: 'Time of one call.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  supplier_attempts_total: {
    type: 'counter',
    labels: ['supplier', 'kind', 'result'],
    help: 'Attempts by what they came to; an unknown one is settled by unknown_outcomes_resolved_total later.',
  },
  unknown_outcomes_resolved_total: {
    type: 'counter',
    labels: ['supplier', 'resolution', 'actor'],
    help: 'How unknown outcomes ended, and who ended them.',
  },
  failovers_total: { type: 'counter', labels: ['supplier', 'reason'], help: 'Orders that left a supplier for the next.' },
  supplier_callbacks_total: { type: 'counter', labels: ['supplier', 'result'], help: 'Messages from suppliers.' },
  supplier_circuit_state: {
    type: 'gauge',
    labels: ['supplier', 'scope'],
    help: '0 closed, 1 half-open, 2 open, 3 paused by a person.',
  },
  supplier_circuit_transitions_total: { type: 'counter', labels: ['supplier', 'to'], help: 'Breaker changes.' },
  supplier_clock_skew_seconds: { type: 'gauge', labels: ['supplier'], help: 'Their Date header minus our clock.' },
  unmapped_replies_total: {
    type: 'counter',
    labels: ['supplier'],
    help: 'Replies with a status or code that no table of the adapter holds.',
  },
  late_codes_total: { type: 'counter', labels: ['supplier'], help: 'Codes that came late and became stock.' },
  contradictions_total: {
    type: 'counter',
    labels: ['supplier', 'was', 'now'],
    help: 'News that contradicts a settled attempt: a late success or a reversal.',
  },
  notify_deliveries_total: {
    type: 'counter',
    labels: ['storefront', 'result'],
    help: 'Tries to deliver a notice.',
  },
  jobs_total: { type: 'counter', labels: ['queue', 'result'], help: 'Passes of background jobs.' },
  job_duration_seconds: {
    type: 'histogram',
    labels: ['queue'],
    help: 'Time of one pass.',
    buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30],
  },
  failures_total: { type: 'counter', labels: ['where'], help: 'Errors of our own that were caught at the top.' },
} as const satisfies Record<string, Definition>;

interface Definition {
  type: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  help: string;
  buckets?: readonly number[];
}
export type MetricName = keyof typeof METRICS;
type Labels<N extends MetricName> = Record<(typeof METRICS)[N]['labels'][number], string>;

export interface Metrics {
  /** Counts up by `by` (default 1). */
  count<N extends MetricName>(name: N, labels: Labels<N>, by?: number): void;
  set<N extends MetricName>(name: N, labels: Labels<N>, value: number): void;
  /** Puts a value, in the metric's unit, into its histogram. */
  observe<N extends MetricName>(name: N, labels: Labels<N>, value: number): void;
  /** The exposition text and its content type. */
  render(): Promise<{ body: string; content_type: string }>;
}

/** A registry of its own, so that two gateways in one process never share a counter. */
export function createMetrics(options: { process_metrics: boolean }): Metrics {
  const registry = new Registry();
  const metrics = new Map<string, Counter | Gauge | Histogram>();
  for (const [name, definition] of Object.entries(METRICS) as [string, Definition][]) {
    const base = {
      name: `kamigate_${name}`,
      help: definition.help,
      labelNames: [...definition.labels],
      registers: [registry],
    };
    if (definition.type === 'counter') metrics.set(name, new Counter(base));
    else if (definition.type === 'gauge') metrics.set(name, new Gauge(base));
    else metrics.set(name, new Histogram({ ...base, buckets: [...(definition.buckets ?? [])] }));
  }
  if (options.process_metrics) collectDefaultMetrics({ register: registry });
  return {
    count: (name, labels, by = 1) => (metrics.get(name) as Counter).inc(labels, by),
    set: (name, labels, value) => (metrics.get(name) as Gauge).set(labels, value),
    observe: (name, labels, value) => (metrics.get(name) as Histogram).observe(labels, value),
    render: async () => ({ body: await registry.metrics(), content_type: registry.contentType }),
  };
}
