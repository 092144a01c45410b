// A signed statement that one code was issued once, to one unit of one order, at one time. Anyone with the ledger's
// public key can check it; nobody needs the database, and it does not hold the code.
import type { Knex } from 'knex';
import { isSignedBy, recordHash, signingKey, signText } from './chain.js';
import type { Core } from './core.js';
import { VaultError } from './errors.js';
import { digestOf, recordedIssues } from './ledger.js';
import type { Trx } from './types.js';

export interface SingleIssueProof {
  kind: 'kamigate.single_issue.1';
  code_id: string;
  sku: string;
  order_id: string;
  unit_no: number;
  generation: number;
  issued_at: number;
  /** All units the same record speaks of: `[order_id, unit_no, generation, code_id]`. */
  units: [string, number, number, string][];
  /** The record in the ledger's chain, and the hash before it. */
  record: {
    seq: number;
    entry_id: string;
    at: number;
    act: string;
    actor: string;
    order_id: string | null;
    batch_id: string | null;
    sku: string | null;
    count: number;
    digest: string;
    data: string;
  };
  previous_hash: string;
  hash: string;
  key_version: number;
  /** Ed25519 over everything above, base64. */
  signature: string;
}

/** Makes the proof for an issued code. Throws `not_found`; `conflict` while its record is not in the chain yet. */
export async function proveSingleIssue(core: Core, trx: Trx, code_id: string): Promise<SingleIssueProof> {
  await core.gate.pass(trx);
  const issues = await trx('issues').where({ code_id }).select();
  if (issues.length !== 1) {
    throw new VaultError('not_found', `${code_id} was not issued`, { field: 'code_id', fix: 'Name an issued code.' });
  }
  const issue = issues[0]!;
  const record = await findRecord(trx, issue);
  const { hash, ...fields } = record.row;
  const { key_version, private_key } = await signingKey(trx, core.keyring, core.now());
  const proof = {
    kind: 'kamigate.single_issue.1' as const,
    code_id,
    sku: issue.sku,
    order_id: issue.order_id,
    unit_no: issue.unit_no,
    generation: issue.generation,
    issued_at: Number(issue.issued_at),
    units: record.units,
    record: { ...fields, seq: Number(fields.seq), at: Number(fields.at) },
    previous_hash: record.previous_hash,
    hash,
    key_version,
  };
  return { ...proof, signature: signText(private_key, JSON.stringify(proof)) };
}

async function findRecord(trx: Knex, issue: { order_id: string; unit_no: number; issued_at: number; code_id: string }) {
  const { order_id, code_id } = issue;
  const rows = await trx('ledger').where({ order_id }).whereIn('act', ['issue', 'replace']).orderBy('seq').select();
  for (const row of rows.filter((one) => Number(one.at) === Number(issue.issued_at))) {
    const units = await recordedIssues(trx, row);
    if (!units.some((unit) => unit[3] === code_id) || digestOf(units) !== row.digest) continue;
    const before = await trx('ledger')
      .where({ seq: Number(row.seq) - 1 })
      .first('hash');
    return { row, units, previous_hash: before?.hash ?? '0'.repeat(64) };
  }
  throw new VaultError('conflict', `the record of ${code_id} is not in the chain yet`, {
    field: 'code_id',
    fix: 'Ask again in a second; if it persists, run `kamigate vault verify`.',
  });
}

/** Whether a proof holds, by the public key (PEM) alone: its signature, its record's hash, and the code in the record. */
export function checkProof(proof: SingleIssueProof, public_key: string): boolean {
  const { signature, ...signed } = proof;
  const { record, previous_hash, hash, units, code_id, order_id, unit_no, generation } = proof;
  const named = units.filter((unit) => unit[3] === code_id);
  return (
    isSignedBy(public_key, JSON.stringify(signed), signature) &&
    recordHash(previous_hash, record) === hash &&
    digestOf(units) === record.digest &&
    named.length === 1 &&
    named[0]![0] === order_id &&
    named[0]![1] === unit_no &&
    named[0]![2] === generation
  );
}
