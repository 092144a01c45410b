// What people do to stock: seal, freeze, spread, replace, dispute, approve; and seats, the other kind of stock.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createKeyring } from '../../vault/keyring.js';
import { keyText } from '../../vault/sources.js';
import { createVault, type IssueResult, type Selection } from '../../vault/vault.js';
import { DAY, depositOf, numbered, openVaultWorld, renewVaultWorld, START, type VaultWorld } from './world.js';

let world: VaultWorld;
let serial = 0;
let sku: string;
let order: string;
const act = { by: 'operator:lin', reason: 'a good reason' };

beforeAll(async () => {
  world = await openVaultWorld();
});
afterAll(() => world.close());
beforeEach(() => {
  serial++;
  sku = `SKU-${serial}`;
  order = `ord_${serial}`;
  world.clock.now = START + serial * DAY;
});

const deposit = (count: number, more = {}) =>
  world.tx((trx) => world.vault.deposit(trx, depositOf(numbered(count, `${sku}-${Math.random()}`), { sku, ...more })));
const issue = (quantity = 1, order_id = order, vault = world.vault) =>
  world.tx(async (trx) => (await vault.issue(trx, [{ order_id, sku, first_unit: 1, quantity }]))[0]!);
const reveal = (more = {}) =>
  world.tx((trx) => world.vault.reveal(trx, { order_id: order, by: 'operator:wu', reason: 'complaint', ...more }));
const batchesOf = (result: IssueResult) => ('issued' in result ? result.issued.map((one) => one.batch_id) : []);
const count = (batches: string[], batch: string) => batches.filter((one) => one === batch).length;

describe('seal', () => {
  test('one process seals, every other stops within a second, unseal opens them again', async () => {
    await deposit(3);
    const keyring = createKeyring(keyText('the test', world.keys));
    const { dialect, can_skip_locked } = world.database;
    const other = createVault({ keyring, now: () => world.clock.now, dialect, can_skip_locked });
    await issue(1, `${order}-a`, other);
    await world.tx((trx) => world.vault.control.seal(trx, act));
    await expect(issue()).rejects.toMatchObject({ code: 'sealed' });
    world.clock.now += 1000;
    await expect(issue(1, order, other)).rejects.toMatchObject({ code: 'sealed' });
    expect(keyring.is_sealed && world.keyring.is_sealed).toBe(true);
    expect((await world.vault.figures(world.database.read)).is_sealed).toBe(true);
    await world.tx((trx) => world.vault.control.unseal(trx, act));
    world.clock.now += 1000;
    expect(batchesOf(await issue(1, order, other))).toHaveLength(1);
    expect(batchesOf(await issue(1, `${order}-b`))).toHaveLength(1);
  });
});

describe('freeze', () => {
  test.each(['sku', 'batch', 'account', 'all'] as const)(
    'by %s stops issuing with one row and says what it concerns',
    async (scope) => {
      const { batch_id } = await deposit(5, { account: `sup-${serial}` });
      await issue(2);
      const selection: Selection = {
        sku: { sku },
        batch: { batch_id },
        account: { account: `sup-${serial}` },
        all: { all: true as const },
      }[scope];
      const affected = await world.vault.control.affected(world.database.read, selection);
      if (scope !== 'all') expect(affected).toEqual({ available: 3, issued: 2, orders: 1 });
      else expect(affected.available).toBeGreaterThanOrEqual(3);
      const { freeze_id } = await world.tx((trx) => world.vault.control.freeze(trx, selection, act));
      expect(await issue(1, `${order}-b`)).toEqual({ short: { available: 0 } });
      expect(await world.vault.available(world.database.read, sku, 10)).toBe(0);
      expect((await world.vault.control.freezes(world.database.read))[0]).toMatchObject({ freeze_id, scope });
      await world.tx((trx) => world.vault.control.lift(trx, freeze_id, act));
      expect(batchesOf(await issue(1, `${order}-b`))).toEqual([batch_id]);
      await expect(world.tx((trx) => world.vault.control.lift(trx, freeze_id, act))).rejects.toMatchObject({
        code: 'not_found',
      });
    },
  );
});

