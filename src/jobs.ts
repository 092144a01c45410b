// The table of repeating work and the loop that runs one of each at a time in this process. Several processes may run
// the same job: what it takes, it takes by compare-and-set.

export interface Job {
  name: string;
  interval_ms: number;
  /** Does one bounded pass and returns how many things it took. */
  run: () => Promise<number>;
}

export interface JobReport {
  job: string;
  ok: boolean;
  taken: number;
  duration_ms: number;
  error?: unknown;
}

export interface Jobs {
  start(): void;
  /** Runs one pass of the named job now, unless it is running. */
  runNow(name: string): Promise<number>;
  /** Starts nothing more and resolves when what runs has ended. */
  stop(): Promise<void>;
  /** When each job last ended well, in ms; null if never. */
  lastRuns(): Record<string, number | null>;
}

export function createJobs(
  jobs: readonly Job[],
  deps: { now: () => number; onRun: (report: JobReport) => void },
): Jobs {
  const running = new Map<string, Promise<number>>();
  const last_runs = new Map<string, number>();
  const timers: NodeJS.Timeout[] = [];
  let is_stopped = false;

  async function pass(job: Job): Promise<number> {
    const started_at = performance.now();
    try {
      const taken = await job.run();
      last_runs.set(job.name, deps.now());
      deps.onRun({ job: job.name, ok: true, taken, duration_ms: performance.now() - started_at });
      return taken;
    } catch (error) {
      // A job that fails runs again at its next turn; what it had taken is due again by itself.
      deps.onRun({ job: job.name, ok: false, taken: 0, duration_ms: performance.now() - started_at, error });
      return 0;
    }
  }

  function runOnce(job: Job): Promise<number> {
    const current = running.get(job.name);
    if (current) return current;
    const promise = pass(job).finally(() => running.delete(job.name));
    running.set(job.name, promise);
    return promise;
  }

  return {
    start: () => {
      for (const job of jobs) {
        void runOnce(job);
        const timer = setInterval(() => {
          if (!is_stopped) void runOnce(job);
        }, job.interval_ms);
        timers.push(timer);
      }
    },
    runNow: (name) => {
      const job = jobs.find((candidate) => candidate.name === name);
      if (!job) throw new Error(`there is no job ${name}`);
      return runOnce(job);
    },
    stop: async () => {
      is_stopped = true;
      for (const timer of timers) clearInterval(timer);
      await Promise.all(running.values());
    },
    lastRuns: () => Object.fromEntries(jobs.map((job) => [job.name, last_runs.get(job.name) ?? null])),
  };
}
