// Claiming codes from stock: locked, first expired first, and each one opened in memory before it may be issued.
import type { Core } from './core.js';
import { VaultRetry } from './errors.js';
import { batchKeyName, isUntrusted } from './gate.js';
import { digestOf, writeRecords } from './ledger.js';
import { bindingBytes, open } from './seal.js';
import type { Claimed, Excluded } from './tables.js';
import type { Trx } from './types.js';

/** How often a claim is made again because codes in it could not be opened. */
const CLAIMS_MAX = 8;

/** Where codes are claimed from. */
export interface Pool {
  sku: string;
  expires_after: number;
  excluded: Excluded;
}

/**
 * Claims up to `needed` codes and proves that each opens. One that does not is quarantined and another one taken;
 * where very many in a row are damaged, fewer are returned, and the next call goes on behind them.
 */
export async function claimReadable(core: Core, trx: Trx, pool: Pool, needed: number): Promise<Claimed[]> {
  const { sku, expires_after, excluded } = pool;
  let spare = 0;
  for (let round = 1; ; round++) {
    const limit = needed + spare;
    const codes = await core.store.claim(trx, sku, limit, expires_after, excluded);
    // Fewer than wanted is "out of stock" only if nobody else holds the rest: a holder may yet roll back.
    const available =
      codes.length < needed ? await core.store.countAvailable(trx, sku, needed, expires_after, excluded) : 0;
    if (available > codes.length) throw new VaultRetry(`codes of ${sku} are being issued by another transaction`);
    const unreadable = await unreadableOf(core, trx, codes);
    await quarantineUnreadable(core, trx, unreadable);
    const damaged = new Set(unreadable);
    const readable = damaged.size === 0 ? codes : codes.filter((code) => !damaged.has(code));
    if (readable.length >= needed || codes.length < limit || round >= CLAIMS_MAX) return readable.slice(0, needed);
    // Damage comes in stretches: look further each time.
    spare = Math.max(64, spare * 2);
  }
}

/** Opens each code and returns those that fail: what is issued has been proven to open. */
export async function unreadableOf(core: Core, trx: Trx, codes: Claimed[]): Promise<Claimed[]> {
  const keys = await core.gate.batchKeys(trx, codes);
  return codes.filter((code) => {
    const key = keys.get(batchKeyName(code));
    if (!key) return true;
    try {
      open(key, bindingBytes(code), code.sealed).fill(0);
      return false;
    } catch (error) {
      if (isUntrusted(error)) return true;
      throw error;
    }
  });
}

/** Takes codes that do not open out of stock; without any there is nothing to do. */
export async function quarantineUnreadable(core: Core, trx: Trx, codes: Claimed[]): Promise<void> {
  if (codes.length === 0) return;
  const code_ids = codes.map((code) => code.code_id);
  await core.store.moveCodes(trx, { code_ids }, ['available'], 'quarantined', 'unauthentic');
  await writeRecords(trx, core.now(), [
    {
      act: 'quarantine',
      actor: 'vault',
      sku: codes[0]!.sku,
      count: codes.length,
      digest: digestOf(code_ids.map((id) => [id])),
      data: { reason: 'unauthentic', code_ids: code_ids.slice(0, 20) },
    },
  ]);
}
