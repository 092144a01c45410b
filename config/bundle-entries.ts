// What the schema cannot see of a bundle: that its parts exist and can be ordered as it wants them, that what they count
// for adds up to its price, and that each part's recipient can be made of the bundle's.
import type { z } from 'zod';
import { add, addUnknown, isRecord, type Path, type Reader } from './reader.js';
import type { skuSchema } from './schema.js';

type Entry = z.output<typeof skuSchema>;
export type DeclaredPart = NonNullable<Entry['parts']>[number];

/** What only a SKU that is bought or issued may say. */
const NOT_OF_A_BUNDLE = [
  'sources',
  'attempts_max',
  'deadline_ms',
  'can_detach',
  'vault_rank',
  'strategy',
  'margin_min_percent',
  'second_cost',
  'stale_after_ms',
];
/** What any order may ask for; its codes are numbered through. */
const UNITS_MAX = 10_000;
const ONLY_OF_A_BUNDLE = ['parts', 'failed_part'] as const;

/** Notes a plain SKU's fields that only a bundle may have. */
export function checkPlain(reader: Reader, path: Path, entry: Entry): void {
  for (const field of ONLY_OF_A_BUNDLE) {
    if (entry[field] !== undefined) {
      add(reader, 'invalid', [...path, field], 'is for a bundle', 'Remove it, or write `kind: bundle`.');
    }
  }
}

/**
 * Checks a bundle against the SKUs of the file. Returns how long an order of it may take before a person must look: as
 * long as its slowest part, or as all of them where they are bought one after the other.
 */
export function checkBundle(
  reader: Reader,
  path: Path,
  entry: Entry,
  root: Record<string, unknown>,
  skus: ReadonlyMap<string, Entry>,
): { deadline_ms: number } {
  const given = isRecord(root.skus) ? root.skus[String(path.at(-1))] : {};
  for (const field of NOT_OF_A_BUNDLE) {
    if (isRecord(given) && field in given) {
      add(reader, 'invalid', [...path, field], 'a bundle has none: its parts do', 'Remove it.');
    }
  }
  if (entry.failed_part === undefined) {
    const fix = 'Write finish (the others go on) or stop (nothing more is bought).';
    add(reader, 'missing', [...path, 'failed_part'], 'is missing', fix);
  }
  const parts = entry.parts ?? [];
  if (parts.length === 0) {
    add(reader, 'missing', [...path, 'parts'], 'is missing', 'Write one `- { sku: …, price: … }` for each.');
    return { deadline_ms: entry.deadline_ms };
  }
  const deadlines = parts.map((part, index) => {
    const at = [...path, 'parts', index];
    if (parts.findIndex(({ sku }) => sku === part.sku) < index) {
      add(reader, 'invalid', at, 'the same SKU stands here twice', 'Name it once, with a quantity.');
    }
    return checkPart(reader, at, entry, part, { root, skus });
  });
  const units = (entry.quantity_max ?? 1) * parts.reduce((sum, { quantity }) => sum + quantity, 0);
  if (units > UNITS_MAX) {
    const wrong = `an order of it may come to ${units} units in all, more than ${UNITS_MAX}`;
    add(reader, 'invalid', [...path, 'quantity_max'], wrong, 'Lower it, or the quantities of the parts.');
  }
  checkSum(reader, path, entry, parts);
  checkAsked(reader, path, entry, parts, skus);
  const [longest, all] = [Math.max(...deadlines), deadlines.reduce((sum, each) => sum + each, 0)];
  return { deadline_ms: entry.failed_part === 'stop' ? all : longest };
}

