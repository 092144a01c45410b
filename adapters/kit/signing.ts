// The ways suppliers ask for a request to be signed, as small pure functions: first a text is made of the fields, then
// a digest of the text. MD5 and SHA-1 stand here because supplier protocols force them; nothing of ours uses them.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { isLosslessNumber } from 'lossless-json';

export type DigestName = 'md5' | 'sha1' | 'sha256' | 'sha512';
/** `hex` is lower case, `HEX` is upper case. */
export type DigestForm = 'hex' | 'HEX' | 'base64' | 'base64url';
export type Content = string | Buffer;
/** What a field may hold before it becomes text. Null and undefined are never sent and never signed. */
export type FieldValue = unknown;
export type Fields = Readonly<Record<string, FieldValue>>;

/** Digest of text (as UTF-8) or bytes. */
export function digest(name: DigestName, content: Content, form: DigestForm = 'hex'): string {
  return inForm(createHash(name).update(content).digest(), form);
}
export function md5(content: Content, form: DigestForm = 'hex'): string {
  return digest('md5', content, form);
}
export function sha1(content: Content, form: DigestForm = 'hex'): string {
  return digest('sha1', content, form);
}
export function sha256(content: Content, form: DigestForm = 'hex'): string {
  return digest('sha256', content, form);
}

/** Keyed digest (RFC 2104). The secret comes first, as in every formula that names it. */
export function hmac(name: DigestName, secret: Content, content: Content, form: DigestForm = 'hex'): string {
  return inForm(createHmac(name, secret).update(content).digest(), form);
}
export function hmacSha256(secret: Content, content: Content, form: DigestForm = 'hex'): string {
  return hmac('sha256', secret, content, form);
}

function inForm(bytes: Buffer, form: DigestForm): string {
  return form === 'HEX' ? bytes.toString('hex').toUpperCase() : bytes.toString(form);
}

/** Whether two texts are equal, in a time that does not tell where they differ. A missing one equals nothing. */
export function sameText(left: string | undefined | null, right: string | undefined | null): boolean {
  if (left === undefined || left === null || right === undefined || right === null) return false;
  const a = createHash('sha256').update(left).digest();
  const b = createHash('sha256').update(right).digest();
  return timingSafeEqual(a, b);
}

/** As `sameText`, for hex digests whose letter case the supplier leaves open. */
export function sameHex(left: string | undefined | null, right: string | undefined | null): boolean {
  return sameText(left?.toLowerCase(), right?.toLowerCase());
}

/** `Basic …` of RFC 7617, for an `authorization` header. */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

export interface JoinRules {
  /** Names that take no part, such as `sign`. */
  omit?: readonly string[];
  /** What to do with empty strings; null and undefined never take part. Default `drop`. */
  empty?: 'drop' | 'keep';
  /** `sorted` by code unit (ASCII order), `given` as written, or a fixed list of names. Default `sorted`. */
  order?: 'sorted' | 'given' | readonly string[];
  /** Between name and value, and between pairs. Defaults `=` and `&`; both `''` for `k1v1k2v2`. */
  equals?: string;
  between?: string;
}

/**
 * The text most signatures are made of: `a=1&b=2`, raw values, no URL encoding. The secret's suffix is the caller's to
 * add: `${text}&key=${key}`, `${text}${key}`, `${key}${text}`. A fixed list keeps an absent field as the empty text
 * where `empty` is `keep`.
 */
export function joinFields(fields: Fields, rules: JoinRules = {}): string {
  const { equals = '=', between = '&' } = rules;
  return pairsOf(fields, rules)
    .map(([name, value]) => `${name}${equals}${value}`)
    .join(between);
}

/** As `joinFields` with nothing between: `k1v1k2v2`. */
export function concatFields(fields: Fields, rules: JoinRules = {}): string {
  return joinFields(fields, { ...rules, equals: '', between: '' });
}

/** The name and value pairs that `joinFields` would join, in its order. */
export function pairsOf(fields: Fields, rules: JoinRules = {}): [string, string][] {
  const { omit = [], empty = 'drop', order = 'sorted' } = rules;
  const names = typeof order === 'string' ? Object.keys(fields) : [...order];
  if (order === 'sorted') names.sort(byCodeUnit);
  const pairs: [string, string][] = [];
  for (const name of names) {
    if (omit.includes(name)) continue;
    const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const is_absent = value === undefined || value === null;
    if (is_absent && typeof order === 'string') continue;
    const text = is_absent ? '' : fieldText(value);
    if (text !== '' || empty === 'keep') pairs.push([name, text]);
  }
  return pairs;
}

