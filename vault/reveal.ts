// Opening issued codes for someone entitled. The record is written first; if it cannot be, nothing is opened.

import { checkPerson } from './approvals.js';
import { decodeContent } from './content.js';
import { type Core, invalid } from './core.js';
import { newId } from './ids.js';
import type { Keeper } from './keeper.js';
import { digestOf, writeRecords } from './ledger.js';
import { bindingBytes, open } from './seal.js';
import { NEVER } from './tables.js';
import type { RevealedCode, RevealRequest, Trx } from './types.js';

/** Codes one call opens where the caller names no limit, and at most. */
const REVEAL_LIMIT = 1000;
const REVEAL_LIMIT_MAX = 5000;

/** Opens the codes issued to one order. See `Vault.reveal`. */
export async function revealCodes(
  core: Core,
  keeper: Keeper,
  trx: Trx,
  request: RevealRequest,
): Promise<RevealedCode[]> {
  const { first_unit = 1, limit = REVEAL_LIMIT } = request;
  checkReveal(request, first_unit, limit);
  await core.gate.pass(trx);
  const rows = newestOnly(await core.store.findIssuedContent(trx, request.order_id, first_unit, limit));
  if (rows.length === 0) return [];
  if (request.is_person) await checkPerson(core, trx, request, rows.length);
  await recordReveal(core, trx, request, rows);
  // What leaves must be known outside the database first, or a restored backup would issue it again.
  await keeper.journalBefore(trx, rows);
  return rows.map((row) => {
    const content = open(core.gate.unwrapBatchKey(row), bindingBytes(row), row.sealed);
    const fields = decodeContent(content);
    content.fill(0);
    return {
      unit_no: row.unit_no,
      code_id: row.code_id,
      ...fields,
      expires_at: Number(row.expires_at) === NEVER ? null : Number(row.expires_at),
    };
  });
}

/** A replaced code is not shown again: the unit's newest one is. Rows come by unit and generation. */
function newestOnly<R extends { unit_no: number }>(rows: R[]): R[] {
  return rows.filter((row, at) => rows[at + 1]?.unit_no !== row.unit_no);
}

async function recordReveal(
  core: Core,
  trx: Trx,
  request: RevealRequest,
  rows: { unit_no: number; code_id: string; sku: string }[],
): Promise<void> {
  const at = core.now();
  await core.store.insertReveal(trx, {
    reveal_id: newId('rev', at),
    order_id: request.order_id,
    revealed_by: request.by,
    reason: request.reason.slice(0, 500),
    is_person: request.is_person ? 1 : 0,
    codes_count: rows.length,
    approval_id: request.approval_id ?? null,
    at,
  });
  await writeRecords(trx, at, [
    {
      act: 'reveal',
      actor: request.by,
      order_id: request.order_id,
      sku: rows[0]!.sku,
      count: rows.length,
      digest: digestOf(rows.map((row) => [row.unit_no, row.code_id])),
      data: {
        reason: request.reason.slice(0, 500),
        first_unit: rows[0]!.unit_no,
        ...(request.approval_id ? { approval_id: request.approval_id } : {}),
      },
    },
  ]);
}

function checkReveal({ by, reason }: RevealRequest, first_unit: number, limit: number): void {
  if (by.length === 0 || by.length > 128) throw invalid('by', 'must have 1 to 128 characters', 'Name who asks.');
  if (reason.trim().length === 0) throw invalid('reason', 'is empty', 'Say why the codes are opened.');
  if (!Number.isInteger(first_unit) || first_unit < 1)
    throw invalid('first_unit', 'is not a unit', 'Count units from 1.');
  if (!Number.isInteger(limit) || limit < 1 || limit > REVEAL_LIMIT_MAX) {
    throw invalid('limit', 'is out of range', `Ask for 1 to ${REVEAL_LIMIT_MAX} codes a call.`);
  }
}
