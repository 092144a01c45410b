// The program itself: requests, database, background work, webhooks, process.
import type { DashboardSpec, PanelSpec, Text, Unit } from '../spec.js';

function lines(
  title: Text,
  about: Text,
  unit: Unit,
  expr: string,
  legend: string,
  more: Partial<PanelSpec> = {},
): PanelSpec {
  return { type: 'timeseries', title, about, unit, width: 8, queries: [{ expr, legend }], ...more };
}
function figure(title: Text, about: Text, unit: Unit, expr: string, more: Partial<PanelSpec> = {}): PanelSpec {
  return { type: 'stat', title, about, unit, width: 4, queries: [{ expr, is_instant: true }], ...more };
}

export const platform: DashboardSpec = {
  uid: 'kamigate-platform',
  title: ['Kamigate / Platform', 'Kamigate / 平台'],
  about: [
    'Whether the program itself has what it needs: use, saturation and errors of each part.',
    '程序自身各部分的使用率、饱和度与错误。',
  ],
  range: 'now-1h',
  refresh: '30s',
  variables: ['storefront'],
  panels: [
    {
      ...figure(
        ['Versions', '版本'],
        ['What runs, and how many processes of it.', '运行中的版本与进程数。'],
        'short',
        'count by (version) (kamigate_build_info{$M})',
      ),
      queries: [{ expr: 'count by (version) (kamigate_build_info{$M})', legend: '{{version}}', is_instant: true }],
    },
    figure(
      ['Uptime', '运行时长'],
      ['Of the process that started last.', '最近启动的进程。'],
      's',
      'time() - max(process_start_time_seconds{$M})',
    ),
    figure(
      ['Restarts, 24 h', '重启次数（24 小时）'],
      ['Starts of a process seen in the last day.', '过去一天的进程启动次数。'],
      'short',
      'sum(changes(process_start_time_seconds{$M}[24h]))',
      {
        steps: [
          [null, 'green'],
          [3, 'orange'],
        ],
      },
    ),
    figure(
      ['Exporters', '指标导出者'],
      ['Processes that read the figures of the database; it must be one.', '读取数据库指标的进程，应恰为一个。'],
      'short',
      'sum(kamigate_leader{$M, role="exporter"})',
      {
        steps: [
          [null, 'red'],
          [1, 'green'],
          [2, 'red'],
        ],
      },
    ),
    figure(
      ['Age of the figures', '指标时效'],
      ['Since the figures of the database were last read.', '距上次读取数据库指标。'],
      's',
      'time() - max(kamigate_gauges_updated_timestamp_seconds{$M})',
      {
        steps: [
          [null, 'green'],
          [120, 'red'],
        ],
      },
    ),
    figure(
      ['Errors of ours, 1 h', '自身错误（1 小时）'],
      ['Caught at the top: each is a bug or a part that is away.', '顶层捕获的错误。'],
      'short',
      'sum(increase(kamigate_failures_total{$M}[1h]))',
      {
        steps: [
          [null, 'green'],
          [1, 'orange'],
        ],
      },
    ),
  ],
  rows: [
    {
      title: ['API', '接口'],
      panels: [
        lines(
          ['Requests', '请求量'],
          ['Answered per second.', '每秒应答。'],
          'reqps',
          'sum(rate(kamigate_http_requests_total{$M}[$__rate_interval]))',
          'requests',
        ),
        lines(
          ['Errors of ours', '5xx 占比'],
          ['Share answered with 5xx.', '返回 5xx 的占比。'],
          'percentunit',
          'sum(rate(kamigate_http_requests_total{$M, code=~"5.."}[$__rate_interval])) / (sum(rate(kamigate_http_requests_total{$M}[$__rate_interval])) > 0)',
          '5xx',
        ),
        lines(
          ['Time p95, five slowest routes', '耗时 p95 最慢五个路由'],
          ['A request that waits for its order counts in full.', '等待订单结果的请求计全部时长。'],
          's',
          'topk(5, histogram_quantile(0.95, sum by (route, le) (rate(kamigate_http_request_duration_seconds_bucket{$M}[$__rate_interval]))))',
          '{{route}}',
        ),
      ],
    },
    {
      title: ['Process', '进程'],
      is_collapsed: true,
      panels: [
        lines(
          ['Event loop lag p99', '事件循环延迟 p99'],
          ['Above a quarter of a second everything is late.', '超过 0.25 秒则处处变慢。'],
          's',
          'max by (instance) (nodejs_eventloop_lag_p99_seconds{$M})',
          '{{instance}}',
        ),
        lines(
          ['CPU', 'CPU'],
          ['Cores used.', '使用的核数。'],
          'percentunit',
          'rate(process_cpu_seconds_total{$M}[$__rate_interval])',
          '{{instance}}',
        ),
        lines(
          ['Memory', '内存'],
          ['Resident, and the heap in use.', '常驻内存与已用堆。'],
          'bytes',
          'max by (instance) (process_resident_memory_bytes{$M})',
          'resident {{instance}}',
          {
            queries: [
              { expr: 'max by (instance) (process_resident_memory_bytes{$M})', legend: 'resident {{instance}}' },
              { expr: 'max by (instance) (nodejs_heap_size_used_bytes{$M})', legend: 'heap {{instance}}' },
            ],
          },
        ),
      ],
    },
    {
      title: ['Database and work', '数据库与任务'],
      panels: [
        lines(
          ['Database connections', '数据库连接'],
          ['Waiting ones say that the pool is too small or the database slow.', '出现等待说明连接池过小或数据库过慢。'],
          'short',
          'max by (instance, state) (kamigate_db_pool_connections{$M})',
          '{{instance}} {{state}}',
        ),
        lines(
          ['Statement time p95', '语句耗时 p95'],
          ['By kind of statement.', '按语句类型。'],
          's',
          'histogram_quantile(0.95, sum by (op, le) (rate(kamigate_db_query_duration_seconds_bucket{$M}[$__rate_interval])))',
          '{{op}}',
        ),
        lines(
          ['Work that is overdue', '逾期任务'],
          ['Pieces of work that are due and that nobody has taken.', '已到期但无人处理的任务数。'],
          'short',
          'max by (queue) (kamigate_jobs_pending{$M})',
          '{{queue}}',
        ),
        lines(
          ['Oldest overdue work', '最久逾期'],
          ['For how long it has been due; no data means that none is.', '最久逾期时长；无数据表示没有。'],
          's',
          'time() - min by (queue) (kamigate_jobs_oldest_timestamp_seconds{$M} > 0)',
          '{{queue}}',
          { may_be_empty: 'no work is overdue' },
        ),
      ],
    },
    {
      title: ['More', '更多'],
      is_collapsed: true,
      panels: [
        lines(
          ['Orders in line', '处理队列'],
          ['Orders and lookups a process works on or has in line.', '进程正在处理或排队的订单与查单。'],
          'short',
          'sum by (instance) (kamigate_fulfil_queue{$M})',
          '{{instance}}',
        ),
        lines(
          ['Webhooks', '下游通知'],
          ['Tries by result.', '通知尝试（按结果）。'],
          'ops',
          'sum by (result) (rate(kamigate_notify_deliveries_total{$M, storefront=~"$storefront"}[$__rate_interval]))',
          '{{result}}',
        ),
        lines(
          ['Requests in flight', '进行中请求'],
          ['Being answered now.', '正在应答的请求。'],
          'short',
          'sum(kamigate_http_requests_in_flight{$M})',
          'requests',
        ),
        lines(
          ['Refused keys', '密钥被拒'],
          ['Requests refused for their API key.', '因密钥被拒的请求。'],
          'ops',
          'sum by (reason) (rate(kamigate_auth_failures_total{$M}[$__rate_interval]))',
          '{{reason}}',
        ),
        lines(
          ['External ids', '外部单号'],
          ['New, sent again, or used for a different order.', '新单、重发、或用于不同订单。'],
          'ops',
          'sum by (result) (rate(kamigate_idempotency_total{$M}[$__rate_interval]))',
          '{{result}}',
        ),
        lines(
          ['Oldest undelivered webhook', '最久未送达通知'],
          ['By storefront; no data means that all are delivered.', '按下游商户；无数据表示全部送达。'],
          's',
          'time() - min by (storefront) (kamigate_notify_oldest_pending_timestamp_seconds{$M, storefront=~"$storefront"} > 0)',
          '{{storefront}}',
          { may_be_empty: 'every webhook is delivered' },
        ),
        lines(
          ['Undelivered webhooks', '未送达通知'],
          ['The five storefronts with most.', '最多的五个下游。'],
          'short',
          'topk(5, max by (storefront) (kamigate_notify_pending{$M, storefront=~"$storefront"}))',
          '{{storefront}}',
        ),
        lines(
          ['Webhook time p95', '通知耗时 p95'],
          ['Of one try.', '单次尝试。'],
          's',
          'histogram_quantile(0.95, sum by (le) (rate(kamigate_notify_duration_seconds_bucket{$M}[$__rate_interval])))',
          'p95',
        ),
        lines(
          ['Passes of jobs', '任务轮次'],
          ['By result.', '按结果。'],
          'ops',
          'sum by (queue, result) (rate(kamigate_jobs_total{$M}[$__rate_interval])) > 0',
          '{{queue}} {{result}}',
        ),
        lines(
          ['Time of a pass p95', '任务耗时 p95'],
          ['By job.', '按任务。'],
          's',
          'histogram_quantile(0.95, sum by (queue, le) (rate(kamigate_job_duration_seconds_bucket{$M}[$__rate_interval])))',
          '{{queue}}',
        ),
        lines(
          ['Log lines', '日志行'],
          ['By level.', '按级别。'],
          'ops',
          'sum by (level) (rate(kamigate_log_messages_total{$M}[$__rate_interval]))',
          '{{level}}',
        ),
        lines(
          ['Reading the figures', '读取指标耗时'],
          ['Time the last reading took.', '上次读取耗时。'],
          's',
          'max by (instance) (kamigate_metrics_collect_duration_seconds{$M})',
          '{{instance}}',
        ),
        lines(
          ['Label overflows', '标签溢出'],
          [
            'Values outside of their closed set, per hour; no data means none ever.',
            '超出封闭集合的标签值（每小时）；无数据表示从未发生。',
          ],
          'short',
          'sum by (metric) (increase(kamigate_metrics_label_overflow_total{$M}[1h]))',
          '{{metric}}',
          { may_be_empty: 'no label ever overflowed' },
        ),
        lines(
          ['Notices to operators', '告警通知'],
          ['Sent by the program itself, where that is set up.', '程序自带的告警通知。'],
          'short',
          'sum by (result) (increase(kamigate_alert_notices_total{$M}[1h]))',
          '{{result}}',
        ),
      ],
    },
  ],
};
