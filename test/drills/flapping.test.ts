// The flapping drill, small; `npm run drill -- flapping` runs it at full size.
import { expect, test } from '@jest/globals';
import { run, SMALL } from './flapping.js';

test('a supplier that flaps is never bought from twice, loses its traffic, and gets it back by a few probes', async () => {
  const { figures, violations } = await run(SMALL);
  expect(violations).toEqual([]);
  expect(figures.flaps).toBe(SMALL.flaps);
}, 120_000);
