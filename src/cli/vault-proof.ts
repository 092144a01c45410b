// Proofs of single issue, and the journal's replay after a restored backup.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { checkProof, type SingleIssueProof } from '../../vault/proof.js';
import type { Gateway } from '../main.js';
import { type Context, confirm, onGateway } from './context.js';
import { EXIT, usageError } from './failure.js';
import { type ActFlags, actOf, transact, withAct } from './vault-acts.js';

export function addVaultProof(vault: Command, context: Context): void {
  vault
    .command('prove')
    .description('a signed proof that one code was issued once; it holds no content')
    .argument('<code_id>', 'which code')
    .option('--out <file>', 'write it there; else to standard output')
    .action((code_id: string, { out }: { out?: string }) => prove(context, code_id, out));
  vault
    .command('check-proof')
    .description('check a proof by the public key alone: needs no database and no settings; exit 9 if it does not hold')
    .argument('<file>', 'the proof')
    .requiredOption('--public-key <file>', 'the ledger’s public key, PEM: `kamigate vault keys --public`')
    .action((file: string, { publicKey }: { publicKey: string }) => check(context, file, publicKey));
  withAct(
    vault
      .command('replay')
      .description('after a restored backup: mark what the journal says was issued since; then issuing opens again'),
  ).action((flags: ActFlags) => replay(context, flags));
}

async function prove(context: Context, code_id: string, out: string | undefined): Promise<void> {
  const work = async (gateway: Gateway): Promise<void> => {
    // Its record may be a moment old.
    await gateway.upkeep.chain();
    const proof = await transact(gateway, 'prove', (trx) => gateway.vault.prove(trx, code_id));
    const text = JSON.stringify(proof, null, 2);
    if (out === undefined) context.out(text);
    else {
      writeFileSync(out, `${text}\n`);
      context.show({ code_id, file: out }, () => `the proof is in ${out}`);
    }
    context.tell('next: kamigate vault check-proof <file> --public-key <file>');
  };
  await onGateway(context, work, { issues: true });
}

function check(context: Context, file: string, public_key_file: string): void {
  const public_key = readText('--public-key', public_key_file);
  if (!public_key.includes('BEGIN PUBLIC KEY'))
    throw usageError(
      '--public-key',
      'the file holds no public key',
      'Write what `kamigate vault keys --public` prints.',
    );
  const proof = proofIn(readText('file', file));
  const holds = proofHolds(proof, public_key);
  const { code_id, order_id, unit_no, issued_at, key_version } = proof;
  context.show({ holds, code_id, order_id, unit_no, issued_at: new Date(issued_at).toISOString(), key_version }, () =>
    holds
      ? `holds: ${code_id} was issued once, to unit ${unit_no} of ${order_id}, at ${new Date(issued_at).toISOString()}`
      : 'does not hold: it was changed, or another vault made it',
  );
  if (!holds) context.setExit(EXIT.found_problems);
}

function proofHolds(proof: SingleIssueProof, public_key: string): boolean {
  try {
    return checkProof(proof, public_key);
  } catch {
    // Fields of another shape than a proof's: it proves nothing.
    return false;
  }
}

function proofIn(text: string): SingleIssueProof {
  const wrong = usageError(
    'file',
    'the file is no proof of single issue',
    'Name a file that `kamigate vault prove` made.',
  );
  let proof: Partial<SingleIssueProof> | null;
  try {
    proof = JSON.parse(text) as Partial<SingleIssueProof> | null;
  } catch {
    throw wrong;
  }
  if (proof?.kind !== 'kamigate.single_issue.1' || !Number.isSafeInteger(proof.issued_at)) throw wrong;
  return proof as SingleIssueProof;
}

function readText(field: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usageError(field, `${path} cannot be read (${code})`, 'Name a file that this user can read.');
  }
}

async function replay(context: Context, flags: ActFlags): Promise<void> {
  await onGateway(context, async (gateway) => {
    const found = await gateway.upkeep.start();
    if (found.status === 'ready') {
      context.show(
        { status: 'ready', marked: 0, absent: 0, conflicts: 0 },
        () => 'nothing is missing: issuing is open',
      );
      return;
    }
    context.tell(`${found.why}: ${found.missing} issues are missing here`);
    if (!(await confirm(context, 'Mark them as issued?'))) return context.tell('nothing was done');
    const result = await transact(gateway, 'replay', (trx) => gateway.vault.replay(trx, actOf(flags)));
    const after = await gateway.upkeep.start();
    context.show({ status: after.status, ...result }, () => {
      const { marked, absent, conflicts } = result;
      return `${marked} codes marked as issued, ${absent} are not in this backup, ${conflicts} void: their unit holds another`;
    });
    if (after.status === 'behind') {
      context.setExit(EXIT.conflict);
      context.tell(`issuing stays sealed: ${after.why}`);
    } else context.tell('issuing is open; serving processes notice within a second. next: kamigate vault verify');
  });
}
