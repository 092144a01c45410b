// The catalog's drills at their small size; the full sizes run by `npm run drill`.
import { expect, test } from '@jest/globals';
import * as jump from '../drills/cost-jump.js';
import * as sweep from '../drills/sweep.js';

test.each([
  ['sweeps many lists while orders go on, and writes only the changes', () => sweep.run(sweep.SMALL)],
  ['buys nothing above the ceiling though costs jump', () => jump.run(jump.SMALL)],
])('%s', async (_, drill) => {
  const { violations } = await drill();
  expect(violations).toEqual([]);
});
