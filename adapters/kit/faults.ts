// The faults the built-in supplier shows on demand: which there are, which call they hit, and what they do to an order.
import type { ShopError, Twist } from './shop.js';

/** Fault → what it does. A fault of the reply strikes after the order was bought, unless its rule says `bought: false`. */
export const FAULTS = {
  out_of_stock: 'refuses: sold out',
  maintenance: 'refuses: closed for maintenance',
  busy: 'refuses with HTTP 429',
  float_low: 'refuses: the balance is too low',
  recipient_invalid: 'refuses: no such account',
  credentials: 'refuses with HTTP 401',
  duplicate_reference: 'refuses: the reference is known',
  product_unknown: 'refuses: no such product',
  declined: 'refuses without a better word',
  accept_then_drop: 'buys, then closes the connection without a byte of answer',
  bad_gateway: 'answers HTTP 502 with an HTML page',
  empty_reply: 'answers HTTP 200 with an empty body',
  garbage: 'answers half of the JSON',
  unmapped: 'answers a status word that no table holds',
  slow_drip: 'answers byte by byte, over `after_ms` (default 2 s)',
  reset_after_body: 'sends the body, then resets the connection before its end is known',
  hang: 'says nothing until released',
  no_codes: 'says delivered, without the codes; a lookup has them',
  late: 'accepts; delivers after `after_ms`, or when told',
  callback_first: 'calls back before it answers',
  callback_twice: 'calls back twice after it answered',
  callback_forged: 'accepts, then a stranger calls back with a wrong signature and false codes',
  short: 'delivers `units` (default one less), says so, and charges no more',
  short_silent: 'delivers `units` (default one less) but charges and claims all',
  cost_changed: 'the price is `cost_e4` (default twice the old): refused above a ceiling, charged without one',
  reversed: 'delivers, then takes it back and refunds',
  repeated_codes: 'delivers codes it gave out before',
} as const;
export type FaultName = keyof typeof FAULTS;

export type Endpoint = 'order' | 'lookup' | 'offers' | 'balance' | 'session';
export interface FaultRule {
  /** How many calls it hits; default 1. */
  times?: number;
  /** Only orders for this product, or for this recipient account. */
  product?: string;
  account?: string;
  /** Which calls it hits; default `order`. */
  endpoint?: Endpoint;
  /** False: the reply fails before anything was bought. */
  bought?: boolean;
  after_ms?: number;
  cost_e4?: number;
  units?: number;
}
export interface Fault extends FaultRule {
  name: FaultName;
}

/** The faults that are plain refusals: nothing is bought. */
const REFUSAL_FAULTS = [
  'out_of_stock',
  'maintenance',
  'busy',
  'float_low',
  'recipient_invalid',
  'credentials',
  'duplicate_reference',
  'product_unknown',
  'declined',
] as const satisfies readonly FaultName[];
/** Why a simulated supplier says no, by a fault or by itself. */
export type Refusal = ShopError | (typeof REFUSAL_FAULTS)[number];

/** The refusal that a fault is; null for one that is none. */
export function refusalOf(fault: FaultName): Refusal | null {
  return REFUSAL_FAULTS.find((name) => name === fault) ?? null;
}

/** A recipient account that begins so carries its own fault: `fault-out_of_stock`, `fault-hang-0001`. */
const FAULT_ACCOUNT = /^fault-([a-z_]+)/;

/** Keeps the faults that wait for their call. */
export function faultBook() {
  let waiting: (Fault & { left: number })[] = [];
  return {
    /** Throws an Error that names the faults there are, for a name that is none. */
    add(name: string, rule: FaultRule = {}): void {
      if (!Object.hasOwn(FAULTS, name)) {
        throw new Error(`there is no fault "${name}": use one of ${Object.keys(FAULTS).join(', ')}`);
      }
      waiting.push({ ...rule, name: name as FaultName, left: rule.times ?? 1 });
    },
    clear(): void {
      waiting = [];
    },
    /** The fault this call meets, used up by it; null for none. */
    take(endpoint: Endpoint, order: { product: string; account: string | null } | null): Fault | null {
      const found = waiting.find(
        (fault) =>
          (fault.endpoint ?? 'order') === endpoint &&
          (fault.product === undefined || fault.product === order?.product) &&
          (fault.account === undefined || fault.account === order?.account),
      );
      if (found) {
        found.left--;
        if (found.left <= 0) waiting = waiting.filter((fault) => fault !== found);
        return found;
      }
      const named = endpoint === 'order' ? FAULT_ACCOUNT.exec(order?.account ?? '')?.[1] : undefined;
      return named !== undefined && Object.hasOwn(FAULTS, named) ? { name: named as FaultName } : null;
    },
  };
}

/** What a fault does to the order itself. */
export function twistOf(fault: Fault | null, order: { quantity: number; price_e4: number }): Twist {
  const units = fault?.units ?? Math.max(order.quantity - 1, 0);
  switch (fault?.name) {
    case 'late':
    case 'callback_forged':
      return { late: true };
    case 'short':
      return { short: { units, says_so: true } };
    case 'short_silent':
      return { short: { units, says_so: false } };
    case 'cost_changed':
      return { cost_e4: fault.cost_e4 ?? order.price_e4 * 2 };
    case 'repeated_codes':
      return { repeat_codes: true };
    default:
      return {};
  }
}
