// The account through which a person delivers, in the terms of the border language: it promises nothing, lists nothing,
// and nothing is ever sent to it. What becomes of its attempts, that person says: see src/orders/manual.ts.
import { PESSIMISTIC, type Supplier } from '../../adapters/kit/contract.js';
import { MANUAL_ACCOUNT } from './accounts.js';

export const MANUAL: Supplier = {
  code: MANUAL_ACCOUNT,
  name: 'A person of ours',
  region: 'global',
  delivers: ['recharge', 'code'],
  base_urls: { live: null, sandbox: null },
  credentials: {},
  limits: { requests: null, per_ms: 1_000, concurrency: 1, deadline_ms: 1_000 },
  money: { currency: null, unit: 'e4' },
  promises: PESSIMISTIC,
  statuses: {},
  refusals: {},
  place: () => {
    throw new Error('a manual attempt is queued for a person and never sent');
  },
};

/** The adapters there are, and a person. */
export function withManual(supplierFor: (adapter: string) => Supplier): (adapter: string) => Supplier {
  return (adapter) => (adapter === MANUAL_ACCOUNT ? MANUAL : supplierFor(adapter));
}
