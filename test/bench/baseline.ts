// One baseline run in a process of its own, so that neither side warms the other's code.
import { bareMysql } from './bare/mysql.js';
import { bareSqlite } from './bare/sqlite.js';
import { buyDirectly } from './direct.js';

type Told =
  | { what: 'sqlite'; filename: string; orders: number }
  | { what: 'mysql'; url: string; orders: number }
  | ({ what: 'direct' } & Parameters<typeof buyDirectly>[0]);

const told = JSON.parse(process.argv[2] ?? '{}') as Told;
if (told.what === 'sqlite') process.send?.({ seconds: await bareSqlite(told.filename, told.orders), latencies_ms: [] });
else if (told.what === 'mysql') process.send?.({ seconds: await bareMysql(told.url, told.orders), latencies_ms: [] });
else process.send?.(await buyDirectly(told));
