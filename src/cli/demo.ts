// `kamigate demo`: see it work, on this machine alone.
import type { Command } from 'commander';
import { runDemo } from '../demo/tour.js';
import { type Context, wholeNumber } from './context.js';

export function addDemo(program: Command, context: Context): void {
  program
    .command('demo')
    .description('start a gateway with three simulated suppliers, walk a tour, and stay up')
    .option('--once', 'in a temporary folder, and end after the tour')
    .option('--dir <folder>', 'where its data goes', './data/demo')
    .option(
      '--api-port <port>',
      'where its API listens, if that port is free',
      wholeNumber('--api-port', 1, 65_535),
      8080,
    )
    .action((flags: { once?: boolean; dir: string; apiPort: number }) => demo(context, flags));
}

async function demo(context: Context, flags: { once?: boolean; dir: string; apiPort: number }): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    let signals = 0;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        // A second one is impatience: what runs is ended by the closing of its channel.
        if (++signals > 1) process.exit(130);
        resolve();
      });
    }
  });
  const exit_code = await runDemo({
    once: flags.once === true,
    folder: flags.dir,
    port: flags.apiPort,
    print: context.out,
    stopped,
  });
  process.exit(exit_code);
}
