// The figures of the database that gauges and notices are made of. Each function is a few bounded statements on
// indexes; how often they run is gauges.ts's matter. Times are milliseconds, 0 for none.
import type { Knex } from 'knex';
import { type DUE_QUEUES, OFFER_STATUSES, OPEN_STATES } from './metric-words.js';

export interface Counted {
  count: number;
  /** 0 if there is none. */
  oldest_at: number;
}
export type OpenState = (typeof OPEN_STATES)[number];
export type DueQueue = (typeof DUE_QUEUES)[number];

export interface WorkFigures {
  open: Record<OpenState, Counted>;
  /** Last change of the stalest open order that has nothing at a supplier. */
  unsent_oldest_at: number;
  /** By account; every account asked for has an entry. */
  unknown: Map<string, Counted>;
  due: Record<DueQueue, Counted>;
  /** Undelivered webhooks by storefront; every storefront asked for has an entry. */
  notices: Map<string, Counted>;
}

interface CountRow {
  count: number | string;
  oldest: number | string | null;
}

const NONE: Counted = { count: 0, oldest_at: 0 };

function counted(row: CountRow | undefined): Counted {
  return row ? { count: Number(row.count), oldest_at: Number(row.oldest ?? 0) } : NONE;
}

/** Orders, attempts and webhooks that wait for something. */
export async function readWork(
  knex: Knex,
  { accounts, storefronts, now }: { accounts: readonly string[]; storefronts: readonly string[]; now: number },
): Promise<WorkFigures> {
  return {
    open: await readOpen(knex),
    unsent_oldest_at: await readUnsent(knex),
    unknown: await readUnknown(knex, accounts),
    due: {
      resume_orders: await readDue(knex, 'orders', 'due_at', now),
      look_up: await readDue(knex, 'attempts', 'next_lookup_at', now),
      send_notices: await readDue(knex, 'notices', 'due_at', now),
    },
    notices: await readNotices(knex, storefronts),
  };
}

async function readOpen(knex: Knex): Promise<Record<OpenState, Counted>> {
  // A bundle is as its parts are, and they are counted; one whose turn has not come waits for nobody.
  const rows = (await knex('orders')
    .whereIn('state', [...OPEN_STATES])
    .whereNot({ kind: 'bundle' })
    .where((query) => query.whereNotNull('due_at').orWhere({ state: 'held' }))
    .groupBy('state')
    .select('state')
    .count({ count: '*' })
    .min({ oldest: 'created_at' })) as (CountRow & { state: string })[];
  const of = (state: OpenState): Counted => counted(rows.find((row) => row.state === state));
  return { received: of('received'), sourcing: of('sourcing'), held: of('held') };
}

async function readUnsent(knex: Knex): Promise<number> {
  const row = (await knex('orders')
    .leftJoin('attempts', 'attempts.open_order_id', 'orders.order_id')
    .whereIn('orders.state', ['received', 'sourcing'])
    // A bundle whose parts are on their way, and a part whose turn has not come, wait for nothing to be sent.
    .whereNotNull('orders.due_at')
    .where((query) => query.whereNull('attempts.attempt_id').orWhere('attempts.state', 'planned'))
    .min({ oldest: 'orders.updated_at' })
    .first()) as Pick<CountRow, 'oldest'> | undefined;
  return Number(row?.oldest ?? 0);
}

/** Account by account: the index begins with it, and attempts are the one table that only grows. */
async function readUnknown(knex: Knex, accounts: readonly string[]): Promise<Map<string, Counted>> {
  const rows = (await knex('attempts')
    .whereIn('account', [...accounts])
    .where({ state: 'unknown' })
    .groupBy('account')
    .select('account')
    .count({ count: '*' })
    .min({ oldest: 'doubted_at' })) as (CountRow & { account: string })[];
  return new Map(accounts.map((account) => [account, counted(rows.find((row) => row.account === account))]));
}

async function readDue(knex: Knex, table: string, column: string, now: number): Promise<Counted> {
  const query = knex(table).where(column, '<=', now).count({ count: '*' }).min({ oldest: column });
  return counted((await query.first()) as CountRow | undefined);
}

async function readNotices(knex: Knex, storefronts: readonly string[]): Promise<Map<string, Counted>> {
  const rows = (await knex('notices')
    .whereNotNull('due_at')
    .groupBy('storefront')
    .select('storefront')
    .count({ count: '*' })
    .min({ oldest: 'created_at' })) as (CountRow & { storefront: string })[];
  return new Map(storefronts.map((name) => [name, counted(rows.find((row) => row.storefront === name))]));
}

