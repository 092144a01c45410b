// Suppliers' products that no SKU has as a source: see them with what they may be, and say what each of them is.
import type { Command } from 'commander';
import { acceptMapping, dismissProduct, listUnmapped, type Unmapped } from '../catalog/suggestions.js';
import { decimalText } from '../orders/view.js';
import { type Context, columns, wholeNumber, withDatabase } from './context.js';
import { usageError } from './failure.js';

interface UnmappedFlags {
  account?: string;
  after?: string;
  limit: number;
}

export function addSkus(program: Command, context: Context): void {
  const sku = program.command('sku').description('SKUs and the supplier products they are bought as');
  sku
    .command('unmapped', { isDefault: true })
    .description('listed products that are a source of no SKU, each with the SKUs it may be and why')
    .option('--account <account>', 'only of this account')
    .option('--after <product>', 'go on after this product of the account')
    .option('--limit <n>', 'how many', wholeNumber('--limit', 1, 1_000), 50)
    .action((flags: UnmappedFlags) => unmapped(context, flags));
  sku
    .command('map')
    .description('make a listed product a source of a SKU; it is bought from once the sweep has read its cost')
    .argument('<account>', 'whose product')
    .argument('<product>', 'which product')
    .argument('<sku>', 'what it is')
    .requiredOption('--by <name>', 'who says so')
    .option(
      '--priority <n>',
      'its place among the sources; less is earlier',
      wholeNumber('--priority', 0, 1_000_000),
      100,
    )
    .action((account: string, product: string, name: string, flags: { by: string; priority: number }) =>
      map(context, { account, product, sku: name, ...flags }),
    );
  sku
    .command('dismiss')
    .description('suggest a product no more: it is nothing we sell')
    .argument('<account>', 'whose product')
    .argument('<product>', 'which product')
    .requiredOption('--by <name>', 'who says so')
    .action((account: string, product: string, { by }: { by: string }) => dismiss(context, { account, product, by }));
}

async function unmapped(context: Context, { account, after, limit }: UnmappedFlags): Promise<void> {
  if (after !== undefined && account === undefined)
    throw usageError('--after', '--after stands without --account', 'Name the account whose list goes on.');
  await withDatabase(context, 'must_be_current', async (database) => {
    const products = await listUnmapped(database.read, {
      limit,
      ...(account === undefined ? {} : { account }),
      ...(after === undefined ? {} : { after }),
    });
    context.show(products.map(unmappedView), () => (products.length === 0 ? 'nothing is unmapped' : tableOf(products)));
    const last = products.at(-1);
    if (!last) return;
    if (account !== undefined && products.length === limit)
      context.tell(`more: kamigate sku unmapped --account ${account} --after ${JSON.stringify(last.product)}`);
    context.tell(
      'next: kamigate sku map <account> <product> <sku> --by …, or kamigate sku dismiss <account> <product> --by …',
    );
  });
}

function tableOf(products: readonly Unmapped[]): string {
  return columns(
    ['account', 'product', 'name', 'kind', 'cost', 'may be', 'because'],
    products.map(({ suggestions: [best], ...product }) => [
      product.account,
      product.product,
      product.name,
      product.kind,
      moneyText(product.cost_e4, product.currency),
      best ? `${best.sku} (${best.score})` : null,
      best ? best.because.join('; ') : null,
    ]),
  );
}

async function map(
  context: Context,
  wanted: { account: string; product: string; sku: string; by: string; priority: number },
): Promise<void> {
  await withDatabase(context, 'must_be_current', async (database) => {
    const { source } = await acceptMapping(database, wanted, Date.now());
    const { account, product, sku, priority } = wanted;
    context.show({ source, sku, account, product, priority }, () => `${account} ${product} is a source of ${sku}`);
  });
  context.tell(`next: kamigate route explain ${wanted.sku}`);
}

async function dismiss(context: Context, wanted: { account: string; product: string; by: string }): Promise<void> {
  const { account, product } = wanted;
  await withDatabase(context, 'must_be_current', async (database) => {
    await dismissProduct(database, wanted, Date.now());
    context.show({ account, product, dismissed: true }, () => `${account} ${product} is not suggested any more`);
  });
  context.tell(`next: kamigate sku unmapped --account ${account}`);
}

function unmappedView({ cost_e4, face_value_e4, ...product }: Unmapped) {
  return {
    ...product,
    cost: cost_e4 === null ? null : decimalText(cost_e4),
    face_value: face_value_e4 === null ? null : decimalText(face_value_e4),
  };
}

function moneyText(amount_e4: number | null, currency: string | null): string | null {
  return amount_e4 === null || currency === null ? null : `${decimalText(amount_e4)} ${currency}`;
}
