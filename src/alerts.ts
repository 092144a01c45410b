// Notices to operators without Prometheus: the critical alerts, judged on the figures of the elected process and sent
// to one webhook in the form that 企业微信, 钉钉, 飞书 or anything else takes. Names are those of grafana/alerts.
import { createHmac } from 'node:crypto';
import { request } from 'undici';
import type { Figures, Gauges } from './gauges.js';
import type { Logger } from './log.js';
import type { Metrics } from './registry.js';

export const ALERT_FORMATS = ['wecom', 'dingtalk', 'feishu', 'generic'] as const;
export type AlertFormat = (typeof ALERT_FORMATS)[number];

export interface AlertOptions {
  /** The robot's address; it holds a key, so it is never logged. */
  url: string;
  format: AlertFormat;
  /** 钉钉 and 飞书: the signing secret, where the robot has one. */
  secret: string | null;
}

export interface AlertState {
  alert: string;
  /** What it is about: an account, a SKU, a check; '' for the whole gateway. */
  subject: string;
  summary: string;
  description: string;
  since: number;
}

export interface AlertNotice extends AlertState {
  status: 'firing' | 'resolved';
  at: number;
}

/** What holds now. `wait_ms`: how long it must hold before anybody is told. */
interface Condition {
  alert: string;
  subject: string;
  summary: string;
  description: string;
  wait_ms: number;
}

const MINUTE_MS = 60_000;
/** A notice that nobody acted on comes again. */
const REPEAT_MS = 4 * 60 * MINUTE_MS;
const TIMEOUT_MS = 10_000;
const NOTICES_MAX = 20;
/** Reasons for which the engine itself pauses an account: it will not come back by itself. */
const PAUSED_BY_ENGINE: Readonly<Record<string, readonly [alert: string, summary: string]>> = {
  float_low: ['KamigateSupplierBalanceExhausted', 'A supplier refuses purchases because our float is used up.'],
  credentials: ['KamigateSupplierAuthFailing', 'A supplier does not take our credentials.'],
};

/** Every critical condition that holds on these figures. */
export function conditionsOf(figures: Figures, now: number): Condition[] {
  return [...workConditions(figures, now), ...accountConditions(figures), ...stockConditions(figures)];
}

function workConditions({ work }: Figures, now: number): Condition[] {
  if (!work) return [];
  const found: Condition[] = [];
  const late = (at: number, limit_ms: number): boolean => at > 0 && now - at > limit_ms;
  if (late(work.unsent_oldest_at, 5 * MINUTE_MS)) {
    found.push({
      alert: 'KamigateOrdersStuck',
      subject: '',
      summary: 'Accepted orders do not reach any supplier.',
      description: `The oldest has waited ${minutes(now - work.unsent_oldest_at)} min for its next step.`,
      wait_ms: MINUTE_MS,
    });
  }
  for (const [account, { count, oldest_at }] of work.unknown) {
    if (!late(oldest_at, 30 * MINUTE_MS)) continue;
    found.push({
      alert: 'KamigateUnknownOutcomeOld',
      subject: account,
      summary: 'A purchase is in doubt for more than half an hour.',
      description: `${account}: ${count} in doubt, the oldest for ${minutes(now - oldest_at)} min. Look them up with \`kamigate held\`; never refund before the supplier has answered.`,
      wait_ms: 0,
    });
  }
  for (const [queue, { count, oldest_at }] of Object.entries(work.due)) {
    if (queue === 'send_notices' || !late(oldest_at, 5 * MINUTE_MS)) continue;
    found.push({
      alert: 'KamigateJobsStalled',
      subject: queue,
      summary: 'Background work is not being done.',
      description: `${queue}: ${count} due, the oldest for ${minutes(now - oldest_at)} min.`,
      wait_ms: MINUTE_MS,
    });
  }
  return found;
}

