// What goes in comes out: generated codes of every nasty kind are deposited, issued and revealed, and compared byte for
// byte.

import { depositOf } from '../vault/world.js';
import { type DrillReport, secondsSince, seeded } from './report.js';
import { issueAll, openDrillVault } from './vault-setup.js';

export interface BytesSize {
  codes: number;
}
export const FULL: BytesSize = { codes: 100_000 };
export const SMALL: BytesSize = { codes: 500 };

const PIECES = [
  '%0A',
  '<>',
  '"',
  "'",
  '=',
  '\t',
  '＝１２３',
  'e\u0301',
  '🎁',
  '\r\n',
  '\ufeff',
  '\u0000',
  ' ',
  '\\',
  '--',
  ';',
  '密码',
  '\u202e',
  'A',
  '9',
];
const LONGEST = 4096;
const DEPOSIT = 2000;

export async function run(size: BytesSize): Promise<DrillReport> {
  const report: DrillReport = { name: 'vault-bytes', figures: {}, violations: [] };
  const drill = await openDrillVault();
  const sku = 'BYTES';
  try {
    const random = seeded(7);
    const kept = new Map<string, Buffer>();
    let bytes = 0;
    const start = process.hrtime.bigint();
    for (let from = 0; from < size.codes; from += DEPOSIT) {
      const contents = Array.from({ length: Math.min(DEPOSIT, size.codes - from) }, (_, at) =>
        makeContent(random, from + at),
      );
      const { codes } = await drill.tx((trx) =>
        drill.vault.deposit(
          trx,
          depositOf(
            contents.map((number) => ({ number })),
            { sku },
          ),
        ),
      );
      for (const [at, code] of codes.entries()) {
        if ('duplicate_of' in code) continue;
        kept.set(code.code_id, contents[at]!);
        bytes += contents[at]!.length;
      }
    }
    const orders = await issueAll(drill, sku, kept.size, 1000);
    let equal = 0;
    for (const order_id of orders) {
      for (const code of await drill.tx((trx) =>
        drill.vault.reveal(trx, { order_id, by: 'storefront:drill', reason: 'drill' }),
      )) {
        if (code.number && kept.get(code.code_id)?.equals(code.number.bytes())) equal++;
        else report.violations.push(`${code.code_id} came out changed`);
        kept.delete(code.code_id);
      }
    }
    if (kept.size > 0) report.violations.push(`${kept.size} codes were never delivered`);
    report.figures = { 'codes deposited and delivered': equal, bytes, seconds: secondsSince(start).toFixed(1) };
  } finally {
    await drill.close();
  }
  return report;
}

/** 1 to 4,096 bytes; every tenth is no text at all. */
function makeContent(random: () => number, at: number): Buffer {
  const length = at % 50 === 0 ? LONGEST : 1 + Math.floor(random() ** 4 * (LONGEST - 1));
  if (at % 10 === 1)
    return Buffer.from(Array.from({ length: Math.min(length, 64) + 8 }, () => Math.floor(random() * 256)));
  let text = String(at);
  while (Buffer.byteLength(text) < length) text += PIECES[Math.floor(random() * PIECES.length)];
  return Buffer.from(text).subarray(0, LONGEST);
}
