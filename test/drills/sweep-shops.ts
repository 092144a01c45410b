// A process of simulated suppliers for the sweep drill: so that their memory and their work are not the gateway's, and
// their clock is a clock of their own. Answers `{ urls }`, takes `{ set }`, and on `{ report }` tells the arrivals.
import diagnostics from 'node:diagnostics_channel';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ShopProduct } from '../../adapters/kit/shop.js';
import { type Simulator, startSimulator } from '../../adapters/simulator.js';

export interface ShopOrders {
  start?: { names: string[]; products: ShopProduct[] };
  set?: { name: string; product: ShopProduct }[];
  report?: true;
}
export interface ShopAnswer {
  urls?: Record<string, string>;
  done?: true;
  arrivals?: Record<string, number[]>;
}

const arrivals = new Map<number, number[]>();
diagnostics.subscribe('http.server.request.start', (message) => {
  const { port } = (message as { server: Server }).server.address() as AddressInfo;
  const times = arrivals.get(port);
  if (times) times.push(performance.now());
  else arrivals.set(port, [performance.now()]);
});

const shops = new Map<string, Simulator>();

async function obey({ start, set, report }: ShopOrders): Promise<ShopAnswer> {
  for (const name of start?.names ?? []) shops.set(name, await startSimulator({ name, products: start!.products }));
  for (const { name, product } of set ?? []) shops.get(name)!.setProduct(product);
  if (start) return { urls: Object.fromEntries([...shops].map(([name, { url }]) => [name, url])) };
  if (!report) return { done: true };
  const timesOf = ({ url }: Simulator): number[] => arrivals.get(Number(new URL(url).port)) ?? [];
  return { arrivals: Object.fromEntries([...shops].map(([name, shop]) => [name, timesOf(shop)])) };
}

process.on('message', (orders: ShopOrders) => {
  void obey(orders).then((answer) => process.send!(answer));
});
process.on('disconnect', () => process.exit(0));
