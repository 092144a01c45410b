// Compares what a verb concluded with the `expect` of a conversation file: only the keys the file has, in any of the
// spellings its author may use. Differences name fields and never show a code.
import type { Code, Found, Money, Offer, OfferPage } from './contract.js';
import { moneyIn } from './conversation.js';
import * as read from './reading.js';
import type { Conclusion } from './replay.js';
import { fieldText } from './signing.js';

type Json = Readonly<Record<string, unknown>>;
/** One key of `expect`: null where it holds, else a sentence. */
type Check = (expected: unknown) => string | null;

/** Sentences for every key of `expect` that does not hold. A key that no check knows is a difference when strict. */
export function compareExpectation(expect: Json, conclusion: Conclusion, strict: boolean): string[] {
  const checks = checksFor(conclusion, strict);
  const differences: string[] = [];
  for (const [key, expected] of Object.entries(expect)) {
    const check = checks[key];
    if (check) {
      const sentence = check(expected);
      if (sentence !== null) differences.push(`expect.${key}: ${sentence}`);
    } else if (strict) differences.push(`expect.${key} is not a key that ${conclusion.verb} concludes`);
    else if (key in OUTCOME_KEYS && expected !== null) differences.push(`expect.${key}: there is none`);
  }
  return differences;
}

const OUTCOME_KEYS: Json = {
  outcome: 1,
  reason: 1,
  doubt: 1,
  codes: 1,
  supplier_reference: 1,
  cost: 1,
  receipt: 1,
  rejected: 1,
  trust: 1,
  acknowledge: 1,
  offers: 1,
  products: 1,
  balance: 1,
  amount: 1,
};

function checksFor(conclusion: Conclusion, strict: boolean): Record<string, Check> {
  if ('failed' in conclusion) return outcomeChecks(conclusion.failed, strict);
  if ('found' in conclusion) return outcomeChecks(conclusion.found, strict);
  if ('page' in conclusion) return pageChecks(conclusion.page, strict);
  if ('balance' in conclusion) return balanceChecks(conclusion.balance);
  if ('watched' in conclusion) return { watched: word('true') };
  if ('prepared' in conclusion) {
    const { prepared } = conclusion;
    if ('outcome' in prepared) return outcomeChecks(prepared, strict);
    return {
      outcome: word('prepared'),
      supplier_reference: word(prepared.supplier_reference),
      reason: word(undefined),
    };
  }
  const { callback } = conclusion;
  if ('rejected' in callback) {
    const { rejected, answer, message } = callback;
    const is_wanted: Check = (expected) => (expected === true ? null : word(rejected)(expected));
    return {
      rejected: is_wanted,
      acknowledge: answerCheck(answer),
      answer: answerCheck(answer),
      message: phrase(message, strict),
    };
  }
  const not_rejected: Check = (expected) =>
    expected === null || expected === false ? null : 'the message was not rejected';
  if ('products' in callback) {
    return {
      products: (expected) => compareProducts(expected, callback.products),
      acknowledge: answerCheck(callback.acknowledge),
      rejected: not_rejected,
    };
  }
  return {
    ...outcomeChecks(callback.outcome, strict),
    reference: word(callback.reference ?? undefined),
    supplier_reference: word(callback.supplier_reference ?? undefined),
    trust: word(callback.trust),
    acknowledge: answerCheck(callback.acknowledge),
    rejected: not_rejected,
  };
}

