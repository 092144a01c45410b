// What the tour plays on: a data folder, three simulated suppliers in this process, and the real gateway as a child
// process that is told everything by its configuration file, as any operator would.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ShopProduct } from '../../adapters/kit/shop.js';
import { type Simulator, startSimulator } from '../../adapters/simulator.js';
import { connect, type Database } from '../db/connect.js';

const PROGRAM = resolve(import.meta.dirname, '../cli.js');
/** Beside the source: dist/ holds none of it. */
const CATALOG = ['catalog.yaml', '../../../src/demo/catalog.yaml'].map((path) => resolve(import.meta.dirname, path));
/** Tells a folder that the demo made, and may remove, from one with somebody's data. */
const MARK = 'made-by-kamigate-demo';

export const SUPPLIER_NAMES = ['sim-a', 'sim-b', 'sim-c'] as const;
export type SupplierName = (typeof SUPPLIER_NAMES)[number];
const PORTS: Record<SupplierName, number> = { 'sim-a': 9101, 'sim-b': 9102, 'sim-c': 9103 };

/** Product → what each of the three charges for it, in catalog.yaml's numbers. */
const COSTS_E4: Record<string, { kind: ShopProduct['kind']; costs: Record<SupplierName, number> }> = {
  'game-50': { kind: 'code', costs: { 'sim-a': 482_515, 'sim-b': 489_004, 'sim-c': 490_000 } },
  'phone-10': { kind: 'recharge', costs: { 'sim-a': 97_515, 'sim-b': 98_020, 'sim-c': 98_507 } },
  'phone-20': { kind: 'recharge', costs: { 'sim-a': 195_031, 'sim-b': 196_042, 'sim-c': 197_000 } },
  'video-30': { kind: 'recharge', costs: { 'sim-a': 281_009, 'sim-b': 282_018, 'sim-c': 283_027 } },
};

const READY_WITHIN_MS = 20_000;
const CLI_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 20;

export interface Stage {
  folder: string;
  api_url: string;
  metrics_url: string;
  suppliers: Record<SupplierName, Simulator>;
  /** For reading alone; the gateway's own file. */
  database: () => Database;
  /** Runs a command of the program to its end, and returns what it printed as JSON. */
  run: (args: readonly string[], input?: string) => Promise<unknown>;
  startGateway: () => Promise<void>;
  /** As a power cut would. */
  killGateway: () => Promise<void>;
  /** Stops the gateway in order, then the suppliers; removes the folder if it was a temporary one. */
  close: () => Promise<void>;
  /** The last lines the gateway logged. */
  logTail: () => string;
}

export interface StageOptions {
  /** Null: a temporary folder, which is removed afterwards. */
  folder: string | null;
  /** Taken if it is free, else any. */
  port: number;
}

/** Sets the stage; the gateway does not run yet. */
export async function setStage(options: StageOptions): Promise<Stage> {
  const folder = options.folder === null ? mkdtempSync(join(tmpdir(), 'kamigate-demo-')) : emptyFolder(options.folder);
  const is_temporary = options.folder === null;
  const suppliers = await startSuppliers(is_temporary);
  const port = await freePort(is_temporary ? 0 : options.port);
  const config = join(folder, 'kamigate.yaml');
  const log = join(folder, 'gateway.log');
  const metrics_port = await freePort(0);
  writeFileSync(config, settingsText(folder, port, metrics_port));
  writeSecrets(folder, suppliers);
  writeFileSync(join(folder, 'catalog.yaml'), catalogText(suppliers));

  let child: ChildProcess | null = null;
  let database: Database | null = null;
  const api_url = `http://127.0.0.1:${port}`;
  return {
    folder,
    api_url,
    metrics_url: `http://127.0.0.1:${metrics_port}/metrics`,
    suppliers,
    database: () => {
      database ??= connect({ url: `sqlite:${join(folder, 'kamigate.db')}`, pool_max: 1, acquire_timeout_ms: 5_000 });
      return database;
    },
    run: (args, input) => runProgram(['--config', config, '--json', ...args], input),
    startGateway: async () => {
      child = startChild(['--config', config, 'serve'], log);
      await ready(child, api_url, log);
    },
    killGateway: async () => {
      const ended = endOf(child);
      child?.kill('SIGKILL');
      await ended;
      child = null;
    },
    close: async () => {
      await stopChild(child);
      child = null;
      await database?.close();
      await Promise.all(Object.values(suppliers).map((supplier) => supplier.close()));
      if (is_temporary) rmSync(folder, { recursive: true, force: true });
    },
    logTail: () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(-12).join('\n') : ''),
  };
}

/** The folder, empty. What an earlier demo left in it is removed; what anyone else put there is not touched. */
function emptyFolder(path: string): string {
  const folder = resolve(path);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    if (!existsSync(join(folder, MARK))) {
      throw new Error(`${folder} holds something that the demo did not make: name another folder with --dir`);
    }
    rmSync(folder, { recursive: true, force: true });
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, MARK), 'The next `kamigate demo` removes this folder and makes it anew.\n');
  return folder;
}

