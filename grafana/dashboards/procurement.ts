// Money over weeks: cost, sales, margin, changes of cost. A trend; the ledger in the database is the record.
import type { DashboardSpec, PanelSpec, Steps } from '../spec.js';

function figure(
  title: PanelSpec['title'],
  about: PanelSpec['about'],
  unit: PanelSpec['unit'],
  expr: string,
  more: Partial<PanelSpec> = {},
): PanelSpec {
  return { type: 'stat', title, about, unit, width: 4, queries: [{ expr, is_instant: true }], ...more };
}
const FEW_IS_GOOD: Steps = [
  [null, 'green'],
  [1, 'orange'],
];

export const procurement: DashboardSpec = {
  uid: 'kamigate-procurement',
  title: ['Kamigate / Procurement', 'Kamigate / 采购'],
  about: [
    'Cost, sales and margin as a trend; the exact figures are in the reports.',
    '成本、销售与毛利的趋势；准确数字见报表。',
  ],
  range: 'now-30d',
  refresh: '5m',
  variables: ['supplier', 'storefront'],
  panels: [
    figure(
      ['Cost (base currency)', '采购成本（基准币种）'],
      ['What was bought in the range above.', '所选时间内的采购额。'],
      'none',
      'sum(increase(kamigate_purchase_cost_amount_total{$S}[$__range]))',
    ),
    figure(
      ['Sales (base currency)', '销售额（基准币种）'],
      ['Price of delivered units.', '已交付单位的售价合计。'],
      'none',
      'sum(increase(kamigate_sales_amount_total{$M, storefront=~"$storefront"}[$__range]))',
    ),
    figure(
      ['Gross margin', '毛利率'],
      [
        'Of sales, over all suppliers and storefronts. Codes bought for stock count when they are bought.',
        '全部供货与下游的毛利率；备货卡密在采购时计成本。',
      ],
      'percentunit',
      '1 - sum(increase(kamigate_purchase_cost_amount_total{$M}[$__range])) / (sum(increase(kamigate_sales_amount_total{$M}[$__range])) > 0)',
    ),
    figure(
      ['Approvals waiting', '待审批'],
      ['Changes of cost that wait for a person.', '等待人工审批的成本变动。'],
      'short',
      'max(kamigate_cost_approvals_pending{$M})',
      { steps: FEW_IS_GOOD },
    ),
    figure(
      ['Oldest approval', '最久待审批'],
      ['For how long the oldest waits; no data means that none does.', '最久的等待时间；无数据表示没有。'],
      's',
      'time() - min(kamigate_cost_approval_oldest_timestamp_seconds{$M} > 0)',
      { may_be_empty: 'no change of cost waits for a person' },
    ),
    figure(
      ['SKUs sold at a loss', '亏本 SKU'],
      ['Their cheapest known cost is above their price.', '最低成本高于售价的 SKU。'],
      'short',
      'max(kamigate_margin_negative_skus{$M})',
      { steps: FEW_IS_GOOD },
    ),
  ],
  rows: [
    {
      title: ['Money', '资金'],
      panels: [
        {
          type: 'barchart',
          title: ['Cost per day by supplier (base currency)', '每日采购额（按供货账户，基准币种）'],
          about: ['The eight largest.', '最大的八个。'],
          unit: 'none',
          width: 12,
          interval: '1d',
          queries: [
            {
              expr: 'topk(8, sum by (supplier) (increase(kamigate_purchase_cost_amount_total{$S}[1d])))',
              legend: '{{supplier}}',
            },
          ],
        },
        {
          type: 'barchart',
          title: ['Sales per day by storefront (base currency)', '每日销售额（按下游，基准币种）'],
          about: ['Price of delivered units.', '已交付单位的售价合计。'],
          unit: 'none',
          width: 12,
          interval: '1d',
          queries: [
            {
              expr: 'sum by (storefront) (increase(kamigate_sales_amount_total{$M, storefront=~"$storefront"}[1d]))',
              legend: '{{storefront}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Stock at cost (base currency)', '库存成本（基准币种）'],
          about: ['Of available codes, and of those that expire within 30 days.', '可用卡密成本，及 30 天内到期部分。'],
          unit: 'none',
          width: 8,
          queries: [
            { expr: 'max(kamigate_vault_inventory_cost_amount{$M})', legend: 'all' },
            { expr: 'max(kamigate_vault_inventory_at_risk_cost_amount{$M})', legend: 'expires within 30 d' },
          ],
        },
        {
          type: 'timeseries',
          title: ['Changes of cost per day', '每日成本变动'],
          about: ['Up and down.', '上涨与下跌。'],
          unit: 'short',
          width: 8,
          queries: [
            { expr: 'sum by (direction) (increase(kamigate_cost_changes_total{$S}[1d]))', legend: '{{direction}}' },
          ],
        },
        {
          type: 'timeseries',
          title: ['Amounts without a rate', '缺少汇率的金额'],
          about: [
            'Left out of the money figures because their currency has no rate of today, per day.',
            '因缺少汇率未计入的笔数（每日）。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            { expr: 'sum by (type) (increase(kamigate_unconverted_amounts_total{$M}[1d]))', legend: '{{type}}' },
          ],
        },
      ],
    },
    {
      title: ['Sources', '货源'],
      panels: [
        {
          type: 'piechart',
          title: ['SKUs by live sources', 'SKU（按可用货源数）'],
          about: [
            'The best single figure of resilience: how many SKUs hang on one supplier.',
            '最能反映韧性的数字：多少 SKU 只有单一货源。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            { expr: 'max by (sources) (kamigate_skus_by_live_sources{$M})', legend: '{{sources}}', is_instant: true },
          ],
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
          title: ['Products nobody sells yet', '未映射的上游商品'],
          about: ['Listed by suppliers and no source of any SKU.', '上游在售但没有对应 SKU 的商品。'],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'topk(8, max by (supplier) (kamigate_catalog_unmapped_products{$S}))',
              legend: '{{supplier}}',
              is_instant: true,
            },
          ],
        },
      ],
    },
  ],
};
