// The simulated suppliers' own eyes: each takes the signed request that its supplier's documents work out, and none that
// differs from it in a letter. What our adapters send plays no part here.
import { afterEach, describe, expect, test } from '@jest/globals';
import { request } from 'undici';
import type { Kind } from '../../adapters/kit/contract.js';
import { PROTOCOLS, protocolFor } from '../../adapters/protocols/register.js';
import { type Simulator, startSimulator } from '../../adapters/simulator.js';

const AT = Date.UTC(2026, 0, 1);
const JSON_TYPE = { 'content-type': 'application/json' };
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

interface Worked {
  code: string;
  credentials: Record<string, string>;
  path: string;
  headers: Record<string, string>;
  body: string;
  product: { product: string; kind: Kind; cost_e4: number };
  /** Something that the signature covers, and what a stranger would rather have there. */
  covered: [string, string];
  at?: number;
}

const form = (fields: Record<string, string>): string => new URLSearchParams(fields).toString();

const WORKED: readonly Worked[] = [
  {
    code: 'dujiao-next',
    credentials: { api_secret: 'dj-demo-secret' },
    path: '/api/v1/upstream/orders',
    headers: {
      ...JSON_TYPE,
      'dujiao-next-api-key': 'dj-key',
      'dujiao-next-timestamp': '1767225600',
      'dujiao-next-signature': 'd8f11f7282ec3744032943502cedf0c370c49f5ad393f86c00b5db18e97b6055',
    },
    body: '{"sku_id":17,"quantity":2,"downstream_order_no":"GW1","callback_url":"https://gw.example/api/v1/upstream/callback"}',
    product: { product: '17', kind: 'code', cost_e4: 10_000 },
    covered: ['"quantity":2', '"quantity":9'],
  },
  {
    code: 'kakayun',
    credentials: { key: 'kky-demo-key-0001' },
    path: '/dockapiv3/order/create',
    headers: JSON_TYPE,
    body: JSON.stringify({
      userid: 20031,
      timestamp: 1767225600,
      goodsid: 415002,
      buynum: 2,
      usorderno: 'GW20260101000001',
      attach: [
        { attachtype: '1', value: '13900001111' },
        { attachtype: '9', value: '李四' },
      ],
      callbackurl: 'https://gw.example/cb/kakayun',
      maxmoney: 23.5,
      sign: '9b3f3d7165b4999eaa668588a5bb2275',
    }),
    product: { product: '415002', kind: 'recharge', cost_e4: 117_500 },
    covered: ['13900001111', '13900001112'],
  },
  {
    code: 'kasushou',
    credentials: { apikey: 'kss-demo-key' },
    path: '/api/v1/order/buy',
    headers: {
      ...JSON_TYPE,
      UserId: '10086',
      Timestamp: '1767225600123',
      Sign: 'f86a93bf5b119d949de7ab895e671183b1af9afe',
    },
    body: '{"attach":{"recharge_account":"13900001111"},"external_orderno":"GW1","id":3111,"mark":"","quantity":1,"safe_price":"2.2","url":"https://gw.example/cb/kss"}',
    product: { product: '3111', kind: 'recharge', cost_e4: 22_000 },
    covered: ['"safe_price":"2.2"', '"safe_price":"9.2"'],
  },
  {
    code: 'fulu',
    credentials: { AppSecret: '0123456789abcdef0123456789abcdef' },
    path: '/api/getway',
    headers: JSON_TYPE,
    body: JSON.stringify({
      app_key: 'DEMOKEY',
      method: 'fulu.order.direct.add',
      timestamp: '2026-01-01 08:00:00',
      version: '2.0',
      format: 'json',
      charset: 'utf-8',
      sign_type: 'md5',
      app_auth_token: '',
      biz_content: '{"product_id":10000777,"customer_order_no":"GW1","charge_account":"13900001111","buy_num":1}',
      sign: '2e223d602d5dea5736f4e234e073c139',
    }),
    product: { product: '10000777', kind: 'recharge', cost_e4: 23_000 },
    covered: ['13900001111', '13900001112'],
  },
  {
    code: 'lansexiongdi',
    credentials: { key: 'ls-demo-key' },
    path: '/recharge/order',
    headers: FORM,
    body: form({
      accountType: '1',
      merchantId: '20001',
      notifyUrl: 'https://gw.example/cb/ls',
      number: '1',
      outTradeNo: 'GW1',
      productId: '205',
      rechargeAccount: '13900001111',
      timeStamp: '1767225600',
      version: '1.0',
      sign: '96A2CFB0D5EE62341C3521D1217EF344',
    }),
    product: { product: '205', kind: 'recharge', cost_e4: 23_000 },
    covered: ['13900001111', '13900001112'],
  },
  {
    code: 'xingquanyi',
    credentials: { key: 'xqy-demo-key' },
    path: '/api/buy',
    headers: JSON_TYPE,
    body: JSON.stringify({
      customer_id: 20777,
      outer_order_id: 'GW1',
      product_id: 2222,
      quantity: 2,
      recharge_account: '10001',
      'recharge_template_input_items[区服]': '一区',
      safe_cost: '0.6',
      timestamp: 1767225600,
      sign: '6b4e8cf3f6f86967adad3dd2578129f8',
    }),
    product: { product: '2222', kind: 'recharge', cost_e4: 6_000 },
    covered: ['一区', '二区'],
  },
  {
    code: 'xinghai',
    credentials: { appSecret: 'demoSecret000001' },
    path: '/api/order/submit',
    headers: FORM,
    body: form({
      amount: '1',
      appId: 'demoApp001',
      callbackUrl: 'https://gw.example/cb/xh',
      itemId: '100777',
      itemPrice: '9.8',
      outOrderId: 'GW1',
      timestamp: '20260101080000123',
      uuid: '13900001111',
      sign: '4edb1bdcfdfff7dfcb9fd0cae81232de',
    }),
    product: { product: '100777', kind: 'recharge', cost_e4: 98_000 },
    covered: ['13900001111', '13900001112'],
  },
  {
    code: 'yile',
    credentials: { AppId: 'demoAppId', AppSecret: 'demoAppSecret' },
    path: '/openapi/customer/Goods/Buy',
    headers: {
      ...JSON_TYPE,
      AppId: 'demoAppId',
      AppTimestamp: '1767225600',
      AppToken: '409893d4a3171d819d0e37f0e5f84221304e4817',
    },
    body: JSON.stringify({
      goods_id: 1,
      buy_number: 1,
      buy_params: { value1: '13900001111' },
      customer_order_id: 'GW1',
    }),
    product: { product: '1', kind: 'recharge', cost_e4: 23_000 },
    covered: ['1767225600', '1767225601'],
  },
  {
    code: 'digiflazz',
    credentials: { username: 'wigunatoko', apiKey: 'dev-1f2e3d4c-5b6a-7980-a1b2-c3d4e5f60718' },
    path: '/v1/transaction',
    headers: JSON_TYPE,
    body: JSON.stringify({
      username: 'wigunatoko',
      buyer_sku_code: 'tsel10',
      customer_no: '081300007777',
      ref_id: 'GW20250314-000017',
      sign: 'aceae24ca89a34a244606944b108f79b',
    }),
    product: { product: 'tsel10', kind: 'recharge', cost_e4: 106_750_000 },
    covered: ['GW20250314-000017', 'GW20250314-000018'],
  },
  {
    code: 'dtone',
    credentials: { api_key: 'dtkey-demo-1', api_secret: 'dtsecret-demo-2' },
    path: '/v1/async/transactions',
    headers: { ...JSON_TYPE, authorization: 'Basic ZHRrZXktZGVtby0xOmR0c2VjcmV0LWRlbW8tMg==' },
    body: JSON.stringify({ external_id: 'GW1', product_id: 5001, auto_confirm: true }),
    product: { product: '5001', kind: 'code', cost_e4: 98_750 },
    covered: ['LWRlbW8tMg==', 'LWRlbW8tMw=='],
  },
];

