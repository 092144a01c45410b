import { expect, test } from '@jest/globals';
import { FULL, run } from './flapping.js';
import { printReport } from './report.js';
test('full', async () => {
  const report = await run({ ...FULL, flaps: 50 });
  process.stderr.write(`${printReport(report)}\n`);
  expect(report.violations).toEqual([]);
}, 3_000_000);
