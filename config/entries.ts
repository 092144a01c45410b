// What the schema cannot see of one entry: the adapter's demands, names that refer to other entries, secrets to fetch.
import type { z } from 'zod';
import { checkBundle, checkPlain } from './bundle-entries.js';
import { type AdapterFacts, add, addUnknown, isRecord, type Path, type Reader } from './reader.js';
import {
  type accountSchema,
  isCurrency,
  type rateSchema,
  type SecretSource,
  type skuSchema,
  type storefrontSchema,
} from './schema.js';
import { HiddenText } from './values.js';

export type DeclaredAccount = Omit<z.output<typeof accountSchema>, 'environment' | 'credentials' | 'base_url'> & {
  account: string;
  base_url: string;
  credentials: Record<string, HiddenText>;
};
export type DeclaredSku = Omit<z.output<typeof skuSchema>, 'quantity_max' | 'vault_rank'> & {
  sku: string;
  quantity_max: number;
  vault_rank: 'first' | 'last' | 'never';
};
export type DeclaredStorefront = Omit<z.output<typeof storefrontSchema>, 'webhook_secret'> & {
  storefront: string;
  webhook_secret: HiddenText | null;
};

export type DeclaredRate = z.output<typeof rateSchema> & { currency: string };

/** The account every code SKU's vault source belongs to; the file cannot declare it. */
const VAULT_ACCOUNT = 'vault';
/** The account of a person who delivers: a source may name it, the file cannot declare it. */
const MANUAL_ACCOUNT = 'manual';
/** What a text column holds on MySQL, with room to spare. */
const RULES_BYTES_MAX = 60_000;

export function finishAccount(reader: Reader, name: string, entry: z.output<typeof accountSchema>): DeclaredAccount {
  const { environment, base_url: given_url, credentials, ...rest } = entry;
  const path = ['accounts', name];
  if (name === VAULT_ACCOUNT) {
    add(reader, 'invalid', path, "is the vault's own account", 'Give this account another name.');
  }
  if (name === MANUAL_ACCOUNT) {
    add(reader, 'invalid', path, 'is the account of a person who delivers', 'Give this account another name.');
  }
  const adapter = reader.rules.adapters.find(({ code }) => code === entry.adapter);
  let base_url = given_url ?? '';
  if (!adapter) {
    const codes = reader.rules.adapters.map(({ code }) => code);
    addUnknown(reader, 'invalid', [...path, 'adapter'], entry.adapter, codes, 'there is no such adapter');
  } else {
    base_url = baseUrl(reader, path, adapter, environment, given_url);
    checkNames(reader, [...path, 'credentials'], Object.keys(credentials), Object.keys(adapter.credentials));
    checkNames(reader, [...path, 'options'], Object.keys(entry.options), Object.keys(adapter.options ?? {}));
    for (const [credential, help] of Object.entries(adapter.credentials)) {
      if (credential in credentials) continue;
      add(
        reader,
        'missing',
        [...path, 'credentials', credential],
        'is missing',
        `Add ${credential}: { env: NAME } (${help}).`,
      );
    }
    const fixed = adapter.money.currency;
    if (fixed !== null && fixed !== entry.currency) {
      add(reader, 'invalid', [...path, 'currency'], `this adapter counts in ${fixed}`, `Write ${fixed}.`);
    }
  }
  const opened: Record<string, HiddenText> = {};
  // In order of name, so that the sealed text does not depend on the order in the file.
  for (const credential of Object.keys(credentials).sort()) {
    opened[credential] = readSecret(reader, [...path, 'credentials', credential], credentials[credential]!);
  }
  return { account: name, ...rest, base_url, credentials: opened };
}

function baseUrl(
  reader: Reader,
  path: Path,
  adapter: AdapterFacts,
  environment: 'live' | 'sandbox' | undefined,
  given: string | undefined,
): string {
  if (given !== undefined) {
    if (environment) {
      add(reader, 'invalid', [...path, 'base_url'], 'stands beside environment', 'Keep one of the two.');
    }
    return given;
  }
  const of_adapter = environment ? adapter.base_urls[environment] : null;
  if (of_adapter !== null) return of_adapter;
  const known = Object.entries(adapter.base_urls).flatMap(([name, url]) =>
    url === null ? [] : [`environment: ${name}`],
  );
  const fix = `Add ${[...known, 'base_url: https://…'].join(' or ')}.`;
  if (environment) add(reader, 'invalid', [...path, 'environment'], `${adapter.code} names no address for it`, fix);
  else add(reader, 'missing', [...path, 'base_url'], 'is missing', fix);
  return '';
}

