// Rules and their tests as Prometheus and promtool read them, made of the alerts' data.
import { stringify } from 'yaml';
import { CATALOG_ALERTS } from './catalog.js';
import { ORDER_ALERTS } from './orders.js';
import { PLATFORM_ALERTS } from './platform.js';
import { type AlertSpec, type CaseSpec, JOB } from './spec.js';
import { SUPPLIER_ALERTS } from './suppliers.js';
import { VAULT_ALERTS } from './vault.js';
import { WORK_ALERTS } from './work.js';

/** One rules file and one tests file each: promtool evaluates every rule of a file for every case of its tests. */
export const AREAS = ['orders', 'suppliers', 'catalog', 'vault', 'work', 'platform'] as const;
export type Area = (typeof AREAS)[number];
const ALERTS_OF: Readonly<Record<Area, readonly AlertSpec[]>> = {
  orders: ORDER_ALERTS,
  suppliers: SUPPLIER_ALERTS,
  catalog: CATALOG_ALERTS,
  vault: VAULT_ALERTS,
  work: WORK_ALERTS,
  platform: PLATFORM_ALERTS,
};
export const ALERTS: readonly AlertSpec[] = AREAS.flatMap((area) => ALERTS_OF[area]);

const HEAD = '# Made by `npm run dashboards` from grafana/alerts/. Do not edit.\n';

export interface RecordingRule {
  record: string;
  expr: string;
}

const HTTP_WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const;
const SUPPLIER_WINDOWS = ['5m', '30m', '1h', '6h'] as const;

/** Alerts alone use them: a recorded series has no `instance`, so dashboards read the metrics themselves. */
const ORDER_RECORDS: readonly RecordingRule[] = [
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
];
const SUPPLIER_RECORDS: readonly RecordingRule[] = [
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

export const RECORDS = [...ORDER_RECORDS, ...SUPPLIER_RECORDS];
const RECORDS_OF: Readonly<Partial<Record<Area, readonly RecordingRule[]>>> = {
  orders: ORDER_RECORDS,
  suppliers: SUPPLIER_RECORDS,
};

function ratio(by: string, metric: string, part: string, whole: string, window: string): string {
  const of = (more: string): string => `sum by (${by}) (rate(${metric}${more && `, ${more}`}}[${window}]))`;
  return `${of(part)} / (${of(whole)} > 0)`;
}

const withJob = (text: string): string => text.replaceAll('$J', JOB);

/** The rules of an area. `duration`: how a `for` of so many minutes is written. */
export function rulesFile(area: Area, duration: (minutes: number) => string = (minutes) => `${minutes}m`): string {
  const records = (RECORDS_OF[area] ?? []).map(({ record, expr }) => ({ record, expr: withJob(expr) }));
  const groups = [
    ...(records.length > 0 ? [{ name: `kamigate.${area}.records`, rules: records }] : []),
    { name: `kamigate.${area}`, rules: ALERTS_OF[area].flatMap((alert) => alertRules(alert, duration)) },
  ];
  return HEAD + stringify({ groups }, { lineWidth: 0 });
}

function alertRules(spec: AlertSpec, duration: (minutes: number) => string): object[] {
  return spec.rules.map(({ expr, for_minutes, severity, labels }) => ({
    alert: spec.name,
    expr: withJob(expr),
    ...(for_minutes > 0 ? { for: duration(for_minutes) } : {}),
    labels: { severity, ...labels },
    annotations: annotationsOf(spec, labels),
  }));
}

function annotationsOf(
  { name, summary, description, dashboard }: AlertSpec,
  labels: Readonly<Record<string, string>> = {},
) {
  return {
    summary,
    description: description.replaceAll('{window}', labels.window ?? ''),
    runbook_url: `grafana/runbooks/${name}.md`,
    dashboard_url: `/d/${dashboard}`,
  };
}

/** Every case of every alert of an area. */
export function testsFile(area: Area): string {
  const tests = ALERTS_OF[area].flatMap((spec) =>
    spec.cases.map((each) => ({
      name: `${spec.name}: ${each.title}`,
      interval: '1m',
      input_series: Object.entries(each.series).map(([series, values]) => ({ series: withJob(series), values })),
      alert_rule_test: [{ alertname: spec.name, eval_time: `${each.at}m`, exp_alerts: expected(spec, each) }],
    })),
  );
  return (
    HEAD + stringify({ rule_files: [`../rules/${area}.yaml`], evaluation_interval: '1m', tests }, { lineWidth: 0 })
  );
}

function expected(spec: AlertSpec, { fires = [] }: CaseSpec): object[] {
  return fires.map(({ labels = {}, value = '' }) => {
    const { job = 'kamigate', ...others } = labels;
    const severity = others.severity ?? severityOf(spec, others);
    const exp_labels = { ...(job ? { job } : {}), severity, ...others };
    const annotations = annotationsOf(spec, labels);
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
