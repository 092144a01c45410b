// Alerts on background work, webhooks and notices.
import { type AlertSpec, alert } from './spec.js';

export const WORK_ALERTS: readonly AlertSpec[] = [
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
];