export type OfferStatus = (typeof OFFER_STATUSES)[number];
export interface CatalogFigures {
  offers: { account: string; status: OfferStatus; count: number }[];
  /** Enabled SKUs by how many sources could deliver them now. */
  live: Record<'0' | '1' | '2' | '3plus', number>;
  /** Some of those without any, for a notice. */
  dead_skus: string[];
  negative_margin: number;
  unmapped: Map<string, number>;
  /** What sweeps and float readings tell of themselves. */
  readings: { account: string; type: 'offers' | 'balance'; at: number; failures: number; took_ms: number | null }[];
  balances: { account: string; balance_e4: number; currency: string }[];
  approvals: Counted;
}

const DEAD_NAMED_MAX = 5;

/** What can be bought, and how sure we are of it. `avoided`: accounts whose breaker is open here. */
export async function readCatalog(
  knex: Knex,
  { accounts, avoided, now }: { accounts: readonly string[]; avoided: readonly string[]; now: number },
): Promise<CatalogFigures> {
  const { live, dead_skus } = await readLive(knex, avoided, now);
  return {
    offers: await readOffers(knex),
    live,
    dead_skus,
    negative_margin: await readNegativeMargin(knex),
    unmapped: await readUnmapped(knex, accounts),
    readings: await readReadings(knex),
    balances: (await knex('floats').whereNotNull('balance_e4').select('account', 'balance_e4', 'currency')) as {
      account: string;
      balance_e4: number;
      currency: string;
    }[],
    approvals: counted(
      (await knex('cost_changes')
        .where({ state: 'pending' })
        .count({ count: '*' })
        .min({ oldest: 'created_at' })
        .first()) as CountRow | undefined,
    ),
  };
}

async function readOffers(knex: Knex): Promise<CatalogFigures['offers']> {
  const status = knex.raw(
    `case when is_enabled = 0 then 'off' when account = 'vault' then 'active' when cost_e4 is null then 'unpriced'
     when cost_state <> 'settled' then 'pending' when stock = 0 then 'out_of_stock' else 'active' end as status`,
  );
  const rows = (await knex
    .from(knex('sources').select('account', status).as('each'))
    .groupBy('account', 'status')
    .select('account', 'status')
    .count({ count: '*' })) as { account: string; status: OfferStatus; count: number | string }[];
  const accounts = [...new Set(rows.map((row) => row.account))];
  // Every status of an account that has any source: a share needs its zeroes.
  return accounts.flatMap((account) =>
    OFFER_STATUSES.map((each) => {
      const row = rows.find((one) => one.account === account && one.status === each);
      return { account, status: each, count: Number(row?.count ?? 0) };
    }),
  );
}

/** The sources routing would not take away for good: see RULES in orders/routing.ts. */
function liveSources(knex: Knex, avoided: readonly string[], now: number): Knex.QueryBuilder {
  return knex('sources')
    .join('accounts', 'accounts.account', 'sources.account')
    .join('skus', 'skus.sku', 'sources.sku')
    .where({ 'skus.is_enabled': 1, 'sources.is_enabled': 1, 'accounts.is_enabled': 1 })
    .whereNull('accounts.paused_at')
    .whereNotIn('sources.account', ['', ...avoided])
    .where((query) =>
      query
        .where((vault) =>
          vault
            .where('accounts.adapter', 'vault')
            .whereNot('skus.vault_rank', 'never')
            .whereExists(
              knex('codes')
                .where('codes.sku', knex.ref('sources.sku'))
                .where('codes.state', 'available')
                .where('codes.expires_at', '>', now)
                .select(knex.raw('1')),
            ),
        )
        .orWhere((supplier) =>
          supplier
            .whereNot('accounts.adapter', 'vault')
            .whereNotNull('sources.cost_e4')
            .where((stock) => stock.whereNull('sources.stock').orWhere('sources.stock', '>', 0)),
        ),
    );
}

async function readLive(
  knex: Knex,
  avoided: readonly string[],
  now: number,
): Promise<Pick<CatalogFigures, 'live' | 'dead_skus'>> {
  const rows = (await liveSources(knex, avoided, now)
    .groupBy('sources.sku')
    .select('sources.sku')
    .count({ count: '*' })) as { sku: string; count: number | string }[];
  const enabled = (await knex('skus')
    .where({ is_enabled: 1 })
    // A bundle has no source of its own: it lives as its parts do, and they are counted.
    .whereNot({ kind: 'bundle' })
    .select('sku')
    .orderBy('sku')) as { sku: string }[];
  const counts = new Map(rows.map((row) => [row.sku, Number(row.count)]));
  const live = { '0': 0, '1': 0, '2': 0, '3plus': 0 };
  for (const { sku } of enabled) {
    const count = counts.get(sku) ?? 0;
    live[count >= 3 ? '3plus' : (String(count) as '0' | '1' | '2')]++;
  }
  const dead = enabled.filter(({ sku }) => !counts.has(sku));
  return { live, dead_skus: dead.slice(0, DEAD_NAMED_MAX).map(({ sku }) => sku) };
}

