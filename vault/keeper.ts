// The vault's own upkeep, run by the program every second: committed records go into the journal and the chain, and
// every minute the chain's head is signed.
import { extendChain, type Head, signHead } from './chain.js';
import type { Core } from './core.js';
import type { InboxRow } from './ledger.js';
import { issuedEntries } from './restore.js';
import type { IssueRow } from './tables.js';
import type { Trx } from './types.js';

/** The link a chain run of this process ended with, and how long its journal file was when that run began. */
export interface Link {
  seq: number;
  hash: string;
  at: number;
  covers: number;
}

export interface Keeper {
  /** Moves up to 500 committed records into the chain; 0 when none is left. Journals the issues among them first. */
  chain(trx: Trx): Promise<number>;
  /** Signs the chain's newest link. Null where it is signed already. */
  sign(trx: Trx): Promise<Head | null>;
  /** Waits until these issues are in the journal, so that what is revealed next cannot be forgotten. */
  journalBefore(
    trx: Trx,
    rows: Pick<IssueRow, 'order_id' | 'unit_no' | 'generation' | 'code_id' | 'sku' | 'issued_at'>[],
  ): Promise<void>;
}

export function createKeeper(core: Core): Keeper {
  let link: Link | null = null;
  return {
    async chain(trx) {
      // What is in the chain counts as journaled: without a compared journal it is left to a process that has one.
      if (core.journal !== null && core.confirmed.journal_id === null) return 0;
      const covers = core.journal?.position() ?? 0;
      const rows = await extendChain(trx, async (inbox) => {
        const previous = link;
        if (core.confirmed.journal_id !== null) await journalIssues(core, trx, inbox, previous);
      });
      const last = rows.at(-1);
      if (last) link = { seq: last.seq, hash: last.hash, at: core.now(), covers };
      return rows.length;
    },
    async sign(trx) {
      await core.gate.pass(trx);
      const head = await signHead(trx, core.keyring, core.now());
      // Anchored outside the database: cutting off the end of the ledger shows from then on.
      if (head && core.confirmed.journal_id !== null) await core.journal!.append([{ type: 'head', ...head }]);
      return head;
    },
    async journalBefore(trx, rows) {
      if (core.confirmed.journal_id === null || rows.length === 0) return;
      const chained = await trx('ledger')
        .where({ order_id: rows[0]!.order_id })
        .whereIn('act', ['issue', 'replace'])
        .select('at');
      // What is in the chain was journaled before it got there.
      const times = new Set(chained.map((row) => Number(row.at)));
      await core.journal!.append(
        issuedEntries(
          rows.filter((row) => !times.has(Number(row.issued_at))),
          true,
        ),
      );
    },
  };
}

async function journalIssues(core: Core, trx: Trx, inbox: InboxRow[], previous: Link | null): Promise<void> {
  const issues = inbox.filter((record) => record.act === 'issue' || record.act === 'replace');
  const order_ids = [...new Set(issues.map((record) => record.order_id!))];
  const times = new Set(issues.map((record) => `${record.order_id} ${record.at}`));
  const rows = await core.store.findIssues(trx, order_ids, 1, Number.MAX_SAFE_INTEGER);
  const entries = issuedEntries(
    rows.filter((row) => times.has(`${row.order_id} ${row.issued_at}`)),
    false,
  );
  const row = previous && (await trx('ledger').where({ seq: previous.seq }).first('hash'));
  // Only now is it certain that the last run was committed.
  if (previous && row?.hash === previous.hash) entries.push({ type: 'mark', ...previous });
  await core.journal!.append(entries);
}
