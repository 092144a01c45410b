// Reading what suppliers send: JSON without losing digits, XML, forms, old encodings; then fields, money and times out
// of it. Pure. What is not as the protocol says throws `Unreadable` with the field's path, never with its content.
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import iconv from 'iconv-lite';
import { isLosslessNumber, parse } from 'lossless-json';
import { type Money, Unreadable, type WireReply } from './contract.js';

export type Encoding = 'utf-8' | 'gbk';
export interface ReplyRules {
  encoding?: Encoding;
  /** Read a body that came with HTTP 5xx: only for suppliers that say a definite no that way. */
  allow_5xx?: boolean;
}

/** JSON with numbers kept as received (a bare 16-digit number stays the code it is). Throws `Unreadable`. */
export function parseJson(text: string): unknown {
  try {
    return parse(text);
  } catch {
    throw new Unreadable(text.trim() === '' ? 'the body is empty' : 'the body is not JSON');
  }
}

/** The JSON of a reply. Throws `Unreadable`: doubt `http_5xx` for HTTP 500 and above, else `unreadable`. */
export function readJson(reply: WireReply, rules: ReplyRules = {}): unknown {
  return inReply(reply, rules, () => parseJson(bodyText(reply.body, rules.encoding)));
}

/** The XML of a reply, as `parseXml`. */
export function readXml(reply: WireReply, rules: ReplyRules = {}): unknown {
  return inReply(reply, rules, () => parseXml(bodyText(reply.body, rules.encoding)));
}

/** The text of a reply, for protocols that answer with a bare word. */
export function readText(reply: WireReply, rules: ReplyRules = {}): string {
  return inReply(reply, rules, () => bodyText(reply.body, rules.encoding));
}

function inReply<T>(reply: WireReply, rules: ReplyRules, read: () => T): T {
  if (reply.status >= 500 && !rules.allow_5xx) {
    throw new Unreadable(`HTTP ${reply.status}`, 'http_5xx', reply.status);
  }
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    throw new Unreadable(`HTTP ${reply.status}: ${error.message}`, error.doubt, reply.status);
  }
}

/** Bytes as text; bytes that are no text of that encoding throw `Unreadable`. */
export function bodyText(body: Buffer, encoding: Encoding = 'utf-8'): string {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(body);
  } catch {
    throw new Unreadable(`the body is not ${encoding} text`);
  }
}

/** Text as bytes of an old encoding, for bodies and signatures. Characters it does not have become `?`. */
export function encodeText(text: string, encoding: Encoding): Buffer {
  return encoding === 'gbk' ? iconv.encode(text, 'gbk') : Buffer.from(text);
}

/** Percent-encoding of the GBK bytes; letters, digits and `-_.~` stay. */
export function percentEncodeGbk(text: string): string {
  return Array.from(encodeText(text, 'gbk'), (byte) => {
    const mark = String.fromCharCode(byte);
    return /[\w.~-]/.test(mark) ? mark : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

const xml = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  // The five entities and numeric ones. Declared entities cannot occur: a DOCTYPE is refused before parsing.
  processEntities: true,
  htmlEntities: true,
});

/** XML as nested objects: every leaf is its exact text, a repeated element is a list, an attribute is `@name`. */
export function parseXml(text: string): unknown {
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw new Unreadable('the XML declares entities or a document type');
  if (text.trim() === '' || XMLValidator.validate(text) !== true) throw new Unreadable('the body is not XML');
  return xml.parse(text);
}

/** A form body or a query string as names and values; of a repeated name the first counts. Throws on a broken escape. */
export function parseForm(text: string, encoding: Encoding = 'utf-8'): Record<string, string> {
  const fields: Record<string, string> = Object.create(null);
  for (const pair of text.replace(/^\?/, '').split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = formDecode(at < 0 ? pair : pair.slice(0, at), encoding);
    if (!(name in fields)) fields[name] = at < 0 ? '' : formDecode(pair.slice(at + 1), encoding);
  }
  return { ...fields };
}

function formDecode(text: string, encoding: Encoding): string {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) throw new Unreadable('the form has a broken escape');
  const bytes: Buffer[] = [];
  for (const part of text.replaceAll('+', ' ').split(/((?:%[0-9a-fA-F]{2})+)/)) {
    bytes.push(part.startsWith('%') ? Buffer.from(part.replaceAll('%', ''), 'hex') : Buffer.from(part));
  }
  return bodyText(Buffer.concat(bytes), encoding);
}

