// The shape of the catalog file. It is read with YAML's failsafe schema, so that every scalar is the text that was
// written: a price is never a float, a product number keeps its zeros. Each message is two lines: wrong, then fix.
import { z } from 'zod';
import { closest } from './closest.js';

/** Where a secret comes from. The file never holds the secret itself. */
export type SecretSource = { env: string } | { file: string };

type Shape = Record<string, z.ZodType>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const CURRENCIES = new Set(Intl.supportedValuesOf('currency'));
/** Far above any real price, and a hundred of them still add up exactly. */
const AMOUNT_E4_MAX = 10_000_000_000_000;

/** An object that refuses fields it does not know, with the nearest one it does. */
function strict<S extends Shape>(shape: S) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return wanted(issue.input, 'is not a list of `name: value`');
      return issue.keys.map((key) => unknownField(key, Object.keys(shape))).join('\n');
    },
  });
}

function unknownField(key: string, known: readonly string[]): string {
  const guess = closest(key, known);
  return guess ? `Did you mean ${guess}?` : `Remove it; known here: ${known.join(', ')}.`;
}

/** The message for a field of the wrong type, or for one that is not there. */
function wanted(input: unknown, wrong: string, fix = ''): string {
  return input === undefined ? `is missing\n${fix || 'Add it.'}` : `${wrong}\n${fix || 'Correct it.'}`;
}

function text(length_max: number) {
  const fix = `Write a text of 1 to ${length_max} characters.`;
  return z
    .string({ error: (issue) => wanted(issue.input, 'is not a single text', fix) })
    .min(1, `is empty\n${fix}`)
    .max(length_max, `is too long\n${fix}`);
}

/** A name of ours: it stands in addresses, logs and keys. */
export function identifier(length_max: number) {
  const fix = `Use 1 to ${length_max} of: letters, digits, dot, dash, underscore; a letter or digit first.`;
  return text(length_max).regex(NAME, `is not a plain name\n${fix}`);
}

function integer(min: number, max: number) {
  const message = `is not a whole number from ${min} to ${max}\nWrite digits only, such as ${Math.max(min, 1)}.`;
  return z
    .string({ error: (issue) => wanted(issue.input, ...(message.split('\n') as [string, string])) })
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message);
}

const flag = z
  .enum(['yes', 'no', 'true', 'false'], { error: () => 'is neither yes nor no\nWrite yes or no.' })
  .transform((word) => (word === 'yes' || word === 'true' ? 1 : 0));

function choice<const C extends readonly [string, ...string[]]>(choices: C) {
  const list = choices.join(', ');
  return z.enum(choices, { error: (issue) => wanted(issue.input, `is not one of ${list}`, `Write one of: ${list}.`) });
}

/** A decimal text with up to four places, as whole ten-thousandths. */
const amount_e4 = z
  .string({
    error: (issue) => wanted(issue.input, 'is not an amount', 'Write it such as 48.00, with up to four places.'),
  })
  .regex(/^\d{1,12}(\.\d{1,4})?$/, 'is not an amount\nWrite it such as 48.00, with up to four places.')
  .transform((decimal) => {
    const [whole = '', places = ''] = decimal.split('.');
    return Number(whole) * 10_000 + Number(places.padEnd(4, '0'));
  })
  .refine((value) => value <= AMOUNT_E4_MAX, 'is too large\nWrite an amount of at most 1000000000.');

const currency = z
  .string({ error: (issue) => wanted(issue.input, 'is not a currency', 'Write an ISO 4217 code such as CNY.') })
  .refine((code) => CURRENCIES.has(code), 'is not a currency\nWrite an ISO 4217 code such as CNY.');

const base_url = text(500)
  .refine((url) => isPlainUrl(url), 'is not a plain http or https URL\nWrite scheme, host and path prefix only.')
  .transform((url) => url.replace(/\/+$/, ''));

const secret_source = z.union(
  [z.strictObject({ env: text(200) }), z.strictObject({ file: text(1000) })],
  // Whatever else stands there may be the secret itself, so nothing of it is repeated.
  { error: (issue) => wanted(issue.input, LITERAL_SECRET, 'Write { env: NAME } or { file: PATH }, never the secret.') },
);
export const LITERAL_SECRET = 'is neither { env: NAME } nor { file: PATH }';

