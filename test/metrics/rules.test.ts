// The rules offline: names and labels exist, each alert has a case that fires and one that stays quiet, and a runbook.
// promtool runs the cases where it is installed; `npm run observe` and CI always run it.
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { ALERTS, AREAS, RECORDS } from '../../grafana/alerts/rules.js';
import { type Definition, METRICS } from '../../src/metrics.js';
import { readQuery } from './promql.js';

const FOLDER = join(import.meta.dirname, '../../grafana');
const has_promtool = spawnSync('promtool', ['--version']).status === 0;
const must_have_promtool = process.env.CI === 'true';

const queries: [string, string][] = [
  ...RECORDS.map(({ record, expr }): [string, string] => [record, expr]),
  ...ALERTS.flatMap(({ name, rules }) => rules.map(({ expr }): [string, string] => [name, expr])),
];

test.each(queries)('%s is valid PromQL on metrics, labels and values that exist', (_name, expr) => {
  const { error, selectors, grouped } = readQuery(expr.replaceAll('$J', 'job="kamigate"'));
  expect(error).toBeNull();
  const records = new Set(RECORDS.map(({ record }) => record));
  const known = new Set(['job', 'instance', 'supplier']);
  for (const { metric, matchers } of selectors) {
    if (records.has(metric) || /^(up|process_|nodejs_)/.test(metric)) continue;
    const definition = (METRICS as Record<string, Definition>)[
      metric.replace(/^kamigate_/, '').replace(/_bucket$/, '')
    ];
    expect([metric, definition !== undefined]).toEqual([metric, true]);
    for (const label of Object.keys(definition!.labels)) known.add(label);
    expect(matchers.some(({ label, value }) => label === 'job' && value === 'kamigate')).toBe(true);
    for (const { label, op, value } of matchers) {
      if (label === 'job') continue;
      const set = definition!.labels[label];
      expect([metric, label, set !== undefined]).toEqual([metric, label, true]);
      if (typeof set === 'string' || !set) continue;
      const fits = (each: string): boolean => set.some((one) => new RegExp(`^(?:${each})$`).test(one));
      for (const each of op.includes('~') ? value.split('|') : [value])
        expect([label, each, fits(each)]).toEqual([label, each, true]);
    }
  }
  for (const label of grouped) expect([...known]).toContain(label);
});

describe('alerts', () => {
  test('each has a name of its own', () => {
    expect(new Set(ALERTS.map(({ name }) => name)).size).toBe(ALERTS.length);
    expect(ALERTS.length).toBeGreaterThanOrEqual(40);
  });

  test.each(ALERTS.map((alert) => [alert.name, alert] as const))('%s says what it is and what to do', (name, alert) => {
    expect(name).toMatch(/^Kamigate[A-Z][A-Za-z]+$/);
    expect(alert.summary).toMatch(/^[A-Z][^{]+\.$/);
    expect(alert.description.length).toBeGreaterThan(20);
    const runbook = join(FOLDER, 'runbooks', `${name}.md`);
    expect(existsSync(runbook)).toBe(true);
    const text = readFileSync(runbook, 'utf8');
    const headings = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1]);
    expect(headings).toEqual(['Meaning', 'Impact', 'Diagnosis', 'Mitigation']);
    for (const section of text.split(/^## .+$/m).slice(1)) expect(section.trim().length).toBeGreaterThan(15);
  });

  test.each(ALERTS.map((alert) => [alert.name, alert] as const))(
    '%s has a case that fires and one that is quiet',
    (name, { cases }) => {
      expect(cases.some(({ fires }) => fires && fires.length > 0)).toBe(true);
      // The watchdog is always on: that is what it is for.
      if (name !== 'KamigateWatchdog') expect(cases.some(({ fires }) => !fires || fires.length === 0)).toBe(true);
    },
  );

  test('each rule of each alert fires in a case', () => {
    const never = ALERTS.flatMap(({ name, rules, cases }) =>
      rules
        .filter(({ severity, labels }) => {
          const fired = cases.flatMap(({ fires = [] }) => fires);
          return !fired.some(({ labels: seen = {} }) => {
            const same = Object.entries(labels ?? {}).every(
              ([label, value]) => label === 'job' || seen[label] === value,
            );
            return same && (seen.severity ?? severity) === severity;
          });
        })
        .map(({ severity, labels }) => `${name} ${severity} ${labels?.window ?? ''}`),
    );
    // The two slow windows of each objective share their arithmetic with the fast ones.
    expect(never.filter((each) => !/BudgetBurn warning (1d|3d)/.test(each))).toEqual([]);
  });

  test('no runbook is left of an alert that is gone', () => {
    const runbooks = readdirSync(join(FOLDER, 'runbooks')).map((file) => file.replace(/\.md$/, ''));
    expect(runbooks.sort()).toEqual(ALERTS.map(({ name }) => name).sort());
  });
});

const title = has_promtool
  ? 'promtool accepts the rules and every case of every alert'
  : 'promtool is not installed here (Debian: apt-get install prometheus), so its gates run in CI and in `npm run observe`';
test(title, async () => {
  if (!has_promtool) {
    if (must_have_promtool) throw new Error('CI must have promtool: install Debian’s package prometheus');
    console.info(title);
    return;
  }
  const run = promisify(execFile);
  const told = await Promise.all(
    AREAS.flatMap((area) => [
      run('promtool', ['check', 'rules', `rules/${area}.yaml`], { cwd: join(FOLDER, 'prometheus') }),
      run('promtool', ['test', 'rules', `tests/${area}.yaml`], { cwd: join(FOLDER, 'prometheus') }),
    ]),
  );
  for (const { stdout } of told) expect(stdout).toContain('SUCCESS');
}, 300_000);
