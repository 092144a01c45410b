// The catalog's own work, put together: the sweep of offers, the reading of floats, the end of waiting cost changes.
// Each is a repeating job; what happens is logged here, and counted from the database.
import type { Supplier } from '../../adapters/kit/contract.js';
import type { Database } from '../db/connect.js';
import type { Logger } from '../log.js';
import type { Channels } from '../suppliers/channels.js';
import { type FloatEvent, readFloats } from '../suppliers/float-reading.js';
import { expireChanges } from './cost-changes.js';
import { RATE_DEFAULTS } from './currencies.js';
import { createSweeper, SWEEP_DEFAULTS, type SweepEvent, type Sweeper, type SweepOptions } from './sweep.js';
import { watchOffers } from './watching.js';

export interface CatalogParts {
  database: Database;
  channels: Channels;
  supplierFor: (adapter: string) => Supplier;
  now: () => number;
  log: Logger;
  options: Partial<SweepOptions> & { pass_max: number };
}

export interface Catalog {
  sweeper: Sweeper;
  jobs: { name: string; interval_ms: number; run: () => Promise<number> }[];
}

/** How often it is looked whether anything is due; what is due is each account's own matter. */
const LOOK_MS = 5_000;
/** How often it is looked for sources whose supplier is still to be asked to tell of them; a refusal is no hurry. */
const WATCH_MS = 5 * 60_000;

export function createCatalog({ log, ...parts }: CatalogParts): Catalog {
  const { database, now } = parts;
  const options = { ...RATE_DEFAULTS, ...SWEEP_DEFAULTS, ...parts.options };
  const sweeper = createSweeper({ ...parts, options, observe: (event) => logSweep(log, event) });
  const observe = (event: FloatEvent): void => logFloat(log, event);
  return {
    sweeper,
    jobs: [
      { name: 'sweep_offers', interval_ms: LOOK_MS, run: () => sweeper.runDue() },
      {
        name: 'watch_offers',
        interval_ms: WATCH_MS,
        run: () => watchOffers({ ...parts, onFailure: (account, err) => logUnwatched(log, account, err) }),
      },
      { name: 'read_floats', interval_ms: LOOK_MS, run: () => readFloats({ ...parts, observe }) },
      {
        name: 'expire_cost_changes',
        interval_ms: 60_000,
        run: () => expireChanges(database, options.pass_max, now()),
      },
    ],
  };
}

function logSweep(log: Logger, event: SweepEvent): void {
  switch (event.event) {
    case 'swept':
      log.debug(event, 'offers read');
      return;
    case 'written':
      for (const repriced of event.repriced) {
        if (repriced.decision !== 'auto_applied') log.warn(repriced, 'cost change stopped');
      }
      if (event.malformed > 0) log.warn({ account: event.account, malformed: event.malformed }, 'offers that are none');
      return;
    case 'list_refused':
      log.error(event, 'a list of offers is refused: empty, or suddenly halved');
      return;
    case 'sweep_failed':
      log.warn({ account: event.account, err: event.error }, 'offers could not be read');
      return;
  }
}

function logUnwatched(log: Logger, account: string, err: unknown): void {
  log.warn({ account, err }, 'the supplier will not tell of changed products; they are swept all the same');
}

function logFloat(log: Logger, event: FloatEvent): void {
  switch (event.event) {
    case 'float_read':
      log.debug(event, 'balance read');
      return;
    case 'float_failed':
      log.warn({ account: event.account, err: event.error }, 'the balance could not be read');
      return;
    case 'float_warned':
      log[event.warning === 'none' ? 'info' : 'warn'](event, 'float');
      return;
  }
}
