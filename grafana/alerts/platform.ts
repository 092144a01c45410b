// Alerts on the program itself: whether it runs, has what it needs, and sees what it should.
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
