// The content of a code as bytes: fields one after the other, each with its length before it, so that what comes out
// is what went in. Nothing here trims, decodes or cleans.
import { VaultError } from './errors.js';
import { Content, type Plain, type PlainCode, type RevealedCode } from './types.js';

const FIELDS = ['number', 'pin', 'serial', 'link'] as const;
type Field = (typeof FIELDS)[number];

export const FIELD_BYTES_MAX = 4096;
const HEAD_BYTES = 3;

/**
 * Turns a code into bytes. `identity` is what makes two codes the same code: number, PIN and link; a serial is the
 * supplier's label and may differ. Throws `invalid` with the field's name for no content, or a field too long.
 */
export function encodeContent(code: PlainCode): { content: Buffer; identity: Buffer } {
  const parts: Buffer[] = [];
  const identity: Buffer[] = [];
  let length = 0;
  for (const [at, field] of FIELDS.entries()) {
    const bytes = fieldBytes(code, field);
    if (!bytes) continue;
    const part = [Buffer.from([at, bytes.length >> 8, bytes.length & 255]), bytes];
    parts.push(...part);
    if (field === 'serial') continue;
    identity.push(...part);
    length += bytes.length;
  }
  if (length === 0) {
    throw new VaultError('invalid', 'the code is empty', {
      field: 'number',
      fix: 'A code needs at least one of number, pin and link.',
    });
  }
  const content = Buffer.concat(parts);
  return { content, identity: identity.length === parts.length ? content : Buffer.concat(identity) };
}

/** The identity of content that was opened: the same bytes as `identityContent` gave before it was sealed. */
export function identityOf(content: Buffer): Buffer {
  const parts: Buffer[] = [];
  eachField(content, (field, from, to) => {
    if (field !== 'serial') parts.push(content.subarray(from - HEAD_BYTES, to));
  });
  return Buffer.concat(parts);
}

/** The fields of opened content. */
export function decodeContent(content: Buffer): Pick<RevealedCode, Field> {
  const fields: Pick<RevealedCode, Field> = {};
  eachField(content, (field, from, to) => {
    fields[field] = new Content(Buffer.from(content.subarray(from, to)));
  });
  return fields;
}

function eachField(content: Buffer, take: (field: Field, from: number, to: number) => void): void {
  for (let at = 0; at < content.length; ) {
    const field = FIELDS[content[at]!];
    if (field === undefined) throw new Error('must hold: opened content names a known field');
    const from = at + HEAD_BYTES;
    at = from + content.readUInt16BE(from - 2);
    take(field, from, at);
  }
}

function fieldBytes(code: PlainCode, field: Field): Buffer | null {
  const plain = code[field];
  if (plain === undefined) return null;
  const bytes = plainBytes(plain, field);
  if (bytes.length > FIELD_BYTES_MAX) {
    throw new VaultError('invalid', `${field} is ${bytes.length} bytes long`, {
      field,
      fix: `A field of a code holds at most ${FIELD_BYTES_MAX} bytes.`,
    });
  }
  return bytes;
}

function plainBytes(plain: Plain, field: Field): Buffer {
  if (plain instanceof Uint8Array) return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  if (plain instanceof Content) return plain.bytes();
  const text = typeof plain === 'string' ? plain : plain.reveal();
  // UTF-8 has no bytes for half a surrogate pair: it would be replaced, and what comes out would differ.
  if (/\p{Surrogate}/u.test(text)) {
    throw new VaultError('invalid', `${field} holds half a surrogate pair`, {
      field,
      fix: 'Hand the field over as bytes, exactly as they were received.',
    });
  }
  return Buffer.from(text, 'utf8');
}
