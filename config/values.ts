// What each type of setting takes, and what it makes of it. Pure: text in, value or a sentence out. No sentence ever
// repeats the text: it may be a secret in the wrong place.
import { isIP } from 'node:net';
import type { Option } from './options.js';

/** A secret setting. It prints as `[sealed]`; only `reveal()` gives the text. */
export class HiddenText {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  reveal(): string {
    return this.#text;
  }
  toString(): string {
    return '[sealed]';
  }
  toJSON(): string {
    return '[sealed]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[sealed]';
  }
}

export type Value = string | number | boolean | readonly number[];
export type Read = { value: Value } | { wrong: string };

/** Reads `text` as the option's type: its value, or what is wrong, without repeating the text. */
export function readValue(option: Option, text: string): Read {
  switch (option.type) {
    case 'text':
    case 'path':
      return text.includes('\0') ? { wrong: 'holds a zero byte' } : { value: text };
    case 'host':
      return isHost(text) ? { value: text } : { wrong: 'is not a host name or an IP address' };
    case 'integer':
    case 'port':
      return readInteger(option, text);
    case 'flag':
      return readFlag(text);
    case 'choice':
      return option.choices?.includes(text)
        ? { value: text }
        : { wrong: `is not one of ${option.choices?.join(', ')}` };
    case 'public_url':
      return readPublicUrl(text);
    case 'database_url':
      return readDatabaseUrl(text);
    case 'ladder_ms':
      return readLadder(option, text);
  }
}

/** Whether the text of a secret option really holds a secret: a database URL without a password does not. */
export function holdsSecret(option: Option, text: string): boolean {
  if (!option.is_secret) return false;
  if (option.type !== 'database_url') return true;
  // Where the URL cannot be read, doubt says that it does.
  return !text.startsWith('sqlite:') && parseUrl(text)?.password !== '';
}

function readInteger({ min = 0, max = Number.MAX_SAFE_INTEGER }: Option, text: string): Read {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return { value };
  return { wrong: `is not a whole number from ${min} to ${max}` };
}

function readFlag(text: string): Read {
  if (['true', 'yes', '1'].includes(text)) return { value: true };
  if (['false', 'no', '0'].includes(text)) return { value: false };
  return { wrong: 'is neither true nor false' };
}

/** Rungs a ladder may have: it is also printed in what storefronts read. */
const RUNGS_MAX = 20;

function readLadder(option: Option, text: string): Read {
  const rungs = text.split(',').map((rung) => readInteger(option, rung.trim()));
  const values = rungs.flatMap((rung) => ('value' in rung ? [rung.value as number] : []));
  if (values.length === rungs.length && rungs.length <= RUNGS_MAX) return { value: Object.freeze(values) };
  return {
    wrong: `is not a list of 1 to ${RUNGS_MAX} whole numbers from ${option.min} to ${option.max}, between commas`,
  };
}

function readPublicUrl(text: string): Read {
  const url = parseUrl(text);
  if (!url || !['http:', 'https:'].includes(url.protocol)) return { wrong: 'is not an http or https URL' };
  if (url.username || url.password) return { wrong: 'holds a user name or password' };
  if (url.search || url.hash) return { wrong: 'holds a query or fragment' };
  return { value: url.href.replace(/\/+$/, '') };
}

function readDatabaseUrl(text: string): Read {
  if (text.startsWith('sqlite:')) {
    const path = text.slice('sqlite:'.length).replace(/^\/\//, '');
    return path === '' ? { wrong: 'names no file after sqlite:' } : { value: text };
  }
  const url = parseUrl(text);
  if (url?.protocol !== 'mysql:') return { wrong: 'begins with neither sqlite: nor mysql://' };
  if (url.hostname === '') return { wrong: 'names no host' };
  if (url.pathname.length < 2) return { wrong: 'names no database after the host' };
  return { value: text };
}

function parseUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}

function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9][a-z0-9-]{0,62})*$/i.test(text);
}