/** Returns the part's own deadline. */
function checkPart(
  reader: Reader,
  at: Path,
  bundle: Entry,
  part: DeclaredPart,
  { root, skus }: { root: Record<string, unknown>; skus: ReadonlyMap<string, Entry> },
): number {
  const sku = skus.get(part.sku);
  if (!sku) {
    const declared = isRecord(root.skus) ? Object.keys(root.skus) : [];
    // One that is there and has faults of its own is told of where it stands.
    if (!declared.includes(part.sku)) {
      addUnknown(reader, 'invalid', [...at, 'sku'], part.sku, declared, 'there is no such SKU in this file');
    }
    return bundle.deadline_ms;
  }
  if (sku.kind === 'bundle') {
    add(reader, 'invalid', [...at, 'sku'], 'is a bundle itself', 'Name its parts here instead.');
    return sku.deadline_ms;
  }
  if (sku.price.currency !== bundle.price.currency) {
    const wrong = `is priced in ${sku.price.currency}, the bundle in ${bundle.price.currency}`;
    add(
      reader,
      'invalid',
      [...at, 'sku'],
      wrong,
      'Price both in one currency: what a part may cost is compared in it.',
    );
  }
  const wanted = (bundle.quantity_max ?? 1) * part.quantity;
  const allowed = sku.quantity_max ?? (sku.kind === 'code' ? 100 : 1);
  if (wanted > allowed) {
    const wrong = `asks for up to ${wanted} units of ${part.sku}, which allows ${allowed} in one order`;
    add(reader, 'invalid', [...at, 'quantity'], wrong, `Raise quantity_max of ${part.sku}, or lower the bundle's.`);
  }
  checkRecipient(reader, [...at, 'recipient'], bundle, part, sku);
  return sku.deadline_ms;
}

function checkSum(reader: Reader, path: Path, { price }: Entry, parts: readonly DeclaredPart[]): void {
  const sum = parts.reduce((total, part) => total + part.quantity * part.price, 0);
  if (sum === price.amount) return;
  const wrong = `the parts add up to ${decimal(sum)}, the bundle's price is ${decimal(price.amount)}`;
  add(
    reader,
    'invalid',
    [...path, 'parts'],
    wrong,
    'Share the whole price out among the parts: quantity × price each.',
  );
}

function decimal(amount_e4: number): string {
  const places = String(amount_e4 % 10_000).padStart(4, '0');
  return `${Math.floor(amount_e4 / 10_000)}.${places.replace(/0{1,2}$/, '')}`;
}

function checkRecipient(reader: Reader, at: Path, bundle: Entry, part: DeclaredPart, sku: Entry): void {
  const asked = fieldsOf(bundle);
  const wanted = fieldsOf(sku);
  for (const [name, from] of Object.entries(part.recipient)) {
    if (!wanted.has(name)) {
      addUnknown(reader, 'invalid', [...at, name], name, [...wanted.keys()], `${part.sku} asks for no such field`);
    } else if (!asked.has(from)) {
      addUnknown(reader, 'invalid', [...at, name], from, [...asked.keys()], 'the bundle asks for no such field');
    }
  }
  for (const [name, is_required] of wanted) {
    const from = part.recipient[name] ?? name;
    // A name that is mapped to nothing has been told of above.
    const is_told = part.recipient[name] !== undefined && !asked.has(from);
    if (!is_required || is_told || asked.get(from) === true) continue;
    const wrong = asked.has(from)
      ? `${part.sku} requires ${name}, and the bundle leaves ${from} to the storefront`
      : `${part.sku} requires ${name}, and the bundle asks for no such field`;
    const fix = asked.has(from)
      ? `Make ${from} required in the bundle's recipient_rules.`
      : `Add ${name} to the bundle's recipient_rules, or say what it is taken from: recipient: { ${name}: … }.`;
    add(reader, 'invalid', at, wrong, fix);
  }
}

/** What the bundle asks its recipients for, some part must want. */
function checkAsked(
  reader: Reader,
  path: Path,
  bundle: Entry,
  parts: readonly DeclaredPart[],
  skus: ReadonlyMap<string, Entry>,
): void {
  if (parts.some(({ sku }) => !skus.has(sku))) return;
  const taken = new Set(
    parts.flatMap((part) => [...fieldsOf(skus.get(part.sku)!).keys()].map((name) => part.recipient[name] ?? name)),
  );
  for (const name of fieldsOf(bundle).keys()) {
    if (taken.has(name)) continue;
    const at = [...path, 'recipient_rules', ...name.split(/\.(.*)/s).filter((step) => step !== '')];
    add(
      reader,
      'invalid',
      at,
      'no part takes this field',
      'Remove it, or map it: recipient: { FIELD: … } of the part.',
    );
  }
}

/** Field (`extra.…` for the further ones) → whether it is required. */
function fieldsOf({ recipient_rules: { extra, ...fields } }: Entry): Map<string, boolean> {
  return new Map([
    ...Object.entries(fields).flatMap(([name, rule]) => (rule ? [[name, rule.is_required === 1] as const] : [])),
    ...Object.entries(extra ?? {}).map(([name, rule]) => [`extra.${name}`, rule.is_required === 1] as const),
  ]);
}
