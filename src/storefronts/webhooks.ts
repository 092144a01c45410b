// Telling storefronts: an outbox written in the order's own transaction, and its delivery, signed as Standard
// Webhooks 1.0.0 asks. At least once, never a code, and no foreign call inside a transaction.
import { createHmac } from 'node:crypto';
import { type Dispatcher, request } from 'undici';
import { atomic, type Trx } from '../db/atomic.js';
import type { Database } from '../db/connect.js';
import { insertRows } from '../db/rows.js';
import { newId } from '../ids.js';
import type { OpenText } from './accounts.js';
import { createEgress, type Resolve, webhookUrlFault } from './egress.js';

/** What webhook secrets are sealed for; the context is the storefront. */
export const WEBHOOK_SECRET_PURPOSE = 'webhook_secret';

/** Pauses after each failed try: 10 tries in about 75 hours. Published; storefronts plan by it. */
export const RETRY_LADDER_MS: readonly number[] = [
  5_000,
  5 * 60_000,
  30 * 60_000,
  2 * 3_600_000,
  5 * 3_600_000,
  10 * 3_600_000,
  14 * 3_600_000,
  20 * 3_600_000,
  24 * 3_600_000,
];
/** A pause is up to this much longer, so that an endpoint that comes back is not met by all at once. */
const JITTER = 0.1;
const RETRY_AFTER_MS_MAX = 24 * 3_600_000;
/** A later notice of an order waits while an earlier one has had fewer tries than this; then it overtakes. */
const ORDERED_TRIES = 2;
/** Beyond the time limit of the calls: how long a claim outlives it before another process may take the notice. */
const CLAIM_MARGIN_MS = 30_000;
const BODY_BYTES_MAX = 20_000;
/** An answer's body is of no interest; this much is read so that the connection can be kept. */
const REPLY_BYTES_MAX = 16_384;

export interface NoticeData {
  order_id: string;
  external_id: string;
  status: string;
  final: boolean;
  refund_advice: string;
  reason: string | null;
  /** Grows with each change of the order: a consumer discards what is older than what it has. */
  version: number;
}

export interface NewNotice {
  storefront: string;
  order_id: string;
  /** `order.delivered` and the like. */
  type: string;
  url: string;
  created_at: number;
  payload: { type: string; timestamp: string; data: NoticeData };
}

interface NoticeRow {
  notice_id: string;
  storefront: string;
  order_id: string;
  type: string;
  url: string;
  payload: string;
  created_at: number;
  due_at: number | null;
  tries: number;
  delivered_at: number | null;
  given_up_at: number | null;
  last_result: string | null;
}

const NOTICE_COLUMNS = [
  'notice_id',
  'storefront',
  'order_id',
  'type',
  'url',
  'payload',
  'created_at',
  'due_at',
  'tries',
] as const;

/** Writes notices, due at once, in the transaction that changed the orders. Returns their ids. */
export async function writeNotices(trx: Trx, notices: readonly NewNotice[]): Promise<string[]> {
  const rows = notices.map(({ payload, ...notice }) => ({
    ...notice,
    notice_id: newId('ntc', notice.created_at),
    payload: JSON.stringify(payload),
    due_at: notice.created_at,
    tries: 0,
  }));
  for (const row of rows) {
    const bytes = Buffer.byteLength(row.payload);
    if (bytes > BODY_BYTES_MAX) throw new Error(`the notice ${row.type} has ${bytes} bytes; at most ${BODY_BYTES_MAX}`);
  }
  await insertRows(trx, 'notices', NOTICE_COLUMNS, rows);
  return rows.map((row) => row.notice_id);
}

/**
 * A storefront's webhook moved: what still waits goes to the new address, or, where it has none any more, nowhere.
 * Notices to an address that an order named for itself are left alone.
 */
export async function moveNotices(
  trx: Trx,
  { storefront, from_url, to_url, now }: { storefront: string; from_url: string; to_url: string | null; now: number },
): Promise<number> {
  const waiting = trx('notices').where({ storefront, url: from_url }).whereNotNull('due_at');
  if (to_url !== null) return waiting.update({ url: to_url });
  return waiting.update({ due_at: null, given_up_at: now, last_result: 'the storefront has no webhook any more' });
}

