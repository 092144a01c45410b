// DT One seen from the platform: Basic credentials; orders are taken first and told of later; callbacks are not signed at
// all. A price is an amount and a fee beside it.
import type { Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { fieldsOf, isSame, ok, orderFor, reading } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const CONFIRMED = { id: 20_000, message: 'CONFIRMED', class: { id: 2, message: 'CONFIRMED' } };
const STATUS: Record<ShopStatus, { id: number; message: string; class: { id: number; message: string } }> = {
  accepted: { id: 50_000, message: 'SUBMITTED', class: { id: 5, message: 'SUBMITTED' } },
  delivered: { id: 70_000, message: 'COMPLETED', class: { id: 7, message: 'COMPLETED' } },
  refused: { id: 90_000, message: 'DECLINED', class: { id: 9, message: 'DECLINED' } },
  reversed: { id: 80_000, message: 'REVERSED', class: { id: 8, message: 'REVERSED' } },
};
const FEE_E4 = 500;

export const dtoneProtocol: Protocol = {
  code: 'dtone',
  root: '/v1',
  currency: 'USD',
  repeat: 'is_rejected',
  products: [
    { product: '5001', kind: 'code', cost_e4: 98_750, stock: null, name: 'PIN 10 USD' },
    { product: '5002', kind: 'recharge', cost_e4: 97_525, stock: null, name: 'Airtime 10 USD' },
  ],
  credentials: { api_key: 'dt-key-1', api_secret: 'dt-secret-c4e2' },
  refusals: {
    credentials: [401, 1000401],
    bad_request: [400, 1000400],
    busy: [429, 1000429],
    // They have no word for sold out.
    out_of_stock: [400, 1003001],
    product_unknown: [400, 1003001],
    recipient_invalid: [400, 1005003],
    float_low: [400, 1006001],
    duplicate_reference: [400, 1007001],
  },
  sayNo: (status, code) => ({ status, body: { errors: [{ code, message: `error ${code}` }] } }),

  open(desk) {
    const { api_key, api_secret } = desk.credentials;
    const expected = `Basic ${Buffer.from(`${api_key}:${api_secret}`).toString('base64')}`;
    return {
      route: (call) =>
        isSame(call.headers.authorization, expected) ? routeOf(call, desk) : desk.refuse('credentials'),
      notice(order) {
        const body = JSON.stringify(transactionJson(order, desk));
        return { headers: { 'content-type': 'application/json' }, body };
      },
    };
  },
};

function routeOf({ method, path, query, body }: Call, desk: CounterDesk): Route | null {
  const { shop } = desk;
  const call = `${method} ${path.slice(dtoneProtocol.root.length)}`;
  if (call === 'POST /async/transactions') {
    return desk.ordering(orderRequestOf(fieldsOf(body)), (order) => ({
      status: 201,
      body: { ...transactionJson({ ...order, status: 'accepted', codes: [], receipt: null }, desk), status: CONFIRMED },
    }));
  }
  if (call === 'GET /transactions') {
    const order = shop.byReference(query.get('external_id') ?? '');
    return reading('lookup', () => ok(order ? [transactionJson(order, desk)] : []), order);
  }
  if (call.startsWith('GET /transactions/')) {
    const order = shop.byId(call.slice('GET /transactions/'.length));
    return reading(
      'lookup',
      () => (order ? ok(transactionJson(order, desk)) : dtoneProtocol.sayNo(404, 1008004)),
      order,
    );
  }
  if (call === 'GET /balances') {
    const available = Number(decimalText(shop.balance_e4));
    return reading('balance', () => ok([{ id: 1, unit: shop.currency, unit_type: 'CURRENCY', available, holding: 0 }]));
  }
  if (call !== 'GET /products') return null;
  const [page, size] = [Number(query.get('page') ?? 1), Number(query.get('per_page') ?? 50)];
  const rows = shop.products.slice((page - 1) * size, page * size).map((row) => productJson(row, shop.currency));
  const next = page * size < shop.products.length ? String(page + 1) : '';
  return reading('offers', () => ({ ...ok(rows), headers: { 'x-page': String(page), 'x-next-page': next } }));
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest | null {
  const party = fields.credit_party_identifier as { mobile_number?: string } | undefined;
  // Unconfirmed orders, numbers without a plus and product ids as text are not taken.
  const is_number = party?.mobile_number === undefined || /^\+\d+$/.test(party.mobile_number);
  if (fields.auto_confirm !== true || typeof fields.product_id !== 'number' || !is_number) return null;
  return orderFor({
    reference: fields.external_id,
    product: String(fields.product_id),
    account: party?.mobile_number ?? null,
    callback_url: (fields.callback_url as string | undefined) ?? null,
  });
}

function transactionJson(
  { order_id, reference, status, cost_e4, codes, receipt, account }: ShopOrder,
  { shop }: CounterDesk,
): object {
  const [code] = codes;
  return {
    id: Number(order_id),
    external_id: reference,
    status: STATUS[status],
    prices: { wholesale: wholesale(cost_e4, shop.currency) },
    ...(code ? { pin: { code: code.pin, serial: code.serial } } : {}),
    ...(receipt === null ? {} : { operator_reference: receipt }),
    ...(account === null ? {} : { credit_party_identifier: { mobile_number: account } }),
  };
}

function wholesale(cost_e4: number, unit: string): object {
  const amount = Number(decimalText(cost_e4 - FEE_E4));
  return { amount, fee: Number(decimalText(FEE_E4)), unit, unit_type: 'CURRENCY' };
}

function productJson({ product, kind, cost_e4, name }: ShopProduct, unit: string): object {
  return {
    id: Number(product),
    name: name ?? product,
    type: kind === 'code' ? 'FIXED_VALUE_PIN_PURCHASE' : 'FIXED_VALUE_RECHARGE',
    operator: { id: 1, name: 'Operator', country: { iso_code: 'USA' } },
    prices: { wholesale: wholesale(cost_e4, unit) },
  };
}
