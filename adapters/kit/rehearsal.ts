// The wire of a conversation: answers from its exchanges and compares each request with what the file says of it.

import { isLosslessNumber } from 'lossless-json';
import {
  type Desk,
  type FailureKind,
  type Supplier,
  type Wire,
  WireFailure,
  type WireReply,
  type WireRequest,
} from './contract.js';
import { bodyOf, type Conversation, type Exchange } from './conversation.js';
import * as read from './reading.js';
import { fieldText } from './signing.js';

/** A request as it was sent, with its absolute URL. */
export interface Sent extends WireRequest {
  absolute_url: string;
}
export interface Rehearsal {
  wire: Wire;
  sent: Sent[];
  /** Where a request was not as the file says. */
  differences: string[];
  unused: () => number;
  /** Set when the first request has the path of the file only at its end: the base URL has a prefix we did not know. */
  better_base: string | null;
}

/** Left-behind bytes of each failure: a refused connection or an unknown host proves that nothing left. */
const FAILURES: Readonly<Record<string, { kind: FailureKind; left: boolean }>> = {
  timeout: { kind: 'timeout', left: true },
  reset: { kind: 'reset', left: true },
  refused: { kind: 'refused', left: false },
  dns: { kind: 'dns', left: false },
  tls: { kind: 'tls', left: false },
  too_large: { kind: 'too_large', left: true },
  redirect: { kind: 'redirect', left: true },
};

/** Builds the wire. With `strict`, a request body given as JSON may hold nothing that the file does not. */
export function rehearse(supplier: Supplier, conversation: Conversation, base_url: string, strict: boolean): Rehearsal {
  const waiting = [...conversation.exchanges];
  const { options } = conversation;
  const rehearsal: Rehearsal = {
    sent: [],
    differences: [],
    unused: () => waiting.length,
    better_base: null,
    wire: null!,
  };
  const desk = deskOf(supplier, conversation, base_url);
  let token: Promise<string> | null = null;
  let uuids = 0;

  async function exchange(request: WireRequest): Promise<WireReply> {
    const sent = { ...request, absolute_url: absolute(request.url, base_url) };
    rehearsal.sent.push(sent);
    const next = take(waiting, sent);
    if (!next) throw new WireFailure('timeout', true);
    compareRequest(rehearsal, next, sent, strict);
    return answer(next);
  }
  function signedIn(): Promise<string> {
    token ??= signIn(supplier, { ...rehearsal.wire, send: exchange }, waiting, options.token);
    return token;
  }

  rehearsal.wire = {
    ...desk,
    nonce: (length) => options.nonce ?? options.uuid ?? '0123456789abcdef'.repeat(8).slice(0, length),
    uuid: () => options.uuid ?? options.nonce ?? `00000000-0000-4000-8000-${String(++uuids).padStart(12, '0')}`,
    token: signedIn,
    send: async (request) => {
      const reply = await exchange(request);
      // As the channel's wire: a 401 did nothing, so the same request goes once more with a fresh token. Where the file
      // ends here, the 401 is the end of it.
      if (reply.status !== 401 || token === null || waiting.length === 0) return reply;
      const old = await token;
      token = null;
      return exchange(withToken(request, old, await signedIn()));
    },
  };
  return rehearsal;
}

function deskOf(supplier: Supplier, { options, credentials, clock }: Conversation, base_url: string): Desk {
  const { code } = supplier;
  return {
    now: clock,
    base_url,
    callback_url: options.callback_url ?? 'https://gateway.example/callbacks/test',
    credential: (name) => {
      declared(supplier.credentials, name, code, 'credential');
      return credentials[name] ?? loosely(credentials, name) ?? 'test';
    },
    option: (name) => options[name] ?? declared(supplier.options ?? {}, name, code, 'option').default,
  };
}

function withToken(request: WireRequest, old: string, fresh: string): WireRequest {
  const headers = Object.entries(request.headers ?? {}).map(
    ([name, value]) => [name, value.replace(old, fresh)] as const,
  );
  return { ...request, headers: Object.fromEntries(headers) };
}

function declared<T>(table: Readonly<Record<string, T>>, name: string, adapter: string, what: string): T {
  if (!Object.hasOwn(table, name)) throw new Error(`${adapter} uses the ${what} "${name}" without declaring it`);
  return table[name]!;
}