let simulator: Simulator | undefined;
afterEach(async () => {
  await simulator?.close();
});

async function send({ code, product, credentials, headers, path, body }: Worked): Promise<Simulator> {
  const products = [{ ...product, stock: null }];
  simulator = await startSimulator({ protocol: code, credentials, products, clock: () => AT });
  const { origin } = new URL(simulator.url);
  const reply = await request(origin + path, { method: 'POST', headers, body });
  await reply.body.dump();
  return simulator;
}

describe.each(WORKED)('$code', (worked) => {
  test('takes the request that the documents work out', async () => {
    expect((await send(worked)).books()).toMatchObject({ orders: 1 });
  });

  test('takes none that differs from it where the signature covers it', async () => {
    const [ours, theirs] = worked.covered.map((text) => (worked.headers === FORM ? encodeURIComponent(text) : text));
    const changed = JSON.parse(
      JSON.stringify(worked).replaceAll(JSON.stringify(ours).slice(1, -1), JSON.stringify(theirs).slice(1, -1)),
    );
    expect(JSON.stringify(changed)).not.toBe(JSON.stringify(worked));
    expect((await send(changed)).books()).toMatchObject({ orders: 0 });
  });
});

test('a protocol that nobody speaks is an error that names the others', () => {
  expect(() => protocolFor('kakayum')).toThrow(/no simulated supplier for "kakayum".*kakayun/);
});

test('a fault that a protocol has no word for is an error, and one that it has is not', async () => {
  simulator = await startSimulator({ protocol: 'lansexiongdi' });
  expect(() => simulator!.fault('maintenance')).toThrow(/lansexiongdi has no maintenance/);
  expect(() => simulator!.fault('no_codes')).toThrow(/lansexiongdi has no no_codes/);
  expect(() => simulator!.fault('out_of_stock')).not.toThrow();
});

test.each(Object.values(PROTOCOLS))('$code names a credential that signs callbacks only if it has one', (protocol) => {
  const { callback_secret, credentials } = protocol;
  expect(callback_secret === undefined || Object.hasOwn(credentials, callback_secret)).toBe(true);
});
