// Orders from end to end through real adapters, over real HTTP, at simulated suppliers that check what we send the way the
// real ones do: signed as it must be it is bought once, signed otherwise it is not bought at all.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Kind } from '../../adapters/kit/contract.js';
import type { ShopCode } from '../../adapters/kit/shop.js';
import { PROTOCOLS } from '../../adapters/protocols/register.js';
import { SUPPLIERS } from '../../adapters/register.js';
import type { Simulator } from '../../adapters/simulator.js';
import { atomic } from '../../src/db/atomic.js';
import { type AccountOptions, makeWorld, type World } from '../kit/world.js';

type Parts = { number?: string; pin?: string; serial?: string; link?: string };
interface Case {
  code: string;
  kind: Kind;
  /** Units of an order; 1 where the protocol sells one at a time. */
  quantity: number;
  /** What of a code the protocol hands over, and where. `again` if it was asked for after its answer was lost. */
  parts: (code: ShopCode, again: boolean) => Parts;
  /** What the adapter makes of sold out, and of a credential that is wrong: not every protocol has a word for it. */
  sold_out: string;
  stranger: string;
  /** The credential that signs, or is the secret. */
  secret: string;
  /** What their callback does by kind of goods: settles the attempt, makes us ask, or is never sent. */
  callbacks: Partial<Record<Kind, 'settles' | 'hint' | 'none'>>;
  /** No answer of theirs ever names what an order cost. */
  cost_untold?: true;
  /** There is no way to ask about an order whose answer was lost: it waits for a person. */
  is_mute?: true;
  /** Whose offers an account on this host lists; default those of `kind`. */
  lists?: Kind;
}

const numberAndPin = ({ number, pin }: ShopCode): Parts => ({ number, pin });
const none = (): Parts => ({});

// biome-ignore format: a table, one line for each protocol
const CASES: readonly Case[] = [
  { code: 'dujiao-next', kind: 'code', quantity: 2, parts: ({ number, pin }) => ({ pin: `${number}----${pin}` }), sold_out: 'out_of_stock', stranger: 'credentials', secret: 'api_secret', callbacks: { code: 'settles', recharge: 'settles' } },
  { code: 'kakayun', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'declined', stranger: 'credentials', secret: 'key', callbacks: { code: 'settles', recharge: 'settles' } },
  { code: 'kasushou', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'declined', stranger: 'declined', secret: 'apikey', callbacks: { code: 'hint', recharge: 'settles' } },
  { code: 'fulu', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'out_of_stock', stranger: 'credentials', secret: 'AppSecret', callbacks: { code: 'hint', recharge: 'settles' } },
  { code: 'lansexiongdi', kind: 'recharge', quantity: 1, parts: none, sold_out: 'sku_unknown', stranger: 'credentials', secret: 'key', callbacks: { recharge: 'settles' }, cost_untold: true },
  { code: 'digiflazz', kind: 'code', quantity: 1, parts: ({ number, pin }) => ({ pin: `${number}/${pin}` }), sold_out: 'out_of_stock', stranger: 'credentials', secret: 'apiKey', callbacks: { code: 'settles', recharge: 'settles' } },
  { code: 'reloadly', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'out_of_stock', stranger: 'credentials', secret: 'client_secret', callbacks: { code: 'hint', recharge: 'hint' }, lists: 'recharge' },
  { code: 'tremendous', kind: 'code', quantity: 1, parts: (code, again) => ({ link: `https://rewards.invalid/${code.number}/${code.pin}${again ? '/again' : ''}` }), sold_out: 'sku_unknown', stranger: 'credentials', secret: 'api_key', callbacks: { code: 'hint' } },
  { code: 'dtone', kind: 'code', quantity: 1, parts: ({ pin, serial }) => ({ pin, serial }), sold_out: 'sku_unknown', stranger: 'credentials', secret: 'api_secret', callbacks: { code: 'hint', recharge: 'hint' } },
  { code: 'woohoo', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'out_of_stock', stranger: 'credentials', secret: 'clientSecret', callbacks: { code: 'none' } },
  { code: 'xingquanyi', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'declined', stranger: 'credentials', secret: 'key', callbacks: { code: 'hint', recharge: 'settles' } },
  { code: 'xinghai', kind: 'code', quantity: 2, parts: numberAndPin, sold_out: 'out_of_stock', stranger: 'credentials', secret: 'appSecret', callbacks: { code: 'none', recharge: 'settles' } },
  { code: 'yile', kind: 'recharge', quantity: 1, parts: none, sold_out: 'declined', stranger: 'declined', secret: 'AppSecret', callbacks: { recharge: 'none' }, cost_untold: true, is_mute: true },
];

