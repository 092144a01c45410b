// Every column of the program's own tables that holds text the vault sealed. A rotation that missed one would leave it
// unreadable once the old key is gone; test/cli/vault.test.ts compares the list with the schema.
import type { SealedColumn } from '../vault/rotate.js';
import { WEBHOOK_SECRET_PURPOSE } from './storefronts/webhooks.js';
import { CREDENTIALS_PURPOSE } from './suppliers/accounts.js';

export const SEALED_COLUMNS: readonly SealedColumn[] = [
  {
    table: 'storefronts',
    key: 'storefront',
    column: 'webhook_secret_sealed',
    purpose: WEBHOOK_SECRET_PURPOSE,
    context: (row) => row.storefront!,
  },
  {
    table: 'accounts',
    key: 'account',
    column: 'credentials_sealed',
    purpose: CREDENTIALS_PURPOSE,
    context: (row) => row.account!,
  },
  {
    table: 'transcripts',
    key: 'transcript_id',
    column: 'exchanges_sealed',
    purpose: 'transcript',
    context: (row) => row.attempt_id!,
  },
  {
    table: 'callbacks',
    key: 'callback_id',
    column: 'message_sealed',
    purpose: 'callback',
    context: (row) => row.callback_id!,
  },
];
