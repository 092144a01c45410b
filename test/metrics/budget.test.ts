// The budget of a scrape: 50 accounts, 20 storefronts, 5,000 SKUs, and every label value there is.
import { expect, test } from '@jest/globals';
import { HTTP_CODES } from '../../src/metric-words.js';
import { type Definition, METRICS, type MetricName } from '../../src/metrics.js';
import { createMetrics, type Metrics } from '../../src/registry.js';
import { readScrape } from './scrape.js';

const SUPPLIERS = Array.from({ length: 50 }, (_, at) => `supplier-${at}`);
const STOREFRONTS = Array.from({ length: 20 }, (_, at) => `storefront-${at}`);
const SKUS = Array.from({ length: 5_000 }, (_, at) => `sku-${at}`);
const ROUTES = Array.from({ length: 30 }, (_, at) => `/v1/resource-${at}/:id`);
/** What `low`, the default, lets through. */
const SKUS_SHOWN = 200;

function valuesOf(label: string, set: Definition['labels'][string]): readonly string[] {
  if (typeof set !== 'string') return set;
  if (set === 'supplier') return SUPPLIERS;
  if (set === 'storefront') return STOREFRONTS;
  if (set === 'sku') return SKUS.slice(0, SKUS_SHOWN);
  if (set === 'route') return ROUTES;
  return [`one ${label}`];
}

function combinations(name: MetricName): Record<string, string>[] {
  const { labels } = METRICS[name] as Definition;
  return Object.entries(labels).reduce<Record<string, string>[]>(
    (before, [label, set]) =>
      before.flatMap((each) => valuesOf(label, set).map((value) => ({ ...each, [label]: value }))),
    [{}],
  );
}

/** Every combination of every metric; of requests those that can be: a route has one or two methods. */
function exercise(metrics: Metrics): void {
  for (const [name, { type }] of Object.entries(METRICS) as [MetricName, Definition][]) {
    if (name === 'http_requests_total') continue;
    for (const labels of combinations(name)) {
      if (type === 'counter') metrics.count(name, labels as never);
      else if (type === 'gauge') metrics.set(name, labels as never, 1_700_000_000.123);
      else metrics.observe(name, labels as never, 1.234_567, 'ord_01JABCDEFGHJKMNPQRSTVWXYZ0');
    }
  }
  for (const route of ROUTES) {
    for (const code of HTTP_CODES) metrics.count('http_requests_total', { route, method: 'POST', code });
    metrics.count('http_requests_total', { route, method: 'GET', code: '405' });
  }
}

test('stays under 14,000 series and 1 MB, and is written in less than 150 ms', async () => {
  const metrics = createMetrics({ process_metrics: true });
  metrics.know('supplier', SUPPLIERS);
  metrics.know('storefront', STOREFRONTS);
  exercise(metrics);
  await metrics.render();
  const times: number[] = [];
  let body = '';
  for (let run = 0; run < 7; run++) {
    const started_at = performance.now();
    ({ body } = await metrics.render());
    times.push(performance.now() - started_at);
  }
  const { samples } = readScrape(body);
  const median = times.sort((a, b) => a - b)[3]!;
  console.info(`${samples.length} series, ${body.length} bytes, ${Math.round(median)} ms`);
  expect(samples.length).toBeGreaterThan(8_000);
  expect(samples.length).toBeLessThan(14_000);
  expect(Buffer.byteLength(body)).toBeLessThan(1_000_000);
  expect(median).toBeLessThan(150);
});

test('nothing overflows when every declared value is used', async () => {
  const metrics = createMetrics({ process_metrics: false });
  exercise(metrics);
  const { samples } = readScrape((await metrics.render()).body);
  const overflown = samples.filter(({ name }) => name === 'kamigate_metrics_label_overflow_total');
  // The one that `exercise` makes up itself.
  expect(overflown.map(({ labels }) => labels.metric)).toEqual(['one metric']);
});
