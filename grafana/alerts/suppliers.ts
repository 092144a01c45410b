// Alerts on supplier accounts and their floats.
import { type AlertSpec, alert } from './spec.js';

const ATTEMPTS = 'kamigate_supplier_attempts_total{$J, supplier="alpha", kind="code"';
const CALLS = 'kamigate_supplier_requests_total{$J, supplier="alpha", operation="place"';

export const SUPPLIER_ALERTS: readonly AlertSpec[] = [
  alert(
    'KamigateSupplierCircuitOpen',
    {
      severity: 'warning',
      for_minutes: 10,
      expr: '(max by (job, supplier) (kamigate_supplier_circuit_state{$J}) > 0) < 3',
    },
    {
      summary: 'A supplier’s circuit breaker stays open.',
      description: '{{ $labels.supplier }} takes no purchases: it has failed too often.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'open for fifteen minutes, with a probe now and then',
        series: { 'kamigate_supplier_circuit_state{$J, supplier="alpha"}': '2x5 1 2x5 1 2x20' },
        at: 15,
        fires: [{ labels: { supplier: 'alpha' } }],
      },
      quiet: {
        title: 'open for five minutes, then probed and closed',
        series: { 'kamigate_supplier_circuit_state{$J, supplier="alpha"}': '2x5 1 0x30' },
        at: 15,
      },
    },
  ),
  alert(
    'KamigateSupplierPaused',
    { severity: 'warning', for_minutes: 30, expr: 'max by (job, supplier) (kamigate_supplier_circuit_state{$J}) == 3' },
    {
      summary: 'A supplier account has been paused for half an hour.',
      description:
        '{{ $labels.supplier }} is paused, by a person or because it refused for want of float or of credentials.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'paused for forty minutes',
        series: { 'kamigate_supplier_circuit_state{$J, supplier="alpha"}': '3x60' },
        at: 40,
        fires: [{ labels: { supplier: 'alpha' } }],
      },
      quiet: {
        title: 'open, which is another matter',
        series: { 'kamigate_supplier_circuit_state{$J, supplier="alpha"}': '2x60' },
        at: 40,
      },
    },
  ),
  alert(
    'KamigateSupplierErrorRateHigh',
    {
      severity: 'warning',
      for_minutes: 10,
      expr: 'supplier:kamigate_supplier_attempts_faulty_per_attempts:ratio_rate30m > 0.2 and on (job, supplier) sum by (job, supplier) (increase(kamigate_supplier_attempts_total{$J}[30m])) >= 20',
    },
    {
      summary: 'A supplier fails more than a fifth of what it is asked.',
      description:
        '{{ $value | humanizePercentage }} of the attempts at {{ $labels.supplier }} in the last half hour failed or are in doubt.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'half of two a minute fail',
        series: {
          [`${ATTEMPTS}, result="delivered"}`]: '0+1x60',
          [`${ATTEMPTS}, result="failed_supplier"}`]: '0+1x60',
        },
        at: 45,
        fires: [{ labels: { supplier: 'alpha' }, value: '50%' }],
      },
      quiet: {
        title: 'half of ten an hour: too few to tell',
        series: {
          [`${ATTEMPTS}, result="delivered"}`]: '0x30 3x30',
          [`${ATTEMPTS}, result="failed_supplier"}`]: '0x30 3x30',
        },
        at: 45,
      },
    },
  ),
  {
    name: 'KamigateSupplierBalanceRunwayShort',
    summary: 'A float will be used up within hours.',
    description:
      'The float at {{ $labels.supplier }} lasts {{ $value | humanizeDuration }} at the spend of the last six hours.',
    dashboard: 'kamigate-supplier-detail',
    rules: [
      {
        expr: 'supplier:kamigate_supplier_balance_runway_seconds:min < 6 * 3600',
        for_minutes: 15,
        severity: 'warning',
      },
      {
        expr: 'supplier:kamigate_supplier_balance_runway_seconds:min < 2 * 3600',
        for_minutes: 5,
        severity: 'critical',
      },
    ],
    cases: [
      {
        title: 'ten a minute from 3000',
        series: {
          'kamigate_supplier_balance_amount{$J, supplier="alpha"}': '3000x480',
          'kamigate_purchase_cost_amount_total{$J, supplier="alpha", kind="code"}': '0+10x480',
        },
        at: 420,
        fires: [{ labels: { supplier: 'alpha', severity: 'warning' }, value: '5h 0m 0s' }],
      },
      {
        title: 'ten a minute from 600',
        series: {
          'kamigate_supplier_balance_amount{$J, supplier="alpha"}': '600x480',
          'kamigate_purchase_cost_amount_total{$J, supplier="alpha", kind="code"}': '0+10x480',
        },
        at: 420,
        fires: [
          { labels: { supplier: 'alpha', severity: 'warning' }, value: '1h 0m 0s' },
          { labels: { supplier: 'alpha', severity: 'critical' }, value: '1h 0m 0s' },
        ],
      },
      {
        title: 'nothing is bought from 600',
        series: {
          'kamigate_supplier_balance_amount{$J, supplier="alpha"}': '600x480',
          'kamigate_purchase_cost_amount_total{$J, supplier="alpha", kind="code"}': '500x480',
        },
        at: 420,
      },
    ],
  },
  alert(
    'KamigateSupplierBalanceExhausted',
    {
      severity: 'critical',
      for_minutes: 0,
      expr: 'sum by (job, supplier) (increase(kamigate_supplier_requests_total{$J, outcome="float_low"}[10m])) > 0',
    },
    {
      summary: 'A supplier refuses purchases because our float is used up.',
      description: '{{ $labels.supplier }} refused for want of float and is paused. Top up, then resume it.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'one refusal',
        series: { [`${CALLS}, outcome="float_low"}`]: '0x5 1x30' },
        at: 8,
        fires: [{ labels: { supplier: 'alpha' } }],
      },
      quiet: {
        title: 'other refusals',
        series: { [`${CALLS}, outcome="float_low"}`]: '0x30', [`${CALLS}, outcome="refused"}`]: '0+5x30' },
        at: 8,
      },
    },
  ),
  alert(
    'KamigateSupplierAuthFailing',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job, supplier) (increase(kamigate_supplier_requests_total{$J, outcome="credentials"}[15m])) > 0',
    },
    {
      summary: 'A supplier does not take our credentials.',
      description:
        '{{ $labels.supplier }} refused our credentials: a key was changed, an address list, or a clock is off.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'one refusal, after which the account is paused',
        series: { [`${CALLS}, outcome="credentials"}`]: '0x5 1x30' },
        at: 10,
        fires: [{ labels: { supplier: 'alpha' } }],
      },
      quiet: {
        title: 'timeouts',
        series: { [`${CALLS}, outcome="credentials"}`]: '0x30', [`${CALLS}, outcome="deadline"}`]: '0+1x30' },
        at: 10,
      },
    },
  ),
  alert(
    'KamigateCallbackSignatureFailures',
    {
      severity: 'warning',
      for_minutes: 5,
      expr: 'sum by (job, supplier) (increase(kamigate_supplier_callbacks_total{$J, result="signature"}[15m])) > 5',
    },
    {
      summary: 'Callbacks come with wrong signatures.',
      description:
        '{{ $value | humanize }} callbacks in the name of {{ $labels.supplier }} were rejected: a changed key, or a forger.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'one a minute',
        series: { 'kamigate_supplier_callbacks_total{$J, supplier="alpha", result="signature"}': '0+1x40' },
        at: 30,
        fires: [{ labels: { supplier: 'alpha' }, value: '15' }],
      },
      quiet: {
        title: 'good ones only',
        series: {
          'kamigate_supplier_callbacks_total{$J, supplier="alpha", result="signature"}': '0x40',
          'kamigate_supplier_callbacks_total{$J, supplier="alpha", result="settled"}': '0+9x40',
        },
        at: 30,
      },
    },
  ),
  alert(
    'KamigateSupplierClockSkew',
    {
      severity: 'warning',
      for_minutes: 15,
      expr: 'max by (job, supplier) (abs(kamigate_supplier_clock_skew_seconds{$J})) > 30',
    },
    {
      summary: 'Our clock and a supplier’s differ.',
      description: '{{ $labels.supplier }} is {{ $value | humanizeDuration }} away: signatures will be refused soon.',
      dashboard: 'kamigate-suppliers',
    },
    {
      fires: {
        title: 'it is 45 s behind',
        series: { 'kamigate_supplier_clock_skew_seconds{$J, supplier="alpha"}': '-45x30' },
        at: 20,
        fires: [{ labels: { supplier: 'alpha' }, value: '45s' }],
      },
      quiet: {
        title: 'it is 3 s ahead',
        series: { 'kamigate_supplier_clock_skew_seconds{$J, supplier="alpha"}': '3x30' },
        at: 20,
      },
    },
  ),
  alert(
    'KamigateSupplierRepliesUnmapped',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job, supplier) (increase(kamigate_unmapped_replies_total{$J}[1h])) > 0',
    },
    {
      summary: 'A supplier says words that its adapter does not know.',
      description:
        '{{ $labels.supplier }} sent {{ $value | humanize }} replies nobody knows; each leaves a purchase in doubt.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'one reply',
        series: { 'kamigate_unmapped_replies_total{$J, supplier="alpha"}': '0x10 1x60' },
        at: 65,
        fires: [{ labels: { supplier: 'alpha' }, value: '1' }],
      },
      quiet: { title: 'none', series: { 'kamigate_unmapped_replies_total{$J, supplier="alpha"}': '7x70' }, at: 65 },
    },
  ),
  alert(
    'KamigateSupplierContradicts',
    {
      severity: 'warning',
      for_minutes: 0,
      expr: 'sum by (job, supplier, type) (increase(kamigate_contradictions_total{$J}[1h])) > 0',
    },
    {
      summary: 'A supplier took back what it had said.',
      description:
        '{{ $labels.supplier }}: {{ $labels.type }} of a settled purchase. Money may be owed one way or the other.',
      dashboard: 'kamigate-supplier-detail',
    },
    {
      fires: {
        title: 'one reversal',
        series: { 'kamigate_contradictions_total{$J, supplier="alpha", type="reversal"}': '0x10 1x60' },
        at: 30,
        fires: [{ labels: { supplier: 'alpha', type: 'reversal' } }],
      },
      quiet: {
        title: 'none since',
        series: { 'kamigate_contradictions_total{$J, supplier="alpha", type="reversal"}': '2x70' },
        at: 30,
      },
    },
  ),
];
