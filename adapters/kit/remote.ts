// The orders that another process gives a simulated supplier by `POST /_control`: JSON with `do` and what belongs to it.
import type { FaultRule } from './faults.js';
import * as read from './reading.js';
import type { ShopProduct } from './shop.js';

/** What can be driven from another process. */
export interface Driven {
  deliver(reference: string): boolean;
  fail(reference: string): boolean;
  reverse(reference: string): boolean;
  fault(name: string, rule: FaultRule): void;
  clearFaults(): void;
  release(): void;
  setBalance(amount_e4: number): void;
  setProduct(product: ShopProduct): void;
  latency_ms: number;
}

/** Does what the body says. False where there was no such order; throws an Error that says what to send instead. */
export function obey(simulator: Driven, body: Buffer): boolean {
  const order = read.parseJson(body.toString());
  const act = read.textAt(order, 'do');
  if (act === 'deliver' || act === 'fail' || act === 'reverse') return simulator[act](read.textAt(order, 'reference'));
  if (act === 'fault') simulator.fault(read.textAt(order, 'fault'), ruleOf(order));
  else if (act === 'clear') simulator.clearFaults();
  else if (act === 'release') simulator.release();
  else if (act === 'balance') simulator.setBalance(read.integerAt(order, 'amount_e4'));
  else if (act === 'latency') simulator.latency_ms = read.integerAt(order, 'latency_ms');
  else if (act === 'product') simulator.setProduct(productOf(order));
  else
    throw new Error(`do is "${act}": use fault, clear, release, deliver, fail, reverse, balance, latency or product`);
  return true;
}

function ruleOf(order: unknown): FaultRule {
  const whole = (name: string) =>
    read.maybeTextAt(order, name) === undefined ? undefined : read.integerAt(order, name);
  const rule = {
    times: whole('times'),
    after_ms: whole('after_ms'),
    cost_e4: whole('cost_e4'),
    units: whole('units'),
    product: read.maybeTextAt(order, 'product'),
    account: read.maybeTextAt(order, 'account'),
    endpoint: read.maybeTextAt(order, 'endpoint'),
    bought: read.maybeTextAt(order, 'bought') === 'false' ? false : undefined,
  };
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as FaultRule;
}

function productOf(order: unknown): ShopProduct {
  return {
    product: read.textAt(order, 'product'),
    kind: read.textAt(order, 'kind') === 'recharge' ? 'recharge' : 'code',
    cost_e4: read.integerAt(order, 'cost_e4'),
    stock: read.maybeTextAt(order, 'stock') === undefined ? null : read.integerAt(order, 'stock'),
  };
}
