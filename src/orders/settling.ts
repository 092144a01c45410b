// What one settling works on: the news, the rows it is about, and the open transaction.
import type { Found, Supplier } from '../../adapters/kit/contract.js';
import type { Trx } from '../db/atomic.js';
import type { Transcript } from '../suppliers/channel.js';
import type { Engine } from './engine.js';
import type { AttemptRow, OrderRow } from './store.js';

export interface News {
  /** Who brings it. `answer` is the reply to the very call that sent the attempt. */
  via: 'answer' | 'callback' | 'lookup' | 'operator' | 'restart';
  found: Found;
  transcript?: Transcript | null;
  /** The worker that goes on with the order afterwards, if it still owns it. */
  fence?: number;
  /** For `operator`: who says so, why, and what proves it. */
  decision?: { by: string; reason: string; evidence: string };
}

export interface Settled {
  before: { order: OrderRow; attempt: AttemptRow };
  order: OrderRow;
  attempt: AttemptRow;
  /** The order needs its next step now. */
  goes_on: boolean;
}

/** Everything one settling works on; its steps change the rows as they go. */
export interface Settling {
  engine: Engine;
  trx: Trx;
  now: number;
  supplier: Supplier;
  /** How long after the mark a byte of the attempt may still leave. */
  deadline_ms: number;
  news: News;
  before: { order: OrderRow; attempt: AttemptRow };
  order: OrderRow;
  attempt: AttemptRow;
}
