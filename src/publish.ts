// Figures as gauges: every series of a gauge is set at once and those that are gone are removed.
import type { VaultFigures } from '../vault/figures.js';
import type { CatalogFigures, Counted, VaultDetails, WorkFigures } from './figures.js';
import type { GaugeOptions } from './gauges.js';
import { STOCK_STATUSES, VIOLATIONS } from './metric-words.js';
import type { ToBase } from './observe.js';
import type { Metrics } from './registry.js';
import { type AccountFacts, VAULT_ACCOUNT } from './suppliers/accounts.js';
import type { Channels } from './suppliers/channels.js';

const seconds = (at_ms: number): number => at_ms / 1_000;

function each<L extends string>(values: Readonly<Record<L, number>>): [L, number][] {
  return Object.entries(values) as [L, number][];
}

function counts(by: ReadonlyMap<string, Counted>, label: 'supplier' | 'storefront') {
  const series = [...by].map(([name, counted]) => ({ labels: { [label]: name } as never, counted }));
  return {
    count: series.map(({ labels, counted }) => ({ labels, value: counted.count })),
    oldest: series.map(({ labels, counted }) => ({ labels, value: seconds(counted.oldest_at) })),
  };
}

export function publishWork(metrics: Metrics, work: WorkFigures): void {
  for (const [state, { count, oldest_at }] of Object.entries(work.open)) {
    metrics.set('orders_open', { state }, count);
    metrics.set('orders_open_oldest_timestamp_seconds', { state }, seconds(oldest_at));
  }
  metrics.set('orders_unsent_oldest_timestamp_seconds', {}, seconds(work.unsent_oldest_at));
  const unknown = counts(work.unknown, 'supplier');
  metrics.replace('unknown_outcomes', unknown.count);
  metrics.replace('unknown_outcome_oldest_timestamp_seconds', unknown.oldest);
  for (const [queue, { count, oldest_at }] of Object.entries(work.due)) {
    metrics.set('jobs_pending', { queue }, count);
    metrics.set('jobs_oldest_timestamp_seconds', { queue }, seconds(oldest_at));
  }
  const notices = counts(work.notices, 'storefront');
  metrics.replace('notify_pending', notices.count);
  metrics.replace('notify_oldest_pending_timestamp_seconds', notices.oldest);
}

export function publishCatalog(
  metrics: Metrics,
  catalog: CatalogFigures,
  { accounts, toBase }: { accounts: readonly AccountFacts[]; toBase: ToBase },
): void {
  const enabled = new Set(accounts.map(({ account }) => account));
  const suppliers = accounts.filter(({ adapter }) => adapter !== VAULT_ACCOUNT);
  metrics.replace(
    'supplier_enabled',
    suppliers.map(({ account, paused_at }) => ({ labels: { supplier: account }, value: paused_at === null ? 1 : 0 })),
  );
  metrics.replace(
    'supplier_info',
    suppliers.map(({ account, adapter }) => ({ labels: { supplier: account, adapter }, value: 1 })),
  );
  metrics.replace(
    'offers',
    catalog.offers
      .filter(({ account }) => enabled.has(account))
      .map(({ account, status, count }) => ({ labels: { supplier: account, status }, value: count })),
  );
  for (const [sources, count] of each(catalog.live)) metrics.set('skus_by_live_sources', { sources }, count);
  metrics.set('margin_negative_skus', {}, catalog.negative_margin);
  metrics.replace(
    'catalog_unmapped_products',
    [...catalog.unmapped].map(([supplier, value]) => ({ labels: { supplier }, value })),
  );
  publishReadings(metrics, catalog, { enabled, toBase });
  metrics.set('cost_approvals_pending', {}, catalog.approvals.count);
  metrics.set('cost_approval_oldest_timestamp_seconds', {}, seconds(catalog.approvals.oldest_at));
}

function publishReadings(
  metrics: Metrics,
  catalog: CatalogFigures,
  { enabled, toBase }: { enabled: ReadonlySet<string>; toBase: ToBase },
): void {
  const readings = catalog.readings.filter(({ account }) => enabled.has(account));
  const labelsOf = ({ account, type }: (typeof readings)[number]) => ({ supplier: account, type });
  metrics.replace(
    'sync_last_success_timestamp_seconds',
    readings.map((reading) => ({ labels: labelsOf(reading), value: seconds(reading.at) })),
  );
  metrics.replace(
    'sync_failures',
    readings.map((reading) => ({ labels: labelsOf(reading), value: reading.failures })),
  );
  metrics.replace(
    'sync_last_duration_seconds',
    readings.flatMap(({ account, took_ms }) =>
      took_ms === null ? [] : [{ labels: { supplier: account }, value: took_ms / 1_000 }],
    ),
  );
  metrics.replace(
    'supplier_balance_amount',
    catalog.balances
      .filter(({ account }) => enabled.has(account))
      .flatMap(({ account, balance_e4, currency }) => {
        const value = toBase(balance_e4, currency);
        if (value === null) metrics.count('unconverted_amounts_total', { type: 'balance' });
        return value === null ? [] : [{ labels: { supplier: account }, value }];
      }),
  );
}

