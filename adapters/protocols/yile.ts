// 亿乐 Yile seen from the platform: SHA-1 over id, secret, path and time; the body is not signed. An order is known by their
// number alone, and codes come with the reply to it or not at all.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STALE_S = 300;
const STATUS: Record<ShopStatus, number> = { accepted: 3, delivered: 6, refused: 7, reversed: 8 };

export const yileProtocol: Protocol = {
  code: 'yile',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [
    { product: '8801', kind: 'recharge', cost_e4: 97_500, stock: null, name: '会员 10' },
    { product: '8802', kind: 'code', cost_e4: 98_700, stock: null, name: '卡密 10' },
  ],
  credentials: { AppId: 'demoAppId', AppSecret: 'yl-secret-93aa' },
  refusals: {
    credentials: [200, '签名错误'],
    bad_request: [200, '参数错误'],
    out_of_stock: [200, '库存不足'],
    duplicate_reference: [200, '订单已存在'],
    product_unknown: [200, '商品不存在'],
    recipient_invalid: [200, '下单参数错误'],
    float_low: [200, '余额不足'],
    declined: [200, '下单失败'],
  },
  sayNo: (status, message) => ({ status, body: { code: 1, message, data: null } }),

  open(desk) {
    return { route: (call) => (isSigned(call, desk) ? routeOf(call, desk) : desk.refuse('credentials')) };
  },
};

function isSigned({ url, headers }: Call, { credentials, clock }: CounterDesk): boolean {
  const stamp = String(headers.apptimestamp);
  const text = `${credentials.AppId}${credentials.AppSecret}${url}${stamp}`;
  const is_fresh = /^\d{10}$/.test(stamp) && Math.abs(clock() / 1000 - Number(stamp)) <= STALE_S;
  return is_fresh && headers.appid === credentials.AppId && isSame(headers.apptoken, digestOf('sha1', text));
}

function routeOf({ method, path, body }: Call, desk: CounterDesk): Route | null {
  const { shop } = desk;
  switch (`${method} ${path.replace('/openapi/customer', '')}`) {
    case 'POST /Goods/Buy':
      return desk.ordering(orderRequestOf(fieldsOf(body)), (order) => taken(placedJson(order)));
    case 'POST /Order/Show': {
      const [id] = fieldsOf(body).ids as number[];
      const order = shop.byId(String(id));
      return reading('lookup', () => taken(order ? [orderJson(order)] : []), order);
    }
    case 'GET /CustomerAccount/Show':
      return reading('balance', () => taken({ balance: decimalText(shop.balance_e4) }));
    case 'POST /Goods/List': {
      const { page, page_size } = fieldsOf(body) as { page: number; page_size: number };
      const rows = shop.products.slice((page - 1) * page_size, page * page_size);
      return reading('offers', () => taken(rows.map(goodsJson)));
    }
    default:
      return null;
  }
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const params = fields.buy_params as { value1?: string } | undefined;
  return orderFor({
    reference: fields.customer_order_id,
    product: String(fields.goods_id),
    quantity: Number(fields.buy_number),
    account: params?.value1 ?? null,
  });
}

function placedJson({ order_id, codes }: ShopOrder): object {
  const kmdata = codes.map(({ number, pin }) => `${number} ${pin}`);
  return { id: Number(order_id), order_sn: `YL${order_id}`, ...(codes.length > 0 ? { faka: true, kmdata } : {}) };
}

function orderJson({ order_id, status, quantity }: ShopOrder): object {
  return { id: Number(order_id), status: STATUS[status], buy_number: quantity, start_num: 0, current_num: 0 };
}

function goodsJson({ product, cost_e4, name }: ShopProduct): object {
  return { id: Number(product), serial_number: `SN${product}`, name, price: decimalText(cost_e4), is_close: 2 };
}

function taken(data: object): Answer {
  return { status: 200, body: { code: 0, message: 'ok', data } };
}