/** What stands at a path such as `data.cards.0.no`; undefined where anything on the way is missing. `''` is the root. */
export function at(node: unknown, path: string): unknown {
  let here = node;
  for (const name of path === '' ? [] : path.split('.')) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, name)) return undefined;
    here = (here as Record<string, unknown>)[name];
  }
  return here;
}

/** Text, number (as received) or true/false at the path; undefined if missing, null or empty. Throws on anything else. */
export function maybeTextAt(node: unknown, path: string): string | undefined {
  const value = at(node, path);
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  if (isLosslessNumber(value)) return value.value;
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  throw new Unreadable(`${path} is not a text`);
}

/** As `maybeTextAt`, but it must be there and not be empty. */
export function textAt(node: unknown, path: string): string {
  const text = maybeTextAt(node, path);
  if (text === undefined) throw new Unreadable(`${path} is missing`);
  return text;
}

/** The first of several spellings of one field that holds a text; lists and objects are passed over. */
export function firstTextAt(node: unknown, paths: readonly string[]): string | undefined {
  const path = paths.find((path) => isText(at(node, path)) && maybeTextAt(node, path) !== undefined);
  return path === undefined ? undefined : maybeTextAt(node, path);
}

function isText(value: unknown): boolean {
  return typeof value !== 'object' || value === null || isLosslessNumber(value);
}

/** A whole number, given as number or text. */
export function integerAt(node: unknown, path: string): number {
  const text = textAt(node, path);
  const number = /^-?\d+(\.0+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new Unreadable(`${path} is not a whole number`);
  return number;
}

/** The list at the path; it must be there. */
export function listAt(node: unknown, path: string): readonly unknown[] {
  const value = at(node, path);
  if (!Array.isArray(value)) throw new Unreadable(`${path || 'the body'} is not a list`);
  return value;
}

/** The items at the path: a missing one is none, a single one (XML, careless JSON) is a list of one. */
export function itemsAt(node: unknown, path: string): readonly unknown[] {
  const value = at(node, path);
  if (value === undefined || value === null || value === '') return [];
  return Array.isArray(value) ? value : [value];
}

/** The object at the path; it must be there. */
export function objectAt(node: unknown, path: string): Readonly<Record<string, unknown>> {
  const value = at(node, path);
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isLosslessNumber(value)) {
    throw new Unreadable(`${path || 'the body'} is not an object`);
  }
  return value as Record<string, unknown>;
}

/** What one unit of a received number is; a divisor n says that n of it are one main unit. */
export type Unit = 'main' | 'cent' | 'e4' | { divisor: number };

/**
 * Money text as ten-thousandths of the main unit, exactly: "4.8715" is 48715. What is finer than a ten-thousandth is
 * rounded away from zero, so that a cost is never taken for less than it is. Throws `Unreadable` on anything but a
 * plain decimal number (an exponent is allowed, thousands separators are not).
 */
export function toE4(text: string, unit: Unit = 'main'): number {
  const match = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text.trim());
  if (!match) throw new Unreadable('an amount is not a decimal number');
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const shift = Number(exponent) - fraction.length;
  let above = BigInt(whole + fraction) * 10_000n * 10n ** BigInt(Math.max(shift, 0));
  const below = 10n ** BigInt(Math.max(-shift, 0)) * BigInt(perMain(unit));
  above = (above + below - 1n) / below;
  const amount = Number(above) * (sign === '-' && above > 0n ? -1 : 1);
  if (!Number.isSafeInteger(amount)) throw new Unreadable('an amount is too large');
  return amount;
}

function perMain(unit: Unit): number {
  return typeof unit === 'object' ? unit.divisor : { main: 1, cent: 100, e4: 10_000 }[unit];
}

/** Money from text. `currency` is an ISO 4217 code in any letter case; null (no one named it) throws `Unreadable`. */
export function money(text: string, currency: string | null | undefined, unit: Unit = 'main'): Money {
  const code = currency?.toUpperCase() ?? '';
  if (!/^[A-Z]{3}$/.test(code)) throw new Unreadable('an amount has no currency');
  return { amount_e4: toE4(text, unit), currency: code };
}

