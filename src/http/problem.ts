// What went wrong, as RFC 9457 says it: a code to switch on, a sentence, and the fix. What is not a client's mistake
// is told as nothing but "internal_error": no message, stack or statement of ours ever leaves.
import { VaultError } from '../../vault/errors.js';
import { classify } from '../db/atomic.js';
import { type FieldError, GatewayError } from '../errors.js';
import { decimalText } from '../orders/view.js';

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  fix: string;
  retryable: boolean;
  request_id: string;
  field?: string;
  errors?: FieldError[];
  [extra: string]: unknown;
}

/** A path beyond it is cut in `instance`. */
const INSTANCE_LENGTH_MAX = 300;

/** Any thrown thing as an error with a code. `is_ours` marks what an operator must see: the client is told nothing. */
export function gatewayError(thrown: unknown): { error: GatewayError; is_ours: boolean } {
  if (thrown instanceof GatewayError) return { error: thrown, is_ours: thrown.status >= 500 };
  if (thrown instanceof VaultError && (thrown.code === 'sealed' || thrown.code === 'issuing_sealed')) {
    return { error: vaultSealed(), is_ours: true };
  }
  // The journal's disk is full or away: what cannot be written down outside the database is not shown.
  if (thrown instanceof VaultError && thrown.code === 'journal') return { error: unavailable(), is_ours: true };
  // Express could not decode the path.
  if (thrown instanceof URIError) return { error: badPath(), is_ours: false };
  if (classify(thrown) !== null) return { error: unavailable(), is_ours: true };
  return { error: internal(), is_ours: true };
}

/** The problem document for an error. */
export function problemOf(error: GatewayError, request: { id: string; path: string }): Problem {
  return {
    type: `urn:kamigate:problem:${error.code}`,
    title: titleOf(error.code),
    status: error.status,
    detail: error.message,
    instance: request.path.slice(0, INSTANCE_LENGTH_MAX),
    code: error.code,
    fix: error.fix,
    retryable: error.retryable,
    request_id: request.id,
    ...(error.field === undefined ? {} : { field: error.field }),
    ...(error.errors === undefined ? {} : { errors: error.errors.map(onWire) }),
    ...Object.fromEntries(Object.entries(error.extra).map(([name, value]) => extraOnWire(name, value))),
  };
}

/** `validation_failed` → "Validation failed". */
function titleOf(code: string): string {
  return code.charAt(0).toUpperCase() + code.slice(1).replaceAll('_', ' ');
}

// Inside, money is ten-thousandths; outside, its field has no suffix and its value is decimal text.
function onWire(error: FieldError): FieldError {
  return { ...error, pointer: error.pointer.replace(/_e4$/, '') };
}
function extraOnWire(name: string, value: unknown): [string, unknown] {
  // RFC 9457 has `status` for the HTTP status.
  if (name === 'status') return ['order_status', value];
  const is_money = name.endsWith('_e4') && (typeof value === 'number' || typeof value === 'bigint');
  return is_money ? [name.slice(0, -3), decimalText(value)] : [name, value];
}

function vaultSealed(): GatewayError {
  return new GatewayError('vault_sealed', 'the vault is sealed: no code can be issued or shown at present', {
    fix: 'Repeat the same request later.',
  });
}

function badPath(): GatewayError {
  return new GatewayError('bad_request', 'the path is not well encoded', {
    fix: 'Percent-encode the path as UTF-8.',
  });
}

function unavailable(): GatewayError {
  return new GatewayError('unavailable', 'the database cannot be reached at present', {
    fix: 'Repeat the same request after a second.',
  });
}

function internal(): GatewayError {
  return new GatewayError('internal_error', 'something failed on our side', {
    fix: 'Repeat the same request, an order with the same external_id; if it persists, quote request_id.',
  });
}
