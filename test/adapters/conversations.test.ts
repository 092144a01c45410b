// Runs every conversation file of every registered adapter, strictly: every exchange used, nothing unexpected sent.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { readConversation } from '../../adapters/kit/conversation.js';
import { replay } from '../../adapters/kit/replay.js';
import { supplierFor } from '../../adapters/register.js';

const HERE = join(process.cwd(), 'test/adapters');
const folders = readdirSync(HERE, { withFileTypes: true }).filter((entry) => entry.isDirectory());

for (const folder of folders) {
  describe(`${folder.name} speaks its protocol`, () => {
    for (const file of readdirSync(join(HERE, folder.name)).filter((name) => name.endsWith('.json'))) {
      const conversation = readConversation(readFileSync(join(HERE, folder.name, file), 'utf8'));
      test(`${file}: ${conversation.title}`, async () => {
        const { differences } = await replay(supplierFor(folder.name), conversation, { strict: true });
        expect(differences).toEqual([]);
      });
    }
  });
}
