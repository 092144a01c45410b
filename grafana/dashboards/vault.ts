// Stock, its worth, who opens codes, and whether the vault keeps its promises.
import type { DashboardSpec, PanelSpec, Steps } from '../spec.js';

const ZERO_IS_GOOD: Steps = [
  [null, 'green'],
  [1, 'red'],
];
const FEW_IS_GOOD: Steps = [
  [null, 'green'],
  [1, 'orange'],
];

function figure(
  title: PanelSpec['title'],
  about: PanelSpec['about'],
  unit: PanelSpec['unit'],
  expr: string,
  steps?: Steps,
): PanelSpec {
  return {
    type: 'stat',
    title,
    about,
    unit,
    width: 3,
    queries: [{ expr, is_instant: true }],
    ...(steps ? { steps } : {}),
  };
}

export const vault: DashboardSpec = {
  uid: 'kamigate-vault',
  title: ['Kamigate / Vault and stock', 'Kamigate / 卡密库'],
  about: [
    'What is in the vault, what will run out or expire, and who opens codes.',
    '卡密库存、缺货与到期、明文访问。',
  ],
  range: 'now-1h',
  refresh: '30s',
  variables: ['supplier'],
  panels: [
    figure(
      ['Available codes', '可用卡密'],
      ['Codes that could be issued now.', '当前可发放的卡密。'],
      'short',
      'max(kamigate_vault_codes{$M, state="available"})',
    ),
    figure(
      ['SKUs out', '缺货 SKU'],
      ['Stocked once, and empty now.', '曾有库存、现已为零的 SKU。'],
      'short',
      'max(kamigate_vault_skus{$M, stock_status="out"})',
      ZERO_IS_GOOD,
    ),
    figure(
      ['SKUs low', '低库存 SKU'],
      ['Fewer codes than the limit that is set.', '低于设定下限的 SKU。'],
      'short',
      'max(kamigate_vault_skus{$M, stock_status="low"})',
      FEW_IS_GOOD,
    ),
    figure(
      ['Broken promises, 30 d', '违反约束（30 天）'],
      ['Found by the verification of the vault. Any is an emergency.', '库校验发现的问题，出现即为紧急事故。'],
      'short',
      'sum(increase(kamigate_vault_invariant_violations_total{$M}[30d]))',
      ZERO_IS_GOOD,
    ),
    figure(
      ['Untrusted codes', '不可信卡密'],
      ['Taken out of stock because they could not be opened.', '因无法解密而移出库存。'],
      'short',
      'max(kamigate_vault_untrusted_codes{$M})',
      ZERO_IS_GOOD,
    ),
    figure(
      ['Sealed', '封库'],
      ['1: nothing can be issued or revealed.', '1 表示无法发放与查看。'],
      'short',
      'max(kamigate_vault_sealed{$M})',
      ZERO_IS_GOOD,
    ),
    figure(
      ['Stock at cost (base currency)', '库存成本（基准币种）'],
      ['What the available codes cost.', '可用卡密的采购成本。'],
      'none',
      'max(kamigate_vault_inventory_cost_amount{$M})',
    ),
    figure(
      ['At risk, 30 d (base currency)', '30 天内到期成本（基准币种）'],
      ['Of that, what expires within 30 days.', '其中 30 天内到期的部分。'],
      'none',
      'max(kamigate_vault_inventory_at_risk_cost_amount{$M})',
    ),
  ],
  rows: [
    {
      title: ['Stock', '库存'],
      panels: [
        {
          type: 'timeseries',
          title: ['Codes by state', '卡密（按状态）'],
          about: ['Expired ones are available by state, but never issued.', '已过期的不会再发放。'],
          unit: 'short',
          width: 12,
          queries: [{ expr: 'max by (state) (kamigate_vault_codes{$M})', legend: '{{state}}' }],
        },
        {
          type: 'timeseries',
          title: ['SKUs by stock', 'SKU（按库存状态）'],
          about: ['Untracked ones were never stocked.', 'untracked 表示从未备货。'],
          unit: 'short',
          width: 12,
          queries: [{ expr: 'max by (stock_status) (kamigate_vault_skus{$M})', legend: '{{stock_status}}' }],
        },
        {
          type: 'bargauge',
          title: ['Codes that expire', '即将到期'],
          about: ['Within 7 days, and within 7 to 30.', '7 天内，以及 7 到 30 天内。'],
          unit: 'short',
          width: 8,
          queries: [
            { expr: 'max by (window) (kamigate_vault_codes_expiring{$M})', legend: '{{window}}', is_instant: true },
          ],
        },
        {
          type: 'table',
          title: ['Lowest SKUs', '库存最低的 SKU'],
          about: ['Which SKUs are watched is a setting: sku_gauges.', '监视范围由 sku_gauges 设置。'],
          unit: 'short',
          width: 8,
          queries: [{ expr: 'sort(max by (sku) (kamigate_vault_sku_available_codes{$M}))', is_instant: true }],
          may_be_empty: 'no SKU is low',
        },
        {
          type: 'timeseries',
          title: ['Deposits', '入库'],
          about: [
            'Codes deposited per hour, new ones and duplicates, by account.',
            '每小时入库的卡密（新/重复），按来源账户。',
          ],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (supplier, result) (increase(kamigate_vault_codes_imported_total{$S}[1h])) > 0',
              legend: '{{supplier}} {{result}}',
            },
          ],
        },
      ],
    },
    {
      title: ['Issue and access', '发放与访问'],
      is_collapsed: true,
      panels: [
        {
          type: 'timeseries',
          title: ['Issue time p99', '发放耗时 p99'],
          about: ['Time to claim and open the codes of one issue.', '一次发放的认领与解密耗时。'],
          unit: 's',
          width: 8,
          queries: [
            {
              expr: 'histogram_quantile(0.99, sum by (le) (rate(kamigate_vault_issue_duration_seconds_bucket{$M, result="ok"}[$__rate_interval])))',
              legend: 'p99',
            },
          ],
        },
        {
          type: 'timeseries',
          title: ['Issues', '发放'],
          about: [
            'Orders the vault was asked to issue for; short means too few codes.',
            '请求发放的订单；short 表示库存不足。',
          ],
          unit: 'ops',
          width: 8,
          queries: [
            { expr: 'sum by (result) (rate(kamigate_vault_issues_total{$M}[$__rate_interval]))', legend: '{{result}}' },
          ],
        },
        {
          type: 'timeseries',
          title: ['Codes opened', '解密次数'],
          about: ['Per hour, by what for. Persons should be few.', '每小时解密次数，按用途；人工查看应很少。'],
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: 'sum by (purpose, result) (increase(kamigate_vault_decrypts_total{$M}[1h]))',
              legend: '{{purpose}} {{result}}',
            },
          ],
        },
      ],
    },
    {
      title: ['Keys and ledger', '密钥与账本'],
      is_collapsed: true,
      panels: [
        figure(
          ['Age of the master key', '主密钥使用时长'],
          ['Since its version was first seen.', '自该版本启用以来。'],
          's',
          'time() - max(kamigate_vault_active_key_created_timestamp_seconds{$M})',
        ),
        figure(
          ['Keys to rewrap', '待换封密钥'],
          ['Batch keys still wrapped by an older master key.', '仍由旧主密钥封装的批次密钥。'],
          'short',
          'max(kamigate_vault_rewrap_pending_keys{$M})',
        ),
        {
          ...figure(
            ['Oldest unchained record', '最久未入链记录'],
            [
              'Records of the ledger enter its chain within a second; no data means that all are in.',
              '账本记录应在一秒内入链；无数据表示全部入链。',
            ],
            's',
            'time() - max(kamigate_vault_unchained_oldest_timestamp_seconds{$M} > 0)',
          ),
          may_be_empty: 'every record is in the chain',
        },
        figure(
          ['Freezes', '冻结'],
          ['Freezes in force.', '生效中的冻结。'],
          'short',
          'max(kamigate_vault_freezes{$M})',
          FEW_IS_GOOD,
        ),
        figure(
          ['Waiting for a second person', '待第二人批准'],
          ['Reveals and exports that need approval.', '等待批准的查看与导出。'],
          'short',
          'max(kamigate_vault_approvals_waiting{$M})',
        ),
      ],
    },
  ],
};
