// Reloadly seen from the platform, gift cards and airtime on one host: OAuth client credentials, then a bearer token. Codes
// of a gift card are read by a call of their own, and a card number is a bare JSON number wherever JSON allows it.
import { randomBytes } from 'node:crypto';
import type { Answer, Call, CounterDesk, Protocol, Route } from '../kit/protocol.js';
import { fieldsOf, keyedDigestOf, ok, orderFor, reading, tokenBook } from '../kit/protocol.js';
import { decimalText } from '../kit/reading.js';
import type { OrderRequest, ShopOrder, ShopProduct, ShopStatus } from '../kit/shop.js';

const TOKEN_MS = 86_400_000;
const STATUS: Record<ShopStatus, string> = {
  accepted: 'PROCESSING',
  delivered: 'SUCCESSFUL',
  refused: 'FAILED',
  reversed: 'REFUNDED',
};
/** Errors without a code of their own. */
const [SOLD_OUT, USED] = ['The product is out of stock', 'The customIdentifier was used before'];

export const reloadlyProtocol: Protocol = {
  code: 'reloadly',
  root: '',
  currency: 'USD',
  repeat: 'is_rejected',
  products: [
    { product: '120:10', kind: 'code', cost_e4: 98_700, stock: null, name: 'Gift card' },
    { product: '341:5', kind: 'recharge', cost_e4: 48_500, stock: null, name: 'Airtime' },
  ],
  credentials: { client_id: 'rl-client', client_secret: 'rl-secret-80b3', webhook_secret: 'rl-whsec-19' },
  callback_secret: 'webhook_secret',
  options: (url) => ({ auth_url: `${url}/oauth/token`, countryCode: 'CN' }),
  refusals: {
    credentials: [401, 'INVALID_TOKEN'],
    bad_request: [400, 'INVALID_AMOUNT'],
    float_low: [400, 'INSUFFICIENT_BALANCE'],
    product_unknown: [400, 'OPERATOR_UNAVAILABLE_OR_CURRENTLY_INACTIVE'],
    maintenance: [400, 'OPERATOR_NOT_IN_SERVICE'],
    recipient_invalid: [400, 'INVALID_RECIPIENT_PHONE'],
    out_of_stock: [400, SOLD_OUT],
    duplicate_reference: [400, USED],
    busy: [429, 'TOO_MANY_REQUESTS'],
  },
  sayNo(status, word) {
    const has_code = word !== SOLD_OUT && word !== USED;
    return { status, body: { message: word, path: '/', errorCode: has_code ? word : null, details: [] } };
  },

  open(desk) {
    const tokens = tokenBook(desk.clock);
    return {
      route(call) {
        if (`${call.method} ${call.path}` === 'POST /oauth/token') return tokenRoute(call, desk, tokens);
        const state = tokens.stateOf(call.headers);
        if (state === 'open') return routeOf(call, desk);
        return state === 'ended' ? reloadlyProtocol.sayNo(401, 'TOKEN_EXPIRED') : desk.refuse('credentials');
      },
      notice({ kind, order_id, reference, status }, { credentials }) {
        const type = kind === 'code' ? 'giftcard_transaction.status' : 'airtime_transaction.status';
        const data = { transactionId: Number(order_id), customIdentifier: reference, status: STATUS[status] };
        const body = JSON.stringify({ id: `evt_${order_id}`, type, data });
        const stamp = String(desk.clock());
        const signature = keyedDigestOf('sha256', credentials.webhook_secret!, `${body}:${stamp}`);
        const headers = { 'x-reloadly-request-timestamp': stamp, 'x-reloadly-signature': signature };
        return { headers: { 'content-type': 'application/json', ...headers }, body };
      },
    };
  },
};

type Tokens = ReturnType<typeof tokenBook>;

function tokenRoute({ headers, body }: Call, { credentials }: CounterDesk, tokens: Tokens): Route | Answer {
  const asked = fieldsOf(body);
  const is_ours = asked.client_id === credentials.client_id && asked.client_secret === credentials.client_secret;
  if (!is_ours) return reloadlyProtocol.sayNo(401, 'INVALID_CREDENTIALS');
  if (asked.audience !== `http://${headers.host}`) return reloadlyProtocol.sayNo(401, 'INVALID_AUDIENCE');
  if (asked.grant_type !== 'client_credentials') return reloadlyProtocol.sayNo(400, 'INVALID_AMOUNT');
  return reading('session', () => {
    const access_token = tokens.issue(randomBytes(24).toString('hex'), TOKEN_MS);
    return ok({ access_token, scope: 'all', expires_in: TOKEN_MS / 1000, token_type: 'Bearer' });
  });
}