/** The value of `webhook-signature`: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body` (Standard Webhooks 1.0.0). */
export function signWebhook(secret: string, notice_id: string, timestamp_s: number, body: string): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${notice_id}.${timestamp_s}.${body}`).digest('base64')}`;
}

export interface WebhookOptions {
  webhook_timeout_ms: number;
  webhook_concurrency: number;
  allow_private_webhooks: boolean;
}

/** What became of one try. */
export interface WebhookResult {
  notice_id: string;
  storefront: string;
  type: string;
  result: 'delivered' | 'failed' | 'given_up';
  tries: number;
  duration_ms: number;
}

export interface WebhookSenderParts {
  database: Database;
  openText: OpenText;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** From 0 to below 1. */
  random: () => number;
  options: WebhookOptions;
  /** Told of every try, for metrics. */
  observe?: (result: WebhookResult) => void;
  /** Resolves host names; the system's resolver where left out. */
  resolve?: Resolve;
}

export interface WebhookSender {
  /** Sends up to `limit` notices that are due and returns how many it tried. Call again until it returns 0. */
  deliverDue(limit: number): Promise<number>;
  /** Closes the connections, once the calls under way have ended. */
  close(): Promise<void>;
}

/** Builds the sender. Any number of processes may run one on the same database. */
export function createWebhookSender(parts: WebhookSenderParts): WebhookSender {
  const { webhook_timeout_ms, webhook_concurrency, allow_private_webhooks } = parts.options;
  const egress = createEgress({
    allow_private: allow_private_webhooks,
    timeout_ms: webhook_timeout_ms,
    connections_max: webhook_concurrency,
    ...(parts.resolve ? { resolve: parts.resolve } : {}),
  });
  return {
    async deliverDue(limit) {
      const due = await findDue(parts, limit);
      // Before anything is claimed: a sealed vault must not cost a notice one of its tries.
      const secrets = await readSecrets(parts, due);
      const claimed = await claim(parts, due);
      const waiting = claimed.values();
      const worker = async (): Promise<void> => {
        for (const notice of waiting) await deliver(parts, egress, notice, secrets.get(notice.storefront) ?? null);
      };
      const workers = Math.min(webhook_concurrency, claimed.length);
      const ends = await Promise.allSettled(Array.from({ length: workers }, worker));
      // A database that went away while others were still being sent: they are finished first.
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
      return claimed.length;
    },
    close: () => egress.close(),
  };
}

type ClaimedNotice = NoticeRow & { due_at: number };

async function findDue({ database, now }: WebhookSenderParts, limit: number): Promise<ClaimedNotice[]> {
  const { read } = database;
  return read('notices')
    .where('due_at', '<=', now())
    .whereNotExists(
      read('notices as earlier')
        .where('earlier.order_id', read.ref('notices.order_id'))
        .where('earlier.notice_id', '<', read.ref('notices.notice_id'))
        .whereNotNull('earlier.due_at')
        .where('earlier.tries', '<', ORDERED_TRIES),
    )
    .orderBy(['due_at', 'notice_id'])
    .limit(limit);
}

/**
 * Takes due notices by moving `due_at` from what was read to the end of the claim: of several processes one succeeds.
 * The try is counted with it, so that a crash costs a try and never loops.
 */
async function claim(
  { database, now, options }: WebhookSenderParts,
  due: readonly ClaimedNotice[],
): Promise<ClaimedNotice[]> {
  if (due.length === 0) return [];
  // Long enough for the last in line: the notices are sent `webhook_concurrency` at a time.
  const rounds = Math.ceil(due.length / options.webhook_concurrency);
  const due_at = now() + rounds * options.webhook_timeout_ms + CLAIM_MARGIN_MS;
  return atomic(database, 'claiming webhook notices', async (trx) => {
    const claimed: ClaimedNotice[] = [];
    for (const notice of due) {
      const tries = notice.tries + 1;
      const changed = await trx('notices')
        .where({ notice_id: notice.notice_id, due_at: notice.due_at })
        .update({ due_at, tries });
      if (changed === 1) claimed.push({ ...notice, due_at, tries });
    }
    return claimed;
  });
}

