// Where suppliers' messages come in: any method, any deeper path, the bytes exactly as they were sent. Who sent them
// and what they mean is decided by the account's adapter, behind `receiveCallback`.
import type { IncomingHttpHeaders } from 'node:http';
import type { Acknowledgement, Message } from '../../adapters/kit/contract.js';
import { GatewayError } from '../errors.js';
import { type Exchange, param, type Reply, type Route, route } from './route.js';

export interface CallbackRoutesDeps {
  /** Throws `GatewayError('not_found')` for an account that is not ours; what else it throws is not acknowledged. */
  receiveCallback: (account: string, message: Message) => Promise<Acknowledgement>;
}

const ACCOUNT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function callbackRoutes(deps: CallbackRoutesDeps): Route[] {
  return ['/callbacks/:account', '/callbacks/:account/*rest'].map((path) =>
    route<Buffer>({
      method: 'ALL',
      path,
      scope: 'public',
      body: 'raw',
      query: 'raw',
      handle: (exchange) => receive(deps, exchange),
    }),
  );
}

async function receive(deps: CallbackRoutesDeps, exchange: Exchange<Buffer, unknown>): Promise<Reply> {
  const account = param(exchange, 'account');
  if (!ACCOUNT.test(account)) {
    throw new GatewayError('not_found', 'there is no such account', { fix: 'Check the callback address.' });
  }
  const { status, body, content_type } = await deps.receiveCallback(account, {
    headers: plainHeaders(exchange.headers),
    body: exchange.body,
    url: exchange.url,
  });
  return { status, body, content_type };
}

function plainHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value] as const],
    ),
  );
}
