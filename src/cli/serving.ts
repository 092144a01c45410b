// `kamigate serve`: runs until told to stop. The first signal stops in order, the second at once.
import { constants } from 'node:os';
import type { Command } from 'commander';
import { type Served, serve } from '../serve.js';
import { version } from '../version.js';
import { type Context, configOf } from './context.js';

export function addServing(program: Command, context: Context): void {
  program
    .command('serve')
    .description('run the gateway: API, metrics and background work in one process')
    .option('--migrate', 'apply pending migrations first (on SQLite they always are)')
    .action(({ migrate }: { migrate?: boolean }) => run(context, migrate === true));
}

async function run(context: Context, migrate: boolean): Promise<void> {
  const { config } = configOf(context);
  let served: Served | null = null;
  let is_stopping = false;
  const stop = (exit_code: number): void => {
    if (is_stopping || !served) process.exit(exit_code);
    is_stopping = true;
    // Ended here rather than by an empty event loop: what is left over must not keep the process.
    const { gateway, stop: stopServing } = served;
    stopServing().then(
      (result) => process.exit(result === 'finished' ? 0 : 1),
      (error: unknown) => {
        gateway.log.error({ err: error }, 'stopping failed; what is left is settled by the next process');
        process.exit(1);
      },
    );
  };
  // Before it serves: a signal that comes with the first request must find somebody.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(128 + constants.signals[signal]));
  // Started by another program over a channel, as the demo does: when that one is gone, so are we.
  if (process.channel) process.on('disconnect', () => stop(1));
  served = await serve(config, { migrate });
  context.tell(`kamigate ${version()}: API at ${served.api_url}/v1, metrics at ${served.metrics_url}/metrics`);
  // Until a signal ends the process.
  await new Promise<never>(() => undefined);
}