function outcomeChecks(found: Found, strict: boolean): Record<string, Check> {
  const cost = 'cost' in found ? found.cost : undefined;
  const short = 'short' in found ? found.short?.units : undefined;
  const reference = 'supplier_reference' in found ? found.supplier_reference : undefined;
  return {
    outcome: word(found.outcome),
    reason: word('reason' in found ? found.reason : undefined),
    doubt: word('doubt' in found ? found.doubt : undefined),
    unmapped: word('unmapped' in found ? found.unmapped : undefined),
    receipt: word('receipt' in found ? found.receipt : undefined),
    supplier_reference: word(reference),
    message: phrase(found.message, strict),
    cost: (expected) => compareMoney(expected, cost),
    currency: word(cost?.currency),
    units: word(short === undefined ? undefined : String(short)),
    short: (expected) =>
      word(short === undefined ? undefined : String(short))(read.at(expected, 'units') ?? (expected || null)),
    codes: (expected) => compareCodes(expected, 'codes' in found ? (found.codes ?? []) : []),
  };
}

function balanceChecks(balance: Money): Record<string, Check> {
  const amount: Check = (expected) => compareMoney(expected, balance);
  return { balance: amount, amount, money: amount, currency: word(balance.currency) };
}

function pageChecks({ offers, next }: OfferPage, strict: boolean): Record<string, Check> {
  return {
    offers: (expected) => compareOffers(expected, offers),
    // What a cursor looks like is the adapter's own affair; whether there is one is not.
    next: (expected) => {
      if (strict || expected === null || next === null) return word(next ?? undefined)(expected);
      return null;
    },
  };
}

/** A text, or a list of texts any of which will do; null is "not there". */
function word(actual: string | undefined): Check {
  return (expected) => {
    const wanted = Array.isArray(expected) ? expected : [expected];
    const is_right = wanted.some((one) => (one === null ? actual === undefined : fieldText(one) === actual));
    return is_right ? null : `is ${actual ?? 'not there'}`;
  };
}

function phrase(actual: string | undefined, strict: boolean): Check {
  return (expected) => {
    if (strict || expected === null) return word(actual)(expected);
    return actual?.includes(fieldText(expected)) ? null : 'the words differ';
  };
}

function compareMoney(expected: unknown, actual: Money | undefined): string | null {
  const wanted = moneyIn(expected, actual?.currency ?? 'XXX');
  const is_same = wanted?.amount_e4 === actual?.amount_e4 && (wanted === null || wanted.currency === actual?.currency);
  if (is_same) return null;
  return actual ? `is ${read.decimalText(actual.amount_e4)} ${actual.currency}` : 'is not there';
}

function answerCheck(answer: { status: number; body: string; content_type: string }): Check {
  return (expected) => {
    if (expected === null || typeof expected !== 'object') {
      return fieldText(expected) === answer.body ? null : `is ${answer.body}`;
    }
    for (const [key, value] of Object.entries(expected as Json)) {
      const actual = { status: String(answer.status), body: answer.body, content_type: answer.content_type }[key];
      const is_right =
        key === 'content_type' ? actual?.startsWith(fieldText(value).split(';')[0]!) : actual === fieldText(value);
      if (!is_right) return `${key} is ${actual ?? 'not part of an answer'}`;
    }
    return null;
  };
}

const SPELLINGS: Readonly<Record<'number' | 'pin' | 'serial' | 'link', readonly string[]>> = {
  number: ['number', 'card_no', 'cardno', 'cardnumber', 'card_number', 'no'],
  pin: [
    'pin',
    'card_pwd',
    'cardpwd',
    'card_password',
    'cardpassword',
    'password',
    'pwd',
    'pincode',
    'pin_code',
    'cardpin',
    'card_pin',
  ],
  serial: ['serial', 'serial_number', 'serialnumber', 'sn'],
  link: ['link', 'url', 'redemptionurl', 'redemption_url', 'cardlink', 'card_link'],
};
const ANY_PART = ['code', 'text', 'value', 'content'];

