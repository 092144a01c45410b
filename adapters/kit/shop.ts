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
export type Shop = ReturnType<typeof openShop>;

/** Opens a shop. Its codes follow from name, product and count, so two runs give the same ones. */
export function openShop(options: ShopOptions) {
  const products = new Map(options.products.map((product) => [product.product, { ...product }]));
  const by_reference = new Map<string, ShopOrder[]>();
  const by_id = new Map<string, ShopOrder>();
  const issued = new Map<string, ShopCode[]>();
  const entries: BookEntry[] = [];
  let balance_e4 = options.balance_e4;

  function book(kind: BookEntry['kind'], order: ShopOrder, units: number): void {
    const amount_e4 = order.cost_e4;
    balance_e4 += kind === 'charge' ? -amount_e4 : amount_e4;
    entries.push({ at: options.clock(), kind, reference: order.reference, order_id: order.order_id, amount_e4, units });
  }

  function nextCodes(product: string, count: number): ShopCode[] {
    const before = issued.get(product) ?? [];
    const codes = Array.from({ length: count }, (_, at) => codeOf(options.name, product, before.length + at + 1));
    issued.set(product, [...before, ...codes]);
    return codes;
  }

  function fill(order: ShopOrder, units: number, twist: Twist): void {
    order.status = 'delivered';
    order.delivered_units = twist.short && !twist.short.says_so ? order.quantity : units;
    if (order.kind === 'recharge') {
      order.receipt = `R${order.order_id}`;
      return;
    }
    const earlier = issued.get(order.product) ?? [];
    order.codes =
      twist.repeat_codes && earlier.length >= units ? earlier.slice(0, units) : nextCodes(order.product, units);
  }

  /** Buys, or says why not. A known reference is answered as `repeat` says. */
  function buy(request: OrderRequest, twist: Twist = {}): { order: ShopOrder; is_new: boolean } | { error: ShopError } {
    const earlier = by_reference.get(request.reference);
    if (earlier && options.repeat === 'returns_original') return { order: earlier[0]!, is_new: false };
    if (earlier && options.repeat === 'is_rejected') return { error: 'duplicate_reference' };
    const product = products.get(request.product);
    const error = refusalOf(request, product, twist);
    if (error || !product) return { error: error ?? 'product_unknown' };
    const units = twist.short?.units ?? request.quantity;
    const charged_units = twist.short?.says_so ? units : request.quantity;
    const order: ShopOrder = {
      order_id: String(700_000 + by_id.size + 1),
      reference: request.reference,
      product: product.product,
      kind: product.kind,
      quantity: request.quantity,
      account: request.account,
      status: 'accepted',
      cost_e4: (twist.cost_e4 ?? product.cost_e4) * charged_units,
      delivered_units: 0,
      codes: [],
      receipt: null,
      callback_url: request.callback_url,
    };
    if (product.stock !== null) product.stock -= units;
    by_id.set(order.order_id, order);
    by_reference.set(order.reference, [...(earlier ?? []), order]);
    book('charge', order, charged_units);
    if (!twist.late) fill(order, units, twist);
    return { order, is_new: true };
  }

  function refusalOf(request: OrderRequest, product: ShopProduct | undefined, twist: Twist): ShopError | null {
    if (!/^[\w-]{1,64}$/.test(request.reference)) return 'bad_request';
    if (!Number.isSafeInteger(request.quantity) || request.quantity < 1) return 'bad_request';
    if (!product) return 'product_unknown';
    if (product.kind === 'recharge' && !request.account) return 'recipient_invalid';
    const cost_e4 = (twist.cost_e4 ?? product.cost_e4) * request.quantity;
    if (request.cost_max_e4 !== null && cost_e4 > request.cost_max_e4) return 'price_changed';
    if (product.stock !== null && product.stock < (twist.short?.units ?? request.quantity)) return 'out_of_stock';
    return cost_e4 > balance_e4 ? 'float_low' : null;
  }

  /** Ends an accepted order: delivers it, or fails it and gives the money back. False if there is none such. */
  function finish(reference: string, end: 'delivered' | 'refused'): ShopOrder | null {
    const order = by_reference.get(reference)?.find(({ status }) => status === 'accepted');
    if (!order) return null;
    if (end === 'delivered') fill(order, order.quantity, {});
    else giveBack(order, 'refused');
    return order;
  }

  /** Takes a delivered order back, with the money. */
  function reverse(reference: string): ShopOrder | null {
    const order = by_reference.get(reference)?.find(({ status }) => status === 'delivered');
    if (order) giveBack(order, 'reversed');
    return order ?? null;
  }

  function giveBack(order: ShopOrder, status: 'refused' | 'reversed'): void {
    const product = products.get(order.product)!;
    if (product.stock !== null && status === 'refused') product.stock += order.quantity;
    order.status = status;
    book('refund', order, order.quantity);
  }

  function books(): Books {
    const charged_e4 = sum(entries, 'charge');
    const refunded_e4 = sum(entries, 'refund');
    const by_order = new Map<string, BookEntry[]>();
    for (const entry of entries) by_order.set(entry.order_id, [...(by_order.get(entry.order_id) ?? []), entry]);
    const references = [...by_reference].map(([reference, orders]) => [reference, booksOf(orders, by_order)] as const);
    return {
      currency: options.currency,
      balance_e4,
      orders: by_id.size,
      units: references.reduce((total, [, { units }]) => total + units, 0),
      charged_e4,
      refunded_e4,
      net_e4: charged_e4 - refunded_e4,
      entries: entries.map((entry) => ({ ...entry })),
      by_reference: Object.fromEntries(references),
    };
  }

  return {
    currency: options.currency,
    buy,
    finish,
    reverse,
    books,
    byReference: (reference: string): ShopOrder | null => by_reference.get(reference)?.[0] ?? null,
    byId: (order_id: string): ShopOrder | null => by_id.get(order_id) ?? null,
    products: (): ShopProduct[] => [...products.values()].map((product) => ({ ...product })),
    /** Changes price, stock or kind of a product, or adds it. */
    setProduct: (product: ShopProduct): void => void products.set(product.product, { ...product }),
    balance: (): number => balance_e4,
    setBalance: (amount_e4: number): void => {
      balance_e4 = amount_e4;
    },
  };
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
