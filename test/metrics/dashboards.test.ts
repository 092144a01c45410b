// The dashboards offline: strict schema, the rules of Grafana's dashboard linter and the holes it leaves, every query
// parsed, every metric and label known, every metric used, every link leading somewhere, nothing edited by hand.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { ALERTS, RECORDS } from '../../grafana/alerts/rules.js';
import { madeFiles } from '../../grafana/build.js';
import { DASHBOARDS } from '../../grafana/dashboards/all.js';
import { type Definition, METRICS, type MetricName } from '../../src/metrics.js';
import { DASHBOARD_SCHEMA } from './dashboard-schema.js';
import { readQuery, type Selector } from './promql.js';

const FOLDER = join(import.meta.dirname, '../../grafana');

/** Used by no panel and no alert, each for a reason. */
const RAW_ONLY: Partial<Record<MetricName, string>> = {
  config_info: 'tells a reader how a process is set up; there is nothing to draw',
  metrics_collect_errors_total: 'a collector that fails is found by KamigateFiguresStale',
  supplier_info: 'for joins in queries of one’s own: the adapter of an account',
  sync_last_duration_seconds: 'for whoever tunes sweeps',
};

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; legendFormat: string }[];
  fieldConfig?: { defaults: { unit?: string; mappings?: unknown[]; links?: { url: string }[] } };
  panels?: Panel[];
  collapsed?: boolean;
}
interface Dashboard {
  uid: string;
  title: string;
  editable: boolean;
  panels: Panel[];
  templating: { list: Record<string, unknown>[] };
  annotations: { list: { expr: string }[] };
}

const files = readdirSync(join(FOLDER, 'dashboards')).filter((name) => name.endsWith('.json'));
const dashboards = files.map((name) => JSON.parse(readFileSync(join(FOLDER, 'dashboards', name), 'utf8')) as Dashboard);
const named: [string, Dashboard][] = dashboards.map((dashboard) => [dashboard.uid, dashboard]);

function panelsOf({ panels }: Dashboard): Panel[] {
  return panels.flatMap((panel) => (panel.type === 'row' ? (panel.panels ?? []) : [panel]));
}

/** Label → its closed set, or null where any name may stand. */
function labelsOf(metric: string): Map<string, readonly string[] | null> | null {
  const common: [string, null][] = [
    ['job', null],
    ['instance', null],
  ];
  if (/^(up|process_|nodejs_)/.test(metric)) return new Map(common);
  const name = metric.replace(/^kamigate_/, '');
  const base = name.replace(/_(bucket|sum|count)$/, '');
  const definition = ((METRICS as Record<string, Definition>)[name] ?? (METRICS as Record<string, Definition>)[base]) as
    | Definition
    | undefined;
  if (!metric.startsWith('kamigate_') || !definition || (name !== base && definition.type !== 'histogram')) return null;
  const own = Object.entries(definition.labels).map(([label, set]): [string, readonly string[] | null] => [
    label,
    typeof set === 'string' ? null : set,
  ]);
  return new Map([...common, ...own, ...(name.endsWith('_bucket') ? [['le', null] as [string, null]] : [])]);
}

/** What is wrong with a query's metrics and labels. */
function namesFault(expr: string): string[] {
  const { selectors, grouped } = readQuery(expr);
  const faults: string[] = [];
  const known = new Set<string>();
  for (const { metric, matchers } of selectors) {
    const labels = labelsOf(metric);
    if (!labels) {
      faults.push(`there is no metric ${metric}`);
      continue;
    }
    for (const label of labels.keys()) known.add(label);
    for (const { label, op, value } of matchers) {
      const set = labels.get(label);
      if (set === undefined) faults.push(`${metric} has no label ${label}`);
      if (!set || value.startsWith('$')) continue;
      const alternatives = op.includes('~') ? value.split('|') : [value];
      const matches = (each: string): boolean => set.some((one) => new RegExp(`^(?:${each})$`).test(one));
      for (const each of alternatives) if (!matches(each)) faults.push(`${metric}: ${label} is never ${each}`);
    }
  }
  for (const label of grouped) if (!known.has(label)) faults.push(`grouped by ${label}, which no metric of it has`);
  return faults;
}

