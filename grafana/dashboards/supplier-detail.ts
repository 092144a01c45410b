// One supplier account: what it is asked, what it answers, how long it takes, what it costs.
import type { DashboardSpec, PanelSpec } from '../spec.js';
import { SCORES } from './suppliers.js';

function score(
  title: PanelSpec['title'],
  about: PanelSpec['about'],
  unit: PanelSpec['unit'],
  expr: string,
  more: Partial<PanelSpec> = {},
): PanelSpec {
  return {
    type: 'stat',
    title,
    about,
    unit,
    width: 4,
    queries: [{ expr, legend: '{{supplier}}', is_instant: true }],
    ...more,
  };
}

export const supplierDetail: DashboardSpec = {
  uid: 'kamigate-supplier-detail',
  title: ['Kamigate / Supplier detail', 'Kamigate / 供货账户详情'],
  about: ['One supplier account in full. Choose it above.', '单个供货账户的完整情况，请在上方选择。'],
  range: 'now-1h',
  refresh: '30s',
  variables: ['supplier'],
  panels: [
    score(['Circuit', '熔断'], ['Whether it takes purchases.', '是否接受采购。'], 'string', SCORES.state, {
      mapping: 'circuit',
    }),
    score(
      ['Success, 1 h', '成功率（1 小时）'],
      ['Attempts that did not fail by its fault.', '非供货方原因失败之外的比例。'],
      'percentunit',
      SCORES.success,
      {
        steps: [
          [null, 'red'],
          [0.9, 'orange'],
          [0.99, 'green'],
        ],
      },
    ),
    score(['Attempts, 1 h', '采购数（1 小时）'], ['Purchases tried.', '尝试的采购数。'], 'short', SCORES.attempts),
    score(
      ['Delivery p95, 1 h', '交付 p95（1 小时）'],
      ['95 of 100 deliveries are proven within this time.', '95% 的交付在此时间内确认。'],
      's',
      SCORES.p95,
    ),
    score(
      ['In doubt', '未知'],
      ['Purchases of which nobody knows what they came to.', '结果未知的采购。'],
      'short',
      SCORES.unknown,
      {
        steps: [
          [null, 'green'],
          [1, 'orange'],
        ],
      },
    ),
    score(
      ['Runway', '余额可用时长'],
      ['How long the float lasts at the spend of the last 6 hours.', '按最近 6 小时消耗估算。'],
      's',
      SCORES.runway,
      {
        steps: [
          [null, 'red'],
          [7_200, 'orange'],
          [21_600, 'green'],
        ],
      },
    ),
  ],
  rows: [
    {
      title: ['Purchases', '采购'],
      panels: [
        {
          type: 'timeseries',
          title: ['Attempts by result', '采购（按结果）'],
          about: ['One for each attempt, when it was classified.', '每次采购归类时计一次。'],
          unit: 'ops',
          width: 12,
          queries: [
            {
              expr: 'sum by (result) (rate(kamigate_supplier_attempts_total{$S}[$__rate_interval]))',
              legend: '{{result}}',
            },
          ],
        },
        {
          type: 'heatmap',
          title: ['Delivery time', '交付时间分布'],
          about: [
            'From sending to proven delivery. A dot names the order of a slow one: kamigate order trace.',
            '从发出到确认交付；散点标出慢单的订单号。',
          ],
          unit: 's',
          width: 12,
          queries: [
            {
              expr: 'sum by (le) (rate(kamigate_supplier_delivery_seconds_bucket{$S}[$__rate_interval]))',
              legend: '{{le}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Call time p95', '调用耗时 p95'],
          about: ['Time of one call on the wire.', '单次调用耗时。'],
          unit: 's',
          width: 8,
          queries: [
            {
              expr: 'histogram_quantile(0.95, sum by (operation, le) (rate(kamigate_supplier_request_duration_seconds_bucket{$S}[$__rate_interval])))',
              legend: '{{operation}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Purchase calls by outcome', '采购调用（按结果）'],
          about: ['What calls that can buy came to.', '采购调用的结果。'],
          unit: 'ops',
          width: 8,
          queries: [
            {
              expr: 'sum by (outcome) (rate(kamigate_supplier_requests_total{$S, operation="place"}[$__rate_interval])) > 0',
              legend: '{{outcome}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Calls under way', '进行中的调用'],
          about: ['Under way or waiting for the limiter, over all processes.', '所有进程中进行或排队的调用。'],
          unit: 'short',
          width: 8,
          queries: [{ expr: 'sum by (supplier) (kamigate_supplier_in_flight{$S})', legend: '{{supplier}}' }],
        },
        {
          type: 'timeseries',
          title: ['Doubts settled', '未知已定'],
          about: [
            'How attempts in doubt ended, per hour, and who ended them.',
            '未知采购的了结方式及处理者（每小时）。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (resolution, actor) (increase(kamigate_unknown_outcomes_resolved_total{$S}[1h]))',
              legend: '{{resolution}} by {{actor}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Why orders left', '订单离开的原因'],
          about: ['Reasons for going to the next source.', '切换到下一货源的原因。'],
          unit: 'ops',
          width: 8,
          queries: [
            {
              expr: 'sum by (reason) (rate(kamigate_failovers_total{$S}[$__rate_interval])) > 0',
              legend: '{{reason}}',
            },
          ],
          may_be_empty: 'no order had to leave it',
        },
        {
          type: 'timeseries',
          title: ['Callbacks by result', '回调（按结果）'],
          about: ['Messages it sent us. Rejected ones are never acted on.', '对方发来的回调；被拒的不予处理。'],
          unit: 'ops',
          width: 8,
          queries: [
            {
              expr: 'sum by (result) (rate(kamigate_supplier_callbacks_total{$S}[$__rate_interval]))',
              legend: '{{result}}',
            },
          ],
        },
      ],
    },
    {
      title: ['Money and offers', '资金与报价'],
      is_collapsed: true,
      panels: [
        {
          type: 'timeseries',
          title: ['Spend per hour (base currency)', '每小时采购额（基准币种）'],
          about: ['What was bought here, as a rate per hour.', '按小时折算的采购额。'],
          unit: 'none',
          width: 8,
          queries: [
            {
              expr: 'sum by (supplier) (rate(kamigate_purchase_cost_amount_total{$S}[$__rate_interval])) * 3600',
              legend: '{{supplier}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Float (base currency)', '预存余额（基准币种）'],
          about: ['Prepaid balance as last read.', '最近一次读取的预存余额。'],
          unit: 'none',
          width: 8,
          queries: [{ expr: 'max by (supplier) (kamigate_supplier_balance_amount{$S})', legend: '{{supplier}}' }],
        },
        {
          type: 'timeseries',
          title: ['Sources by worth', '货源（按状态）'],
          about: ['Active ones can be routed to.', 'active 为可路由的货源。'],
          unit: 'short',
          width: 8,
          queries: [
            { expr: 'sum by (status) (max by (supplier, status) (kamigate_offers{$S}))', legend: '{{status}}' },
          ],
        },
        {
          type: 'bargauge',
          title: ['Age of what we know', '数据时效'],
          about: [
            'Time since the last whole sweep of offers, and since the float was read.',
            '距上次完整扫价、读取余额的时间。',
          ],
          unit: 's',
          width: 8,
          queries: [
            {
              expr: 'time() - max by (type) (kamigate_sync_last_success_timestamp_seconds{$S} > 0)',
              legend: '{{type}}',
              is_instant: true,
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Changes of cost', '成本变动'],
          about: [
            'Found by sweeps, per hour, by what the guard decided.',
            '扫价发现的成本变动（每小时），按守卫决定划分。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (direction, decision) (increase(kamigate_cost_changes_total{$S}[1h]))',
              legend: '{{direction}} {{decision}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Failed readings in a row', '连续读取失败'],
          about: [
            'Sweeps and float readings that failed since the last success.',
            '自上次成功以来失败的扫价与余额读取。',
          ],
          unit: 'short',
          width: 8,
          queries: [{ expr: 'max by (type) (kamigate_sync_failures{$S})', legend: '{{type}}' }],
        },
      ],
    },
    {
      title: ['More', '更多'],
      is_collapsed: true,
      panels: [
        {
          type: 'bargauge',
          title: ['Since the last good answer', '距上次正常应答'],
          about: ['By operation.', '按操作划分。'],
          unit: 's',
          width: 8,
          queries: [
            {
              expr: 'time() - max by (operation) (kamigate_supplier_last_success_timestamp_seconds{$S} > 0)',
              legend: '{{operation}}',
              is_instant: true,
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Replies nobody knows', '未知应答'],
          about: [
            'Status words and error codes that no table of the adapter holds, per hour.',
            '适配器表中没有的状态词与错误码（每小时）。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (supplier) (increase(kamigate_unmapped_replies_total{$S}[1h]))',
              legend: '{{supplier}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Contradictions and late codes', '矛盾与迟到卡密'],
          about: [
            'News that contradicts a settled attempt, and codes that came late and became stock, per hour.',
            '与已定结果矛盾的消息、迟到转为库存的卡密（每小时）。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            { expr: 'sum by (type) (increase(kamigate_contradictions_total{$S}[1h]))', legend: '{{type}}' },
            { expr: 'sum(increase(kamigate_late_codes_total{$S}[1h]))', legend: 'late codes' },
          ],
        },
      ],
    },
  ],
};