export function finishSku(
  reader: Reader,
  name: string,
  entry: z.output<typeof skuSchema>,
  root: Record<string, unknown>,
  accounts: readonly DeclaredAccount[],
  rates: readonly DeclaredRate[],
  skus: ReadonlyMap<string, z.output<typeof skuSchema>>,
): DeclaredSku {
  const path = ['skus', name];
  checkRecipientRules(reader, [...path, 'recipient_rules'], entry.recipient_rules);
  if (Buffer.byteLength(JSON.stringify(entry.recipient_rules)) > RULES_BYTES_MAX) {
    add(reader, 'invalid', [...path, 'recipient_rules'], 'are too long in all', 'Name fewer fields or values.');
  }
  if (entry.kind === 'bundle') {
    const { deadline_ms } = checkBundle(reader, path, entry, root, skus);
    return { sku: name, ...entry, deadline_ms, quantity_max: entry.quantity_max ?? 1, vault_rank: 'never' };
  }
  checkPlain(reader, path, entry);
  const is_code = entry.kind === 'code';
  if (!is_code && entry.can_detach) {
    add(
      reader,
      'invalid',
      [...path, 'can_detach'],
      'a recharge is never detached',
      'Remove it: a recharge may arrive late.',
    );
  }
  if (!is_code && entry.vault_rank && entry.vault_rank !== 'never') {
    add(reader, 'invalid', [...path, 'vault_rank'], 'a recharge never comes from the vault', 'Remove it.');
  }
  if (!is_code && !entry.recipient_rules.account) {
    add(
      reader,
      'missing',
      [...path, 'recipient_rules', 'account'],
      'is missing',
      'Say what account a recharge is for.',
    );
  }
  const declared = isRecord(root.accounts) ? Object.keys(root.accounts) : [];
  const comparable = new Set(rates.flatMap(({ currency, base }) => [currency, base]));
  const seen = new Set<string>();
  for (const [index, source] of entry.sources.entries()) {
    const at = [...path, 'sources', index];
    const key = JSON.stringify([source.account, source.product]);
    if (seen.has(key)) add(reader, 'invalid', at, 'the same account and product stand here twice', 'Remove one.');
    seen.add(key);
    checkServed(reader, [...at, 'recipients'], source.recipients, entry.recipient_rules);
    if (source.account === MANUAL_ACCOUNT) continue;
    const account = accounts.find((candidate) => candidate.account === source.account);
    if (!declared.includes(source.account)) {
      addUnknown(
        reader,
        'invalid',
        [...at, 'account'],
        source.account,
        declared,
        'there is no such account in this file',
      );
    } else if (account) checkSource(reader, at, entry, account, comparable);
  }
  return {
    sku: name,
    ...entry,
    quantity_max: entry.quantity_max ?? (is_code ? 100 : 1),
    vault_rank: entry.vault_rank ?? (is_code ? 'first' : 'never'),
  };
}

function checkSource(
  reader: Reader,
  at: Path,
  sku: z.output<typeof skuSchema>,
  account: DeclaredAccount,
  comparable: ReadonlySet<string>,
): void {
  const adapter = reader.rules.adapters.find(({ code }) => code === account.adapter);
  if (adapter && !adapter.delivers.includes(sku.kind)) {
    add(reader, 'invalid', at, `${adapter.code} delivers no ${sku.kind}`, 'Remove this source.');
  }
  const unknown = [account.currency, sku.price.currency].filter((currency) => !comparable.has(currency));
  if (account.currency !== sku.price.currency && unknown.length > 0) {
    const wrong = `costs ${account.currency} while the SKU is priced in ${sku.price.currency}`;
    const fix = `Add \`rates: { ${unknown[0]}: { base: …, rate: …, as_of: … } }\`, or use an account of the same currency: cost and price must be comparable.`;
    add(reader, 'invalid', at, wrong, fix);
  }
}