/** A field as text: numbers as received, true and false as words, lists and objects as compact JSON. */
export function fieldText(value: FieldValue): string {
  if (typeof value === 'string') return value;
  if (isLosslessNumber(value)) return value.value;
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? compactJson(value) : String(value);
}

export interface JsonRules {
  /** `given` as written, `top` sorts the outermost names, `deep` all. Lists keep their order. Default `given`. */
  sort?: 'given' | 'top' | 'deep';
  /** PHP writes `/` as `\/` unless told otherwise. Default false. */
  escape_slashes?: boolean;
  /** PHP and Python write non-ASCII as `\uXXXX` unless told otherwise. Default false. */
  escape_unicode?: boolean;
}

/** JSON without spaces. Numbers of a received reply come out as they came in. Undefined members are left out. */
export function compactJson(value: unknown, rules: JsonRules = {}): string {
  let text = jsonText(value, rules.sort ?? 'given');
  if (rules.escape_slashes) text = text.replaceAll('/', '\\/');
  if (rules.escape_unicode) {
    text = text.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  }
  return text;
}

function jsonText(value: unknown, sort: 'given' | 'top' | 'deep'): string {
  if (isLosslessNumber(value)) return value.value;
  if (value === undefined || value === null) return 'null';
  if (typeof value !== 'object') return typeof value === 'bigint' ? String(value) : JSON.stringify(value);
  const below = sort === 'top' ? 'given' : sort;
  if (Array.isArray(value)) return `[${value.map((item) => jsonText(item, below)).join(',')}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  if (sort !== 'given') members.sort(([a], [b]) => byCodeUnit(a, b));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${jsonText(member, below)}`).join(',')}}`;
}

/** All characters (code points, not bytes) of a text in ascending order, as the Fulu family signs JSON. */
export function sortCharacters(text: string): string {
  return Array.from(text, (character) => character.codePointAt(0)!)
    .sort((a, b) => a - b)
    .map((point) => String.fromCodePoint(point))
    .join('');
}

/** RFC 3986: everything but letters, digits and `-_.~` becomes %XX of its UTF-8 bytes. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** `application/x-www-form-urlencoded`: as `percentEncode`, but a space is `+`. */
export function formEncode(text: string): string {
  return percentEncode(text).replaceAll('%20', '+').replaceAll('~', '%7E');
}

/** `a=1&b=2` with encoded names and values, in the order given; null and undefined are left out, empty is kept. */
export function queryText(fields: Fields, encode: (text: string) => string = percentEncode): string {
  return pairsOf(fields, { order: 'given', empty: 'keep' })
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&');
}

/**
 * PHP's http_build_query: nested names become `a[b]=…`, true is 1 and false is 0, nulls vanish, empty texts stay.
 * Pass the identity as `encode` for the raw text that a urldecode of it would give.
 */
export function phpQuery(fields: Fields, encode: (text: string) => string = formEncode): string {
  const pairs: string[] = [];
  const walk = (prefix: string, value: unknown): void => {
    if (value === null || value === undefined) return;
    if (typeof value === 'object' && !isLosslessNumber(value)) {
      for (const [name, member] of Object.entries(value)) walk(prefix === '' ? name : `${prefix}[${name}]`, member);
      return;
    }
    const text = typeof value === 'boolean' ? (value ? '1' : '0') : fieldText(value);
    pairs.push(`${encode(prefix)}=${encode(text)}`);
  };
  walk('', fields);
  return pairs.join('&');
}

/** A URL whose query pairs are sorted as raw text, as canonical requests want it. */
export function sortQuery(url: string): string {
  const at = url.indexOf('?');
  if (at < 0) return url;
  return `${url.slice(0, at)}?${url
    .slice(at + 1)
    .split('&')
    .sort(byCodeUnit)
    .join('&')}`;
}

/** Path of a URL or of a path with a query, without the query. */
export function pathOf(url: string): string {
  return new URL(url, 'https://host.invalid').pathname;
}

/** `v1,<base64>` of Standard Webhooks 1.0.0 (Svix): the secret is `whsec_` and base64, the text is `id.timestamp.body`. */
export function standardWebhook(secret: string, id: string, timestamp: string, body: Content): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), Buffer.from(body)]);
  return `v1,${hmac('sha256', key, content, 'base64')}`;
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
