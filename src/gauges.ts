// Gauges: what each process knows of itself, and what one elected process reads from the database for all. The elected
// one holds a row of `jobs` by a lease; a process that loses it removes its figures at once, for old figures lie.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Knex } from 'knex';
import type { VaultFigures } from '../vault/figures.js';
import type { Vault } from '../vault/vault.js';
import { RATE_DEFAULTS, type Rates, readRates } from './catalog/currencies.js';
import { atomic, isDuplicate, Retry, type Trx } from './db/atomic.js';
import type { Database } from './db/connect.js';
import {
  type CatalogFigures,
  newestCostChange,
  readCatalog,
  readCostChanges,
  readVaultDetails,
  readWork,
  type VaultDetails,
  type WorkFigures,
} from './figures.js';
import type { ToBase } from './observe.js';
import { noteViolations, publishCatalog, publishChannels, publishVault, publishWork } from './publish.js';
import type { Metrics } from './registry.js';
import { type AccountFacts, listAccounts, VAULT_ACCOUNT } from './suppliers/accounts.js';
import type { Channels } from './suppliers/channels.js';

export interface GaugeOptions {
  /** How often the figures of the database are read; they are never read for a scrape. */
  gauges_ms: number;
  /** How often the whole vault is verified; 0 leaves it to people. */
  vault_verify_ms: number;
  /** Which SKUs have a gauge of their own. */
  sku_gauges: 'off' | 'low' | 'all';
  /** Fewer available codes than this and a SKU is low. */
  low_stock_codes: number;
  base_currency: string;
}

export const GAUGE_DEFAULTS: GaugeOptions = {
  gauges_ms: 15_000,
  vault_verify_ms: 3_600_000,
  sku_gauges: 'low',
  low_stock_codes: 20,
  base_currency: RATE_DEFAULTS.base_currency,
};

/** Everything the elected process read last; null where it has not been read yet. */
export interface Figures {
  work: WorkFigures | null;
  catalog: CatalogFigures | null;
  vault: VaultFigures | null;
  details: VaultDetails | null;
  accounts: readonly AccountFacts[];
  /** Faults by check, as the last whole verification found them. */
  violations: Map<string, number>;
}

export interface Gauges {
  /** One pass: names, election, and whatever figures are due. Returns how many groups of figures it read. */
  refresh(): Promise<number>;
  /** One verification of the vault, if this process is elected. Returns the faults it found. */
  verify(): Promise<number>;
  /** What was read last, if this process is elected. */
  figures(): Figures | null;
  /** Gives the role up, so that another process can have it at once. */
  release(): Promise<void>;
  toBase: ToBase;
}

export interface GaugeParts {
  database: Database;
  vault: Vault;
  channels: Channels;
  metrics: Metrics;
  now: () => number;
  options: GaugeOptions;
}

export const ROLE = 'exporter';
/** So many passes may be missed before another process takes the role. */
const LEASE_PASSES = 4;
/** A group of figures never takes more than one part in so many of the time. */
const SHARE_MIN = 50;

