// 星海 Xinghai seen from the platform: MD5 over the sorted fields with the secret among them as a field. Cards are sealed
// with AES under the secret, and who asks for an order too early is told to slow down.
import { createCipheriv } from 'node:crypto';
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, isSame, orderFor, reading } from '../kit/protocol.js';
import { decimalText, toE4 } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const EARLY_MS = { code: 60_000, recharge: 180_000 };
const STATUS: Record<ShopStatus, string> = { accepted: '1', delivered: '2', refused: '3', reversed: '3' };
type Form = Record<string, string>;

export const xinghaiProtocol: Protocol = {
  code: 'xinghai',
  root: '',
  currency: 'CNY',
  repeat: 'is_rejected',
  products: [
    { product: '100778', kind: 'code', cost_e4: 98_120, stock: null, name: '卡密 10' },
    { product: '100777', kind: 'recharge', cost_e4: 97_510, stock: null, name: '直充 10' },
  ],
  credentials: { appId: 'demoApp001', appSecret: 'xh-secret-00061c' },
  callback_secret: 'appSecret',
  refusals: {
    maintenance: [200, '-10'],
    declined: [200, '-12'],
    recipient_invalid: [200, '-12'],
    bad_request: [200, '-12'],
    busy: [200, '-13'],
    credentials: [200, '-14'],
    product_unknown: [200, '-15'],
    price_changed: [200, '-15'],
    duplicate_reference: [200, '-16'],
    float_low: [200, '-18'],
    out_of_stock: [200, '-21'],
  },
  sayNo: (status, code) => ({ status, body: { code, msg: `错误 ${code}` } }),

  open(desk) {
    /** Reference → when its order came. */
    const came_at = new Map<string, number>();
    return {
      route(call) {
        const form = Object.fromEntries(new URLSearchParams(call.body.toString()));
        const is_ours = form.appId === desk.credentials.appId && /^\d{17}$/.test(form.timestamp ?? '');
        const expected = signatureOf(form, desk.credentials.appSecret!);
        return is_ours && isSame(form.sign, expected) ? routeOf(call, form, desk, came_at) : desk.refuse('credentials');
      },
      // How the cards of a callback are signed is not established: it is sent without them.
      notice({ status, order_id, reference, kind }, { credentials }) {
        if (status === 'accepted' || kind === 'code') return null;
        const order = { orderId: `X${order_id}`, outOrderId: reference, orderStatus: STATUS[status] };
        const form = { appId: credentials.appId!, ...order, orderDesc: '充值成功', completeTime: '20260101080130' };
        const body = new URLSearchParams({ ...form, sign: signatureOf(form, credentials.appSecret!) }).toString();
        return { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
      },
    };
  },
};

function signatureOf({ sign: _, ...form }: Form, appSecret: string): string {
  const filled = Object.entries({ ...form, appSecret }).filter(([, value]) => value !== '');
  const pairs = filled.map(([name, value]) => ({ name, text: `${name}=${value}` }));
  pairs.sort((a, b) => (a.name < b.name ? -1 : 1));
  return digestOf('md5', pairs.map(({ text }) => text).join('&'));
}

function routeOf({ path }: Call, form: Form, desk: CounterDesk, came_at: Map<string, number>): Route | Answer | null {
  const { shop, clock } = desk;
  switch (path) {
    case '/api/card/get':
    case '/api/order/submit': {
      const request = orderRequestOf(form);
      const is_code = path === '/api/card/get';
      if ((shop.product(request.product)?.kind ?? 'none') !== (is_code ? 'code' : 'recharge'))
        return desk.refuse('product_unknown');
      return desk.ordering(request, (order) => {
        came_at.set(order.reference, clock());
        return taken({ ...orderJson(order), ...(is_code ? cardsOf(order, desk) : {}) });
      });
    }
    case '/api/order/query': {
      const order = shop.byReference(form.outOrderId ?? '');
      const is_early = order && clock() - came_at.get(order.reference)! < EARLY_MS[order.kind];
      if (is_early) return desk.refuse('busy');
      const found = order
        ? { ...orderJson(order), orderStatus: STATUS[order.status], ...cardsOf(order, desk) }
        : { orderStatus: '4' };
      return reading('lookup', () => taken(found), order);
    }
    case '/api/account/balance':
      return reading('balance', () => taken({ balance: decimalText(shop.balance_e4), creditQuota: '0' }));
    case '/api/item/query':
      return reading('offers', () => taken({ data: shop.products.map(itemJson) }));
    default:
      return null;
  }
}

function orderRequestOf({ outOrderId, itemId, amount, uuid, itemPrice, callbackUrl }: Form): OrderRequest {
  return orderFor({
    reference: outOrderId,
    product: String(itemId),
    quantity: Number(amount ?? 1),
    account: uuid ?? null,
    cost_max_e4: itemPrice === undefined ? null : toE4(itemPrice) * Number(amount ?? 1),
    callback_url: callbackUrl ?? null,
  });
}

function orderJson({ order_id, reference, cost_e4 }: ShopOrder): object {
  return { orderId: `X${order_id}`, outOrderId: reference, cost: decimalText(cost_e4) };
}

function cardsOf({ codes }: ShopOrder, { credentials }: CounterDesk): object {
  if (codes.length === 0) return {};
  const key = Buffer.from(credentials.appSecret!);
  const seal = (text: string) => {
    const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null);
    return Buffer.concat([cipher.update(text), cipher.final()]).toString('base64');
  };
  const cardType = 'NUMBER_PASSWORD';
  return { cardData: codes.map(({ number, pin }) => ({ cardType, cardNo: seal(number), cardPwd: seal(pin) })) };
}

function itemJson({ product, kind, cost_e4, name }: ShopProduct): object {
  const item = { itemId: product, itemName: name, itemType: kind === 'code' ? '1' : '0', itemFace: '10' };
  return { ...item, status: '1', price: decimalText(cost_e4) };
}

function taken(told: object): Answer {
  return { status: 200, body: { code: '00', msg: 'ok', ...told } };
}
