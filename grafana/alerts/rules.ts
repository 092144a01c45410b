// Rules and their tests as Prometheus and promtool read them, made of the alerts' data.
import { stringify } from 'yaml';
import { ORDER_ALERTS } from './orders.js';
import { PLATFORM_ALERTS } from './platform.js';
import { type AlertSpec, type CaseSpec, JOB } from './spec.js';
import { SUPPLIER_ALERTS } from './suppliers.js';
import { VAULT_ALERTS } from './vault.js';

export const ALERTS: readonly AlertSpec[] = [...ORDER_ALERTS, ...SUPPLIER_ALERTS, ...VAULT_ALERTS, ...PLATFORM_ALERTS];

const SOURCE = 'https://github.com/kamigate/kamigate/blob/main/grafana';
const HEAD = '# Made by `npm run dashboards` from grafana/alerts/. Do not edit.\n';

export interface RecordingRule {
  record: string;
  expr: string;
}

const HTTP_WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const;
const SUPPLIER_WINDOWS = ['5m', '30m', '1h', '6h'] as const;

/** Alerts alone use them: a recorded series has no `instance`, so dashboards read the metrics themselves. */
export const RECORDS: readonly RecordingRule[] = [
  ...HTTP_WINDOWS.map((window) => ({
    record: `job:kamigate_http_requests_failed_per_requests:ratio_rate${window}`,
    expr: ratio('job', `kamigate_http_requests_total{$J, route="/v1/orders", method="POST"`, 'code=~"5.."', '', window),
  })),
  ...HTTP_WINDOWS.map((window) => ({
    record: `job:kamigate_orders_finished_failed_per_finished:ratio_rate${window}`,
    expr: ratio(
      'job',
      'kamigate_orders_finished_total{$J',
      'outcome=~"failed_upstream|failed_ours|partial"',
      'outcome!~"failed_customer|cancelled"',
      window,
    ),
  })),
  ...SUPPLIER_WINDOWS.map((window) => ({
    record: `supplier:kamigate_supplier_attempts_faulty_per_attempts:ratio_rate${window}`,
    expr: ratio(
      'job, supplier',
      'kamigate_supplier_attempts_total{$J',
      'result=~"failed_supplier|unknown"',
      'result!~"failed_customer|failed_ours"',
      window,
    ),
  })),
  {
    record: 'supplier:kamigate_purchase_cost_amount:rate6h',
    expr: 'sum by (job, supplier) (rate(kamigate_purchase_cost_amount_total{$J}[6h]))',
  },
  {
    record: 'supplier:kamigate_supplier_balance_runway_seconds:min',
    expr: 'max by (job, supplier) (kamigate_supplier_balance_amount{$J}) / (supplier:kamigate_purchase_cost_amount:rate6h > 0)',
  },
];

function ratio(by: string, metric: string, part: string, whole: string, window: string): string {
  const of = (more: string): string => `sum by (${by}) (rate(${metric}${more && `, ${more}`}}[${window}]))`;
  return `${of(part)} / (${of(whole)} > 0)`;
}

const withJob = (text: string): string => text.replaceAll('$J', JOB);

/** The rules file. `seconds`: what a `for` of so many minutes becomes; minutes where left out. */
export function rulesFile(duration: (minutes: number) => string = (minutes) => `${minutes}m`): string {
  const groups = [
    { name: 'kamigate.records', rules: RECORDS.map(({ record, expr }) => ({ record, expr: withJob(expr) })) },
    { name: 'kamigate.alerts', rules: ALERTS.flatMap((alert) => alertRules(alert, duration)) },
  ];
  return HEAD + stringify({ groups }, { lineWidth: 0 });
}

function alertRules(spec: AlertSpec, duration: (minutes: number) => string): object[] {
  return spec.rules.map(({ expr, for_minutes, severity, labels }) => ({
    alert: spec.name,
    expr: withJob(expr),
    ...(for_minutes > 0 ? { for: duration(for_minutes) } : {}),
    labels: { severity, ...labels },
    annotations: annotationsOf(spec),
  }));
}

function annotationsOf({ name, summary, description, dashboard }: AlertSpec) {
  return {
    summary,
    description,
    runbook_url: `${SOURCE}/runbooks/${name}.md`,
    dashboard_url: `/d/${dashboard}`,
  };
}

/** The tests file: every case of every alert. */
export function testsFile(): string {
  const tests = ALERTS.flatMap((spec) =>
    spec.cases.map((each) => ({
      name: `${spec.name}: ${each.title}`,
      interval: '1m',
      input_series: Object.entries(each.series).map(([series, values]) => ({ series: withJob(series), values })),
      alert_rule_test: [{ alertname: spec.name, eval_time: `${each.at}m`, exp_alerts: expected(spec, each) }],
    })),
  );
  return (
    HEAD + stringify({ rule_files: ['../rules/kamigate.yaml'], evaluation_interval: '1m', tests }, { lineWidth: 0 })
  );
}

function expected(spec: AlertSpec, { fires = [] }: CaseSpec): object[] {
  return fires.map(({ labels = {}, value = '' }) => {
    const { job = 'kamigate', ...others } = labels;
    const severity = others.severity ?? severityOf(spec, others);
    const exp_labels = { ...(job ? { job } : {}), severity, ...others };
    const annotations = annotationsOf(spec);
    const description = annotations.description
      .replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => (exp_labels as Record<string, string>)[name] ?? '')
      .replace(/\{\{ \$value \| \w+ \}\}/g, value);
    return { exp_labels, exp_annotations: { ...annotations, description } };
  });
}

/** The severity of the rule that has these labels. */
function severityOf({ rules }: AlertSpec, labels: Readonly<Record<string, string>>): string {
  const rule = rules.find((each) => Object.entries(each.labels ?? {}).every(([name, value]) => labels[name] === value));
  return (rule ?? rules[0]!).severity;
}
