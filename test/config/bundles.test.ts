// Bundles in the catalog file: what they are made of is checked against the SKUs they name, with the line of each fault.
import { describe, expect, it } from '@jest/globals';
import { SUPPLIERS } from '../../adapters/register.js';
import { type DeclarationRules, readDeclaration } from '../../config/declaration.js';
import { ConfigError, type ConfigProblem } from '../../config/problems.js';

const RULES: DeclarationRules = {
  adapters: Object.values(SUPPLIERS),
  scopes: [],
  checkPattern: () => null,
  checkWebhookUrl: () => null,
  readSecret: () => 'secret',
};

const PARTS = `
      - { sku: VIDEO, price: 15 }
      - { sku: CARD, quantity: 2, price: 5 }`;
/** A file with one bundle; `lines` stand at its end. */
function file(lines = `failed_part: stop\n    parts:${PARTS}`, { quantity_max = '', rules = 'account' } = {}): string {
  return `
skus:
  VIDEO:
    name: Video
    kind: recharge
    deadline_ms: 60000
    quantity_max: 3
    price: { amount: 20, currency: CNY }
    recipient_rules:
      account: { label: number, example: "138" }
      extra: { zone: { label: zone, example: A, is_required: no } }
  CARD:
    name: Card
    kind: code
    deadline_ms: 40000
    price: { amount: 6, currency: CNY }
  DOLLAR:
    name: Card in dollars
    kind: code
    price: { amount: 6, currency: USD }
  BOTH:
    name: Both
    kind: bundle
    price: { amount: 25, currency: CNY }
    ${quantity_max}
    recipient_rules: { ${rules}: { label: number, example: "138" } }
    ${lines}
`;
}

const read = (text: string) => readDeclaration(text, 'catalog.yaml', RULES).skus.find(({ sku }) => sku === 'BOTH');

function problemsOf(text: string): readonly ConfigProblem[] {
  try {
    read(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the declaration was accepted');
}

describe('a bundle', () => {
  it('is read with its parts, one at a time where nothing else is said', () => {
    expect(read(file())).toMatchObject({
      kind: 'bundle',
      failed_part: 'stop',
      quantity_max: 1,
      vault_rank: 'never',
      sources: [],
      parts: [
        { sku: 'VIDEO', quantity: 1, price: 150_000, recipient: {} },
        { sku: 'CARD', quantity: 2, price: 50_000 },
      ],
    });
  });

  it('may take as long as its slowest part, or as all of them one after the other', () => {
    expect(read(file())?.deadline_ms).toBe(100_000);
    expect(read(file(`failed_part: finish\n    parts:${PARTS}`))?.deadline_ms).toBe(60_000);
  });

  it('maps the recipient of a part to fields of its own', () => {
    const parts = `failed_part: stop\n    parts: [{ sku: VIDEO, price: 25, recipient: { account: role } }]`;
    expect(read(file(parts, { rules: 'role' }))?.parts?.[0]?.recipient).toEqual({ account: 'role' });
  });

  const WRONG: [string, string, string, RegExp][] = [
    ['no policy', file(`parts:${PARTS}`), 'skus.BOTH.failed_part', /missing/],
    ['no parts', file('failed_part: stop'), 'skus.BOTH.parts', /missing/],
    [
      'a policy that does not exist',
      file(`failed_part: halt\n    parts:${PARTS}`),
      'skus.BOTH.failed_part',
      /one of finish, stop/,
    ],
    [
      'a part that does not exist',
      file(`failed_part: stop\n    parts: [{ sku: VIDOE, price: 25 }]`),
      'skus.BOTH.parts.0.sku',
      /no such SKU/,
    ],
    [
      'itself as a part',
      file(`failed_part: stop\n    parts: [{ sku: BOTH, price: 25 }]`),
      'skus.BOTH.parts.0.sku',
      /a bundle itself/,
    ],
    [
      'a part twice',
      file(`failed_part: stop\n    parts: [{ sku: VIDEO, price: 20 }, { sku: VIDEO, price: 5 }]`),
      'skus.BOTH.parts.1',
      /twice/,
    ],
    [
      'parts that do not add up',
      file(`failed_part: stop\n    parts: [{ sku: VIDEO, price: 24.99 }]`),
      'skus.BOTH.parts',
      /add up to 24\.99, the bundle's price is 25\.00/,
    ],
    [
      'a part in another currency',
      file(`failed_part: stop\n    parts: [{ sku: VIDEO, price: 20 }, { sku: DOLLAR, price: 5 }]`),
      'skus.BOTH.parts.1.sku',
      /priced in USD, the bundle in CNY/,
    ],
    [
      'more units than a part allows',
      file(undefined, { quantity_max: 'quantity_max: 4' }),
      'skus.BOTH.parts.0.quantity',
      /up to 4 units of VIDEO, which allows 3/,
    ],
    [
      'more units in all than an order may have',
      file(`failed_part: stop\n    parts: [{ sku: VIDEO, price: 25 }, { sku: CARD, quantity: 1000, price: 0 }]`, {
        quantity_max: 'quantity_max: 10',
      }),
      'skus.BOTH.quantity_max',
      /10010 units in all, more than 10000/,
    ],
    [
      'a required field that it does not ask for',
      file(undefined, { rules: 'role' }),
      'skus.BOTH.parts.0.recipient',
      /requires account, and the bundle asks for no such field/,
    ],
    [
      'a field of the part that does not exist',
      file(`failed_part: stop\n    parts: [{ sku: VIDEO, price: 25, recipient: { acount: account } }]`),
      'skus.BOTH.parts.0.recipient.acount',
      /VIDEO asks for no such field/,
    ],
    [
      'a field that is taken from nothing',
      file(`failed_part: stop\n    parts: [{ sku: VIDEO, price: 25, recipient: { extra.zone: extra.area } }]`),
      'skus.BOTH.parts.0.recipient.extra.zone',
      /the bundle asks for no such field/,
    ],
    [
      'a field that no part takes',
      file(`failed_part: stop\n    parts: [{ sku: CARD, quantity: 5, price: 5 }]`),
      'skus.BOTH.recipient_rules.account',
      /no part takes this field/,
    ],
    [
      'a source of its own',
      file(`failed_part: stop\n    sources: []\n    parts:${PARTS}`),
      'skus.BOTH.sources',
      /none/,
    ],
    [
      'a deadline of its own',
      file(`failed_part: stop\n    deadline_ms: 60000\n    parts:${PARTS}`),
      'skus.BOTH.deadline_ms',
      /its parts do/,
    ],
    [
      'parts of what is no bundle',
      file(undefined).replace(
        'kind: code\n    deadline_ms: 40000',
        'kind: code\n    failed_part: stop\n    deadline_ms: 40000',
      ),
      'skus.CARD.failed_part',
      /for a bundle/,
    ],
  ];
  it.each(WRONG)('with %s is refused, and the field is named', (_title, text, name, wrong) => {
    const problems = problemsOf(text);
    expect(problems.map((problem) => problem.name)).toContain(name);
    expect(problems.find((problem) => problem.name === name)?.wrong).toMatch(wrong);
    for (const { origin, fix } of problems) {
      expect(origin).toMatch(/^catalog\.yaml:\d+$/);
      expect(fix).not.toBe('');
    }
  });

  it('with a field left to the storefront that a part requires is refused', () => {
    const text = file().replace(
      'recipient_rules: { account: { label: number, example: "138" } }\n    failed',
      'recipient_rules: { account: { label: number, example: "138", is_required: no } }\n    failed',
    );
    expect(problemsOf(text)[0]?.wrong).toMatch(/leaves account to the storefront/);
  });
});
