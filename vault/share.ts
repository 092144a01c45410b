// Spreading orders over batches: a policy caps what one order, or one hour, may take from a single batch, so that one
// bad batch never burns a whole campaign. Only SKUs with such a policy come here; the rest take the short way.
import { claimReadable, type Pool } from './claim.js';
import type { Core } from './core.js';
import type { Share } from './gate.js';
import type { Task } from './issue.js';
import { insertRows } from './rows.js';
import type { Claimed } from './tables.js';
import type { Trx } from './types.js';

/** Claims made for one order: each passes over the batches that have given their share. */
const ROUNDS_MAX = 100;
const HOUR_MS = 3_600_000;

/** Gives each task its codes, none of its batches above its share, or says how many could be given. */
export async function claimSpread(core: Core, trx: Trx, pool: Pool, share: Share, tasks: Task[]): Promise<void> {
  const hour = Math.floor(core.now() / HOUR_MS);
  const spread = new Spread(core, trx, hour, share);
  for (const task of tasks) {
    const picked = await spread.pick(pool, task.units.length);
    task.available = task.known.length + picked.length;
    if (picked.length < task.units.length) continue;
    task.codes = picked;
    spread.keep(picked);
  }
  await spread.write();
}

class Spread {
  readonly #core: Core;
  readonly #trx: Trx;
  readonly #hour: number;
  readonly #share: Share;
  /** Codes this call has given to an earlier task; they are still in stock until it ends. */
  readonly #kept = new Map<string, string>();
  /** What each batch had given this hour when it was first looked at. */
  readonly #before = new Map<string, number>();

  constructor(core: Core, trx: Trx, hour: number, share: Share) {
    this.#core = core;
    this.#trx = trx;
    this.#hour = hour;
    this.#share = share;
  }

  async pick(pool: Pool, quantity: number): Promise<Claimed[]> {
    const picked = new Map<string, Claimed>();
    const full = new Set<string>();
    for (let round = 0; round < ROUNDS_MAX && picked.size < quantity; round++) {
      const excluded = { ...pool.excluded, batch_ids: [...pool.excluded.batch_ids, ...full] };
      const limit = quantity + this.#kept.size;
      const codes = await claimReadable(this.#core, this.#trx, { ...pool, excluded }, limit);
      await this.#lookUp(codes);
      const was_full = full.size;
      for (const code of codes) {
        if (picked.size >= quantity || this.#kept.has(code.code_id) || picked.has(code.code_id)) continue;
        if (this.#given(code.batch_id, picked) < this.#allowed(code.batch_id, quantity)) picked.set(code.code_id, code);
        else full.add(code.batch_id);
      }
      if (codes.length < limit || full.size === was_full) break;
    }
    return [...picked.values()];
  }

  keep(codes: Claimed[]): void {
    for (const { code_id, batch_id } of codes) this.#kept.set(code_id, batch_id);
  }

  /** Adds to each batch's count of this hour. */
  async write(): Promise<void> {
    if (this.#share.hour_batch_max === null) return;
    for (const batch_id of new Set(this.#kept.values())) {
      const row = { batch_id, hour: this.#hour };
      const count = this.#before.get(batch_id)! + this.#countKept(batch_id);
      const updated = await this.#trx('batch_takes').where(row).update({ count });
      if (updated === 0) await insertRows(this.#trx, 'batch_takes', [{ ...row, count }]);
    }
  }

  #allowed(batch_id: string, quantity: number): number {
    const { order_share_pct, hour_batch_max } = this.#share;
    // At least one: a share of a single unit is that unit.
    const order = order_share_pct === null ? quantity : Math.max(1, Math.floor((quantity * order_share_pct) / 100));
    const hour =
      hour_batch_max === null ? quantity : hour_batch_max - this.#before.get(batch_id)! - this.#countKept(batch_id);
    return Math.min(order, hour);
  }

  #given(batch_id: string, picked: Map<string, Claimed>): number {
    let count = 0;
    for (const code of picked.values()) if (code.batch_id === batch_id) count++;
    return count;
  }

  #countKept(batch_id: string): number {
    let count = 0;
    for (const one of this.#kept.values()) if (one === batch_id) count++;
    return count;
  }

  async #lookUp(codes: Claimed[]): Promise<void> {
    const unknown = [...new Set(codes.map((code) => code.batch_id))].filter((batch_id) => !this.#before.has(batch_id));
    if (unknown.length === 0) return;
    for (const batch_id of unknown) this.#before.set(batch_id, 0);
    if (this.#share.hour_batch_max === null) return;
    // Locked: two orders may not both take the last of a batch's hour.
    const query = this.#trx('batch_takes').whereIn('batch_id', unknown).where({ hour: this.#hour }).select();
    for (const { batch_id, count } of await query.forUpdate()) this.#before.set(batch_id, Number(count));
  }
}
