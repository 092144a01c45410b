import { expect, it } from '@jest/globals';
import { closest, editDistance } from '../../config/closest.js';

it('counts insertions, deletions, substitutions and swaps', () => {
  const distances: [string, string, number][] = [
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', '', 3],
    ['port', 'prot', 1],
    ['port', 'ports', 1],
    ['port', 'sort', 1],
    ['kitten', 'sitting', 3],
  ];
  for (const [a, b, distance] of distances) expect([a, b, editDistance(a, b)]).toEqual([a, b, distance]);
});

it('suggests what is near and nothing that is far', () => {
  const names = ['port', 'host', 'log_level'];
  expect(closest('prot', names)).toBe('port');
  expect(closest('LOG_LEVL', names)).toBe('log_level');
  expect(closest('database', names)).toBeNull();
  expect(closest('x', ['a', 'b'])).toBe('a');
  expect(closest('x', [])).toBeNull();
});
