// Opens what a configuration names: the database, the master key, a gateway on both. Refuses with the fix where one of
// them is not to be had. Shared by the server and by every command, so that both do the same.
import type { Supplier } from '../adapters/kit/contract.js';
import { supplierFor as registered } from '../adapters/register.js';
import type { Config } from '../config/load.js';
import { VaultError } from '../vault/errors.js';
import { type Journal, openJournal } from '../vault/journal.js';
import { createKeyring, type Keyring } from '../vault/keyring.js';
import { type Pkcs12Version, pkcs12Files } from '../vault/pkcs12.js';
import { keyFile, keyText } from '../vault/sources.js';
import type { AlertFormat } from './alerts.js';
import { connect, type Database } from './db/connect.js';
import { migrate, pendingMigrations } from './db/migrations/index.js';
import { GatewayError } from './errors.js';
import type { GaugeOptions } from './gauges.js';
import { createLogger, type Logger } from './log.js';
import { buildGateway, type Gateway, type GatewayOptions } from './main.js';
import type { Phase } from './orders/engine.js';
import { renewOwned } from './orders/resolve.js';
import { version } from './version.js';

/** What to do about a schema that is not current. On SQLite it is brought up to date in any case: nobody else owns it. */
export type SchemaWish = 'must_be_current' | 'migrate' | 'any';

/**
 * Opens the database and sees that it answers and that its schema is as wished. Throws `unavailable` if it does not
 * answer, and `conflict` if migrations are pending and may not be applied.
 */
