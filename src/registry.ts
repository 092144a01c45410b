// Counts what metrics.ts declares and writes it down for Prometheus. Keeps every label in its closed set, every series
// known beforehand at zero, and nothing of an account that is switched off.
import { Counter, collectDefaultMetrics, Gauge, Histogram, type OpenMetricsContentType, Registry } from 'prom-client';
import { type Definition, type Labels, METRICS, type MetricName } from './metrics.js';

/** A gauge's series, all of them. */
export interface Series<N extends MetricName> {
  labels: Labels<N>;
  value: number;
}

export interface Metrics {
  /** Counts up by `by` (default 1). */
  count<N extends MetricName>(name: N, labels: Labels<N>, by?: number): void;
  /** Puts a value, in the metric's unit, into its histogram; `order_id` is what a slow bucket will name. */
  observe<N extends MetricName>(name: N, labels: Labels<N>, value: number, order_id?: string): void;
  set<N extends MetricName>(name: N, labels: Labels<N>, value: number): void;
  /** Moves a gauge up or down. */
  move<N extends MetricName>(name: N, labels: Labels<N>, by: number): void;
  /** Sets these series of a gauge and removes all others. At most `MAX.sku` of them are kept. */
  replace<N extends MetricName>(name: N, series: readonly Series<N>[]): void;
  /** Removes every gauge of the elected process: this one is not elected, and old figures lie. */
  dropElected(): void;
  /** Names that may stand in a label now. New ones start at zero; series of those that are gone are removed. */
  know(what: 'supplier' | 'storefront', names: readonly string[]): void;
  /** The API's routes; the statuses that alerts look at start at zero. */
  knowRoutes(routes: readonly { path: string; method: string }[]): void;
  /** Runs before each scrape: for gauges that are cheap to read. */
  onCollect(read: () => void): void;
  /** The text for a scraper that sends this `Accept` header, and its content type. */
  render(accept?: string): Promise<{ body: string; content_type: string }>;
}

/** What stands for a label value outside of its set. */
export const OTHER = 'other';
/** Names a label may have at most. Beyond it something is wrong, and more of them would only cost memory. */
export const MAX = { supplier: 200, storefront: 200, route: 60, sku: 5_000, text: 50 } as const;
const TEXT_LENGTH_MAX = 64;
/** Statuses of each route that are at zero from the start: an alert sees the first failure as an increase. */
const STATUSES_AT_ZERO = ['200', '500', '503'] as const;

type Any = Record<string, string>;
type OpenMetrics = Registry<OpenMetricsContentType>;
// The constructor takes the format; the typings have forgotten it.
const OpenMetricsRegistry = Registry as unknown as new (type: string) => OpenMetrics;
interface Entry {
  name: MetricName;
  definition: Definition;
  metric: Counter | Gauge | Histogram;
  /** Closed sets by label; a name for those known at run time. */
  sets: Readonly<Record<string, ReadonlySet<string> | keyof typeof MAX>>;
}

/** A registry of its own, so that two gateways in one process never share a counter. */
export function createMetrics({ process_metrics }: { process_metrics: boolean }): Metrics {
  // Exemplars exist in OpenMetrics only, so the registry is one; `render` turns it to the plain format where asked.
  const registry = new OpenMetricsRegistry(Registry.OPENMETRICS_CONTENT_TYPE);
  const entries = createEntries(registry);
  if (process_metrics) collectDefaultMetrics({ register: registry as unknown as Registry });
  const render = createRenderer(registry);
  const known: Record<keyof typeof MAX, Map<string, 'live' | 'gone'>> = {
    supplier: new Map(),
    storefront: new Map(),
    route: new Map(),
    sku: new Map(),
    text: new Map(),
  };
  const collectors: (() => void)[] = [];

  function overflow(name: MetricName): string {
    (entries.get('metrics_label_overflow_total')!.metric as Counter).inc({ metric: name }, 1);
    return OTHER;
  }

  function named(entry: Entry, set: keyof typeof MAX, value: string): string {
    const state = known[set].get(value);
    // A switched-off account still has attempts to settle: counted, but not under its name.
    if (state) return state === 'live' ? value : OTHER;
    if (value === OTHER) return value;
    if (known[set].size >= MAX[set] || value.length > TEXT_LENGTH_MAX * 2) return overflow(entry.name);
    known[set].set(value, 'live');
    startAtZero(set, value);
    return value;
  }

  function checked(name: MetricName, labels: object): { entry: Entry; labels: Any } {
    const entry = entries.get(name)!;
    const checked: Any = {};
    for (const [label, set] of Object.entries(entry.sets)) {
      const value = String((labels as Any)[label] ?? '');
      if (typeof set === 'string') checked[label] = named(entry, set, value);
      else checked[label] = set.has(value) ? value : overflow(name);
    }
    return { entry, labels: checked };
  }

  function startAtZero(set: keyof typeof MAX, value: string): void {
    for (const { definition, metric, sets } of entries.values()) {
      if (definition.type !== 'counter' || definition.sparse || !Object.values(sets).includes(set)) continue;
      for (const labels of combinations(sets, { set, value })) (metric as Counter).inc(labels, 0);
    }
  }

  function removeSeries(set: keyof typeof MAX, value: string): void {
    for (const { metric, sets } of entries.values()) {
      const label = Object.keys(sets).find((name) => sets[name] === set);
      if (label) for (const series of seriesOf(metric)) if (series[label] === value) metric.remove(series);
    }
  }

  return {
    count: (name, labels, by = 1) => {
      const at = checked(name, labels);
      (at.entry.metric as Counter).inc(at.labels, by);
    },
    observe: (name, labels, value, order_id) => {
      const at = checked(name, labels);
      if (!at.entry.definition.exemplars) (at.entry.metric as Histogram).observe(at.labels, value);
      else observeWithOrder(at.entry.metric as Histogram, at.labels, value, order_id);
    },
    set: (name, labels, value) => {
      const at = checked(name, labels);
      (at.entry.metric as Gauge).set(at.labels, value);
    },
    move: (name, labels, by) => {
      const at = checked(name, labels);
      (at.entry.metric as Gauge).inc(at.labels, by);
    },
    replace: (name, series) => {
      const { metric, sets } = entries.get(name)!;
      // SKUs come and go with the stock; only how many there are at a time is bounded.
      if (Object.values(sets).includes('sku')) known.sku.clear();
      metric.reset();
      for (const { labels, value } of series) (metric as Gauge).set(checked(name, labels).labels, value);
    },
    dropElected: () => {
      for (const { definition, metric } of entries.values()) if (definition.elected) removeAll(metric);
    },
    know: (what, names) => {
      const now = new Set(names);
      for (const [name, state] of known[what]) {
        if (now.has(name) || state === 'gone') continue;
        known[what].set(name, 'gone');
        removeSeries(what, name);
      }
      for (const name of names) {
        if (known[what].get(name) === 'live') continue;
        if (!known[what].has(name) && known[what].size >= MAX[what]) continue;
        known[what].set(name, 'live');
        startAtZero(what, name);
      }
    },
    knowRoutes: (routes) => {
      const { metric } = entries.get('http_requests_total')!;
      for (const { path, method } of routes) {
        known.route.set(path, 'live');
        for (const code of STATUSES_AT_ZERO) {
          (metric as Counter).inc({ route: path, method: method === 'ALL' ? 'POST' : method, code }, 0);
        }
      }
    },
    onCollect: (read) => void collectors.push(read),
    render: (accept = '') => {
      for (const read of collectors) {
        try {
          read();
        } catch {
          (entries.get('metrics_collect_errors_total')!.metric as Counter).inc(1);
        }
      }
      return render(accept.includes('application/openmetrics-text'));
    },
  };
}

