// Held orders: what waits for a person, and that person's decision.
import { type Command, Option } from 'commander';
import { type Code, Secret } from '../../adapters/kit/contract.js';
import type { Gateway } from '../main.js';
import { decide, readHeld, VERDICTS, type Verdict } from '../orders/operator.js';
import { decimalText } from '../orders/view.js';
import { CODES_BYTES_MAX, readCodes } from './codes.js';
import { type Context, columns, onGateway, readInput, timeOf, wholeNumber } from './context.js';
import { attemptView, operatorView } from './orders.js';

interface DecideFlags {
  as: Verdict;
  by: string;
  reason: string;
  evidence: string;
  codesFile?: string;
}

export function addHeld(program: Command, context: Context): void {
  const held = program.command('held').description('orders that wait for a person’s decision');
  held
    .command('list', { isDefault: true })
    .description('what waits, oldest first, with the attempt to decide on')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, 1_000), 100)
    .action(({ limit }: { limit: number }) => list(context, limit));
  held
    .command('decide')
    .description('decide what became of it; kept for ever with name, reason and evidence')
    .argument('<order_id>', 'which order')
    .addOption(new Option('--as <verdict>', 'what became of it').choices(VERDICTS).makeOptionMandatory())
    .requiredOption('--by <name>', 'who decides')
    .requiredOption('--reason <text>', 'why')
    .requiredOption('--evidence <text>', 'what proves it: a message, a statement line, a ticket')
    .option('--codes-file <path>', 'for --as delivered of codes: number[,pin[,serial]] a line; - reads standard input')
    .action((order_id: string, flags: DecideFlags) => decideOn(context, order_id, flags));
}

async function list(context: Context, limit: number): Promise<void> {
  await onGateway(context, async ({ database }) => {
    const orders = await readHeld(database.read, limit);
    context.show(
      orders.map(({ open_attempt, ...order }) => ({
        ...operatorView(order),
        open_attempt: open_attempt && attemptView(open_attempt),
      })),
      () =>
        orders.length === 0
          ? 'nothing is held'
          : columns(
              ['order', 'sku', 'units', 'held because', 'attempt', 'account', 'at risk', 'since'],
              orders.map(({ open_attempt: attempt, ...order }) => [
                order.order_id,
                order.sku,
                `${order.delivered_quantity}/${order.quantity}`,
                order.held_reason,
                attempt?.state ?? null,
                attempt?.account ?? null,
                attempt?.cost_ceiling_e4 ? `${decimalText(attempt.cost_ceiling_e4)} ${attempt.currency}` : null,
                timeOf(order.updated_at),
              ]),
            ),
    );
    if (orders.length > 0) context.tell('next: kamigate held decide <order_id> --as … --by … --reason … --evidence …');
  });
}

async function decideOn(context: Context, order_id: string, flags: DecideFlags): Promise<void> {
  const { as: verdict, by, reason, evidence, codesFile } = flags;
  const codes = codesFile === undefined ? null : await codesOf(codesFile);
  const work = async ({ engine }: Gateway): Promise<void> => {
    // Without a fulfilment of its own: the order is due at once, and a serving process takes it up.
    const order = await decide(engine, null, { order_id, verdict, by, reason, evidence, ...(codes ? { codes } : {}) });
    context.show(operatorView(order), () => `${order.order_id}  ${order.state}`);
  };
  await onGateway(context, work, { issues: true });
  context.tell(`next: kamigate order show ${order_id}`);
}

async function codesOf(path: string): Promise<Code[]> {
  const lines = readCodes('--codes-file', await readInput('--codes-file', path, CODES_BYTES_MAX));
  return lines.map(({ number, pin, serial }) => ({
    ...(number === undefined ? {} : { number: new Secret(number) }),
    ...(pin === undefined ? {} : { pin: new Secret(pin) }),
    ...(serial === undefined ? {} : { serial: new Secret(serial) }),
  }));
}
