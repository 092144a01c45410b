// What a broken reply, or silence, proves about a purchase; and the border rules every outcome passes. `refused` comes
// out only where it is proved that nothing was bought.
import {
  type Code,
  type Doubt,
  type FailureKind,
  type Found,
  type Outcome,
  type Purchase,
  type Refused,
  SaidNo,
  type Secret,
  type Unknown,
  Unreadable,
  type Wire,
  WireFailure,
} from './contract.js';

/** How far the one request that can buy had come when a verb threw. */
export interface PurchaseFacts {
  /** It was begun. False proves that nothing was bought, whatever was thrown. */
  purchase_began: boolean;
  /** A whole reply to it came: a later failure is of another request and says nothing about it. */
  purchase_answered: boolean;
}

/** The outcome of a `place` that threw. */
export function outcomeOf(error: unknown, facts: PurchaseFacts): Refused | Unknown {
  if (!facts.purchase_began) return notSent(error);
  const never_left = error instanceof WireFailure && !error.left && !facts.purchase_answered;
  return never_left ? notSent(error) : doubtOf(error);
}

/** The outcome of a `lookup` that threw: never a refusal, for it says nothing about the purchase. */
export function doubtOf(error: unknown): Unknown {
  if (error instanceof WireFailure)
    return { outcome: 'unknown', doubt: FAILURE_DOUBTS[error.kind], message: error.message };
  if (error instanceof Unreadable) return { outcome: 'unknown', doubt: error.doubt, message: error.message };
  if (error instanceof SaidNo) return { outcome: 'unknown', doubt: 'supplier_said', message: error.message };
  // Its words may quote anything, so only its name is kept.
  return { outcome: 'unknown', doubt: 'unreadable', message: `the adapter failed: ${nameOf(error)}` };
}

function notSent(error: unknown): Refused {
  if (error instanceof SaidNo) return { outcome: 'refused', reason: error.reason, message: error.message };
  const is_ours = error instanceof WireFailure || error instanceof Unreadable;
  const message = is_ours ? error.message : `the adapter failed: ${nameOf(error)}`;
  return { outcome: 'refused', reason: 'not_sent', message: `nothing was sent that can buy: ${message}` };
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

const FAILURE_DOUBTS: Readonly<Record<FailureKind, Doubt>> = {
  timeout: 'deadline',
  reset: 'reset',
  refused: 'reset',
  dns: 'reset',
  tls: 'reset',
  too_large: 'unreadable',
  redirect: 'unreadable',
};

/** HTTP 500 and above says nothing about a purchase: throws `Unreadable` with doubt `http_5xx`. */
export function refuse5xx(status: number): void {
  if (status >= 500) throw new Unreadable(`HTTP ${status}`, 'http_5xx', status);
}

/**
 * A wire that watches the request that can buy: a second one in the same verb is refused before it is sent. `facts`
 * tells at any time how far the first one had come.
 */
export function watchPurchase(wire: Wire): { wire: Wire; facts: PurchaseFacts } {
  const facts: PurchaseFacts = { purchase_began: false, purchase_answered: false };
  const watched: Wire = {
    now: wire.now,
    base_url: wire.base_url,
    callback_url: wire.callback_url,
    credential: (name) => wire.credential(name),
    option: (name) => wire.option(name),
    nonce: (length) => wire.nonce(length),
    uuid: () => wire.uuid(),
    token: () => wire.token(),
    send: async (request) => {
      if (!request.buys) return wire.send(request);
      if (facts.purchase_began) throw new Error('a verb may send one request that can buy, and this is a second one');
      facts.purchase_began = true;
      const reply = await wire.send(request);
      facts.purchase_answered = true;
      return reply;
    },
  };
  return { wire: watched, facts };
}

/**
 * The border rules, for whatever an adapter or a callback says. A delivery of codes holds one real code per unit, or
 * says outright that it is short; else it is `unknown`, `codes_missing`, with the codes kept as they came.
 */
export function checkOutcome<T extends Found>(purchase: Pick<Purchase, 'kind' | 'quantity'>, outcome: T): T | Unknown {
  if (outcome.outcome !== 'delivered' || purchase.kind === 'recharge') return outcome;
  const { codes = [], short } = outcome;
  const units = short ? short.units : purchase.quantity;
  const is_short = short === undefined || (units > 0 && units < purchase.quantity);
  if (is_short && codes.length === units && realCodes(codes) === units) return outcome;
  return missing(outcome, codes, `${realCodes(codes)} codes of ${units} can be used`);
}

function missing(outcome: Outcome & { outcome: 'delivered' }, codes: Code[], message: string): Unknown {
  return {
    outcome: 'unknown',
    doubt: 'codes_missing',
    message,
    ...(outcome.supplier_reference ? { supplier_reference: outcome.supplier_reference } : {}),
    ...(outcome.cost ? { cost: outcome.cost } : {}),
    ...(codes.length > 0 ? { codes } : {}),
  };
}

/** How many of the codes are real and different from each other. */
function realCodes(codes: Code[]): number {
  const seen = new Set<string>();
  for (const code of codes) {
    if (isRealCode(code)) seen.add(JSON.stringify([code.number, code.pin, code.link].map((part) => part?.reveal())));
  }
  return seen.size;
}

/** Whether a code has content: something in number, pin or link, and no word that only holds a code's place. */
export function isRealCode(code: Code): boolean {
  const parts = [code.number, code.pin, code.link].filter((part): part is Secret => part !== undefined);
  const texts = parts.map((part) => part.reveal().trim().toLowerCase());
  return texts.some((text) => !NOTHING.test(text)) && !texts.some((text) => WAITING.test(text));
}

const NOTHING = /^(|-+|n\/?a|nil|null|none|undefined|nan|empty|\[object object\]|\{\}|\[\]|无|空|暂无|没有)$/;
// Four masks in a row hide part of a code; the words stand where a code is still to come.
const WAITING =
  /\*{4,}|^[x•·.*#]+$|^(pending|processing|in progress|waiting|sending|queued|tbd|coming soon|out of stock|sold out|error|failed)\W*$|等待发货|待发货|发货中|处理中|正在处理|未发货|待处理|提取中|生成中|库存不足|缺货|联系客服|请稍[后候]/;