/** A source that serves only some recipients can be chosen only where the SKU asks for what tells them apart. */
function checkServed(
  reader: Reader,
  path: Path,
  served: z.output<typeof skuSchema>['sources'][number]['recipients'],
  rules: z.output<typeof skuSchema>['recipient_rules'],
): void {
  const { extra, account_prefixes, ...fields } = served ?? {};
  const missing: Path[] = [
    ...(Object.keys(fields) as (keyof typeof fields)[]).filter((name) => !rules[name]).map((name): Path => [name]),
    ...Object.keys(extra ?? {})
      .filter((name) => !rules.extra?.[name])
      .map((name): Path => ['extra', name]),
    ...(account_prefixes && !rules.account ? [['account_prefixes'] as Path] : []),
  ];
  for (const at of missing) {
    add(
      reader,
      'invalid',
      [...path, ...at],
      'the SKU asks its recipients for no such field',
      'Add it to recipient_rules.',
    );
  }
}

function checkRecipientRules(reader: Reader, path: Path, rules: z.output<typeof skuSchema>['recipient_rules']): void {
  const { extra, ...fields } = rules;
  const all: [Path, { pattern?: string | undefined; example: string } | undefined][] = [
    ...Object.entries(fields).map(([name, rule]): [Path, typeof rule] => [[...path, name], rule]),
    ...Object.entries(extra ?? {}).map(([name, rule]): [Path, typeof rule] => [[...path, 'extra', name], rule]),
  ];
  for (const [at, rule] of all) {
    if (rule?.pattern === undefined) continue;
    const wrong = reader.rules.checkPattern(rule.pattern);
    if (wrong) add(reader, 'invalid', [...at, 'pattern'], wrong, 'Simplify the pattern; it must match the whole text.');
  }
}

export function finishRate(reader: Reader, name: string, entry: z.output<typeof rateSchema>): DeclaredRate {
  const path = ['rates', name];
  if (!isCurrency(name)) add(reader, 'invalid', path, 'is not a currency', 'Write an ISO 4217 code such as USD.');
  if (name === entry.base) add(reader, 'invalid', [...path, 'base'], 'is the currency itself', 'Name another base.');
  return { currency: name, ...entry };
}

export function finishStorefront(
  reader: Reader,
  name: string,
  entry: z.output<typeof storefrontSchema>,
  root: Record<string, unknown>,
): DeclaredStorefront {
  const path = ['storefronts', name];
  const accounts = [...(isRecord(root.accounts) ? Object.keys(root.accounts) : []), VAULT_ACCOUNT, MANUAL_ACCOUNT];
  for (const field of ['accounts_only', 'accounts_except'] as const) {
    for (const account of entry[field] ?? []) {
      if (accounts.includes(account)) continue;
      addUnknown(reader, 'invalid', [...path, field], account, accounts, 'there is no such account in this file');
    }
  }
  const { webhook_secret: source, ...rest } = entry;
  const wrong = entry.webhook_url === undefined ? null : reader.rules.checkWebhookUrl(entry.webhook_url);
  if (wrong) add(reader, 'invalid', [...path, 'webhook_url'], wrong, 'Write a public https URL.');
  for (const [key, scopes] of Object.entries(entry.keys)) {
    for (const scope of scopes) {
      if (reader.rules.scopes.includes(scope)) continue;
      addUnknown(
        reader,
        'invalid',
        [...path, 'keys', key],
        scope,
        reader.rules.scopes,
        'names a scope that does not exist',
      );
    }
  }
  let webhook_secret: HiddenText | null = null;
  if (source) {
    const at = [...path, 'webhook_secret'];
    webhook_secret = readSecret(reader, at, source);
    const bytes = Buffer.from(webhook_secret.reveal().replace(/^whsec_/, ''), 'base64').length;
    if (webhook_secret.reveal() !== '' && (!webhook_secret.reveal().startsWith('whsec_') || bytes < 24 || bytes > 64)) {
      add(reader, 'invalid', at, 'is not a webhook secret', 'Use whsec_ and the base64 of 24 to 64 random bytes.');
    }
  }
  return { storefront: name, ...rest, webhook_secret };
}

function readSecret(reader: Reader, path: Path, source: SecretSource): HiddenText {
  try {
    return new HiddenText(reader.rules.readSecret(source));
  } catch (error) {
    add(reader, 'missing', path, (error as Error).message, 'Set it where `kamigate apply` runs.');
    return new HiddenText('');
  }
}

function checkNames(reader: Reader, path: Path, given: readonly string[], known: readonly string[]): void {
  for (const name of given) {
    if (!known.includes(name))
      addUnknown(reader, 'unknown', [...path, name], name, known, 'the adapter takes no such name');
  }
}
