// A real Prometheus for one run: its own folder, a port that is free, rules whose time passes sixty times faster.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { AREAS, rulesFile } from '../../grafana/alerts/rules.js';

/** How much faster the rules' time passes here: an hour is a minute, a minute a second. */
export const FASTER = 60;

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** The rules with every window, `for` and age divided by 60. Rates per second and counts stay what they are. */
export function fasterRules(area: (typeof AREAS)[number]): string {
  return rulesFile(area, (minutes) => `${minutes}s`)
    .replace(
      /\[(\d+)([smhd])\]/g,
      (_, count: string, unit: string) => `[${(Number(count) * SECONDS[unit]!) / FASTER}s]`,
    )
    .replace(
      /^(\s+expr: time\(\) - .*) > ([\d* ]+)$/gm,
      (_, before: string, limit: string) => `${before} > (${limit}) / ${FASTER}`,
    )
    .replace(
      /^(\s+expr: supplier:kamigate_supplier_balance_runway_seconds:min) < ([\d* ]+)$/gm,
      `$1 < ($2) / ${FASTER}`,
    );
}

export interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}
export interface FiringAlert {
  labels: Record<string, string>;
  state: 'pending' | 'firing';
}
export interface Prometheus {
  query(expr: string): Promise<Series[]>;
  queryRange(expr: string, from_s: number, to_s: number, step_s: number): Promise<Series[]>;
  alerts(): Promise<FiringAlert[]>;
  /** How many scrapes of the gateway have succeeded. */
  stop(): Promise<void>;
}

export async function startPrometheus(folder: string, targets: readonly string[]): Promise<Prometheus> {
  if (spawnSync('prometheus', ['--version']).status !== 0) {
    throw new Error(
      'prometheus is not installed: on Debian run `apt-get install -y prometheus`, then `npm run observe` again',
    );
  }
  mkdirSync(join(folder, 'rules'), { recursive: true });
  for (const area of AREAS) writeFileSync(join(folder, 'rules', `${area}.yaml`), fasterRules(area));
  const checked = spawnSync(
    'promtool',
    ['check', 'rules', ...AREAS.map((area) => join(folder, 'rules', `${area}.yaml`))],
    { encoding: 'utf8' },
  );
  if (checked.status !== 0) throw new Error(`promtool refuses the faster rules: ${checked.stdout}${checked.stderr}`);
  writeFileSync(join(folder, 'prometheus.yml'), configOf(targets));
  const port = await freePort();
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const url = `http://127.0.0.1:${port}`;
  await ready(url, child);
  return clientOf(url, child);
}

function configOf(targets: readonly string[]): string {
  return JSON.stringify({
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: ['rules/*.yaml'],
    scrape_configs: [{ job_name: 'kamigate', sample_limit: 20_000, static_configs: [{ targets }] }],
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (child.exitCode !== null) throw new Error(`prometheus ended with ${child.exitCode}`);
    const answer = await fetch(`${url}/-/ready`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('prometheus was not ready within 20 s');
}

function clientOf(url: string, child: ChildProcess): Prometheus {
  async function ask<T>(path: string, parameters: Record<string, string>): Promise<T> {
    const answer = await fetch(`${url}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
    const { status, data, error } = (await answer.json()) as { status: string; data: T; error?: string };
    if (status !== 'success') throw new Error(error ?? `status ${answer.status}`);
    return data;
  }
  return {
    query: async (query) => (await ask<{ result: Series[] }>('query', { query })).result,
    queryRange: async (query, start, end, step) =>
      (
        await ask<{ result: Series[] }>('query_range', {
          query,
          start: String(start),
          end: String(end),
          step: String(step),
        })
      ).result,
    alerts: async () => {
      const answer = await fetch(`${url}/api/v1/alerts`);
      return ((await answer.json()) as { data: { alerts: FiringAlert[] } }).data.alerts;
    },
    stop: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}
