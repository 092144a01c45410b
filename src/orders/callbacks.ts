// Messages suppliers send us: verified, written down, then acted on. An authenticated one settles its attempt; a hint
// only causes a lookup; a repeat finds its row. What is kept is sealed: a callback may carry codes. News of products is
// not kept: what it names is read again.
import { createHash } from 'node:crypto';
import type { Acknowledgement, Callback, Message } from '../../adapters/kit/contract.js';
import { checkOutcome } from '../../adapters/kit/doubt.js';
import { plainKind } from '../catalog/bundles.js';
import { noteProducts } from '../catalog/noticed.js';
import { atomic, isDuplicate, type Trx } from '../db/atomic.js';
import { newId } from '../ids.js';
import type { Engine } from './engine.js';
import { type Fulfilment, PRIORITY } from './fulfil.js';
import { goOnAfter, lookUp } from './resolve.js';
import { settle, tell } from './settle.js';
import type { News } from './settling.js';
import { type AttemptRow, findAttempt, type OrderRow } from './store.js';

export type CallbackResult =
  | 'settled'
  /** News of products, which are read again. */
  | 'offers'
  | 'hint'
  | 'repeat'
  | 'signature'
  | 'unreadable'
  | 'stale'
  | 'unknown_order'
  | 'crossed';

export interface CallbackDeps {
  engine: Engine;
  fulfilment: Fulfilment;
  /** `attempt`: the one it is bound to, where it is to one. */
  onCallback: (account: string, result: CallbackResult, attempt: AttemptRow | null) => void;
}

/**
 * Takes one message for an account and answers exactly what the supplier takes for "received". Throws
 * `GatewayError('not_found')` for an account that is not ours. After an error of ours nothing is acknowledged, so that
 * the supplier sends it again.
 */
export async function receiveCallback(deps: CallbackDeps, account: string, message: Message): Promise<Acknowledgement> {
  const { engine } = deps;
  const channel = await engine.channels.channel(account);
  const read = channel.readCallback(message);
  if ('rejected' in read) {
    deps.onCallback(account, read.rejected, null);
    return read.answer;
  }
  if ('products' in read) {
    const { products } = read;
    await atomic(engine.database, 'note products', (trx) =>
      noteProducts(trx, { account, products, now: engine.now() }),
    );
    deps.onCallback(account, 'offers', null);
    return read.acknowledge;
  }
  const kept = await atomic(engine.database, 'keep callback', (trx) => keep(engine, trx, account, message, read));
  if (kept.is_repeat) deps.onCallback(account, 'repeat', kept.attempt);
  if (kept.result !== null) {
    if (!kept.is_repeat) deps.onCallback(account, kept.result, kept.attempt);
    return read.acknowledge;
  }
  engine.reach('callback_kept');
  // Kept but not yet acted on: the first time, or a repeat after a crash between the two.
  const result = await act(deps, kept.attempt!, kept.callback_id, read);
  if (!kept.is_repeat) deps.onCallback(account, result, kept.attempt);
  return read.acknowledge;
}

interface Kept {
  callback_id: string;
  is_repeat: boolean;
  attempt: AttemptRow | null;
  /** Set if there is nothing left to do. */
  result: CallbackResult | null;
}

async function keep(engine: Engine, trx: Trx, account: string, message: Message, read: Callback): Promise<Kept> {
  const content_hash = createHash('sha256').update(message.url).update('\n').update(message.body).digest('hex');
  const attempt = await boundAttempt(trx, account, read);
  const earlier = (await trx('callbacks').where({ account, content_hash }).first()) as
    | { callback_id: string; processed_at: number | null; result: CallbackResult; repeats: number }
    | undefined;
  if (earlier) {
    await trx('callbacks')
      .where({ callback_id: earlier.callback_id })
      .update({ repeats: earlier.repeats + 1 });
    // An order they speak of may have been written since: a repeat of an unmatched message is matched anew.
    const is_done = earlier.processed_at !== null && !(earlier.result === 'unknown_order' && attempt.attempt);
    return {
      callback_id: earlier.callback_id,
      is_repeat: true,
      attempt: attempt.attempt,
      result: is_done || !attempt.attempt ? earlier.result : null,
    };
  }
  const now = engine.now();
  const callback_id = newId('cbk', now);
  const result = attempt.attempt ? null : attempt.result;
  try {
    await trx('callbacks').insert({
      callback_id,
      account,
      content_hash,
      message_sealed: engine.vault.sealText('callback', callback_id, textOf(message)),
      received_at: now,
      repeats: 0,
      attempt_id: attempt.attempt?.attempt_id ?? null,
      trust: read.trust,
      result: result ?? 'kept',
      processed_at: result === null ? null : now,
    });
  } catch (error) {
    // The same message came twice at the same moment: the other one keeps it, and acts.
    if (!isDuplicate(error)) throw error;
    return { callback_id, is_repeat: true, attempt: null, result: 'repeat' };
  }
  return { callback_id, is_repeat: false, attempt: attempt.attempt, result };
}

/** Bound to account + our reference + their reference: a message that crosses two orders binds to none. */
async function boundAttempt(
  trx: Trx,
  account: string,
  read: Callback,
): Promise<{ attempt: AttemptRow; result: null } | { attempt: null; result: CallbackResult }> {
  const attempt = await findAttempt(trx, { account, ...read });
  if (!attempt) return { attempt: null, result: 'unknown_order' };
  const { supplier_reference } = attempt;
  if (
    supplier_reference !== null &&
    read.supplier_reference !== null &&
    supplier_reference !== read.supplier_reference
  ) {
    return { attempt: null, result: 'crossed' };
  }
  return { attempt, result: null };
}

function textOf(message: Message): string {
  return JSON.stringify({ url: message.url, headers: message.headers, body_base64: message.body.toString('base64') });
}

async function act(
  deps: CallbackDeps,
  attempt: AttemptRow,
  callback_id: string,
  read: Callback,
): Promise<CallbackResult> {
  const { engine, fulfilment } = deps;
  const result: CallbackResult = read.trust === 'authenticated' ? 'settled' : 'hint';
  const news = await atomic(engine.database, 'settle callback', async (trx) => {
    await trx('callbacks')
      .where({ callback_id })
      .update({ result, processed_at: engine.now(), attempt_id: attempt.attempt_id });
    if (result === 'hint') return null;
    const order = (await trx('orders').where({ order_id: attempt.order_id }).first('kind')) as Pick<OrderRow, 'kind'>;
    // "Delivered" without its codes proves nothing of a code order; the lookup below fetches them.
    const found = checkOutcome({ kind: plainKind(order.kind), quantity: attempt.quantity }, read.outcome);
    const news: News = { via: 'callback', found };
    // Of a code order, "finished" without the codes is as far as some callbacks go.
    const is_open = found.outcome === 'unknown' || (found.outcome === 'accepted' && order.kind === 'code');
    return { news, is_open, settled: await settle(engine, trx, attempt.attempt_id, news) };
  });
  if (news?.settled) tell(engine, news.settled, news.news);
  if (!news || news.is_open) {
    fulfilment.run(() => lookUp(engine, fulfilment, attempt.attempt_id), PRIORITY.lookup);
  } else await goOnAfter(engine, fulfilment, news.settled);
  return result;
}
