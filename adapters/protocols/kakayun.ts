// 卡卡云 Kakayun seen from the platform: MD5 over the sorted fields with the merchant key behind them, both ways. Creating
// an order answers with its number alone; cost and cards come by a query or a callback.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, orderFor, reading } from '../kit/protocol.js';
import { decimalText, toE4 } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STALE_S = 300;
const STATUS: Record<ShopStatus, number> = { accepted: 3, delivered: 5, refused: 4, reversed: 5 };

export const kakayunProtocol: Protocol = {
  code: 'kakayun',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [
    { product: '415002', kind: 'code', cost_e4: 98_765, stock: null, name: '充值卡 10' },
    { product: '415003', kind: 'recharge', cost_e4: 97_531, stock: null, name: '直充 10' },
  ],
  credentials: { userid: '20031', key: 'kky-key-41c7d2' },
  callback_secret: 'key',
  options: (query_url) => ({ query_url }),
  refusals: {
    credentials: [200, 401],
    bad_request: [200, 1203],
    duplicate_reference: [200, 1205],
    product_unknown: [200, 1206],
    recipient_invalid: [200, 1208],
    price_changed: [200, 1210],
    float_low: [200, 1213],
    busy: [200, 404],
    // They have no code of their own for it.
    out_of_stock: [200, -1],
    declined: [200, -1],
  },
  sayNo: (status, word) => ({ status, body: { code: word, msg: `错误 ${word}`, data: null } }),

  open(desk) {
    return {
      route(call) {
        const fields = fieldsOf(call.body);
        const { userid, timestamp, sign } = fields;
        if (String(userid) !== desk.credentials.userid) return kakayunProtocol.sayNo(200, 1000);
        if (Math.abs(desk.clock() / 1000 - Number(timestamp)) > STALE_S) return kakayunProtocol.sayNo(200, 403);
        if (!isSame(sign, signatureOf(fields, desk.credentials.key!))) return desk.refuse('credentials');
        return routeOf(call, fields, desk);
      },
      notice(order, { credentials }) {
        const push_type = order.kind === 'code' ? 1 : 0;
        const fields = { push_type, ...orderJson(order), timestamp: Math.floor(desk.clock() / 1000) };
        const body = JSON.stringify({ ...fields, sign: signatureOf(fields, credentials.key!) });
        return { headers: { 'content-type': 'application/json;charset=utf-8' }, body };
      },
    };
  },
};

function signatureOf(fields: Record<string, unknown>, key: string): string {
  const pairs = Object.keys(fields)
    .sort()
    .filter((name) => name !== 'sign' && fields[name] !== null && fields[name] !== '')
    .map((name) => {
      const value = fields[name];
      return `${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`;
    });
  return digestOf('md5', pairs.join('&') + key);
}

function routeOf({ path }: Call, fields: Record<string, unknown>, desk: CounterDesk): Route | null {
  const { shop } = desk;
  switch (path) {
    case '/dockapiv3/order/create':
      return desk.ordering(orderRequestOf(fields), ({ order_id, reference }) =>
        ok({ orderno: `SD${order_id}`, usorderno: reference }),
      );
    case '/dockapiv3/order/get': {
      const order = shop.byReference(String(fields.usorderno));
      return reading('lookup', () => (order ? ok(orderJson(order)) : kakayunProtocol.sayNo(200, 1301)), order);
    }
    case '/dockapiv3/user/info':
      return reading('balance', () => ok({ money: decimalText(shop.balance_e4), creditquota: '0.0000' }));
    case '/dockapiv3/goods/all': {
      const [page, limit] = [Number(fields.page ?? 1), Number(fields.limit ?? 10)];
      const rows = shop.products.slice((page - 1) * limit, page * limit).map(goodsJson);
      return reading('offers', () => ok(rows));
    }
    case '/dockapiv3/goods/subscribe': {
      const goods = [fields.goodsid].flat();
      const is_known = goods.every((id) => shop.products.some(({ product }) => product === String(id)));
      return reading('offers', () => (goods.length <= 100 && is_known ? ok({}) : kakayunProtocol.sayNo(200, 1207)));
    }
    default:
      return null;
  }
}

function orderRequestOf({
  usorderno,
  goodsid,
  buynum,
  attach,
  maxmoney,
  callbackurl,
}: Record<string, unknown>): OrderRequest {
  const several = Array.isArray(attach) ? (attach as { attachtype: string; value: string }[]) : [];
  const account = typeof attach === 'string' ? attach : several.find(({ attachtype }) => attachtype === '1')?.value;
  return orderFor({
    reference: usorderno,
    product: String(goodsid),
    quantity: Number(buynum),
    account: account ?? null,
    cost_max_e4: maxmoney === undefined ? null : toE4(String(maxmoney)),
    callback_url: (callbackurl as string | undefined) ?? null,
  });
}

function orderJson({ order_id, reference, cost_e4, quantity, status, receipt, codes, kind }: ShopOrder): object {
  const is_refunded = status === 'refused' || status === 'reversed';
  const cards = codes.map(({ number, pin }) => ({
    card_no: number,
    card_pwd: pin,
    card_type: 1,
    card_denomination: 10,
  }));
  return {
    orderno: `SD${order_id}`,
    usorderno: reference,
    money: decimalText(cost_e4, 4),
    buynum: quantity,
    status: STATUS[status],
    refundstatus: is_refunded ? 1 : 0,
    refundmoney: is_refunded ? decimalText(cost_e4, 4) : '0.0000',
    receipt: receipt ?? '',
    refundreceipt: '',
    ...(kind === 'code' ? { cardlist: codes.map(({ number, pin }) => `卡号：${number}/${pin}\r`), cards } : {}),
  };
}

function goodsJson({ product, kind, cost_e4, stock, name }: ShopProduct): object {
  const goodstype = kind === 'recharge' ? 1 : 0;
  const goodsprice = decimalText(cost_e4, 4);
  return { goodsid: product, goodsname: name ?? product, goodsprice, goodsstatus: 1, goodstype, stock: stock ?? 9999 };
}

function ok(data: object): Answer {
  return { status: 200, body: { code: 1, msg: 'ok', data } };
}
