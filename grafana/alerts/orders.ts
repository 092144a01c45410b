// Alerts on orders and on the API: what a storefront would notice.
import { type AlertSpec, alert, type RuleSpec } from './spec.js';

/** Two windows each: the short one ends the alert soon after the trouble has ended. */
const BURN = [
  { long: '1h', short: '5m', times: 14.4, for_minutes: 2, severity: 'critical' },
  { long: '6h', short: '30m', times: 6, for_minutes: 15, severity: 'critical' },
  { long: '1d', short: '2h', times: 3, for_minutes: 60, severity: 'warning' },
  { long: '3d', short: '6h', times: 1, for_minutes: 180, severity: 'warning' },
] as const;

/** Burn-rate rules on a recorded ratio; `enough` keeps one failure in two orders from waking anybody. */
function burnRules(record: string, budget: number, enough: (window: string) => string): RuleSpec[] {
  return BURN.map(({ long, short, times, for_minutes, severity }) => {
    const limit = Number((budget * times).toFixed(6));
    return {
      expr: `${record}${long} > ${limit} and ${record}${short} > ${limit} and on (job) ${enough(long)}`,
      for_minutes,
      severity,
      labels: { window: long },
    };
  });
}

const POSTED = 'kamigate_http_requests_total{$J, route="/v1/orders", method="POST"';
const FINISHED = 'kamigate_orders_finished_total{$J, storefront="mall", kind="code"';

