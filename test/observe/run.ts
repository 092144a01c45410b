// `npm run observe`: the live gate. A real Prometheus scrapes a real gateway under load with faults; every query of
// every panel is run through Prometheus' API, and alerts are made to fire and to resolve. Ends with 1 on any fault.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AREAS } from '../../grafana/alerts/rules.js';
import { checkPanels } from './panels.js';
import { FASTER, type Prometheus, startPrometheus } from './prometheus.js';
import { openShop, type Shop, startLoad } from './shop.js';
import { LATER_TROUBLES, TROUBLES, type Trouble, writeReadings } from './troubles.js';

const LOAD_S = 40;
const FIRES_WITHIN_S = 150;
const RESOLVES_WITHIN_S = 240;

const started_at = Date.now();
function log(line: string): void {
  process.stdout.write(`${String(Math.round((Date.now() - started_at) / 1_000)).padStart(4)} s  ${line}\n`);
}
const faults: string[] = [];
function fault(line: string): void {
  faults.push(line);
  log(`FAULT  ${line}`);
}

async function until(what: string, seconds: number, check: () => Promise<boolean>): Promise<boolean> {
  const ends_at = Date.now() + seconds * 1_000;
  while (Date.now() < ends_at) {
    if (await check().catch(() => false)) return true;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  fault(`${what} did not happen within ${seconds} s`);
  return false;
}

function nameOf({ alert, labels = {} }: Trouble): string {
  const told = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return told.length > 0 ? `${alert}{${told.join(', ')}}` : alert;
}

async function isFiring(prometheus: Prometheus, { alert, labels = {} }: Trouble): Promise<boolean> {
  const alerts = await prometheus.alerts();
  return alerts.some(
    ({ labels: seen, state }) =>
      state === 'firing' &&
      seen.alertname === alert &&
      Object.entries(labels).every(([label, value]) => seen[label] === value),
  );
}

/** Makes each trouble, sees each alert fire, puts all right, sees each resolve. */
async function prove(shop: Shop, prometheus: Prometheus, troubles: readonly Trouble[]): Promise<void> {
  for (const trouble of troubles) {
    if (await isFiring(prometheus, trouble)) fault(`${nameOf(trouble)} fires before there is any trouble`);
  }
  for (const trouble of troubles) {
    log(`trouble: ${trouble.story}`);
    await trouble.make(shop);
  }
  const fired = await Promise.all(
    troubles.map(async (trouble) => {
      const did = await until(`${nameOf(trouble)} firing`, FIRES_WITHIN_S, () => isFiring(prometheus, trouble));
      if (did) log(`fires     ${nameOf(trouble)}`);
      return did;
    }),
  );
  log('putting everything right');
  for (const trouble of troubles) await trouble.unmake(shop);
  await Promise.all(
    troubles.map(async (trouble, at) => {
      if (!fired[at]) return;
      const gone = async (): Promise<boolean> => !(await isFiring(prometheus, trouble));
      if (await until(`${nameOf(trouble)} resolving`, RESOLVES_WITHIN_S, gone)) log(`resolved  ${nameOf(trouble)}`);
    }),
  );
}

/** The rules as they are shipped, and every case of every alert. */
async function proveRules(): Promise<void> {
  const run = promisify(execFile);
  const cwd = join(process.cwd(), 'grafana/prometheus');
  await Promise.all(
    AREAS.flatMap((area) => [
      run('promtool', ['check', 'rules', `rules/${area}.yaml`], { cwd }),
      run('promtool', ['test', 'rules', `tests/${area}.yaml`], { cwd }),
    ]),
  ).then(
    () => log('promtool accepts the rules and every case of every alert'),
    (error: { stdout?: string; message: string }) => fault(`promtool: ${error.stdout ?? error.message}`),
  );
}

async function provePanels(prometheus: Prometheus): Promise<void> {
  const findings = await checkPanels(prometheus);
  for (const { panel, errors, has_data, may_be_empty } of findings) {
    for (const error of errors) fault(`${panel}: ${error}`);
    if (errors.length === 0 && !has_data && may_be_empty === null) fault(`${panel} has no data`);
  }
  const queries = findings.reduce((sum, finding) => sum + finding.queries, 0);
  const empty = findings.filter(({ has_data }) => !has_data);
  log(
    `${findings.length} panels, ${queries} queries run; empty for a reason: ${empty.filter(({ may_be_empty }) => may_be_empty).length}`,
  );
}

async function proveScrape(prometheus: Prometheus): Promise<void> {
  const [scraped] = await prometheus.query('scrape_samples_scraped{job="kamigate"}');
  const [duration] = await prometheus.query('max_over_time(scrape_duration_seconds{job="kamigate"}[1m])');
  log(
    `a scrape has ${scraped?.value?.[1]} samples; the slowest of the last minute took ${Number(duration?.value?.[1]).toFixed(3)} s`,
  );
  const overflown = await prometheus.query('kamigate_metrics_label_overflow_total > 0');
  for (const { metric } of overflown) fault(`a label of ${metric.metric} overflowed`);
}

async function run(shop: Shop, folder: string): Promise<void> {
  await proveRules();
  await writeReadings(shop, Date.now());
  await shop.startGateway();
  const prometheus = await startPrometheus(folder, [shop.metrics_target]);
  log(
    `prometheus scrapes every second; the rules’ time passes ${FASTER} times faster: 1 h is 1 min, thresholds of age alike`,
  );
  const load = startLoad(shop);
  const readings = setInterval(() => {
    // What a sweep would write every minute; beta’s is left alone, for its staleness is a trouble below.
    void writeReadings(shop, Date.now(), ['alpha', 'gamma', 'delta', 'epsilon', 'zeta']).catch(() => undefined);
  }, 5_000);
  try {
    await until('ten scrapes', 60, async () => {
      const [up] = await prometheus.query('count_over_time(up{job="kamigate"}[1m]) > 10 and up{job="kamigate"} == 1');
      return up !== undefined;
    });
    log(`load and faults for ${LOAD_S} s`);
    await new Promise((resolve) => setTimeout(resolve, LOAD_S * 1_000));
    await writeReadings(shop, Date.now());
    await prove(shop, prometheus, TROUBLES);
    await provePanels(prometheus);
    await proveScrape(prometheus);
    for (const trouble of LATER_TROUBLES) await prove(shop, prometheus, [trouble]);
  } finally {
    clearInterval(readings);
    await load.stop();
    log(`${load.orders()} requests made`);
    await prometheus.stop();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'kamigate-observe-'));
const shop = await openShop(log);
try {
  await run(shop, folder);
} finally {
  await shop.close();
  rmSync(folder, { recursive: true, force: true });
}
const proved = TROUBLES.length + LATER_TROUBLES.length;
log(faults.length === 0 ? `passed: ${proved} alerts fired and resolved` : `failed: ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
