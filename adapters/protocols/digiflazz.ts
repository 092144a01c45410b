// Digiflazz seen from the platform: MD5 over user name, key and one bound word; callbacks signed with HMAC-SHA1 over the
// body. The same order sent again tells its state, for 90 days; prices are whole rupiah.
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { digestOf, fieldsOf, isSame, keyedDigestOf, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const STATE: Record<ShopStatus, { status: string; rc: string; message: string }> = {
  accepted: { status: 'Pending', rc: '03', message: 'Transaksi Pending' },
  delivered: { status: 'Sukses', rc: '00', message: 'Transaksi Sukses' },
  refused: { status: 'Gagal', rc: '02', message: 'Transaksi Gagal' },
  reversed: { status: 'Gagal', rc: '74', message: 'Transaksi Refund' },
};

export const digiflazzProtocol: Protocol = {
  code: 'digiflazz',
  root: '/v1',
  currency: 'IDR',
  repeat: 'returns_original',
  products: [
    { product: 'gp10', kind: 'code', cost_e4: 106_750_000, stock: null, name: 'Voucher 10.000' },
    { product: 'tsel10', kind: 'recharge', cost_e4: 104_250_000, stock: null, name: 'Telkomsel 10.000' },
  ],
  credentials: { username: 'wigunatoko', apiKey: 'dev-2f6a90c1', webhook_secret: 'whsec-digi-77' },
  callback_secret: 'webhook_secret',
  // An order of codes has no recipient, but every transaction must name a number.
  options: () => ({ customer_no: '081300007777' }),
  refusals: {
    bad_request: [400, '40'],
    credentials: [400, '41'],
    product_unknown: [400, '43'],
    float_low: [400, '44'],
    recipient_invalid: [400, '54'],
    maintenance: [400, '55'],
    out_of_stock: [400, '68'],
    price_changed: [400, '69'],
    declined: [400, '02'],
    busy: [400, '85'],
  },
  sayNo: (status, rc) => ({ status, body: { data: { rc, status: 'Gagal', message: `Gagal ${rc}` } } }),

  open(desk) {
    return {
      route: (call) => routeOf(call, fieldsOf(call.body), desk),
      notice(order, { credentials }) {
        const body = JSON.stringify({ data: orderJson(order, desk) });
        const signature = keyedDigestOf('sha1', credentials.webhook_secret!, body);
        const event = order.status === 'accepted' ? 'create' : 'update';
        const headers = { 'x-digiflazz-event': event, 'user-agent': 'Digiflazz-Hookshot' };
        return {
          headers: { 'content-type': 'application/json', ...headers, 'x-hub-signature': `sha1=${signature}` },
          body,
        };
      },
    };
  },
};

function routeOf({ path }: Call, fields: Record<string, unknown>, desk: CounterDesk): Route | Answer | null {
  const { shop } = desk;
  switch (path) {
    case '/v1/transaction':
      return (
        strangerAt(fields, String(fields.ref_id), desk) ??
        desk.ordering(orderRequestOf(fields), (order) => ok(orderJson(order, desk)))
      );
    case '/v1/cek-saldo':
      return (
        strangerAt(fields, 'depo', desk) ??
        reading('balance', () => ok({ deposit: Number(decimalText(shop.balance_e4, 0)) }))
      );
    case '/v1/price-list':
      return strangerAt(fields, 'pricelist', desk) ?? reading('offers', () => ok(shop.products.map(productJson)));
    default:
      return null;
  }
}

/** The no for a request whose signature does not bind this word. */
function strangerAt(fields: Record<string, unknown>, word: string, desk: CounterDesk): Answer | null {
  const { username, apiKey } = desk.credentials;
  if (fields.username !== username) return digiflazzProtocol.sayNo(400, '42');
  return isSame(fields.sign, digestOf('md5', `${username}${apiKey}${word}`)) ? null : desk.refuse('credentials');
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest | null {
  const { ref_id, buyer_sku_code, customer_no, max_price, cb_url } = fields;
  const is_whole = max_price === undefined || Number.isSafeInteger(max_price);
  if (!is_whole || typeof customer_no !== 'string' || customer_no === '') return null;
  return orderFor({
    reference: ref_id,
    product: String(buyer_sku_code),
    account: customer_no,
    cost_max_e4: max_price === undefined ? null : Number(max_price) * 10_000,
    callback_url: (cb_url as string | undefined) ?? null,
  });
}

function orderJson(
  { reference, account, product, status, cost_e4, codes, receipt }: ShopOrder,
  { shop }: CounterDesk,
): object {
  return {
    ref_id: reference,
    customer_no: account,
    buyer_sku_code: product,
    ...STATE[status],
    sn: codes.map(({ number, pin }) => `${number}/${pin}`).join('') || (receipt ?? ''),
    buyer_last_saldo: Number(decimalText(shop.balance_e4, 0)),
    price: Number(decimalText(cost_e4, 0)),
  };
}

function productJson({ product, kind, cost_e4, stock, name }: ShopProduct): object {
  return {
    product_name: name ?? product,
    category: kind === 'code' ? 'Voucher' : 'Pulsa',
    brand: 'DEMO',
    price: Number(decimalText(cost_e4, 0)),
    buyer_sku_code: product,
    buyer_product_status: true,
    seller_product_status: true,
    unlimited_stock: stock === null,
    stock: stock ?? 0,
    multi: true,
    start_cut_off: '00:00',
    end_cut_off: '00:00',
  };
}

function ok(data: object): Answer {
  return { status: 200, body: { data } };
}
