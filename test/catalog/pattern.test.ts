import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compilePattern, patternFault } from '../../src/catalog/pattern.js';

/** Patterns of the language. Shallow, and texts short: it is JavaScript's own matcher that would not come to an end. */
const atom = fc.constantFrom(
  'a',
  'b',
  '0',
  '\\d',
  '\\w',
  '\\s',
  '\\D',
  '.',
  '[ab]',
  '[^a]',
  '[0-9a]',
  '\\.',
  '[a\\]]',
  '中',
);
const repeat = fc.constantFrom('', '', '', '?', '*', '+', '{2}', '{1,}', '{0,2}', '{1,3}');
const { pattern } = fc.letrec<{ pattern: string; piece: string }>((tie) => ({
  piece: fc.oneof(
    { maxDepth: 1 },
    fc.tuple(atom, repeat).map((parts) => parts.join('')),
    fc.tuple(tie('pattern'), repeat).map(([inner, count]) => `(?:${inner})${count}`),
    fc.tuple(tie('pattern'), repeat).map(([inner, count]) => `(${inner})${count}`),
  ),
  pattern: fc
    .array(fc.array(tie('piece'), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 })
    .map((branches) => branches.map((pieces) => pieces.join('')).join('|')),
}));
const text = fc.string({ unit: fc.constantFrom('a', 'b', '0', '.', ' ', ']', '中', '😀'), maxLength: 6 });

describe('compilePattern', () => {
  it('decides as JavaScript does, for any pattern it takes and any text', () => {
    fc.assert(
      fc.property(pattern, text, (source, candidate) => {
        let fits: (text: string) => boolean;
        try {
          fits = compilePattern(source);
        } catch (error) {
          // Repeats of repeats may multiply beyond the limit; nothing else may be refused here.
          expect((error as Error).message).toMatch(/too many steps/);
          return;
        }
        expect(fits(candidate)).toBe(new RegExp(`^(?:${source})$`, 'u').test(candidate));
      }),
      { numRuns: 1_000 },
    );
  });

  it('matches the whole text, with or without anchors', () => {
    for (const source of ['1[3-9]\\d{9}', '^1[3-9]\\d{9}$']) {
      const fits = compilePattern(source);
      expect(fits('13800000000')).toBe(true);
      expect(fits('x13800000000')).toBe(false);
      expect(fits('138000000001')).toBe(false);
      expect(fits('13800000000\n')).toBe(false);
    }
    expect(compilePattern('')('')).toBe(true);
    expect(compilePattern('a\\$')('a$')).toBe(true);
  });

  it('is not slowed down by patterns that stop a backtracking matcher', () => {
    const evil: [string, string][] = [
      ['(a+)+', `${'a'.repeat(127)}!`],
      ['(a|aa)+', `${'a'.repeat(127)}!`],
      ['(a|a?)+', `${'a'.repeat(127)}!`],
      ['\\d*\\d*\\d*\\d*\\d*\\d*\\d*\\d*x', '1'.repeat(128)],
      ['(([a-z])+.)+[A-Z]([a-z])+', 'a'.repeat(128)],
    ];
    const began = process.hrtime.bigint();
    for (const [source, candidate] of evil) expect(compilePattern(source)(candidate)).toBe(false);
    // A backtracking matcher needs longer than the universe has lasted for the first of them.
    expect(Number(process.hrtime.bigint() - began) / 1e6).toBeLessThan(2_000);
  });

  const REFUSED: [string, RegExp][] = [
    ['(?=a)', /no look-around/],
    ['(?<name>a)', /no look-around, no names/],
    ['(a)\\1', /\\1/],
    ['\\bword', /\\b/],
    ['a+?', /lazy/],
    ['a**', /two repeats/],
    ['*a', /nothing precedes/],
    ['a{2', /\{n\}/],
    ['a{3,2}', /wrong way round/],
    ['(a', /\( without/],
    ['a)', /\) without/],
    ['[a', /\[ without/],
    ['[b-a]', /JavaScript does not take/],
    ['a\\', /single/],
    ['a^b', /\^ in its middle/],
    ['((a{99}){99}){99}', /too many steps/],
    [`${'('.repeat(30)}a${')'.repeat(30)}`, /deep/],
  ];
  for (const [source, reason] of REFUSED) {
    it(`refuses ${source.slice(0, 20)} and says why`, () => {
      expect(patternFault(source)).toMatch(reason);
    });
  }

  it('finds nothing wrong with a pattern it takes', () => {
    expect(patternFault('[A-Z]{2}-\\d{4}')).toBeNull();
  });
});
