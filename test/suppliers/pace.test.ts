import { expect, test } from '@jest/globals';
import { createPace } from '../../src/suppliers/pace.js';

const LIMITS = { requests: 5, per_ms: 100, concurrency: 10, deadline_ms: 1_000 };

test('holds the limit in every window, also after the process stood still', async () => {
  const pace = createPace(LIMITS, () => performance.now())!;
  const sent: number[] = [];
  const turns = Array.from({ length: 25 }, async () => {
    expect(await pace.turn(10_000)).toBe(true);
    sent.push(performance.now());
    if (sent.length === 12) {
      // A long garbage collection, or a neighbour: every timer that was due fires at once afterwards.
      const until = performance.now() + 180;
      while (performance.now() < until);
    }
  });
  await Promise.all(turns);
  for (const from of sent)
    expect(sent.filter((at) => at >= from && at < from + LIMITS.per_ms).length).toBeLessThanOrEqual(5);
});

test('refuses a wait that would be too long, and takes no turn by it', async () => {
  let now = 0;
  const pace = createPace(LIMITS, () => now)!;
  for (let at = 0; at < 5; at++) expect(await pace.turn(0)).toBe(true);
  expect(await pace.turn(50)).toBe(false);
  now = 126;
  expect(await pace.turn(0)).toBe(true);
});

test('is not there where the supplier names no limit', () => {
  expect(createPace({ ...LIMITS, requests: null }, () => 0)).toBeNull();
});
