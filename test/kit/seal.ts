// The vault's own sealing of small texts, under a key that lives as long as the test.
import { randomBytes } from 'node:crypto';
import { createKeyring } from '../../vault/keyring.js';
import { keyText } from '../../vault/sources.js';
import { openTextWith, sealTextWith } from '../../vault/text.js';

export interface TestSeal {
  sealText(purpose: string, context: string, text: string): string;
  openText(purpose: string, context: string, sealed: string): string;
}

export function makeTestSeal(): TestSeal {
  const keyring = createKeyring(keyText('test key', `1 ${randomBytes(32).toString('base64')}\n`));
  return {
    sealText: (purpose, context, text) => sealTextWith(keyring, purpose, context, text),
    openText: (purpose, context, sealed) => openTextWith(keyring, purpose, context, sealed),
  };
}
