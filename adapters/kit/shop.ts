// The shop behind the built-in supplier: products, orders, codes and the books. No HTTP and no faults of transport; what
// it charged and delivered is the truth that tests compare the gateway with.
import { createHash } from 'node:crypto';
import type { Kind } from './contract.js';

export interface ShopProduct {
  product: string;
  kind: Kind;
  cost_e4: number;
  /** Null: without end. */
  stock: number | null;
  name?: string;
}
export interface ShopCode {
  number: string;
  pin: string;
  serial: string;
}
export type ShopStatus = 'accepted' | 'delivered' | 'refused' | 'reversed';
export interface ShopOrder {
  order_id: string;
  reference: string;
  product: string;
  kind: Kind;
  quantity: number;
  account: string | null;
  status: ShopStatus;
  cost_e4: number;
  /** What the shop says it delivered; `codes` may be fewer when it lies. */
  delivered_units: number;
  codes: ShopCode[];
  receipt: string | null;
  callback_url: string | null;
}
export interface OrderRequest {
  reference: string;
  product: string;
  quantity: number;
  account: string | null;
  cost_max_e4: number | null;
  callback_url: string | null;
}
/** How this one order is to go wrong. */
export interface Twist {
  /** Accept now, deliver when told. */
  late?: boolean;
  /** This many units: `says_so` charges for no more, otherwise all are charged and claimed. */
  short?: { units: number; says_so: boolean };
  /** Give out the codes of an earlier order of the product. */
  repeat_codes?: boolean;
  /** The price of this order, in place of the product's. */
  cost_e4?: number;
}
export type ShopError =
  | 'out_of_stock'
  | 'price_changed'
  | 'float_low'
  | 'product_unknown'
  | 'recipient_invalid'
  | 'duplicate_reference'
  | 'bad_request';

export interface BookEntry {
  at: number;
  kind: 'charge' | 'refund';
  reference: string;
  order_id: string;
  amount_e4: number;
  units: number;
}
export interface ReferenceBooks {
  orders: number;
  units: number;
  charged_e4: number;
  refunded_e4: number;
  net_e4: number;
  status: ShopStatus;
  codes: ShopCode[];
}
/** The truth, to the ten-thousandth. `units` are those delivered and not refunded. */
export interface Books {
  currency: string;
  balance_e4: number;
  orders: number;
  units: number;
  charged_e4: number;
  refunded_e4: number;
  net_e4: number;
  entries: BookEntry[];
  by_reference: Record<string, ReferenceBooks>;
}

export interface ShopOptions {
  name: string;
  currency: string;
  products: ShopProduct[];
  balance_e4: number;
  /** What a known reference does. */
  repeat: 'returns_original' | 'is_rejected' | 'buys_again';
  clock: () => number;
}

/** A shop. Its codes follow from name, product and count, so two runs give the same ones. */
export class Shop {
  readonly #options: ShopOptions;
  readonly #products: Map<string, ShopProduct>;
  readonly #by_reference = new Map<string, ShopOrder[]>();
  readonly #by_id = new Map<string, ShopOrder>();
  readonly #issued = new Map<string, ShopCode[]>();
  readonly #entries: BookEntry[] = [];
  balance_e4: number;

  constructor(options: ShopOptions) {
    this.#options = options;
    this.#products = new Map(options.products.map((product) => [product.product, { ...product }]));
    this.balance_e4 = options.balance_e4;
  }

