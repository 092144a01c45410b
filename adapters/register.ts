// Every supplier there is an adapter for, one line each. `test/tidy.test.ts` fails on a file that is not here.
import { acgFaka } from './acg-faka.js';
import { dayuanren } from './dayuanren.js';
import { digiflazz } from './digiflazz.js';
import { dtone } from './dtone.js';
import { dujiaoNext } from './dujiao-next.js';
import { fulu } from './fulu.js';
import { kakayun } from './kakayun.js';
import { kasushou } from './kasushou.js';
import { kayixin } from './kayixin.js';
import type { Supplier } from './kit/contract.js';
import { lansexiongdi } from './lansexiongdi.js';
import { reloadly } from './reloadly.js';
import { runa } from './runa.js';
import { simulated } from './simulated.js';
import { tremendous } from './tremendous.js';
import { woohoo } from './woohoo.js';
import { xinghai } from './xinghai.js';
import { xingquanyi } from './xingquanyi.js';
import { yile } from './yile.js';

/** Code → adapter. */
export const SUPPLIERS: Readonly<Record<string, Supplier>> = {
  'acg-faka': acgFaka,
  dayuanren,
  digiflazz,
  dtone,
  'dujiao-next': dujiaoNext,
  fulu,
  kakayun,
  kasushou,
  kayixin,
  lansexiongdi,
  reloadly,
  runa,
  simulated,
  tremendous,
  woohoo,
  xinghai,
  xingquanyi,
  yile,
};

/** The adapter of a code. Throws an Error that names the nearest codes there are. */
export function supplierFor(code: string): Supplier {
  const supplier = Object.hasOwn(SUPPLIERS, code) ? SUPPLIERS[code] : undefined;
  if (supplier) return supplier;
  const near = nearCodes(code);
  const hint =
    near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known are ${Object.keys(SUPPLIERS).join(', ')}`;
  throw new Error(`there is no adapter "${code}": ${hint}`);
}

/** Up to three codes that look like the word. */
export function nearCodes(word: string): string[] {
  const wanted = word.toLowerCase().replace(/[^a-z0-9]/g, '');
  if (wanted === '') return [];
  return Object.keys(SUPPLIERS)
    .map((code) => ({ code, distance: likeness(wanted, code.replaceAll('-', '')) }))
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.distance - b.distance || (a.code < b.code ? -1 : 1))
    .slice(0, 3)
    .map(({ code }) => code);
}

/** Edits from one word to the other; a word that contains the other is one edit away. */
function likeness(left: string, right: string): number {
  if (left.length > 2 && (right.includes(left) || left.includes(right))) return left === right ? 0 : 1;
  let row = Array.from({ length: right.length + 1 }, (_, at) => at);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const change = row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, change));
    }
    row = next;
  }
  return row[right.length]!;
}
