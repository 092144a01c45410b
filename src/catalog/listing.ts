// What a piece of a supplier's list changes: offers and the sources that point to them, compared with the rows there
// are and written only where they differ. A read older than what is known is not believed.
import type { Knex } from 'knex';
import type { Money, Offer } from '../../adapters/kit/contract.js';
import { isDuplicate, Retry, type Trx } from '../db/atomic.js';
import { insertRows } from '../db/rows.js';
import { forUpdate } from './cost-changes.js';
import { type Repriced, type RepricingParts, reprice } from './repricing.js';
import type { SourceRow } from './skus.js';

export interface OfferRow {
  account: string;
  product: string;
  name: string;
  kind: 'recharge' | 'code' | null;
  cost_e4: number | null;
  currency: string | null;
  stock: number | null;
  is_available: number;
  face_value_e4: number | null;
  face_currency: string | null;
  brand: string | null;
  region: string | null;
  status: 'listed' | 'absent';
  seen_at: number;
  changed_at: number;
  created_at: number;
  dismissed_by: string | null;
  dismissed_at: number | null;
}

const OFFER_COLUMNS = [
  'account',
  'product',
  'name',
  'kind',
  'cost_e4',
  'currency',
  'stock',
  'is_available',
  'face_value_e4',
  'face_currency',
  'brand',
  'region',
  'status',
  'seen_at',
  'changed_at',
  'created_at',
  'dismissed_by',
  'dismissed_at',
] as const satisfies readonly (keyof OfferRow)[];

/** What makes an offer another one; the times follow. */
const COMPARED = OFFER_COLUMNS.slice(2, 13) as readonly (keyof OfferRow)[];

/** The columns of a source that an offer decides. */
const SOURCE_COLUMNS = [
  'cost_e4',
  'currency',
  'stock',
  'seen_at',
  'cost_state',
  'offered_cost_e4',
  'offered_currency',
  'updated_at',
] as const satisfies readonly (keyof SourceRow)[];

export interface ListingParts extends RepricingParts {
  account: string;
  /** When the reading was begun: what it says was so at that time. */
  read_at: number;
  /** Sources whose time of sight is written even where nothing differs; null for none. */
  touch: ReadonlySet<string> | null;
}

export interface Written {
  offers_written: number;
  sources_written: number;
  repriced: Repriced[];
  /** Items that cannot be an offer: no id, an id too long, a cost that is no whole number. */
  malformed: number;
}

export const NOTHING_WRITTEN: Written = { offers_written: 0, sources_written: 0, repriced: [], malformed: 0 };

/**
 * The offers that differ from the rows there are, in the list's order; a list that says nothing new comes back empty.
 * To be asked outside any transaction: comparing takes far longer than writing the little that differs, and orders
 * wait for transactions.
 */
export async function findNews(
  handle: Knex | Trx,
  offers: readonly Offer[],
  { account, read_at, touch }: Pick<ListingParts, 'account' | 'read_at' | 'touch'>,
): Promise<Offer[]> {
  const products = [...new Set(offers.map(({ product }) => product))];
  if (products.length === 0) return [];
  const known: OfferRow[] = await handle('offers')
    .where({ account })
    .whereIn('product', products)
    .select('product', ...COMPARED);
  const sources: SourceRow[] = await handle('sources').where({ account }).whereIn('product', products);
  const by_product = new Map(known.map((row) => [row.product, row]));
  const sources_of = new Map<string, SourceRow[]>();
  for (const source of sources) sources_of.set(source.product, [...(sources_of.get(source.product) ?? []), source]);
  return offers.filter((offer) => {
    const before = by_product.get(offer.product);
    if (!before || !isSound(offer)) return true;
    const row = offerRow(offer, before, { account, read_at, now: read_at });
    if (COMPARED.some((column) => before[column] !== row[column])) return true;
    return (sources_of.get(offer.product) ?? []).some(
      (source) => isNews(source, offer) || touch?.has(source.source) === true,
    );
  });
}

/** Writes what differs. The list may hold a product twice; the last one counts. */
export async function writeOffers(trx: Trx, offers: readonly Offer[], parts: ListingParts): Promise<Written> {
  const sound = new Map(offers.filter(isSound).map((offer) => [offer.product, offer]));
  const malformed = offers.filter((offer) => !isSound(offer)).length;
  const written: Written = { offers_written: 0, sources_written: 0, repriced: [], malformed };
  if (sound.size === 0) return written;
  const products = [...sound.keys()];
  const known: OfferRow[] = await trx('offers').where({ account: parts.account }).whereIn('product', products);
  const by_product = new Map(known.map((row) => [row.product, row]));
  const current = [...sound.values()].filter(({ product }) => (by_product.get(product)?.seen_at ?? 0) <= parts.read_at);
  written.offers_written = await writeDifferences(trx, current, by_product, parts);
  Object.assign(written, await writeSources(trx, current, parts));
  return written;
}

function isSound({ product, cost, stock }: Offer): boolean {
  const is_cost =
    cost === null || (Number.isSafeInteger(cost.amount_e4) && cost.amount_e4 >= 0 && /^[A-Z]{3}$/.test(cost.currency));
  const is_stock = stock === null || (Number.isSafeInteger(stock) && stock >= 0);
  return product.length > 0 && product.length <= 128 && is_cost && is_stock;
}