let world: World;
beforeAll(async () => {
  world = await makeWorld();
});
afterAll(async () => {
  await world.close();
});

let count = 0;

/** A simulated supplier of the protocol with an account of its own, a SKU, and its source there. */
async function open({ code }: Case, kind: Kind, options: AccountOptions = {}): Promise<Stage> {
  const account = `${code}-${++count}`;
  const { products, currency } = PROTOCOLS[code]!;
  const product = products.find((one) => one.kind === kind)!;
  const simulator = await world.addSupplier(account, {
    limits: { requests: null },
    ...options,
    simulator: { protocol: code },
  });
  await world.addSku(account, { kind, currency, price_e4: product.cost_e4 * 2, vault_rank: 'never' });
  await world.addSource(account, account, { product: product.product, cost_e4: product.cost_e4, priority: 1 });
  return { account, product, currency, simulator, sku: account };
}
interface Stage {
  account: string;
  sku: string;
  product: { product: string; kind: Kind; cost_e4: number; stock: number | null };
  currency: string;
  simulator: Simulator;
}

/** A second source of the SKU, at a built-in supplier. */
async function addSpare({ sku, currency, product: { kind, cost_e4 } }: Stage): Promise<Simulator> {
  const spare = `${sku}-spare`;
  const simulator = await world.addSupplier(spare, {
    simulator: { currency, products: [{ product: 'spare', kind, cost_e4, stock: null }] },
  });
  await world.addSource(sku, spare, { product: 'spare', cost_e4, priority: 2 });
  return simulator;
}

async function place({ sku, product }: Stage, quantity: number): Promise<string> {
  const recipient = product.kind === 'recharge' ? { account: '13900001111' } : null;
  return (await world.place({ sku, quantity, recipient })).order.order_id;
}

/** Long enough for the slowest rule about asking again: two hours, half a minute at a time. */
const rest = (order_id: string) => world.runUntilRest(order_id, 30_000, 240);

async function revealed(order_id: string): Promise<Parts[]> {
  const by = { order_id, by: 'storefront:mall', reason: 'test' };
  const codes = await atomic(world.database, 'test reveal', (trx) => world.gateway.vault.reveal(trx, by));
  return codes.map((code) => {
    const parts = (['number', 'pin', 'serial', 'link'] as const).map((name) => [name, code[name]?.reveal().toString()]);
    return Object.fromEntries(parts.filter(([, text]) => text !== undefined)) as Parts;
  });
}

const attemptsOf = async (order_id: string) =>
  (await world.attempts(order_id)).map(({ account, state, reason }) => [account, state, reason]);
const isPaused = async (account: string) =>
  (await world.database.read('accounts').where({ account }).first()).paused_at !== null;

