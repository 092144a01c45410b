// Rates of exchange: set one for a day, see them all. A rate that is too old is not used, so somebody sets them anew.
import type { Command } from 'commander';
import { listRates, type RateRow, setRate } from '../catalog/currencies.js';
import { type Context, columns, timeOf, wholeNumber, withDatabase } from './context.js';
import { usageError } from './failure.js';

interface SetFlags {
  by: string;
  base?: string;
  asOf?: number;
  jumpIsMeant?: boolean;
}

export function addRates(program: Command, context: Context): void {
  const rate = program.command('rate').description('rates of exchange');
  rate
    .command('list', { isDefault: true })
    .description('every rate, the newest day first')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, 1_000), 100)
    .action(({ limit }: { limit: number }) => list(context, limit));
  rate
    .command('set')
    .description('set what one unit of a currency is worth on a day; the same day again replaces it')
    .argument('<currency>', 'which currency, such as USD')
    .argument('<rate>', 'what one unit of it is worth, such as 7.1234')
    .requiredOption('--by <name>', 'who sets it')
    .option('--base <currency>', 'in this currency; the setting base_currency if left out')
    .option('--as-of <day>', 'of this day, such as 2026-01-31; today (UTC) if left out', dayOf('--as-of'))
    .option('--jump-is-meant', 'it is far from the rate before, and that is right')
    .action((currency: string, worth: string, flags: SetFlags) => set(context, currency, worth, flags));
}

async function list(context: Context, limit: number): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database, { base_currency, rate_days_max }) => {
    const rates = await listRates(database.read, limit);
    context.show(rates.map(rateView), () =>
      rates.length === 0
        ? 'no rates'
        : columns(
            ['day', 'currency', 'rate', 'base', 'set by', 'set at'],
            rates
              .map(rateView)
              .map((rate) => [rate.as_of, rate.currency, rate.rate, rate.base, rate.set_by, rate.updated_at]),
          ),
    );
    context.tell(`used: those into ${base_currency}, of the last ${rate_days_max} days`);
  });
  context.tell('next: kamigate rate set <currency> <rate> --by …');
}

async function set(context: Context, currency: string, worth: string, flags: SetFlags): Promise<void> {
  const { by, base, asOf, jumpIsMeant = false } = flags;
  await withDatabase(context, 'must_be_current', async (database, config) => {
    const now = Date.now();
    const row = await setRate(
      database,
      {
        currency,
        rate: worth,
        by,
        base: base ?? config.base_currency,
        as_of: asOf ?? now,
        is_jump_meant: jumpIsMeant,
      },
      now,
    );
    const rate = rateView(row);
    context.show(rate, () => `1 ${rate.currency} = ${rate.rate} ${rate.base} on ${rate.as_of}`);
  });
  context.tell('next: kamigate rate list');
}

function rateView({ rate_e8, as_of, created_at: _, updated_at, ...row }: RateRow) {
  return {
    ...row,
    rate: rateText(rate_e8),
    as_of: new Date(as_of).toISOString().slice(0, 10),
    updated_at: timeOf(updated_at),
  };
}

function rateText(rate_e8: number): string {
  const digits = String(rate_e8).padStart(9, '0');
  return `${digits.slice(0, -8)}.${digits.slice(-8).replace(/0+$/, '').padEnd(2, '0')}`;
}

/** A day as milliseconds at midnight UTC. For commander: throws a usage error that names the flag. */
export function dayOf(field: string): (text: string) => number {
  return (text) => {
    const at = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
    // The parser takes 2026-02-30 for the second of March.
    if (Number.isFinite(at) && new Date(at).toISOString().startsWith(text)) return at;
    throw usageError(field, `${field} is not a day`, `Write it such as ${field} 2026-01-31.`);
  };
}
