// The baseline of `supplier-orders`: the same purchases, sent straight to the supplier over the adapter, no gateway.
import { supplierFor } from '../../adapters/register.js';
import { Lines, openWire } from '../../src/suppliers/wire.js';

/** Buys `orders` units, `concurrency` at a time. Returns seconds and sorted latencies in ms. */
export async function buyDirectly(told: {
  url: string;
  app_key: string;
  app_secret: string;
  orders: number;
  concurrency: number;
  round: string;
}): Promise<{ seconds: number; latencies_ms: number[] }> {
  const supplier = supplierFor('simulated');
  const lines = new Lines(told.concurrency);
  const credentials: Record<string, string> = { app_key: told.app_key, app_secret: told.app_secret };
  const latencies_ms: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < told.orders) {
      const at = next++;
      const wire = openWire({
        desk: {
          now: Date.now(),
          base_url: told.url,
          callback_url: '',
          credential: (name) => credentials[name] ?? '',
          option: () => '',
        },
        lines,
        options: { deadline_ms: 10_000, reply_bytes_max: 1_000_000 },
        purchases_max: 1,
        session: null,
        pace: null,
        monotonic: () => performance.now(),
        now: Date.now,
      });
      const sent_at = performance.now();
      const outcome = await supplier.place(
        {
          reference: `${told.round}-${at}`,
          product: 'recharge-10',
          kind: 'recharge',
          quantity: 1,
          recipient: { account: '13900001111' },
          cost_ceiling: null,
        },
        wire,
      );
      if (outcome.outcome !== 'delivered') throw new Error(`the supplier answered ${outcome.outcome}`);
      latencies_ms.push(performance.now() - sent_at);
    }
  };
  const started_at = performance.now();
  await Promise.all(Array.from({ length: told.concurrency }, worker));
  const seconds = (performance.now() - started_at) / 1_000;
  await lines.close();
  return { seconds, latencies_ms: latencies_ms.sort((a, b) => a - b) };
}
