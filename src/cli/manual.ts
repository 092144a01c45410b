// What waits for a person to fulfil it: see the queue, take one in hand, hand it back. What became of it is decided with
// `kamigate held decide`, by the one who has it.
import type { Command } from 'commander';
import { handBackManual, type ManualTask, readManualQueue, takeManual } from '../orders/manual.js';
import { decimalText } from '../orders/view.js';
import { type Context, columns, timeOf, wholeNumber, withDatabase } from './context.js';

export function addManual(program: Command, context: Context): void {
  const manual = program.command('manual').description('orders that a person fulfils');
  manual
    .command('list', { isDefault: true })
    .description('what waits, oldest first; recipients are masked until one is taken')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, 1_000), 100)
    .action(({ limit }: { limit: number }) => list(context, limit));
  manual
    .command('take')
    .description('take one in hand, so that nobody else fulfils it, and see for whom it is; recorded with your name')
    .argument('<attempt_id>', 'which')
    .requiredOption('--by <name>', 'who takes it')
    .action((attempt_id: string, { by }: { by: string }) => take(context, attempt_id, by));
  manual
    .command('hand-back')
    .description('put it back into the queue: nothing was done for it')
    .argument('<attempt_id>', 'which')
    .requiredOption('--by <name>', 'who says so')
    .requiredOption('--reason <text>', 'why, and how it is known that nothing was done')
    .action((attempt_id: string, flags: { by: string; reason: string }) => handBack(context, attempt_id, flags));
}

async function list(context: Context, limit: number): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    const tasks = await readManualQueue(database.read, limit);
    context.show(tasks.map(taskView), () =>
      tasks.length === 0
        ? 'nothing waits for a person'
        : columns(
            ['attempt', 'order', 'sku', 'what', 'units', 'for', 'taken by', 'since', 'deadline'],
            tasks.map((task) => [
              task.attempt_id,
              task.order_id,
              task.sku,
              task.product,
              task.quantity,
              task.recipient?.account ?? null,
              task.taken_by,
              timeOf(task.queued_at),
              task.order_state === 'held' ? 'held' : timeOf(task.deadline_at),
            ]),
          ),
    );
    if (tasks.length > 0) context.tell('next: kamigate manual take <attempt> --by …');
  });
}

async function take(context: Context, attempt_id: string, by: string): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    const task = await takeManual({ database, now: Date.now }, { attempt_id, by });
    context.show(taskView(task), () =>
      [
        `${task.quantity} × ${task.sku}: ${task.product}`,
        ...Object.entries(task.recipient ?? {}).map(
          ([name, value]) => `  ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
        ),
      ].join('\n'),
    );
    context.tell(
      `next: kamigate held decide ${task.order_id} --as delivered --by ${JSON.stringify(by)} --reason … --evidence …`,
    );
  });
}

async function handBack(context: Context, attempt_id: string, flags: { by: string; reason: string }): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    await handBackManual({ database, now: Date.now }, { attempt_id, ...flags });
    context.show({ attempt_id, handed_back: true }, () => `${attempt_id} is in the queue again`);
  });
}

function taskView({ cost_ceiling_e4, ...task }: ManualTask) {
  return {
    ...task,
    cost_ceiling: cost_ceiling_e4 === null ? null : decimalText(cost_ceiling_e4),
    queued_at: timeOf(task.queued_at),
    deadline_at: timeOf(task.deadline_at),
    taken_at: timeOf(task.taken_at),
  };
}
