// One offer as a sweep would write it, for tests that want a price list of one line.
import type { Offer } from '../../adapters/kit/contract.js';
import { readPolicies } from '../../src/catalog/cost-policies.js';
import { RATE_DEFAULTS, readRates } from '../../src/catalog/currencies.js';
import { type Written, writeOffers } from '../../src/catalog/listing.js';
import { atomic } from '../../src/db/atomic.js';
import type { World } from './world.js';

/** Judges and writes the offer as the account's, seen now. */
export async function listOffer(world: World, account: string, offer: Offer): Promise<Written> {
  const { currency } = (await world.gateway.channels.channel(account)).account;
  const now = world.clock.now();
  return atomic(world.database, 'listing an offer', async (trx) =>
    writeOffers(trx, [offer], {
      account,
      account_currency: currency,
      read_at: now,
      touch: null,
      policies: await readPolicies(trx),
      rates: await readRates(trx, RATE_DEFAULTS, now),
      now,
    }),
  );
}
