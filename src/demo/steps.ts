// The tour, step by step: what is done, what must come of it. Each throws an error that says what did not hold.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../errors.js';
import { decimalText } from '../orders/view.js';
import { compareBooks } from './books.js';
import { type Client, createClient, type OrderReply } from './client.js';
import { type Stage, SUPPLIER_NAMES, type SupplierName, until } from './stage.js';

export interface Step {
  title: string;
  /** Without it the others mean nothing. */
  is_base?: true;
  /** Does it and says what came of it, in one sentence. */
  run: (tour: Tour) => Promise<string>;
}

/** What the steps share. */
export interface Tour {
  stage: Stage;
  /** Known from the second step on. */
  client: Client;
}

const WAIT_S = 10;
const WITHIN_MS = 20_000;
const PHONE = { account: '13800000001' };
const DEPOSITED = ['GIFT-1111-0001', 'GIFT-1111-0002', 'GIFT-1111-0003', 'GIFT-1111-0004', 'GIFT-1111-0005'];
const GIFT_ORDER = { external_id: 'tour-gift', sku: 'GIFT-10', quantity: 2 };

export const STEPS: readonly Step[] = [
  { title: 'make a master key, start the gateway, apply the catalog', is_base: true, run: startUp },
  { title: 'deposit codes into the vault', run: depositCodes },
  { title: 'order two codes: they come from the vault', run: orderFromVault },
  { title: 'the same external id again: the same order, nothing bought', run: repeatOrder },
  { title: 'another body under that external id: refused', run: changeOrder },
  { title: 'a direct recharge: bought from A', run: recharge },
  { title: 'A is out of stock: B delivers', run: failOver },
  { title: 'A accepts and drops the connection: looked up, delivered once', run: dropConnection },
  { title: 'a code order while A is silent: B delivers, A’s late codes become stock', run: silentSupplier },
  { title: 'a bundle of a membership and a gift card: one order, each part once', run: orderBundle },
  { title: 'the membership cannot be had: the card is not touched, and all is given back', run: stopBundle },
  { title: 'no source can fill the order: it fails, safe to refund', run: noSource },
  { title: 'kill -9 while a purchase is on the wire: settled after the restart, bought once', run: killGateway },
  { title: 'the suppliers’ books equal ours, to the ten-thousandth', run: balanceBooks },
  { title: 'no code, phone or key in /metrics and the log, no code or key in the data folder', run: findNoSecret },
];

async function startUp(tour: Tour): Promise<string> {
  const { stage } = tour;
  await stage.run(['init']);
  const key = statSync(join(stage.folder, 'master.key'));
  check(process.platform === 'win32' || (key.mode & 0o077) === 0, 'the master key can be read by its owner only');
  await stage.startGateway();
  const applied = (await stage.run(['apply', join(stage.folder, 'catalog.yaml'), '--yes'])) as {
    changes: unknown[];
    issued: { what: string; secret: string }[];
  };
  const issued = applied.issued.find(({ what }) => what === 'key main');
  check(issued, 'the storefront has a new key');
  tour.client = createClient(stage.api_url, issued.secret);
  return `${applied.changes.length} rows applied; the storefront demo-mall has its key`;
}

async function depositCodes({ stage }: Tour): Promise<string> {
  const args = ['vault', 'deposit', '-', '--sku', 'GIFT-10', '--total-cost', '45.1234', '--document', 'PO-1'];
  const result = (await stage.run([...args, '--by', 'demo', '--commit'], `${DEPOSITED.join('\n')}\n`)) as {
    deposited: number;
  };
  check(result.deposited === DEPOSITED.length, 'every code was deposited');
  // The log beside the database file too: what was written last stands there.
  const files = readdirSync(stage.folder).filter((name) => name.startsWith('kamigate.db'));
  const bytes = Buffer.concat(files.map((name) => readFileSync(join(stage.folder, name))));
  check(bytes.includes('PO-1') && !DEPOSITED.some((code) => bytes.includes(code)), 'no code stands in the database');
  return `${result.deposited} codes sealed, none of them readable in the database`;
}