/** Storefront → its webhook secret. */
async function readSecrets(parts: WebhookSenderParts, notices: readonly NoticeRow[]): Promise<Map<string, string>> {
  const storefronts = [...new Set(notices.map((notice) => notice.storefront))];
  if (storefronts.length === 0) return new Map();
  const rows: { storefront: string; webhook_secret_sealed: string | null }[] = await parts.database
    .read('storefronts')
    .whereIn('storefront', storefronts)
    .select('storefront', 'webhook_secret_sealed');
  return new Map(
    rows.flatMap(({ storefront, webhook_secret_sealed: sealed }): [string, string][] =>
      sealed === null ? [] : [[storefront, parts.openText(WEBHOOK_SECRET_PURPOSE, storefront, sealed)]],
    ),
  );
}

interface Answer {
  is_delivered: boolean;
  /** The endpoint is gone for good, or can never be called. */
  is_final: boolean;
  retry_after_ms: number;
  /** Status or kind of failure; never a body. */
  result: string;
}

async function deliver(
  parts: WebhookSenderParts,
  egress: Dispatcher,
  notice: ClaimedNotice,
  secret: string | null,
): Promise<void> {
  const started_at = parts.now();
  const answer =
    secret === null
      ? { is_delivered: false, is_final: true, retry_after_ms: 0, result: 'the storefront has no webhook secret' }
      : await send(parts, egress, notice, secret);
  const ended_at = parts.now();
  const next = outcomeOf(notice, answer, ended_at, parts.random());
  await atomic(parts.database, 'noting a webhook try', (trx) =>
    // Only while the claim is still ours: a slow process must not undo what its successor noted.
    trx('notices').where({ notice_id: notice.notice_id, due_at: notice.due_at }).update(next),
  );
  const { notice_id, storefront, type, tries } = notice;
  const result = next.delivered_at ? 'delivered' : next.given_up_at ? 'given_up' : 'failed';
  parts.observe?.({ notice_id, storefront, type, result, tries, duration_ms: ended_at - started_at });
}

function outcomeOf(
  notice: ClaimedNotice,
  answer: Answer,
  now: number,
  random: number,
): Pick<NoticeRow, 'due_at' | 'delivered_at' | 'given_up_at' | 'last_result'> {
  const last_result = answer.result.slice(0, 200);
  if (answer.is_delivered) return { due_at: null, delivered_at: now, given_up_at: null, last_result };
  const pause_ms = RETRY_LADDER_MS[notice.tries - 1];
  if (answer.is_final || pause_ms === undefined) {
    return { due_at: null, delivered_at: null, given_up_at: now, last_result };
  }
  const wait_ms = Math.max(Math.round(pause_ms * (1 + JITTER * random)), answer.retry_after_ms);
  return { due_at: now + wait_ms, delivered_at: null, given_up_at: null, last_result };
}

/** One call. Never throws: whatever happens is an answer. */
async function send(
  { now, options }: WebhookSenderParts,
  egress: Dispatcher,
  { notice_id, url, payload }: ClaimedNotice,
  secret: string,
): Promise<Answer> {
  const failed = (result: string, is_final = false): Answer => {
    return { is_delivered: false, is_final, retry_after_ms: 0, result };
  };
  // Judged again at each call: it may have been written when the settings were others.
  const fault = webhookUrlFault(url, { allow_private: options.allow_private_webhooks });
  if (fault) return failed(`the webhook URL ${fault}`, true);
  const timestamp_s = Math.floor(now() / 1000);
  try {
    const { statusCode, headers, body } = await request(url, {
      method: 'POST',
      dispatcher: egress,
      signal: AbortSignal.timeout(options.webhook_timeout_ms),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'kamigate',
        'webhook-id': notice_id,
        'webhook-timestamp': String(timestamp_s),
        'webhook-signature': signWebhook(secret, notice_id, timestamp_s, payload),
      },
      body: payload,
    });
    // The status is the answer; a body that breaks off or never ends changes nothing.
    await body.dump({ limit: REPLY_BYTES_MAX }).catch(() => undefined);
    return {
      is_delivered: statusCode >= 200 && statusCode < 300,
      is_final: statusCode === 410,
      retry_after_ms: retryAfterMs(headers['retry-after'], now()),
      result: `status ${statusCode}`,
    };
  } catch (error) {
    const { code, name } = error as { code?: string; name: string };
    return failed(name === 'TimeoutError' ? 'timed out' : `no answer (${code ?? name})`);
  }
}

/** `Retry-After` in seconds or as a date; 0 where it is absent or unreadable. */
function retryAfterMs(header: string | string[] | undefined, now: number): number {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return 0;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX);
}
