// Every setting of the process, in one table. A new one is one entry here: its name is its key in kamigate.yaml, in
// capitals after KAMIGATE_ its environment variable, and with dashes its flag. What there is to sell is not here: that
// is the catalog file (declaration.ts).
import { OFFER_OPTIONS } from './offer-options.js';

import { WATCHING } from './watching.js';

/** What a setting's text may be, and what it becomes. Durations are whole milliseconds, sizes whole bytes. */
export type OptionType =
  | 'text'
  | 'path'
  | 'host'
  | 'integer'
  | 'port'
  | 'flag'
  | 'choice'
  | 'public_url'
  | 'database_url'
  | 'ladder_ms';

export interface Option {
  readonly type: OptionType;
  readonly help: string;
  /** A value, or how to derive one from settings above it in the table; null means "not set". */
  readonly default: string | number | boolean | readonly number[] | null | ((known: KnownValues) => string);
  /** Refused as a flag; refused in kamigate.yaml; never printed; also read from the file that NAME_FILE names. */
  readonly is_secret?: true;
  /** The secret has a path setting of its own, which takes the place of NAME_FILE. */
  readonly file_option?: string;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  readonly example: string;
}

/** The settings already read, text or number as their type says. */
export type KnownValues = Readonly<Record<string, unknown>>;

const PORT = { type: 'port', min: 0, max: 65_535 } as const;
const DAY_MS = 86_400_000;

