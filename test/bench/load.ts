// The load, in a process of its own: keep-alive connections that each place one order after the other.
import { Pool } from 'undici';

export interface LoadOrder {
  port: number;
  key: string;
  connections: number;
  orders: number;
  sku: string;
  /** Distinguishes this round's external ids. */
  round: string;
  recipient: boolean;
  headers: Record<string, string>;
}

export interface LoadResult {
  seconds: number;
  delivered: number;
  /** Milliseconds, sorted. */
  latencies_ms: number[];
  other: Record<string, number>;
}

const told = JSON.parse(process.argv[2] ?? '{}') as LoadOrder;
const pool = new Pool(`http://127.0.0.1:${told.port}`, { connections: told.connections, pipelining: 1 });
const headers = { authorization: `Bearer ${told.key}`, 'content-type': 'application/json', ...told.headers };
const result: LoadResult = { seconds: 0, delivered: 0, latencies_ms: [], other: {} };
let next = 0;

async function worker(): Promise<void> {
  while (next < told.orders) {
    const at = next++;
    const request = {
      external_id: `${told.round}-${at}`,
      sku: told.sku,
      quantity: 1,
      ...(told.recipient ? { recipient: { account: '13900001111' } } : {}),
    };
    const sent_at = performance.now();
    const reply = await pool.request({ method: 'POST', path: '/v1/orders', headers, body: JSON.stringify(request) });
    const body = (await reply.body.json()) as { status: string | number };
    result.latencies_ms.push(performance.now() - sent_at);
    if (body.status === 'delivered') result.delivered++;
    else {
      const what = `${reply.statusCode} ${body.status}`;
      result.other[what] = (result.other[what] ?? 0) + 1;
    }
  }
}

const started_at = performance.now();
await Promise.all(Array.from({ length: told.connections }, worker));
result.seconds = (performance.now() - started_at) / 1_000;
result.latencies_ms.sort((a, b) => a - b);
process.send?.(result);
await pool.close();
