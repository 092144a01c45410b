// `kamigate order trace`: one order's whole story. With --json the exchanges with suppliers come too, scrubbed.
import type { Command } from 'commander';
import { GatewayError } from '../errors.js';
import { traceOrder, traceText } from '../orders/trace.js';
import { type Context, onGateway } from './context.js';

export function addTrace(order: Command, context: Context): void {
  order
    .command('trace')
    .description('everything that happened to one order, as one timeline; --json has the exchanges too')
    .argument('<id>', 'our id')
    .action((id: string) => trace(context, id));
}

async function trace(context: Context, id: string): Promise<void> {
  await onGateway(context, async ({ database, vault }) => {
    const found = await traceOrder({ knex: database.read, openText: vault.openText.bind(vault) }, id);
    if (!found) {
      throw new GatewayError('order_not_found', `there is no order ${JSON.stringify(id)}`, {
        field: 'id',
        fix: 'Run `kamigate order list` for the ids.',
      });
    }
    context.show(found, () => traceText(found));
  });
}
