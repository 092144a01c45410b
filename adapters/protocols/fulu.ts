// 福禄 Fulu seen from the platform: MD5 over the sorted characters of the JSON text, on requests, on the result of replies
// and on callbacks. Cards are read by a query, sealed with AES-256-ECB under the AppSecret.
import { createCipheriv } from 'node:crypto';
import type { Answer, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STALE_MS = 600_000;
const CHINA_MS = 8 * 3_600_000;
const STATE: Record<ShopStatus, string> = {
  accepted: 'processing',
  delivered: 'success',
  refused: 'failed',
  reversed: 'failed',
};
export const fuluProtocol: Protocol = {
  code: 'fulu',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [
    { product: '10000777', kind: 'code', cost_e4: 98_123, stock: null, name: '卡密 10' },
    { product: '10000778', kind: 'recharge', cost_e4: 97_456, stock: null, name: '直充 10' },
  ],
  credentials: { app_key: 'DEMOKEY', AppSecret: 'f3a9c0e17b5d4286a1c9e07d5b38f264' },
  callback_secret: 'AppSecret',
  refusals: {
    credentials: [200, 1016],
    bad_request: [200, 3000],
    product_unknown: [200, 3001],
    maintenance: [200, 3003],
    out_of_stock: [200, 3005],
    declined: [200, 3006],
    recipient_invalid: [200, 4002],
    duplicate_reference: [200, 4010],
  },
  sayNo: (status, word) => ({ status, body: { code: word, message: `错误 ${word}`, result: null, sign: '' } }),

  open(desk) {
    return {
      route({ path, method, body }) {
        if (path !== '/api/getway' || method !== 'POST') return null;
        const { sign, ...fields } = fieldsOf(body) as Record<string, string>;
        const at_ms = Date.parse(`${fields.timestamp?.replace(' ', 'T')}Z`) - CHINA_MS;
        if (fields.app_key !== desk.credentials.app_key) return fuluProtocol.sayNo(200, 1006);
        if (!(Math.abs(desk.clock() - at_ms) <= STALE_MS)) return fuluProtocol.sayNo(200, 1004);
        if (!isSame(sign, signatureOf(JSON.stringify(fields), desk.credentials.AppSecret!))) {
          return desk.refuse('credentials');
        }
        return routeOf(String(fields.method), fieldsOf(String(fields.biz_content)), desk);
      },
      notice(order, { credentials }) {
        if (order.status === 'accepted') return null;
        const fields = noticeFields(order);
        const sign = signatureOf(JSON.stringify(fields), credentials.AppSecret!);
        const body = new URLSearchParams({ ...fields, sign }).toString();
        return { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
      },
    };
  },
};

function signatureOf(text: string, secret: string): string {
  const characters = [...text].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  return digestOf('md5', characters.join('') + secret);
}

function routeOf(method: string, asked: Record<string, unknown>, desk: CounterDesk): Route | Answer | null {
  const { shop } = desk;
  if (method === 'fulu.order.direct.add' || method === 'fulu.order.card.add') {
    const kind = method === 'fulu.order.card.add' ? 'code' : 'recharge';
    const request = orderRequestOf(asked);
    // A product of the other kind is refused before anything else is looked at.
    if ((shop.product(request.product)?.kind ?? kind) !== kind) return fuluProtocol.sayNo(200, 3008);
    return desk.ordering(request, (order) => ok(orderJson(order, null), desk));
  }
  if (method === 'fulu.order.info.get') {
    const order = shop.byReference(String(asked.customer_order_no));
    const key = desk.credentials.AppSecret!;
    return reading('lookup', () => (order ? ok(orderJson(order, key), desk) : fuluProtocol.sayNo(200, 4011)), order);
  }
  if (method === 'fulu.goods.list.get') return reading('offers', () => ok(shop.products.map(goodsJson), desk));
  if (method === 'fulu.user.info.get') {
    return reading('balance', () => ok({ balance: Number(decimalText(shop.balance_e4)) }, desk));
  }
  return null;
}

function orderRequestOf(asked: Record<string, unknown>): OrderRequest {
  return orderFor({
    reference: asked.customer_order_no,
    product: String(asked.product_id),
    quantity: Number(asked.buy_num),
    account: (asked.charge_account as string | undefined) ?? null,
  });
}

/** `key` seals the cards; null leaves them out, as the reply to an order does. */
function orderJson({ order_id, reference, kind, quantity, status, ...order }: ShopOrder, key: string | null): object {
  return {
    order_id,
    customer_order_no: reference,
    product_id: Number(order.product),
    buy_num: quantity,
    order_type: kind === 'code' ? 3 : 4,
    order_price: Number(decimalText(order.cost_e4 / quantity)),
    order_state: STATE[status],
    operator_serial_number: order.receipt ?? '',
    ...(key !== null && order.codes.length > 0 ? { cards: order.codes.map((code) => cardJson(code, key)) } : {}),
  };
}

function cardJson({ number, pin }: ShopOrder['codes'][number], key: string): object {
  const seal = (text: string) => {
    const cipher = createCipheriv('aes-256-ecb', Buffer.from(key, 'ascii'), null);
    return Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]).toString('base64');
  };
  return { card_type: 0, card_number: seal(number), card_pwd: seal(pin), card_deadline: '2030-12-31 23:59:59' };
}

function noticeFields({ order_id, reference, status, product, cost_e4, quantity, receipt }: ShopOrder) {
  return {
    order_id,
    charge_finish_time: '2026-01-01 08:00:00',
    customer_order_no: reference,
    order_status: STATE[status],
    recharge_description: status === 'delivered' ? '充值成功' : '充值失败',
    product_id: product,
    price: decimalText(cost_e4 / quantity, 4),
    buy_num: String(quantity),
    operator_serial_number: receipt ?? '',
  };
}

function goodsJson({ product, kind, cost_e4, stock, name }: ShopProduct): object {
  const product_type = kind === 'code' ? '卡密' : '直充';
  const goods = { product_id: Number(product), product_name: name ?? product, product_type, face_value: 10 };
  const states = { stock_status: stock === 0 ? '断货' : '充足', sales_status: '上架' };
  return { ...goods, purchase_price: Number(decimalText(cost_e4)), ...states };
}

function ok(data: object, { credentials }: CounterDesk): Answer {
  const result = JSON.stringify(data);
  const sign = signatureOf(result, credentials.AppSecret!);
  return { status: 200, body: { code: 0, message: '接口调用成功', result, sign } };
}
