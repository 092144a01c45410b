// 蓝色兄弟 Lanse Xiongdi seen from the platform: forms, upper-case MD5 over the sorted fields and `&key=`. A reply to an
// order names neither a number of theirs nor a cost, and one order is one unit.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, isSame, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopProduct, ShopStatus } from '../kit/shop.js';

const STALE_S = 300;
const UNSIGNED = ['sign', 'version', 'extendParameter'];
const STATUS: Record<ShopStatus, string> = { accepted: '02', delivered: '01', refused: '03', reversed: '03' };

export const lansexiongdiProtocol: Protocol = {
  code: 'lansexiongdi',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [{ product: '205', kind: 'recharge', cost_e4: 97_531, stock: null, name: '会员 月卡' }],
  credentials: { merchantId: '20001', key: 'ls-key-55ef' },
  callback_secret: 'key',
  refusals: {
    credentials: [200, '1003'],
    bad_request: [200, '1001'],
    duplicate_reference: [200, '1005'],
    // They have no code for sold out: such goods are suspended.
    out_of_stock: [200, '1006'],
    product_unknown: [200, '1006'],
    float_low: [200, '1008'],
    recipient_invalid: [200, '1011'],
    busy: [200, '1099'],
  },
  sayNo: (status, word) => ({ status, body: { code: word, message: `错误 ${word}` } }),

  open(desk) {
    return {
      route(call) {
        const fields = Object.fromEntries(new URLSearchParams(call.body.toString()));
        const { merchantId, timeStamp, sign } = fields;
        if (merchantId !== desk.credentials.merchantId) return lansexiongdiProtocol.sayNo(200, '1002');
        if (!isSame(sign, signatureOf(fields, desk.credentials.key!))) return desk.refuse('credentials');
        if (!(Math.abs(desk.clock() / 1000 - Number(timeStamp)) <= STALE_S)) {
          return lansexiongdiProtocol.sayNo(200, '1004');
        }
        return routeOf(call, fields, desk);
      },
      notice({ reference, account, status }, { credentials }) {
        if (status === 'accepted') return null;
        const { merchantId, key } = credentials;
        const fields = { merchantId, outTradeNo: reference, rechargeAccount: account, status: STATUS[status] };
        const told = fields as Record<string, string>;
        const body = new URLSearchParams({ ...told, sign: signatureOf(told, key!) }).toString();
        return { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
      },
    };
  },
};

function signatureOf(fields: Record<string, string>, key: string): string {
  const pairs = Object.keys(fields)
    .sort()
    .filter((name) => !UNSIGNED.includes(name) && fields[name] !== '')
    .map((name) => `${name}=${fields[name]}`);
  return digestOf('md5', `${pairs.join('&')}&key=${key}`).toUpperCase();
}

function routeOf({ path }: Call, fields: Record<string, string>, desk: CounterDesk): Route | null {
  const { shop } = desk;
  switch (path) {
    case '/recharge/order':
      return desk.ordering(orderRequestOf(fields), () => ok('2000'));
    case '/recharge/query': {
      const order = shop.byReference(fields.outTradeNo ?? '');
      const told = order ? { status: STATUS[order.status], outTradeNo: order.reference } : {};
      return reading('lookup', () => (order ? ok('0000', told) : lansexiongdiProtocol.sayNo(200, '1012')), order);
    }
    case '/recharge/info':
      return reading('balance', () => ok('0000', { balance: decimalText(shop.balance_e4, 4) }));
    case '/recharge/product':
      return reading('offers', () => ok('0000', { products: shop.products.map(productJson) }));
    default:
      return null;
  }
}

function orderRequestOf({
  outTradeNo,
  productId,
  rechargeAccount,
  number,
  notifyUrl,
}: Record<string, string>): OrderRequest | null {
  if (number !== '1' || !notifyUrl || !/^\w{2,64}$/.test(outTradeNo ?? '')) return null;
  return orderFor({
    reference: outTradeNo,
    product: String(productId),
    account: rechargeAccount ?? null,
    callback_url: notifyUrl,
  });
}

function productJson({ product, cost_e4, name }: ShopProduct): object {
  const price = decimalText(cost_e4, 4);
  return { product_id: product, channel_price: price, item_name: name ?? product, original_price: '10.0000' };
}

function ok(code: string, told: object = {}): Answer {
  return { status: 200, body: { code, message: '成功', ...told } };
}
