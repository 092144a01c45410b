// The registry keeps what the table declares: closed sets, zeroes beforehand, nothing of what is gone, two formats.
import { describe, expect, test } from '@jest/globals';
import { type Definition, METRICS, type MetricName } from '../../src/metrics.js';
import { createMetrics, MAX } from '../../src/registry.js';
import { readScrape } from './scrape.js';

const OPEN_METRICS = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';

async function scraped(metrics: ReturnType<typeof createMetrics>, accept?: string) {
  const { body, content_type } = await metrics.render(accept);
  return { ...readScrape(body), body, content_type };
}

describe('the table', () => {
  const definitions = Object.entries(METRICS) as [MetricName, Definition][];

  test.each(definitions)(
    '%s is named, helped and bucketed as Prometheus asks',
    (name, { type, help, buckets, labels }) => {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help.length).toBeGreaterThan(10);
      expect(help.length).toBeLessThan(120);
      expect(help).toMatch(/\.$/);
      if (type === 'histogram') {
        expect(buckets!.length).toBeLessThanOrEqual(12);
        expect([...buckets!].sort((a, b) => a - b)).toEqual(buckets);
        expect(name).toMatch(/_(seconds|attempts)$/);
      }
      for (const label of Object.keys(labels)) expect(ALLOWED_LABELS).toContain(label);
    },
  );

  // Nothing that grows with traffic: no id, SKU × supplier, account number, address, message or name of a person.
  const ALLOWED_LABELS = [
    ...[
      'supplier',
      'storefront',
      'kind',
      'operation',
      'outcome',
      'result',
      'reason',
      'state',
      'queue',
      'route',
      'method',
    ],
    ...['code', 'direction', 'decision', 'type', 'window', 'purpose', 'check', 'to', 'resolution', 'actor', 'sources'],
    ...[
      'status',
      'stock_status',
      'sku',
      'op',
      'role',
      'level',
      'where',
      'metric',
      'adapter',
      'version',
      'node_version',
    ],
    ...['base_currency', 'database'],
  ];
});

describe('labels', () => {
  test('a value outside of its set becomes other and is counted', async () => {
    const metrics = createMetrics({ process_metrics: false });
    metrics.count('failovers_total', { supplier: 'alpha', reason: 'their server caught fire at 13800000000' });
    const { value, body } = await scraped(metrics);
    expect(value('kamigate_failovers_total', { supplier: 'alpha', reason: 'other' })).toBe(1);
    expect(value('kamigate_metrics_label_overflow_total', { metric: 'failovers_total' })).toBe(1);
    expect(body).not.toContain('13800000000');
  });

  test('names beyond the limit become other, however many come', async () => {
    const metrics = createMetrics({ process_metrics: false });
    for (let at = 0; at < MAX.supplier + 500; at++) metrics.count('late_codes_total', { supplier: `account-${at}` });
    const { samples, value } = await scraped(metrics);
    expect(samples.filter(({ name }) => name === 'kamigate_late_codes_total')).toHaveLength(MAX.supplier + 1);
    expect(value('kamigate_late_codes_total', { supplier: 'other' })).toBe(500);
    expect(value('kamigate_metrics_label_overflow_total', { metric: 'late_codes_total' })).toBe(500);
  });

  test('counters of known names stand at zero before anything happens', async () => {
    const metrics = createMetrics({ process_metrics: false });
    metrics.know('supplier', ['alpha']);
    metrics.know('storefront', ['mall']);
    metrics.knowRoutes([{ path: '/v1/orders', method: 'POST' }]);
    const { value } = await scraped(metrics);
    expect(
      value('kamigate_supplier_requests_total', { supplier: 'alpha', operation: 'place', outcome: 'float_low' }),
    ).toBe(0);
    expect(value('kamigate_orders_finished_total', { storefront: 'mall', kind: 'code', outcome: 'failed_ours' })).toBe(
      0,
    );
    expect(value('kamigate_http_requests_total', { route: '/v1/orders', method: 'POST', code: '500' })).toBe(0);
    expect(value('kamigate_vault_invariant_violations_total', { check: 'double_issue' })).toBe(0);
    expect(value('kamigate_failures_total', { where: 'http' })).toBe(0);
  });

  test('an account that is switched off has no series any more, and what it still does counts as other', async () => {
    const metrics = createMetrics({ process_metrics: false });
    metrics.know('supplier', ['alpha', 'beta']);
    metrics.set('supplier_circuit_state', { supplier: 'alpha' }, 2);
    metrics.observe('supplier_delivery_seconds', { supplier: 'alpha', kind: 'code' }, 3);
    metrics.know('supplier', ['beta']);
    metrics.count('late_codes_total', { supplier: 'alpha' }, 2);
    const { samples, value } = await scraped(metrics);
    expect(samples.filter(({ labels }) => labels.supplier === 'alpha')).toEqual([]);
    expect(value('kamigate_late_codes_total', { supplier: 'other' })).toBe(2);
    expect(value('kamigate_metrics_label_overflow_total', { metric: 'late_codes_total' })).toBeUndefined();
    metrics.know('supplier', ['alpha', 'beta']);
    expect((await scraped(metrics)).value('kamigate_late_codes_total', { supplier: 'alpha' })).toBe(0);
  });
});