export const OPTIONS = {
  config_file: {
    type: 'path',
    default: './kamigate.yaml',
    example: '/etc/kamigate/kamigate.yaml',
    help: 'The configuration file. It may be absent unless it is named.',
  },
  data_dir: {
    type: 'path',
    default: './data',
    example: '/var/lib/kamigate',
    help: 'Folder of the embedded database and of a generated master key.',
  },
  database_url: {
    type: 'database_url',
    default: ({ data_dir }) => `sqlite:${String(data_dir)}/kamigate.db`,
    is_secret: true,
    example: 'mysql://kamigate:PASSWORD@db.internal:3306/kamigate',
    help: 'sqlite:<path>, or mysql://user:password@host:port/database for MariaDB and MySQL.',
  },
  db_pool_max: {
    type: 'integer',
    default: 16,
    min: 1,
    max: 500,
    example: '16',
    help: 'Most connections to a MariaDB or MySQL server. SQLite always has one reader and one writer.',
  },
  db_acquire_timeout_ms: {
    type: 'integer',
    default: 10_000,
    min: 100,
    max: 120_000,
    example: '10000',
    help: 'How long to wait for a database connection before answering 503.',
  },

  host: {
    type: 'host',
    default: '127.0.0.1',
    example: '0.0.0.0',
    help: 'Address the API listens on. Loopback unless you say otherwise.',
  },
  port: { ...PORT, default: 8080, example: '8080', help: 'Port the API listens on; 0 takes a free one.' },
  metrics_host: {
    type: 'host',
    default: '127.0.0.1',
    example: '0.0.0.0',
    help: 'Address that /metrics listens on.',
  },
  metrics_port: {
    ...PORT,
    default: 9464,
    example: '9464',
    help: 'Port of /metrics, never the public one; 0 takes a free one.',
  },
  public_url: {
    type: 'public_url',
    default: ({ host, port }) => `http://${urlHost(String(host))}:${String(port)}`,
    example: 'https://gateway.example.com',
    help: "Where the world reaches this gateway: the start of suppliers' callback addresses.",
  },
  body_limit_bytes: {
    type: 'integer',
    default: 1_000_000,
    min: 1_000,
    max: 50_000_000,
    example: '1000000',
    help: 'Largest request body that is read.',
  },
  wait_max_ms: {
    type: 'integer',
    default: 30_000,
    min: 0,
    max: 120_000,
    example: '30000',
    help: 'Longest that `Prefer: wait=N` holds a response open.',
  },
  key_cache_ms: {
    type: 'integer',
    default: 5_000,
    min: 0,
    max: 300_000,
    example: '5000',
    help: 'How long a checked API key is remembered, and so how long a disabled one may still work. 0 asks each time.',
  },
  key_cache_max: {
    type: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    example: '10000',
    help: 'Most API keys remembered at a time.',
  },

  master_key_file: {
    type: 'path',
    default: ({ data_dir }) => `${String(data_dir)}/master.key`,
    example: '/run/secrets/kamigate-master.key',
    help: 'File of the master key, which seals every code and credential. Back it up apart from the database.',
  },
  master_key: {
    type: 'text',
    default: null,
    is_secret: true,
    file_option: 'master_key_file',
    example: '1:BASE64, where BASE64 is the output of: openssl rand -base64 32',
    help: 'The master key itself, in place of master_key_file. A file is the better place.',
  },
  master_key_p12_files: {
    type: 'text',
    default: null,
    example: '1=/run/secrets/kamigate.p12',
    help: 'PKCS#12 files with one private key each, in place of master_key_file: version=path, between commas.',
  },
  master_key_p12_password: {
    type: 'text',
    default: null,
    is_secret: true,
    example: 'the pass phrase of the file; one a line where there are several files',
    help: 'The pass phrase of the PKCS#12 files. KAMIGATE_MASTER_KEY_P12_PASSWORD_FILE names a file that holds it.',
  },
  journal_dir: {
    type: 'path',
    default: ({ data_dir }) => `${String(data_dir)}/journal`,
    example: '/mnt/other-disk/kamigate-journal',
    help: 'Folder of the issuance journal, shared by all processes; better on another disk than the database. none: none.',
  },

  log_level: {
    type: 'choice',
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    example: 'info',
    help: 'Least level of what is logged.',
  },

  fulfil_concurrency: {
    type: 'integer',
    default: 1_000,
    min: 1,
    max: 10_000,
    example: '1000',
    help: 'Orders this process works on at a time, those that wait for a slow supplier included.',
  },
  fulfil_waiting_max: {
    type: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    example: '10000',
    help: 'Orders that may wait for their turn here; beyond it new ones are refused with 503.',
  },
  orders_together_max: {
    type: 'integer',
    default: 64,
    min: 1,
    max: 1_000,
    example: '64',
    help: 'Most orders that share one commit.',
  },
  lease_ms: {
    type: 'integer',
    default: 10_000,
    min: 1_000,
    max: 25_000,
    example: '10000',
    help: 'How long a process owns an order without renewing. After a crash another process takes it up then.',
  },
  sweep_ms: {
    type: 'integer',
    default: 5_000,
    min: 100,
    max: 15_000,
    example: '5000',
    help: 'How often each process looks for orders, lookups and notices that are due.',
  },
  pass_max: {
    type: 'integer',
    default: 200,
    min: 1,
    max: 10_000,
    example: '200',
    help: 'Most orders, attempts or notices one such look takes up.',
  },
  lookup_ladder_ms: {
    type: 'ladder_ms',
    default: [5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000],
    min: 1_000,
    max: DAY_MS,
    example: '5000,15000,60000,300000,900000,3600000',
    help: 'Pauses between lookups of a purchase whose outcome is unknown; the last one repeats.',
  },
  lookup_on_read_ms: {
    type: 'integer',
    default: 5_000,
    min: 1_000,
    max: 3_600_000,
    example: '5000',
    help: 'Least time between two lookups that reading an order may cause.',
  },
  lookup_concurrency: {
    type: 'integer',
    default: 8,
    min: 1,
    max: 1_000,
    example: '8',
    help: 'Lookups this process makes at a time.',
  },
  reply_bytes_max: {
    type: 'integer',
    default: 4_000_000,
    min: 10_000,
    max: 100_000_000,
    example: '4000000',
    help: "Largest reply of a supplier that is read. What is larger leaves the purchase's outcome unknown.",
  },
  ...OFFER_OPTIONS,
  vault_brake_factor: {
    type: 'integer',
    default: 5,
    min: 2,
    max: 1_000,
    example: '5',
    help: 'A SKU whose codes leave so many times faster than in the last seven days is frozen.',
  },
  vault_brake_codes_min: {
    type: 'integer',
    default: 500,
    min: 1,
    max: 100_000_000,
    example: '500',
    help: 'Codes of one SKU that may leave within 10 seconds whatever was usual; raise it before a sale.',
  },
  breaker_volume_min: {
    type: 'integer',
    default: 5,
    min: 1,
    max: 100_000,
    example: '5',
    help: "Calls within the window before an account's circuit breaker may open.",
  },
  breaker_error_percent: {
    type: 'integer',
    default: 50,
    min: 1,
    max: 100,
    example: '50',
    help: 'Share of failed calls within the window that opens the breaker.',
  },
  breaker_window_ms: {
    type: 'integer',
    default: 10_000,
    min: 1_000,
    max: 3_600_000,
    example: '10000',
    help: 'The window over which the breaker counts.',
  },
  breaker_open_ms: {
    type: 'integer',
    default: 30_000,
    min: 100,
    max: 3_600_000,
    example: '30000',
    help: 'How long an open breaker stays open before it lets one call through to try.',
  },

  webhook_timeout_ms: {
    type: 'integer',
    default: 15_000,
    min: 100,
    max: 60_000,
    example: '15000',
    help: 'How long a storefront has to answer a webhook with 2xx.',
  },
  webhook_concurrency: {
    type: 'integer',
    default: 16,
    min: 1,
    max: 1_000,
    example: '16',
    help: 'Webhooks this process sends at a time.',
  },
  allow_private_webhooks: {
    type: 'flag',
    default: false,
    example: 'false',
    help: 'Let webhooks go to loopback and private addresses, and over plain http. For demos and closed networks only.',
  },

  ...WATCHING,

  drain_delay_ms: {
    type: 'integer',
    default: 5_000,
    min: 0,
    max: 120_000,
    example: '5000',
    help: 'After SIGTERM: how long /readyz says no before connections are refused.',
  },
  shutdown_timeout_ms: {
    type: 'integer',
    default: 25_000,
    min: 1_000,
    max: 600_000,
    example: '25000',
    help: 'After SIGTERM: how long to finish. What is still at a supplier is settled by the next process.',
  },
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof OPTIONS;

/** `database_url` → `KAMIGATE_DATABASE_URL`. */
export function envName(name: string): string {
  return `KAMIGATE_${name.toUpperCase()}`;
}

/** `database_url` → `--database-url`. */
export function flagName(name: string): string {
  return `--${name.replaceAll('_', '-')}`;
}

function urlHost(host: string): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return reachable.includes(':') ? `[${reachable}]` : reachable;
}
