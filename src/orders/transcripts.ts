// The record of what was said, kept with the attempt. Scrubbed by the channel and sealed all the same: a reply that
// nobody could read may hold a code.
import { newId } from '../ids.js';
import type { Settling } from './settling.js';
import { insertTranscripts, type TranscriptRow } from './store.js';

/** Writes the news' transcript, and with an `unknown` the codes that came but could not be trusted. */
export async function writeTranscript({ engine, trx, attempt, news, now }: Settling): Promise<void> {
  const rows: TranscriptRow[] = [];
  const seal = (text: string): string => engine.vault.sealText('transcript', attempt.attempt_id, text);
  if (news.transcript) {
    const { verb, at, duration_ms, outcome, exchanges } = news.transcript;
    rows.push({
      transcript_id: newId('trn', now),
      attempt_id: attempt.attempt_id,
      verb,
      at,
      duration_ms,
      outcome,
      exchanges_sealed: seal(exchanges),
    });
  }
  const kept = news.found.outcome === 'unknown' ? (news.found.codes ?? []) : [];
  if (kept.length > 0) {
    const texts = kept.map(({ number, pin, serial, link, expires_at }) => ({
      number: number?.reveal(),
      pin: pin?.reveal(),
      serial: serial?.reveal(),
      link: link?.reveal(),
      expires_at,
    }));
    rows.push({
      transcript_id: newId('trn', now),
      attempt_id: attempt.attempt_id,
      verb: 'kept_codes',
      at: now,
      duration_ms: 0,
      outcome: `${kept.length} codes as they came`,
      exchanges_sealed: seal(JSON.stringify(texts)),
    });
  }
  await insertTranscripts(trx, rows);
}