function accountConditions({ accounts }: Figures): Condition[] {
  return accounts.flatMap(({ account, paused_at, paused_reason }) => {
    const known = paused_at === null ? undefined : PAUSED_BY_ENGINE[paused_reason ?? ''];
    if (!known) return [];
    const [alert, summary] = known;
    const description = `${account} is paused (${paused_reason}). Put it right, then \`kamigate suppliers resume ${account}\`.`;
    return [{ alert, subject: account, summary, description, wait_ms: 0 }];
  });
}

function stockConditions({ catalog, vault, details, violations }: Figures): Condition[] {
  const found: Condition[] = [];
  if (catalog && catalog.live['0'] > 0) {
    found.push({
      alert: 'KamigateSkuNoLiveSource',
      subject: '',
      summary: 'SKUs on sale have no source that could deliver.',
      description: `${catalog.live['0']} SKUs, among them ${catalog.dead_skus.join(', ')}.`,
      wait_ms: 10 * MINUTE_MS,
    });
  }
  for (const [check, faults] of violations) {
    if (faults === 0) continue;
    found.push({
      alert: 'KamigateVaultInvariantViolation',
      subject: check,
      summary: 'The vault broke a promise: a code may be lost or issued twice.',
      description: `${check}: ${faults} faults. Freeze what is concerned and run \`kamigate vault verify\`; delete nothing.`,
      wait_ms: 0,
    });
  }
  if (details && details.untrusted > 0) {
    found.push({
      alert: 'KamigateVaultDecryptFailing',
      subject: '',
      summary: 'Codes in the vault cannot be opened.',
      description: `${details.untrusted} codes were taken out of stock. Check which key file is loaded before anything else.`,
      wait_ms: 0,
    });
  }
  if (vault?.is_sealed) {
    found.push({
      alert: 'KamigateVaultSealed',
      subject: '',
      summary: 'The vault is sealed: nothing can be issued or revealed.',
      description: 'Somebody sealed it, or no key is loaded. See `kamigate vault keys`.',
      wait_ms: MINUTE_MS,
    });
  }
  return found;
}

function minutes(ms: number): number {
  return Math.floor(ms / MINUTE_MS);
}

export interface Alerts {
  /** Judges once and sends what is new, what is over and what is due again. Returns how many notices it sent. */
  run(): Promise<number>;
  /** What operators have been told and is not over. */
  firing(): AlertState[];
}

export interface AlertParts {
  gauges: Pick<Gauges, 'figures'>;
  options: AlertOptions;
  metrics: Metrics;
  log: Logger;
  now: () => number;
}

interface Tracked extends AlertState {
  wait_ms: number;
  /** When a notice last went out; null while it has not held long enough. */
  told_at: number | null;
}

/**
 * Keeps what fires in memory: a process that takes the role over tells again of what still holds, rather than say
 * nothing. A notice that could not be delivered is sent again at the next pass.
 */
export function createAlerts({ gauges, options, metrics, log, now }: AlertParts): Alerts {
  const tracked = new Map<string, Tracked>();

  async function tell(notice: AlertNotice): Promise<boolean> {
    const failure = await sendNotice(options, notice);
    metrics.count('alert_notices_total', { result: failure === null ? 'delivered' : 'failed' });
    if (failure !== null)
      log.error({ alert: notice.alert, format: options.format, failure }, 'a notice was not delivered');
    return failure === null;
  }

  async function fire(condition: Condition): Promise<number> {
    const key = `${condition.alert}\n${condition.subject}`;
    const entry = tracked.get(key) ?? { ...condition, since: now(), told_at: null };
    tracked.set(key, { ...entry, description: condition.description });
    if (now() - entry.since < condition.wait_ms) return 0;
    if (entry.told_at !== null && now() - entry.told_at < REPEAT_MS) return 0;
    if (await tell({ ...stateOf(entry), description: condition.description, status: 'firing', at: now() })) {
      tracked.set(key, { ...entry, description: condition.description, told_at: now() });
    }
    return 1;
  }

  async function resolve(key: string, entry: Tracked): Promise<number> {
    if (entry.told_at === null || (await tell({ ...stateOf(entry), status: 'resolved', at: now() })))
      tracked.delete(key);
    return entry.told_at === null ? 0 : 1;
  }

  return {
    run: async () => {
      const figures = gauges.figures();
      if (!figures) {
        // Another process judges now; it tells of the end as well.
        tracked.clear();
        return 0;
      }
      const conditions = conditionsOf(figures, now()).slice(0, NOTICES_MAX);
      const holding = new Set(conditions.map(({ alert, subject }) => `${alert}\n${subject}`));
      let sent = 0;
      for (const condition of conditions) sent += await fire(condition);
      for (const [key, entry] of [...tracked]) if (!holding.has(key)) sent += await resolve(key, entry);
      return sent;
    },
    firing: () => [...tracked.values()].filter(({ told_at }) => told_at !== null).map(stateOf),
  };
}

