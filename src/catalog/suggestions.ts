// Which SKU an unmapped supplier product may be: suggested from face value, brand, region and name, each suggestion
// with its grounds. A person accepts or dismisses it; nothing is mapped by itself.
import type { Knex } from 'knex';
import { atomic, isDuplicate, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { GatewayError } from '../errors.js';
import { newId } from '../ids.js';
import type { OfferRow } from './listing.js';
import type { SkuRow } from './skus.js';

export interface Suggestion {
  sku: string;
  /** 1 to 100; for ordering, not a probability. */
  score: number;
  /** What speaks for it, in words an operator can check. */
  because: string[];
}
export interface Unmapped {
  account: string;
  product: string;
  name: string;
  kind: OfferRow['kind'];
  cost_e4: number | null;
  currency: string | null;
  face_value_e4: number | null;
  face_currency: string | null;
  brand: string | null;
  region: string | null;
  /** Best first, at most three; empty where nothing fits. */
  suggestions: Suggestion[];
}

export interface SuggestionQuery {
  account?: string;
  /** From an earlier page: the product after which to go on; needs `account`. */
  after?: string;
  limit: number;
}

const SUGGESTED_MAX = 3;
const SCORE_MIN = 35;
const SKUS_MAX = 20_000;

/** Listed products that no source points to and nobody dismissed, in order of account and product. */
export async function listUnmapped(handle: Knex | Trx, query: SuggestionQuery): Promise<Unmapped[]> {
  const select = handle('offers')
    .leftJoin('sources', (on) => on.on('sources.account', 'offers.account').andOn('sources.product', 'offers.product'))
    .where('offers.status', 'listed')
    .whereNull('sources.source')
    .whereNull('offers.dismissed_at')
    .orderBy(['offers.account', 'offers.product'])
    .limit(query.limit)
    .select('offers.*');
  if (query.account !== undefined) select.where('offers.account', query.account);
  if (query.after !== undefined) select.where('offers.product', '>', query.after);
  const offers = (await select) as OfferRow[];
  if (offers.length === 0) return [];
  const skus: SkuRow[] = await handle('skus')
    .where({ is_enabled: 1 })
    .whereNot({ kind: 'bundle' })
    .orderBy('sku')
    .limit(SKUS_MAX);
  const index = indexSkus(skus);
  return offers.map((offer) => ({
    account: offer.account,
    product: offer.product,
    name: offer.name,
    kind: offer.kind,
    cost_e4: offer.cost_e4,
    currency: offer.currency,
    face_value_e4: offer.face_value_e4,
    face_currency: offer.face_currency,
    brand: offer.brand,
    region: offer.region,
    suggestions: suggest(offer, index),
  }));
}

/**
 * Maps a listed product to a SKU by a person's word. The source takes the offer's stock, and its cost if the sweep
 * judged it sound: it is read with the next sweep. Throws `not_found`, `validation_failed`, `conflict`.
 */
export async function acceptMapping(
  database: Database,
  wanted: { account: string; product: string; sku: string; priority?: number; by: string },
  now: number,
): Promise<{ source: string }> {
  const { account, product, sku, by, priority = 100 } = wanted;
  mustBeNamed(by);
  return atomic(database, 'accepting a mapping', async (trx) => {
    const offer = await readOffer(trx, account, product);
    const row: SkuRow | undefined = await trx('skus').where({ sku }).first();
    if (!row)
      throw new GatewayError('not_found', `there is no SKU ${JSON.stringify(sku)}`, {
        field: 'sku',
        fix: 'Use a SKU of the catalog file.',
      });
    if (row.kind === 'bundle') {
      throw new GatewayError('validation_failed', `${sku} is a bundle: it is made of other SKUs`, {
        field: 'sku',
        fix: 'Map the product to the part it delivers.',
      });
    }
    if (offer.kind !== null && offer.kind !== row.kind) {
      throw new GatewayError('validation_failed', `the product is a ${offer.kind}, the SKU a ${row.kind}`, {
        field: 'sku',
        fix: 'Choose a SKU of the same kind.',
      });
    }
    const source = newId('src', now);
    const accepted = { accepted_by: by.slice(0, 128), accepted_at: now };
    try {
      await trx('sources').insert({
        source,
        sku,
        account,
        product,
        priority,
        is_enabled: 1,
        created_at: now,
        updated_at: now,
        ...accepted,
      });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      throw new GatewayError('conflict', 'this product is a source of this SKU already', {
        field: 'product',
        fix: 'Nothing is to be done.',
      });
    }
    // Never seen, so the next look at what is hot reads its page before all others.
    await trx('sweeps').where({ account }).update({ hot_at: now });
    return { source };
  });
}

/** The product is not to be suggested again, until somebody maps it. */
export async function dismissProduct(
  database: Database,
  { account, product, by }: { account: string; product: string; by: string },
  now: number,
): Promise<void> {
  mustBeNamed(by);
  await atomic(database, 'dismissing a product', async (trx) => {
    await readOffer(trx, account, product);
    await trx('offers')
      .where({ account, product })
      .update({ dismissed_by: by.slice(0, 128), dismissed_at: now });
  });
}

async function readOffer(trx: Trx, account: string, product: string): Promise<OfferRow> {
  const offer: OfferRow | undefined = await trx('offers').where({ account, product }).first();
  if (offer) return offer;
  throw new GatewayError('not_found', `${account} lists no product ${JSON.stringify(product)}`, {
    field: 'product',
    fix: 'Take account and product from the list of unmapped products.',
  });
}

function mustBeNamed(by: string): void {
  if (by.trim() === '')
    throw new GatewayError('validation_failed', 'by is empty', { field: 'by', fix: 'Say who decides.' });
}

interface Indexed {
  row: SkuRow;
  words: Set<string>;
  numbers: Set<string>;
}
interface SkuIndex {
  all: Indexed[];
  /** Word → the SKUs whose name or brand has it. */
  by_word: Map<string, Indexed[]>;
  by_face: Map<string, Indexed[]>;
}

function indexSkus(rows: readonly SkuRow[]): SkuIndex {
  const index: SkuIndex = { all: [], by_word: new Map(), by_face: new Map() };
  for (const row of rows) {
    const entry = { row, ...wordsOf(`${row.name} ${row.brand ?? ''}`) };
    index.all.push(entry);
    for (const word of entry.words) index.by_word.set(word, [...(index.by_word.get(word) ?? []), entry]);
    const face = faceOf(row.face_value_e4, row.face_currency);
    if (face) index.by_face.set(face, [...(index.by_face.get(face) ?? []), entry]);
  }
  return index;
}

function suggest(offer: OfferRow, index: SkuIndex): Suggestion[] {
  const words = wordsOf(`${offer.name} ${offer.brand ?? ''}`);
  const face = faceOf(offer.face_value_e4, offer.face_currency);
  const near = new Set<Indexed>(face ? index.by_face.get(face) : []);
  for (const word of words.words) for (const entry of index.by_word.get(word) ?? []) near.add(entry);
  return [...near]
    .flatMap((entry) => scoreOf(offer, words, entry) ?? [])
    .filter(({ score }) => score >= SCORE_MIN)
    .sort((a, b) => b.score - a.score || (a.sku < b.sku ? -1 : 1))
    .slice(0, SUGGESTED_MAX);
}

/** Null where something known speaks against it: another kind, face value, brand or region. */
function scoreOf(offer: OfferRow, words: ReturnType<typeof wordsOf>, { row, ...sku }: Indexed): Suggestion | null {
  if (offer.kind !== null && offer.kind !== row.kind) return null;
  const because: string[] = [];
  let score = 0;
  const faces = [
    faceOf(offer.face_value_e4, offer.face_currency),
    faceOf(row.face_value_e4, row.face_currency),
  ] as const;
  if (faces[0] && faces[1]) {
    if (faces[0] !== faces[1]) return null;
    score += 40;
    because.push(`the same face value, ${faces[0]}`);
  } else if (sku.numbers.size > 0 || words.numbers.size > 0) {
    // A denomination that stands in the name alone: 50 is not 100.
    if (!sameNumbers(sku.numbers, words.numbers)) return null;
    score += 20;
    because.push('the same numbers in the name');
  }
  for (const field of ['brand', 'region'] as const) {
    const [theirs, ours] = [plain(offer[field] ?? ''), plain(row[field] ?? '')];
    if (theirs === '' || ours === '') continue;
    if (theirs !== ours) return null;
    score += field === 'brand' ? 25 : 10;
    because.push(`the same ${field}, ${row[field]}`);
  }
  const likeness = likenessOf(words.words, sku.words);
  if (likeness > 0) {
    score += Math.round(likeness * 50);
    because.push(`the names are alike by ${Math.round(likeness * 100)} %`);
  }
  return score === 0 ? null : { sku: row.sku, score: Math.min(score, 100), because };
}

function faceOf(amount_e4: number | null, currency: string | null): string | null {
  return amount_e4 === null || currency === null ? null : `${amount_e4 / 10_000} ${currency}`;
}

function sameNumbers(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((number) => right.has(number));
}

/** From 0 to 1: between the share of all words and that of the shorter name, which a longer one may spell out. */
function likenessOf(left: ReadonlySet<string>, right: ReadonlySet<string>): number {
  const shared = [...left].filter((word) => right.has(word)).length;
  if (shared === 0) return 0;
  return (shared / (left.size + right.size - shared) + shared / Math.min(left.size, right.size)) / 2;
}

/** Latin words, pairs of Chinese characters (which have no spaces between words), and numbers apart from both. */
function wordsOf(text: string): { words: Set<string>; numbers: Set<string> } {
  const words = new Set<string>();
  const numbers = new Set<string>();
  for (const [part] of plain(text).matchAll(/\d+(?:\.\d+)?|\p{Script=Han}+|(?:(?!\p{Script=Han})\p{L})+/gu)) {
    if (/^\d/.test(part)) numbers.add(String(Number(part)));
    else if (/^\p{Script=Han}/u.test(part)) for (const pair of pairsOf(part)) words.add(pair);
    else words.add(part);
  }
  return { words, numbers };
}

function pairsOf(text: string): string[] {
  const chars = [...text];
  return chars.length === 1 ? chars : chars.slice(1).map((char, at) => `${chars[at]}${char}`);
}

/** Full-width and half-width, upper and lower case are the same to a reader. */
function plain(text: string): string {
  return text.normalize('NFKC').toLowerCase().trim();
}
