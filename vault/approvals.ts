// The second person: what one person may not do alone is asked for, approved by someone else, and used once.
import { createHash } from 'node:crypto';
import { type Core, invalid } from './core.js';
import { VaultError } from './errors.js';
import { newId } from './ids.js';
import { digestOf, writeRecords } from './ledger.js';
import { insertRows } from './rows.js';
import type { RevealRequest, Trx } from './types.js';

const DAY_MS = 86_400_000;
/** An approval that is not used within a day lapses. */
const APPROVAL_MS = DAY_MS;

export type ApprovedAct = 'reveal' | 'claim';

export interface ApprovalRequest {
  act: ApprovedAct;
  /** The order or claim it is for. */
  subject: string;
  by: string;
  reason: string;
}

/** Writes down that `by` asks for it, and returns the approval's id. It allows nothing yet. */
export async function askApproval(core: Core, trx: Trx, request: ApprovalRequest): Promise<{ approval_id: string }> {
  const { act, subject, by, reason } = request;
  if (by.length === 0) throw invalid('by', 'is empty', 'Name who asks.');
  if (reason.trim().length === 0) throw invalid('reason', 'is empty', 'Say why it is needed.');
  const at = core.now();
  const approval_id = newId('apr', at);
  await insertRows(trx, 'approvals', [
    {
      approval_id,
      act,
      subject,
      reason: reason.slice(0, 500),
      asked_by: by,
      asked_at: at,
      expires_at: at + APPROVAL_MS,
    },
  ]);
  return { approval_id };
}

/** Approves what another person asked for. Throws `invalid` for one's own request, `not_found` for one that lapsed. */
export async function giveApproval(core: Core, trx: Trx, approval_id: string, by: string): Promise<void> {
  const at = core.now();
  const row = await trx('approvals').where({ approval_id }).first();
  if (!row || row.approved_by !== null || Number(row.expires_at) <= at) throw noApproval(approval_id);
  if (by.length === 0 || row.asked_by === by) {
    throw invalid('by', 'is who asked', 'Someone else must approve it.');
  }
  const changed = await trx('approvals')
    .where({ approval_id })
    .whereNull('approved_by')
    .update({ approved_by: by, approved_at: at });
  if (changed !== 1) throw noApproval(approval_id);
  await writeRecords(trx, at, [
    {
      act: 'approve',
      actor: by,
      count: 1,
      digest: digestOf([[approval_id, row.act, row.subject, row.asked_by]]),
      data: { approval_id, for: row.act, subject: row.subject, asked_by: row.asked_by },
    },
  ]);
}

/** Uses an approval up. Throws `approval_needed` unless it was given for this act, this subject and this person. */
export async function useApproval(
  core: Core,
  trx: Trx,
  use: Omit<ApprovalRequest, 'reason'> & { approval_id: string | undefined },
): Promise<void> {
  const { approval_id, act, subject, by } = use;
  const used = approval_id
    ? await trx('approvals')
        .where({ approval_id, act, subject, asked_by: by })
        .whereNotNull('approved_by')
        .whereNull('used_at')
        .where('expires_at', '>', core.now())
        .update({ used_at: core.now() })
    : 0;
  if (used === 1) return;
  throw new VaultError('approval_needed', `${act} of ${subject} by ${by} needs a second person`, {
    field: 'approval_id',
    fix: 'Ask for an approval, have someone else give it, and repeat with its id; each is good for one use within a day.',
  });
}

/** A person's daily limit: what goes beyond it, in one reveal or in a day, needs a second person. */
export async function checkPerson(core: Core, trx: Trx, request: RevealRequest, count: number): Promise<void> {
  const { by, order_id, approval_id } = request;
  const at = core.now();
  // One row a person, written first: two reveals at once cannot both see the same count.
  const name = `reveals ${createHash('sha256').update(by).digest('hex').slice(0, 40)}`;
  await trx('vault_state')
    .insert({ name, value: String(at), updated_at: at })
    .onConflict('name')
    .merge();
  const seen = await trx('reveals')
    .where({ revealed_by: by, is_person: 1 })
    .whereNull('approval_id')
    .where('at', '>', at - DAY_MS)
    .sum({ sum: 'codes_count' })
    .first();
  const within = Number(seen?.sum ?? 0) + count <= core.person_codes_per_day;
  if (!within) await useApproval(core, trx, { act: 'reveal', subject: order_id, by, approval_id });
}

function noApproval(approval_id: string): VaultError {
  return new VaultError('not_found', `no open request ${approval_id}`, {
    field: 'approval_id',
    fix: 'It was approved already, or it lapsed after a day: ask again.',
  });
}