async function readNegativeMargin(knex: Knex): Promise<number> {
  const losing = knex('sources')
    .join('skus', 'skus.sku', 'sources.sku')
    .where({ 'skus.is_enabled': 1, 'sources.is_enabled': 1, 'sources.currency': knex.ref('skus.currency') })
    .groupBy('skus.sku', 'skus.price_e4')
    .havingRaw('min(sources.cost_e4) > skus.price_e4')
    .select('skus.sku')
    .as('losing');
  return Number(((await knex.from(losing).count({ count: '*' }).first()) as CountRow | undefined)?.count ?? 0);
}

async function readUnmapped(knex: Knex, accounts: readonly string[]): Promise<Map<string, number>> {
  const rows = (await knex('offers')
    .leftJoin('sources', (on) => on.on('sources.account', 'offers.account').andOn('sources.product', 'offers.product'))
    .where('offers.status', 'listed')
    .whereNull('sources.source')
    .whereNull('offers.dismissed_at')
    .groupBy('offers.account')
    .select('offers.account')
    .count({ count: '*' })) as { account: string; count: number | string }[];
  return new Map(accounts.map((account) => [account, Number(rows.find((row) => row.account === account)?.count ?? 0)]));
}

async function readReadings(knex: Knex): Promise<CatalogFigures['readings']> {
  const sweeps = (await knex('sweeps').select('account', 'swept_at', 'swept_ms', 'failures')) as {
    account: string;
    swept_at: number | null;
    swept_ms: number | null;
    failures: number;
  }[];
  const floats = (await knex('floats').select('account', 'read_at', 'failures')) as {
    account: string;
    read_at: number | null;
    failures: number;
  }[];
  return [
    ...sweeps.map(({ account, swept_at, swept_ms, failures }) => {
      return { account, type: 'offers' as const, at: Number(swept_at ?? 0), failures, took_ms: swept_ms };
    }),
    ...floats.map(({ account, read_at, failures }) => {
      return { account, type: 'balance' as const, at: Number(read_at ?? 0), failures, took_ms: null };
    }),
  ];
}

export interface CostChange {
  change_id: string;
  account: string;
  old_cost_e4: number | null;
  new_cost_e4: number;
  state: string;
}

const CHANGES_MAX = 5_000;

/** Changes of cost written since `after` (an id), oldest first. */
export async function readCostChanges(knex: Knex, after: string): Promise<CostChange[]> {
  return knex('cost_changes')
    .where('change_id', '>', after)
    .orderBy('change_id')
    .limit(CHANGES_MAX)
    .select('change_id', 'account', 'old_cost_e4', 'new_cost_e4', 'state');
}

/** The newest change of cost, by id; '' if there is none. */
export async function newestCostChange(knex: Knex): Promise<string> {
  const row = (await knex('cost_changes').max({ newest: 'change_id' }).first()) as
    | { newest: string | null }
    | undefined;
  return row?.newest ?? '';
}

export interface VaultDetails {
  /** Enabled code SKUs with the codes of each that could be issued now; `is_stocked`: codes were ever bought for stock. */
  skus: { sku: string; available: number; is_stocked: boolean }[];
  untrusted: number;
  keys_to_rewrap: number;
}

/** What `vault.figures` does not tell: stock by SKU, and what was taken out because it could not be opened. */
export async function readVaultDetails(knex: Knex, now: number): Promise<VaultDetails> {
  const skus = (await knex('skus')
    .where({ kind: 'code', is_enabled: 1 })
    .whereNot({ vault_rank: 'never' })
    .select('sku')) as { sku: string }[];
  // What a supplier delivers for an order passes through the vault too; only what was bought for stock can run out.
  const deposited = new Set(
    ((await knex('batches').where({ origin: 'deposit' }).distinct('sku')) as { sku: string }[]).map(({ sku }) => sku),
  );
  const rows = (await knex('codes')
    .where({ state: 'available' })
    .where('expires_at', '>', now)
    .groupBy('sku')
    .select('sku')
    .count({ count: '*' })) as { sku: string; count: number | string }[];
  const available = new Map(rows.map(({ sku, count }) => [sku, Number(count)]));
  const untrusted = await knex('codes')
    .where({ state: 'quarantined', reason: 'unauthentic' })
    .count({ count: '*' })
    .first();
  const newest = knex('master_keys').max('version');
  const keys = await knex('batch_keys').where('master_version', '<', newest).count({ count: '*' }).first();
  return {
    skus: skus.map(({ sku }) => ({ sku, available: available.get(sku) ?? 0, is_stocked: deposited.has(sku) })),
    untrusted: Number(untrusted?.count ?? 0),
    keys_to_rewrap: Number(keys?.count ?? 0),
  };
}
