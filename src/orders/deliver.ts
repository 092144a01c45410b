// What a delivery does: codes go into the vault and from there to their order, by the one road every code takes.
// Codes nobody waits for any more become stock; a known or missing code is disputed, never passed on.
import type { Code, Delivered } from '../../adapters/kit/contract.js';
import type { PlainCode } from '../../vault/vault.js';
import { must } from '../errors.js';
import { goOn, hold } from './flow.js';
import { restAt } from './rest.js';
import type { Settling } from './settling.js';
import { isFinal } from './states.js';
import { insertEvents, newEvent } from './store.js';

/** Applies a delivered outcome to the order: the attempt's row is already moved. */
export async function deliver(settling: Settling): Promise<void> {
  const { found } = settling.news;
  must(found.outcome === 'delivered', 'only a delivered outcome delivers');
  await noteCost(settling, found);
  if (settling.order.kind === 'code') await deliverCodes(settling, found);
  else await deliverRecharge(settling, found);
}

async function deliverRecharge(settling: Settling, found: Delivered): Promise<void> {
  const { order, attempt, now } = settling;
  if (isFinal(order.state)) return;
  const units = Math.min(found.short?.units ?? attempt.quantity, attempt.quantity);
  settling.order = { ...order, delivered_quantity: order.delivered_quantity + units };
  await noteDelivery(settling, units);
  if (settling.order.delivered_quantity === order.quantity) {
    settling.order = restAt(settling.order, 'delivered', 'attempt_delivered', null, now);
  } else goOn(settling, 'attempt_delivered');
}

async function deliverCodes(settling: Settling, found: Delivered): Promise<void> {
  const { order, attempt, now } = settling;
  const codes = found.codes ?? [];
  const is_wanted = attempt.detached_at === null && !isFinal(order.state) && attempt.state === 'delivered';
  if (!is_wanted) {
    await keepAsStock(settling, codes);
    return;
  }
  const asked = codes.slice(0, attempt.quantity);
  const surplus = codes.slice(attempt.quantity);
  const deposited = await deposit(settling, asked, 'supplier');
  if (surplus.length > 0) await deposit(settling, surplus, 'late', 'surplus');
  const fresh = deposited.flatMap((code) => ('code_id' in code ? [code.code_id] : []));
  const units = await issueTo(settling, fresh);
  settling.order = { ...order, delivered_quantity: order.delivered_quantity + units };
  await noteDelivery(settling, units);
  if (fresh.length < asked.length) hold(settling, 'delivery_disputed', 'code_already_known');
  else if (units < fresh.length) hold(settling, 'delivery_disputed', 'code_expired');
  else if (surplus.length > 0 && settling.order.delivered_quantity < order.quantity)
    hold(settling, 'delivery_disputed', 'count_wrong');
  else if (settling.order.delivered_quantity === order.quantity) {
    settling.order = restAt(settling.order, 'delivered', 'attempt_delivered', null, now);
  } else goOn(settling, 'attempt_delivered');
}

/** Codes that arrive for an attempt that no longer needs them: paid for, so they become stock. */
async function keepAsStock(settling: Settling, codes: readonly Code[]): Promise<void> {
  const { order, attempt, trx, now, engine } = settling;
  if (codes.length === 0) return;
  const deposited = await deposit(settling, codes, 'late');
  const kept = deposited.filter((code) => 'code_id' in code).length;
  await insertEvents(trx, [
    newEvent(order.order_id, now, 'late_codes', {
      attempt_id: attempt.attempt_id,
      account: attempt.account,
      codes: kept,
      already_known: deposited.length - kept,
    }),
  ]);
  engine.observe({ event: 'late_codes', account: attempt.account, codes: kept });
}

async function deposit(
  { engine, trx, order, attempt, news }: Settling,
  codes: readonly Code[],
  origin: 'supplier' | 'late',
  quarantined?: string,
) {
  const result = await engine.vault.deposit(trx, {
    sku: order.sku,
    origin,
    account: attempt.account,
    attempt_id: attempt.attempt_id,
    document: attempt.supplier_reference,
    total_cost_e4: quarantined ? null : attempt.cost_e4,
    currency: attempt.currency,
    received_by: news.decision ? `operator:${news.decision.by}` : `supplier:${attempt.account}`,
    ...(quarantined ? { quarantined } : {}),
    codes: codes.map(plainOf),
  });
  return result.codes;
}

function plainOf(code: Code): PlainCode {
  const plain: PlainCode = {};
  if (code.number) plain.number = code.number;
  if (code.pin) plain.pin = code.pin;
  if (code.serial) plain.serial = code.serial;
  if (code.link) plain.link = code.link;
  if (code.expires_at !== undefined) plain.expires_at = code.expires_at;
  return plain;
}

/** Binds exactly these codes to the order's missing units; 0 if the vault will not (a code came expired). */
async function issueTo({ engine, trx, order }: Settling, code_ids: string[]): Promise<number> {
  if (code_ids.length === 0) return 0;
  const [answer] = await engine.vault.issue(trx, [
    {
      order_id: order.order_id,
      sku: order.sku,
      first_unit: order.delivered_quantity + 1,
      quantity: code_ids.length,
      code_ids,
    },
  ]);
  must(answer, 'the vault answers every order');
  engine.reach('vault_issued');
  return 'issued' in answer ? answer.issued.length : 0;
}

async function noteDelivery({ order, attempt, news, trx, now }: Settling, units: number): Promise<void> {
  await insertEvents(trx, [
    newEvent(order.order_id, now, 'attempt_delivered', {
      attempt_id: attempt.attempt_id,
      number: attempt.number,
      account: attempt.account,
      quantity: units,
      cost_e4: attempt.cost_e4,
      currency: attempt.currency,
      via: news.via,
      ...(news.decision ? { decision: news.decision } : {}),
    }),
  ]);
}

/** A bill above the ceiling is a claim against the supplier: it is written down, and delivers all the same. */
async function noteCost({ order, attempt, trx, now }: Settling, found: Delivered): Promise<void> {
  const { cost_ceiling_e4, cost_e4 } = attempt;
  if (!found.cost || cost_ceiling_e4 === null || cost_e4 === null || cost_e4 <= cost_ceiling_e4) return;
  await insertEvents(trx, [
    newEvent(order.order_id, now, 'cost_above_ceiling', {
      attempt_id: attempt.attempt_id,
      account: attempt.account,
      cost_ceiling_e4,
      cost_e4,
      currency: attempt.currency,
    }),
  ]);
}