describe('gauges', () => {
  test('replacing a gauge removes the series that are not named any more', async () => {
    const metrics = createMetrics({ process_metrics: false });
    metrics.replace('unknown_outcomes', [
      { labels: { supplier: 'alpha' }, value: 3 },
      { labels: { supplier: 'beta' }, value: 1 },
    ]);
    metrics.replace('unknown_outcomes', [{ labels: { supplier: 'beta' }, value: 2 }]);
    const { samples } = await scraped(metrics);
    expect(samples.filter(({ name }) => name === 'kamigate_unknown_outcomes')).toEqual([
      { name: 'kamigate_unknown_outcomes', labels: { supplier: 'beta' }, value: 2, exemplar: null },
    ]);
  });

  test('a process that is not elected shows no figure of the database, not even a zero', async () => {
    const metrics = createMetrics({ process_metrics: false });
    const elected = (Object.entries(METRICS) as [MetricName, Definition][]).filter(([, { elected }]) => elected);
    const none = async () => {
      const { samples } = await scraped(metrics);
      return samples.filter(({ name }) => elected.some(([each]) => name === `kamigate_${each}`));
    };
    expect(await none()).toEqual([]);
    metrics.set('margin_negative_skus', {}, 4);
    metrics.set('orders_open', { state: 'held' }, 4);
    expect(await none()).toHaveLength(2);
    metrics.dropElected();
    expect(await none()).toEqual([]);
  });

  test('a collector that fails is counted and the rest is shown', async () => {
    const metrics = createMetrics({ process_metrics: false });
    metrics.onCollect(() => {
      throw new Error('no');
    });
    expect((await scraped(metrics)).value('kamigate_metrics_collect_errors_total')).toBe(1);
  });
});

describe('formats', () => {
  test('one and the same counter has its whole name in both, whichever was asked for before', async () => {
    const metrics = createMetrics({ process_metrics: true });
    metrics.count('orders_created_total', { storefront: 'mall', kind: 'code' });
    for (const accept of ['text/plain', OPEN_METRICS, 'text/plain', OPEN_METRICS]) {
      const scrape = await scraped(metrics, accept);
      expect(scrape.value('kamigate_orders_created_total', { storefront: 'mall', kind: 'code' })).toBe(1);
      const is_open = accept === OPEN_METRICS;
      expect(scrape.content_type).toContain(is_open ? 'application/openmetrics-text' : 'text/plain');
      expect(scrape.body.endsWith('# EOF\n')).toBe(is_open);
      expect(scrape.type.get(is_open ? 'kamigate_orders_created' : 'kamigate_orders_created_total')).toBe('counter');
    }
  });

  test('two scrapes at the same moment do not mix their formats', async () => {
    const metrics = createMetrics({ process_metrics: false });
    const [open, plain] = await Promise.all([metrics.render(OPEN_METRICS), metrics.render('text/plain')]);
    expect(open.body).toContain('# TYPE kamigate_orders_created counter');
    expect(plain.body).toContain('# TYPE kamigate_orders_created_total counter');
    expect(plain.body).not.toContain('# EOF');
  });

  test('a slow bucket names its order for a scraper that takes OpenMetrics, and for no other', async () => {
    const metrics = createMetrics({ process_metrics: false });
    metrics.observe('order_duration_seconds', { kind: 'recharge', outcome: 'delivered' }, 77, 'ord_01J000');
    const with_orders = (await scraped(metrics, OPEN_METRICS)).samples.filter(({ exemplar }) => exemplar !== null);
    expect(with_orders).toHaveLength(1);
    expect(with_orders[0]).toMatchObject({
      labels: { le: '120' },
      exemplar: expect.stringMatching(/^\{order_id="ord_01J000"\} 77 /),
    });
    expect((await scraped(metrics, 'text/plain')).body).not.toContain('ord_01J000');
  });
});
