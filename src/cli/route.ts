// Routing from the command line: how an order would be routed now, and what other breaker settings would have done.
import type { Command } from 'commander';
import type { Recipient } from '../../adapters/kit/contract.js';
import { type ExplainedSource, explainRoute, type RouteExplained } from '../orders/explain.js';
import { decimalText } from '../orders/view.js';
import { type AccountReplay, type BreakerRun, replayBreaker } from '../suppliers/replay.js';
import { type Context, columns, onGateway, timeOf, wholeNumber, withDatabase } from './context.js';

export function addRoute(program: Command, context: Context): void {
  program
    .command('route')
    .description('which source an order goes to')
    .command('explain')
    .description('every source of a SKU with its place, or the rule that takes it away; buys nothing')
    .argument('<sku>', 'which SKU')
    .option('--storefront <name>', 'as if this storefront ordered')
    .option('--quantity <n>', 'as if so many were ordered', wholeNumber('--quantity', 1, 10_000), 1)
    .option('--account <text>', 'as if for this account, where sources serve some recipients only')
    .option('--region <text>', 'and in this region')
    .action((sku: string, flags: ExplainFlags) => explain(context, sku, flags));
  program
    .command('breaker')
    .description('circuit breakers of suppliers’ accounts')
    .command('replay')
    .description('run the purchases of the last days through other settings: trips avoided, orders saved, false trips')
    .option('--days <n>', 'how many days', wholeNumber('--days', 1, 90), 7)
    .option('--threshold <percent>', 'share of faults that opens it', wholeNumber('--threshold', 1, 100))
    .option('--volume <n>', 'fewest calls in the window', wholeNumber('--volume', 1, 100_000))
    .option('--window <ms>', 'the window', wholeNumber('--window', 1_000, 3_600_000))
    .option('--open <ms>', 'how long it stays open', wholeNumber('--open', 100, 3_600_000))
    .option('--account <account>', 'only this account')
    .action((flags: ReplayFlags) => replay(context, flags));
}

interface ExplainFlags {
  storefront?: string;
  quantity: number;
  account?: string;
  region?: string;
}

async function explain(
  context: Context,
  sku: string,
  { storefront, quantity, account, region }: ExplainFlags,
): Promise<void> {
  const recipient: Recipient = {
    ...(account === undefined ? {} : { account }),
    ...(region === undefined ? {} : { region }),
  };
  await onGateway(context, async ({ engine }) => {
    const explained = await explainRoute(engine, sku, {
      quantity,
      ...(storefront === undefined ? {} : { storefront }),
      ...(Object.keys(recipient).length === 0 ? {} : { recipient }),
    });
    context.show(routeView(explained), () => routeText(explained));
  });
  context.tell('next: kamigate order show <id> tells the same of an order that was placed');
}

function routeView(explained: RouteExplained): object {
  return { ...explained, sources: explained.sources.map(sourceView), parts: explained.parts.map(routeView) };
}

function routeText({ sku, sources, strategy, parts }: RouteExplained): string {
  if (parts.length > 0) {
    return parts.map((part) => `${part.quantity} of ${part.sku}\n${routeText(part)}`).join('\n\n');
  }
  if (sources.length === 0) return `${sku} has no source`;
  return columns(
    ['place', 'account', 'product', 'cost', 'health', 'delivered', `because (${strategy})`],
    sources.map((source) => [
      source.place,
      source.account,
      source.product,
      costOf(source),
      source.health,
      `${Math.round(source.success_rate * 100)} %`,
      source.rule === null ? source.because : `${source.rule}: ${source.because}`,
    ]),
  );
}

function costOf({ cost_e4, currency }: ExplainedSource): string | null {
  return cost_e4 === null ? null : `${decimalText(cost_e4)} ${currency}`;
}

function sourceView({ cost_e4, ...source }: ExplainedSource) {
  return { ...source, cost: cost_e4 === null ? null : decimalText(cost_e4) };
}

interface ReplayFlags {
  days: number;
  threshold?: number;
  volume?: number;
  window?: number;
  open?: number;
  account?: string;
}

async function replay(context: Context, flags: ReplayFlags): Promise<void> {
  const { days, threshold, volume, window, open, account } = flags;
  await withDatabase(context, 'must_be_current', async (database, config) => {
    const replayed = await replayBreaker(database, {
      days,
      now: Date.now(),
      current: {
        volume_min: config.breaker_volume_min,
        error_percent: config.breaker_error_percent,
        window_ms: config.breaker_window_ms,
        open_ms: config.breaker_open_ms,
      },
      settings: {
        ...(threshold === undefined ? {} : { error_percent: threshold }),
        ...(volume === undefined ? {} : { volume_min: volume }),
        ...(window === undefined ? {} : { window_ms: window }),
        ...(open === undefined ? {} : { open_ms: open }),
      },
      ...(account === undefined ? {} : { account }),
    });
    context.show({ ...replayed, since: timeOf(replayed.since) }, () => replayText(replayed.accounts));
    if (replayed.is_cut)
      context.tell('warning: there are more attempts than are read; ask for fewer days or one account');
  });
  context.tell('next: set breaker_error_percent and its neighbours in kamigate.yaml, and restart');
}

function replayText(accounts: readonly AccountReplay[]): string {
  if (accounts.length === 0) return 'no purchases in these days';
  const both = (now: number, then: number): string => (now === then ? String(now) : `${now} → ${then}`);
  return columns(
    [
      'account',
      'purchases',
      'faults',
      'not sent',
      'trips',
      'false trips',
      'orders saved',
      'turned away',
      'trips avoided',
    ],
    accounts.map(({ account, attempts, faults, never_sent, current, proposed, trips_avoided }) => {
      const change = (field: keyof BreakerRun): string => both(current[field], proposed[field]);
      return [
        account,
        attempts,
        faults,
        never_sent,
        change('trips'),
        change('false_trips'),
        change('orders_saved'),
        change('orders_turned_away'),
        trips_avoided,
      ];
    }),
  );
}