function stateOf({ alert, subject, summary, description, since }: AlertState): AlertState {
  return { alert, subject, summary, description, since };
}

/** Sends one notice. Null if it was taken, else why not in a few words; never a word of the address. */
export async function sendNotice(options: AlertOptions, notice: AlertNotice): Promise<string | null> {
  const { url, body } = noticeRequest(options, notice);
  try {
    const reply = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'kamigate' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = (await reply.body.text()).slice(0, 2_000);
    if (reply.statusCode < 200 || reply.statusCode >= 300) return `status ${reply.statusCode}`;
    return options.format === 'generic' ? null : refusalIn(text);
  } catch (error) {
    return (error as { code?: string; name: string }).code ?? (error as Error).name;
  }
}

/** The three robots answer 200 whatever they think; a number other than 0 is their no. */
function refusalIn(text: string): string | null {
  try {
    const answer = JSON.parse(text) as { errcode?: number; code?: number; StatusCode?: number };
    const code = answer.errcode ?? answer.code ?? answer.StatusCode ?? 0;
    return code === 0 ? null : `refused with code ${code}`;
  } catch {
    return 'an answer that is no JSON';
  }
}

/**
 * Address and body in the robot's form. 钉钉 signs `timestamp\nsecret` with the secret and puts both into the query;
 * 飞书 signs nothing with the key `timestamp\nsecret` and puts both into the body. Each as its documentation says.
 */
export function noticeRequest(
  { url, format, secret }: AlertOptions,
  notice: AlertNotice,
): { url: string; body: object } {
  const text = noticeText(notice);
  switch (format) {
    case 'wecom':
      return { url, body: { msgtype: 'markdown', markdown: { content: text } } };
    case 'dingtalk': {
      const body = { msgtype: 'markdown', markdown: { title: notice.alert, text } };
      if (secret === null) return { url, body };
      const signed = new URL(url);
      signed.searchParams.set('timestamp', String(notice.at));
      signed.searchParams.set('sign', hmac(secret, `${notice.at}\n${secret}`));
      return { url: signed.href, body };
    }
    case 'feishu': {
      const body = { msg_type: 'text', content: { text } };
      if (secret === null) return { url, body };
      const timestamp = String(Math.floor(notice.at / 1_000));
      return { url, body: { timestamp, sign: hmac(`${timestamp}\n${secret}`, ''), ...body } };
    }
    case 'generic': {
      const { since, at, ...told } = notice;
      return { url, body: { ...told, severity: 'critical', since: timeText(since), at: timeText(at) } };
    }
  }
}

function hmac(key: string, text: string): string {
  return createHmac('sha256', key).update(text).digest('base64');
}

function noticeText({ status, alert, subject, summary, description, since }: AlertNotice): string {
  const head = status === 'firing' ? '🔴 告警 FIRING' : '🟢 恢复 RESOLVED';
  return [
    `**${head}: ${alert}**`,
    ...(subject ? [subject] : []),
    summary,
    description,
    `since ${timeText(since)}`,
  ].join('\n');
}

function timeText(at_ms: number): string {
  return new Date(at_ms).toISOString();
}