async function orderFromVault({ stage, client }: Tour): Promise<string> {
  const before = purchases(stage);
  const { status, order } = await client.order(GIFT_ORDER, WAIT_S);
  check(status === 200 && order.status === 'delivered', `it is delivered at once (${status} ${order.status})`);
  const codes = await client.codes(order.id);
  check(codes.join() === DEPOSITED.slice(0, 2).join(), 'the codes are the first two deposited');
  check(purchases(stage) === before, 'no supplier sold anything');
  return `${order.id} delivered; its codes are shown on GET /v1/orders/{id}/codes alone`;
}

async function repeatOrder({ stage, client }: Tour): Promise<string> {
  const first = await client.order(GIFT_ORDER, WAIT_S);
  check(first.status === 200 && first.is_replay, `it is answered 200 as a replay (${first.status})`);
  const stock = await stockOf(stage, 'GIFT-10');
  check(stock.available === 3 && stock.issued === 2, 'the vault issued nothing more');
  return `200, Idempotent-Replayed: true; ${stock.available} codes are left`;
}

async function changeOrder({ stage, client }: Tour): Promise<string> {
  const problem = await client.refusedOrder({ ...GIFT_ORDER, quantity: 3 });
  check(
    problem.status === 422 && problem.code === 'external_id_mismatch',
    `it is refused (${problem.status} ${problem.code})`,
  );
  check(
    problem.errors.some(({ pointer }) => pointer === '/quantity'),
    'the field that differs is named',
  );
  check((await stockOf(stage, 'GIFT-10')).issued === 2, 'nothing was issued');
  return `422 ${problem.code}, naming ${problem.errors.map(({ pointer }) => pointer).join(', ')}`;
}

