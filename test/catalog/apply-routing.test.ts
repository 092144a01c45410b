// `kamigate apply` writes what the file says of routing, and nothing where it says nothing; a person's account is made
// when a source names it.
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { SUPPLIERS } from '../../adapters/register.js';
import { readDeclaration } from '../../config/declaration.js';
import { runApply } from '../../src/catalog/apply.js';
import { makeKey, makeWebhookSecret, SCOPES, scopesText } from '../../src/storefronts/accounts.js';
import { moveNotices, WEBHOOK_SECRET_PURPOSE } from '../../src/storefronts/webhooks.js';
import { openTestDatabase, type TestDatabase } from '../kit/database.js';
import { makeTestSeal } from '../kit/seal.js';

const catalog = (account: string, sku: string, source: string, storefront: string) => `
accounts:
  sim:
    adapter: simulated
    base_url: http://127.0.0.1:9101
    currency: CNY
    credentials: { app_key: { env: KEY }, app_secret: { env: SECRET } }
    ${account}
skus:
  PHONE:
    name: Phone
    kind: recharge
    price: { amount: 50, currency: CNY }
    recipient_rules: { account: { label: number, example: "138" } }
    ${sku}
    sources:
      - { account: sim, product: "2", cost: 49${source} }
      - { account: manual, product: at the counter, cost: 49.5 }
storefronts:
  mall: { name: Mall, currency: CNY${storefront} }
`;
const PLAIN = catalog('', '', '', '');
const FULL = catalog(
  'maintenance: [{ from: "23:30", to: "00:30", zone: Asia/Shanghai }]',
  'strategy: balanced\n    margin_min_percent: 2\n    second_cost: 0.01',
  ', weight: 3, recipients: { account_prefixes: ["134"] }',
  ', accounts_only: [sim, manual]',
);

let opened: TestDatabase;
beforeEach(async () => {
  opened = await openTestDatabase();
});
afterEach(() => opened.close());

const seal = makeTestSeal();

async function apply(text: string) {
  const declaration = readDeclaration(text, 'catalog.yaml', {
    adapters: Object.values(SUPPLIERS),
    scopes: SCOPES,
    checkPattern: () => null,
    checkWebhookUrl: () => null,
    readSecret: () => 'secret',
  });
  const storefronts = {
    webhook_secret_purpose: WEBHOOK_SECRET_PURPOSE,
    makeKey,
    makeWebhookSecret,
    scopesText,
    moveNotices,
  };
  const { changes } = await runApply(opened.database, declaration, { now: () => 1_000, seal, storefronts });
  return changes
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, kind, name }) => `${action} ${kind} ${name}`);
}

async function written() {
  const { read } = opened.database;
  return {
    account: await read('accounts').where({ account: 'sim' }).first('maintenance'),
    sku: await read('skus').first('strategy', 'margin_min_bp', 'second_cost_e4'),
    source: await read('sources').where({ account: 'sim' }).first('weight', 'recipients'),
    storefront: await read('storefronts').first('accounts_only', 'accounts_except'),
  };
}

it('writes what the file says, and takes it back when the file says it no more', async () => {
  const nothing = {
    account: { maintenance: null },
    sku: { strategy: 'priority', margin_min_bp: null, second_cost_e4: 0 },
    source: { weight: 1, recipients: null },
    storefront: { accounts_only: null, accounts_except: null },
  };
  expect(await apply(PLAIN)).toContain('create account manual');
  expect(await written()).toEqual(nothing);
  expect(
    await opened.database.read('sources').where({ account: 'manual' }).first('cost_e4', 'currency', 'product'),
  ).toEqual({
    cost_e4: 495_000,
    currency: 'CNY',
    product: 'at the counter',
  });

  expect(await apply(FULL)).toEqual([
    'update account sim',
    'update sku PHONE',
    'update source PHONE ← sim/2',
    'update storefront mall',
  ]);
  expect(await written()).toEqual({
    account: { maintenance: '[{"from":"23:30","to":"00:30","zone":"Asia/Shanghai"}]' },
    sku: { strategy: 'balanced', margin_min_bp: 200, second_cost_e4: 100 },
    source: { weight: 3, recipients: '{"account_prefixes":["134"]}' },
    storefront: { accounts_only: '["manual","sim"]', accounts_except: null },
  });
  expect(await apply(FULL)).toEqual([]);

  await apply(PLAIN);
  expect(await written()).toEqual(nothing);
});

it('leaves a person’s account alone once it is there: a pause stays', async () => {
  await apply(PLAIN);
  await opened.database
    .write('accounts')
    .where({ account: 'manual' })
    .update({ paused_at: 5, paused_reason: 'holidays' });
  expect(await apply(PLAIN)).toEqual([]);
  expect(await opened.database.read('accounts').where({ account: 'manual' }).first('paused_at', 'is_enabled')).toEqual({
    paused_at: 5,
    is_enabled: 1,
  });
});
