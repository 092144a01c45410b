import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { SUPPLIERS } from '../../adapters/register.js';
import { type DeclarationRules, readDeclaration } from '../../config/declaration.js';
import { ConfigError, type ConfigProblem } from '../../config/problems.js';

const RULES: DeclarationRules = {
  adapters: Object.values(SUPPLIERS),
  scopes: ['orders:read', 'orders:write'],
  checkPattern: (pattern) => (pattern.includes('(?=') ? 'looks around' : null),
  checkWebhookUrl: (url) => (url.startsWith('https:') ? null : 'is not an https URL'),
  readSecret: (source) => {
    if ('env' in source && source.env === 'ABSENT') throw new Error('the environment variable ABSENT is not set');
    if ('env' in source && source.env === 'HOOK') return `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    return `secret of ${JSON.stringify(source)}`;
  },
};

const ACCOUNT = `
  sim:
    adapter: simulated
    base_url: http://127.0.0.1:9101/
    currency: CNY
    credentials: { app_key: { env: KEY }, app_secret: { file: ./secret } }
`;
const accounts = (text = ACCOUNT): string => `accounts:${text}`;
const sku = (lines: string): string => `${accounts()}skus:
  S1:
    name: One
    kind: code
    price: { amount: 10, currency: CNY }
    ${lines}
`;
const storefront = (lines: string): string => `storefronts:
  mall:
    name: Mall
    currency: CNY
    ${lines}
`;

function problemsOf(text: string): readonly ConfigProblem[] {
  try {
    readDeclaration(text, 'catalog.yaml', RULES);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the declaration was accepted');
}

describe('readDeclaration', () => {
  it('reads the example that stands in the repository', () => {
    const text = readFileSync('config/catalog.example.yaml', 'utf8');
    const rules = { ...RULES, scopes: ['orders:read', 'orders:write', 'codes:read', 'catalog:read', 'admin'] };
    const declaration = readDeclaration(text, 'catalog.example.yaml', rules);
    expect(declaration.accounts.map(({ account, adapter }) => [account, adapter])).toEqual([
      ['sim-a', 'simulated'],
      ['dujiao-main', 'dujiao-next'],
    ]);
    expect(
      declaration.skus.map(({ sku: name, kind, vault_rank, can_detach, quantity_max }) => [
        name,
        kind,
        vault_rank,
        can_detach,
        quantity_max,
      ]),
    ).toEqual([
      ['VIDEO-MONTH', 'code', 'first', 1, 100],
      ['PHONE-50', 'recharge', 'never', 0, 1],
      ['VIDEO-AND-PHONE', 'bundle', 'never', 0, 1],
    ]);
    expect(declaration.skus[0]?.price).toEqual({ amount: 199_000, currency: 'CNY' });
    expect(declaration.skus[1]?.recipient_rules.account?.pattern).toBe('1[3-9]\\d{9}');
    expect(declaration.storefronts[0]?.keys.reports).toEqual(['orders:read', 'catalog:read']);
  });

  it('keeps every text as it is written: amounts to the last place, products with their zeros', () => {
    const text = sku('sources: [{ account: sim, product: 0017, cost: 4.8715 }]').replace('amount: 10', 'amount: 0.1');
    const declared = readDeclaration(text, 'catalog.yaml', RULES).skus[0]!;
    expect(declared.sources).toEqual([{ account: 'sim', product: '0017', cost: 48_715, priority: 100 }]);
    expect(declared.price.amount).toBe(1_000);
  });

  it('fetches credentials, and prints them as [sealed]', () => {
    const declaration = readDeclaration(accounts(), 'catalog.yaml', RULES);
    expect(declaration.accounts[0]?.credentials.app_key?.reveal()).toBe('secret of {"env":"KEY"}');
    expect(declaration.accounts[0]?.base_url).toBe('http://127.0.0.1:9101');
    expect(JSON.stringify(declaration)).not.toContain('secret of');
  });

  it('accepts an empty file section and a section that is left out', () => {
    expect(readDeclaration('accounts:\nskus: {}\n', 'catalog.yaml', RULES)).toMatchObject({
      accounts: [],
      skus: [],
      storefronts: [],
    });
  });

  it('reports everything at once, with lines', () => {
    const text = `acounts: {}
accounts:
  sim:
    adapter: simulatd
    base_url: ftp://x
    currency: RMB
    credentails: {}
skus:
  S 1:
    name: One
    kind: card
    price: { amount: 1.23456 }
    quantity_max: 10001
storefronts:
  mall:
    name: Mall
    currency: CNY
    webhook_url: http://10.0.0.1/
    keys: { main: [orders:reed] }
`;
    expect(
      problemsOf(text)
        .map(({ kind, name, origin }) => `${kind} ${name} ${origin}`)
        .sort(),
    ).toEqual([
      'invalid accounts.sim.base_url catalog.yaml:5',
      'invalid accounts.sim.currency catalog.yaml:6',
      'invalid skus.S 1 catalog.yaml:9',
      'invalid skus.S 1.kind catalog.yaml:11',
      'invalid skus.S 1.price.amount catalog.yaml:12',
      'invalid skus.S 1.quantity_max catalog.yaml:13',
      'invalid storefronts.mall.keys.main catalog.yaml:19',
      'invalid storefronts.mall.webhook_url catalog.yaml:18',
      'missing skus.S 1.price.currency catalog.yaml:12',
      'unknown accounts.sim.credentails catalog.yaml:7',
      'unknown acounts catalog.yaml:1',
    ]);
    const fixes = problemsOf(text).map(({ name, fix }) => `${name}: ${fix}`);
    expect(fixes).toContain('acounts: Did you mean accounts?');
    expect(fixes).toContain('accounts.sim.credentails: Did you mean credentials?');
    expect(fixes).toContain('storefronts.mall.keys.main: Did you mean orders:read?');
  });

  it('refuses a secret that stands in the file, and does not repeat it', () => {
    const text = accounts(ACCOUNT.replace('{ env: KEY }', 'hunter2hunter2'));
    const [found] = problemsOf(text);
    expect(found).toMatchObject({ kind: 'invalid', name: 'accounts.sim.credentials.app_key' });
    expect(found?.fix).toContain('{ env: NAME }');
    expect(JSON.stringify(problemsOf(text))).not.toContain('hunter2');
    const nested = accounts(ACCOUNT.replace('{ env: KEY }', '{ value: hunter2hunter2 }'));
    expect(problemsOf(nested)).toHaveLength(1);
    expect(JSON.stringify(problemsOf(nested))).not.toContain('hunter2');
  });

  const WRONG: [string, string, string, RegExp][] = [
    ['broken YAML', 'accounts: [', 'file', /not readable/],
    ['a name that stands twice', `${accounts()}${ACCOUNT}`, 'file', /twice/],
    ['a list for a file', '- a\n', 'file', /not a list of accounts/],
    [
      'an adapter that does not exist',
      accounts(ACCOUNT.replace('simulated', 'simulatd')),
      'accounts.sim.adapter',
      /no such adapter/,
    ],
    [
      'a credential the adapter wants',
      accounts(ACCOUNT.replace('app_secret: { file: ./secret }', '')),
      'accounts.sim.credentials.app_secret',
      /missing/,
    ],
    [
      'a credential the adapter does not know',
      accounts(ACCOUNT.replace('app_key: { env: KEY }', 'app_key: { env: KEY }, app_kee: { env: K }')),
      'accounts.sim.credentials.app_kee',
      /no such name/,
    ],
    [
      'a secret that is not set',
      accounts(ACCOUNT.replace('env: KEY', 'env: ABSENT')),
      'accounts.sim.credentials.app_key',
      /ABSENT is not set/,
    ],
    [
      'an option the adapter does not know',
      accounts(`${ACCOUNT}    options: { colour: red }\n`),
      'accounts.sim.options.colour',
      /no such name/,
    ],
    [
      'an address and an environment',
      accounts(`${ACCOUNT}    environment: live\n`),
      'accounts.sim.base_url',
      /beside environment/,
    ],
    [
      'an environment the adapter has no address for',
      accounts(
        ACCOUNT.replace('base_url: http://127.0.0.1:9101/', 'environment: live')
          .replace('simulated', 'dujiao-next')
          .replace('app_key', 'api_key')
          .replace('app_secret', 'api_secret'),
      ),
      'accounts.sim.environment',
      /no address/,
    ],
    [
      'an account without an address',
      accounts(ACCOUNT.replace('base_url: http://127.0.0.1:9101/', '')),
      'accounts.sim.base_url',
      /missing/,
    ],
    [
      'an address with a password',
      accounts(ACCOUNT.replace('http://', 'http://a:hunter2@')),
      'accounts.sim.base_url',
      /plain http/,
    ],
    ['the vault declared as an account', accounts(ACCOUNT.replace('sim:', 'vault:')), 'accounts.vault', /vault's own/],
    [
      'a limit of nothing',
      accounts(`${ACCOUNT}    limits: { concurrency: 0 }\n`),
      'accounts.sim.limits.concurrency',
      /1 to 1000/,
    ],
    [
      'a source of an unknown account',
      sku('sources: [{ account: smi, product: a }]'),
      'skus.S1.sources.0.account',
      /no such account/,
    ],
    [
      'the same source twice',
      sku('sources: [{ account: sim, product: a }, { account: sim, product: a }]'),
      'skus.S1.sources.1',
      /twice/,
    ],
    [
      'a source in another currency',
      sku('sources: [{ account: sim, product: a }]').replace('amount: 10, currency: CNY', 'amount: 10, currency: USD'),
      'skus.S1.sources.0',
      /CNY while .* USD/,
    ],
    ['a price with a comma', sku('').replace('amount: 10', 'amount: "1,5"'), 'skus.S1.price.amount', /not an amount/],
    ['a negative price', sku('').replace('amount: 10', 'amount: -1'), 'skus.S1.price.amount', /not an amount/],
    ['a quantity of 0', sku('quantity_max: 0'), 'skus.S1.quantity_max', /1 to 10000/],
    ['a flag that is neither', sku('can_detach: maybe'), 'skus.S1.can_detach', /yes nor no/],
    [
      'a pattern that cannot be taken',
      sku("recipient_rules: { account: { label: a, example: a, pattern: '(?=a)' } }"),
      'skus.S1.recipient_rules.account.pattern',
      /looks around/,
    ],
    [
      'a recipient field that does not exist',
      sku('recipient_rules: { acount: { label: a, example: a } }'),
      'skus.S1.recipient_rules.acount',
      /no such field/,
    ],
    [
      'a recharge that detaches',
      sku('can_detach: yes').replace(
        'kind: code',
        'kind: recharge\n    recipient_rules: { account: { label: a, example: a } }',
      ),
      'skus.S1.can_detach',
      /never detached/,
    ],
    [
      'a recharge from the vault',
      sku('vault_rank: last').replace(
        'kind: code',
        'kind: recharge\n    recipient_rules: { account: { label: a, example: a } }',
      ),
      'skus.S1.vault_rank',
      /never comes from the vault/,
    ],
    [
      'a recharge for nobody',
      sku('').replace('kind: code', 'kind: recharge'),
      'skus.S1.recipient_rules.account',
      /missing/,
    ],
    [
      'a webhook to a private place',
      storefront('webhook_url: http://10.0.0.1/'),
      'storefronts.mall.webhook_url',
      /https/,
    ],
    [
      'a webhook secret of the wrong form',
      storefront('webhook_secret: { env: OTHER }'),
      'storefronts.mall.webhook_secret',
      /not a webhook secret/,
    ],
    ['a scope that does not exist', storefront('keys: { main: [orders:raed] }'), 'storefronts.mall.keys.main', /scope/],
    ['a key without a scope', storefront('keys: { main: [] }'), 'storefronts.mall.keys.main', /no scope/],
    [
      'a key with a name that is none',
      storefront('keys: { Main Key: [orders:read] }'),
      'storefronts.mall.keys.Main Key',
      /plain name/,
    ],
  ];
  for (const [title, text, name, wrong] of WRONG) {
    it(`names ${title}`, () => {
      const problems = problemsOf(text);
      expect(problems.map((problem) => problem.name)).toEqual([name]);
      expect(problems[0]?.wrong).toMatch(wrong);
      expect(problems[0]?.fix).not.toBe('');
      expect(problems[0]?.origin).toMatch(/^catalog\.yaml:\d+$/);
      expect(JSON.stringify(problems)).not.toContain('hunter2');
    });
  }

  it('accepts a webhook secret of the right form', () => {
    const [declared] = readDeclaration(storefront('webhook_secret: { env: HOOK }'), 'catalog.yaml', RULES).storefronts;
    expect(declared?.webhook_secret?.reveal()).toMatch(/^whsec_/);
  });
});
