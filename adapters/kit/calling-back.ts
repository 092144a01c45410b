// How a simulated supplier calls back: in its protocol's form and under its signature, each attempt remembered with what
// came back. A forged callback claims a delivery and is signed by somebody who has another secret.
import { request as httpRequest } from 'node:http';
import { type Counter, type Credentials, forgedOrder, type Notice } from './protocol.js';
import type { ShopOrder } from './shop.js';

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

/** Sends callbacks for orders that name an address, or to `default_url`; without one it sends none. */
export function callbackSender(shop: {
  counter: Counter;
  credentials: Credentials;
  /** Name of the credential that signs. */
  secret: string | undefined;
  default_url: string | null;
}) {
  const sent: SentCallback[] = [];
  const under_way = new Set<Promise<void>>();

  async function send(order: ShopOrder, forged = false): Promise<void> {
    const url = order.callback_url ?? shop.default_url;
    if (url === null) return;
    const told = forged ? forgedOrder(order) : order;
    const notice = shop.counter.notice?.(told, { url, credentials: forged ? ofStranger() : shop.credentials });
    if (!notice) return;
    const { reference, status } = told;
    const record: SentCallback = { reference, event: `order.${status}`, url, forged, status: null, answer: '' };
    sent.push(record);
    const sending = post(url, notice, record);
    under_way.add(sending);
    await sending.finally(() => under_way.delete(sending));
  }

  function ofStranger(): Credentials {
    const { credentials, secret } = shop;
    return secret === undefined ? credentials : { ...credentials, [secret]: `${credentials[secret]}-of-a-stranger` };
  }

  return {
    sent,
    send,
    settled: async (): Promise<void> => {
      while (under_way.size > 0) await Promise.all(under_way);
    },
  };
}

function post(url: string, { headers, body }: Notice, record: SentCallback): Promise<void> {
  const options = {
    method: 'POST',
    headers: { ...headers, 'content-length': Buffer.byteLength(body) },
    timeout: ANSWER_TIMEOUT_MS,
    agent: false,
  };
  return new Promise((resolve) => {
    const request = httpRequest(url, options, (response) => {
      record.status = response.statusCode ?? null;
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        record.answer += part;
      });
      response.on('close', resolve);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve());
    request.end(body);
  });
}
