// Runs the built program as a real process, with an environment of its own: nothing of this machine's settings counts.
import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { World } from '../kit/world.js';

export const PROGRAM = join(import.meta.dirname, '../../dist/src/cli.js');
const ENDED_WITHIN_MS = 40_000;

export type Environment = Record<string, string>;

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Environment;
  input?: string;
  cwd?: string;
}

/** Runs a command to its end. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: options.env ?? {},
    cwd: options.cwd ?? tmpdir(),
    timeout: ENDED_WITHIN_MS,
  });
  child.stdin.end(options.input ?? '');
  const [stdout, stderr, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), exitOf(child)]);
  return { code, stdout, stderr };
}

/** Runs a command with --json that must succeed, and returns its data. */
export async function data<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const { code, stdout, stderr } = await run(['--json', ...args], options);
  if (code !== 0) throw new Error(`kamigate ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

/** The settings by which a process works on a world's database with its key. */
export function environmentOf(world: World): Environment {
  return {
    KAMIGATE_DATABASE_URL: world.database_url,
    KAMIGATE_MASTER_KEY_FILE: world.key_file,
    // Removed with the world.
    KAMIGATE_DATA_DIR: dirname(world.key_file),
  };
}

export interface Server {
  child: ChildProcess;
  api_url: string;
  metrics_url: string;
  ended: Promise<number | NodeJS.Signals | null>;
}

/** Starts `kamigate serve` on free ports; resolves when it says that it serves. */
export async function startServer(env: Environment): Promise<Server> {
  const child = spawn(process.execPath, [PROGRAM, 'serve'], {
    env: { KAMIGATE_PORT: '0', KAMIGATE_METRICS_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  const said = textOf(child.stderr!);
  const serving = await firstLine(child.stdout!, 'serving');
  if (!serving) throw new Error(`the server ended with ${await ended}: ${await said}`);
  return { child, ended, api_url: String(serving.api_url), metrics_url: String(serving.metrics_url) };
}

/** The first log line with this message, or null if the stream ends before. Goes on reading, so that the pipe never fills. */
function firstLine(stream: NodeJS.ReadableStream, message: string): Promise<Record<string, unknown> | null> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (part) => {
      text += String(part);
      for (const line of text.split('\n').slice(0, -1)) {
        const event = JSON.parse(line) as Record<string, unknown>;
        if (event.msg === message) resolve(event);
      }
      text = text.slice(text.lastIndexOf('\n') + 1);
    });
    stream.on('end', () => resolve(null));
  });
}

/** What `look` finds, looking again and again. */
export async function until<T>(what: string, look: () => Promise<T | null> | T | null): Promise<T> {
  const ends_at = Date.now() + 20_000;
  while (Date.now() < ends_at) {
    const found = await look();
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain for ${what}`);
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const part of stream) text += String(part);
  return text;
}
