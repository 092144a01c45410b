// Alerts on what can be bought and at what cost.
import { type AlertSpec, alert } from './spec.js';

export const CATALOG_ALERTS: readonly AlertSpec[] = [
  alert(
    'KamigateSkuNoLiveSource',
    {
      severity: 'critical',
      for_minutes: 10,
      expr: 'max by (job) (kamigate_skus_by_live_sources{$J, sources="0"}) > 0',
    },
    {
      summary: 'SKUs on sale have no source that could deliver.',
      description: '{{ $value | humanize }} enabled SKUs have no live source: orders for them fail.',
      dashboard: 'kamigate-procurement',
    },
    {
      fires: {
        title: 'two for fifteen minutes',
        series: { 'kamigate_skus_by_live_sources{$J, sources="0"}': '2x30' },
        at: 15,
        fires: [{ value: '2' }],
      },
      quiet: {
        title: 'every SKU has one',
        series: {
          'kamigate_skus_by_live_sources{$J, sources="0"}': '0x30',
          'kamigate_skus_by_live_sources{$J, sources="1"}': '9x30',
        },
        at: 15,
      },
    },
  ),
  alert(
    'KamigateSkuSingleSource',
    { severity: 'info', for_minutes: 60, expr: 'max by (job) (kamigate_skus_by_live_sources{$J, sources="1"}) > 0' },
    {
      summary: 'SKUs hang on a single source.',
      description: '{{ $value | humanize }} enabled SKUs have one live source only.',
      dashboard: 'kamigate-procurement',
    },
    {
      fires: {
        title: 'three for more than an hour',
        series: { 'kamigate_skus_by_live_sources{$J, sources="1"}': '3x90' },
        at: 75,
        fires: [{ value: '3' }],
      },
      quiet: { title: 'none', series: { 'kamigate_skus_by_live_sources{$J, sources="1"}': '0x90' }, at: 75 },
    },
  ),
  alert(
    'KamigateSyncStale',
    {
      severity: 'warning',
      for_minutes: 10,
      expr: 'time() - max by (job, supplier, type) (kamigate_sync_last_success_timestamp_seconds{$J}) > 7200',
    },
    {
      summary: 'Offers or floats have not been read for two hours.',
      description: '{{ $labels.type }} of {{ $labels.supplier }} were last read {{ $value | humanizeDuration }} ago.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'the last sweep began in minute 1',
        series: { 'kamigate_sync_last_success_timestamp_seconds{$J, supplier="alpha", type="offers"}': '60x200' },
        at: 181,
        fires: [{ labels: { supplier: 'alpha', type: 'offers' }, value: '3h 0m 0s' }],
      },
      quiet: {
        title: 'every five minutes',
        series: { 'kamigate_sync_last_success_timestamp_seconds{$J, supplier="alpha", type="offers"}': '0+60x200' },
        at: 181,
      },
    },
  ),
  alert(
    'KamigateCostJumpPending',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job, supplier) (increase(kamigate_cost_changes_total{$J, direction="up", decision="pending_approval"}[1h])) > 0',
    },
    {
      summary: 'A supplier raised a cost beyond what passes by itself.',
      description: '{{ $labels.supplier }} raised costs that wait for a person; the old ones hold meanwhile.',
      dashboard: 'kamigate-procurement',
    },
    {
      fires: {
        title: 'one rise waits',
        series: {
          'kamigate_cost_changes_total{$J, supplier="alpha", direction="up", decision="pending_approval"}': '0x5 1x60',
        },
        at: 20,
        fires: [{ labels: { supplier: 'alpha' } }],
      },
      quiet: {
        title: 'small rises pass by themselves',
        series: {
          'kamigate_cost_changes_total{$J, supplier="alpha", direction="up", decision="pending_approval"}': '0x60',
          'kamigate_cost_changes_total{$J, supplier="alpha", direction="up", decision="auto_applied"}': '0+3x60',
        },
        at: 20,
      },
    },
  ),
  alert(
    'KamigateCostApprovalsWaiting',
    {
      severity: 'warning',
      for_minutes: 15,
      expr: 'time() - min by (job) (kamigate_cost_approval_oldest_timestamp_seconds{$J} > 0) > 4 * 3600',
    },
    {
      summary: 'Changes of cost wait for a person for more than four hours.',
      description: 'The oldest waits for {{ $value | humanizeDuration }}; after a day its source leaves routing.',
      dashboard: 'kamigate-procurement',
    },
    {
      fires: {
        title: 'waits since minute 1',
        series: { 'kamigate_cost_approval_oldest_timestamp_seconds{$J}': '60x320' },
        at: 301,
        fires: [{ value: '5h 0m 0s' }],
      },
      quiet: {
        title: 'none waits',
        series: { 'kamigate_cost_approval_oldest_timestamp_seconds{$J}': '0x320' },
        at: 301,
      },
    },
  ),
  alert(
    'KamigateNegativeMargin',
    { severity: 'warning', for_minutes: 15, expr: 'max by (job) (kamigate_margin_negative_skus{$J}) > 0' },
    {
      summary: 'SKUs cost more than they are sold for.',
      description:
        '{{ $value | humanize }} enabled SKUs cost more at their cheapest source than their price: their orders find no source.',
      dashboard: 'kamigate-procurement',
    },
    {
      fires: { title: 'one', series: { 'kamigate_margin_negative_skus{$J}': '1x30' }, at: 20, fires: [{ value: '1' }] },
      quiet: { title: 'none', series: { 'kamigate_margin_negative_skus{$J}': '0x30' }, at: 20 },
    },
  ),
];