export async function openDatabase(config: Config, schema: SchemaWish): Promise<Database> {
  const database = connect({
    url: config.database_url.reveal(),
    pool_max: config.db_pool_max,
    acquire_timeout_ms: config.db_acquire_timeout_ms,
  });
  try {
    await reach(database);
    if (schema !== 'any') await bringUpToDate(database, schema);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function reach(database: Database): Promise<void> {
  try {
    await database.write.raw('select 1');
  } catch (cause) {
    // Only the driver's code: its message may name hosts and users.
    const code = String((cause as { code?: unknown }).code ?? (cause as Error).name);
    throw new GatewayError('unavailable', `the database cannot be opened (${code})`, {
      field: 'database_url',
      fix:
        database.dialect === 'sqlite'
          ? 'Run `kamigate init` to make the data folder, or set KAMIGATE_DATABASE_URL to a file in a folder that can be written.'
          : 'Start the server, create the database, or correct KAMIGATE_DATABASE_URL; `kamigate doctor` checks it again.',
      cause,
    });
  }
}

async function bringUpToDate(database: Database, schema: SchemaWish): Promise<void> {
  const pending = await pendingMigrations(database.write);
  if (pending.length === 0) return;
  if (schema === 'migrate' || database.dialect === 'sqlite') {
    await migrate(database.write);
    return;
  }
  throw new GatewayError('conflict', `the database lacks ${pending.length} migrations: ${pending.join(', ')}`, {
    field: 'database_url',
    fix: 'Run `kamigate migrate up` once, or start with `kamigate serve --migrate`.',
  });
}

/** The master key, from the files or the value that the configuration names. Throws `VaultError('key_source')`. */
export function openKeyring(config: Config): Keyring {
  if (config.master_key_p12_files !== null) return createKeyring(pkcs12Files(pkcs12Versions(config)));
  if (config.master_key !== null) return createKeyring(keyText('KAMIGATE_MASTER_KEY', config.master_key.reveal()));
  try {
    return createKeyring(keyFile(config.master_key_file));
  } catch (error) {
    if (!(error instanceof VaultError) || !isAbsent(error)) throw error;
    throw new VaultError('key_source', `there is no master key in ${config.master_key_file}`, {
      field: 'master_key_file',
      fix: 'Run `kamigate init` once to make one, or set KAMIGATE_MASTER_KEY_FILE to the key of this database.',
      cause: error,
    });
  }
}

/** `[version=]path` between commas; without a version, by place. A pass phrase a line, or one for all. */
function pkcs12Versions(config: Config): Pkcs12Version[] {
  if (config.master_key_p12_password === null) {
    throw new VaultError('key_source', 'the pass phrase of the PKCS#12 files is missing', {
      field: 'master_key_p12_password',
      fix: 'Put it into a file that only this process can read; set KAMIGATE_MASTER_KEY_P12_PASSWORD_FILE to its path.',
    });
  }
  const phrases = config.master_key_p12_password.reveal().split(/\r?\n/);
  return (config.master_key_p12_files ?? '').split(',').map((entry, at) => {
    const [, version, path] = /^\s*(?:([1-9]\d{0,8})=)?(.+?)\s*$/.exec(entry) ?? [];
    if (path === undefined) {
      throw new VaultError('key_source', `entry ${at + 1} of master_key_p12_files names no file`, {
        field: 'master_key_p12_files',
        fix: 'Write it such as 1=/run/secrets/kamigate.p12, more of them between commas.',
      });
    }
    return {
      version: version === undefined ? at + 1 : Number(version),
      path,
      passphrase: phrases[at] ?? phrases[0] ?? '',
    };
  });
}

/** The issuance journal of the configuration, or null where it says that none is kept. Makes its folder. */
export function openConfiguredJournal({ journal_dir }: Config): Journal | null {
  if (journal_dir === NO_JOURNAL) return null;
  try {
    return openJournal(journal_dir);
  } catch (cause) {
    const code = String((cause as NodeJS.ErrnoException).code);
    throw new GatewayError('config_invalid', `the folder of the issuance journal cannot be made (${code})`, {
      field: 'journal_dir',
      fix: 'Set KAMIGATE_JOURNAL_DIR to a folder that this process can write, the same for all processes.',
      cause,
    });
  }
}
const NO_JOURNAL = 'none';

function isAbsent({ details }: VaultError): boolean {
  return (details.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

export interface OpenGatewayParts {
  config: Config;
  database: Database;
  keyring: Keyring;
  log: Logger;
  public_url: string;
  now?: () => number;
  supplierFor?: (adapter: string) => Supplier;
  reach?: (phase: Phase) => void;
}

/** A gateway on an open database; nothing of it runs yet. */
export function openGateway({ config, database, keyring, log, public_url, ...parts }: OpenGatewayParts): Gateway {
  return buildGateway({
    database,
    keyring,
    journal: openConfiguredJournal(config),
    log,
    now: parts.now ?? Date.now,
    supplierFor: parts.supplierFor ?? registered,
    options: gatewayOptions(config, public_url),
    ...(parts.reach ? { reach: parts.reach } : {}),
  });
}

/** The settings a gateway is built with. */
export function gatewayOptions(config: Config, public_url: string): GatewayOptions {
  return {
    public_url,
    sweep_ms: config.sweep_ms,
    lease_ms: config.lease_ms,
    lookup_ladder_ms: config.lookup_ladder_ms,
    lookup_on_read_ms: config.lookup_on_read_ms,
    fulfil_concurrency: config.fulfil_concurrency,
    fulfil_waiting_max: config.fulfil_waiting_max,
    orders_together_max: config.orders_together_max,
    pass_max: config.pass_max,
    base_currency: config.base_currency,
    rate_days_max: config.rate_days_max,
    offers_hot_ms: config.offers_hot_ms,
    offers_cold_ms: config.offers_cold_ms,
    offers_stale_ms: config.offers_stale_ms,
    offers_share_percent: config.offers_share_percent,
    offers_concurrency: config.offers_concurrency,
    webhook_timeout_ms: config.webhook_timeout_ms,
    webhook_concurrency: config.webhook_concurrency,
    allow_private_webhooks: config.allow_private_webhooks,
    key_cache_ms: config.key_cache_ms,
    key_cache_max: config.key_cache_max,
    reply_bytes_max: config.reply_bytes_max,
    vault_brake: { factor: config.vault_brake_factor, codes_min: config.vault_brake_codes_min },
    breaker: {
      volume_min: config.breaker_volume_min,
      error_percent: config.breaker_error_percent,
      window_ms: config.breaker_window_ms,
      open_ms: config.breaker_open_ms,
    },
    process_metrics: true,
    version: version(),
    gauges: {
      gauges_ms: config.gauges_ms,
      vault_verify_ms: config.vault_verify_ms,
      sku_gauges: config.sku_gauges as GaugeOptions['sku_gauges'],
      low_stock_codes: config.low_stock_codes,
    },
    alerts:
      config.alert_webhook_url === null
        ? null
        : {
            url: config.alert_webhook_url.reveal(),
            format: config.alert_webhook_format as AlertFormat,
            secret: config.alert_webhook_secret?.reveal() ?? null,
          },
    otlp_endpoint: config.otlp_endpoint,
  };
}

export interface CommandNeeds {
  /** The command may issue or reveal codes: the journal is compared first, and what was issued is in it at the end. */
  issues?: boolean;
}

/** A gateway for one command: no jobs, no listening; what the command set going is finished before it ends. */
export async function withGateway<T>(
  config: Config,
  work: (gateway: Gateway) => Promise<T>,
  { issues = false }: CommandNeeds = {},
): Promise<T> {
  const keyring = openKeyring(config);
  const database = await openDatabase(config, 'must_be_current');
  const log = createLogger({
    level: config.log_level === 'info' ? 'warn' : config.log_level,
    destination: process.stderr,
  });
  let gateway: Gateway;
  try {
    gateway = openGateway({ config, database, keyring, log, public_url: config.public_url });
  } catch (error) {
    await database.close();
    throw error;
  }
  const stopRenewing = keepLeases(gateway);
  try {
    if (issues) await gateway.upkeep.start();
    return await work(gateway);
  } finally {
    await gateway.stop(config.shutdown_timeout_ms);
    stopRenewing();
    await database.close();
  }
}

/**
 * Goes on telling the database which orders this process still works on, without the jobs: another process must not
 * take an order over while our call to its supplier is under way. Returns the function that ends it.
 */
export function keepLeases(gateway: Gateway): () => void {
  const { engine, fulfilment } = gateway;
  const timer = setInterval(
    () => {
      renewOwned(engine, fulfilment).catch((error: unknown) => {
        engine.observe({ event: 'failure', where: 'renew_leases', error });
      });
    },
    Math.floor(engine.options.lease_ms / 3),
  );
  return () => clearInterval(timer);
}
