// What a bundle is made of, as the catalog file declared it: its parts, what each counts for in the price, and how a
// part's recipient is made of the bundle's. Pure.
import type { Kind, Recipient } from '../../adapters/kit/contract.js';
import { type FieldError, must } from '../errors.js';
import { checkRecipient, fieldNames, type OrderKind, type SkuRow } from './skus.js';

export interface BundlePart {
  sku: string;
  /** Units in one bundle. */
  quantity: number;
  /** What one unit of it counts for in the bundle's price, and so the most that it may cost. */
  price_e4: number;
  /** The part's recipient field → the bundle's field it is taken from, where the names differ. */
  recipient: Record<string, string>;
}

/** The parts in the order declared; empty where the SKU is no bundle. */
export function bundleParts({ parts }: Pick<SkuRow, 'parts'>): BundlePart[] {
  return parts === null ? [] : (JSON.parse(parts) as BundlePart[]);
}

/** The kind of what a source can deliver; a bundle is none. */
export function plainKind(kind: OrderKind): Kind {
  must(kind !== 'bundle', 'what is bought or issued is no bundle');
  return kind;
}

/** The part's own recipient, of the bundle's; null where its SKU asks for none. */
export function partRecipient(
  part: Pick<BundlePart, 'recipient'>,
  sku: Pick<SkuRow, 'recipient_rules'>,
  recipient: Recipient | null,
): Recipient | null {
  const made: Recipient = {};
  for (const name of fieldNames(sku)) {
    const value = fieldOf(recipient, part.recipient[name] ?? name);
    if (value !== undefined) setField(made, name, value);
  }
  return Object.keys(made).length === 0 ? null : made;
}

/** What is wrong with the bundle's recipient for this part, under the bundle's own names of the fields. */
export function checkPartRecipient(
  part: BundlePart,
  sku: Pick<SkuRow, 'recipient_rules'>,
  recipient: Recipient | null,
): FieldError[] {
  return checkRecipient(sku, partRecipient(part, sku, recipient)).map((error) => {
    const name = error.pointer.slice('/recipient/'.length).replace('/', '.');
    const from = (part.recipient[name] ?? name).replace('.', '/');
    return { ...error, pointer: `/recipient/${from}`, message: `for ${part.sku}: ${error.message}` };
  });
}

/** Field names are as in the catalog file: `account`, or `extra.zone` for one of the further ones. */
function fieldOf(recipient: Recipient | null, name: string): string | undefined {
  const extra = extraName(name);
  return extra === null ? recipient?.[name as PlainField] : recipient?.extra?.[extra];
}

function setField(recipient: Recipient, name: string, value: string): void {
  const extra = extraName(name);
  if (extra === null) recipient[name as PlainField] = value;
  else recipient.extra = { ...recipient.extra, [extra]: value };
}

type PlainField = Exclude<keyof Recipient, 'extra'>;

function extraName(name: string): string | null {
  return name.startsWith('extra.') ? name.slice('extra.'.length) : null;
}
