// The three shapes nearly every request has: JSON, form, query. The adapter adds headers and says which request buys.
import type { Wire, WireReply } from './contract.js';
import { compactJson, type Fields, formEncode, percentEncode, queryText } from './signing.js';

export interface SendRules {
  headers?: Record<string, string>;
  /** True on the one request that can buy. */
  buys?: boolean;
}

/** What even `session` is given: a wire without a token. */
export type Sender = Pick<Wire, 'send'>;

/** POSTs JSON. A text goes out as it is, so that what was signed is what is sent; an object as compact JSON. */
export function postJson(wire: Sender, url: string, body: string | object, rules: SendRules = {}): Promise<WireReply> {
  return post(wire, url, 'application/json; charset=utf-8', typeof body === 'string' ? body : compactJson(body), rules);
}

/** POSTs a UTF-8 form; absent fields are left out, empty ones are sent. A text goes out as it is. */
export function postForm(wire: Sender, url: string, body: string | Fields, rules: SendRules = {}): Promise<WireReply> {
  const text = typeof body === 'string' ? body : queryText(body, formEncode);
  return post(wire, url, 'application/x-www-form-urlencoded; charset=utf-8', text, rules);
}

/** GETs a URL with the fields added as its query; absent ones are left out. */
export function getQuery(wire: Sender, url: string, query: Fields = {}, rules: SendRules = {}): Promise<WireReply> {
  return wire.send({ method: 'GET', url: withQuery(url, query), headers: rules.headers ?? {}, ...buying(rules) });
}

/** A URL with its query. */
export function withQuery(url: string, query: Fields): string {
  const text = queryText(query, percentEncode);
  return text === '' ? url : `${url}${url.includes('?') ? '&' : '?'}${text}`;
}

function post(wire: Sender, url: string, type: string, body: string, rules: SendRules): Promise<WireReply> {
  const headers = { 'content-type': type, ...rules.headers };
  return wire.send({ method: 'POST', url, headers, body, ...buying(rules) });
}

function buying(rules: SendRules): { buys?: true } {
  return rules.buys ? { buys: true } : {};
}
