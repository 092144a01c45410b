// Trouble on purpose, one for each alert that is proved here: how it is made, and how it is put right.
import type { Shop } from './shop.js';

export interface Trouble {
  alert: string;
  /** Labels the firing alert must have. */
  labels?: Readonly<Record<string, string>>;
  story: string;
  make(shop: Shop): Promise<void>;
  unmake(shop: Shop): Promise<void>;
}

const PHONE = '13900001111';
const nothing = async (): Promise<void> => undefined;

/** Repeats something every 400 ms until it is told to stop. */
function repeated(work: (shop: Shop) => Promise<unknown>): Pick<Trouble, 'make' | 'unmake'> {
  let timer: NodeJS.Timeout | undefined;
  return {
    make: async (shop) => {
      timer = setInterval(() => void work(shop).catch(() => undefined), 400);
    },
    unmake: async () => clearInterval(timer),
  };
}

async function resume(shop: Shop, account: string): Promise<void> {
  const row = { paused_at: null, paused_reason: null, updated_at: Date.now() };
  await shop.world.database.write('accounts').where({ account }).update(row);
}

/** The rows that a sweep and a float reading would write; the sweep itself has tests of its own. */
export async function writeReadings(
  shop: Shop,
  at: number,
  accounts = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'],
): Promise<void> {
  const { write } = shop.world.database;
  for (const account of accounts) {
    const sweep = { swept_at: at, swept_ms: 900, failures: 0, next_at: at + 60_000, hot_at: at + 60_000 };
    const float = { balance_e4: 50_000_000, currency: 'CNY', read_at: at, next_at: at + 60_000, failures: 0 };
    await write('sweeps')
      .insert({ account, ...sweep })
      .onConflict('account')
      .merge(sweep);
    await write('floats')
      .insert({ account, ...float })
      .onConflict('account')
      .merge(float);
  }
}

let damaged: string | null = null;
let zetaOrders: NodeJS.Timeout | undefined;