describe('a share per batch', () => {
  const policy = { order_share_pct: null, hour_batch_max: null, disputes_max: null, number_rule: null };

  test('one order takes at most its share from one batch, else is short', async () => {
    await world.tx((trx) => world.vault.control.setPolicy(trx, sku, { ...policy, order_share_pct: 50 }, act));
    const a = await deposit(20);
    expect(await issue(10)).toEqual({ short: { available: 5 } });
    const b = await deposit(20);
    const batches = batchesOf(await issue(10));
    expect([count(batches, a.batch_id), count(batches, b.batch_id)]).toEqual([5, 5]);
    expect(batchesOf(await issue(1, `${order}-b`))).toEqual([a.batch_id]);
  });

  test('one hour takes at most so many from one batch, whoever orders', async () => {
    await world.tx((trx) => world.vault.control.setPolicy(trx, sku, { ...policy, hour_batch_max: 4 }, act));
    const a = await deposit(20);
    const b = await deposit(20);
    const batches: string[] = [];
    for (let at = 0; at < 8; at++) batches.push(...batchesOf(await issue(1, `${order}-${at}`)));
    expect([count(batches, a.batch_id), count(batches, b.batch_id)]).toEqual([4, 4]);
    expect(await issue(1, `${order}-x`)).toEqual({ short: { available: 0 } });
    world.clock.now += 3_600_000;
    expect(batchesOf(await issue(4, `${order}-x`))).toEqual(Array(4).fill(a.batch_id));
  });

  test.each([
    [{ order_share_pct: 0 }, 'order_share_pct'],
    [{ hour_batch_max: 1.5 }, 'hour_batch_max'],
    [{ number_rule: '(' }, 'number_rule'],
  ])('refuses %j', async (fault, field) => {
    await expect(
      world.tx((trx) => world.vault.control.setPolicy(trx, sku, { ...policy, ...fault }, act)),
    ).rejects.toMatchObject({ details: { field } });
  });
});

