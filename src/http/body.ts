// Reading a request's body: bytes up to a limit, and JSON from them. Written by hand because body-parser costs more
// than the whole of our own handling of an order.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.js';

/**
 * Read and thrown away beyond the limit, so that a client that sends before it listens sees our answer rather than a
 * reset. Whoever sends still more is cut off.
 */
const DISCARD_BYTES_MAX = 16_000_000;
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i;

/** The client hung up before its request was whole. Nobody is there to be answered. */
export class ClientGone extends Error {}

/** Throws `unsupported_media_type` unless the body is declared as plain JSON. */
export function checkJsonType(request: IncomingMessage): void {
  const type = request.headers['content-type'];
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new GatewayError('unsupported_media_type', 'the body is compressed', {
      field: 'Content-Encoding',
      fix: 'Send the body uncompressed.',
    });
  }
  if (type === 'application/json' || (type !== undefined && JSON_TYPE.test(type))) return;
  throw new GatewayError('unsupported_media_type', 'the body is not declared as JSON', {
    field: 'Content-Type',
    fix: 'Send the header `Content-Type: application/json` and JSON in UTF-8.',
  });
}

/** The body's bytes. Throws `body_too_large` above `limit_bytes`, and `ClientGone`. */
export function readBody(request: IncomingMessage, limit_bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const declared = Number(request.headers['content-length'] ?? 0);
    if (declared > limit_bytes + DISCARD_BYTES_MAX) {
      reject(tooLarge(limit_bytes));
      return;
    }
    let chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limit_bytes) chunks.push(chunk);
      else chunks = [];
      if (length > limit_bytes + DISCARD_BYTES_MAX) {
        request.pause();
        reject(tooLarge(limit_bytes));
      }
    });
    request.on('end', () => {
      if (length > limit_bytes) reject(tooLarge(limit_bytes));
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length));
    });
    request.on('error', (error) => reject(new ClientGone('while reading the body', { cause: error })));
    request.on('close', () => {
      if (!request.complete) reject(new ClientGone('before the body was whole'));
    });
  });
}

/** The JSON in these bytes. Throws `bad_request`; the sentence says where, never what. */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw notJson('the body is empty');
  if (!isUtf8(bytes)) throw notJson('the body is not UTF-8');
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    // The parser's own sentence quotes the text, which may name a recipient: only the place is taken from it.
    const position = /at position (\d+)/.exec((error as Error).message)?.[1];
    throw notJson(position === undefined ? 'the body is not JSON' : `the body is not JSON: see character ${position}`);
  }
}

function notJson(message: string): GatewayError {
  return new GatewayError('bad_request', message, {
    field: 'body',
    fix: 'Send one JSON object in UTF-8.',
    errors: [{ pointer: '', code: 'json', message: 'must be one JSON object' }],
  });
}

function tooLarge(limit_bytes: number): GatewayError {
  return new GatewayError('body_too_large', `the body is larger than ${limit_bytes} bytes`, {
    field: 'body',
    fix: `Send at most ${limit_bytes} bytes.`,
    extra: { limit_bytes },
  });
}
