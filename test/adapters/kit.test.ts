// The adapter kit against published vectors (RFC 1321, 2202, 4231, 6229, 7617, FIPS 81 and 197, Standard Webhooks) and
// against the vectors of the suppliers' own documents.
import { describe, expect, test } from '@jest/globals';
import forge from 'node-forge';
import {
  type Code,
  type Outcome,
  SaidNo,
  Secret,
  Unreadable,
  type Wire,
  WireFailure,
} from '../../adapters/kit/contract.js';
import { checkOutcome, doubtOf, isRealCode, outcomeOf, watchPurchase } from '../../adapters/kit/doubt.js';
import * as legacy from '../../adapters/kit/legacy.js';
import * as outcomes from '../../adapters/kit/outcomes.js';
import * as read from '../../adapters/kit/reading.js';
import { scrub } from '../../adapters/kit/scrub.js';
import * as sign from '../../adapters/kit/signing.js';
import { template } from '../../adapters/kit/template.js';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const reply = (status: number, body: string | Buffer) => ({ status, headers: {}, body: Buffer.from(body) });

describe('digests', () => {
  test('MD5, SHA-1 and SHA-2 give the published values in every form', () => {
    expect(sign.md5('abc')).toBe('900150983cd24fb0d6963f7d28e17f72');
    expect(sign.md5('abc', 'HEX')).toBe('900150983CD24FB0D6963F7D28E17F72');
    expect(sign.sha1('abc')).toBe('a9993e364706816aba3e25717850c26c9cd0d89d');
    expect(sign.sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(sign.md5('abc', 'base64')).toBe('kAFQmDzST7DWlj99KOF/cg==');
  });
  test('HMAC gives the values of RFC 2202 and RFC 4231', () => {
    expect(sign.hmac('md5', 'Jefe', 'what do ya want for nothing?')).toBe('750c783e6ab0b503eaa86e310a5db738');
    expect(sign.hmac('sha1', 'Jefe', 'what do ya want for nothing?')).toBe('effcdf6ae5eb2fa2d27416d5f184df9c259a7c79');
    expect(sign.hmacSha256('Jefe', 'what do ya want for nothing?')).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });
  test('texts are compared whole, and a missing one equals nothing', () => {
    expect(sign.sameText('abc', 'abc')).toBe(true);
    expect(sign.sameText('abc', 'abd')).toBe(false);
    expect(sign.sameText('abc', 'abcd')).toBe(false);
    expect(sign.sameText(undefined, undefined)).toBe(false);
    expect(sign.sameHex('ABCD', 'abcd')).toBe(true);
  });
  test('Basic gives the example of RFC 7617', () => {
    expect(sign.basic('Aladdin', 'open sesame')).toBe('Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==');
    expect(sign.basic('dtkey-demo-1', 'dtsecret-demo-2')).toBe('Basic ZHRrZXktZGVtby0xOmR0c2VjcmV0LWRlbW8tMg==');
  });
  test('Standard Webhooks gives the example of its specification', () => {
    expect(
      sign.standardWebhook(
        'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
        'msg_p5jXN8AQM9LWM0D4loKWxJek',
        '1614265330',
        '{"test": 2432232314}',
      ),
    ).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });
});

describe('texts to sign', () => {
  test('sorted pairs drop what is empty, leave out what is named, and take lists as JSON (Kakayun)', () => {
    const fields = {
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
      empty: '',
      absent: null,
      sign: 'x',
    };
    const text = sign.joinFields(fields, { omit: ['sign'] });
    expect(sign.md5(`${text}kky-demo-key-0001`)).toBe('9b3f3d7165b4999eaa668588a5bb2275');
  });
  test('a received callback signs the number tokens as they came (Kakayun)', () => {
    const body = read.objectAt(
      read.parseJson(
        '{"push_type":1,"orderno":"SD0001","usorderno":"GW20260101000001","money":"23.5000","status":5,"refundstatus":0,' +
          '"refundmoney":"0.0000","receipt":"","refundreceipt":"","cardlist":["卡号：AB/12\\r"],"cards":[{"card_no":"AB/12",' +
          '"card_pwd":"","card_type":1,"card_denomination":100,"card_expire_at":1798761600}],"timestamp":1767225660,"sign":"x"}',
      ),
      '',
    );
    const text = sign.joinFields(body, { omit: ['sign'] });
    expect(sign.md5(`${text}kky-demo-key-0001`)).toBe('c70b5d05c48da1bf73b19e8b53e10671');
  });
  test('names and values without anything between, key first (Xingquanyi)', () => {
    const fields = {
      customer_id: 20777,
      timestamp: 1767225600,
      product_id: 2222,
      quantity: 2,
      recharge_account: '10001',
      outer_order_id: 'GW1',
      safe_cost: '0.6',
      'recharge_template_input_items[区服]': '一区',
    };
    expect(sign.md5(`xqy-demo-key${sign.concatFields(fields)}`)).toBe('6b4e8cf3f6f86967adad3dd2578129f8');
  });
  test('a fixed list of names keeps its order and its gaps', () => {
    expect(sign.joinFields({ b: 2, a: 1 }, { order: ['b', 'gone', 'a'], empty: 'keep' })).toBe('b=2&gone=&a=1');
    expect(sign.joinFields({ b: 2, a: 1 }, { order: ['b', 'gone', 'a'] })).toBe('b=2&a=1');
  });
  test('upper MD5 with &key= (Lanse Xiongdi)', () => {
    const fields = {
      merchantId: '20001',
      outTradeNo: 'GW1',
      productId: '205',
      rechargeAccount: '13900001111',
      accountType: '1',
      number: '1',
      timeStamp: '1767225600',
      notifyUrl: 'https://gw.example/cb/ls',
      version: '1.0',
      extendParameter: '{}',
    };
    const text = sign.joinFields(fields, { omit: ['sign', 'version', 'extendParameter'] });
    expect(sign.md5(`${text}&key=ls-demo-key`, 'HEX')).toBe('96A2CFB0D5EE62341C3521D1217EF344');
  });
  test('sorted characters of JSON (Fulu), Chinese included', () => {
    const biz = { product_id: 10000777, customer_order_no: 'GW1', charge_account: '13900001111', buy_num: 1 };
    const fields = {
      app_key: 'DEMOKEY',
      method: 'fulu.order.direct.add',
      timestamp: '2026-01-01 08:00:00',
      version: '2.0',
      format: 'json',
      charset: 'utf-8',
      sign_type: 'md5',
      app_auth_token: '',
      biz_content: sign.compactJson(biz),
    };
    const secret = '0123456789abcdef0123456789abcdef';
    const signed = (text: string) => sign.md5(sign.sortCharacters(text) + secret);
    expect(signed(sign.compactJson(fields))).toBe('2e223d602d5dea5736f4e234e073c139');
    expect(signed('{"order_id":"1","order_state":"success"}')).toBe('ddb7d71f9ff6b8e912153f56dca86aaf');
    expect(
      signed(
        '{"order_id":"260101001","charge_finish_time":"2026-01-01 08:01:00","customer_order_no":"GW1","order_status":"success",' +
          '"recharge_description":"充值成功","product_id":"10000777","price":"2.3000","buy_num":"1","operator_serial_number":"S1"}',
      ),
    ).toBe('ca747ef7656276d43e19a69c34c39740');
  });
  test('time, JSON with its top names sorted, key, by SHA-1; a callback escapes slashes (Kasushou)', () => {
    const order = {
      id: 3111,
      quantity: 1,
      external_orderno: 'GW1',
      url: 'https://gw.example/cb/kss',
      safe_price: '2.2',
      mark: '',
      attach: { recharge_account: '13900001111' },
    };
    expect(sign.sha1(`1767225600123${sign.compactJson(order, { sort: 'top' })}kss-demo-key`)).toBe(
      'f86a93bf5b119d949de7ab895e671183b1af9afe',
    );
    const callback = {
      status: '3',
      ordersn: 'API1',
      external_orderno: 'GW1',
      has_back_money: '0.00',
      time: '1767225660123',
      total_price: '2.20',
      recharge_hints: '完成 a/b',
    };
    const text = sign.compactJson(callback, { sort: 'top', escape_slashes: true });
    expect(sign.sha1(`1767225660123${text}kss-demo-key`)).toBe('4e53bc69fa826a06284824fe28c431d7de1aea4c');
  });
  test('method, encoded URL and encoded deep-sorted body, by HMAC-SHA512 (Woohoo)', () => {
    const secret = 'demo-client-secret';
    const url = 'https://sandbox.woohoo.in/rest/v3/orders';
    const body = sign.compactJson({ q: [{ f: 1, d: 2 }], a: 'something' }, { sort: 'deep' });
    expect(sign.hmac('sha512', secret, `POST&${sign.percentEncode(url)}&${sign.percentEncode(body)}`)).toBe(
      'd77fc98f2aefefc6c15a4fab0d28cdb6d0eb01c9b9cd60661911e751be5724544bdf9d3315d504a69ab90e0865185737e924c5696fd6e9f2c1b0db55a02e0a26',
    );
    const listed = sign.sortQuery(
      'https://sandbox.woohoo.in/rest/v3/catalog/categories/121/products?offset=0&limit=100',
    );
    expect(sign.hmac('sha512', secret, `GET&${sign.percentEncode(listed)}`)).toBe(
      'e4a1c5e68ccc67d41906d7bff1bb090073525058fcf1ae131db1b47805ab752bd0e733b0c019433dfd5c62826f615fa92ea0b22f3d4c7f488a3ae77cc13d374a',
    );
    const marks = {
      refno: 'GWDEMO0001',
      syncOnly: true,
      products: [{ sku: 'DEMOSKU', price: '100.00', qty: 1, currency: '356' }],
      remarks: "it's a (test)!",
    };
    expect(
      sign.hmac(
        'sha512',
        secret,
        `POST&${sign.percentEncode(url)}&${sign.percentEncode(sign.compactJson(marks, { sort: 'deep' }))}`,
      ),
    ).toBe(
      'b31bf513a9270126a38641f36f9acca96ea650ade314ddc74f2ce46a4f38f9cdae85968436b2a7bf5e2fd146cef7d21a79891f286af2a0f59b0424cc29ef94e8',
    );
  });
  test('PHP query rules', () => {
    const fields = { a: { b: ['x y', ''], c: null }, t: true, f: false, e: '', 中: '~' };
    expect(sign.phpQuery(fields)).toBe('a%5Bb%5D%5B0%5D=x+y&a%5Bb%5D%5B1%5D=&t=1&f=0&e=&%E4%B8%AD=%7E');
    expect(sign.phpQuery({ sku: { 面值: '10' } }, (text) => text)).toBe('sku[面值]=10');
  });
  test('JSON of a received body comes out as it came in', () => {
    const text = '{"a":1.50,"b":12345678901234567890,"c":[1e3,"中"],"d":null,"e":"\\u2028"}';
    expect(sign.compactJson(read.parseJson(text))).toBe(text.replace('\\u2028', '\u2028'));
    expect(sign.compactJson({ a: '中' }, { escape_unicode: true })).toBe('{"a":"\\u4e2d"}');
  });
});

describe('reading', () => {
  test('a bare number of many digits stays the code it is', () => {
    const body = read.readJson(reply(200, '{"cardNumber":1234567890123456789,"pinCode":0}'));
    expect(read.textAt(body, 'cardNumber')).toBe('1234567890123456789');
    expect(read.textAt(body, 'pinCode')).toBe('0');
  });
  test('what is not JSON is unreadable, and HTTP 500 and above says nothing', () => {
    for (const body of ['', ' ', '<html></html>', '{"a":', '{"a":1} x', '{"a":1,"a":2}']) {
      expect(() => read.readJson(reply(200, body))).toThrow(Unreadable);
    }
    expect(() => read.readJson(reply(503, '{"a":1}'))).toThrow(
      expect.objectContaining({ doubt: 'http_5xx', status: 503 }),
    );
    expect(read.readJson(reply(503, '{"a":true}'), { allow_5xx: true })).toEqual({ a: true });
    expect(() => read.readJson(reply(200, Buffer.from([0x7b, 0xff, 0x7d])))).toThrow(Unreadable);
  });
  test('a missing field is named by its path, and no content is shown', () => {
    const body = read.parseJson('{"data":{"cards":[{"no":"SECRET-1"}],"n":"x","o":{}}}');
    expect(() => read.textAt(body, 'data.cards.0.password')).toThrow('data.cards.0.password is missing');
    expect(() => read.integerAt(body, 'data.n')).toThrow('data.n is not a whole number');
    expect(() => read.listAt(body, 'data.o')).toThrow('data.o is not a list');
    expect(() => read.objectAt(body, 'data.cards')).toThrow('data.cards is not an object');
    expect(() => read.textAt(body, 'data.cards')).toThrow('data.cards is not a text');
    expect(read.maybeTextAt(body, 'constructor.name')).toBeUndefined();
    expect(read.maybeTextAt(read.parseJson('{"__proto__":{"a":"b"}}'), 'a')).toBeUndefined();
  });
  test('money is exact to the ten-thousandth and never rounded down', () => {
    const table: [string, number][] = [
      ['4.8715', 48_715],
      ['0', 0],
      ['100', 1_000_000],
      ['-3.5', -35_000],
      ['1e2', 1_000_000],
      ['1.5E-3', 15],
      ['4.87150', 48_715],
      ['4.87151', 48_716],
      ['0.00001', 1],
      ['-0.00001', -1],
      ['0.1', 1000],
      ['007.10', 71_000],
    ];
    for (const [text, amount_e4] of table) expect([text, read.toE4(text)]).toEqual([text, amount_e4]);
    expect(read.toE4('1050', 'cent')).toBe(105_000);
    expect(read.toE4('0.5', 'cent')).toBe(50);
    expect(read.toE4('48715', 'e4')).toBe(48_715);
    expect(read.toE4('1001', { divisor: 1000 })).toBe(10_010);
    for (const text of ['', '1,000', 'abc', '1.2.3', '.5', '5.', '1e999', 'Infinity', '99999999999999']) {
      expect(() => read.toE4(text)).toThrow(Unreadable);
    }
    expect(() => read.money('1', null)).toThrow('an amount has no currency');
    expect(read.money('1', 'usd')).toEqual({ amount_e4: 10_000, currency: 'USD' });
  });
  test('money as text is exact, and a ceiling with fewer decimals is cut off', () => {
    expect(read.decimalText(48_715)).toBe('4.8715');
    expect(read.decimalText(50_000)).toBe('5');
    expect(read.decimalText(25_000)).toBe('2.5');
    expect(read.decimalText(48_799, 2)).toBe('4.87');
    expect(read.decimalText(48_799, 0)).toBe('4');
    expect(read.decimalText(5, 6)).toBe('0.000500');
    expect(read.decimalText(-1500)).toBe('-0.15');
  });
  test('times of every spelling are read on their own clock', () => {
    const time = Date.UTC(2026, 0, 1);
    for (const text of ['1767225600', '1767225600000', '2026-01-01T00:00:00Z', '2026-01-01T08:00:00.000+08:00']) {
      expect([text, read.parseTime(text, 'Z')]).toEqual([text, time]);
    }
    for (const text of ['2026-01-01 08:00:00', '20260101080000', '2026/01/01 08:00']) {
      expect([text, read.parseTime(text, '+08:00')]).toEqual([text, time]);
    }
    for (const text of ['', 'soon', '2026-13-01', '2026-01-01 25:00:00'])
      expect(() => read.parseTime(text, 'Z')).toThrow(Unreadable);
    expect(read.expiryOf('never', 'Z')).toBeUndefined();
    expect(read.timeText(time + 7, 'yyyy-MM-dd HH:mm:ss.SSS', '+08:00')).toBe('2026-01-01 08:00:00.007');
    expect(read.timeText(time, 'yyyyMMddTHHmm', 'Z')).toBe('20260101T0000');
    expect(read.secondsText(time + 999)).toBe('1767225600');
  });
  test('GBK goes both ways and forms are read in it', () => {
    const encoded = read.encodeText('充值成功', 'gbk');
    expect(encoded.toString('hex')).toBe('b3e4d6b5b3c9b9a6');
    expect(read.bodyText(encoded, 'gbk')).toBe('充值成功');
    expect(read.percentEncodeGbk('a 中')).toBe('a%20%D6%D0');
    expect(read.parseForm('a=1&b=%D6%D0+x&c&a=2', 'gbk')).toEqual({ a: '1', b: '中 x', c: '' });
    expect(() => read.parseForm('a=%zz')).toThrow(Unreadable);
  });
  test('XML gives exact texts, lists and attributes, and expands nothing', () => {
    const body = read.readXml(
      reply(200, '<?xml version="1.0"?><r><x a="1"> 007&amp;&#65; </x><c>1</c><c>2</c><e/><d><![CDATA[a&b<]]></d></r>'),
    );
    expect(read.maybeTextAt(body, 'r.x.#text')).toBe(' 007&A ');
    expect(read.maybeTextAt(body, 'r.x.@a')).toBe('1');
    expect(read.itemsAt(body, 'r.c')).toEqual(['1', '2']);
    expect(read.maybeTextAt(body, 'r.e')).toBeUndefined();
    expect(read.maybeTextAt(body, 'r.d')).toBe('a&b<');
    for (const text of ['<!DOCTYPE r [<!ENTITY e "boom">]><r>&e;</r>', 'plain words', '<html><br></html>', '']) {
      expect(() => read.parseXml(text)).toThrow(Unreadable);
    }
  });
  test('paging ends at a short page, an empty page or the total', () => {
    expect(read.pageOf(null)).toBe(1);
    expect(read.pageOf('7')).toBe(7);
    expect(() => read.pageOf('x')).toThrow(Unreadable);
    expect(read.nextPage(1, 100, 100)).toBe('2');
    expect(read.nextPage(1, 99, 100)).toBeNull();
    expect(read.nextPage(2, 100, 100, 200)).toBeNull();
    expect(read.nextPage(2, 0, 100, 900)).toBeNull();
  });
});

describe('old ciphers', () => {
  test('single DES gives the vector of FIPS 81', () => {
    const rules = { mode: 'ecb', key: bytes('0123456789abcdef'), padding: 'none' } as const;
    const sealed = legacy.desEncrypt(Buffer.from('Now is the time for all '), rules);
    expect(sealed.toString('hex')).toBe('3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53');
    expect(legacy.desDecrypt(sealed, rules).toString()).toBe('Now is the time for all ');
    const cbc = { ...rules, mode: 'cbc', iv: bytes('1234567890abcdef') } as const;
    expect(legacy.desEncrypt(Buffer.from('Now is the time for all '), cbc).toString('hex')).toBe(
      'e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6',
    );
  });
  test('3DES agrees with a second implementation, for two keys and three', () => {
    for (const key of [
      bytes('0123456789abcdef fedcba9876543210'),
      bytes('0123456789abcdef fedcba9876543210 89abcdef01234567'),
    ]) {
      const full = key.length === 16 ? Buffer.concat([key, key.subarray(0, 8)]) : key;
      const cipher = forge.cipher.createCipher('3DES-CBC', forge.util.createBuffer(full.toString('binary')));
      cipher.start({ iv: Buffer.alloc(8, 7).toString('binary') });
      cipher.update(forge.util.createBuffer('card 1234'));
      cipher.finish();
      const ours = legacy.desEncrypt(Buffer.from('card 1234'), { mode: 'cbc', key, iv: Buffer.alloc(8, 7) });
      expect(ours.toString('hex')).toBe(cipher.output.toHex());
    }
    expect(() => legacy.desEncrypt(Buffer.from('x'), { mode: 'ecb', key: Buffer.alloc(7) })).toThrow(
      '8, 16 or 24 bytes',
    );
  });
  test('RC4 gives the key streams of RFC 6229', () => {
    const table: [string, string][] = [
      ['0102030405', 'b2396305f03dc027ccc3524a0a1118a8'],
      ['01020304050607', '293f02d47f37c9b633f2af5285feb46b'],
      ['0102030405060708090a0b0c0d0e0f10', '9ac7cc9a609d1ef7b2932899cde41b97'],
    ];
    for (const [key, stream] of table) expect(legacy.rc4(bytes(key), Buffer.alloc(16)).toString('hex')).toBe(stream);
    expect(legacy.rc4(bytes('0102030405'), legacy.rc4(bytes('0102030405'), Buffer.from('code'))).toString()).toBe(
      'code',
    );
  });
  test('AES gives the vector of FIPS 197 and the card of Fulu', () => {
    const key = bytes('000102030405060708090a0b0c0d0e0f');
    const plain = bytes('00112233445566778899aabbccddeeff');
    expect(legacy.aesEncrypt(plain, { mode: 'ecb', key, padding: 'none' }).toString('hex')).toBe(
      '69c4e0d86a7b0430d8cdb78070b4c55a',
    );
    const fulu = { mode: 'ecb', key: Buffer.from('0123456789abcdef0123456789abcdef') } as const;
    expect(legacy.aesDecrypt(Buffer.from('nDTfYVPDnosQxwLRJrn+uA==', 'base64'), fulu).toString()).toBe('CARD-0001');
    expect(() =>
      legacy.aesDecrypt(Buffer.from('nDTfYVPDnosQxwLRJrn+uB==', 'base64'), { ...fulu, key: Buffer.alloc(32) }),
    ).toThrow(Unreadable);
  });
  test('a PKCS#12 file opens with its password only', () => {
    const keys = forge.pki.rsa.generateKeyPair({ bits: 1024, e: 0x10001 });
    const certificate = forge.pki.createCertificate();
    certificate.publicKey = keys.publicKey;
    certificate.validity.notBefore = new Date(0);
    certificate.validity.notAfter = new Date(1);
    certificate.sign(keys.privateKey);
    const der = forge.asn1
      .toDer(forge.pkcs12.toPkcs12Asn1(keys.privateKey, [certificate], 'open', { algorithm: '3des' }))
      .getBytes();
    const opened = legacy.openPkcs12(Buffer.from(der, 'binary'), 'open');
    expect(opened.private_key_pem).toContain('BEGIN RSA PRIVATE KEY');
    expect(opened.certificate_pem).toContain('BEGIN CERTIFICATE');
    expect(() => legacy.openPkcs12(Buffer.from(der, 'binary'), 'shut')).toThrow('check the file and its password');
  });
});

describe('doubt', () => {
  const before = { purchase_began: false, purchase_answered: false };
  const during = { purchase_began: true, purchase_answered: false };
  const after = { purchase_began: true, purchase_answered: true };
  test('nothing was bought where the buying request never began or never left', () => {
    const timeout = new WireFailure('timeout', true);
    expect(outcomeOf(timeout, before)).toMatchObject({ outcome: 'refused', reason: 'not_sent' });
    expect(outcomeOf(new Unreadable('no JSON'), before)).toMatchObject({ outcome: 'refused', reason: 'not_sent' });
    expect(outcomeOf(new SaidNo('credentials', 'bad key'), before)).toMatchObject({
      outcome: 'refused',
      reason: 'credentials',
    });
    expect(outcomeOf(new WireFailure('refused', false), during)).toMatchObject({
      outcome: 'refused',
      reason: 'not_sent',
    });
  });
  test('everything after it began is unknown, also a refused connection of a later request', () => {
    const table: [unknown, string][] = [
      [new WireFailure('timeout', true), 'deadline'],
      [new WireFailure('reset', true), 'reset'],
      [new WireFailure('too_large', true), 'unreadable'],
      [new Unreadable('HTTP 502', 'http_5xx', 502), 'http_5xx'],
      [new Unreadable('sign', 'bad_signature'), 'bad_signature'],
      [new SaidNo('credentials', 'bad key'), 'supplier_said'],
      [new TypeError('reading CODE-1'), 'unreadable'],
      ['text', 'unreadable'],
    ];
    for (const [error, doubt] of table) {
      expect(outcomeOf(error, during)).toMatchObject({ outcome: 'unknown', doubt });
      expect(doubtOf(error)).toMatchObject({ outcome: 'unknown', doubt });
    }
    expect(outcomeOf(new WireFailure('refused', false), after)).toMatchObject({ outcome: 'unknown', doubt: 'reset' });
    expect(JSON.stringify(outcomeOf(new TypeError('reading CODE-1'), during))).not.toContain('CODE-1');
  });
  test('the watched wire sends one buying request and no second one', async () => {
    const seen: string[] = [];
    const send = async ({ url }: { url: string }) => {
      seen.push(url);
      return reply(200, '{}');
    };
    const inner = { send } as unknown as Wire;
    const { wire, facts } = watchPurchase(inner);
    await wire.send({ method: 'GET', url: '/price' });
    expect(facts).toEqual(before);
    await wire.send({ method: 'POST', url: '/buy', buys: true });
    expect(facts).toEqual(after);
    await expect(wire.send({ method: 'POST', url: '/again', buys: true })).rejects.toThrow('second one');
    expect(seen).toEqual(['/price', '/buy']);
  });
  const pin = (text: string): Code => ({ pin: new Secret(text) });
  const delivered = (codes: Code[], units?: number): Outcome => ({
    outcome: 'delivered',
    codes,
    supplier_reference: '9',
    ...(units === undefined ? {} : { short: { units } }),
  });
  test('a delivery has one real code per unit or says that it is short', () => {
    const two = { kind: 'code', quantity: 2 } as const;
    expect(checkOutcome(two, delivered([pin('A'), pin('B')])).outcome).toBe('delivered');
    expect(checkOutcome(two, delivered([pin('A')], 1)).outcome).toBe('delivered');
    for (const codes of [
      [],
      [pin('A')],
      [pin('A'), pin('A')],
      [pin('A'), pin('待发货')],
      [pin('A'), pin('B'), pin('C')],
    ]) {
      expect(checkOutcome(two, delivered(codes))).toMatchObject({
        outcome: 'unknown',
        doubt: 'codes_missing',
        supplier_reference: '9',
      });
    }
    expect(checkOutcome(two, delivered([pin('A')]))).toMatchObject({ codes: [pin('A')] });
    expect(checkOutcome(two, delivered([pin('A'), pin('B')], 2)).outcome).toBe('unknown');
    expect(checkOutcome(two, delivered([], 0)).outcome).toBe('unknown');
    expect(checkOutcome({ kind: 'recharge', quantity: 1 }, { outcome: 'delivered' }).outcome).toBe('delivered');
  });
  test('words that hold the place of a code are no codes', () => {
    for (const text of [
      '',
      ' ',
      '-',
      'null',
      'N/A',
      'undefined',
      'processing',
      'pending...',
      '****',
      '1234****5678',
      '等待发货',
      '处理中，请稍后',
    ]) {
      expect([text, isRealCode(pin(text))]).toEqual([text, false]);
    }
    for (const text of ['0', '1234', 'A-B', 'null-7', 'https://x.example/?a=1', 'card 1 pin 2']) {
      expect([text, isRealCode(pin(text))]).toEqual([text, true]);
    }
    expect(isRealCode({ number: new Secret('123'), pin: new Secret('-') })).toBe(true);
    expect(isRealCode({ number: new Secret('123'), pin: new Secret('处理中') })).toBe(false);
    expect(isRealCode({ serial: new Secret('123') })).toBe(false);
  });
});

describe('outcomes', () => {
  test('words go through the tables, and what no table holds is doubt', () => {
    expect(outcomes.byStatus(template, 'success', { message: '' }, () => ({ receipt: 'R' }))).toEqual({
      outcome: 'delivered',
      receipt: 'R',
    });
    expect(outcomes.byStatus(template, 'failed', { supplier_reference: '9' })).toEqual({
      outcome: 'refused',
      reason: 'declined',
      supplier_reference: '9',
    });
    expect(outcomes.byStatus(template, 'manual', {})).toEqual({ outcome: 'unknown', doubt: 'supplier_said' });
    expect(outcomes.byStatus(template, 'toString', {})).toEqual({
      outcome: 'unknown',
      doubt: 'unmapped',
      unmapped: 'toString',
    });
    expect(outcomes.byRefusal(template, 'no_stock', {})).toEqual({ outcome: 'refused', reason: 'out_of_stock' });
    expect(outcomes.byRefusal(template, 'system_error', {})).toEqual({ outcome: 'unknown', doubt: 'supplier_said' });
    expect(outcomes.byRefusal(template, 'constructor', {})).toEqual({
      outcome: 'unknown',
      doubt: 'unmapped',
      unmapped: 'constructor',
    });
    expect(outcomes.saidNo(template, 'bad_sign')).toMatchObject({ name: 'SaidNo', reason: 'credentials' });
    expect(outcomes.saidNo(template, 'new_code')).toMatchObject({ name: 'Unreadable', doubt: 'unmapped' });
  });
  test('a code keeps its text and prints as sealed', () => {
    const made = outcomes.code({ number: ' 1 ', pin: '', link: undefined, expires_at: 5 });
    expect(made.number?.reveal()).toBe(' 1 ');
    expect(Object.keys(made)).toEqual(['number', 'expires_at']);
    expect(JSON.stringify(made)).toBe('{"number":"[sealed]","expires_at":5}');
    expect(outcomes.codesFromLines('a%0Ab \r\n\r\n<c>\n').map(({ pin }) => pin?.reveal())).toEqual(['a%0Ab ', '<c>']);
  });
});

describe('scrubbing', () => {
  test('a secret is found in every spelling', () => {
    const secret = 'k+y/"é 中&1';
    const basic = sign.basic('merchant', secret).slice('Basic '.length);
    const spellings = [
      secret,
      encodeURIComponent(secret),
      sign.percentEncode(secret).toLowerCase(),
      sign.formEncode(secret),
      JSON.stringify({ secret }),
      JSON.stringify(JSON.stringify({ secret })),
      sign.compactJson({ secret }, { escape_slashes: true }),
      sign.compactJson({ secret }, { escape_unicode: true }),
      'k+y/&quot;é 中&amp;1',
      Buffer.from(secret).toString('hex').toUpperCase(),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('base64url'),
      sign.md5(secret, 'HEX'),
    ];
    for (const spelling of spellings) {
      const clean = scrub(`<${spelling}>`, [secret]);
      expect([spelling, clean.includes('[sealed]')]).toEqual([spelling, true]);
      expect(clean).not.toContain(spelling);
    }
    for (const user of ['merchant', 'merchant1', 'merchant12']) {
      const header = sign.basic(user, 'long-password-1');
      expect(scrub(header, ['long-password-1'])).toMatch(/\[sealed\]/);
    }
    expect(scrub(`Basic ${basic}`, [secret])).not.toContain(basic);
  });
  test('the longest secret is taken first, and short ones are left alone', () => {
    expect(scrub('abcd-efgh abcd 1', ['abcd', 'abcd-efgh', '1', ''])).toBe('[sealed] [sealed] 1');
  });
});
