// What a resource's table of routes is made of: each row says its method, its path, the scope it needs, what it reads,
// and the function that answers. serve.ts runs them all alike.
import type { IncomingHttpHeaders } from 'node:http';
import type { z } from 'zod';
import type { Caller, Scope } from '../storefronts/accounts.js';

/** What an API key must be allowed: a scope, or nothing in particular; `public` asks for no key at all. */
export type Access = Scope | 'any_key' | 'public';

export interface Exchange<B = unknown, Q = unknown> {
  request_id: string;
  /** Null on `public` routes only. */
  caller: Caller | null;
  method: string;
  /** Path and query as received. */
  url: string;
  headers: IncomingHttpHeaders;
  params: Readonly<Record<string, string | string[] | undefined>>;
  query: Q;
  body: B;
  /** The client has gone: there is nobody to answer. */
  isGone: () => boolean;
}

export interface Reply {
  status: number;
  /** An object goes out as JSON, a text as it is. */
  body: object | string | null;
  content_type?: string;
  headers?: Record<string, string>;
  /** The order that was placed, for whoever watches. */
  order_id?: string;
}

export interface RouteSpec<B, Q> {
  method: 'GET' | 'POST' | 'ALL';
  /** In Express's spelling. */
  path: string;
  scope: Access;
  /** Schema of a JSON body; `raw` hands over the bytes; left out, a body is not read. */
  body?: z.ZodType<B> | 'raw';
  /** Schema of the query; left out, every parameter is refused; `raw` does not look at it. */
  query?: z.ZodType<Q> | 'raw';
  /** Reading has an effect (a reveal is written down): HEAD is not answered. */
  refuses_head?: true;
  handle: (exchange: Exchange<B, Q>) => Promise<Reply> | Reply;
}

export type Route = RouteSpec<unknown, unknown>;

/** A row of a table; what its schemas read is what its function is given. */
export function route<B = undefined, Q = undefined>(spec: RouteSpec<B, Q>): Route {
  return spec as unknown as Route;
}

/** The caller of a route that is not `public`. */
export function callerOf(exchange: { caller: Caller | null }): Caller {
  if (!exchange.caller) throw new Error('must hold: this route asks for a key');
  return exchange.caller;
}

/** A path's parameter. */
export function param(exchange: { params: Exchange['params'] }, name: string): string {
  const value = exchange.params[name];
  return typeof value === 'string' ? value : '';
}