export const ORDER_ALERTS: readonly AlertSpec[] = [
  {
    name: 'KamigateOrderAcceptanceBudgetBurn',
    summary: 'Orders are refused by an error of ours faster than the objective of 99.9 % allows.',
    description: '{{ $value | humanizePercentage }} of order requests in the last {window} were answered with 5xx.',
    dashboard: 'kamigate-overview',
    rules: burnRules(
      'job:kamigate_http_requests_failed_per_requests:ratio_rate',
      0.001,
      (window) =>
        `sum by (job) (increase(kamigate_http_requests_total{$J, route="/v1/orders", method="POST"}[${window}])) >= 100`,
    ),
    cases: [
      {
        title: 'one in ten of 600 an hour fails',
        series: { [`${POSTED}, code="201"}`]: '0+9x120', [`${POSTED}, code="500"}`]: '0+1x120' },
        at: 65,
        fires: [
          { labels: { window: '1h' }, value: '10%' },
          { labels: { window: '6h' }, value: '10%' },
        ],
      },
      {
        title: 'none fails',
        series: { [`${POSTED}, code="201"}`]: '0+10x120', [`${POSTED}, code="500"}`]: '0x120' },
        at: 65,
      },
      {
        title: 'half of two orders an hour fails: too few to tell',
        series: { [`${POSTED}, code="201"}`]: '0x60 1x60', [`${POSTED}, code="500"}`]: '0x60 1x60' },
        at: 70,
      },
    ],
  },
  {
    name: 'KamigateOrderDeliveryBudgetBurn',
    summary: 'Orders fail faster than the objective of 99 % delivered allows.',
    description:
      '{{ $value | humanizePercentage }} of finished orders in the last {window} failed by our or a supplier’s fault.',
    dashboard: 'kamigate-suppliers',
    rules: burnRules(
      'job:kamigate_orders_finished_failed_per_finished:ratio_rate',
      0.01,
      (window) => `sum by (job) (increase(kamigate_orders_finished_total{$J}[${window}])) >= 30`,
    ),
    cases: [
      {
        title: 'one in four fails upstream',
        series: {
          [`${FINISHED}, outcome="delivered"}`]: '0+3x120',
          [`${FINISHED}, outcome="failed_upstream"}`]: '0+1x120',
        },
        at: 65,
        fires: [
          { labels: { window: '1h' }, value: '25%' },
          { labels: { window: '6h' }, value: '25%' },
        ],
      },
      {
        title: 'one in four fails by the customer’s own mistake',
        series: {
          [`${FINISHED}, outcome="delivered"}`]: '0+3x120',
          [`${FINISHED}, outcome="failed_customer"}`]: '0+1x120',
        },
        at: 65,
      },
      {
        title: 'one failure in two orders',
        series: {
          [`${FINISHED}, outcome="delivered"}`]: '0x60 1x60',
          [`${FINISHED}, outcome="failed_upstream"}`]: '0x60 1x60',
        },
        at: 70,
      },
    ],
  },
  alert(
    'KamigateDeliverySlow',
    {
      severity: 'warning',
      for_minutes: 15,
      expr: 'histogram_quantile(0.95, sum without (instance) (rate(kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered"}[30m]))) > 300',
    },
    {
      summary: 'Recharges take longer than five minutes.',
      description: '95 of 100 recharges are done within {{ $value | humanizeDuration }}; the objective is 5 minutes.',
      dashboard: 'kamigate-overview',
    },
    {
      fires: {
        title: 'every recharge takes between 5 and 15 minutes',
        series: {
          'kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered", le="300"}': '0x60',
          'kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered", le="900"}': '0+2x60',
          'kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered", le="+Inf"}': '0+2x60',
        },
        at: 50,
        fires: [{ labels: { kind: 'recharge', outcome: 'delivered' }, value: '14m 29s' }],
      },
      quiet: {
        title: 'every recharge takes less than 5 minutes',
        series: {
          'kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered", le="300"}': '0+2x60',
          'kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered", le="900"}': '0+2x60',
          'kamigate_order_duration_seconds_bucket{$J, kind="recharge", outcome="delivered", le="+Inf"}': '0+2x60',
        },
        at: 50,
      },
    },
  ),
  alert(
    'KamigateOrdersStuck',
    {
      severity: 'critical',
      for_minutes: 5,
      expr: 'time() - min by (job) (kamigate_orders_unsent_oldest_timestamp_seconds{$J} > 0) > 300',
    },
    {
      summary: 'Accepted orders do not reach any supplier.',
      description: 'The stalest has waited {{ $value | humanizeDuration }} for its next step.',
      dashboard: 'kamigate-overview',
    },
    {
      fires: {
        title: 'one waits since minute 1',
        series: { 'kamigate_orders_unsent_oldest_timestamp_seconds{$J}': '60x30' },
        at: 15,
        fires: [{ value: '14m 0s' }],
      },
      quiet: { title: 'none waits', series: { 'kamigate_orders_unsent_oldest_timestamp_seconds{$J}': '0x30' }, at: 15 },
    },
  ),
  alert(
    'KamigateOrdersHeld',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'time() - min by (job) (kamigate_orders_open_oldest_timestamp_seconds{$J, state="held"} > 0) > 7200',
    },
    {
      summary: 'An order waits for a person for more than two hours.',
      description: 'The oldest held order was accepted {{ $value | humanizeDuration }} ago. See `kamigate held`.',
      dashboard: 'kamigate-overview',
    },
    {
      fires: {
        title: 'one is held for three hours',
        series: { 'kamigate_orders_open_oldest_timestamp_seconds{$J, state="held"}': '60x200' },
        at: 181,
        fires: [{ value: '3h 0m 0s' }],
      },
      quiet: {
        title: 'an old order is still being sourced',
        series: {
          'kamigate_orders_open_oldest_timestamp_seconds{$J, state="held"}': '0x200',
          'kamigate_orders_open_oldest_timestamp_seconds{$J, state="sourcing"}': '60x200',
        },
        at: 181,
      },
    },
  ),
  alert(
    'KamigateUnknownOutcomeOld',
    {
      severity: 'critical',
      for_minutes: 5,
      expr: 'time() - min by (job, supplier) (kamigate_unknown_outcome_oldest_timestamp_seconds{$J} > 0) > 1800',
    },
    {
      summary: 'A purchase is in doubt for more than half an hour.',
      description:
        'The oldest at {{ $labels.supplier }} is in doubt for {{ $value | humanizeDuration }}: it may have been bought.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'in doubt since minute 1',
        series: { 'kamigate_unknown_outcome_oldest_timestamp_seconds{$J, supplier="alpha"}': '60x60' },
        at: 41,
        fires: [{ labels: { supplier: 'alpha' }, value: '40m 0s' }],
      },
      quiet: {
        title: 'settled after twenty minutes',
        series: { 'kamigate_unknown_outcome_oldest_timestamp_seconds{$J, supplier="alpha"}': '60x20 0x40' },
        at: 41,
      },
    },
  ),
  alert(
    'KamigateUnknownOutcomesPilingUp',
    {
      severity: 'warning',
      for_minutes: 10,
      expr: 'sum by (job) (max by (job, supplier) (kamigate_unknown_outcomes{$J})) > 20',
    },
    {
      summary: 'More and more purchases are in doubt.',
      description: '{{ $value | humanize }} purchases are in doubt.',
      dashboard: 'kamigate-suppliers',
    },
    {
      fires: {
        title: 'fifteen at each of two suppliers',
        series: {
          'kamigate_unknown_outcomes{$J, supplier="alpha"}': '15x30',
          'kamigate_unknown_outcomes{$J, supplier="beta"}': '15x30',
        },
        at: 15,
        fires: [{ value: '30' }],
      },
      quiet: {
        title: 'fifteen, told by two processes',
        series: {
          'kamigate_unknown_outcomes{$J, supplier="alpha", instance="a"}': '15x30',
          'kamigate_unknown_outcomes{$J, supplier="alpha", instance="b"}': '15x30',
        },
        at: 15,
      },
    },
  ),
];
