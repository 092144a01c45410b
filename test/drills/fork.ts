// Forks worker processes of the compiled tree: a drill that runs from source uses dist/, which `npm test` builds first.
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkerAnswer, WorkerJob } from './vault-worker.js';

export interface Worker {
  /** What it did; rejects if it died or failed. */
  answer: Promise<WorkerAnswer>;
  /** Tells it to finish what it is doing and answer. */
  stop(): void;
  /** Ends it at once, as a power cut would, and waits until it is gone. */
  kill(): Promise<void>;
  on_progress: (done: number) => void;
}

/** Starts a worker on a job. */
export function startWorker(job: WorkerJob): Worker {
  const child = fork(workerPath(), { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const worker: Worker = {
    answer: answerOf(child, (done) => worker.on_progress(done)),
    stop: () => void child.send('stop'),
    kill: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGKILL');
      }),
    on_progress: () => undefined,
  };
  // A worker that is killed on purpose has no answer, and that is no failure of the drill.
  worker.answer.catch(() => undefined);
  child.send(job);
  return worker;
}

function answerOf(child: ChildProcess, progress: (done: number) => void): Promise<WorkerAnswer> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: { answer?: WorkerAnswer; failed?: string; progress?: number }) => {
      if (message.progress !== undefined) progress(message.progress);
      if (message.answer) resolve(message.answer);
      if (message.failed) reject(new Error(message.failed));
    });
    child.on('exit', (code, signal) => reject(new Error(`a worker ended early (${code ?? signal})`)));
  });
}

function workerPath(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'vault-worker.js');
  const built = join(here, '../../dist/test/drills/vault-worker.js');
  const path = [beside, built].find((one) => existsSync(one));
  if (path) return path;
  throw new Error('the drill forks compiled workers: run `npm run build` first');
}