async function writeDifferences(
  trx: Trx,
  offers: readonly Offer[],
  known: ReadonlyMap<string, OfferRow>,
  parts: ListingParts,
): Promise<number> {
  const rows = offers.map((offer) => offerRow(offer, known.get(offer.product), parts));
  const created = rows.filter(({ product }) => !known.has(product));
  const changed = rows.filter((row) => {
    const before = known.get(row.product);
    return before !== undefined && COMPARED.some((column) => before[column] !== row[column]);
  });
  try {
    await insertRows(trx, 'offers', OFFER_COLUMNS, created);
  } catch (error) {
    // Another process took the same product up since we looked: look again.
    throw isDuplicate(error) ? new Retry('the offer was written meanwhile', { cause: error }) : error;
  }
  await mergeRows(trx, 'offers', ['account', 'product'], changed, [...COMPARED, 'seen_at', 'changed_at']);
  return created.length + changed.length;
}

function offerRow(
  offer: Offer,
  before: OfferRow | undefined,
  { account, read_at, now }: Pick<ListingParts, 'account' | 'read_at' | 'now'>,
): OfferRow {
  return {
    account,
    product: offer.product,
    name: clip(offer.name, 200) ?? offer.product,
    kind: offer.kind,
    cost_e4: offer.cost?.amount_e4 ?? null,
    currency: offer.cost?.currency ?? null,
    stock: offer.stock,
    is_available: offer.available ? 1 : 0,
    face_value_e4: offer.face_value?.amount_e4 ?? null,
    face_currency: offer.face_value?.currency ?? null,
    brand: clip(offer.brand, 100),
    region: clip(offer.region, 64),
    status: 'listed',
    seen_at: read_at,
    changed_at: read_at,
    created_at: before?.created_at ?? now,
    dismissed_by: before?.dismissed_by ?? null,
    dismissed_at: before?.dismissed_at ?? null,
  };
}

function clip(text: string | undefined, length: number): string | null {
  return text === undefined || text === '' ? null : [...text].slice(0, length).join('');
}

async function writeSources(
  trx: Trx,
  offers: readonly Offer[],
  parts: ListingParts,
): Promise<Pick<Written, 'sources_written' | 'repriced'>> {
  const by_product = new Map(offers.map((offer) => [offer.product, offer]));
  const sources: SourceRow[] = await trx('sources')
    .where({ account: parts.account })
    .whereIn('product', [...by_product.keys()]);
  const differs = (source: SourceRow): boolean => {
    const offer = by_product.get(source.product)!;
    return (
      (source.seen_at ?? 0) <= parts.read_at && (isNews(source, offer) || parts.touch?.has(source.source) === true)
    );
  };
  const ids = sources.filter(differs).map(({ source }) => source);
  if (ids.length === 0) return { sources_written: 0, repriced: [] };
  // Once more under a lock: an order may have learned something of a source since.
  const locked: SourceRow[] = await forUpdate(trx, trx('sources').whereIn('source', ids).orderBy('source'));
  const changed = locked.filter(differs);
  const repricings = changed.flatMap((source) => {
    const fresh = by_product.get(source.product)?.cost ?? null;
    return fresh === null ? [] : [{ source, fresh }];
  });
  const repriced = await reprice(trx, repricings, parts);
  for (const source of changed) {
    source.stock = stockOf(by_product.get(source.product)!);
    source.seen_at = parts.read_at;
    source.updated_at = parts.now;
  }
  await mergeRows(trx, 'sources', ['source'], changed, SOURCE_COLUMNS);
  return { sources_written: changed.length, repriced };
}

/** What the offer says and the source does not have; an unseen source and a stale one (0) are restated in any case. */
function isNews(source: SourceRow, offer: Offer): boolean {
  if (!source.seen_at || source.stock !== stockOf(offer)) return true;
  return isCostNews(source, offer.cost);
}

function isCostNews(source: SourceRow, fresh: Money | null): boolean {
  if (fresh === null) return false;
  if (source.cost_e4 === fresh.amount_e4 && source.currency === fresh.currency) return source.cost_state !== 'settled';
  return source.offered_cost_e4 !== fresh.amount_e4 || source.offered_currency !== fresh.currency;
}

function stockOf(offer: Offer): number | null {
  return offer.available ? offer.stock : 0;
}

/**
 * What is on a whole list no more is unavailable, and so is a source of a product that was never on it. Returns how
 * many offers went.
 */
export async function markAbsent(
  trx: Trx,
  { account, present, read_at, now }: { account: string; present: ReadonlySet<string>; read_at: number; now: number },
): Promise<number> {
  const listed: { product: string }[] = await trx('offers')
    .where({ account, status: 'listed' })
    .where('seen_at', '<=', read_at)
    .select('product');
  const gone = listed.map(({ product }) => product).filter((product) => !present.has(product));
  for (const part of partsOf(gone)) {
    await trx('offers')
      .where({ account })
      .whereIn('product', part)
      .update({ status: 'absent', seen_at: read_at, changed_at: read_at });
  }
  const sources: SourceRow[] = await trx('sources')
    .where({ account })
    .where((open) => open.whereNull('stock').orWhereNot('stock', 0));
  const unlisted = sources.filter(({ product, seen_at }) => !present.has(product) && (seen_at ?? 0) <= read_at);
  for (const part of partsOf(unlisted.map(({ source }) => source))) {
    await trx('sources').whereIn('source', part).update({ stock: 0, seen_at: read_at, updated_at: now });
  }
  return gone.length;
}

const PART = 500;

function partsOf<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / PART) }, (_, at) => list.slice(at * PART, (at + 1) * PART));
}

/** Writes the named columns of rows that exist, many in one statement. */
async function mergeRows(
  trx: Trx,
  table: string,
  key: string[],
  rows: readonly object[],
  columns: readonly string[],
): Promise<void> {
  for (const part of partsOf(rows))
    await trx(table)
      .insert(part)
      .onConflict(key)
      .merge([...columns]);
}
