// 卡速售 Kasushou seen from the platform: SHA-1 over time, body and key. The body is written anew, with its outermost names
// sorted, before it is checked, so a request that was not written that way is refused. Every no is a 400.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, orderFor, reading, sortedJson } from '../kit/protocol.js';
import { decimalText, toE4 } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STATUS: Record<ShopStatus, number> = { accepted: 2, delivered: 3, refused: 4, reversed: 5 };

export const kasushouProtocol: Protocol = {
  code: 'kasushou',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [
    { product: '3111', kind: 'code', cost_e4: 98_700, stock: null, name: '卡密 10' },
    { product: '3112', kind: 'recharge', cost_e4: 97_500, stock: null, name: '直充 10' },
  ],
  credentials: { UserId: '10086', apikey: 'kss-key-9d21' },
  callback_secret: 'apikey',
  refusals: {
    credentials: [200, '签名错误'],
    bad_request: [200, '参数错误'],
    out_of_stock: [200, '库存不足'],
    duplicate_reference: [200, '订单号重复'],
    product_unknown: [200, '商品不存在'],
    recipient_invalid: [200, '充值账号错误'],
    price_changed: [200, '商品价格高于安全价格'],
    float_low: [200, '余额不足'],
    declined: [200, '下单失败'],
  },
  sayNo: (status, word) => ({ status, body: { code: 400, msg: word, data: null } }),

  open(desk) {
    return {
      route: (call) => (isSigned(call, desk) ? routeOf(call, desk) : desk.refuse('credentials')),
      notice(order, { credentials }) {
        const fields = { ...noticeFields(order), time: String(desk.clock()) };
        // They write `/` as `\/` here, and nowhere else.
        const text = sortedJson(fields, 'top').replaceAll('/', '\\/');
        const sign = digestOf('sha1', fields.time + text + credentials.apikey);
        const card_list = order.codes.length > 0 ? { card_list: JSON.stringify(order.codes.map(cardJson)) } : {};
        const body = new URLSearchParams({ ...fields, ...card_list, sign }).toString();
        return { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
      },
    };
  },
};

function isSigned({ headers, body }: Call, { credentials }: CounterDesk): boolean {
  const stamp = String(headers.timestamp);
  const text = sortedJson(fieldsOf(body), 'top');
  return (
    headers.userid === credentials.UserId &&
    /^\d{13}$/.test(stamp) &&
    isSame(headers.sign, digestOf('sha1', stamp + text + credentials.apikey))
  );
}

function routeOf({ path, body }: Call, desk: CounterDesk): Route | null {
  const { shop } = desk;
  const fields = fieldsOf(body);
  switch (path) {
    case '/api/v1/order/buy':
      return desk.ordering(orderRequestOf(fields), ({ order_id, reference, cost_e4 }) =>
        ok({ ordersn: `API${order_id}`, external_orderno: reference, total_price: decimalText(cost_e4, 2) }),
      );
    case '/api/v1/order/info': {
      const order = shop.byReference(String(fields.external_orderno));
      return reading('lookup', () => ok(order ? [orderJson(order)] : []), order);
    }
    case '/api/v1/user/info':
      return reading('balance', () => ok({ balance: decimalText(shop.balance_e4, 2) }));
    case '/api/v1/goods/list': {
      const [page, limit] = [Number(fields.page ?? 1), Number(fields.limit ?? 100)];
      const list = shop.products.slice((page - 1) * limit, page * limit).map(goodsJson);
      return reading('offers', () => ok({ list, total: shop.products.length }));
    }
    default:
      return null;
  }
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const attach = fields.attach as { recharge_account?: string } | undefined;
  const [quantity, safe_price] = [Number(fields.quantity), fields.safe_price];
  return orderFor({
    reference: fields.external_orderno,
    product: String(fields.id),
    quantity,
    account: attach?.recharge_account ?? null,
    // Read as the price of one.
    cost_max_e4: safe_price === undefined ? null : toE4(String(safe_price)) * quantity,
    callback_url: (fields.url as string | undefined) ?? null,
  });
}

function noticeFields({ order_id, reference, status, cost_e4, receipt }: ShopOrder): Record<string, string> {
  return {
    external_orderno: reference,
    ordersn: `API${order_id}`,
    status: String(STATUS[status]),
    has_back_money: status === 'reversed' ? decimalText(cost_e4, 2) : '0.00',
    total_price: decimalText(cost_e4, 2),
    recharge_hints: receipt === null ? '' : `完成 ${receipt}/1`,
  };
}

function orderJson(order: ShopOrder): object {
  const { codes, status } = order;
  return { ...noticeFields(order), status: STATUS[status], recharge_info: [], card_list: codes.map(cardJson) };
}

function cardJson({ number, pin }: ShopOrder['codes'][number]): object {
  return { card_no: number, card_password: pin };
}

function goodsJson({ product, kind, cost_e4, stock, name }: ShopProduct): object {
  const goods_price = decimalText(cost_e4, 2);
  const goods = { id: Number(product), goods_name: name ?? product, goods_price, face_value: '10.00' };
  return { ...goods, goods_type: kind === 'code' ? 1 : 2, status: 1, stock_num: stock ?? 9999 };
}

function ok(data: object): Answer {
  return { status: 200, body: { code: 200, msg: 'ok', data } };
}
