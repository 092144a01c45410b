// Writes what Grafana and Prometheus read: the dashboards in two languages, the rules and their tests. Run by
// `npm run dashboards`; test/metrics/dashboards.test.ts fails when the committed files are not what this makes.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AREAS, rulesFile, testsFile } from './alerts/rules.js';
import { DASHBOARDS } from './dashboards/all.js';
import { buildDashboard, type Language } from './kit.js';

/** Path below grafana/ → content, of every file that is made. */
export function madeFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const language of ['en', 'zh'] as const satisfies Language[]) {
    for (const spec of DASHBOARDS) {
      const dashboard = buildDashboard(spec, language);
      files.set(`dashboards/${dashboard.uid}.json`, `${JSON.stringify(dashboard, null, 2)}\n`);
    }
  }
  for (const area of AREAS) {
    files.set(`prometheus/rules/${area}.yaml`, rulesFile(area));
    files.set(`prometheus/tests/${area}.yaml`, testsFile(area));
  }
  return files;
}

/** Writes them below `folder`. */
export function writeMadeFiles(folder: string): void {
  for (const [path, content] of madeFiles()) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}