describe('replace and dispute', () => {
  const policy = { order_share_pct: null, hour_batch_max: null, disputes_max: 2, number_rule: null };

  test('a replacement is a new issue from another batch that points at the old one', async () => {
    const a = await deposit(3, { total_cost_e4: 300, currency: 'CNY' });
    await issue(2);
    expect(await world.tx((trx) => world.vault.aftersale.replace(trx, { order_id: order, unit_no: 2 }, act))).toEqual({
      short: { available: 0 },
    });
    const b = await deposit(3, { total_cost_e4: 900, currency: 'CNY' });
    const before = await reveal({ by: 'storefront:shop' });
    const result = await world.tx((trx) => world.vault.aftersale.replace(trx, { order_id: order, unit_no: 2 }, act));
    expect(result).toMatchObject({
      replaced: { unit_no: 2, batch_id: b.batch_id, cost_e4: 300, old_code_id: before[1]!.code_id },
    });
    const after = await reveal({ by: 'storefront:shop' });
    expect(after.map((code) => code.unit_no)).toEqual([1, 2]);
    expect(after[1]!.code_id).not.toBe(before[1]!.code_id);
    expect((await issue(2)) as object).toMatchObject({
      issued: [{ code_id: after[0]!.code_id }, { code_id: after[1]!.code_id }],
    });
    expect(await world.database.read('codes').where({ code_id: before[1]!.code_id }).first()).toMatchObject({
      state: 'issued',
      batch_id: a.batch_id,
    });
    expect(await world.database.read('replacements').where({ order_id: order })).toMatchObject([
      { replaced_by: act.by, reason: act.reason, cost_e4: 300 },
    ]);
  });

  test('at the threshold the rest of the batch is quarantined by itself and a claim is prepared', async () => {
    await world.tx((trx) => world.vault.control.setPolicy(trx, sku, policy, act));
    const { batch_id } = await deposit(6);
    await issue(3);
    const dispute = (unit_no: number) =>
      world.tx((trx) => world.vault.aftersale.dispute(trx, { order_id: order, unit_no }, act));
    expect(await dispute(1)).toEqual({ disputes: 1, quarantined: 0, claim_id: null });
    expect(await dispute(1)).toEqual({ disputes: 1, quarantined: 0, claim_id: null });
    const second = await dispute(3);
    expect(second).toMatchObject({ disputes: 2, quarantined: 3 });
    expect(await world.vault.stock(world.database.read, [sku])).toMatchObject([
      { available: 0, quarantined: 3, issued: 3 },
    ]);
    const claim = await world.database.read('claims').where({ batch_id }).first();
    expect(claim.content_sealed).not.toContain('SKU-');
    const open = (by: string, approval_id?: string) =>
      world.tx((trx) => world.vault.aftersale.openClaim(trx, second.claim_id!, by, approval_id));
    await expect(open('operator:lin')).rejects.toMatchObject({ code: 'approval_needed' });
    const { approval_id } = await world.tx((trx) =>
      world.vault.control.askApproval(trx, { act: 'claim', subject: second.claim_id!, ...act }),
    );
    await world.tx((trx) => world.vault.control.giveApproval(trx, approval_id, 'operator:wu'));
    const text = await open('operator:lin', approval_id);
    const codes = (await reveal({ by: 'storefront:shop' })).map((code) => code.number!.reveal());
    expect(text).toContain(codes[0]!);
    expect(text).toContain(codes[2]!);
    expect(text).not.toContain(codes[1]!);
    await expect(open('operator:lin', approval_id)).rejects.toMatchObject({ code: 'approval_needed' });
  });
});

