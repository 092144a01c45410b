// Detaching: how a code order stays fast when a supplier goes silent. Codes are fungible, so the order may go on to
// the next source while the silent attempt keeps being looked up; what it brings later is stock. Never a recharge.
import { readSkus } from '../catalog/skus.js';
import { goOn } from './flow.js';
import { hasNextSource } from './plan.js';
import type { Settling } from './settling.js';
import { insertEvents, newEvent, readAttempts, readExposure } from './store.js';

/**
 * Detaches the unknown attempt if the SKU allows it, another source is there to go on with, and the money at risk in
 * this account's detached attempts stays within its exposure limit. True if it did.
 */
export async function detachIfAllowed(settling: Settling): Promise<boolean> {
  const { order, attempt, trx, now, engine } = settling;
  if (order.kind !== 'code' || attempt.state !== 'unknown') return false;
  const sku = (await readSkus(trx, [order.sku])).get(order.sku);
  if (!sku?.can_detach) return false;
  if (!(await withinExposure(settling))) return false;
  if (!(await hasNextSource(engine, trx, { order, attempts: await readAttempts(trx, order.order_id) }))) return false;
  settling.attempt = { ...attempt, open_order_id: null, detached_at: now };
  await insertEvents(trx, [
    newEvent(order.order_id, now, 'attempt_detached', {
      attempt_id: attempt.attempt_id,
      number: attempt.number,
      account: attempt.account,
      at_risk_e4: attempt.cost_ceiling_e4,
    }),
  ]);
  goOn(settling, 'attempt_detached');
  return true;
}

async function withinExposure({ trx, attempt }: Settling): Promise<boolean> {
  // Locking the account's row makes two detachings of one account wait for each other: each sees the other's sum.
  const query = trx('accounts').where({ account: attempt.account }).first('exposure_limit_e4');
  const locked = trx.client.config.client === 'mysql2' ? query.forUpdate() : query;
  const account = (await locked) as { exposure_limit_e4: number } | undefined;
  const at_risk = await readExposure(trx, attempt.account);
  return at_risk + (attempt.cost_ceiling_e4 ?? 0) <= (account?.exposure_limit_e4 ?? 0);
}
