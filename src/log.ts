// JSON lines to standard output, one event each. What must never be printed is taken out here a second time, in case
// a caller forgot: by the field's name, and by the look of the text.
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger };

export interface LogOptions {
  level: string;
  /** Where lines go; standard output where left out. */
  destination?: DestinationStream;
}

/** Fields whose content is never printed, whatever it is. */
const HIDDEN_FIELDS = new Set([
  'authorization',
  'cookie',
  'set-cookie',
  'api_key',
  'apikey',
  'password',
  'secret',
  'token',
  'credentials',
  'master_key',
  'database_url',
  'webhook_secret',
  'webhook-signature',
  'codes',
  'pin',
  'serial',
  'recipient',
  'sql',
  'bindings',
]);

/** Our own keys and secrets, a bearer header, and the password in a URL, wherever they stand in a line. */
const HIDDEN_TEXT =
  /\b(?:sk_(?:live|test)_[\w-]+|whsec_[\w+/=-]+)|\bBearer\s+[\w.~+/=-]+|(?<=:\/\/[^\s/:@"]{0,100}:)[^\s/@"]{1,200}(?=@)/g;

/** Deeper and wider than any event of ours; beyond it a value is cut, so that logging stays cheap. */
const DEPTH_MAX = 6;
const ITEMS_MAX = 100;
const CAUSES_MAX = 4;
const SEALED = '[sealed]';

/** A logger of JSON lines. Errors go under `err`: type, message, stack, code and causes, nothing else of them. */
export function createLogger({ level, destination }: LogOptions): Logger {
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => scrub(fields, 0) as Record<string, unknown>,
      },
      serializers: {
        // What is bound to a child logger passes no formatter, only these.
        ...Object.fromEntries([...HIDDEN_FIELDS].map((field) => [field, () => SEALED])),
        // The error under `err` was flattened by `scrub` already.
        err: (value: unknown) => value,
      },
      hooks: { streamWrite: (line) => line.replace(HIDDEN_TEXT, SEALED) },
    },
    destination ?? pino.destination({ fd: 1, sync: false }),
  );
}

function scrub(value: unknown, depth: number): unknown {
  if (value instanceof Error) return describeError(value, 0);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`;
  // A Secret and its like say themselves what may be printed of them.
  if ('toJSON' in value && typeof value.toJSON === 'function') return value.toJSON();
  if (depth >= DEPTH_MAX) return '[cut]';
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => scrub(item, depth + 1));
  const entries = Object.entries(value).slice(0, ITEMS_MAX);
  return Object.fromEntries(
    entries.map(([name, inner]) => [name, HIDDEN_FIELDS.has(name.toLowerCase()) ? SEALED : scrub(inner, depth + 1)]),
  );
}

// A database driver's error carries the statement and its values as fields: only these few are taken.
function describeError(error: Error, depth: number): Record<string, unknown> {
  const { code, errno, cause } = error as { code?: unknown; errno?: unknown; cause?: unknown };
  const described: Record<string, unknown> = { type: error.name, message: error.message, stack: error.stack };
  if (code !== undefined) described.code = String(code);
  if (typeof errno === 'number') described.errno = errno;
  if (cause instanceof Error && depth < CAUSES_MAX) described.cause = describeError(cause, depth + 1);
  return described;
}