export const TROUBLES: readonly Trouble[] = [
  {
    alert: 'KamigateSupplierCircuitOpen',
    labels: { supplier: 'zeta' },
    story: 'zeta’s server is down while orders for it go on',
    make: async (shop) => {
      await shop.suppliers.zeta.stopListening();
      for (let burst = 0; burst < 4; burst++) {
        await Promise.all(Array.from({ length: 4 }, () => shop.order({ sku: 'zeta-only', account: PHONE })));
      }
      zetaOrders = setInterval(() => void shop.order({ sku: 'zeta-only', account: PHONE }), 1_000);
    },
    // The orders go on: one of them is the probe that closes it.
    unmake: (shop) => shop.suppliers.zeta.listenAgain(),
  },
  {
    alert: 'KamigateUnknownOutcomeOld',
    labels: { supplier: 'delta' },
    story: 'delta buys, drops the line, and its lookups fail',
    make: async (shop) => {
      shop.suppliers.delta.fault('bad_gateway', { endpoint: 'lookup', times: 10_000 });
      shop.suppliers.delta.fault('accept_then_drop');
      await shop.order({ sku: 'delta-only', account: PHONE });
    },
    unmake: async (shop) => shop.suppliers.delta.clearFaults(),
  },
  {
    alert: 'KamigateSupplierBalanceExhausted',
    labels: { supplier: 'gamma' },
    story: 'gamma refuses for want of float',
    make: async (shop) => {
      shop.suppliers.gamma.fault('float_low');
      await shop.order({ sku: 'gamma-only', account: PHONE });
    },
    unmake: (shop) => resume(shop, 'gamma'),
  },
  {
    alert: 'KamigateSkuNoLiveSource',
    story: 'gamma was the only source of a SKU, and is paused',
    make: nothing,
    unmake: nothing,
  },
  {
    alert: 'KamigateSupplierAuthFailing',
    labels: { supplier: 'epsilon' },
    story: 'epsilon does not take our credentials',
    make: async (shop) => {
      shop.suppliers.epsilon.fault('credentials', { times: 3 });
      await shop.order({ sku: 'epsilon-only', account: PHONE });
    },
    unmake: async (shop) => {
      shop.suppliers.epsilon.clearFaults();
      await resume(shop, 'epsilon');
    },
  },
  {
    alert: 'KamigateSupplierRepliesUnmapped',
    labels: { supplier: 'beta' },
    story: 'beta says a word that its adapter does not know',
    make: async (shop) => {
      shop.suppliers.beta.fault('unmapped', { times: 2 });
    },
    unmake: async (shop) => shop.suppliers.beta.clearFaults(),
  },
  {
    alert: 'KamigateCallbackSignatureFailures',
    labels: { supplier: 'beta' },
    story: 'a stranger calls back in beta’s name',
    ...repeated((shop) => shop.call('/callbacks/beta', { method: 'POST', body: { order: { reference: 'forged' } } })),
  },
  {
    alert: 'KamigateVaultStockOut',
    story: 'the last codes of a SKU are sold',
    make: async (shop) => {
      for (let unit = 0; unit < 2; unit++) await shop.order({ sku: 'runs-out' });
    },
    unmake: (shop) =>
      shop.world.deposit(
        'runs-out',
        Array.from({ length: 20 }, (_, at) => `MORE-${at}`),
      ),
  },
  {
    alert: 'KamigateVaultInvariantViolation',
    labels: { check: 'issued_state' },
    story: 'a code is called issued, and no order has it',
    make: async ({ world }) => {
      const row = await world.database
        .read('codes')
        .where({ sku: 'from-stock', state: 'available' })
        .orderBy('code_id', 'desc')
        .first('code_id');
      damaged = (row as { code_id: string }).code_id;
      await world.database.write('codes').where({ code_id: damaged }).update({ state: 'issued' });
    },
    unmake: async ({ world }) => {
      await world.database.write('codes').where({ code_id: damaged }).update({ state: 'available' });
    },
  },
  {
    alert: 'KamigateSyncStale',
    labels: { supplier: 'beta', type: 'offers' },
    story: 'beta’s list was last read long ago',
    make: (shop) =>
      shop.world.database
        .write('sweeps')
        .where({ account: 'beta' })
        .update({ swept_at: Date.now() - 600_000 }),
    unmake: (shop) => writeReadings(shop, Date.now(), ['beta']),
  },
  {
    alert: 'KamigateCostJumpPending',
    labels: { supplier: 'alpha' },
    story: 'alpha doubles a cost, and the guard lets it wait for a person',
    make: async ({ world }) => {
      const at = Date.now();
      await world.database.write('cost_changes').insert({
        ...{
          change_id: `chg_${at}`,
          source: 'src_x',
          open_source: 'src_x',
          sku: 'top-up',
          account: 'alpha',
          product: 'recharge-10',
        },
        ...{
          old_cost_e4: 97_500,
          old_currency: 'CNY',
          new_cost_e4: 195_000,
          new_currency: 'CNY',
          state: 'pending',
          rule: 'rise',
        },
        created_at: at - 300_000,
      });
    },
    unmake: nothing,
  },
  {
    alert: 'KamigateCostApprovalsWaiting',
    story: 'and nobody decides it',
    make: nothing,
    unmake: async ({ world }) => {
      const decided = { state: 'rejected', open_source: null, decided_by: 'li', decided_at: Date.now() };
      await world.database.write('cost_changes').where({ state: 'pending' }).update(decided);
    },
  },
  {
    alert: 'KamigateNegativeMargin',
    story: 'a SKU costs more than its price',
    make: async ({ world }) => {
      await world.addSku('losing', { kind: 'recharge', price_e4: 90_000 });
      await world.addSource('losing', 'beta', { cost_e4: 97_500 });
    },
    unmake: async ({ world }) => {
      await world.database.write('skus').where({ sku: 'losing' }).update({ price_e4: 100_000 });
    },
  },
  {
    alert: 'KamigateNotifyBacklog',
    labels: { storefront: 'mall' },
    story: 'the storefront’s server answers webhooks with 500',
    make: async (shop) => {
      shop.webhooks.mode = 'failing';
    },
    unmake: async (shop) => {
      shop.webhooks.mode = 'good';
      // The next try is minutes away on the ladder; an operator would send them again now.
      await shop.world.database.write('notices').whereNotNull('due_at').update({ due_at: Date.now() });
    },
  },
];

/** These need the one before them to be over, so they come by themselves. */
export const LATER_TROUBLES: readonly Trouble[] = [
  {
    alert: 'KamigateNotifyGivenUp',
    labels: { storefront: 'mall' },
    story: 'the storefront’s address is gone for good',
    make: async (shop) => {
      shop.webhooks.mode = 'gone';
    },
    unmake: async (shop) => {
      shop.webhooks.mode = 'good';
    },
  },
  {
    alert: 'KamigateJobsStalled',
    labels: { queue: 'send_notices' },
    story: 'the storefront’s server says nothing, one webhook after the other, and the rest wait',
    make: async (shop) => {
      shop.webhooks.mode = 'hanging';
    },
    unmake: async (shop) => {
      shop.webhooks.mode = 'good';
      await shop.world.database
        .write('notices')
        .whereNotNull('due_at')
        .update({ due_at: null, delivered_at: Date.now() });
    },
  },
  {
    alert: 'KamigateDown',
    story: 'the gateway stops',
    make: async (shop) => {
      clearInterval(zetaOrders);
      await shop.stopGateway();
    },
    unmake: (shop) => shop.startGateway(),
  },
];