async function recharge({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  const { order } = await client.order(phoneOrder('tour-direct', 'PHONE-10'), WAIT_S);
  check(order.status === 'delivered', `it is delivered (${order.status})`);
  checkSold(stage, before, { 'sim-a': 1 });
  return `${order.id} delivered by A for 9.7515 CNY`;
}

async function failOver({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  stage.suppliers['sim-a'].fault('out_of_stock');
  const { order } = await client.order(phoneOrder('tour-failover', 'PHONE-20'), WAIT_S);
  check(order.status === 'delivered', `it is delivered (${order.status})`);
  checkSold(stage, before, { 'sim-b': 1 });
  return `${order.id} delivered by B; A charged nothing`;
}

async function dropConnection({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  stage.suppliers['sim-a'].fault('accept_then_drop');
  const { order } = await client.order(phoneOrder('tour-drop', 'PHONE-10'));
  const waiting = await until('the order to wait for a lookup', WITHIN_MS, async () => {
    const attempts = await attemptsOf(stage, order.id);
    return attempts.some(({ state }) => state === 'unknown') ? client.read(order.id) : null;
  });
  check(waiting.status === 'sourcing' && waiting.refund_advice === 'do_not_refund', 'meanwhile it says: do not refund');
  const ended = await untilFinal(client, order.id);
  check(ended.status === 'delivered', `it is delivered (${ended.status})`);
  const [attempt, ...others] = await attemptsOf(stage, order.id);
  check(attempt?.settled_by === 'lookup' && others.length === 0, 'one attempt, settled by a lookup');
  checkSold(stage, before, { 'sim-a': 1 });
  return 'outcome unknown, so nothing else was bought; a lookup found it delivered';
}

async function silentSupplier({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  stage.suppliers['sim-a'].fault('hang');
  const { order } = await client.order({ external_id: 'tour-silent', sku: 'GAME-50', quantity: 2 }, WAIT_S);
  check(order.status === 'delivered' && order.delivered_quantity === 2, `it is delivered (${order.status})`);
  checkSold(stage, before, { 'sim-a': 1, 'sim-b': 1 });
  stage.suppliers['sim-a'].release();
  const stock = await until('A’s codes to come', WITHIN_MS, async () => {
    const now = await stockOf(stage, 'GAME-50');
    return now.available === 2 ? now : null;
  });
  check(stock.issued === 2, 'the storefront got two codes, not four');
  return 'delivered by B; the two codes A was paid for are in stock for the next order';
}

async function orderBundle({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  const { order } = await client.order(phoneOrder('tour-bundle', 'VIDEO-AND-GIFT'), WAIT_S);
  check(order.status === 'delivered', `it is delivered (${order.status})`);
  checkSold(stage, before, { 'sim-a': 1 });
  const codes = await client.codes(order.id);
  check(codes.join() === DEPOSITED[2], 'the gift card is the next one in the vault');
  return `${order.id}: ${order.parts?.map(({ sku, status }) => `${sku} ${status}`).join(', ')}; A sold the membership once`;
}

async function stopBundle({ stage, client }: Tour): Promise<string> {
  const [before, stock] = [sold(stage), await stockOf(stage, 'GIFT-10')];
  for (const name of SUPPLIER_NAMES) stage.suppliers[name].fault('declined');
  const { order } = await client.order(phoneOrder('tour-stopped', 'VIDEO-AND-GIFT'), WAIT_S);
  check(order.status === 'failed', `it fails (${order.status})`);
  check(order.refund_advice === 'safe_to_refund' && order.refundable_amount === '40.00', 'all of it may be given back');
  checkSold(stage, before, {});
  check((await stockOf(stage, 'GIFT-10')).available === stock.available, 'no gift card was issued');
  const parts = order.parts?.map(({ sku, status }) => `${sku} ${status}`).join(', ');
  return `${parts}; refundable_amount ${order.refundable_amount}, nothing bought, no card issued`;
}

async function noSource({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  stage.suppliers['sim-a'].fault('out_of_stock');
  stage.suppliers['sim-b'].fault('maintenance');
  stage.suppliers['sim-c'].fault('declined');
  const { order } = await client.order(phoneOrder('tour-none', 'VIDEO-30'), WAIT_S);
  check(order.status === 'failed' && order.final, `it fails (${order.status})`);
  check(order.refund_advice === 'safe_to_refund', `it is safe to refund (${order.refund_advice})`);
  checkSold(stage, before, {});
  return `failed (${order.reason?.code}), refund_advice: ${order.refund_advice}; three clear refusals, nothing charged`;
}

async function killGateway({ stage, client }: Tour): Promise<string> {
  const before = sold(stage);
  const a = stage.suppliers['sim-a'];
  a.fault('hang');
  const { order } = await client.order(phoneOrder('tour-kill', 'PHONE-10'));
  await until('the purchase to be on the wire', WITHIN_MS, () => (a.hanging > 0 ? true : null));
  await stage.killGateway();
  a.release();
  await stage.startGateway();
  const started_at = performance.now();
  const ended = await untilFinal(client, order.id);
  check(ended.status === 'delivered', `it is delivered (${ended.status})`);
  const [attempt, ...others] = await attemptsOf(stage, order.id);
  check(attempt?.settled_by === 'lookup' && others.length === 0, 'one attempt, settled by a lookup');
  checkSold(stage, before, { 'sim-a': 1 });
  return `delivered ${Math.round(performance.now() - started_at)} ms after the restart, by a lookup; A sold it once`;
}

async function balanceBooks({ stage }: Tour): Promise<string> {
  const books = Object.fromEntries(SUPPLIER_NAMES.map((name) => [name, stage.suppliers[name].books()]));
  const { accounts, units_delivered, units_in_stock, differences } = await compareBooks(stage.database(), books);
  check(differences.length === 0, `the books agree: ${differences.join('; ')}`);
  const gifts = await stockOf(stage, 'GIFT-10');
  check(gifts.issued + gifts.available === DEPOSITED.length, 'every deposited code is issued or in stock');
  for (const { account, theirs_e4, ours_e4 } of accounts) check(theirs_e4 === ours_e4, `${account} agrees with us`);
  const units = accounts.reduce((sum, account) => sum + account.units, 0);
  check(units === units_delivered + units_in_stock, 'every unit paid for is delivered or in stock');
  const sums = accounts.map(({ account, theirs_e4 }) => `${account} ${decimalText(theirs_e4)}`).join(', ');
  return `${sums} CNY; ${units} units paid for: ${units_delivered} delivered, ${units_in_stock} in stock`;
}

/** Every code there ever was, ours and the suppliers', and every key, looked for wherever a byte was written. */
async function findNoSecret({ stage, client }: Tour): Promise<string> {
  const sold = SUPPLIER_NAMES.flatMap((name) => Object.values(stage.suppliers[name].books().by_reference));
  const codes = [...DEPOSITED, ...sold.flatMap((entry) => entry.codes.flatMap(({ number, pin }) => [number, pin]))];
  const keys = [client.key, ...SUPPLIER_NAMES.map((name) => stage.suppliers[name].app_secret)];
  const metrics = await (await fetch(stage.metrics_url)).text();
  check(metrics.includes('kamigate_orders_created_total'), 'the metrics are there');
  const log = readFileSync(join(stage.folder, 'gateway.log'), 'utf8');
  for (const secret of [...codes, ...keys, PHONE.account]) {
    check(!metrics.includes(secret) && !log.includes(secret), 'no code, phone or key in /metrics or the log');
  }
  const files = readdirSync(stage.folder).filter((name) => name.startsWith('kamigate.db'));
  for (const file of files) {
    const bytes = readFileSync(join(stage.folder, file));
    for (const secret of [...codes, ...keys]) check(!bytes.includes(secret), `no code or key in ${file}`);
  }
  const searched = `${codes.length} codes and ${keys.length} keys in ${metrics.length} bytes of metrics`;
  return `${searched}, ${log.length} of log, and ${files.length} database files: none found`;
}

function phoneOrder(external_id: string, sku: string): Record<string, unknown> {
  return { external_id, sku, quantity: 1, recipient: PHONE };
}

function untilFinal(client: Client, order_id: string): Promise<OrderReply['order']> {
  return until(`${order_id} to be final`, WITHIN_MS, async () => {
    const order = await client.read(order_id);
    return order.final ? order : null;
  });
}

interface Attempt {
  state: string;
  settled_by: string | null;
}

async function attemptsOf(stage: Stage, order_id: string): Promise<Attempt[]> {
  return stage.database().read('attempts').where({ order_id }).orderBy('number').select('state', 'settled_by');
}

async function stockOf(stage: Stage, sku: string): Promise<{ available: number; issued: number }> {
  const rows = (await stage.database().read('codes').where({ sku }).select('state')) as { state: string }[];
  const count = (wanted: string): number => rows.filter(({ state }) => state === wanted).length;
  return { available: count('available'), issued: count('issued') };
}

type Sold = Record<SupplierName, number>;

/** How many orders each supplier has in its books. */
function sold(stage: Stage): Sold {
  return Object.fromEntries(SUPPLIER_NAMES.map((name) => [name, stage.suppliers[name].books().orders])) as Sold;
}

function purchases(stage: Stage): number {
  return Object.values(sold(stage)).reduce((sum, orders) => sum + orders, 0);
}

function checkSold(stage: Stage, before: Sold, expected: Partial<Sold>): void {
  const now = sold(stage);
  for (const name of SUPPLIER_NAMES) {
    const [made, wanted] = [now[name] - before[name], expected[name] ?? 0];
    check(made === wanted, `${name} sold ${wanted} (it sold ${made})`);
  }
}

function check(condition: unknown, sentence: string): asserts condition {
  must(condition, sentence);
}
