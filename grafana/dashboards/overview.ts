// Is fulfilment all right, and if not, where?
import type { DashboardSpec } from '../spec.js';

const FAILED = 'outcome=~"failed_upstream|failed_ours|partial"';
const COUNTED = 'outcome!~"failed_customer|cancelled"';

export const overview: DashboardSpec = {
  uid: 'kamigate-overview',
  title: ['Kamigate / Overview', 'Kamigate / 总览'],
  about: [
    'Is fulfilment all right, and if not, where? Read from the top left; every supplier leads to its own dashboard.',
    '履约是否正常，问题在哪里？从左上角看起；点击供货账户可进入其详情。',
  ],
  range: 'now-1h',
  refresh: '30s',
  variables: ['storefront', 'kind'],
  panels: [
    {
      type: 'stat',
      title: ['Delivered, 1 h', '交付率（1 小时）'],
      about: [
        'Delivered orders of all that could have been: the customer’s own mistakes and withdrawn orders do not count.',
        '可履约订单中已交付的比例；客户自身填错和主动取消的不计入。',
      ],
      unit: 'percentunit',
      width: 3,
      queries: [
        {
          expr: `1 - sum(increase(kamigate_orders_finished_total{$M, storefront=~"$storefront", kind=~"$kind", ${FAILED}}[1h]))
            / (sum(increase(kamigate_orders_finished_total{$M, storefront=~"$storefront", kind=~"$kind", ${COUNTED}}[1h])) > 0)`,
        },
      ],
      steps: [
        [null, 'red'],
        [0.97, 'orange'],
        [0.99, 'green'],
      ],
    },
    {
      type: 'stat',
      title: ['Orders per minute', '每分钟订单数'],
      about: ['Orders accepted from storefronts.', '从下游商户接受的订单。'],
      unit: 'opm',
      width: 3,
      queries: [
        {
          expr: 'sum(rate(kamigate_orders_created_total{$M, storefront=~"$storefront", kind=~"$kind"}[$__rate_interval])) * 60',
        },
      ],
    },
    {
      type: 'stat',
      title: ['Recharge, p95', '直充耗时 p95'],
      about: [
        '95 of 100 recharges are done within this time, over the last hour.',
        '过去一小时内 95% 的直充在此时间内完成。',
      ],
      unit: 's',
      width: 3,
      queries: [
        {
          expr: 'histogram_quantile(0.95, sum by (le) (increase(kamigate_order_duration_seconds_bucket{$M, kind="recharge", outcome="delivered"}[1h])))',
        },
      ],
      steps: [
        [null, 'green'],
        [120, 'orange'],
        [300, 'red'],
      ],
    },
    {
      type: 'stat',
      title: ['Purchases in doubt', '结果未知'],
      about: [
        'Attempts of which nobody knows what they came to. They are looked up; nothing is bought elsewhere for the same recipient meanwhile.',
        '结果未知的采购，系统会持续查单，期间不会为同一收件人另行采购。',
      ],
      unit: 'short',
      width: 3,
      queries: [{ expr: 'sum(max by (supplier) (kamigate_unknown_outcomes{$M}))', is_instant: true }],
      steps: [
        [null, 'green'],
        [1, 'orange'],
        [20, 'red'],
      ],
    },
    {
      type: 'stat',
      title: ['Oldest in doubt', '最久未知'],
      about: [
        'For how long the oldest has been in doubt; no data means that none is.',
        '最久的一笔未知持续的时间；无数据表示没有。',
      ],
      unit: 's',
      width: 3,
      queries: [{ expr: 'time() - min(kamigate_unknown_outcome_oldest_timestamp_seconds{$M} > 0)', is_instant: true }],
      steps: [
        [null, 'green'],
        [600, 'orange'],
        [1800, 'red'],
      ],
      may_be_empty: 'nothing is in doubt',
    },
    {
      type: 'stat',
      title: ['Suppliers open or paused', '熔断或暂停'],
      about: ['Accounts that take no purchases now.', '目前不接受采购的供货账户数。'],
      unit: 'short',
      width: 3,
      queries: [
        {
          expr: 'count(max by (supplier) (kamigate_supplier_circuit_state{$M}) >= 2) or vector(0)',
          is_instant: true,
        },
      ],
      steps: [
        [null, 'green'],
        [1, 'orange'],
      ],
    },
    {
      type: 'stat',
      title: ['SKUs without a source', '无可用货源 SKU'],
      about: [
        'Enabled SKUs that nothing could deliver now: orders for them fail.',
        '已上架但当前没有任何货源可交付的 SKU。',
      ],
      unit: 'short',
      width: 3,
      queries: [{ expr: 'max(kamigate_skus_by_live_sources{$M, sources="0"})', is_instant: true }],
      steps: [
        [null, 'green'],
        [1, 'red'],
      ],
    },
    {
      type: 'gauge',
      title: ['Failure budget left, 30 d', '剩余失败预算（30 天）'],
      about: [
        'Of the 1 % of orders that may fail in 30 days, how much is left. The only query here over a long range.',
        '30 天内允许 1% 的订单失败，此处为剩余份额。',
      ],
      unit: 'percentunit',
      width: 3,
      max: 1,
      interval: '5m',
      queries: [
        {
          expr: `1 - (sum(increase(kamigate_orders_finished_total{$M, ${FAILED}}[30d]))
            / (sum(increase(kamigate_orders_finished_total{$M, ${COUNTED}}[30d])) > 0)) / 0.01`,
          is_instant: true,
        },
      ],
      steps: [
        [null, 'red'],
        [0.1, 'orange'],
        [0.5, 'green'],
      ],
    },
  ],
  rows: [
    {
      title: ['Orders', '订单'],
      panels: [
        {
          type: 'timeseries',
          title: ['Finished orders by outcome', '完结订单（按结果）'],
          about: [
            'Orders at their end, by who is at fault if they were not delivered.',
            '完结订单按结果与责任方划分。',
          ],
          unit: 'ops',
          width: 12,
          queries: [
            {
              expr: 'sum by (outcome) (rate(kamigate_orders_finished_total{$M, storefront=~"$storefront", kind=~"$kind"}[$__rate_interval]))',
              legend: '{{outcome}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Time of delivered orders', '已交付订单耗时'],
          about: ['From acceptance to delivery: median, 95 and 99 of 100.', '从接单到交付的时间：中位数、p95、p99。'],
          unit: 's',
          width: 12,
          queries: [0.5, 0.95, 0.99].map((quantile) => ({
            expr: `histogram_quantile(${quantile}, sum by (le) (rate(kamigate_order_duration_seconds_bucket{$M, kind=~"$kind", outcome="delivered"}[$__rate_interval])))`,
            legend: `p${quantile * 100}`,
          })),
        },
        {
          type: 'timeseries',
          title: ['API errors of ours, by route', '接口 5xx 占比（按路由）'],
          about: [
            'Share of requests answered with 5xx; the five worst routes.',
            '返回 5xx 的请求占比，最差的五个路由。',
          ],
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: `topk(5, sum by (route) (rate(kamigate_http_requests_total{$M, code=~"5.."}[$__rate_interval]))
                / (sum by (route) (rate(kamigate_http_requests_total{$M}[$__rate_interval])) > 0))`,
              legend: '{{route}}',
            },
          ],
        },
        {
          type: 'state-timeline',
          title: ['Circuits', '熔断状态'],
          about: ['Whether each account takes purchases.', '各供货账户是否接受采购。'],
          unit: 'string',
          width: 12,
          queries: [{ expr: 'max by (supplier) (kamigate_supplier_circuit_state{$M})', legend: '{{supplier}}' }],
          mapping: 'circuit',
          links_to_supplier: true,
        },
        {
          type: 'bargauge',
          title: ['Worst suppliers, 30 min', '最差供货账户（30 分钟）'],
          about: [
            'Share of attempts that failed by the supplier’s fault or are in doubt; only accounts with more than five attempts.',
            '因供货方失败或未知的采购占比；仅统计超过五笔的账户。',
          ],
          unit: 'percentunit',
          width: 12,
          max: 1,
          queries: [
            {
              expr: `topk(5, sum by (supplier) (increase(kamigate_supplier_attempts_total{$M, result=~"failed_supplier|unknown"}[30m]))
                / (sum by (supplier) (increase(kamigate_supplier_attempts_total{$M, result!~"failed_customer|failed_ours"}[30m])) > 5))`,
              legend: '{{supplier}}',
              is_instant: true,
            },
          ],
          steps: [
            [null, 'green'],
            [0.05, 'orange'],
            [0.2, 'red'],
          ],
          links_to_supplier: true,
        },
        {
          type: 'timeseries',
          title: ['Failovers by reason', '切换货源（按原因）'],
          about: ['Orders that left a supplier for the next source, by why.', '订单离开某供货账户转向下一货源的原因。'],
          unit: 'ops',
          width: 12,
          queries: [
            {
              expr: 'sum by (reason) (rate(kamigate_failovers_total{$M}[$__rate_interval])) > 0',
              legend: '{{reason}}',
            },
          ],
        },
      ],
    },
    {
      title: ['More', '更多'],
      is_collapsed: true,
      panels: [
        {
          type: 'timeseries',
          title: ['Open orders by state', '未完结订单（按状态）'],
          about: ['Orders not at their end. Held ones wait for a person.', '未完结的订单；held 表示等待人工处理。'],
          unit: 'short',
          width: 12,
          queries: [{ expr: 'max by (state) (kamigate_orders_open{$M})', legend: '{{state}}' }],
        },
        {
          type: 'timeseries',
          title: ['Oldest open order', '最早的未完结订单'],
          about: ['Age of the oldest order in each state.', '每种状态下最早订单的时长。'],
          unit: 's',
          width: 12,
          queries: [
            {
              expr: 'time() - min by (state) (kamigate_orders_open_oldest_timestamp_seconds{$M} > 0)',
              legend: '{{state}}',
            },
            { expr: 'time() - min(kamigate_orders_unsent_oldest_timestamp_seconds{$M} > 0)', legend: 'unsent' },
          ],
          may_be_empty: 'no order is open',
        },
        {
          type: 'table',
          title: ['Bad requests by storefront, 1 h', '异常请求（按下游商户，1 小时）'],
          about: ['Who sends requests that are refused.', '哪些下游商户的请求被拒绝。'],
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: 'sum by (storefront, outcome) (increase(kamigate_storefront_requests_total{$M, storefront=~"$storefront", outcome!="ok"}[1h])) > 0',
              is_instant: true,
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Attempts per order', '每单采购次数'],
          about: [
            'Mean number of attempts an order took; it rises when routing struggles.',
            '平均每单的采购次数，路由困难时上升。',
          ],
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: 'sum by (kind) (rate(kamigate_order_attempts_sum{$M, kind=~"$kind"}[$__rate_interval])) / (sum by (kind) (rate(kamigate_order_attempts_count{$M, kind=~"$kind"}[$__rate_interval])) > 0)',
              legend: '{{kind}}',
            },
          ],
        },
        {
          type: 'alertlist',
          title: ['Alerts', '告警'],
          about: ['Kamigate’s alerts that are firing or about to.', '正在触发或即将触发的 Kamigate 告警。'],
          unit: 'none',
          width: 24,
          queries: [],
        },
      ],
    },
  ],
};
