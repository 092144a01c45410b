// A mistake of a client, an operator or a configuration: it has a code, names the field, and tells the fix.
// Everything else that is thrown is a bug of ours.

/** Code → HTTP status. The codes of `docs` and of the API are these and no others. */
export const ERROR_STATUS = {
  bad_request: 400,
  invalid_cursor: 400,
  unauthorized: 401,
  scope_missing: 403,
  order_not_found: 404,
  sku_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  cancel_not_allowed: 409,
  codes_not_ready: 409,
  conflict: 409,
  idempotency_in_progress: 409,
  body_too_large: 413,
  unsupported_media_type: 415,
  validation_failed: 422,
  external_id_mismatch: 422,
  recipient_invalid: 422,
  price_above_limit: 422,
  quantity_not_allowed: 422,
  sku_unavailable: 422,
  config_invalid: 422,
  rate_limited: 429,
  internal_error: 500,
  unavailable: 503,
  vault_sealed: 503,
} as const;
export type ErrorCode = keyof typeof ERROR_STATUS;

/** One wrong field: a JSON pointer, a code, and a sentence. */
export interface FieldError {
  pointer: string;
  code: string;
  message: string;
}

export interface ErrorDetails {
  /** The field at fault, as its owner writes it. */
  field?: string;
  /** What to do about it, as an instruction. */
  fix: string;
  errors?: FieldError[];
  cause?: unknown;
  /** Further members for the problem document. */
  extra?: Record<string, unknown>;
}

export class GatewayError extends Error {
  readonly status: number;
  readonly field: string | undefined;
  readonly fix: string;
  readonly errors: FieldError[] | undefined;
  readonly extra: Record<string, unknown>;

  constructor(
    readonly code: ErrorCode,
    message: string,
    details: ErrorDetails,
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'GatewayError';
    this.status = ERROR_STATUS[code];
    this.field = details.field;
    this.fix = details.fix;
    this.errors = details.errors;
    this.extra = details.extra ?? {};
  }

  /** Repeating the very same request may succeed. */
  get retryable(): boolean {
    return this.status === 429 || this.status >= 500 || this.code === 'idempotency_in_progress';
  }
}

/** What must hold, or this is a bug: throws with the sentence. */
export function must(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Error(`must hold: ${sentence}`);
}
