// Orders from the command line: place one as a storefront would, and see all of it as an operator may.
import type { Command } from 'commander';
import type { Config } from '../../config/load.js';
import { GatewayError } from '../errors.js';
import { checkBody } from '../http/input.js';
import { orderRequest } from '../http/orders.js';
import { newUlid } from '../ids.js';
import type { Gateway } from '../main.js';
import { readParts } from '../orders/parts.js';
import { ORDER_STATES, type OrderState } from '../orders/states.js';
import { type AttemptRow, type EventRow, type OrderRow, readAttempts } from '../orders/store.js';
import { decimalText, orderView } from '../orders/view.js';
import { type Context, columns, onGateway, timeOf, wholeNumber } from './context.js';
import { usageError } from './failure.js';
import { addTrace } from './trace.js';
import { addOrderCodes } from './vault-codes.js';

const WAIT_S_MAX = 600;
const LIST_MAX = 1_000;

interface PlaceFlags {
  storefront: string;
  sku: string;
  quantity: number;
  externalId?: string;
  account?: string;
  recipient?: Record<string, string>;
  maxUnitPrice?: string;
  currency?: string;
  allowPartial?: boolean;
  wait: number;
}

export function addOrders(program: Command, context: Context): void {
  const order = program.command('order').description('orders, as an operator may see them');
  order
    .command('place')
    .description('order something for a storefront; the same --external-id again is the same order')
    .requiredOption('--storefront <name>', 'who orders')
    .requiredOption('--sku <sku>', 'what')
    .option('--quantity <n>', 'how many', wholeNumber('--quantity', 1, 10_000), 1)
    .option('--external-id <id>', 'the storefront’s own id for it; a new one is made if left out')
    .option('--account <text>', 'the account a recharge is for')
    .option('--recipient <name=value>', 'further recipient fields: account_type, region, server, role', addPair)
    .option('--max-unit-price <amount>', 'refuse if dearer; needs --currency')
    .option('--currency <code>', 'the currency of --max-unit-price')
    .option('--allow-partial', 'deliver what there is')
    .option('--wait <seconds>', 'how long to wait for the end', wholeNumber('--wait', 0, WAIT_S_MAX), 30)
    .action((flags: PlaceFlags) => place(context, flags));
  order
    .command('show')
    .description('one order with its attempts and events')
    .argument('<id>', 'our id, or with --storefront its external id')
    .option('--storefront <name>', 'whose external id it is')
    .action((id: string, { storefront }: { storefront?: string }) => show(context, id, storefront));
  order
    .command('list', { isDefault: true })
    .description('orders, newest first')
    .option('--storefront <name>', 'only of this storefront')
    .option('--state <state>', `one of ${ORDER_STATES.join(', ')}`)
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, LIST_MAX), 20)
    .action((flags: { storefront?: string; state?: string; limit: number }) => list(context, flags));
  addTrace(order, context);
  addOrderCodes(order, context);
}

