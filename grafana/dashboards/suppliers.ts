// The health wall: every supplier account side by side.
import type { DashboardSpec, QuerySpec, Steps } from '../spec.js';

const FAULTY = 'result=~"failed_supplier|unknown"';
const COUNTED = 'result!~"failed_customer|failed_ours"';
const GOOD_SHARE: Steps = [
  [null, 'red'],
  [0.9, 'orange'],
  [0.99, 'green'],
];
const RUNWAY: Steps = [
  [null, 'red'],
  [7_200, 'orange'],
  [21_600, 'green'],
];
const ANY: Steps = [
  [null, 'green'],
  [1, 'orange'],
];

/** What one row of the scoreboard shows; the detail dashboard shows the same of one account. */
export const SCORES = {
  state: 'max by (supplier) (kamigate_supplier_circuit_state{$S})',
  success: `1 - sum by (supplier) (increase(kamigate_supplier_attempts_total{$S, ${FAULTY}}[1h]))
    / (sum by (supplier) (increase(kamigate_supplier_attempts_total{$S, ${COUNTED}}[1h])) > 0)`,
  attempts: 'sum by (supplier) (increase(kamigate_supplier_attempts_total{$S}[1h]))',
  p95: 'histogram_quantile(0.95, sum by (supplier, le) (increase(kamigate_supplier_delivery_seconds_bucket{$S}[1h])))',
  unknown: 'max by (supplier) (kamigate_unknown_outcomes{$S})',
  runway: `max by (supplier) (kamigate_supplier_balance_amount{$S})
    / (sum by (supplier) (increase(kamigate_purchase_cost_amount_total{$S}[6h])) / 21600 > 0)`,
  sync_age: 'time() - max by (supplier) (kamigate_sync_last_success_timestamp_seconds{$S, type="offers"} > 0)',
  rejected:
    'sum by (supplier) (increase(kamigate_supplier_callbacks_total{$S, result=~"signature|unreadable|stale"}[24h]))',
};

const COLUMNS: readonly QuerySpec[] = [
  { expr: SCORES.state, column: { title: ['Circuit', '熔断'], unit: 'string', mapping: 'circuit' } },
  {
    expr: SCORES.success,
    column: { title: ['Success, 1 h', '成功率（1 小时）'], unit: 'percentunit', steps: GOOD_SHARE },
  },
  { expr: SCORES.attempts, column: { title: ['Attempts, 1 h', '采购数（1 小时）'], unit: 'short' } },
  { expr: SCORES.p95, column: { title: ['Delivery p95', '交付 p95'], unit: 's' } },
  { expr: SCORES.unknown, column: { title: ['In doubt', '未知'], unit: 'short', steps: ANY } },
  { expr: SCORES.runway, column: { title: ['Runway', '余额可用时长'], unit: 's', steps: RUNWAY } },
  { expr: SCORES.sync_age, column: { title: ['Age of offers', '报价时效'], unit: 's' } },
  {
    expr: SCORES.rejected,
    column: { title: ['Rejected callbacks, 24 h', '被拒回调（24 小时）'], unit: 'short', steps: ANY },
  },
];
const SCOREBOARD = COLUMNS.map((query): QuerySpec => ({ ...query, is_instant: true }));

