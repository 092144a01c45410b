// The suppliers as a table for people, made from their facts: the README's is checked against it.
import type { Supplier } from './contract.js';
import { VERBS } from './conversation.js';

/** The verbs an adapter has, in the order of the contract. */
export function verbsOf(supplier: Supplier): string[] {
  return VERBS.filter((verb) => supplier[verb] !== undefined);
}

/** A Markdown table, one row a supplier, in order of code. */
export function supplierTable(suppliers: readonly Supplier[]): string {
  const rows = [...suppliers]
    .sort((a, b) => (a.code < b.code ? -1 : 1))
    .map((supplier) => {
      const { code, name, region, delivers, promises } = supplier;
      const { repeat_reference, lookup_by, absence, callback_trust } = promises;
      const repeat = typeof repeat_reference === 'string' ? repeat_reference : 'returns_original for a time';
      const proof =
        absence === 'proves_nothing' ? 'never' : `after ${Math.round(absence.proves_not_bought_after_ms / 1000)} s`;
      return `| \`${code}\` | ${name} | ${region} | ${delivers.join(', ')} | ${repeat} | ${lookup_by} | ${proof} | ${callback_trust} |`;
    });
  return [
    '| code | supplier | region | delivers | a repeated reference | looked up by | "no such order" is proof | callbacks |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