export function createGauges(parts: GaugeParts): Gauges {
  const { database, metrics, now, options } = parts;
  const me = `${hostname().slice(0, 32)}:${process.pid}:${randomBytes(4).toString('hex')}`;
  const due_at = new Map<string, number>();
  let rates: Rates | null = null;
  let held_until = 0;
  let newest_change: string | null = null;
  let figures: Figures = emptyFigures();

  const isElected = (): boolean => held_until > now();

  async function elect(): Promise<boolean> {
    const until = now() + LEASE_PASSES * options.gauges_ms;
    const is_mine = await atomic(database, 'elect the exporter', (trx) => takeRole(trx, { me, now: now(), until }));
    if (!is_mine) stepDown();
    else held_until = until;
    metrics.set('leader', { role: ROLE }, is_mine ? 1 : 0);
    return is_mine;
  }

  function stepDown(): void {
    held_until = 0;
    newest_change = null;
    figures = { ...emptyFigures(), accounts: figures.accounts };
    due_at.clear();
    metrics.dropElected();
    metrics.set('leader', { role: ROLE }, 0);
  }

  /** Runs one group if its time has come, and sets its next: the dearer it was, the later. */
  async function group(name: string, read: () => Promise<void>): Promise<boolean> {
    if ((due_at.get(name) ?? 0) > now()) return false;
    const started_at = performance.now();
    await read();
    const took_ms = performance.now() - started_at;
    const pause_ms = name === 'verify' ? 0 : options.gauges_ms - 1_000;
    due_at.set(name, now() + Math.max(pause_ms, took_ms * SHARE_MIN));
    return true;
  }

  async function readAll(accounts: readonly AccountFacts[], storefronts: readonly string[]): Promise<number> {
    const { read } = database;
    const names = accounts.filter((account) => account.adapter !== VAULT_ACCOUNT).map(({ account }) => account);
    const at = now();
    const done = [
      await group('work', async () => {
        figures.work = await readWork(read, { accounts: names, storefronts, now: at });
        publishWork(metrics, figures.work);
      }),
      await group('catalog', async () => {
        const avoided = names.filter((account) => parts.channels.isOpen(account));
        figures.catalog = await readCatalog(read, { accounts: names, avoided, now: at });
        publishCatalog(metrics, figures.catalog, { accounts, toBase });
        await countCostChanges(read);
      }),
      await group('vault', async () => {
        figures.vault = await parts.vault.figures(read);
        figures.details = await readVaultDetails(read, at);
        publishVault(metrics, figures.vault, figures.details, { options, toBase, now: at });
      }),
    ];
    metrics.set('gauges_updated_timestamp_seconds', {}, at / 1_000);
    return done.filter(Boolean).length;
  }

  /** Rows are only ever added: what is newer than the last look is what happened since. */
  async function countCostChanges(knex: Knex): Promise<void> {
    if (newest_change === null) {
      newest_change = await newestCostChange(knex);
      return;
    }
    for (const change of await readCostChanges(knex, newest_change)) {
      const direction = change.new_cost_e4 >= (change.old_cost_e4 ?? 0) ? 'up' : 'down';
      const decision =
        change.state === 'applied' ? 'auto_applied' : change.state === 'rejected' ? 'rejected' : 'pending_approval';
      metrics.count('cost_changes_total', { supplier: change.account, direction, decision });
      newest_change = change.change_id;
    }
  }

  const toBase: ToBase = (amount_e4, currency) => {
    if (currency === options.base_currency) return amount_e4 / 10_000;
    const converted = rates?.convert(amount_e4, currency, options.base_currency) ?? null;
    return converted === null ? null : converted / 10_000;
  };

  metrics.onCollect(() => {
    // A process that was stopped for longer than its lease must not show what it read before.
    if (held_until !== 0 && !isElected()) stepDown();
    publishChannels(metrics, parts.channels, figures.accounts);
  });

  return {
    toBase,
    refresh: async () => {
      const started_at = performance.now();
      const accounts = await listAccounts(database.read);
      const storefronts = await readStorefronts(database.read);
      metrics.know(
        'supplier',
        accounts.filter(({ is_enabled }) => is_enabled).map(({ account }) => account),
      );
      metrics.know('storefront', storefronts);
      rates = await readRates(database.read, { ...RATE_DEFAULTS, base_currency: options.base_currency }, now());
      const is_mine = await elect();
      figures.accounts = accounts.filter(({ is_enabled }) => is_enabled);
      const groups = is_mine ? await readAll(figures.accounts, storefronts) : 0;
      metrics.set('metrics_collect_duration_seconds', {}, (performance.now() - started_at) / 1_000);
      return groups;
    },
    verify: async () => {
      let faults = 0;
      // It reads every row of the vault: with a large one it runs more seldom than it is called.
      if (isElected()) {
        await group('verify', async () => {
          const { checks } = await parts.vault.verify(database.read);
          faults = noteViolations(metrics, figures.violations, checks);
        });
      }
      return faults;
    },
    figures: () => (isElected() ? figures : null),
    release: async () => {
      if (held_until === 0) return;
      stepDown();
      await atomic(database, 'give up the exporter', (trx) =>
        trx('jobs').where({ job: ROLE, owner: me }).update({ until: 0 }),
      );
    },
  };
}

function emptyFigures(): Figures {
  return { work: null, catalog: null, vault: null, details: null, accounts: [], violations: new Map() };
}

async function readStorefronts(knex: Knex): Promise<string[]> {
  const rows = (await knex('storefronts').where({ is_enabled: 1 }).select('storefront').orderBy('storefront')) as {
    storefront: string;
  }[];
  return rows.map(({ storefront }) => storefront);
}

/** Compare-and-set on the role's row: one process has it until its lease ends or it gives it up. */
async function takeRole(trx: Trx, { me, now, until }: { me: string; now: number; until: number }): Promise<boolean> {
  const taken = await trx('jobs')
    .where({ job: ROLE })
    .where((query) => query.where({ owner: me }).orWhere('until', '<=', now))
    .update({ owner: me, until, ran_at: now });
  if (taken === 1) return true;
  if (await trx('jobs').where({ job: ROLE }).first('job')) return false;
  try {
    await trx('jobs').insert({ job: ROLE, owner: me, until, ran_at: now });
    return true;
  } catch (error) {
    // Another process wrote the row first: look again.
    throw isDuplicate(error) ? new Retry('the exporter was elected meanwhile') : error;
  }
}
