// Every drill of the vault at its small size; the full sizes run by `npm run drill`.
import { expect, test } from '@jest/globals';
import * as api from './vault-api.js';
import * as bytes from './vault-bytes.js';
import * as canary from './vault-canary.js';
import * as issue from './vault-issue.js';
import * as ledger from './vault-ledger.js';
import * as restore from './vault-restore.js';
import * as rotate from './vault-rotate.js';
import * as speed from './vault-speed.js';
import * as tamper from './vault-tamper.js';

test.each([
  ['issues every code once, in several processes', () => issue.run(issue.SMALL)],
  ['delivers what was deposited, byte for byte', () => bytes.run(bytes.SMALL)],
  ['refuses every swapped or flipped row', () => tamper.run(tamper.SMALL)],
  ['notices every change of the ledger', () => ledger.run(ledger.SMALL)],
  ['leaves no plaintext anywhere', () => canary.run(canary.SMALL)],
  ['does not issue again after a restore', () => restore.run(restore.SMALL)],
  ['rotates while it issues, killed in between', () => rotate.run(rotate.SMALL)],
  ['measures deposit and issue', () => speed.run(speed.SMALL)],
  ['delivers orders while another process deposits', () => api.run(api.SMALL)],
])('%s', async (_title, drill) => {
  const { violations, figures } = await drill();
  expect(violations).toEqual([]);
  expect(Object.keys(figures).length).toBeGreaterThan(0);
});