function routeOf({ method, path, query, body }: Call, desk: CounterDesk): Route | null {
  const { shop } = desk;
  const call = `${method} ${path}`;
  if (call === 'POST /orders' || call === 'POST /topups') {
    return desk.ordering(orderRequestOf(fieldsOf(body)), (order) => ok(orderJson(order, desk)));
  }
  const cards = /^GET \/orders\/transactions\/(\d+)\/cards$/.exec(call)?.[1];
  if (cards) return reading('lookup', () => cardsAnswer(shop.byId(cards)));
  const airtime = /^GET \/topups\/(\d+)\/status$/.exec(call)?.[1];
  if (airtime) return one(airtime, desk, (transaction) => ({ code: 'STATUS', transaction }));
  const gift_card = /^GET \/reports\/transactions\/(\d+)$/.exec(call)?.[1];
  if (gift_card) return one(gift_card, desk, (transaction) => transaction);
  if (/^GET (\/topups)?\/reports\/transactions$/.test(call)) {
    const order = shop.byReference(query.get('customIdentifier') ?? '');
    return reading('lookup', () => ok({ content: order ? [orderJson(order, desk)] : [] }), order);
  }
  if (call === 'GET /accounts/balance') {
    return reading('balance', () => ok({ balance: Number(decimalText(shop.balance_e4)), currencyCode: shop.currency }));
  }
  if (call !== 'GET /operators') return null;
  const airtimes = shop.products.filter(({ kind }) => kind === 'recharge');
  const content = airtimes.map((row) => operatorJson(row, shop.currency));
  return reading('offers', () => ok({ content, last: true }));
}

function one(id: string, desk: CounterDesk, show: (transaction: object) => object): Route {
  const order = desk.shop.byId(id);
  const answer = () =>
    order ? ok(show(orderJson(order, desk))) : reloadlyProtocol.sayNo(404, 'TRANSACTION_NOT_FOUND');
  return reading('lookup', answer, order);
}

function orderRequestOf(fields: Record<string, unknown>): OrderRequest {
  const phone = fields.recipientPhone as { number?: string; countryCode?: string } | undefined;
  return orderFor({
    reference: fields.customIdentifier,
    product: `${fields.productId ?? fields.operatorId}:${fields.unitPrice ?? fields.amount}`,
    quantity: Number(fields.quantity ?? 1),
    account: (phone?.countryCode && phone.number) ?? null,
  });
}

function orderJson({ order_id, reference, status, cost_e4, kind, receipt }: ShopOrder, { shop }: CounterDesk): object {
  const [cost, currencyCode] = [Number(decimalText(cost_e4)), shop.currency];
  const told = { transactionId: Number(order_id), status: STATUS[status], customIdentifier: reference };
  const paid = { amount: 10, discount: 0.13, fee: 0, currencyCode, balanceInfo: { cost, currencyCode } };
  return { ...told, ...paid, ...(kind === 'recharge' ? { operatorTransactionId: receipt } : {}) };
}

function cardsAnswer(order: ShopOrder | null): Answer {
  if (order?.status !== 'delivered') return reloadlyProtocol.sayNo(404, 'TRANSACTION_NOT_FOUND');
  const cards = order.codes.map(({ number, pin }) => {
    const bare = number.startsWith('0') ? JSON.stringify(number) : number;
    return `{"cardNumber":${bare},"pinCode":${JSON.stringify(pin)},"redemptionUrl":null}`;
  });
  return { status: 200, body: `[${cards.join(',')}]` };
}

function operatorJson({ product, cost_e4, name }: ShopProduct, senderCurrencyCode: string): object {
  const [id, amount] = product.split(':').map(Number);
  const internationalDiscount = Number(decimalText(1_000_000 - (cost_e4 / Number(amount)) * 100));
  return { id, name, pin: false, senderCurrencyCode, fixedAmounts: [amount], internationalDiscount, status: 'ACTIVE' };
}