test('there are six dashboards in two languages', () => {
  expect(DASHBOARDS).toHaveLength(6);
  expect(files.sort()).toEqual(DASHBOARDS.flatMap(({ uid }) => [`${uid}.json`, `${uid}-zh.json`]).sort());
});

test('the committed files are what the generator makes: `npm run dashboards`', () => {
  for (const [path, content] of madeFiles()) {
    expect([path, existsSync(join(FOLDER, path)) && readFileSync(join(FOLDER, path), 'utf8')]).toEqual([path, content]);
  }
});

test('every dashboard fits the strict schema', () => {
  const validate = new Ajv({ allErrors: true, strict: false }).compile(DASHBOARD_SCHEMA);
  for (const dashboard of dashboards) {
    const ok = validate(dashboard);
    expect([dashboard.uid, ok ? [] : validate.errors?.slice(0, 5)]).toEqual([dashboard.uid, []]);
  }
});

test('the strict schema refuses a legacy key, a wrong type and a missing query', () => {
  const validate = new Ajv({ strict: false }).compile(DASHBOARD_SCHEMA);
  const [good] = dashboards;
  expect(validate(good)).toBe(true);
  expect(validate({ ...good, style: 'dark' })).toBe(false);
  expect(validate({ ...good, schemaVersion: 36 })).toBe(false);
  expect(validate({ ...good, panels: [{ ...good!.panels[0], targets: [] }] })).toBe(false);
  expect(validate({ ...good, panels: [{ ...good!.panels[0], gridPos: { x: '0', y: 0, w: 4, h: 4 } }] })).toBe(false);
});

describe.each(named)('%s', (uid, dashboard) => {
  const panels = panelsOf(dashboard);
  const variables = new Map(dashboard.templating.list.map((variable) => [variable.name as string, variable]));
  const suffix = uid.endsWith('-zh') ? '-zh' : '';

  test('has the common variables in their common form', () => {
    expect([...variables.keys()].slice(0, 3)).toEqual(['datasource', 'job', 'instance']);
    expect(variables.get('datasource')).toMatchObject({
      type: 'datasource',
      query: 'prometheus',
      label: 'Data source',
    });
    expect(variables.get('job')).toMatchObject({ label: 'Job' });
    expect(variables.get('instance')).toMatchObject({ label: 'Instance' });
    for (const variable of dashboard.templating.list.slice(1)) {
      expect(variable).toMatchObject({
        type: 'query',
        datasource: { uid: '$datasource' },
        multi: true,
        includeAll: true,
        allValue: '.+',
        refresh: 2,
      });
      const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(variable.query as string) ?? [];
      expect(readQuery(selector!).error).toBeNull();
      expect(namesFault(selector!)).toEqual([]);
      expect([...labelsOf(readQuery(selector!).selectors[0]!.metric)!.keys()]).toContain(label);
    }
  });

  test('cannot be edited where it is provisioned', () => {
    expect(dashboard.editable).toBe(false);
  });

  test('tells of every panel what it shows and in what unit', () => {
    for (const panel of panels) {
      expect([panel.title, panel.description!.length > 2]).toEqual([panel.title, true]);
      if (panel.type === 'alertlist') continue;
      const { unit, mappings } = panel.fieldConfig!.defaults;
      expect([panel.title, typeof unit]).toEqual([panel.title, 'string']);
      expect(panel.datasource).toEqual({ type: 'prometheus', uid: '$datasource' });
      // An empty list of mappings would make the linter skip the unit.
      expect([panel.title, mappings?.length ?? 1]).not.toEqual([panel.title, 0]);
      // Grafana has no unit for every currency: the title says which.
      if (unit === 'none') expect(panel.title).toMatch(/base currency|基准币种/);
    }
  });

  test('asks with valid PromQL that names the job and the instance', () => {
    for (const panel of panels) {
      for (const { expr } of panel.targets ?? []) {
        const { error, selectors } = readQuery(expr);
        expect([panel.title, error]).toEqual([panel.title, null]);
        for (const selector of selectors) checkSelector(panel.title, selector);
      }
    }
  });

  function checkSelector(title: string, { metric, matchers, within, range }: Selector): void {
    const has = (label: string): boolean =>
      matchers.some((matcher) => matcher.label === label && matcher.op === '=~' && matcher.value === `$${label}`);
    expect([title, metric, has('job'), has('instance')]).toEqual([title, metric, true, true]);
    // A panel reads the metrics themselves: a recorded series has no instance.
    expect(metric).not.toContain(':');
    if (metric.endsWith('_total'))
      expect([metric, within]).toEqual([metric, expect.stringMatching(/^(rate|increase)$/)]);
    // `readQuery` has put 5m for $__rate_interval.
    if (within === 'rate') expect([metric, range]).toEqual([metric, '5m']);
  }

  test('asks only for metrics and labels that exist, with values that can be', () => {
    for (const panel of panels) {
      for (const { expr, legendFormat } of panel.targets ?? []) {
        expect([panel.title, namesFault(expr)]).toEqual([panel.title, []]);
        const labels = new Set(
          readQuery(expr).selectors.flatMap(({ metric }) => [...(labelsOf(metric)?.keys() ?? [])]),
        );
        for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
          expect([panel.title, [...labels]]).toEqual([panel.title, expect.arrayContaining([label])]);
        for (const [, variable] of expr.matchAll(/\$(\w+)/g)) {
          expect([...variables.keys(), '__rate_interval', '__range']).toContain(variable);
        }
      }
    }
    for (const { expr } of dashboard.annotations.list) {
      expect(readQuery(expr).error).toBeNull();
      expect(namesFault(expr)).toEqual([]);
    }
  });

  test('links to dashboards that exist, in its own language', () => {
    const urls = panels.flatMap((panel) => panel.fieldConfig?.defaults.links?.map(({ url }) => url) ?? []);
    for (const url of urls) {
      const target = /^\/d\/([\w-]+)\?/.exec(url)?.[1];
      expect(dashboards.map((each) => each.uid)).toContain(target);
      expect(target!.endsWith('-zh')).toBe(suffix === '-zh');
    }
  });

  test('is laid out without overlap, with at most 14 panels open', () => {
    const ids = [...dashboard.panels, ...panels].map(({ id }) => id);
    expect(new Set(ids).size).toBe(new Set([...dashboard.panels, ...panels]).size);
    const taken = new Set<string>();
    const open = dashboard.panels.filter((panel) => panel.type !== 'row');
    expect(open.length).toBeLessThanOrEqual(14);
    for (const { gridPos, title } of dashboard.panels) {
      expect([title, gridPos.x + gridPos.w <= 24]).toEqual([title, true]);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect([title, x, y, taken.has(`${x},${y}`)]).toEqual([title, x, y, false]);
          taken.add(`${x},${y}`);
        }
      }
    }
  });
});