const limits = strict({
  requests: integer(1, 1_000_000).optional(),
  per_ms: integer(1, 86_400_000).optional(),
  concurrency: integer(1, 1_000).optional(),
  deadline_ms: integer(100, 300_000).optional(),
});

function list<T extends z.ZodType>(item: T, { max, like }: { max: number; like: string }) {
  return z
    .array(item, { error: () => `is not a list\nWrite ${like}.` })
    .min(1, 'is empty\nName at least one, or remove it.')
    .max(max, `is too long\nName at most ${max}.`);
}

const clock = z
  .string({ error: (issue) => wanted(issue.input, 'is not a time of day', 'Write it such as "23:30".') })
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'is not a time of day\nWrite it such as "23:30".');

/** When the supplier is closed, by its own clock; `days` are those the window begins on. */
const maintenanceWindow = strict({
  from: clock,
  to: clock,
  zone: text(64).refine(isZone, 'is not a time zone\nWrite its name, such as Asia/Shanghai.'),
  days: list(choice(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']), { max: 7, like: '[sat, sun]' }).optional(),
});

export const accountSchema = strict({
  adapter: text(64),
  environment: choice(['live', 'sandbox']).optional(),
  base_url: base_url.optional(),
  currency: currency,
  credentials: z
    .record(z.string(), secret_source, { error: () => 'is not a list of names\nWrite NAME: { env: VARIABLE }.' })
    .default({}),
  options: z
    .record(z.string(), text(1000), { error: () => 'is not a list of options\nWrite NAME: VALUE.' })
    .default({}),
  limits: limits.default({}),
  exposure_limit: amount_e4.default(0),
  /** Routing leaves the account before our float there falls below this. */
  float_min: amount_e4.default(0),
  maintenance: list(maintenanceWindow, {
    max: 20,
    like: '- { from: "23:30", to: "00:30", zone: Asia/Shanghai }',
  }).optional(),
});

const recipientField = strict({
  label: text(200),
  pattern: text(500).optional(),
  values: z
    .array(text(128), { error: () => 'is not a list\nWrite [a, b].' })
    .min(1, 'is empty\nName a value.')
    .max(1000, 'is too long\nName fewer.')
    .optional(),
  example: text(128),
  is_required: flag.default(1),
});

const recipientRules = strict({
  account: recipientField.optional(),
  account_type: recipientField.optional(),
  region: recipientField.optional(),
  server: recipientField.optional(),
  role: recipientField.optional(),
  extra: z
    .record(identifier(64), recipientField, { error: () => 'is not a list of fields\nWrite NAME: { label, … }.' })
    .optional(),
});

const values = list(text(128), { max: 1000, like: '[a, b]' });

/** Whom a source can serve: every field named must have one of its values. */
const served = strict({
  region: values.optional(),
  account_type: values.optional(),
  server: values.optional(),
  extra: z.record(identifier(64), values, { error: () => 'is not a list of fields\nWrite NAME: [a, b].' }).optional(),
  account_prefixes: values.optional(),
});

/** Percent with up to two places, as hundredths of it. */
const percent_bp = z
  .string({ error: (issue) => wanted(issue.input, 'is not a percentage', 'Write it such as 1.5.') })
  .regex(/^\d{1,2}(\.\d{1,2})?$/, 'is not a percentage below 100\nWrite it such as 1.5, with up to two places.')
  .transform((decimal) => {
    const [whole = '', places = ''] = decimal.split('.');
    return Number(whole) * 100 + Number(places.padEnd(2, '0'));
  });

const source = strict({
  account: text(64),
  product: text(128),
  cost: amount_e4.optional(),
  priority: integer(0, 1_000_000).default(100),
  weight: integer(1, 1_000).optional(),
  recipients: served.optional(),
});

/** One part of a bundle: another SKU of the file. */
const part = strict({
  sku: text(64),
  quantity: integer(1, 1_000).default(1),
  /** What one unit of it counts for in the bundle's price, and so the most that it may cost. */
  price: amount_e4,
  /** The part's recipient field: the bundle's field it is taken from, where the names differ. */
  recipient: z
    .record(text(80), text(80), { error: () => 'is not a list of fields\nWrite FIELD: FIELD_OF_THE_BUNDLE.' })
    .default({}),
});

export const skuSchema = strict({
  name: text(200),
  kind: choice(['recharge', 'code', 'bundle']),
  price: strict({ amount: amount_e4, currency }),
  recipient_rules: recipientRules.default({}),
  quantity_max: integer(1, 10_000).optional(),
  attempts_max: integer(1, 20).default(3),
  deadline_ms: integer(10_000, 30 * 86_400_000).default(1_800_000),
  can_detach: flag.default(0),
  vault_rank: choice(['first', 'last', 'never']).optional(),
  /** How sources are ranked; `priority` if left out. */
  strategy: choice(['priority', 'cheapest', 'weighted', 'balanced']).optional(),
  margin_min_percent: percent_bp.optional(),
  /** What a second of waiting is worth, for `balanced`. */
  second_cost: amount_e4.optional(),
  /** What limits of costs may be set for together. */
  category: identifier(64).optional(),
  /** What it is made of, for finding the supplier products that fit. */
  brand: text(100).optional(),
  region: text(64).optional(),
  face_value: strict({ amount: amount_e4, currency }).optional(),
  /** How old an offer may be before it is not bought from blindly. */
  stale_after_ms: integer(60_000, 30 * 86_400_000).optional(),
  /** Of a bundle: what it is made of, in the order in which `stop` buys them. */
  parts: list(part, { max: 20, like: 'one `- { sku: …, price: … }` for each' }).optional(),
  /** Of a bundle: what becomes of an order when a part fails. */
  failed_part: choice(['finish', 'stop']).optional(),
  sources: z
    .array(source, { error: () => 'is not a list\nWrite one `- { account: …, product: … }` for each.' })
    .max(100, 'is too long\nName at most 100.')
    .default([]),
});

export const storefrontSchema = strict({
  name: text(200),
  currency: currency,
  webhook_url: text(1000).optional(),
  webhook_secret: secret_source.optional(),
  /** What this storefront may be served from, and what not. */
  accounts_only: list(text(64), { max: 1000, like: '[account, account]' }).optional(),
  accounts_except: list(text(64), { max: 1000, like: '[account, account]' }).optional(),
  keys: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9-]{0,15}$/, 'is not a plain name\nUse 1 to 16 of: a-z, digits, dash.'),
      z
        .array(text(32), { error: () => 'is not a list\nWrite [orders:read, orders:write].' })
        .min(1, 'names no scope\nName at least one.'),
      { error: () => 'is not a list of keys\nWrite NAME: [SCOPE, SCOPE].' },
    )
    .default({}),
});

/** Named by its currency: what one unit of it is worth in `base`, on a day. */
export const rateSchema = strict({
  base: currency,
  rate: z
    .string({
      error: (issue) => wanted(issue.input, 'is not a rate', 'Write it such as 7.1234, with up to eight places.'),
    })
    .regex(/^\d{1,7}(\.\d{1,8})?$/, 'is not a rate\nWrite it such as 7.1234, with up to eight places.')
    .refine((rate) => /[1-9]/.test(rate), 'is zero\nWrite what one unit is worth.'),
  as_of: z
    .string({ error: (issue) => wanted(issue.input, 'is not a day', 'Write it such as 2026-01-31.') })
    .refine((day) => isDay(day), 'is not a day\nWrite it such as 2026-01-31.')
    .transform((day) => Date.parse(day)),
});

export const SECTIONS = {
  accounts: accountSchema,
  skus: skuSchema,
  storefronts: storefrontSchema,
  rates: rateSchema,
} as const;

export function isCurrency(code: string): boolean {
  return CURRENCIES.has(code);
}

function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** The parser takes 2026-02-30 for the second of March. */
function isDay(text: string): boolean {
  const at = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isFinite(at) && new Date(at).toISOString().startsWith(text);
}

function isPlainUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
}