/** Delivered, bought once, and both books say the same to the ten-thousandth and to the letter. */
async function expectBoughtOnce(
  order_id: string,
  stage: Stage,
  { quantity, parts, cost_untold }: Case,
  again = false,
): Promise<void> {
  expect(await world.order(order_id)).toMatchObject({
    state: 'delivered',
    delivered_quantity: quantity,
    attempts_count: 1,
  });
  const books = stage.simulator.books();
  expect(books).toMatchObject({ orders: 1, units: quantity, net_e4: stage.product.cost_e4 * quantity });
  const [attempt] = await world.attempts(order_id);
  expect(attempt).toMatchObject({ state: 'delivered', cost_e4: cost_untold ? null : books.net_e4 });
  if (!cost_untold) expect(attempt!.currency).toBe(stage.currency);
  const [reference, bought] = Object.entries(books.by_reference)[0]!;
  expect(attempt!.reference).toBe(reference);
  if (stage.product.kind === 'recharge') return;
  expect(bought.codes).toHaveLength(quantity);
  const issued = await revealed(order_id);
  const expected = bought.codes.map((code) => parts(code, again));
  expect(issued.map((code, at) => pick(code, expected[at]!))).toEqual(expected);
}

/** What must become of an order whose answer was lost. */
async function expectSettled(order_id: string, stage: Stage, one: Case): Promise<void> {
  if (!one.is_mute) return expectBoughtOnce(order_id, stage, one, true);
  expect(await world.order(order_id)).toMatchObject({ state: 'held', attempts_count: 1 });
  expect(await attemptsOf(order_id)).toEqual([[stage.account, 'unknown', null]]);
  expect(stage.simulator.books().orders).toBe(1);
}

const pick = (code: Parts, like: Parts): Parts =>
  Object.fromEntries(Object.entries(code).filter(([name]) => Object.hasOwn(like, name)));

test('every signing family has a simulated supplier, each for an adapter that is registered', () => {
  const codes = Object.keys(PROTOCOLS).filter((code) => code !== 'simulated');
  expect(codes.sort()).toEqual(CASES.map(({ code }) => code).sort());
  expect(codes.filter((code) => !Object.hasOwn(SUPPLIERS, code))).toEqual([]);
});

