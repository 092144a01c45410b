// Where a webhook may go. The address is a stranger's choice, so nothing inside our network may be reached by it: the
// name is resolved once, every address is judged, and the connection is made to a judged address, never to the name.
import { type LookupAddress, lookup as lookupName } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Agent, type Dispatcher } from 'undici';

/** Reserved IPv4 ranges (IANA special-purpose registry): private, loopback, link-local, CGNAT, tests, multicast. */
const RESERVED_V4: readonly [string, number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];
/**
 * Within 2000::/3, the only global unicast range: IETF protocols with Teredo, documentation, 6to4, SRv6. All the rest
 * is refused by not being in it: ::1, IPv4-mapped, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, fc00::/7, fe80::/10, ff00::/8.
 */
const RESERVED_V6: readonly [string, number][] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
];

const reserved_v4 = new BlockList();
for (const [net, prefix] of RESERVED_V4) reserved_v4.addSubnet(net, prefix, 'ipv4');
const reserved_v6 = new BlockList();
for (const [net, prefix] of RESERVED_V6) reserved_v6.addSubnet(net, prefix, 'ipv6');
const global_v6 = new BlockList();
global_v6.addSubnet('2000::', 3, 'ipv6');

/** Whether an IP address lies in the public internet. Anything that is no address does not. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !reserved_v4.check(address, 'ipv4');
  // A zone (fe80::1%eth0) never belongs to a public address.
  if (isIP(address) !== 6 || address.includes('%')) return false;
  return global_v6.check(address, 'ipv6') && !reserved_v6.check(address, 'ipv6');
}

/** What is wrong with a webhook's URL, as the rest of a sentence, or null. Names are judged when they are resolved. */
export function webhookUrlFault(text: string, { allow_private }: { allow_private: boolean }): string | null {
  if (!URL.canParse(text)) return 'is not a URL';
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(allow_private && url.protocol === 'http:')) return 'is not an https URL';
  if (url.username || url.password) return 'holds a user name or password';
  if (allow_private) return null;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) && !isPublicAddress(host)) return 'is an address inside a private or reserved network';
  return /(^|\.)localhost\.?$/i.test(host) ? 'is this machine itself' : null;
}

/** The host resolves to an address where no webhook may go. */
export class PrivateAddress extends Error {
  readonly code = 'PRIVATE_ADDRESS';
}

export type Resolve = (
  hostname: string,
  done: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void;

export interface EgressOptions {
  allow_private: boolean;
  timeout_ms: number;
  /** Connections a host may have. */
  connections_max: number;
  /** Resolves a name; the system's resolver where left out. */
  resolve?: Resolve;
}

/** The line out for webhooks: connects to judged addresses only, and never follows a redirect. */
export function createEgress(options: EgressOptions): Dispatcher {
  return new Agent({
    connections: options.connections_max,
    pipelining: 1,
    headersTimeout: options.timeout_ms,
    bodyTimeout: options.timeout_ms,
    connect: { timeout: options.timeout_ms, lookup: judgedLookup(options) },
  });
}

// One private address among several refuses the name: which of them is used is not ours to choose, and a name that
// mixes them is made to slip past a check.
function judgedLookup({ allow_private, resolve = resolveBySystem }: EgressOptions): LookupFunction {
  return (hostname, asked, done) => {
    resolve(hostname, (error, addresses) => {
      const first = addresses[0];
      if (error || !first) return done(error ?? new Error(`${hostname} has no address`), '', 0);
      if (!allow_private && !addresses.every(({ address }) => isPublicAddress(address))) {
        return done(new PrivateAddress('the host resolves to a private or reserved address'), '', 0);
      }
      if (asked.all) done(null, [...addresses]);
      else done(null, first.address, first.family);
    });
  };
}

function resolveBySystem(hostname: string, done: Parameters<Resolve>[1]): void {
  lookupName(hostname, { all: true }, (error, addresses) => done(error, addresses ?? []));
}