async function startSuppliers(is_temporary: boolean): Promise<Record<SupplierName, Simulator>> {
  const started = {} as Record<SupplierName, Simulator>;
  for (const name of SUPPLIER_NAMES) {
    const products = Object.entries(COSTS_E4).map(([product, { kind, costs }]) => ({
      product,
      kind,
      cost_e4: costs[name],
      stock: null,
      name: product,
    }));
    started[name] = await startSimulator({
      name,
      products,
      port: await freePort(is_temporary ? 0 : PORTS[name]),
      app_key: `demo-${name}`,
      app_secret: randomBytes(24).toString('hex'),
    });
  }
  return started;
}

/** Short pauses in place of the usual ones: what takes minutes in production is to be seen within seconds. */
function settingsText(folder: string, port: number, metrics_port: number): string {
  const settings = {
    data_dir: folder,
    database_url: `sqlite:${join(folder, 'kamigate.db')}`,
    master_key_file: join(folder, 'master.key'),
    port,
    metrics_port,
    sweep_ms: 100,
    lease_ms: 1_000,
    lookup_ladder_ms: '1000,1000,1000,2000,5000,10000,60000',
    lookup_on_read_ms: 1_000,
    drain_delay_ms: 0,
    shutdown_timeout_ms: 10_000,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  return ['# Written by `kamigate demo`.', ...lines, ''].join('\n');
}

function writeSecrets(folder: string, suppliers: Record<SupplierName, Simulator>): void {
  mkdirSync(join(folder, 'secrets'), { mode: 0o700 });
  for (const [name, { app_key, app_secret }] of Object.entries(suppliers)) {
    writeFileSync(join(folder, `secrets/${name}-app-key`), app_key, { mode: 0o600 });
    writeFileSync(join(folder, `secrets/${name}-app-secret`), app_secret, { mode: 0o600 });
  }
}

/** The shipped catalog with the addresses the suppliers really have. */
function catalogText(suppliers: Record<SupplierName, Simulator>): string {
  const path = CATALOG.find((candidate) => existsSync(candidate));
  if (!path) throw new Error(`the demo’s catalog is missing: ${CATALOG.at(-1)}`);
  return SUPPLIER_NAMES.reduce(
    (text, name) => text.replace(`http://127.0.0.1:${PORTS[name]}`, suppliers[name].url),
    readFileSync(path, 'utf8'),
  );
}

/** The wanted port if nobody listens on it, else any that is free. */
async function freePort(wanted: number): Promise<number> {
  const taken = await tryPort(wanted);
  return taken ?? (await tryPort(0))!;
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((found) => {
    const server = createServer()
      .once('error', () => found(null))
      .listen(port, '127.0.0.1', () => {
        const { port: free } = server.address() as AddressInfo;
        server.close(() => found(free));
      });
  });
}

// An empty environment: the demo's own settings count, and nobody else's.
function startChild(args: readonly string[], log: string): ChildProcess {
  const lines = openSync(log, 'a');
  return spawn(process.execPath, [PROGRAM, ...args], { env: {}, stdio: ['ignore', lines, lines, 'ipc'] });
}

async function ready(child: ChildProcess, api_url: string, log: string): Promise<void> {
  await until(`the gateway to be ready (its log is ${log})`, READY_WITHIN_MS, async () => {
    if (child.exitCode !== null)
      throw new Error(`the gateway ended with exit code ${child.exitCode}; its log is ${log}`);
    const response = await fetch(`${api_url}/readyz`).catch(() => null);
    return response?.status === 200 ? true : null;
  });
}

/** Resolves when the process has ended. */
function endOf(child: ChildProcess | null): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((ended) => child.once('exit', () => ended()));
}

async function stopChild(child: ChildProcess | null): Promise<void> {
  if (!child) return;
  const ended = endOf(child);
  // Closing the channel tells it to stop, once; a signal beside the terminal's own would cut it short.
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await ended;
  clearTimeout(timer);
}

function runProgram(args: readonly string[], input: string | undefined): Promise<unknown> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: {}, timeout: CLI_WITHIN_MS });
  child.stdin.end(input ?? '');
  const [said, data] = [textOf(child.stderr), textOf(child.stdout)];
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', (code) => {
      if (code === 0) void data.then((text) => done(text === '' ? null : JSON.parse(text)));
      else
        void said.then((text) => failed(new Error(`kamigate ${args.slice(3).join(' ')} ended with ${code}: ${text}`)));
    });
  });
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const part of stream) text += String(part);
  return text;
}

/** What `look` finds, looking again and again; throws when the time is up. */
export async function until<T>(what: string, within_ms: number, look: () => Promise<T | null> | T | null): Promise<T> {
  const ends_at = performance.now() + within_ms;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > ends_at) throw new Error(`waited ${within_ms} ms for ${what}`);
    await new Promise((again) => setTimeout(again, LOOK_EVERY_MS));
  }
}
