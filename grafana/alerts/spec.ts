// An alert with its proof: when it fires, and a case close by in which it must stay quiet. rules.ts turns both into
// files for Prometheus and promtool.

export const JOB = 'job="kamigate"';
export type Severity = 'critical' | 'warning' | 'info';
export type DashboardUid =
  | 'kamigate-overview'
  | 'kamigate-suppliers'
  | 'kamigate-supplier-detail'
  | 'kamigate-vault'
  | 'kamigate-procurement'
  | 'kamigate-platform';

export interface CaseSpec {
  /** What happens, in a few words. */
  title: string;
  /** Series and values in promtool's notation, one sample a minute; `$J` stands for the job selector. */
  series: Readonly<Record<string, string>>;
  /** When to look, in minutes. */
  at: number;
  /** The labels of each alert that fires, beyond job and severity, and its value as the description shows it. */
  fires?: readonly { labels?: Readonly<Record<string, string>>; value?: string }[];
}

export interface RuleSpec {
  /** `$J` stands for the job selector. */
  expr: string;
  for_minutes: number;
  severity: Severity;
  /** Labels beyond severity, where one name has several rules. */
  labels?: Readonly<Record<string, string>>;
}

export interface AlertSpec {
  name: string;
  /** One sentence, always the same. */
  summary: string;
  /** With `{{ $labels.supplier }}`, `{{ $value | humanize }}` and the like; `{window}` is the rule’s own label. */
  description: string;
  dashboard: DashboardUid;
  rules: readonly RuleSpec[];
  cases: readonly CaseSpec[];
}

/** An alert of one rule, with one case that fires and one that does not. */
export function alert(
  name: string,
  rule: Pick<RuleSpec, 'severity' | 'for_minutes' | 'expr' | 'labels'>,
  texts: { summary: string; description: string; dashboard: DashboardUid },
  cases: { fires: CaseSpec; quiet: CaseSpec; more?: readonly CaseSpec[] },
): AlertSpec {
  return { name, ...texts, rules: [rule], cases: [cases.fires, cases.quiet, ...(cases.more ?? [])] };
}
