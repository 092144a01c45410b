// What a request may hold: strict schemas, every fault of a body or a query named by a JSON pointer with what would be
// right, and the API's spellings of money and time turned into ours. No value is ever repeated: it may be a recipient.
import { z } from 'zod';
import { closest } from '../../config/closest.js';
import { type FieldError, GatewayError } from '../errors.js';

/** More faults than these teach nothing. */
const ERRORS_MAX = 20;
/** A longer name is no slip of the hand, and comparing it costs time. */
const NAME_LENGTH_MAX = 40;
const PAGE_DEFAULT = 50;
const PAGE_MAX = 200;
/** Eleven digits and four places stay within what a number holds exactly. */
const DECIMAL = /^\d{1,11}(?:\.\d{1,4})?$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

type Shape = Record<string, z.ZodType>;

/** An object of exactly these fields. */
export function strictObject<S extends Shape>(shape: S) {
  return z.strictObject(shape, { error: 'must be an object' });
}

/** `value` as the schema reads it. Throws `validation_failed` with every fault of a body. */
export function checkBody<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = fieldErrors(schema, value, result.error);
  throw new GatewayError('validation_failed', sentenceOf(errors), {
    field: fieldOf(errors) ?? 'body',
    fix: 'Correct the fields that `errors` names and send the request again.',
    errors,
  });
}

/** The query of a URL as the schema reads it. Throws `bad_request`, and `invalid_cursor` where that is the fault. */
export function checkQuery<T>(schema: z.ZodType<T>, url: string): T {
  const value = queryOf(url);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = fieldErrors(schema, value, result.error);
  const only_cursor = errors.every((error) => error.pointer === '/cursor');
  throw new GatewayError(only_cursor ? 'invalid_cursor' : 'bad_request', sentenceOf(errors), {
    field: fieldOf(errors) ?? 'query',
    fix: only_cursor
      ? 'Send `next` of the last page unchanged, or leave cursor out to begin again.'
      : 'Correct the query parameters that `errors` names.',
    errors,
  });
}

const NOTHING = strictObject({});
/** Throws `bad_request` for a query on a path that takes none. */
export function checkNoQuery(url: string): void {
  if (url.includes('?')) checkQuery(NOTHING, url);
}

