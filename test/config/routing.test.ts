// What the catalog file says of routing: strategies and weights, margins, whom a source serves, maintenance, and what a
// storefront may be served from. Left out, everything is as if it were not there.
import { describe, expect, it } from '@jest/globals';
import { SUPPLIERS } from '../../adapters/register.js';
import { type Declaration, readDeclaration } from '../../config/declaration.js';
import { ConfigError } from '../../config/problems.js';

const HEAD = (account = '') => `accounts:
  sim:
    adapter: simulated
    base_url: http://127.0.0.1:9101
    currency: CNY
    credentials: { app_key: { env: KEY }, app_secret: { env: SECRET } }
${account}
`;
const SKU = (lines: string, source = '{ account: sim, product: "1" }') => `skus:
  S1:
    name: One
    kind: recharge
    price: { amount: 10, currency: CNY }
    recipient_rules:
      account: { label: number, example: "138" }
      region: { label: region, example: CN-GD }
    ${lines}
    sources: [${source}]
`;
const SHOP = (lines: string) => `storefronts:
  mall: { name: Mall, currency: CNY, ${lines} }
`;

function read(text: string): Declaration {
  return readDeclaration(text, 'catalog.yaml', {
    adapters: Object.values(SUPPLIERS),
    scopes: ['orders:read'],
    checkPattern: () => null,
    checkWebhookUrl: () => null,
    readSecret: () => 'secret',
  });
}

function wrongWith(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ name, wrong }) => `${name}: ${wrong}`);
    throw error;
  }
  return [];
}

describe('what is declared', () => {
  it('is read', () => {
    const declared = read(
      HEAD('    maintenance:\n      - { from: "23:30", to: "00:30", zone: Asia/Shanghai, days: [fri, sat] }') +
        SKU(
          'strategy: weighted\n    margin_min_percent: 1.5\n    second_cost: 0.002',
          '{ account: sim, product: "1", weight: 7, recipients: { region: [CN-GD], account_prefixes: ["134"] } }',
        ) +
        SHOP('accounts_only: [sim, vault], accounts_except: [manual]'),
    );
    expect(declared.accounts[0]!.maintenance).toEqual([
      { from: '23:30', to: '00:30', zone: 'Asia/Shanghai', days: ['fri', 'sat'] },
    ]);
    expect(declared.skus[0]).toMatchObject({ strategy: 'weighted', margin_min_percent: 150, second_cost: 20 });
    expect(declared.skus[0]!.sources[0]).toMatchObject({
      weight: 7,
      recipients: { region: ['CN-GD'], account_prefixes: ['134'] },
    });
    expect(declared.storefronts[0]).toMatchObject({ accounts_only: ['sim', 'vault'], accounts_except: ['manual'] });
  });

  it('may name a person as a source, which no file need declare', () => {
    const declared = read(
      HEAD() + SKU('', '{ account: sim, product: "1" }, { account: manual, product: at the counter }'),
    );
    expect(declared.skus[0]!.sources[1]).toMatchObject({ account: 'manual', product: 'at the counter' });
  });
});

describe('what is wrong is refused with its place', () => {
  it.each<[string, string, string]>([
    [
      'a strategy nobody knows',
      HEAD() + SKU('strategy: fastest'),
      'skus.S1.strategy: is not one of priority, cheapest, weighted, balanced',
    ],
    [
      'a margin of everything',
      HEAD() + SKU('margin_min_percent: 100'),
      'skus.S1.margin_min_percent: is not a percentage below 100',
    ],
    [
      'a weight of nothing',
      HEAD() + SKU('', '{ account: sim, product: "1", weight: 0 }'),
      'skus.S1.sources.0.weight: is not a whole number from 1 to 1000',
    ],
    [
      'a field the SKU does not ask for',
      HEAD() + SKU('', '{ account: sim, product: "1", recipients: { server: [s1] } }'),
      'skus.S1.sources.0.recipients.server: the SKU asks its recipients for no such field',
    ],
    [
      'a condition that holds for nobody',
      HEAD() + SKU('', '{ account: sim, product: "1", recipients: { region: [] } }'),
      'skus.S1.sources.0.recipients.region: is empty',
    ],
    [
      'a zone nobody knows',
      HEAD('    maintenance: [{ from: "01:00", to: "02:00", zone: Peking }]'),
      'accounts.sim.maintenance.0.zone: is not a time zone',
    ],
    [
      'a time that is none',
      HEAD('    maintenance: [{ from: "24:00", to: "02:00", zone: UTC }]'),
      'accounts.sim.maintenance.0.from: is not a time of day',
    ],
    [
      'an account that is not there',
      HEAD() + SHOP('accounts_except: [sin]'),
      'storefronts.mall.accounts_except: there is no such account in this file',
    ],
    [
      'the name of the account of a person',
      HEAD().replaceAll('sim:', 'manual:'),
      'accounts.manual: is the account of a person who delivers',
    ],
  ])('%s', (_what, text, problem) => {
    expect(wrongWith(text)).toContain(problem);
  });
});

describe('a rate', () => {
  const rate = (as_of: string) => `rates:\n  USD: { base: CNY, rate: 7.1, as_of: ${as_of} }\n`;
  it('is of a day', () => {
    expect(read(rate('2028-02-29')).rates[0]?.as_of).toBe(Date.UTC(2028, 1, 29));
  });
  it.each(['2026-02-30', '2027-02-29', '2026-13-01', '26-01-01', '2026-01-01T00:00:00Z'])('is not of %s', (day) => {
    expect(wrongWith(rate(`"${day}"`))).toEqual(['rates.USD.as_of: is not a day']);
  });
});
