// 星权益 Xingquanyi seen from the platform: MD5 over the key and then every name and value with nothing between. A card has
// other field names in a query than in an order, and the cards of a callback are not signed.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, orderFor, reading } from '../kit/protocol.js';
import { decimalText, toE4 } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STALE_S = 300;
const UNSIGNED = ['sign', 'cards', 'tickets'];
const STATE: Record<ShopStatus, number> = { accepted: 101, delivered: 200, refused: 500, reversed: 500 };

export const xingquanyiProtocol: Protocol = {
  code: 'xingquanyi',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [
    { product: '2222', kind: 'code', cost_e4: 98_700, stock: null, name: '卡密 10' },
    { product: '2223', kind: 'recharge', cost_e4: 97_500, stock: null, name: '直充 10' },
  ],
  credentials: { customer_id: '20777', key: 'xqy-key-0c4f' },
  callback_secret: 'key',
  refusals: {
    credentials: [200, 'invalid_sign'],
    bad_request: [200, 'invalid_parameters'],
    busy: [200, 'request_frequency'],
    // Every other no is the same word.
    out_of_stock: [200, 'error'],
    product_unknown: [200, 'error'],
    recipient_invalid: [200, 'error'],
    price_changed: [200, 'error'],
    float_low: [200, 'error'],
    duplicate_reference: [200, 'error'],
    declined: [200, 'error'],
  },
  sayNo: (status, code) => ({ status, body: { code, message: '失败', data: null } }),

  open(desk) {
    return {
      route(call) {
        const fields = fieldsOf(call.body);
        const is_fresh = Math.abs(desk.clock() / 1000 - Number(fields.timestamp)) <= STALE_S;
        const is_ours = String(fields.customer_id) === desk.credentials.customer_id && is_fresh;
        const is_signed = isSame(fields.sign, signatureOf(fields, desk.credentials.key!));
        return is_ours && is_signed ? routeOf(call, fields, desk) : desk.refuse('credentials');
      },
      notice(order, { credentials }) {
        const { customer_id, key } = credentials;
        const timestamp = String(Math.floor(desk.clock() / 1000));
        const fields = { ...noticeFields(order), customer_id: customer_id!, timestamp };
        const cards = order.codes.length > 0 ? { cards: JSON.stringify(order.codes.map(boughtCard)) } : {};
        const body = new URLSearchParams({ ...fields, ...cards, sign: signatureOf(fields, key!) }).toString();
        return { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
      },
    };
  },
};

function signatureOf(fields: Record<string, unknown>, key: string): string {
  const names = Object.keys(fields).filter((name) => !UNSIGNED.includes(name));
  const pairs = names.sort().map((name) => `${name}${fields[name]}`);
  return digestOf('md5', key + pairs.join(''));
}

function routeOf({ path }: Call, fields: Record<string, unknown>, desk: CounterDesk): Route | null {
  const { shop } = desk;
  switch (path) {
    case '/api/buy':
      return desk.ordering(orderRequestOf(fields), (order) =>
        taken({ order_id: order.order_id, ...orderJson(order), cards: order.codes.map(boughtCard) }),
      );
    case '/api/outer-order': {
      const order = shop.byReference(String(fields.outer_order_id));
      const found = (one: ShopOrder) =>
        taken({ id: Number(one.order_id), ...orderJson(one), cards: one.codes.map(askedCard) });
      return reading('lookup', () => (order ? found(order) : xingquanyiProtocol.sayNo(200, 'error')), order);
    }
    case '/api/customer':
      return reading('balance', () => taken({ id: 1, name: 'demo', balance: decimalText(shop.balance_e4) }));
    case '/api/product-list':
      return reading('offers', () => taken(shop.products.map(productJson)));
    default:
      return null;
  }
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const [quantity, safe_cost] = [Number(fields.quantity), fields.safe_cost];
  return orderFor({
    reference: fields.outer_order_id,
    product: String(fields.product_id),
    quantity,
    account: (fields.recharge_account as string | undefined) ?? null,
    cost_max_e4: safe_cost === undefined ? null : toE4(String(safe_cost)) * quantity,
    callback_url: (fields.notify_url as string | undefined) ?? null,
  });
}

function orderJson({ reference, quantity, cost_e4, status, receipt }: ShopOrder): object {
  const prices = { product_price: decimalText(cost_e4 / quantity), total_price: decimalText(cost_e4) };
  const refunded_amount = status === 'reversed' ? prices.total_price : '0';
  return {
    ...prices,
    refunded_amount,
    outer_order_id: reference,
    quantity,
    state: STATE[status],
    recharge_info: receipt,
  };
}

function noticeFields({ order_id, reference, product, quantity, status }: ShopOrder): Record<string, string> {
  const created_at = '2026-01-01 08:00:00';
  const order = { order_id, outer_order_id: reference, product_id: product, quantity: String(quantity) };
  return { ...order, state: String(STATE[status]), state_info: '', created_at };
}

const EXPIRY = { expired_at: '2030-12-31 23:59:59' };
type Card = ShopOrder['codes'][number];
const boughtCard = ({ number, pin }: Card) => ({ card_no: number, card_password: pin, ...EXPIRY });
const askedCard = ({ number, pin }: Card) => ({ no: number, password: pin, ...EXPIRY });

function productJson({ product, kind, cost_e4, stock, name }: ShopProduct): object {
  const goods = {
    id: Number(product),
    product_name: name,
    name: '10',
    price: decimalText(cost_e4),
    type: kind === 'code' ? 2 : 1,
  };
  return {
    ...goods,
    stock_state: stock === 0 ? 2 : 1,
    supply_state: 1,
    hold_state: 1,
    ban_start_at: '',
    ban_end_at: '',
  };
}

function taken(data: object): Answer {
  return { status: 200, body: { code: 'ok', message: '', data } };
}