test('the Chinese twin shows the same panels and queries as the English one', () => {
  for (const { uid } of DASHBOARDS) {
    const [english, chinese] = [uid, `${uid}-zh`].map((id) => panelsOf(dashboards.find((each) => each.uid === id)!));
    expect(chinese!.map(({ targets }) => targets?.map(({ expr }) => expr))).toEqual(
      english!.map(({ targets }) => targets?.map(({ expr }) => expr)),
    );
    for (const panel of chinese!) expect(panel.title + panel.description!).toMatch(/\p{Script=Han}/u);
    for (const panel of english!) expect(panel.title + panel.description!).not.toMatch(/\p{Script=Han}/u);
  }
});

test('every metric is used by a panel or an alert, or is raw only for a reason', () => {
  const asked = [
    ...dashboards.flatMap((dashboard) =>
      panelsOf(dashboard).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ),
    ...dashboards.flatMap(({ templating }) =>
      templating.list.flatMap(({ query }) => /^label_values\((.+), \w+\)$/.exec(String(query))?.[1] ?? []),
    ),
    ...RECORDS.map(({ expr }) => expr.replaceAll('$J', 'job="x"')),
    ...ALERTS.flatMap(({ rules }) => rules.map(({ expr }) => expr.replaceAll('$J', 'job="x"'))),
  ].flatMap((expr) => readQuery(expr).selectors.map(({ metric }) => metric.replace(/^kamigate_/, '')));
  const used = new Set(asked.flatMap((name) => [name, name.replace(/_(bucket|sum|count)$/, '')]));
  const unused = Object.keys(METRICS).filter((name) => !used.has(name));
  expect(unused.sort()).toEqual(Object.keys(RAW_ONLY).sort());
});