/** Money at a path, in the supplier's unit; `terms` is the adapter's `money` fact, or one with the reply's currency. */
export function moneyAt(node: unknown, path: string, terms: { currency: string | null; unit: Unit }): Money {
  return money(textAt(node, path), terms.currency, terms.unit);
}
export function maybeMoneyAt(
  node: unknown,
  path: string,
  terms: { currency: string | null; unit: Unit },
): Money | undefined {
  const text = maybeTextAt(node, path);
  return text === undefined ? undefined : money(text, terms.currency, terms.unit);
}

/** The price of one unit times the quantity. */
export function timesQuantity(price: Money | undefined, quantity: number): Money | undefined {
  return price && { amount_e4: price.amount_e4 * quantity, currency: price.currency };
}

/** "4.8715". With `decimals` exactly so many, cut off: a ceiling may be told too low, never too high. */
export function decimalText(amount_e4: number, decimals?: number): string {
  const digits = String(Math.abs(amount_e4)).padStart(5, '0');
  const whole = `${amount_e4 < 0 ? '-' : ''}${digits.slice(0, -4)}`;
  const fraction = digits.slice(-4);
  const shown =
    decimals === undefined ? fraction.replace(/0+$/, '') : fraction.padEnd(decimals, '0').slice(0, decimals);
  return shown === '' ? whole : `${whole}.${shown}`;
}

/**
 * Milliseconds since the epoch of a time in any of the usual spellings: 10 digits of seconds, 13 of milliseconds,
 * `2026-01-01T08:00:00.000Z`, `2026-01-01 08:00:00`, `20260101080000`, `2026/01/01`. `zone` (`Z`, `+08:00`) holds
 * where the text names none. Throws `Unreadable`.
 */
export function parseTime(text: string, zone: string): number {
  const trimmed = text.trim();
  if (/^\d{10}$/.test(trimmed)) return Number(trimmed) * 1000;
  if (/^\d{13}$/.test(trimmed)) return Number(trimmed);
  const match =
    /^(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?:[ T]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,]?(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?$/i.exec(
      trimmed,
    );
  if (!match) throw new Unreadable('a time is not in a known form');
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '0', named] = match;
  const wall = `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.padEnd(3, '0').slice(0, 3)}`;
  const time = Date.parse(wall + (named ?? zone).toUpperCase().replace(/^([+-]\d\d):?(\d\d)$/, '$1:$2'));
  if (Number.isNaN(time)) throw new Unreadable('a time does not exist');
  return time;
}

/** A code's expiry; undefined if missing, zero or not readable, because a code is never lost for its date. */
export function expiryOf(text: string | undefined, zone: string): number | undefined {
  if (text === undefined || /^0+$/.test(text)) return undefined;
  try {
    return parseTime(text, zone);
  } catch {
    return undefined;
  }
}

/** A time in a pattern of `yyyy MM dd HH mm ss SSS`, on the wall clock of `zone` (`Z` or `+08:00`). */
export function timeText(at_ms: number, pattern: string, zone: string): string {
  const offset = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  const shift_ms = offset ? Number(`${offset[1]}1`) * (Number(offset[2]) * 60 + Number(offset[3])) * 60_000 : 0;
  const iso = new Date(at_ms + shift_ms).toISOString();
  const parts: Record<string, string> = { yyyy: iso.slice(0, 4), MM: iso.slice(5, 7), dd: iso.slice(8, 10) };
  Object.assign(parts, { HH: iso.slice(11, 13), mm: iso.slice(14, 16), ss: iso.slice(17, 19), SSS: iso.slice(20, 23) });
  return pattern.replace(/yyyy|MM|dd|HH|mm|SSS|ss/g, (token) => parts[token]!);
}

/** Seconds since the epoch, as most protocols want their timestamp. */
export function secondsText(at_ms: number): string {
  return String(Math.floor(at_ms / 1000));
}

/** The page number a cursor stands for; the first one is `first`. Throws on a cursor that is not ours. */
export function pageOf(cursor: string | null, first = 1): number {
  if (cursor === null) return first;
  if (!/^\d{1,7}$/.test(cursor)) throw new Unreadable('the cursor is not a page number');
  return Number(cursor);
}

/** The next cursor: null when this page was not full, or when `total` says that it was the last. */
export function nextPage(page: number, count: number, size: number, total?: number): string | null {
  const is_last = count === 0 || (total === undefined ? count < size : page * size >= total);
  return is_last ? null : String(page + 1);
}
