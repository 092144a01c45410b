// All SQL on batches, codes, issues and reveals. Every function works in the transaction it is given; none decides.
import type { Knex } from 'knex';
import { VaultRetry } from './errors.js';
import { inSlices, insertRows, withBuffers } from './rows.js';
import {
  type BatchKeyRow,
  type BatchRow,
  CLAIMED,
  type Claimed,
  type CodeRow,
  type Excluded,
  type IssueRow,
  type RevealRow,
  type SeatPlace,
  SLOT_COLUMN,
  type Slot,
} from './tables.js';
import type { CodeState, Selection, Trx, VaultDialect } from './types.js';

export type Store = ReturnType<typeof createStore>;

export function createStore({ dialect, can_skip_locked }: VaultDialect) {
  // MariaDB left alone takes another index once a SKU is large, and locks its way through it: always force this one.
  const claimable = (trx: Trx) =>
    (dialect === 'mysql' ? trx.raw('codes force index (codes_claim)') : 'codes') as string;

  /** Locks what the query finds: passing over what others hold, or waiting for it; SQLite has one writer at a time. */
  function locked<Q extends Knex.QueryBuilder>(query: Q): Q {
    if (dialect === 'mysql') query.forUpdate();
    if (can_skip_locked) query.skipLocked();
    return query;
  }

  /** What a claim may take, first expired first, then oldest. */
  function inOrder(trx: Trx, sku: string, expires_after: number, excluded: Excluded): Knex.QueryBuilder {
    const query = trx(claimable(trx)).where({ sku, state: 'available' }).where('expires_at', '>', expires_after);
    if (excluded.batch_ids.length > 0) query.whereNotIn('batch_id', excluded.batch_ids);
    if (excluded.accounts.length > 0) {
      query.where((either) => either.whereNull('account').orWhereNotIn('account', excluded.accounts));
    }
    return query.orderBy([{ column: 'expires_at' }, { column: 'code_id' }]);
  }

  return {
    async insertBatch(trx: Trx, batch: BatchRow, key: BatchKeyRow): Promise<void> {
      await insertRows(trx, 'batches', [batch]);
      await insertRows(trx, 'batch_keys', [key]);
    },

    async insertCodes(trx: Trx, codes: CodeRow[]): Promise<void> {
      await insertRows(trx, 'codes', codes);
    },

    /** Codes whose fingerprint in that slot is among the given ones. */
    findByFingerprint(
      trx: Knex,
      slot: Slot,
      fingerprints: Buffer[],
    ): Promise<{ code_id: string; state: CodeState; fingerprint: Buffer }[]> {
      const column = SLOT_COLUMN[slot];
      return inSlices(fingerprints, async (some) =>
        withBuffers(
          await trx('codes').whereIn(column, some).select('code_id', 'state', { fingerprint: column }),
          'fingerprint',
        ),
      );
    },

    /** The issues of these orders in the units `first` ≤ unit < `end`, newest generation last. */
    findIssues(trx: Knex, order_ids: string[], first: number, end: number): Promise<IssueRow[]> {
      return inSlices(order_ids, (some) =>
        trx('issues')
          .whereIn('order_id', some)
          .where('unit_no', '>=', first)
          .where('unit_no', '<', end)
          .orderBy([{ column: 'order_id' }, { column: 'unit_no' }, { column: 'generation' }])
          .select(
            'order_id',
            'unit_no',
            'generation',
            'code_id',
            'sku',
            'batch_id',
            'cost_e4',
            'currency',
            'issued_at',
          ),
      );
    },

    /** Locks and returns up to `limit` available codes, passing over those another transaction holds. */
    async claim(trx: Trx, sku: string, limit: number, expires_after: number, excluded: Excluded): Promise<Claimed[]> {
      const query = inOrder(trx, sku, expires_after, excluded)
        .limit(limit)
        .select(...CLAIMED);
      return withBuffers((await locked(query)) as Claimed[], 'sealed');
    },

    /** How many, up to `limit`, are available whoever holds them. Takes no lock. */
    async countAvailable(
      knex: Knex,
      sku: string,
      limit: number,
      expires_after: number,
      excluded: Excluded,
    ): Promise<number> {
      const rows = await inOrder(knex as Trx, sku, expires_after, excluded)
        .limit(limit)
        .select('code_id');
      return rows.length;
    },

    /** Locks and returns those of these codes that are available, waiting for whoever holds them. */
    claimThese(trx: Trx, code_ids: string[], expires_after: number): Promise<Claimed[]> {
      return inSlices(code_ids, async (some) => {
        const query = trx('codes')
          .whereIn('code_id', some)
          .where({ state: 'available' })
          .where('expires_at', '>', expires_after)
          .select(...CLAIMED);
        return withBuffers((await (dialect === 'mysql' ? query.forUpdate() : query)) as Claimed[], 'sealed');
      });
    },

    /** These codes as they are. Takes no lock. */
    findCodes(knex: Knex, code_ids: string[]): Promise<CodeRow[]> {
      return inSlices(code_ids, async (some) =>
        withBuffers<CodeRow>(
          await knex('codes').whereIn('code_id', some).select(),
          'sealed',
          'fingerprint_a',
          'fingerprint_b',
        ),
      );
    },

    /** Batch keys wrapped by an older master version. */
    async oldBatchKeys(trx: Trx, current: number, limit: number): Promise<BatchKeyRow[]> {
      const query = trx('batch_keys').where('master_version', '<', current).limit(limit).select();
      return withBuffers<BatchKeyRow>(await locked(query), 'wrapped');
    },

    async rewrapBatchKeys(trx: Trx, rows: BatchKeyRow[]): Promise<void> {
      if (rows.length === 0) return;
      await trx('batch_keys').insert(rows).onConflict(['batch_id', 'key_version']).merge(['master_version', 'wrapped']);
    },

    /** Locks codes that one batch key sealed, passing over those that others hold. */
    async codesUnder(trx: Trx, { batch_id, key_version }: BatchKeyRow, limit: number): Promise<CodeRow[]> {
      const query = trx('codes').where({ batch_id, key_version }).limit(limit).select();
      const rows: CodeRow[] = await locked(query);
      return withBuffers(rows, 'sealed', 'fingerprint_a', 'fingerprint_b');
    },

    /** Locks codes without a fingerprint in this slot. */
    async codesWithout(trx: Trx, slot: Slot, limit: number): Promise<CodeRow[]> {
      const query = trx('codes').whereNull(SLOT_COLUMN[slot]).limit(limit).select();
      const rows: CodeRow[] = await locked(query);
      return withBuffers(rows, 'sealed');
    },

    /** Writes new ciphertext and key version of codes that are locked; nothing else of them. */
    async reseal(trx: Trx, codes: CodeRow[]): Promise<void> {
      if (dialect === 'mysql') {
        await trx('codes').insert(codes).onConflict(['code_id', 'sku']).merge(['sealed', 'key_version']);
        return;
      }
      for (const { code_id, sku, sealed, key_version } of codes) {
        await trx('codes').where({ code_id, sku }).update({ sealed, key_version });
      }
    },

    /**
     * Locks a seat of the SKU that is free now, in a pool that outlives `ends_at`. Null: none is free. Throws
     * `VaultRetry` where the free ones are held by others for the moment.
     */
    async claimSeat(trx: Trx, sku: string, now: number, ends_at: number): Promise<SeatPlace | null> {
      const pools = trx('seat_pools')
        .where({ sku, state: 'open' })
        .where('expires_at', '>=', ends_at)
        .select('pool_id');
      const free = () =>
        trx('seats')
          .whereIn('pool_id', pools.clone())
          .where((either) => either.whereNull('order_id').orWhere('ends_at', '<=', now))
          .orderBy([{ column: 'pool_id' }, { column: 'seat_no' }])
          .first('pool_id', 'seat_no');
      const seat: SeatPlace | undefined = await locked(free());
      if (!seat && can_skip_locked && (await free())) throw new VaultRetry('the free seats are being taken');
      return seat ?? null;
    },

    /** Moves codes from available to issued and returns how many it moved. */
    async markIssued(trx: Trx, code_ids: string[]): Promise<number> {
      let count = 0;
      await inSlices(code_ids, async (some) => {
        count += await trx('codes').whereIn('code_id', some).where({ state: 'available' }).update({ state: 'issued' });
        return [];
      });
      return count;
    },

    async insertIssues(trx: Trx, issues: IssueRow[]): Promise<void> {
      await insertRows(trx, 'issues', issues);
    },

    /** The wrapped keys of these batches, every version. */
    findBatchKeys(knex: Knex, batch_ids: string[]): Promise<BatchKeyRow[]> {
      return inSlices(batch_ids, async (some) =>
        withBuffers(await knex('batch_keys').whereIn('batch_id', some).select(), 'wrapped'),
      );
    },

    /** Issued codes of one order with their wrapped keys in one statement, so that a rotation cannot come between. */
    async findIssuedContent(
      trx: Trx,
      order_id: string,
      first: number,
      limit: number,
    ): Promise<(CodeRow & BatchKeyRow & IssueRow)[]> {
      const rows = await trx('issues')
        .join('codes', 'codes.code_id', 'issues.code_id')
        .join('batch_keys', (on) =>
          on.on('batch_keys.batch_id', 'codes.batch_id').andOn('batch_keys.key_version', 'codes.key_version'),
        )
        .where('issues.order_id', order_id)
        .where('issues.unit_no', '>=', first)
        .where('issues.unit_no', '<', first + limit)
        .orderBy([{ column: 'issues.unit_no' }, { column: 'issues.generation' }])
        .select(
          'codes.*',
          'issues.order_id',
          'issues.unit_no',
          'issues.generation',
          'issues.issued_at',
          'batch_keys.master_version',
          'batch_keys.wrapped',
        );
      return withBuffers(rows as (CodeRow & BatchKeyRow & IssueRow)[], 'sealed', 'wrapped');
    },

    async insertReveal(trx: Trx, reveal: RevealRow): Promise<void> {
      await insertRows(trx, 'reveals', [reveal]);
    },

    /** Moves the selected codes between states and returns how many it moved. Never touches an issued code. */
    async moveCodes(
      trx: Trx,
      selection: Selection,
      from: CodeState[],
      to: CodeState,
      reason: string | null,
    ): Promise<number> {
      const move = (query: Knex.QueryBuilder): Promise<number> =>
        query.whereIn('state', from).update({ state: to, reason }) as unknown as Promise<number>;
      if (!('code_ids' in selection)) return move(selected(trx('codes'), selection));
      let count = 0;
      await inSlices(selection.code_ids, async (some) => {
        count += await move(trx('codes').whereIn('code_id', some));
        return [];
      });
      return count;
    },

    /** Per SKU and state: how many. */
    countStates(knex: Knex, skus: string[] | undefined): Promise<{ sku: string; state: CodeState; count: number }[]> {
      const query = knex('codes').groupBy('sku', 'state').select('sku', 'state').count({ count: '*' });
      return (skus === undefined ? query : query.whereIn('sku', skus)) as never;
    },

    /** Per SKU: how many of the available ones are not expired, and the first of their expiries. */
    countUnexpired(
      knex: Knex,
      skus: string[] | undefined,
      expires_after: number,
    ): Promise<{ sku: string; count: number; first: number }[]> {
      const query = knex('codes')
        .where({ state: 'available' })
        .where('expires_at', '>', expires_after)
        .groupBy('sku')
        .select('sku')
        .count({ count: '*' })
        .min({ first: 'expires_at' });
      return (skus === undefined ? query : query.whereIn('sku', skus)) as never;
    },
  };
}

/** Narrows a query on `codes` to a selection. */
export function selected(query: Knex.QueryBuilder, selection: Selection): Knex.QueryBuilder {
  if ('all' in selection) return query;
  if ('code_ids' in selection) return query.whereIn('code_id', selection.code_ids);
  return query.where(selection);
}
