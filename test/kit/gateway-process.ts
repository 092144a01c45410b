// A gateway in a process of its own, for tests that kill it: the same parts as in production, and a phase at which it
// ends itself by SIGKILL, without a chance to clean up. Told what to do by its parent, as one JSON argument.

import type { Supplier } from '../../adapters/kit/contract.js';
import { supplierFor } from '../../adapters/register.js';
import { connect } from '../../src/db/connect.js';
import { createLogger } from '../../src/log.js';
import type { GatewayOptions } from '../../src/main.js';
import { buildGateway } from '../../src/main.js';
import type { Phase } from '../../src/orders/engine.js';
import type { OrderRequest } from '../../src/orders/request.js';
import { createKeyring } from '../../vault/keyring.js';
import { keyFile } from '../../vault/sources.js';
import { gatewayOptions, listenForCallbacks } from './world.js';

export interface ProcessOrder {
  database_url: string;
  key_file: string;
  port: number;
  kill_at: Phase | null;
  options: Partial<GatewayOptions>;
  /** Orders to place as soon as it runs. */
  place: OrderRequest[];
}

const told = JSON.parse(process.argv[2] ?? '{}') as ProcessOrder;

const gateway = buildGateway({
  database: connect({ url: told.database_url, pool_max: 8, acquire_timeout_ms: 10_000 }),
  keyring: createKeyring(keyFile(told.key_file)),
  supplierFor: (adapter) => (adapter === 'prepared' ? prepared() : supplierFor(adapter)),
  log: createLogger({ level: process.env.TEST_LOG_LEVEL ?? 'silent' }),
  now: Date.now,
  reach: (phase) => {
    if (phase !== told.kill_at) return;
    process.kill(process.pid, 'SIGKILL');
    // The signal needs a moment; nothing more may happen in this process.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
  },
  options: gatewayOptions(`http://127.0.0.1:${told.port}`, told.options),
});

/** The simulator as a create-then-pay supplier: it names its order before anything is bought. */
function prepared(): Supplier {
  const simulated = supplierFor('simulated');
  return {
    ...simulated,
    code: 'prepared',
    prepare: async (purchase) => ({ supplier_reference: `pre-${purchase.reference}` }),
  };
}

await listenForCallbacks(() => gateway, told.port);
gateway.jobs.start();
process.send?.('ready');
for (const request of told.place) {
  const { order } = await gateway.orders.place({ storefront: 'mall', request });
  process.send?.({ placed: order.order_id });
}
