// Whether another source may be tried: the only yes in the program. `accepted` and `unknown` are not in this table,
// and that is the whole of safe failover. What tells on a supplier's health is src/suppliers/outcome.ts's matter.
import type { Reason } from '../../adapters/kit/contract.js';

export interface Permission {
  /** `try_next` the next source; `stop` the order, others would say the same; `hold` it for a person. */
  next: 'try_next' | 'stop' | 'hold';
  /** What else to do about the account or the source. */
  also?: 'stock_is_zero' | 'refresh_offer' | 'pause_account' | 'disable_source';
}

export const REFUSALS: Readonly<Record<Reason, Permission>> = {
  not_sent: { next: 'try_next' },
  out_of_stock: { next: 'try_next', also: 'stock_is_zero' },
  cost_changed: { next: 'try_next', also: 'refresh_offer' },
  limit_reached: { next: 'try_next' },
  busy: { next: 'try_next' },
  maintenance: { next: 'try_next' },
  float_low: { next: 'try_next', also: 'pause_account' },
  credentials: { next: 'try_next', also: 'pause_account' },
  sku_unknown: { next: 'try_next', also: 'disable_source' },
  declined: { next: 'try_next' },
  recipient_invalid: { next: 'stop' },
  // Our reference was known to them: something of ours is already there. Look it up, never buy.
  duplicate: { next: 'hold' },
  // Our own bug; the next supplier would meet it too.
  request_invalid: { next: 'hold' },
};
