// The vault in figures, for gauges and the console: counted from the rows, never kept beside them.
import type { Knex } from 'knex';
import type { Core } from './core.js';
import { NEVER } from './tables.js';

const DAY_MS = 86_400_000;

export interface VaultFigures {
  /** Codes by state; `expired` are those in state available that are past their expiry. */
  codes: Record<'available' | 'quarantined' | 'issued' | 'void' | 'expired', number>;
  /** Available codes that expire within 7 days, and within 7 to 30. */
  expiring: { lt_7d: number; '7d_30d': number };
  /** What the codes in stock cost, per currency, and what of it expires within 30 days. As decimal digits of e4. */
  inventory: { currency: string; cost_e4: bigint; at_risk_e4: bigint }[];
  /** Records of the ledger that are not in its chain yet, and the age of the oldest. */
  unchained: { records: number; oldest_ms: number };
  freezes: number;
  approvals_waiting: number;
  /** When the current master key version was first seen, or null. */
  master_key_since: number | null;
  is_sealed: boolean;
}

/** Counts everything once. Some seconds with a million codes: for a job, not for a request. */
export async function countFigures(core: Core, knex: Knex): Promise<VaultFigures> {
  const now = core.now();
  const state = await core.gate.look(knex);
  const states = await knex('codes').groupBy('state').select('state').count({ count: '*' });
  const of = (name: string): number =>
    Number((states as { state: string; count: unknown }[]).find((row) => row.state === name)?.count ?? 0);
  const expired = await count(available(knex).where('expires_at', '<=', now));
  return {
    codes: {
      available: of('available') - expired,
      quarantined: of('quarantined'),
      issued: of('issued'),
      void: of('void'),
      expired,
    },
    expiring: {
      lt_7d: await count(
        available(knex)
          .where('expires_at', '>', now)
          .where('expires_at', '<=', now + 7 * DAY_MS),
      ),
      '7d_30d': await count(
        available(knex)
          .where('expires_at', '>', now + 7 * DAY_MS)
          .where('expires_at', '<=', now + 30 * DAY_MS),
      ),
    },
    inventory: await inventory(knex, now),
    unchained: await unchained(knex, now),
    freezes: await count(knex('freezes').whereNull('lifted_at')),
    approvals_waiting: await count(knex('approvals').whereNull('approved_by').where('expires_at', '>', now)),
    master_key_since: await keySince(knex),
    is_sealed: state.sealed_at !== null || core.keyring.is_sealed,
  };
}

function available(knex: Knex): Knex.QueryBuilder {
  return knex('codes').where({ state: 'available' });
}

async function count(query: Knex.QueryBuilder): Promise<number> {
  return Number((await query.count({ count: '*' }).first())?.count ?? 0);
}

async function inventory(knex: Knex, now: number): Promise<VaultFigures['inventory']> {
  const sums = (query: Knex.QueryBuilder) =>
    query
      .whereNotNull('currency')
      .groupBy('currency')
      .select('currency')
      .sum({ cost: 'cost_e4' }) as unknown as Promise<{ currency: string; cost: string | number | null }[]>;
  const all = await sums(available(knex).where('expires_at', '>', now));
  const risk = new Map(
    (
      await sums(
        available(knex)
          .where('expires_at', '>', now)
          .where('expires_at', '<=', now + 30 * DAY_MS)
          .whereNot('expires_at', NEVER),
      )
    ).map((row) => [row.currency, row.cost]),
  );
  return all.map(({ currency, cost }) => ({
    currency,
    cost_e4: BigInt(cost ?? 0),
    at_risk_e4: BigInt(risk.get(currency) ?? 0),
  }));
}

async function unchained(knex: Knex, now: number): Promise<VaultFigures['unchained']> {
  const row = await knex('ledger_inbox').count({ count: '*' }).min({ oldest: 'at' }).first();
  return { records: Number(row?.count ?? 0), oldest_ms: row?.oldest ? Math.max(0, now - Number(row.oldest)) : 0 };
}

async function keySince(knex: Knex): Promise<number | null> {
  const row = await knex('master_keys').orderBy('version', 'desc').first('created_at');
  return row ? Number(row.created_at) : null;
}