function queryOf(url: string): Record<string, string> {
  const start = url.indexOf('?');
  const values: Record<string, string> = {};
  if (start < 0) return values;
  for (const [name, value] of new URLSearchParams(url.slice(start + 1))) {
    if (Object.hasOwn(values, name)) {
      throw new GatewayError('bad_request', `the query names ${shownName(name)} twice`, {
        field: shownName(name),
        fix: 'Send each parameter once.',
        errors: [{ pointer: pointerOf([name]), code: 'repeated', message: 'must be sent once' }],
      });
    }
    // Defined, not assigned: `__proto__` is a name like any other here.
    Object.defineProperty(values, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return values;
}

/** The first field at fault, as its owner writes it. */
function fieldOf(errors: readonly FieldError[]): string | null {
  const pointer = errors[0]?.pointer ?? '';
  return pointer === '' ? null : pointer.slice(1).replaceAll('~1', '/').replaceAll('~0', '~');
}

function sentenceOf(errors: readonly FieldError[]): string {
  return errors.map(({ pointer, message }) => `${pointer.slice(1) || 'the body'} ${message}`).join('; ');
}

function fieldErrors(schema: z.ZodType, value: unknown, error: z.ZodError): FieldError[] {
  const errors: FieldError[] = [];
  for (const issue of error.issues) {
    if (issue.code === 'unrecognized_keys') {
      const known = knownFields(schema, issue.path);
      // A slice first: a body may hold a hundred thousand of them.
      for (const key of issue.keys.slice(0, ERRORS_MAX)) errors.push(unknownField([...issue.path, key], known));
    } else {
      errors.push({ pointer: pointerOf(issue.path), code: codeOf(issue, value), message: messageOf(issue, value) });
    }
    if (errors.length >= ERRORS_MAX) break;
  }
  return errors.slice(0, ERRORS_MAX);
}

function unknownField(path: PropertyKey[], known: readonly string[]): FieldError {
  const name = String(path.at(-1));
  const guess = name.length <= NAME_LENGTH_MAX ? closest(name, known) : null;
  const list = known.length > 0 ? `; known here: ${known.join(', ')}` : '';
  const message = guess ? `is not known; did you mean ${guess}?` : `is not known; remove it${list}`;
  return { pointer: pointerOf(path), code: 'unknown_field', message };
}

/** The fields of the object at a path, looking through what makes it optional. */
function knownFields(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at = plainSchema(schema);
  for (const key of path) {
    if (!(at instanceof z.ZodObject)) return [];
    at = plainSchema((at.shape as Record<PropertyKey, unknown>)[key]);
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function plainSchema(schema: unknown): unknown {
  if (schema instanceof z.ZodPipe) return plainSchema(schema.in);
  const is_wrapped =
    schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault;
  return is_wrapped ? plainSchema(schema.unwrap()) : schema;
}

type Issue = z.ZodError['issues'][number];

function codeOf(issue: Issue, value: unknown): string {
  if (isAbsent(issue, value)) return 'required';
  if (issue.code === 'invalid_type') return 'type';
  if (issue.code === 'custom' && typeof issue.params?.code === 'string') return issue.params.code;
  return issue.code === 'too_small' || issue.code === 'too_big' ? issue.code : 'invalid';
}

function messageOf(issue: Issue, value: unknown): string {
  return isAbsent(issue, value) ? `is required: it ${issue.message}` : issue.message;
}

function isAbsent(issue: Issue, value: unknown): boolean {
  if (issue.code !== 'invalid_type' || issue.path.length === 0) return false;
  let at = value;
  for (const key of issue.path) {
    if (typeof at !== 'object' || at === null) return false;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at === undefined;
}

function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${shownName(String(key)).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function shownName(name: string): string {
  return name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX)}…` : name;
}

/** Text of at most so many characters, without halves of surrogate pairs: no database holds those. */
export function text(length_max: number) {
  const error = `must be a text of at most ${length_max} characters`;
  return z
    .string(error)
    .max(length_max, error)
    .refine((value) => !/\p{Surrogate}/u.test(value), 'must be well-formed Unicode');
}

/**
 * 1 to 64 printable ASCII characters, no space at either end. A trailing space would be ignored by MySQL's comparison,
 * and letters that only look alike would make two names of one.
 */
export function printable() {
  const error = 'must be a text of 1 to 64 printable ASCII characters without a space at either end';
  return z.string(error).regex(/^[!-~](?:[ -~]{0,62}[!-~])?$/, error);
}

export function wholeNumber(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int(error).min(min, error).max(max, error);
}

/** "4.8715" → 48715. Throws nothing: a text that is no amount is a fault of its field. */
export function amount() {
  const error = 'must be a decimal text of at most four places, such as "9.50"';
  return z.string(error).regex(DECIMAL, error).transform(readDecimal);
}

function readDecimal(decimal: string): number {
  const [whole = '', places = ''] = decimal.split('.');
  return Number(whole) * 10_000 + Number(places.padEnd(4, '0'));
}

export function currency() {
  const error = 'must be an ISO 4217 code of three capital letters, such as CNY';
  return z.string(error).regex(/^[A-Z]{3}$/, error);
}

/** RFC 3339 with an offset → milliseconds since the epoch. */
export function time() {
  const error = 'must be an RFC 3339 time with an offset, such as 2026-01-01T08:00:00Z';
  return z.string(error).transform((value, context) => {
    const at = readTime(value);
    if (at !== null) return at;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
}

function readTime(value: string): number | null {
  const match = TIME.exec(value);
  if (!match) return null;
  const [, year, month, day, hour] = match.map(Number);
  // Date.parse takes 30 February for 2 March, and hour 24 for the next day.
  const is_day = new Date(Date.UTC(year!, month! - 1, day)).getUTCDate() === day;
  const at = Date.parse(value.toUpperCase());
  return is_day && hour! < 24 && !Number.isNaN(at) ? at : null;
}

/** `limit` of a page, from a query. */
export function pageLimit() {
  const error = `must be a whole number from 1 to ${PAGE_MAX}`;
  return z
    .string()
    .regex(/^[1-9]\d{0,2}$/, error)
    .transform(Number)
    .refine((limit) => limit <= PAGE_MAX, error)
    .default(PAGE_DEFAULT);
}