function absolute(url: string, base_url: string): string {
  return url.startsWith('/') ? base_url + url : url;
}

// The exchange is consumed only where the file holds one for the token; a file that leaves it out means "signed in".
async function signIn(supplier: Supplier, wire: Wire, waiting: Exchange[], given: string | undefined): Promise<string> {
  if (given !== undefined || !supplier.session) return given ?? 'test';
  const unasked = new Error('the conversation holds no token exchange');
  let is_first = true;
  const asking = async (request: WireRequest): Promise<WireReply> => {
    const next = waiting[0];
    if (is_first && !(next && isTokenExchange(next, absolute(request.url, wire.base_url)))) throw unasked;
    is_first = false;
    return wire.send(request);
  };
  try {
    return (await supplier.session({ ...wire, send: asking })).token;
  } catch (error) {
    if (error === unasked) return 'test';
    throw error;
  }
}

function isTokenExchange({ request, response }: Exchange, url: string): boolean {
  const named = read.maybeTextAt(request, 'url');
  if (named !== undefined) return new URL(named, url).pathname === new URL(url).pathname;
  const body = read.at(response, 'body') ?? read.at(response, 'json');
  return /"[^"]*(token|access|authorizationcode)[^"]*"\s*:/i.test(
    typeof body === 'string' ? body : JSON.stringify(body ?? ''),
  );
}

// In the file's order; but a request that the next exchange is plainly not about may be an exchange further on.
function take(waiting: Exchange[], sent: Sent): Exchange | undefined {
  if (waiting[0] && fits(waiting[0], sent)) return waiting.shift();
  const at = waiting.findIndex(
    (exchange) => read.maybeTextAt(exchange.request, 'url') !== undefined && fits(exchange, sent),
  );
  return at > 0 ? waiting.splice(at, 1)[0] : waiting.shift();
}

function fits({ request }: Exchange, sent: Sent): boolean {
  const method = read.maybeTextAt(request, 'method');
  const url = read.maybeTextAt(request, 'url');
  if (method !== undefined && method.toUpperCase() !== sent.method) return false;
  return url === undefined || new URL(url, sent.absolute_url).pathname === new URL(sent.absolute_url).pathname;
}

