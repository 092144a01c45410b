// From what a supplier said to what it means: status words and error codes through the adapter's tables, code texts to
// codes, callbacks to answers. The default of every table is doubt. Pure.
import {
  type Acknowledgement,
  type Code,
  type Delivered,
  type Known,
  type Message,
  type NotTheirs,
  type OfferNotice,
  type Outcome,
  type Refused,
  SaidNo,
  Secret,
  type Supplier,
  type Unknown,
  Unreadable,
} from './contract.js';
import { bodyText, objectAt, parseForm, parseJson } from './reading.js';
import type { Fields } from './signing.js';

/** What a reply tells beside its outcome; absent and empty members are left out of the outcome. */
export interface Told {
  supplier_reference?: string | undefined;
  cost?: Known['cost'] | undefined;
  message?: string | undefined;
}

/** `Known` of what was told. */
export function known(told: Told): Known {
  return {
    ...(told.supplier_reference ? { supplier_reference: told.supplier_reference } : {}),
    ...(told.cost ? { cost: told.cost } : {}),
    ...(told.message ? { message: told.message.slice(0, 500) } : {}),
  };
}

/** What a delivery holds; `delivered` is called only when the status word means delivered. */
export type Goods = Pick<Delivered, 'codes' | 'receipt' | 'short'>;

/** One meaning for several words of a table: `...each(['a', 'b'], 'credentials')`. */
export function each<const T>(words: readonly (string | number)[], meaning: T): Record<string, T> {
  return Object.fromEntries(words.map((word) => [String(word), meaning]));
}

/** The whole numbers from one to another, both included, as words for `each`. */
export function range(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, at) => String(from + at));
}

/**
 * The outcome of a status word by the adapter's `statuses`. A word that is not in the table is `unknown`, `unmapped`.
 * For a delivery the goods are read by `goods`.
 */
export function byStatus(
  supplier: Pick<Supplier, 'statuses'>,
  word: string,
  told: Told,
  goods: () => Goods = () => ({}),
): Outcome {
  const meaning = Object.hasOwn(supplier.statuses, word) ? supplier.statuses[word] : undefined;
  if (meaning === undefined) return unmapped(word, told);
  if (meaning === 'delivered') return { outcome: 'delivered', ...goods(), ...known(told) };
  if (meaning === 'accepted') return { outcome: 'accepted', ...known(told) };
  if (meaning === 'unknown') return { outcome: 'unknown', doubt: 'supplier_said', ...known(told) };
  return { outcome: 'refused', reason: meaning.refused, ...known(told) };
}

/** The outcome of an error code by the adapter's `refusals`: a reason, or doubt for null and for what no table holds. */
export function byRefusal(supplier: Pick<Supplier, 'refusals'>, code: string, told: Told): Refused | Unknown {
  const reason = Object.hasOwn(supplier.refusals, code) ? supplier.refusals[code] : undefined;
  if (reason === undefined) return unmapped(code, told);
  if (reason === null) return { outcome: 'unknown', doubt: 'supplier_said', ...known(told) };
  return { outcome: 'refused', reason, ...known(told) };
}

/** A lookup that was answered, but not with the order: a refused question says nothing about the purchase. */
export function unanswered(message: string | undefined): Unknown {
  return { outcome: 'unknown', doubt: 'supplier_said', ...known({ message }) };
}

/**
 * What to throw where a verb has no room for a refusal: `SaidNo` with the reason of the adapter's `refusals`, or
 * `Unreadable` for a code that the table calls doubtful or does not hold.
 */
export function saidNo(supplier: Pick<Supplier, 'refusals'>, code: string, message = code): SaidNo | Unreadable {
  const outcome = byRefusal(supplier, code, {});
  if (outcome.outcome === 'refused') return new SaidNo(outcome.reason, message.slice(0, 500));
  return new Unreadable(`they answered ${code.slice(0, 64)}`, outcome.doubt);
}

/** A word or code that no table holds. */
export function unmapped(word: string, told: Told = {}): Unknown {
  return { outcome: 'unknown', doubt: 'unmapped', unmapped: word.slice(0, 64), ...known(told) };
}

/** The texts a code may consist of; a missing or empty one is left out. */
export interface CodeTexts {
  number?: string | undefined;
  pin?: string | undefined;
  serial?: string | undefined;
  link?: string | undefined;
  expires_at?: number | undefined;
}

/** One code. Texts are kept exactly as they came; a supplier's single opaque text is the `pin`. */
export function code(texts: CodeTexts): Code {
  const { number, pin, serial, link, expires_at } = texts;
  return {
    ...(number ? { number: new Secret(number) } : {}),
    ...(pin ? { pin: new Secret(pin) } : {}),
    ...(serial ? { serial: new Secret(serial) } : {}),
    ...(link ? { link: new Secret(link) } : {}),
    ...(expires_at === undefined ? {} : { expires_at }),
  };
}

/** One code per line of free text; line ends are not part of a code, empty lines are none. */
export function codesFromLines(text: string | undefined): Code[] {
  return (text ?? '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => code({ pin: line }));
}

/** The answer a supplier takes for "received". */
export function acknowledge(body: string, content_type = 'text/plain; charset=utf-8', status = 200): Acknowledgement {
  return { status, body, content_type };
}

/** What most of them take for it. */
export const RECEIVED: Acknowledgement = acknowledge('ok');

/** News of products: they are read again. */
export function offerNotice(products: readonly string[], answer: Acknowledgement = RECEIVED): OfferNotice {
  return { products: [...products], acknowledge: answer };
}

/** A message that is not theirs or not readable. `answer` defaults to HTTP 400 and the kind as its body. */
export function rejected(
  kind: NotTheirs['rejected'],
  message: string,
  answer: Acknowledgement = acknowledge(kind, 'text/plain; charset=utf-8', 400),
): NotTheirs {
  return { rejected: kind, message, answer };
}

/** Runs a reader of a callback; what it throws makes the message `unreadable`, because anybody may send us anything. */
export function orUnreadable<T>(read: () => T, answer?: Acknowledgement): T | NotTheirs {
  try {
    return read();
  } catch (error) {
    return rejected('unreadable', error instanceof Error ? error.message : 'not readable', answer);
  }
}

/** The fields of a message that may be JSON or a form, where they do not say which they send. */
export function fieldsOf(message: Message): Fields {
  const text = bodyText(message.body);
  return text.trimStart().startsWith('{') ? objectAt(parseJson(text), '') : parseForm(text);
}

/** Whether a message says that its body is a form. */
export function isForm(message: Message): boolean {
  return (message.headers['content-type'] ?? '').toLowerCase().includes('x-www-form-urlencoded');
}