/** Whether a SKU has enough: `untracked` ones were never stocked, so there is nothing to run out of. */
export function stockStatus(
  sku: { available: number; is_stocked: boolean },
  low_stock_codes: number,
): (typeof STOCK_STATUSES)[number] {
  if (!sku.is_stocked) return 'untracked';
  if (sku.available === 0) return 'out';
  return sku.available < low_stock_codes ? 'low' : 'ok';
}

const SKUS_LOW_MAX = 200;
const SKUS_ALL_MAX = 5_000;

export function publishVault(
  metrics: Metrics,
  vault: VaultFigures,
  { skus, untrusted, keys_to_rewrap }: VaultDetails,
  { options, toBase, now }: { options: GaugeOptions; toBase: ToBase; now: number },
): void {
  for (const [state, count] of each(vault.codes)) metrics.set('vault_codes', { state }, count);
  for (const [window, count] of each(vault.expiring)) metrics.set('vault_codes_expiring', { window }, count);
  const statuses = Object.fromEntries(STOCK_STATUSES.map((status) => [status, 0]));
  for (const sku of skus) statuses[stockStatus(sku, options.low_stock_codes)]!++;
  for (const [stock_status, count] of Object.entries(statuses)) metrics.set('vault_skus', { stock_status }, count);
  const tracked = skus.filter(({ is_stocked }) => is_stocked).sort((a, b) => a.available - b.available);
  const watched =
    options.sku_gauges === 'off'
      ? []
      : options.sku_gauges === 'all'
        ? tracked.slice(0, SKUS_ALL_MAX)
        : tracked.filter(({ available }) => available < options.low_stock_codes).slice(0, SKUS_LOW_MAX);
  metrics.replace(
    'vault_sku_available_codes',
    watched.map(({ sku, available }) => ({ labels: { sku }, value: available })),
  );
  const worth = (of: (row: VaultFigures['inventory'][number]) => bigint): number =>
    vault.inventory.reduce((sum, row) => sum + (toBase(Number(of(row)), row.currency) ?? 0), 0);
  metrics.set(
    'vault_inventory_cost_amount',
    {},
    worth((row) => row.cost_e4),
  );
  metrics.set(
    'vault_inventory_at_risk_cost_amount',
    {},
    worth((row) => row.at_risk_e4),
  );
  const { records, oldest_ms } = vault.unchained;
  metrics.set('vault_unchained_oldest_timestamp_seconds', {}, records === 0 ? 0 : seconds(now - oldest_ms));
  metrics.set('vault_untrusted_codes', {}, untrusted);
  metrics.set('vault_freezes', {}, vault.freezes);
  metrics.set('vault_approvals_waiting', {}, vault.approvals_waiting);
  metrics.set('vault_sealed', {}, vault.is_sealed ? 1 : 0);
  metrics.set('vault_rewrap_pending_keys', {}, keys_to_rewrap);
  metrics.set('vault_active_key_created_timestamp_seconds', {}, seconds(vault.master_key_since ?? 0));
}

/** Counts the faults that are new since the last verification; returns how many there are. */
export function noteViolations(
  metrics: Metrics,
  before: Map<string, number>,
  checks: readonly { faults: readonly unknown[] }[],
): number {
  let total = 0;
  checks.forEach(({ faults }, at) => {
    const check = VIOLATIONS[at] ?? 'other';
    const grown = faults.length - (before.get(check) ?? 0);
    if (grown > 0) metrics.count('vault_invariant_violations_total', { check }, grown);
    before.set(check, faults.length);
    total += faults.length;
  });
  return total;
}

const CIRCUIT = { closed: 0, half_open: 1, open: 2 } as const;
/** An account that a person or a rule has paused, whatever its breaker says. */
const PAUSED = 3;

/** What this process knows of its own lines to suppliers. */
export function publishChannels(metrics: Metrics, channels: Channels, accounts: readonly AccountFacts[]): void {
  const opened = new Map(channels.opened().map((channel) => [channel.account.account, channel]));
  for (const { account, adapter, paused_at } of accounts) {
    if (adapter === VAULT_ACCOUNT) continue;
    const channel = opened.get(account);
    const state = channel ? CIRCUIT[channel.breaker_state.state] : CIRCUIT.closed;
    metrics.set('supplier_circuit_state', { supplier: account }, paused_at === null ? state : PAUSED);
    metrics.set('supplier_in_flight', { supplier: account }, channel?.in_flight ?? 0);
  }
}
