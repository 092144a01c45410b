import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import { createEgress, isPublicAddress, type Resolve, webhookUrlFault } from '../../src/storefronts/egress.js';

describe('isPublicAddress', () => {
  const PUBLIC = [
    '1.1.1.1',
    '8.8.8.8',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.0.1',
    '172.32.0.1',
    '2606:4700::1111',
    '2a00::1',
  ];
  const NOT = [
    ['this network', '0.0.0.0', '0.255.255.255'],
    ['private', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    ['carrier-grade NAT', '100.64.0.1', '100.127.255.255'],
    ['loopback', '127.0.0.1', '127.255.255.254', '::1'],
    ['link-local, and the metadata service in it', '169.254.169.254', 'fe80::1', 'fe80::1%eth0'],
    ['documentation and tests', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1'],
    ['multicast, reserved, broadcast', '224.0.0.1', '239.1.1.1', '240.0.0.1', '255.255.255.255', 'ff02::1'],
    ['unspecified and unique local', '::', 'fc00::1', 'fd12::1'],
    ['IPv4 inside IPv6', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::127.0.0.1', '64:ff9b::7f00:1', '64:ff9b:1::1'],
    ['tunnels that end anywhere', '2002:7f00:1::1', '2001:0:1::1'],
    ['no address at all', '', 'localhost', '127.1', '0x7f000001', '1.2.3'],
  ];
  it('lets the public internet through', () => {
    for (const address of PUBLIC) expect([address, isPublicAddress(address)]).toEqual([address, true]);
  });
  for (const [title, ...addresses] of NOT) {
    it(`keeps out ${title}`, () => {
      for (const address of addresses) expect([address, isPublicAddress(address)]).toEqual([address, false]);
    });
  }
});

describe('webhookUrlFault', () => {
  const judge = (url: string, allow_private = false) => webhookUrlFault(url, { allow_private });
  it('finds nothing wrong with a public https URL', () => {
    for (const url of ['https://mall.example.com/hook?a=1', 'https://8.8.8.8/', 'https://[2606:4700::1111]:8443/x']) {
      expect(judge(url)).toBeNull();
    }
  });
  const WRONG: [string, RegExp][] = [
    ['mall.example.com', /not a URL/],
    ['http://mall.example.com/', /not an https/],
    ['ftp://mall.example.com/', /not an https/],
    ['https://a:b@mall.example.com/', /password/],
    ['https://127.0.0.1/', /private or reserved/],
    ['https://127.1/', /private or reserved/],
    ['https://2130706433/', /private or reserved/],
    ['https://0x7f.0.0.1/', /private or reserved/],
    ['https://[::1]/', /private or reserved/],
    ['https://[::ffff:169.254.169.254]/', /private or reserved/],
    ['https://localhost/', /this machine/],
    ['https://a.localhost./', /this machine/],
  ];
  for (const [url, reason] of WRONG) {
    it(`refuses ${url}`, () => expect(judge(url)).toMatch(reason));
  }
  it('lets private places and plain http pass where that is allowed, and nothing else', () => {
    expect(judge('http://127.0.0.1:9000/', true)).toBeNull();
    expect(judge('https://localhost/', true)).toBeNull();
    expect(judge('ftp://127.0.0.1/', true)).toMatch(/https/);
    expect(judge('http://a:b@127.0.0.1/', true)).toMatch(/password/);
  });
});

describe('createEgress', () => {
  let server: Server;
  let hits = 0;
  beforeAll(async () => {
    server = createServer((_, response) => {
      hits++;
      response.end('ok');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const call = async (allow_private: boolean, resolve: Resolve): Promise<number> => {
    const egress = createEgress({ allow_private, timeout_ms: 2_000, connections_max: 1, resolve });
    try {
      const { port } = server.address() as AddressInfo;
      const { statusCode, body } = await request(`http://mall.invalid:${port}/`, { dispatcher: egress });
      await body.dump();
      return statusCode;
    } finally {
      await egress.destroy();
    }
  };
  const to =
    (...addresses: string[]): Resolve =>
    (_, done) =>
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );

  it('connects to the address that was judged, not to the name', async () => {
    // The name exists nowhere: only the pinned address can have been reached.
    expect(await call(true, to('127.0.0.1'))).toBe(200);
  });

  it('refuses a name that resolves to a private address, without a connection', async () => {
    const before = hits;
    await expect(call(false, to('127.0.0.1'))).rejects.toMatchObject({ code: 'PRIVATE_ADDRESS' });
    await expect(call(false, to('8.8.8.8', '127.0.0.1'))).rejects.toMatchObject({ code: 'PRIVATE_ADDRESS' });
    await expect(call(false, to('::ffff:127.0.0.1'))).rejects.toMatchObject({ code: 'PRIVATE_ADDRESS' });
    expect(hits).toBe(before);
  });

  it('fails where the name has no address', async () => {
    await expect(call(true, to())).rejects.toThrow('no address');
    await expect(call(true, (_, done) => done(new Error('no such name'), []))).rejects.toThrow('no such name');
  });
});
