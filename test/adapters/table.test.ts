// The README's table of suppliers is the register's. To write it anew: UPDATE_README=1 npm test -- test/adapters/table
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { supplierTable, verbsOf } from '../../adapters/kit/table.js';
import { SUPPLIERS, supplierFor } from '../../adapters/register.js';

const README = join(import.meta.dirname, '../../README.md');
const BETWEEN = /(<!-- suppliers -->\n)[\s\S]*?(\n<!-- \/suppliers -->)/;

test('the README lists every supplier with its promises', () => {
  const text = readFileSync(README, 'utf8');
  const fresh = text.replace(
    BETWEEN,
    (_all, before: string, after: string) => before + supplierTable(Object.values(SUPPLIERS)) + after,
  );
  if (process.env.UPDATE_README) writeFileSync(README, fresh);
  else expect(text).toBe(fresh);
  expect(fresh).toMatch(BETWEEN);
});

test('verbs are those an adapter has', () => {
  expect(verbsOf(supplierFor('simulated'))).toEqual(['place', 'lookup', 'listOffers', 'readBalance', 'readCallback']);
  expect(verbsOf(supplierFor('yile'))).not.toContain('readCallback');
});
