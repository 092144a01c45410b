// Takes credentials and codes out of text that people may read: transcripts, messages, test output.
import { md5, percentEncode } from './signing.js';

export const SEALED = '[sealed]';
// Shorter texts are no secrets, and hiding every "1" or "ok" would hide the transcript itself.
const SHORTEST = 4;

/**
 * The text with every occurrence of a secret replaced by `[sealed]`: as it is, percent-encoded, as a form field, inside
 * JSON (also JSON within JSON, `\uXXXX`, `\/`), XML-escaped, in hex, in base64 at any offset (so inside a `Basic`
 * header), and as the MD5 that some protocols send in place of a password. Secrets of under four characters are not
 * replaced.
 */
export function scrub(text: string, secrets: readonly string[]): string {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length >= SHORTEST) for (const form of formsOf(secret)) forms.add(form);
  }
  let clean = text;
  for (const form of [...forms].sort((a, b) => b.length - a.length)) {
    if (form.length >= SHORTEST) clean = replaceAny(clean, form);
  }
  return clean;
}

function replaceAny(text: string, form: string): string {
  // Escapes are written in either letter case.
  if (!/%[0-9A-F]{2}|\\u[0-9a-f]{4}|^[0-9a-f]{8,}$/.test(form)) return text.replaceAll(form, SEALED);
  const pattern = form
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replace(/%[0-9A-F]{2}/g, (byte) => `%${eitherCase(byte.slice(1))}`)
    .replace(/\\\\u[0-9a-f]{4}/g, (unit) => `\\\\u${eitherCase(unit.slice(3))}`);
  const whole = /^[0-9a-f]{8,}$/.test(form);
  return text.replace(new RegExp(pattern, whole ? 'gi' : 'g'), SEALED);
}

function eitherCase(hex: string): string {
  return hex.replace(/[a-f]/gi, (digit) => `[${digit.toLowerCase()}${digit.toUpperCase()}]`);
}

function* formsOf(secret: string): Generator<string> {
  yield secret;
  yield encodeURI(secret);
  yield encodeURIComponent(secret);
  yield percentEncode(secret);
  yield percentEncode(secret).replaceAll('%20', '+');
  yield encodeURIComponent(secret).replaceAll('%20', '+');
  yield* jsonForms(secret);
  yield xmlEscaped(secret);
  yield Buffer.from(secret).toString('hex');
  yield md5(secret);
  yield* base64Forms(Buffer.from(secret));
}

function* jsonForms(secret: string): Generator<string> {
  const once = JSON.stringify(secret).slice(1, -1);
  const slashed = once.replaceAll('/', '\\/');
  const ascii = (text: string) =>
    text.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  for (const form of [once, slashed, ascii(once), ascii(slashed)]) {
    yield form;
    yield JSON.stringify(form).slice(1, -1);
  }
}

function xmlEscaped(secret: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };
  return secret.replace(/[&<>"']/g, (mark) => names[mark]!);
}

// Base64 of the secret inside a longer text depends on where it begins: three offsets, less the digits at both ends
// that neighbours share.
function* base64Forms(bytes: Buffer): Generator<string> {
  for (const offset of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const from = offset === 0 ? 0 : offset + 1;
    const to = text.length - ((offset + bytes.length) % 3 === 0 ? 0 : 1);
    const inner = text.slice(from, to);
    // What is this short stands in other base64 by chance.
    if (inner.length < 6) continue;
    yield inner;
    yield inner.replaceAll('+', '-').replaceAll('/', '_');
    yield encodeURIComponent(inner);
  }
}
