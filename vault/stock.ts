// Figures of stock, and moving codes out of it and back.
import type { Knex } from 'knex';
import { checkAct } from './control.js';
import { type Core, invalid } from './core.js';
import { type ActName, digestOf, writeRecords } from './ledger.js';
import { NEVER } from './tables.js';
import type { Act, CodeState, Selection, Stock, Trx } from './types.js';

type Move = 'quarantine' | 'release' | 'void';

/** The only edges between states besides issuing. None leads back from `issued` or `void`. */
const MOVES: Record<Move & ActName, { from: CodeState[]; to: CodeState }> = {
  quarantine: { from: ['available'], to: 'quarantined' },
  release: { from: ['quarantined'], to: 'available' },
  void: { from: ['available', 'quarantined'], to: 'void' },
};

export async function moveCodes(
  core: Core,
  trx: Trx,
  name: Move,
  selection: Selection,
  act: Act,
): Promise<{ count: number }> {
  checkAct(act);
  if (Object.keys(selection).length !== 1)
    throw invalid('selection', 'is not one thing', 'Choose by code_ids, batch_id, sku, account or all.');
  const { from, to } = MOVES[name];
  const reason = to === 'available' ? null : act.reason.slice(0, 128);
  const count = await core.store.moveCodes(trx, selection, from, to, reason);
  const subject =
    'code_ids' in selection
      ? { code_ids: selection.code_ids.slice(0, 20), ids_count: selection.code_ids.length }
      : selection;
  await writeRecords(trx, core.now(), [
    {
      act: name,
      actor: act.by,
      ...('batch_id' in selection ? { batch_id: selection.batch_id } : {}),
      ...('sku' in selection ? { sku: selection.sku } : {}),
      count,
      digest: digestOf('code_ids' in selection ? selection.code_ids.map((id) => [id]) : [[selection]]),
      data: { reason: act.reason.slice(0, 500), ...subject },
    },
  ]);
  return { count };
}

export async function countStock(core: Core, knex: Knex, skus: string[] | undefined): Promise<Stock[]> {
  const [states, unexpired] = await Promise.all([
    core.store.countStates(knex, skus),
    core.store.countUnexpired(knex, skus, core.now() + core.expiry_margin_ms),
  ]);
  const stocks = new Map<string, Stock>();
  const of = (sku: string): Stock => {
    const stock = stocks.get(sku) ?? {
      sku,
      available: 0,
      quarantined: 0,
      issued: 0,
      void: 0,
      expired: 0,
      next_expiry_at: null,
    };
    stocks.set(sku, stock);
    return stock;
  };
  for (const sku of skus ?? []) of(sku);
  for (const { sku, state, count } of states) of(sku)[state] = Number(count);
  for (const stock of stocks.values()) stock.expired = stock.available;
  for (const { sku, count, first } of unexpired) {
    const stock = of(sku);
    // Two statements may see two moments; a figure is never below zero for it.
    stock.expired = Math.max(0, stock.available - Number(count));
    stock.next_expiry_at = Number(first) >= NEVER ? null : Number(first);
    stock.available = Number(count);
  }
  for (const stock of stocks.values()) if (!unexpired.some(({ sku }) => sku === stock.sku)) stock.available = 0;
  return [...stocks.values()];
}
