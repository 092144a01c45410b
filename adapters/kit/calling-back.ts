// How the built-in supplier calls back: signed as its requests are, each attempt remembered with what came back.
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { ShopOrder } from './shop.js';
import { hmacSha256, sha256 } from './signing.js';

/** One callback that was sent. `status` null: no answer came. */
export interface SentCallback {
  reference: string;
  event: string;
  url: string;
  forged: boolean;
  status: number | null;
  answer: string;
}

const ANSWER_TIMEOUT_MS = 10_000;

/** Headers of a signed message; a forged one is signed with another secret. */
export function signedHeaders(
  secret: string,
  message: { app_key: string; method: string; path: string; now: number; nonce: string; body: string | Buffer },
): Record<string, string> {
  const time = String(message.now);
  const text = [message.method, message.path, time, message.nonce, sha256(message.body)].join('\n');
  return {
    'x-sim-key': message.app_key,
    'x-sim-time': time,
    'x-sim-nonce': message.nonce,
    'x-sim-signature': hmacSha256(secret, text),
  };
}

/** Sends callbacks for orders that name an address, or to `default_url`; without one it sends none. */
export function callbackSender(account: {
  app_key: string;
  app_secret: string;
  clock: () => number;
  default_url: string | null;
}) {
  const sent: SentCallback[] = [];
  const under_way = new Set<Promise<void>>();

  async function send(order: ShopOrder, event: object, forged = false): Promise<void> {
    const address = order.callback_url ?? account.default_url;
    if (address === null) return;
    const record: SentCallback = {
      reference: order.reference,
      event: String((event as { event?: string }).event),
      url: address,
      forged,
      status: null,
      answer: '',
    };
    sent.push(record);
    const sending = post(address, JSON.stringify(event), forged, record);
    under_way.add(sending);
    await sending.finally(() => under_way.delete(sending));
  }

  function post(address: string, body: string, forged: boolean, record: SentCallback): Promise<void> {
    const url = new URL(address);
    const { app_key, app_secret, clock } = account;
    const secret = forged ? `${app_secret}-of-a-stranger` : app_secret;
    const nonce = randomBytes(12).toString('hex');
    const path = url.pathname + url.search;
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...signedHeaders(secret, { app_key, method: 'POST', path, now: clock(), nonce, body }),
    };
    return new Promise((resolve) => {
      const request = httpRequest(
        url,
        { method: 'POST', headers, timeout: ANSWER_TIMEOUT_MS, agent: false },
        (response) => {
          record.status = response.statusCode ?? null;
          response.setEncoding('utf8');
          response.on('data', (part: string) => {
            record.answer += part;
          });
          response.on('close', resolve);
        },
      );
      request.on('timeout', () => request.destroy());
      request.on('error', () => resolve());
      request.end(body);
    });
  }

  return {
    sent,
    send,
    settled: async (): Promise<void> => {
      while (under_way.size > 0) await Promise.all(under_way);
    },
  };
}