function compareCodes(expected: unknown, codes: readonly Code[]): string | null {
  if (expected === null) return codes.length === 0 ? null : `there are ${codes.length}`;
  if (!Array.isArray(expected))
    return fieldText(expected) === String(codes.length) ? null : `there are ${codes.length}`;
  if (expected.length !== codes.length) return `there are ${codes.length}, not ${expected.length}`;
  const waiting = [...codes];
  for (const [at, wanted] of expected.entries()) {
    const found = waiting.findIndex((code) => differsAt(wanted, code) === null);
    if (found < 0) return `number ${at + 1} differs at ${differsAt(wanted, codes[at]!) ?? 'its place'}`;
    waiting.splice(found, 1);
  }
  return null;
}

/** The name of the part in which a code is not as wanted, or null. */
function differsAt(wanted: unknown, code: Code): string | null {
  const parts = [code.number, code.pin, code.link, code.serial].map((part) => part?.reveal());
  if (typeof wanted !== 'object' || wanted === null) return parts.includes(fieldText(wanted)) ? null : 'its text';
  for (const [key, value] of Object.entries(wanted)) {
    const name = key.toLowerCase();
    const text = value === null || value === undefined ? '' : fieldText(value);
    if (name.startsWith('expire') || name === 'expiry' || name === 'validity') {
      if (!sameExpiry(text, code.expires_at)) return key;
    } else if (ANY_PART.includes(name)) {
      if (!parts.includes(text)) return key;
    } else if (partOf(name, code) !== text && !(text !== '' && isOnlyPart(text, code))) return key;
  }
  return null;
}

function partOf(name: string, code: Code): string | null {
  for (const part of ['number', 'pin', 'serial', 'link'] as const) {
    if (SPELLINGS[part].includes(name)) return code[part]?.reveal() ?? '';
  }
  return null;
}

/** A supplier's single text may be called number or pin; authors differ. */
function isOnlyPart(text: string, { number, pin, link }: Code): boolean {
  const parts = [number, pin, link].filter((part) => part !== undefined);
  return parts.length === 1 && parts[0]!.reveal() === text;
}

function sameExpiry(text: string, expires_at: number | undefined): boolean {
  if (text === '' || expires_at === undefined) return text === '' && expires_at === undefined;
  if (text === String(expires_at)) return true;
  const time = read.expiryOf(text, 'Z');
  // A bare date may have been written from either side of midnight.
  const slack_ms = /^\d{4}-\d\d-\d\d$/.test(text) ? 86_400_000 : 0;
  return time !== undefined && Math.abs(time - expires_at) <= slack_ms;
}

function compareProducts(expected: unknown, products: readonly string[]): string | null {
  const wanted = (Array.isArray(expected) ? expected : [expected]).map((product) => fieldText(product));
  return wanted.join() === products.join() ? null : `it names ${products.join(', ')}`;
}

function compareOffers(expected: unknown, offers: readonly Offer[]): string | null {
  if (!Array.isArray(expected)) {
    return fieldText(expected ?? 0) === String(offers.length) ? null : `there are ${offers.length}`;
  }
  if (expected.length !== offers.length) return `there are ${offers.length}, not ${expected.length}`;
  for (const [at, wanted] of expected.entries()) {
    const product = read.maybeTextAt(wanted, 'product');
    const offer = offers.find((one) => one.product === product) ?? offers[at]!;
    const difference = offerDiffersAt(wanted, offer);
    if (difference) return `${product ?? at} differs at ${difference}`;
  }
  return null;
}

function offerDiffersAt(wanted: unknown, offer: Offer): string | null {
  if (typeof wanted !== 'object' || wanted === null) return fieldText(wanted) === offer.product ? null : 'product';
  for (const [key, value] of Object.entries(wanted)) {
    if (key === 'cost' || key === 'face_value') {
      if (compareMoney(value, offer[key] ?? undefined) !== null) return key;
    } else if (key === 'currency') {
      if (offer.cost?.currency !== value) return key;
    } else if (key in offer || value !== null) {
      const actual = (offer as unknown as Json)[key] ?? null;
      if (value === null ? actual !== null : actual === null || fieldText(value) !== fieldText(actual)) return key;
    }
  }
  return null;
}
