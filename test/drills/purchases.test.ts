import { expect, test } from '@jest/globals';
import { run } from './purchases.js';

test.each([1, 2, 3])('nothing is bought twice and every unit is accounted for, seed %i', async (seed) => {
  const figures = await run({ orders: 60, seed });
  expect(figures.violations).toEqual([]);
  expect(figures.orders).toBe(60);
  // The drill means nothing if its faults did not strike.
  expect(figures.faults).toBeGreaterThan(3);
  expect(figures.delivered).toBeGreaterThan(40);
});