function addPair(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1)
    throw usageError('--recipient', '--recipient is not name=value', 'Write it such as --recipient region=CN.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

async function place(context: Context, flags: PlaceFlags): Promise<void> {
  const recipient = { ...flags.recipient, ...(flags.account === undefined ? {} : { account: flags.account }) };
  const work = async (gateway: Gateway, config: Config): Promise<void> => {
    const { storefront } = flags;
    await mustHaveStorefront(gateway, storefront);
    const request = checkBody(orderRequest(config), {
      external_id: flags.externalId ?? `cli-${newUlid(Date.now())}`,
      sku: flags.sku,
      quantity: flags.quantity,
      recipient: Object.keys(recipient).length > 0 ? recipient : null,
      max_unit_price: flags.maxUnitPrice ?? null,
      currency: flags.currency ?? null,
      allow_partial: flags.allowPartial ?? null,
    });
    const { order, is_replay } = await gateway.orders.place({ storefront, request });
    const rested = await gateway.orders.waitFor(order.order_id, flags.wait * 1_000);
    const view = await gateway.orders.view(rested);
    const parts = await gateway.orders.parts(order.order_id);
    context.show({ ...view, idempotent_replayed: is_replay }, () => orderText(rested, parts));
    if (is_replay) context.tell('this external id was there already: nothing was ordered anew');
    context.tell(`next: kamigate order show ${order.order_id}`);
  };
  await onGateway(context, work, { issues: true });
}

async function mustHaveStorefront({ database }: Gateway, storefront: string): Promise<void> {
  if (await database.read('storefronts').where({ storefront, is_enabled: 1 }).first('storefront')) return;
  throw new GatewayError('not_found', `there is no storefront ${JSON.stringify(storefront)}`, {
    field: '--storefront',
    fix: 'Add it to the catalog file and run `kamigate apply`.',
  });
}

async function show(context: Context, id: string, storefront: string | undefined): Promise<void> {
  await onGateway(context, async ({ database, orders }) => {
    const by = storefront === undefined ? { order_id: id } : { storefront, external_id: id };
    const order = (await database.read('orders').where(by).first()) as OrderRow | undefined;
    if (!order) {
      throw new GatewayError('order_not_found', `there is no order ${JSON.stringify(id)}`, {
        field: 'id',
        fix: 'Run `kamigate order list`; for an external id add --storefront.',
      });
    }
    const attempts = await readAttempts(database.read, order.order_id);
    const events = await orders.events(order.order_id);
    const parts = await orders.parts(order.order_id);
    context.show(
      { ...operatorView(order, parts), attempts: attempts.map(attemptView), events: events.map(eventOf) },
      () => [orderText(order, parts), '', attemptsText(attempts), '', eventsText(events)].join('\n'),
    );
  });
}

async function list(context: Context, flags: { storefront?: string; state?: string; limit: number }): Promise<void> {
  const state = flags.state;
  if (state !== undefined && !ORDER_STATES.includes(state as OrderState)) {
    throw usageError('--state', `there is no state ${JSON.stringify(state)}`, `Use one of ${ORDER_STATES.join(', ')}.`);
  }
  await onGateway(context, async ({ database }) => {
    const query = database.read('orders').orderBy('order_id', 'desc').limit(flags.limit);
    if (flags.storefront !== undefined) query.where({ storefront: flags.storefront });
    if (state !== undefined) query.where({ state });
    const orders = (await query) as OrderRow[];
    const parts = await readParts(
      database.read,
      orders.filter(({ kind }) => kind === 'bundle').map(({ order_id }) => order_id),
    );
    context.show(
      orders.map((order) => operatorView(order, parts.get(order.order_id))),
      () => ordersText(orders),
    );
  });
}

/** The storefront's view and what only an operator sees: a bundle's parts are orders of their own. */
export function operatorView(order: OrderRow, parts: readonly OrderRow[] = []) {
  const { storefront, held_reason, due_at, deadline_at, attempts_count, parent_order_id } = order;
  const view = orderView(order, parts);
  return {
    ...view,
    parts: view.parts?.map((part, index) => ({ order_id: parts[index]?.order_id, ...part })) ?? null,
    parent_order_id,
    storefront,
    held_reason,
    due_at: timeOf(due_at),
    deadline_at: timeOf(deadline_at),
    attempts_count,
  };
}

/** An attempt with money as decimal text and times in RFC 3339. */
export function attemptView(attempt: AttemptRow) {
  const { open_order_id, cost_e4, expected_cost_e4, cost_ceiling_e4, ...facts } = attempt;
  return {
    ...facts,
    is_open: open_order_id !== null,
    cost: cost_e4 === null ? null : decimalText(cost_e4),
    expected_cost: expected_cost_e4 === null ? null : decimalText(expected_cost_e4),
    cost_ceiling: cost_ceiling_e4 === null ? null : decimalText(cost_ceiling_e4),
    planned_at: timeOf(attempt.planned_at),
    sent_at: timeOf(attempt.sent_at),
    doubted_at: timeOf(attempt.doubted_at),
    settled_at: timeOf(attempt.settled_at),
    detached_at: timeOf(attempt.detached_at),
    next_lookup_at: timeOf(attempt.next_lookup_at),
  };
}

function eventOf({ event_id, at, type, data }: EventRow) {
  return { event_id, at: timeOf(at), type, data: JSON.parse(data) as unknown };
}

export function ordersText(orders: readonly OrderRow[]): string {
  if (orders.length === 0) return 'no orders';
  return columns(
    ['order', 'storefront', 'external id', 'sku', 'units', 'state', 'reason', 'created'],
    orders.map((order) => [
      order.order_id,
      order.storefront,
      order.external_id,
      order.sku,
      `${order.delivered_quantity}/${order.quantity}`,
      order.state,
      order.held_reason ?? order.reason,
      timeOf(order.created_at),
    ]),
  );
}

function orderText(order: OrderRow, parts: readonly OrderRow[]): string {
  const view = orderView(order, parts);
  return [
    `${view.id}  ${stateText(order)}`,
    `  ${order.storefront} ${view.external_id}: ${unitsText(order)}, ${view.total_price} ${view.currency}`,
    `  ${view.final ? 'final' : 'not final'}, refund advice ${view.refund_advice}, ${view.refundable_amount} to refund`,
    ...(order.parent_order_id === null ? [] : [`  a part of the bundle ${order.parent_order_id}`]),
    ...parts.map((part, index) => `  part ${index + 1}: ${part.order_id}  ${unitsText(part)}  ${stateText(part)}`),
  ].join('\n');
}

function stateText({ state, held_reason, reason }: OrderRow): string {
  const why = held_reason ?? reason;
  return why === null ? state : `${state} (${why})`;
}

function unitsText({ delivered_quantity, quantity, sku }: OrderRow): string {
  return `${delivered_quantity} of ${quantity} ${sku}`;
}

function attemptsText(attempts: readonly AttemptRow[]): string {
  if (attempts.length === 0) return 'no attempts';
  return columns(
    ['attempt', 'account', 'product', 'units', 'state', 'why', 'cost', 'settled by'],
    attempts.map((attempt) => [
      attempt.number,
      attempt.account,
      attempt.product,
      attempt.quantity,
      attempt.detached_at === null ? attempt.state : `${attempt.state}, detached`,
      attempt.reason ?? attempt.doubt,
      attempt.cost_e4 === null ? null : decimalText(attempt.cost_e4),
      attempt.settled_by,
    ]),
  );
}

function eventsText(events: readonly EventRow[]): string {
  return events.map(({ at, type, data }) => `${timeOf(at)}  ${type}  ${data}`).join('\n');
}
