// Alerts on the program itself, its background work and its webhooks.
import { type AlertSpec, alert } from './spec.js';

export const PLATFORM_ALERTS: readonly AlertSpec[] = [
  alert(
    'KamigateDown',
    { severity: 'critical', for_minutes: 5, expr: 'absent(up{$J} == 1)', labels: { job: 'kamigate' } },
    {
      summary: 'No Kamigate process answers.',
      description: 'Prometheus reaches no process of the job kamigate.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: { title: 'the only one is down', series: { 'up{$J, instance="a"}': '1x5 0x30' }, at: 15, fires: [{}] },
      quiet: {
        title: 'one of two is down',
        series: { 'up{$J, instance="a"}': '0x30', 'up{$J, instance="b"}': '1x30' },
        at: 15,
      },
    },
  ),
  alert(
    'KamigateNotifyBacklog',
    {
      severity: 'warning',
      for_minutes: 10,
      expr: 'time() - min by (job, storefront) (kamigate_notify_oldest_pending_timestamp_seconds{$J} > 0) > 900',
    },
    {
      summary: 'A storefront does not take its webhooks.',
      description: 'The oldest webhook for {{ $labels.storefront }} waits for {{ $value | humanizeDuration }}.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'since minute 1',
        series: { 'kamigate_notify_oldest_pending_timestamp_seconds{$J, storefront="mall"}': '60x60' },
        at: 31,
        fires: [{ labels: { storefront: 'mall' }, value: '30m 0s' }],
      },
      quiet: {
        title: 'a minute old each time',
        series: { 'kamigate_notify_oldest_pending_timestamp_seconds{$J, storefront="mall"}': '0+60x60' },
        at: 31,
      },
    },
  ),
  alert(
    'KamigateNotifyGivenUp',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job, storefront) (increase(kamigate_notify_deliveries_total{$J, result="given_up"}[1h])) > 0',
    },
    {
      summary: 'Webhooks were given up: a storefront does not know how its orders ended.',
      description: '{{ $labels.storefront }} did not take a webhook in any of its tries.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'one given up',
        series: { 'kamigate_notify_deliveries_total{$J, storefront="mall", result="given_up"}': '0x5 1x60' },
        at: 20,
        fires: [{ labels: { storefront: 'mall' } }],
      },
      quiet: {
        title: 'many failed tries, none given up',
        series: {
          'kamigate_notify_deliveries_total{$J, storefront="mall", result="given_up"}': '0x60',
          'kamigate_notify_deliveries_total{$J, storefront="mall", result="failed"}': '0+9x60',
        },
        at: 20,
      },
    },
  ),
  alert(
    'KamigateJobsStalled',
    {
      severity: 'critical',
      for_minutes: 5,
      expr: 'time() - min by (job, queue) (kamigate_jobs_oldest_timestamp_seconds{$J} > 0) > 300',
    },
    {
      summary: 'Background work is not being done.',
      description: 'In {{ $labels.queue }} the oldest piece of work is overdue by {{ $value | humanizeDuration }}.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'due since minute 1',
        series: { 'kamigate_jobs_oldest_timestamp_seconds{$J, queue="look_up"}': '60x30' },
        at: 16,
        fires: [{ labels: { queue: 'look_up' }, value: '15m 0s' }],
      },
      quiet: {
        title: 'done within the minute',
        series: { 'kamigate_jobs_oldest_timestamp_seconds{$J, queue="look_up"}': '0+60x30' },
        at: 16,
      },
    },
  ),
  alert(
    'KamigateJobsFailing',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'sum by (job, queue) (increase(kamigate_jobs_total{$J, result="failed"}[15m])) > 3',
    },
    {
      summary: 'A background job fails again and again.',
      description:
        '{{ $labels.queue }} failed {{ $value | humanize }} times in a quarter of an hour. The log has the reason.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'once a minute',
        series: { 'kamigate_jobs_total{$J, queue="gauges", result="failed"}': '0+1x40' },
        at: 30,
        fires: [{ labels: { queue: 'gauges' }, value: '15' }],
      },
      quiet: {
        title: 'twice, and often well',
        series: {
          'kamigate_jobs_total{$J, queue="gauges", result="failed"}': '0x10 2x30',
          'kamigate_jobs_total{$J, queue="gauges", result="ok"}': '0+4x40',
        },
        at: 30,
      },
    },
  ),
  alert(
    'KamigateEventLoopLag',
    {
      severity: 'warning',
      for_minutes: 10,
      expr: 'max by (job, instance) (nodejs_eventloop_lag_p99_seconds{$J}) > 0.25',
    },
    {
      summary: 'A process is too busy to answer in time.',
      description: 'On {{ $labels.instance }} one turn in a hundred is late by {{ $value | humanizeDuration }}.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'half a second',
        series: { 'nodejs_eventloop_lag_p99_seconds{$J, instance="a"}': '0.5x30' },
        at: 15,
        fires: [{ labels: { instance: 'a' }, value: '500ms' }],
      },
      quiet: {
        title: 'twenty milliseconds',
        series: { 'nodejs_eventloop_lag_p99_seconds{$J, instance="a"}': '0.02x30' },
        at: 15,
      },
    },
  ),
  alert(
    'KamigateDbPoolSaturated',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'max by (job, instance) (kamigate_db_pool_connections{$J, state="waiting"}) > 0',
    },
    {
      summary: 'Work waits for a database connection.',
      description: '{{ $value | humanize }} wait on {{ $labels.instance }}: a slow statement, or too few connections.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'four wait',
        series: { 'kamigate_db_pool_connections{$J, instance="a", state="waiting"}': '4x30' },
        at: 10,
        fires: [{ labels: { instance: 'a' }, value: '4' }],
      },
      quiet: {
        title: 'all busy, none waits',
        series: {
          'kamigate_db_pool_connections{$J, instance="a", state="waiting"}': '0x30',
          'kamigate_db_pool_connections{$J, instance="a", state="busy"}': '16x30',
        },
        at: 10,
      },
    },
  ),
  alert(
    'KamigateRestarting',
    { severity: 'warning', for_minutes: 0, expr: 'changes(process_start_time_seconds{$J}[15m]) > 2' },
    {
      summary: 'A process starts again and again.',
      description: '{{ $labels.instance }} was started {{ $value | humanize }} times in a quarter of an hour.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'every minute',
        series: { 'process_start_time_seconds{$J, instance="a"}': '0+60x20' },
        at: 18,
        fires: [{ labels: { instance: 'a' }, value: '15' }],
      },
      quiet: {
        title: 'once, for a new version',
        series: { 'process_start_time_seconds{$J, instance="a"}': '10x8 500x12' },
        at: 18,
      },
    },
  ),
  alert(
    'KamigateNoExporter',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'absent(kamigate_leader{$J, role="exporter"} == 1)',
      labels: { job: 'kamigate' },
    },
    {
      summary: 'No process reads the figures of the database.',
      description: 'Alerts on orders, stock, floats and work cannot fire until one does.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'two processes, neither elected',
        series: {
          'kamigate_leader{$J, role="exporter", instance="a"}': '0x30',
          'kamigate_leader{$J, role="exporter", instance="b"}': '0x30',
        },
        at: 10,
        fires: [{}],
      },
      quiet: {
        title: 'one of two is elected',
        series: {
          'kamigate_leader{$J, role="exporter", instance="a"}': '1x30',
          'kamigate_leader{$J, role="exporter", instance="b"}': '0x30',
        },
        at: 10,
      },
    },
  ),
  alert(
    'KamigateFiguresStale',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'time() - max by (job) (kamigate_gauges_updated_timestamp_seconds{$J}) > 300',
    },
    {
      summary: 'The figures of the database are old.',
      description: 'They were last read {{ $value | humanizeDuration }} ago: alerts judge on the past.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'last read in minute 1',
        series: { 'kamigate_gauges_updated_timestamp_seconds{$J}': '60x30' },
        at: 16,
        fires: [{ value: '15m 0s' }],
      },
      quiet: {
        title: 'read every minute',
        series: { 'kamigate_gauges_updated_timestamp_seconds{$J}': '0+60x30' },
        at: 16,
      },
    },
  ),
  alert(
    'KamigateInternalErrors',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job, where) (increase(kamigate_failures_total{$J}[15m])) > 5',
    },
    {
      summary: 'The program fails inside.',
      description:
        '{{ $value | humanize }} errors of our own in {{ $labels.where }} within a quarter of an hour. The log has each.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'one a minute',
        series: { 'kamigate_failures_total{$J, where="fulfil"}': '0+1x30' },
        at: 20,
        fires: [{ labels: { where: 'fulfil' }, value: '15' }],
      },
      quiet: { title: 'one at all', series: { 'kamigate_failures_total{$J, where="fulfil"}': '0x10 1x20' }, at: 20 },
    },
  ),
  alert(
    'KamigateAmountsWithoutRate',
    {
      severity: 'info',
      for_minutes: 0,
      expr: 'sum by (job, type) (increase(kamigate_unconverted_amounts_total{$J}[1d])) > 0',
    },
    {
      summary: 'Amounts are missing from the money figures for want of a rate.',
      description: 'Amounts of {{ $labels.type }} in a currency without a rate of today are left out.',
      dashboard: 'kamigate-procurement',
    },
    {
      fires: {
        title: 'one balance',
        series: { 'kamigate_unconverted_amounts_total{$J, type="balance"}': '0x10 1x30' },
        at: 20,
        fires: [{ labels: { type: 'balance' } }],
      },
      quiet: { title: 'none', series: { 'kamigate_unconverted_amounts_total{$J, type="balance"}': '0x40' }, at: 20 },
    },
  ),
  alert(
    'KamigateMetricsOverflow',
    {
      severity: 'info',
      for_minutes: 0,
      expr: 'sum by (job, metric) (increase(kamigate_metrics_label_overflow_total{$J}[1h])) > 0',
    },
    {
      summary: 'A label had a value outside of its closed set.',
      description: 'Values of {{ $labels.metric }} were counted as other.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'three values',
        series: { 'kamigate_metrics_label_overflow_total{$J, metric="failovers_total"}': '1x10 4x60' },
        at: 30,
        fires: [{ labels: { metric: 'failovers_total' } }],
      },
      quiet: {
        title: 'none since',
        series: { 'kamigate_metrics_label_overflow_total{$J, metric="failovers_total"}': '4x70' },
        at: 30,
      },
    },
  ),
  alert(
    'KamigateNoticesFailing',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job) (increase(kamigate_alert_notices_total{$J, result="failed"}[15m])) > 2',
    },
    {
      summary: 'Kamigate’s own notices do not reach anybody.',
      description: '{{ $value | humanize }} notices to operators failed. Check the robot’s address and secret.',
      dashboard: 'kamigate-platform',
    },
    {
      fires: {
        title: 'one a minute',
        series: { 'kamigate_alert_notices_total{$J, result="failed"}': '0+1x30' },
        at: 20,
        fires: [{ value: '15' }],
      },
      quiet: {
        title: 'delivered',
        series: {
          'kamigate_alert_notices_total{$J, result="failed"}': '0x30',
          'kamigate_alert_notices_total{$J, result="delivered"}': '0+1x30',
        },
        at: 20,
      },
    },
  ),
  {
    name: 'KamigateWatchdog',
    summary: 'Always on: proves that alerts get through.',
    description: 'Route it to a dead man’s switch that calls when it stops.',
    dashboard: 'kamigate-platform',
    rules: [{ expr: 'vector(1)', for_minutes: 0, severity: 'info' }],
    cases: [
      { title: 'nothing at all happens', series: { 'up{$J}': '1x5' }, at: 5, fires: [{ labels: { job: '' } }] },
      {
        title: 'there is one only',
        series: { 'up{$J, instance="a"}': '1x5', 'up{$J, instance="b"}': '1x5' },
        at: 5,
        fires: [{ labels: { job: '' } }],
      },
    ],
  },
];