function compareRequest(rehearsal: Rehearsal, { request }: Exchange, sent: Sent, strict: boolean): void {
  if (!request) return;
  const where = `request ${rehearsal.sent.length}`;
  const say = (sentence: string) => rehearsal.differences.push(`${where}: ${sentence}`);
  const method = read.maybeTextAt(request, 'method');
  if (method !== undefined && method.toUpperCase() !== sent.method) say(`method is ${sent.method}, not ${method}`);
  const url = read.maybeTextAt(request, 'url');
  if (url !== undefined) compareUrl(rehearsal, url, sent, say);
  const sent_headers = Object.fromEntries(
    Object.entries(sent.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  for (const [name, value] of Object.entries(read.at(request, 'headers') ?? {})) {
    const is_right = same(fieldText(value), sent_headers[name.toLowerCase()]);
    if (!is_right) say(`header ${name} ${sent_headers[name.toLowerCase()] === undefined ? 'is missing' : 'differs'}`);
  }
  const base64 = read.maybeTextAt(request, 'body_base64');
  const body = read.at(request, 'body') ?? read.at(request, 'json');
  const sent_body = sent.body === undefined ? '' : sent.body;
  if (base64 !== undefined) {
    if (!Buffer.from(base64, 'base64').equals(Buffer.from(sent_body))) say('the body differs');
  } else if (typeof body === 'string') {
    if (!Buffer.from(body).equals(Buffer.from(sent_body)))
      say(`the body differs from byte ${firstDifference(body, sent_body)}`);
  } else if (body !== undefined && body !== null) {
    compareFields(body, fieldsOf(sent_body.toString()), 'body', strict, say);
  }
}

function compareUrl(rehearsal: Rehearsal, url: string, sent: Sent, say: (sentence: string) => void): void {
  const expected = new URL(url, sent.absolute_url);
  const actual = new URL(sent.absolute_url);
  const is_relative = sent.url.startsWith('/');
  if (rehearsal.sent.length === 1 && is_relative && expected.pathname !== actual.pathname) {
    const path = new URL(sent.url, actual).pathname;
    if (expected.pathname.endsWith(path)) {
      rehearsal.better_base = expected.origin + expected.pathname.slice(0, -path.length);
    }
  }
  if (expected.origin !== actual.origin || expected.pathname !== actual.pathname) {
    say(`url is ${actual.origin}${actual.pathname}, not ${expected.origin}${expected.pathname}`);
  }
  // A query may hold a token, so only names are told.
  const query = new Map([...actual.searchParams].map(([name, value]) => [name, value]));
  for (const [name, value] of expected.searchParams) if (!same(value, query.get(name))) say(`query ${name} differs`);
  if (expected.search !== '') {
    for (const name of query.keys())
      if (!expected.searchParams.has(name)) say(`query has ${name} beside what is expected`);
  }
}

function fieldsOf(body: string): unknown {
  try {
    return read.parseJson(body);
  } catch {
    return read.parseForm(body);
  }
}

function compareFields(
  expected: unknown,
  actual: unknown,
  path: string,
  strict: boolean,
  say: (sentence: string) => void,
): void {
  const is_scalar = (value: unknown) => typeof value !== 'object' || value === null || isLosslessNumber(value);
  if (is_scalar(expected)) {
    const is_right = is_scalar(actual) && sameScalar(expected, actual);
    if (!is_right) say(`${path} ${actual === undefined ? 'is missing' : 'differs'}`);
    return;
  }
  if (is_scalar(actual) || Array.isArray(expected) !== Array.isArray(actual)) {
    // A form carries lists and objects as JSON text.
    if (typeof actual === 'string' && path.split('.').length === 2) {
      compareFields(expected, fieldsOf(actual), `${path}.json`, strict, say);
    } else say(`${path} ${actual === undefined ? 'is missing' : 'differs'}`);
    return;
  }
  const members = actual as Record<string, unknown>;
  for (const [name, value] of Object.entries(expected as object))
    compareFields(value, members[name], `${path}.${name}`, strict, say);
  if (!strict && !Array.isArray(expected)) return;
  for (const name of Object.keys(members)) if (!(name in (expected as object))) say(`${path}.${name} is not expected`);
}

function sameScalar(expected: unknown, actual: unknown): boolean {
  if (expected === '*') return actual !== undefined;
  if (expected === null) return actual === null || actual === undefined;
  // 23.5 and 23.50 are one number; who cares about its digits gives the body as text.
  if (isLosslessNumber(expected) && isLosslessNumber(actual) && Number(expected.value) === Number(actual.value))
    return true;
  return same(fieldText(expected), actual === undefined || actual === null ? undefined : fieldText(actual));
}

/** Equal texts; `*` stands for anything that is there. */
function same(expected: string, actual: string | undefined): boolean {
  return actual !== undefined && (expected === '*' || expected === actual);
}

function firstDifference(expected: string, actual: string | Buffer): number {
  const [left, right] = [Buffer.from(expected), Buffer.from(actual)];
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  return at;
}

function answer({ response }: Exchange): WireReply {
  const failure = read.maybeTextAt(response, 'failure');
  if (failure !== undefined) {
    const { kind, left } = FAILURES[failure] ?? FAILURES.timeout!;
    throw new WireFailure(
      kind,
      read.maybeTextAt(response, 'left') === undefined ? left : read.maybeTextAt(response, 'left') === 'true',
    );
  }
  const status = read.maybeTextAt(response, 'status') === undefined ? 200 : read.integerAt(response, 'status');
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(read.at(response, 'headers') ?? {}))
    headers[name.toLowerCase()] = fieldText(value);
  // The wire follows no redirect.
  if (status >= 300 && status < 400 && status !== 304) throw new WireFailure('redirect', true);
  return { status, headers, body: response ? bodyOf(response, headers['content-type'] ?? '') : Buffer.alloc(0) };
}

/** Strangers spell names their own way: `app_id`, `appId` and `AppId` are one. */
function loosely(texts: Readonly<Record<string, string>>, name: string): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, '');
  return Object.entries(texts).find(([key]) => plain(key) === plain(name))?.[1];
}
