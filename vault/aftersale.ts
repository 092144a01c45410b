// When a code turns out bad: replace it, dispute it, and claim it from the supplier. The bad code stays issued.
import { stringify } from 'csv-stringify/sync';
import { useApproval } from './approvals.js';
import { claimReadable } from './claim.js';
import { decodeContent } from './content.js';
import { checkAct } from './control.js';
import { type Core, checkIssuing } from './core.js';
import { VaultError } from './errors.js';
import { newId } from './ids.js';
import { digestOf, issueRecord, writeRecords } from './ledger.js';
import { insertRows } from './rows.js';
import { bindingBytes, open } from './seal.js';
import type { CodeRow, IssueRow } from './tables.js';
import { openTextWith, sealTextWith } from './text.js';
import type { Act, Issued, Trx } from './types.js';

export interface Unit {
  order_id: string;
  unit_no: number;
}

export type ReplaceResult = { replaced: Issued & { old_code_id: string } } | { short: { available: number } };

/**
 * Issues another code for a unit and writes down which one it replaces, why, by whom, and what it costs. Drawn from
 * another batch than the bad one. The old code stays issued for ever.
 */
export async function replaceCode(core: Core, trx: Trx, unit: Unit, act: Act): Promise<ReplaceResult> {
  checkAct(act);
  const state = await core.gate.pass(trx);
  checkIssuing(core, state.journal_id);
  const old = await newestIssue(core, trx, unit);
  const now = core.now();
  const excluded = { ...state.excluded, batch_ids: [...state.excluded.batch_ids, old.batch_id] };
  const frozen = state.frozen_all || state.frozen_skus.has(old.sku);
  const pool = { sku: old.sku, expires_after: now + core.expiry_margin_ms, excluded };
  const [code] = frozen ? [] : await claimReadable(core, trx, pool, 1);
  if (!code) return { short: { available: 0 } };
  const moved = await core.store.markIssued(trx, [code.code_id]);
  if (moved !== 1) throw new VaultError('conflict', 'the claimed code was taken', { fix: 'Repeat the replacement.' });
  const { code_id, batch_id, sku, cost_e4, currency } = code;
  const issue: IssueRow = {
    ...unit,
    generation: old.generation + 1,
    code_id,
    sku,
    batch_id,
    cost_e4,
    currency,
    issued_at: now,
  };
  await core.store.insertIssues(trx, [issue]);
  await insertRows(trx, 'replacements', [
    {
      new_code_id: code_id,
      old_code_id: old.code_id,
      ...unit,
      reason: act.reason.slice(0, 500),
      replaced_by: act.by,
      at: now,
      cost_e4,
      currency,
    },
  ]);
  const record = issueRecord([issue]);
  await writeRecords(trx, now, [
    {
      ...record,
      act: 'replace',
      actor: act.by,
      data: { ...record.data, old_code_id: old.code_id, reason: act.reason },
    },
  ]);
  return { replaced: { unit_no: unit.unit_no, code_id, batch_id, cost_e4, currency, old_code_id: old.code_id } };
}

export interface DisputeResult {
  /** Disputed codes of the same batch, this one included. */
  disputes: number;
  /** Codes of the batch that were quarantined because of it. */
  quarantined: number;
  /** The claim that was prepared for the supplier, if the batch passed its threshold. */
  claim_id: string | null;
}

/** Writes down that a buyer disputes a code. At the SKU's threshold the rest of the batch is quarantined by itself. */
export async function disputeCode(core: Core, trx: Trx, unit: Unit, act: Act): Promise<DisputeResult> {
  checkAct(act);
  await core.gate.pass(trx);
  const issue = await newestIssue(core, trx, unit);
  const at = core.now();
  const { batch_id, sku, code_id } = issue;
  const batch = await trx('batches').where({ batch_id }).first('account');
  const known = await trx('disputes').where({ code_id }).first('code_id');
  if (!known) {
    await insertRows(trx, 'disputes', [
      {
        code_id,
        batch_id,
        sku,
        account: batch.account,
        order_id: unit.order_id,
        reason: act.reason.slice(0, 500),
        raised_by: act.by,
        at,
      },
    ]);
    await writeRecords(trx, at, [
      {
        act: 'dispute',
        actor: act.by,
        order_id: unit.order_id,
        batch_id,
        sku,
        count: 1,
        digest: digestOf([[code_id]]),
        data: { code_id, unit_no: unit.unit_no },
      },
    ]);
  }
  const counted = await trx('disputes').where({ batch_id }).count({ count: '*' }).first();
  const disputes = Number(counted?.count ?? 0);
  const policy = await trx('vault_policies').where({ sku }).first('disputes_max');
  if (!policy?.disputes_max || disputes < policy.disputes_max) return { disputes, quarantined: 0, claim_id: null };
  return { disputes, ...(await stopBatch(core, trx, { batch_id, sku, account: batch.account, disputes })) };
}