function createEntries(registry: OpenMetrics): Map<MetricName, Entry> {
  const entries = new Map<MetricName, Entry>();
  for (const [name, definition] of Object.entries(METRICS) as [MetricName, Definition][]) {
    const base = {
      name: `kamigate_${name}`,
      help: definition.help,
      labelNames: Object.keys(definition.labels),
      registers: [registry],
      ...(definition.exemplars ? { enableExemplars: true } : {}),
    };
    const buckets = [...(definition.buckets ?? [])];
    const metric =
      definition.type === 'counter'
        ? new Counter(base)
        : definition.type === 'gauge'
          ? new Gauge(base)
          : new Histogram({ ...base, buckets });
    const sets = Object.fromEntries(
      Object.entries(definition.labels).map(([label, set]) => [label, typeof set === 'string' ? set : new Set(set)]),
    );
    if (definition.elected) removeAll(metric);
    const is_closed = Object.values(sets).every((set) => typeof set !== 'string');
    if (definition.type === 'counter' && !definition.sparse && is_closed) {
      for (const labels of combinations(sets)) (metric as Counter).inc(labels, 0);
    }
    entries.set(name, { name, definition, metric, sets });
  }
  return entries;
}

/** Every combination of a metric's closed sets, with `fixed` for the one that is known at run time. */
function combinations(sets: Entry['sets'], fixed?: { set: string; value: string }): Any[] {
  return Object.entries(sets).reduce<Any[]>(
    (before, [label, set]) => {
      const values = typeof set === 'string' ? [fixed && set === fixed.set ? fixed.value : OTHER] : [...set];
      return before.flatMap((labels) => values.map((value) => ({ ...labels, [label]: value })));
    },
    [{}],
  );
}

function seriesOf(metric: Counter | Gauge | Histogram): Any[] {
  return Object.values((metric as unknown as { hashMap: Record<string, { labels: Any }> }).hashMap).map(
    ({ labels }) => labels,
  );
}

/** `reset` leaves a gauge without labels at 0, which would be a figure. */
function removeAll(metric: Counter | Gauge | Histogram): void {
  metric.reset();
  for (const labels of seriesOf(metric)) metric.remove(labels);
}

function observeWithOrder(histogram: Histogram, labels: Any, value: number, order_id: string | undefined): void {
  const observe = histogram.observe as unknown as (data: { labels: Any; value: number; exemplarLabels: Any }) => void;
  observe.call(histogram, { labels, value, exemplarLabels: order_id === undefined ? {} : { order_id } });
}

/** Writes one format or the other, one scrape at a time: the format is a state of the registry. */
function createRenderer(
  registry: OpenMetrics,
): (open_metrics: boolean) => Promise<{ body: string; content_type: string }> {
  const plain = registry as unknown as Registry;
  const counters = (registry.getMetricsAsArray() as unknown as { name: string; type: string }[])
    .filter(({ type }) => type === 'counter')
    .map((counter) => ({ counter, name: counter.name }));
  let last: Promise<unknown> = Promise.resolve();
  return (open_metrics) => {
    const mine = last.then(async () => {
      // An OpenMetrics rendering strips `_total` from a counter's own name, and would leave it so.
      for (const { counter, name } of counters) counter.name = name;
      plain.setContentType(
        open_metrics ? (Registry.OPENMETRICS_CONTENT_TYPE as never) : Registry.PROMETHEUS_CONTENT_TYPE,
      );
      return { body: await registry.metrics(), content_type: registry.contentType as string };
    });
    last = mine.catch(() => undefined);
    return mine;
  };
}