describe.each(CASES)('$code', (one) => {
  const { code, kind, quantity } = one;

  test('an order is delivered, bought once, and the books are equal', async () => {
    const stage = await open(one, kind);
    const order_id = await place(stage, quantity);
    await rest(order_id);
    await expectBoughtOnce(order_id, stage, one);
  });

  test.each(PROTOCOLS[code]!.products.map((product) => product.kind))('a %s is bought to the end', async (each) => {
    const stage = await open(one, each);
    const order_id = await place(stage, 1);
    expect(await rest(order_id)).toMatchObject({ state: 'delivered', delivered_quantity: 1 });
    expect(stage.simulator.books()).toMatchObject({ orders: 1, units: 1, net_e4: stage.product.cost_e4 });
  });

  test('an order whose answer is lost is asked for, and bought once', async () => {
    const stage = await open(one, kind);
    const spare = await addSpare(stage);
    stage.simulator.fault('accept_then_drop');
    const order_id = await place(stage, quantity);
    await world.idle();
    expect(await attemptsOf(order_id)).toEqual([[stage.account, 'unknown', null]]);
    await rest(order_id);
    await expectSettled(order_id, stage, one);
    expect(spare.books().orders).toBe(0);
  });

  test.each(['bad_gateway', 'empty_reply', 'garbage'])(
    '%s in place of an answer is doubt, and bought once',
    async (fault) => {
      const stage = await open(one, kind);
      stage.simulator.fault(fault);
      const order_id = await place(stage, quantity);
      await world.idle();
      expect(await attemptsOf(order_id)).toEqual([[stage.account, 'unknown', null]]);
      await rest(order_id);
      await expectSettled(order_id, stage, one);
    },
  );

  test('sold out there, it is bought elsewhere', async () => {
    const stage = await open(one, kind);
    const spare = await addSpare(stage);
    stage.simulator.setProduct({ ...stage.product, stock: 0 });
    const order_id = await place(stage, quantity);
    expect((await rest(order_id)).state).toBe('delivered');
    expect(await attemptsOf(order_id)).toEqual([
      [stage.account, 'refused', one.sold_out],
      [`${stage.account}-spare`, 'delivered', null],
    ]);
    expect([stage.simulator.books().orders, spare.books().orders]).toEqual([0, 1]);
  });

  test.each(Object.entries(one.callbacks))(
    'a %s that takes its time is finished, and no stranger finishes it (%s)',
    async (each, callback) => {
      const units = each === kind ? quantity : 1;
      const stage = await open(one, each as Kind);
      stage.simulator.fault('late');
      const order_id = await place(stage, units);
      await world.idle();
      const [attempt] = await world.attempts(order_id);
      expect(attempt).toMatchObject({ state: 'accepted' });
      await stage.simulator.callBack(attempt!.reference, { forged: true });
      await world.idle();
      expect(await world.attempts(order_id)).toMatchObject([{ state: 'accepted', settled_at: null }]);
      expect(await world.order(order_id)).toMatchObject({ state: 'sourcing', delivered_quantity: 0 });
      expect(stage.simulator.deliver(attempt!.reference)).toBe(true);
      await stage.simulator.settled();
      await rest(order_id);
      await expectBoughtOnce(order_id, stage, { ...one, quantity: units }, true);
      const told = stage.simulator.callbacks.filter(({ forged }) => !forged).map(({ status }) => status);
      expect(told).toEqual(callback === 'none' ? [] : [200]);
      expect((await world.attempts(order_id))[0]!.settled_by).toBe(callback === 'settles' ? 'callback' : 'lookup');
    },
  );

  test('with a wrong credential nothing is bought there', async () => {
    const { credentials } = PROTOCOLS[code]!;
    // As long as the right one: some are the key of a cipher.
    const wrong = { ...credentials, [one.secret]: 'x'.repeat(credentials[one.secret]!.length) };
    const sealed = Object.entries(wrong).map(([name, text]) => [name, { reveal: () => text }]);
    const stage = await open(one, kind, { credentials: Object.fromEntries(sealed) });
    const spare = await addSpare(stage);
    const order_id = await place(stage, quantity);
    expect((await rest(order_id)).state).toBe('delivered');
    expect(await attemptsOf(order_id)).toEqual([
      [stage.account, 'refused', one.stranger],
      [`${stage.account}-spare`, 'delivered', null],
    ]);
    expect(await isPaused(stage.account)).toBe(one.stranger === 'credentials');
    expect([stage.simulator.books().orders, spare.books().orders]).toEqual([0, 1]);
  });

  test('its offers and our balance there are read', async () => {
    const { account, product, currency, simulator } = await open(one, one.lists ?? kind);
    const channel = await world.gateway.channels.channel(account);
    const { offers } = await channel.listOffers(null);
    const offer = offers.find((row) => row.product === product.product);
    expect(offer).toMatchObject({ available: true });
    if (offer!.cost) expect(offer!.cost).toEqual({ amount_e4: product.cost_e4, currency });
    if (SUPPLIERS[code]!.readBalance) {
      expect(await channel.readBalance()).toEqual({ amount_e4: simulator.books().balance_e4, currency });
    }
  });
});

test.each(['reloadly', 'woohoo'])(
  'a session at %s that has ended is opened again, and the order bought once',
  async (code) => {
    const one = CASES.find((each) => each.code === code)!;
    const stage = await open(one, one.kind);
    const first = await place(stage, 1);
    await rest(first);
    // As they answer a token that they have forgotten: nothing was bought by it.
    stage.simulator.fault('credentials');
    const second = await place(stage, 1);
    expect((await rest(second)).state).toBe('delivered');
    expect(await attemptsOf(second)).toEqual([[stage.account, 'delivered', null]]);
    expect(stage.simulator.books()).toMatchObject({ orders: 2, units: 2 });
    expect(await isPaused(stage.account)).toBe(false);
  },
);