  get currency(): string {
    return this.#options.currency;
  }
  get products(): ShopProduct[] {
    return [...this.#products.values()].map((product) => ({ ...product }));
  }
  product(product: string): ShopProduct | null {
    return this.#products.get(product) ?? null;
  }
  /** Changes price, stock or kind of a product, or adds it. */
  setProduct(product: ShopProduct): void {
    this.#products.set(product.product, { ...product });
  }
  byReference(reference: string): ShopOrder | null {
    return this.#by_reference.get(reference)?.[0] ?? null;
  }
  byId(order_id: string): ShopOrder | null {
    return this.#by_id.get(order_id) ?? null;
  }

  /** Buys, or says why not. A known reference is answered as `repeat` says. */
  buy(request: OrderRequest, twist: Twist = {}): { order: ShopOrder } | { error: ShopError } {
    const earlier = this.#by_reference.get(request.reference);
    if (earlier && this.#options.repeat === 'returns_original') return { order: earlier[0]! };
    if (earlier && this.#options.repeat === 'is_rejected') return { error: 'duplicate_reference' };
    const product = this.#products.get(request.product);
    if (!product) return { error: 'product_unknown' };
    const error = this.#refusalOf(request, product, twist);
    if (error) return { error };
    const order = this.#write(request, product, twist);
    this.#by_reference.set(order.reference, [...(earlier ?? []), order]);
    if (!twist.late) this.#fill(order, twist);
    return { order };
  }

  #refusalOf(request: OrderRequest, product: ShopProduct, twist: Twist): ShopError | null {
    const { reference, quantity, account, cost_max_e4 } = request;
    if (!/^[\w-]{1,64}$/.test(reference) || !Number.isSafeInteger(quantity) || quantity < 1) return 'bad_request';
    if (product.kind === 'recharge' && !account) return 'recipient_invalid';
    const cost_e4 = (twist.cost_e4 ?? product.cost_e4) * quantity;
    if (cost_max_e4 !== null && cost_e4 > cost_max_e4) return 'price_changed';
    if (product.stock !== null && product.stock < (twist.short?.units ?? quantity)) return 'out_of_stock';
    return cost_e4 > this.balance_e4 ? 'float_low' : null;
  }

  #write(request: OrderRequest, product: ShopProduct, twist: Twist): ShopOrder {
    const charged_units = twist.short?.says_so ? twist.short.units : request.quantity;
    const { reference, quantity, account, callback_url } = request;
    const order: ShopOrder = {
      order_id: String(700_001 + this.#by_id.size),
      reference,
      product: product.product,
      kind: product.kind,
      quantity,
      account,
      status: 'accepted',
      cost_e4: (twist.cost_e4 ?? product.cost_e4) * charged_units,
      delivered_units: 0,
      codes: [],
      receipt: null,
      callback_url,
    };
    if (product.stock !== null) product.stock -= twist.short?.units ?? quantity;
    this.#by_id.set(order.order_id, order);
    this.#book('charge', order, charged_units);
    return order;
  }

  #fill(order: ShopOrder, twist: Twist): void {
    const units = twist.short?.units ?? order.quantity;
    order.status = 'delivered';
    order.delivered_units = twist.short?.says_so ? units : order.quantity;
    if (order.kind === 'recharge') {
      order.receipt = `R${order.order_id}`;
      return;
    }
    const earlier = this.#issued.get(order.product) ?? [];
    const repeats = twist.repeat_codes && earlier.length >= units;
    order.codes = repeats ? earlier.slice(0, units) : this.#nextCodes(order.product, units);
  }

  #nextCodes(product: string, count: number): ShopCode[] {
    const issued = this.#issued.get(product) ?? [];
    this.#issued.set(product, issued);
    const from = issued.length;
    for (let at = 1; at <= count; at++) issued.push(codeOf(this.#options.name, product, from + at));
    return issued.slice(from);
  }

  #book(kind: BookEntry['kind'], order: ShopOrder, units: number): void {
    const { reference, order_id, cost_e4: amount_e4 } = order;
    this.balance_e4 += kind === 'charge' ? -amount_e4 : amount_e4;
    this.#entries.push({ at: this.#options.clock(), kind, reference, order_id, amount_e4, units });
  }

  /** Ends an accepted order: delivers it, or fails it and gives the money back. Null if there is none such. */
  finish(reference: string, end: 'delivered' | 'refused'): ShopOrder | null {
    const order = this.#by_reference.get(reference)?.find(({ status }) => status === 'accepted');
    if (!order) return null;
    if (end === 'delivered') this.#fill(order, {});
    else this.#giveBack(order, 'refused');
    return order;
  }

  /** Takes a delivered order back, with the money. Null if there is none such. */
  reverse(reference: string): ShopOrder | null {
    const order = this.#by_reference.get(reference)?.find(({ status }) => status === 'delivered');
    if (order) this.#giveBack(order, 'reversed');
    return order ?? null;
  }

  #giveBack(order: ShopOrder, status: 'refused' | 'reversed'): void {
    const product = this.#products.get(order.product)!;
    // What was delivered does not come back with the money.
    if (product.stock !== null && status === 'refused') product.stock += order.quantity;
    order.status = status;
    this.#book('refund', order, order.quantity);
  }

  /** The truth up to now. */
  books(): Books {
    const by_order = new Map<string, BookEntry[]>();
    for (const entry of this.#entries) by_order.set(entry.order_id, [...(by_order.get(entry.order_id) ?? []), entry]);
    const references = [...this.#by_reference].map(
      ([reference, orders]) => [reference, booksOf(orders, by_order)] as const,
    );
    const charged_e4 = sum(this.#entries, 'charge');
    const refunded_e4 = sum(this.#entries, 'refund');
    return {
      currency: this.currency,
      balance_e4: this.balance_e4,
      orders: this.#by_id.size,
      units: references.reduce((total, [, { units }]) => total + units, 0),
      charged_e4,
      refunded_e4,
      net_e4: charged_e4 - refunded_e4,
      entries: this.#entries.map((entry) => ({ ...entry })),
      by_reference: Object.fromEntries(references),
    };
  }
}

function codeOf(shop: string, product: string, count: number): ShopCode {
  const hash = createHash('sha256').update(`${shop}/${product}/${count}`).digest();
  const number = BigInt(`0x${hash.subarray(0, 8).toString('hex')}`)
    .toString()
    .padStart(16, '0')
    .slice(-16);
  const pin = hash.subarray(8, 14).toString('hex').toUpperCase();
  return { number, pin, serial: `${product}-${count}` };
}

function sum(entries: BookEntry[], kind: BookEntry['kind']): number {
  return entries.reduce((total, entry) => total + (entry.kind === kind ? entry.amount_e4 : 0), 0);
}

function booksOf(orders: ShopOrder[], by_order: ReadonlyMap<string, BookEntry[]>): ReferenceBooks {
  const own = orders.flatMap(({ order_id }) => by_order.get(order_id) ?? []);
  const charged_e4 = sum(own, 'charge');
  const refunded_e4 = sum(own, 'refund');
  const delivered = orders.filter(({ status }) => status === 'delivered');
  return {
    orders: orders.length,
    units: delivered.reduce((total, order) => total + order.delivered_units, 0),
    charged_e4,
    refunded_e4,
    net_e4: charged_e4 - refunded_e4,
    status: orders.at(-1)!.status,
    codes: orders.flatMap(({ codes }) => codes.map((code) => ({ ...code }))),
  };
}