describe('the second person', () => {
  test('a person sees five codes a day alone; more, or many at once, only with another person', async () => {
    await deposit(20);
    await issue(10);
    const person = { by: `operator:${serial}`, is_person: true };
    expect(await reveal({ ...person, limit: 3 })).toHaveLength(3);
    expect(await reveal({ ...person, first_unit: 4, limit: 2 })).toHaveLength(2);
    await expect(reveal({ ...person, first_unit: 6, limit: 1 })).rejects.toMatchObject({ code: 'approval_needed' });
    await expect(reveal({ by: 'operator:new', is_person: true })).rejects.toMatchObject({ code: 'approval_needed' });
    const { approval_id } = await world.tx((trx) =>
      world.vault.control.askApproval(trx, { act: 'reveal', subject: order, by: person.by, reason: 'export' }),
    );
    await expect(reveal({ ...person, approval_id })).rejects.toMatchObject({ code: 'approval_needed' });
    await expect(
      world.tx((trx) => world.vault.control.giveApproval(trx, approval_id, person.by)),
    ).rejects.toMatchObject({ details: { field: 'by' } });
    await world.tx((trx) => world.vault.control.giveApproval(trx, approval_id, 'operator:boss'));
    await expect(reveal({ by: 'operator:thief', is_person: true, approval_id })).rejects.toMatchObject({
      code: 'approval_needed',
    });
    expect(await reveal({ ...person, approval_id })).toHaveLength(10);
    await expect(reveal({ ...person, approval_id })).rejects.toMatchObject({ code: 'approval_needed' });
    world.clock.now += DAY;
    expect(await reveal({ ...person, limit: 5 })).toHaveLength(5);
    expect(await reveal()).toHaveLength(10);
  });

  test('the database itself refuses an approval by who asked, and a lapsed one is not given', async () => {
    const { approval_id } = await world.tx((trx) =>
      world.vault.control.askApproval(trx, { act: 'reveal', subject: order, ...act }),
    );
    await expect(
      world.tx((trx) => trx('approvals').where({ approval_id }).update({ approved_by: act.by })),
    ).rejects.toThrow(/CHECK|CONSTRAINT/i);
    world.clock.now += DAY;
    await expect(
      world.tx((trx) => world.vault.control.giveApproval(trx, approval_id, 'operator:wu')),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  test('two reveals of one person at once do not slip under the limit together', async () => {
    await deposit(10);
    await issue(10);
    const by = `operator:twin-${serial}`;
    const results = await Promise.allSettled(
      [1, 4, 7].map((first_unit) => reveal({ by, is_person: true, first_unit, limit: 3 })),
    );
    expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  });
});

describe('seats', () => {
  const open = (seats: number) =>
    world.tx((trx) =>
      world.vault.seats.open(trx, { sku, name: 'family', seats, content: 'user / pass-1', by: 'operator:lin' }),
    );
  const take = (unit_no: number, ends_at = world.clock.now + DAY) =>
    world.tx((trx) => world.vault.seats.take(trx, { sku, order_id: order, unit_no, ends_at }));

  test('n seats for n holders, freed when their time is over; a changed password names whom to tell', async () => {
    const { pool_id } = await open(2);
    expect(await take(1)).toMatchObject({ seat_no: 1 });
    expect(await take(1)).toMatchObject({ seat_no: 1 });
    expect(await take(2, world.clock.now + 2 * DAY)).toMatchObject({ seat_no: 2 });
    expect(await take(3)).toBeNull();
    const show = (unit_no: number) =>
      world.tx((trx) => world.vault.seats.show(trx, { order_id: order, unit_no, ...act }));
    expect((await show(1))!.content.reveal()).toBe('user / pass-1');
    const told = await world.tx((trx) => world.vault.seats.change(trx, pool_id, 'user / pass-2', act));
    expect(told.map((seat) => [seat.seat_no, seat.shown_version])).toEqual([
      [1, 1],
      [2, 0],
    ]);
    expect(await show(2)).toMatchObject({ content_version: 2 });
    expect((await show(2))!.content.reveal()).toBe('user / pass-2');
    world.clock.now += DAY + 1;
    expect(await show(1)).toBeNull();
    expect(await take(3)).toMatchObject({ seat_no: 1 });
    expect(await world.vault.seats.stock(world.database.read)).toContainEqual({ sku, seats: 2, taken: 2 });
  });

  test('racing holders never share a seat', async () => {
    await open(3);
    const taken = await Promise.all([1, 2, 3, 4, 5, 6].map((unit_no) => take(unit_no)));
    expect(new Set(taken.filter(Boolean).map((seat) => seat!.seat_no))).toEqual(new Set([1, 2, 3]));
    expect(taken.filter(Boolean)).toHaveLength(3);
  });

  test('seats and one-time codes cannot be turned into each other', async () => {
    await open(1);
    await expect(deposit(1)).rejects.toMatchObject({ code: 'conflict', details: { field: 'sku' } });
    sku = `${sku}-codes`;
    await deposit(1);
    await expect(open(1)).rejects.toMatchObject({ code: 'conflict', details: { field: 'sku' } });
  });
});

describe('the brake', () => {
  const rules = { factor: 5, codes_min: 20 };
  const brake = async () => {
    const runaways = await world.tx((trx) => world.vault.runaways(trx, rules));
    for (const runaway of runaways) await world.tx((trx) => world.vault.brake(trx, runaway));
    return runaways;
  };

  test('a SKU that leaves far faster than usual is frozen, an ordinary one is not', async () => {
    await deposit(60);
    await issue(20);
    expect(await brake()).toEqual([]);
    world.clock.now += 5000;
    await issue(1, `${order}-b`);
    expect(await brake()).toMatchObject([{ sku, codes: 21, limit: 20 }]);
    expect(await issue(1, `${order}-c`)).toEqual({ short: { available: 0 } });
    expect(await brake()).toEqual([]);
  });

  test('what was usual for seven days is no theft', async () => {
    await deposit(100);
    const minute = { entry_id: '', act: 'issue', actor: 'gateway', sku, count: 60_480, digest: '', data: '{}' };
    await world.tx((trx) =>
      trx('ledger_inbox').insert({ ...minute, entry_id: `evt_usual_${serial}`, at: world.clock.now - DAY / 2 }),
    );
    world.clock.now += 700_000;
    // 1 code a ten seconds window is the mean: five times that is below the floor, so the floor counts.
    await issue(20);
    expect(await brake()).toEqual([]);
    await world.tx((trx) =>
      trx('ledger_inbox')
        .where({ entry_id: `evt_usual_${serial}` })
        .update({ count: 604_800 }),
    );
    world.clock.now += 700_000;
    await issue(50, `${order}-b`);
    expect(await brake()).toEqual([]);
    await world.tx((trx) =>
      trx('ledger_inbox')
        .where({ entry_id: `evt_usual_${serial}` })
        .delete(),
    );
  });
});

test('batches and what expires are listed without content', async () => {
  const { batch_id } = await deposit(4, { total_cost_e4: 400, currency: 'CNY' });
  const soon = await world.tx((trx) =>
    world.vault.deposit(
      trx,
      depositOf([{ number: `${sku}-soon`, expires_at: world.clock.now + DAY }], {
        sku,
        total_cost_e4: 7,
        currency: 'CNY',
      }),
    ),
  );
  await issue(1);
  const batches = await world.vault.batches(world.database.read, { sku });
  expect(batches.map((batch) => [batch.batch_id, batch.states.available, batch.states.issued])).toEqual([
    [soon.batch_id, 0, 1],
    [batch_id, 4, 0],
  ]);
  expect(await world.vault.batches(world.database.read, { sku, before: soon.batch_id })).toHaveLength(1);
  expect(
    (await world.vault.expiring(world.database.read, world.clock.now + 2 * DAY)).filter((row) => row.sku === sku),
  ).toEqual([]);
  const again = await world.tx((trx) =>
    world.vault.deposit(
      trx,
      depositOf([{ number: `${sku}-more`, expires_at: world.clock.now + DAY }], {
        sku,
        total_cost_e4: 7,
        currency: 'CNY',
      }),
    ),
  );
  expect(
    (await world.vault.expiring(world.database.read, world.clock.now + 2 * DAY)).filter((row) => row.sku === sku),
  ).toEqual([
    {
      sku,
      batch_id: again.batch_id,
      currency: 'CNY',
      count: 1,
      first_at: world.clock.now + DAY,
      last_at: world.clock.now + DAY,
      cost_e4: 7,
    },
  ]);
});

test('figures count what the rows say', async () => {
  const fresh = await renewVaultWorld(world);
  const now = fresh.clock.now;
  const codes = [
    { number: 'a' },
    { number: 'b', expires_at: now + 3 * DAY },
    { number: 'c', expires_at: now + 20 * DAY },
    { number: 'd', expires_at: now - 1 },
  ];
  await fresh.tx((trx) => fresh.vault.deposit(trx, depositOf(codes, { total_cost_e4: 400, currency: 'CNY' })));
  await fresh.tx((trx) =>
    fresh.vault.issue(trx, [{ order_id: 'ord_1', sku: 'VIDEO-MONTH', first_unit: 1, quantity: 1 }]),
  );
  fresh.clock.now += 1000;
  expect(await fresh.vault.figures(fresh.database.read)).toMatchObject({
    codes: { available: 2, quarantined: 0, issued: 1, void: 0, expired: 1 },
    expiring: { lt_7d: 0, '7d_30d': 1 },
    inventory: [{ currency: 'CNY', cost_e4: 200n, at_risk_e4: 100n }],
    unchained: { records: 2, oldest_ms: 1000 },
    master_key_since: now,
    is_sealed: false,
  });
});
