// An error as a person at a terminal is told it: what, which field, the fix; and the exit code a script goes by.
import { ConfigError } from '../../config/problems.js';
import { VaultError, type VaultErrorCode } from '../../vault/errors.js';
import { classify } from '../db/atomic.js';
import { type ErrorCode, GatewayError } from '../errors.js';

/** The published exit codes. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  config: 3,
  unreachable: 4,
  forbidden: 5,
  not_found: 6,
  conflict: 7,
  partial: 8,
  found_problems: 9,
  timed_out: 124,
} as const;

export interface Failure {
  exit_code: number;
  code: string;
  message: string;
  field?: string;
  fix?: string;
  errors?: readonly { pointer: string; code: string; message: string }[];
}

/** A wrong flag or argument. */
export function usageError(field: string, message: string, fix: string): GatewayError {
  return new GatewayError('bad_request', message, { field, fix });
}

/** What a thrown thing comes to. Whatever is not ours is a bug and is told by its kind alone: it may hold a statement. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ConfigError) return { exit_code: EXIT.config, code: 'config_invalid', message: error.message };
  if (error instanceof GatewayError) {
    const { code, message, field, fix, errors } = error;
    return {
      exit_code: exitOfCode(code),
      code,
      message,
      ...(field === undefined ? {} : { field }),
      fix,
      ...(errors === undefined ? {} : { errors }),
    };
  }
  if (error instanceof VaultError) {
    const { code, message, details } = error;
    const field = details.field === undefined ? {} : { field: details.field };
    return { exit_code: EXIT_OF_VAULT[code] ?? EXIT.conflict, code, message, ...field, fix: details.fix };
  }
  if (classify(error) !== null) {
    const fix = 'Run `kamigate doctor`.';
    return { exit_code: EXIT.unreachable, code: 'unavailable', message: 'the database does not answer', fix };
  }
  return { exit_code: EXIT.bug, code: 'internal_error', message: bugOf(error), fix: BUG_FIX };
}

const BUG_FIX = 'This is a fault of kamigate: please report it with what you did; --verbose shows where it happened.';

/** A database driver's message repeats the statement with its values; such an error is told by its code. */
function bugOf(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is no error was thrown';
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  if (code !== undefined || errno !== undefined) return `${error.name} ${String(code ?? errno)}`;
  return `${error.name}: ${error.message}`;
}

const EXIT_OF_VAULT: Readonly<Partial<Record<VaultErrorCode, number>>> = {
  key_source: EXIT.config,
  key_version: EXIT.config,
  invalid: EXIT.usage,
  not_found: EXIT.not_found,
  approval_needed: EXIT.forbidden,
};

function exitOfCode(code: ErrorCode): number {
  switch (code) {
    case 'config_invalid':
      return EXIT.config;
    case 'unavailable':
      return EXIT.unreachable;
    case 'unauthorized':
    case 'scope_missing':
      return EXIT.forbidden;
    case 'order_not_found':
    case 'sku_not_found':
    case 'not_found':
      return EXIT.not_found;
    case 'bad_request':
    case 'invalid_cursor':
    case 'validation_failed':
    case 'recipient_invalid':
    case 'quantity_not_allowed':
      return EXIT.usage;
    case 'internal_error':
      return EXIT.bug;
    default:
      return EXIT.conflict;
  }
}

/** The lines for standard error. */
export function failureText({ message, field, fix, errors }: Failure): string {
  const lines = [`error: ${message}`];
  if (field !== undefined) lines.push(`  field: ${field}`);
  for (const each of (errors ?? []).filter(({ message: told }) => !message.includes(told))) {
    lines.push(`  ${each.pointer}: ${each.message}`);
  }
  if (fix) lines.push(`  fix: ${fix}`);
  return lines.join('\n');
}
