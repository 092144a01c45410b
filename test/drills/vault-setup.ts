// A vault for a drill: a database of its own, a real key file, real time, and a journal folder.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Journal, openJournal } from '../../vault/journal.js';
import { createKeyring } from '../../vault/keyring.js';
import { generateKeyFile, keyFile } from '../../vault/sources.js';
import { openVaultWorld, type VaultWorld } from '../vault/world.js';

export interface DrillVault extends VaultWorld {
  folder: string;
  key_path: string;
  journal: Journal;
  /** Further journals that `close` closes. */
  opened: Journal[];
}

/** Opens it with issuing open; `close` removes everything. */
export async function openDrillVault(): Promise<DrillVault> {
  const folder = mkdtempSync(join(tmpdir(), 'kamigate-drill-'));
  const key_path = join(folder, 'master.key');
  generateKeyFile(key_path);
  const journal = openJournal(join(folder, 'journal'));
  const world = await openVaultWorld({ keyring: createKeyring(keyFile(key_path)), now: Date.now, journal });
  await world.tx((trx) => world.vault.start(trx));
  const opened: Journal[] = [journal];
  const close = async (): Promise<void> => {
    for (const one of opened) await one.close();
    await world.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...world, folder, key_path, journal, opened, close };
}

/** Chains everything that is committed. */
export async function chainAll({ vault, tx }: VaultWorld): Promise<void> {
  while ((await tx((trx) => vault.chain(trx))) > 0);
}

/** Issues all of a SKU's stock in orders of at most `quantity`, and returns the orders' ids. */
export async function issueAll(
  { vault, tx }: VaultWorld,
  sku: string,
  count: number,
  quantity: number,
  prefix = 'ord',
): Promise<string[]> {
  const orders: string[] = [];
  for (let left = count; left > 0; left -= quantity) {
    const order_id = `${prefix}_${orders.length}`;
    const [result] = await tx((trx) =>
      vault.issue(trx, [{ order_id, sku, first_unit: 1, quantity: Math.min(quantity, left) }]),
    );
    if (!result || !('issued' in result)) throw new Error(`must hold: ${sku} has ${left} codes left`);
    orders.push(order_id);
  }
  return orders;
}