export const suppliers: DashboardSpec = {
  uid: 'kamigate-suppliers',
  title: ['Kamigate / Suppliers', 'Kamigate / 供货账户'],
  about: [
    'The health wall: which supplier is good, which is slow, which is out. Click one to see it in detail.',
    '供货账户健康墙：谁好、谁慢、谁断。点击进入详情。',
  ],
  range: 'now-1h',
  refresh: '30s',
  variables: ['supplier'],
  panels: [
    {
      type: 'table',
      title: ['Scoreboard', '记分板'],
      about: [
        'One row an account. Circuit 0 closed, 1 half-open, 2 open, 3 paused. Runway: how long the float lasts at the spend of the last 6 hours.',
        '每个账户一行。余额可用时长按最近 6 小时消耗估算。',
      ],
      unit: 'short',
      width: 24,
      height: 9,
      queries: SCOREBOARD,
      links_to_supplier: true,
    },
  ],
  rows: [
    {
      title: ['Health', '健康'],
      panels: [
        {
          type: 'state-timeline',
          title: ['Circuits', '熔断状态'],
          about: ['Whether each account takes purchases.', '各账户是否接受采购。'],
          unit: 'string',
          width: 24,
          queries: [{ expr: SCORES.state, legend: '{{supplier}}' }],
          mapping: 'circuit',
          links_to_supplier: true,
        },
        {
          type: 'timeseries',
          title: ['Success, five worst', '成功率最差五个'],
          about: ['Attempts that did not fail by the supplier’s fault.', '非供货方原因失败之外的比例。'],
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: `bottomk(5, 1 - sum by (supplier) (rate(kamigate_supplier_attempts_total{$S, ${FAULTY}}[$__rate_interval]))
                / (sum by (supplier) (rate(kamigate_supplier_attempts_total{$S, ${COUNTED}}[$__rate_interval])) > 0))`,
              legend: '{{supplier}}',
            },
          ],
          links_to_supplier: true,
        },
        {
          type: 'timeseries',
          title: ['Delivery p95, five slowest', '交付 p95 最慢五个'],
          about: ['From sending a purchase to its proven delivery.', '从发出采购到确认交付。'],
          unit: 's',
          width: 12,
          queries: [
            {
              expr: 'topk(5, histogram_quantile(0.95, sum by (supplier, le) (rate(kamigate_supplier_delivery_seconds_bucket{$S}[$__rate_interval]))))',
              legend: '{{supplier}}',
            },
          ],
          links_to_supplier: true,
        },
        {
          type: 'piechart',
          title: ['Share of attempts', '采购份额'],
          about: ['How much hangs on one supplier.', '对单一供货方的依赖程度。'],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (supplier) (increase(kamigate_supplier_attempts_total{$S}[$__range]))',
              legend: '{{supplier}}',
              is_instant: true,
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Calls that came to nothing good', '异常调用（按结果）'],
          about: [
            'Calls to suppliers by what they came to, without the good ones.',
            '对供货方的异常调用，按结果划分。',
          ],
          unit: 'ops',
          width: 8,
          queries: [
            {
              expr: 'sum by (outcome) (rate(kamigate_supplier_requests_total{$S, outcome!="ok"}[$__rate_interval])) > 0',
              legend: '{{outcome}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Told to slow down', '被限流'],
          about: ['Answers "busy": our limiter is set too fast for them.', '供货方返回繁忙：限速设置过快。'],
          unit: 'ops',
          width: 8,
          queries: [
            {
              expr: 'topk(5, sum by (supplier) (rate(kamigate_supplier_requests_total{$S, outcome="busy"}[$__rate_interval])))',
              legend: '{{supplier}}',
            },
          ],
        },
        {
          type: 'bargauge',
          title: ['Circuit openings, 1 h', '熔断次数（1 小时）'],
          about: [
            'A circuit that opens again and again flaps: its settings or the supplier need a look.',
            '频繁熔断说明阈值或供货方有问题。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'topk(10, sum by (supplier) (increase(kamigate_supplier_circuit_transitions_total{$S, to="open"}[1h])))',
              legend: '{{supplier}}',
              is_instant: true,
            },
          ],
          links_to_supplier: true,
        },
        {
          type: 'bargauge',
          title: ['Floats (base currency)', '预存余额（基准币种）'],
          about: ['Prepaid balances as last read.', '最近一次读取的预存余额。'],
          unit: 'none',
          width: 8,
          queries: [
            {
              expr: 'max by (supplier) (kamigate_supplier_balance_amount{$S})',
              legend: '{{supplier}}',
              is_instant: true,
            },
          ],
          links_to_supplier: true,
        },
        {
          type: 'timeseries',
          title: ['Clock skew', '时钟偏差'],
          about: [
            'Their clock minus ours; many signatures allow a minute only.',
            '对方时钟与我方之差；多数签名仅容许一分钟。',
          ],
          unit: 's',
          width: 8,
          queries: [
            {
              expr: 'topk(5, max by (supplier) (abs(kamigate_supplier_clock_skew_seconds{$S})))',
              legend: '{{supplier}}',
            },
          ],
          steps: [
            [null, 'green'],
            [30, 'red'],
          ],
        },
      ],
    },
  ],
};