async function stopBatch(
  core: Core,
  trx: Trx,
  { batch_id, sku, account, disputes }: { batch_id: string; sku: string; account: string | null; disputes: number },
): Promise<Omit<DisputeResult, 'disputes'>> {
  const at = core.now();
  const quarantined = await core.store.moveCodes(trx, { batch_id }, ['available'], 'quarantined', 'disputes');
  if (quarantined > 0) {
    await writeRecords(trx, at, [
      {
        act: 'quarantine',
        actor: 'vault',
        batch_id,
        sku,
        count: quarantined,
        digest: digestOf([[batch_id]]),
        data: { reason: 'disputes', disputes },
      },
    ]);
  }
  const content = await claimContent(core, trx, batch_id);
  const known = await trx('claims').where({ batch_id }).first('claim_id');
  const claim_id: string = known?.claim_id ?? newId('clm', at);
  const content_sealed = sealTextWith(core.keyring, 'claim', claim_id, content);
  if (known) await trx('claims').where({ claim_id }).update({ codes_count: disputes, content_sealed, prepared_at: at });
  else
    await insertRows(trx, 'claims', [
      { claim_id, batch_id, account, codes_count: disputes, content_sealed, prepared_at: at },
    ]);
  return { quarantined, claim_id };
}

/** What the supplier needs to check our claim. Sealed at once; it leaves only through `openClaim`. */
async function claimContent(core: Core, trx: Trx, batch_id: string): Promise<string> {
  const disputes = await trx('disputes').where({ batch_id }).orderBy('code_id').select('code_id', 'reason', 'at');
  const codes: CodeRow[] = await core.store.findCodes(
    trx,
    disputes.map((row) => row.code_id),
  );
  const keys = await core.gate.batchKeys(trx, codes);
  const by_id = new Map(codes.map((code) => [code.code_id, code]));
  const batch = await trx('batches').where({ batch_id }).first('document', 'attempt_id');
  return stringify(
    disputes.map(({ code_id, reason, at }) => {
      const code = by_id.get(code_id)!;
      const key = keys.get(`${code.batch_id} ${code.key_version}`)!;
      const { number, pin, serial } = decodeContent(open(key, bindingBytes(code), code.sealed));
      const text = [number, serial, pin].map((field) => field?.reveal() ?? '');
      return [...text, reason, new Date(Number(at)).toISOString(), batch.document ?? '', batch.attempt_id ?? ''];
    }),
    {
      header: true,
      columns: ['number', 'serial', 'pin', 'reason', 'disputed_at', 'document', 'attempt_id'],
      escape_formulas: true,
    },
  );
}

/** The claim file as CSV, for the person who sends it to the supplier; needs a second person's approval. */
export async function openClaim(
  core: Core,
  trx: Trx,
  claim_id: string,
  by: string,
  approval_id: string | undefined,
): Promise<string> {
  await core.gate.pass(trx);
  const claim = await trx('claims').where({ claim_id }).first();
  if (!claim) throw new VaultError('not_found', `no claim ${claim_id}`, { field: 'claim_id', fix: 'List the claims.' });
  await useApproval(core, trx, { act: 'claim', subject: claim_id, by, approval_id });
  await writeRecords(trx, core.now(), [
    {
      act: 'export',
      actor: by,
      batch_id: claim.batch_id,
      count: claim.codes_count,
      digest: digestOf([[claim_id]]),
      data: { claim_id, approval_id },
    },
  ]);
  return openTextWith(core.keyring, 'claim', claim_id, claim.content_sealed);
}

async function newestIssue(core: Core, trx: Trx, { order_id, unit_no }: Unit): Promise<IssueRow> {
  const issue = (await core.store.findIssues(trx, [order_id], unit_no, unit_no + 1)).at(-1);
  if (issue) return issue;
  throw new VaultError('not_found', `unit ${unit_no} of ${order_id} has no code`, {
    field: 'unit_no',
    fix: 'Name an order and a unit a code was issued for.',
  });
}
