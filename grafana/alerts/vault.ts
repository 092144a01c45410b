// Alerts on the vault: its promises, its keys, its stock.
import { type AlertSpec, alert } from './spec.js';

export const VAULT_ALERTS: readonly AlertSpec[] = [
  alert(
    'KamigateVaultInvariantViolation',
    {
      severity: 'critical',
      for_minutes: 0,
      expr: 'sum by (job, check) (increase(kamigate_vault_invariant_violations_total{$J}[1h])) > 0',
    },
    {
      summary: 'The vault broke a promise: a code may be lost or issued twice.',
      description: 'The check {{ $labels.check }} found faults. Freeze what is concerned; delete nothing.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'one fault',
        series: { 'kamigate_vault_invariant_violations_total{$J, check="double_issue"}': '0x5 1x60' },
        at: 10,
        fires: [{ labels: { check: 'double_issue' } }],
      },
      quiet: {
        title: 'none',
        series: { 'kamigate_vault_invariant_violations_total{$J, check="double_issue"}': '0x60' },
        at: 10,
      },
    },
  ),
  {
    name: 'KamigateVaultDecryptFailing',
    summary: 'Codes in the vault cannot be opened.',
    description:
      'A wrong key is loaded, or rows were altered. Compare the key before anything else; do not import anew.',
    dashboard: 'kamigate-vault',
    rules: [
      {
        expr: 'sum by (job) (increase(kamigate_vault_decrypts_total{$J, result="failed"}[15m])) > 0',
        for_minutes: 0,
        severity: 'critical',
        labels: { seen: 'opening' },
      },
      {
        expr: 'max by (job) (kamigate_vault_untrusted_codes{$J}) > 0',
        for_minutes: 0,
        severity: 'critical',
        labels: { seen: 'quarantine' },
      },
    ],
    cases: [
      {
        title: 'one code does not open',
        series: { 'kamigate_vault_decrypts_total{$J, purpose="issue", result="failed"}': '0x5 1x30' },
        at: 8,
        fires: [{ labels: { seen: 'opening' } }],
      },
      {
        title: 'codes were taken out of stock for it',
        series: { 'kamigate_vault_untrusted_codes{$J}': '0x5 3x30' },
        at: 8,
        fires: [{ labels: { seen: 'quarantine' } }],
      },
      {
        title: 'all open',
        series: {
          'kamigate_vault_decrypts_total{$J, purpose="issue", result="failed"}': '0x30',
          'kamigate_vault_decrypts_total{$J, purpose="issue", result="ok"}': '0+50x30',
          'kamigate_vault_untrusted_codes{$J}': '0x30',
        },
        at: 8,
      },
    ],
  },
  alert(
    'KamigateVaultBraked',
    {
      severity: 'critical',
      for_minutes: 0,
      expr: 'sum by (job) (increase(kamigate_vault_brakes_total{$J}[15m])) > 0',
    },
    {
      summary: 'Codes left the vault far too fast, and their SKU is frozen.',
      description: 'It is a theft or an unusual sale: see who ordered before anything is lifted.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'one SKU was frozen',
        series: { 'kamigate_vault_brakes_total{$J}': '0x5 1x60' },
        at: 8,
        fires: [{ labels: {} }],
      },
      quiet: { title: 'nothing runs away', series: { 'kamigate_vault_brakes_total{$J}': '1x60' }, at: 20 },
    },
  ),
  alert(
    'KamigateVaultRevealSpike',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job) (increase(kamigate_vault_decrypts_total{$J, purpose="person"}[1h])) > 50',
    },
    {
      summary: 'People look at unusually many codes.',
      description: '{{ $value | humanize }} codes were shown to people within an hour.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'two a minute by people',
        series: { 'kamigate_vault_decrypts_total{$J, purpose="person", result="ok"}': '0+2x90' },
        at: 70,
        fires: [{ value: '120' }],
      },
      quiet: {
        title: 'a thousand a minute by storefronts, which is their right',
        series: {
          'kamigate_vault_decrypts_total{$J, purpose="person", result="ok"}': '0x90',
          'kamigate_vault_decrypts_total{$J, purpose="storefront", result="ok"}': '0+1000x90',
        },
        at: 70,
      },
    },
  ),
  alert(
    'KamigateVaultStockOut',
    { severity: 'warning', for_minutes: 10, expr: 'max by (job) (kamigate_vault_skus{$J, stock_status="out"}) > 0' },
    {
      summary: 'SKUs have run out in the vault.',
      description:
        '{{ $value | humanize }} SKUs had codes and have none; their orders go to suppliers, if they have any.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'one is out',
        series: { 'kamigate_vault_skus{$J, stock_status="out"}': '1x30' },
        at: 15,
        fires: [{ value: '1' }],
      },
      quiet: {
        title: 'one never had any',
        series: {
          'kamigate_vault_skus{$J, stock_status="out"}': '0x30',
          'kamigate_vault_skus{$J, stock_status="untracked"}': '1x30',
        },
        at: 15,
      },
    },
  ),
  alert(
    'KamigateVaultLowStock',
    { severity: 'warning', for_minutes: 30, expr: 'max by (job) (kamigate_vault_skus{$J, stock_status="low"}) > 0' },
    {
      summary: 'SKUs are low in the vault.',
      description: '{{ $value | humanize }} SKUs have fewer codes than the limit that is set.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'two are low',
        series: { 'kamigate_vault_skus{$J, stock_status="low"}': '2x60' },
        at: 40,
        fires: [{ value: '2' }],
      },
      quiet: {
        title: 'refilled after twenty minutes',
        series: { 'kamigate_vault_skus{$J, stock_status="low"}': '2x20 0x40' },
        at: 40,
      },
    },
  ),
  alert(
    'KamigateVaultCodesExpiring',
    {
      severity: 'warning',
      for_minutes: 60,
      expr: 'max by (job) (kamigate_vault_codes_expiring{$J, window="lt_7d"}) > 0',
    },
    {
      summary: 'Codes expire within a week.',
      description: '{{ $value | humanize }} available codes expire within seven days.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'forty',
        series: { 'kamigate_vault_codes_expiring{$J, window="lt_7d"}': '40x90' },
        at: 75,
        fires: [{ value: '40' }],
      },
      quiet: {
        title: 'only later ones',
        series: {
          'kamigate_vault_codes_expiring{$J, window="lt_7d"}': '0x90',
          'kamigate_vault_codes_expiring{$J, window="7d_30d"}': '40x90',
        },
        at: 75,
      },
    },
  ),
  alert(
    'KamigateVaultRewrapStalled',
    {
      severity: 'warning',
      for_minutes: 60,
      expr: 'max by (job) (kamigate_vault_rewrap_pending_keys{$J}) > 0 and max by (job) (delta(kamigate_vault_rewrap_pending_keys{$J}[6h])) >= 0',
    },
    {
      summary: 'The rotation of the master key does not go on.',
      description:
        '{{ $value | humanize }} batch keys are still wrapped by an older master key, and none was rewrapped for six hours.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'the same eighty for eight hours',
        series: { 'kamigate_vault_rewrap_pending_keys{$J}': '80x500' },
        at: 480,
        fires: [{ value: '80' }],
      },
      quiet: {
        title: 'fewer by the minute',
        series: { 'kamigate_vault_rewrap_pending_keys{$J}': '900-1x500' },
        at: 480,
      },
    },
  ),
  alert(
    'KamigateVaultSealed',
    { severity: 'critical', for_minutes: 1, expr: 'max by (job) (kamigate_vault_sealed{$J}) == 1' },
    {
      summary: 'The vault is sealed: nothing can be issued or revealed.',
      description: 'Somebody sealed it, or no key is loaded.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: { title: 'sealed', series: { 'kamigate_vault_sealed{$J}': '0x5 1x20' }, at: 10, fires: [{}] },
      quiet: { title: 'open', series: { 'kamigate_vault_sealed{$J}': '0x30' }, at: 10 },
    },
  ),
  alert(
    'KamigateVaultLedgerUnchained',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'time() - min by (job) (kamigate_vault_unchained_oldest_timestamp_seconds{$J} > 0) > 60',
    },
    {
      summary: 'Records of the ledger do not enter its chain.',
      description:
        'The oldest waits for {{ $value | humanizeDuration }}; what is not in the chain can be altered unseen.',
      dashboard: 'kamigate-vault',
    },
    {
      fires: {
        title: 'since minute 1',
        series: { 'kamigate_vault_unchained_oldest_timestamp_seconds{$J}': '60x30' },
        at: 11,
        fires: [{ value: '10m 0s' }],
      },
      quiet: {
        title: 'a few seconds old each time',
        series: { 'kamigate_vault_unchained_oldest_timestamp_seconds{$J}': '0+60x30' },
        at: 11,
      },
    },
  ),
];
