// The border language between the program and the suppliers: what an adapter is given, what it must answer, and what
// it promises. Types and a few plain values only; every layer of `src` may use these types.

/** A secret in memory. It prints as `[sealed]` wherever text is made of it; only `reveal()` gives the content. */
export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  reveal(): string {
    return this.#text;
  }
  toString(): string {
    return '[sealed]';
  }
  toJSON(): string {
    return '[sealed]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[sealed]';
  }
}

/** Money: integer ten-thousandths of the currency's main unit (4.8715 yuan is 48715), with an ISO 4217 code. */
export interface Money {
  amount_e4: number;
  currency: string;
}

export type Kind = 'recharge' | 'code';

/** Whom a recharge is for. `account` is the phone, game account or e-mail; the rest as the SKU asks. */
export interface Recipient {
  account?: string;
  account_type?: string;
  region?: string;
  server?: string;
  role?: string;
  extra?: Record<string, string>;
}

/** One purchase to be made at a supplier. `reference` is ours, unique for ever, already in the supplier's own form. */
export interface Purchase {
  reference: string;
  product: string;
  kind: Kind;
  quantity: number;
  recipient: Recipient;
  /** The most we will pay for the whole attempt; send it upstream wherever the protocol has a field for it. */
  cost_ceiling: Money | null;
  /** What `prepare` returned, for suppliers that create an order first and pay it second; in `lookup` their id if known. */
  supplier_reference?: string;
  /**
   * `lookup` only, and only where `lookup_by` is `resend`: the caller still wants this purchase and allows asking by
   * sending it again, which buys it if the first request never arrived. Left out, such a lookup answers `unknown`.
   */
  resend?: boolean;
}

/** One delivered code. Content is kept exactly as received. At least one of number, pin and link is present. */
export interface Code {
  number?: Secret;
  pin?: Secret;
  serial?: Secret;
  link?: Secret;
  /** Milliseconds since the epoch; left out where the supplier names none. */
  expires_at?: number;
}

/** Why a supplier said no. `src/orders/failover.ts` has one row for each: what it permits next. */
export const REASONS = [
  'not_sent',
  'out_of_stock',
  'cost_changed',
  'limit_reached',
  'busy',
  'maintenance',
  'float_low',
  'credentials',
  'sku_unknown',
  'declined',
  'recipient_invalid',
  'duplicate',
  'request_invalid',
] as const;
export type Reason = (typeof REASONS)[number];

/** Why we do not know. `supplier_said` is a reply that itself says "unknown, check by hand". */
export const DOUBTS = [
  'deadline',
  'reset',
  'http_5xx',
  'unreadable',
  'bad_signature',
  'unmapped',
  'codes_missing',
  'supplier_said',
  'duplicate',
  'crashed',
] as const;
export type Doubt = (typeof DOUBTS)[number];

export interface Known {
  /** Their id for this purchase, as soon as any reply names it. */
  supplier_reference?: string;
  /** What they charge for the whole attempt, if the reply says so. */
  cost?: Money;
  /** Their words, for the operator. Never a code, never a credential. */
  message?: string;
}

/** It was bought and delivered. For codes: `codes` holds one per unit; fewer only with `short`. */
export interface Delivered extends Known {
  outcome: 'delivered';
  codes?: Code[];
  /** The supplier says outright that it delivered only this many units and charged for no more. */
  short?: { units: number };
  /** A recharge's receipt or voucher number. */
  receipt?: string;
}
/** They have it and will finish it; nothing is owed to us yet. */
export interface Accepted extends Known {
  outcome: 'accepted';
}
/** A clear no: nothing was bought and nothing will be. */
export interface Refused extends Known {
  outcome: 'refused';
  reason: Reason;
}
/** It may have been bought. `codes` are kept as they came when some could be read but not trusted. */
export interface Unknown extends Known {
  outcome: 'unknown';
  doubt: Doubt;
  /** The status word or error code that no table holds; counted by `kamigate_unmapped_replies_total`. */
  unmapped?: string;
  codes?: Code[];
}
export type Outcome = Delivered | Accepted | Refused | Unknown;

/** Lookup only: they say they have no such order. What that proves is the adapter's `absence` promise. */
export interface Absent {
  outcome: 'absent';
  message?: string;
}
export type Found = Outcome | Absent;

/** A supplier product's cost and stock now. `stock` null means "they do not say"; `available` false means off sale. */
export interface Offer {
  product: string;
  name: string;
  kind: Kind | null;
  cost: Money | null;
  stock: number | null;
  available: boolean;
  face_value?: Money;
  region?: string;
  brand?: string;
}
export interface OfferPage {
  offers: Offer[];
  /** Hand it back to read on; null at the end. */
  next: string | null;
}

/** A message a supplier sent us, untouched. Header names are lower case. */
export interface Message {
  headers: Record<string, string>;
  body: Buffer;
  /** Path and query string as received. */
  url: string;
}
/** The exact answer a supplier takes for "received". */
export interface Acknowledgement {
  status: number;
  body: string;
  content_type: string;
}
/** What a callback says. Only an `authenticated` one may settle; a `hint` only ever triggers a lookup. */
export interface Callback {
  /** Our reference, or null if it names only theirs. */
  reference: string | null;
  supplier_reference: string | null;
  outcome: Outcome;
  trust: 'authenticated' | 'hint';
  acknowledge: Acknowledgement;
}
/**
 * News of their products, told unasked. What it says of them is not taken over: whatever is named is read again, so that
 * an old, repeated or wrong notice costs a question and nothing more.
 */
export interface OfferNotice {
  /** As in offers; what was named by one part only stands for all products that begin with it and a colon. */
  products: string[];
  acknowledge: Acknowledgement;
}
/** The message is not from them, or not readable. Nothing is acted on; `answer` goes back. */
export interface NotTheirs {
  rejected: 'signature' | 'unreadable' | 'stale';
  message: string;
  answer: Acknowledgement;
}

/** What an adapter knows of the account it works for; no verb reads a clock, a file or a variable of its own. */
export interface Desk {
  /** Milliseconds since the epoch, fixed for the length of one verb. */
  now: number;
  /** Scheme, host and path prefix without a trailing slash. */
  base_url: string;
  /** Where this account's callbacks reach us. */
  callback_url: string;
  /** The credential's text; throws with its name if the account has none. */
  credential(name: string): string;
  /** The account's option, or the adapter's default for it. */
  option(name: string): string;
}

export interface WireRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Absolute, or a path that begins with `/` and is joined to `base_url`. */
  url: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /**
   * True on the one request that can buy. The wire lets a verb send one; a failure before it began proves that
   * nothing was bought, a failure after it began proves nothing.
   */
  buys?: boolean;
}
export interface WireReply {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}
/** The HTTP handle a channel lends to a verb, for that verb's length. */
export interface Wire extends Desk {
  /** Sends one request. Throws `WireFailure` when no whole reply came. Never retries a request that can buy. */
  send(request: WireRequest): Promise<WireReply>;
  /** A fresh unpredictable token of letters and digits, for nonces. */
  nonce(length: number): string;
  /** A fresh UUID (v4), for protocols that want one. */
  uuid(): string;
  /** The account's session token, where the adapter has `session`; the channel keeps and renews it. */
  token(): Promise<string>;
}

export type FailureKind = 'refused' | 'dns' | 'tls' | 'timeout' | 'reset' | 'too_large' | 'redirect';
/** No whole reply came. `left` tells whether any byte of the request may have left this machine. */
export class WireFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    readonly left: boolean,
    options?: { cause?: unknown },
  ) {
    super(`wire: ${kind}${left ? ', bytes may have left' : ', nothing left'}`, options);
    this.name = 'WireFailure';
  }
}
/** A reply that is not what the protocol says: no JSON, a missing field, a bad signature. Always `unknown`. */
export class Unreadable extends Error {
  constructor(
    message: string,
    readonly doubt: Doubt = 'unreadable',
    readonly status: number | null = null,
  ) {
    super(message);
    this.name = 'Unreadable';
  }
}

/** A clear no where the answer has no room for a `Refused`, in their words. Nothing was bought by the request that met it. */
export class SaidNo extends Error {
  constructor(
    readonly reason: Reason,
    message: string,
  ) {
    super(message);
    this.name = 'SaidNo';
  }
}

/** Safety rests on these, and only the supplier's documents can tell. The first value of each is the default. */
export interface Promises {
  /** What a second `place` with the same reference does. A number of ms bounds how long the original is returned. */
  repeat_reference: 'buys_again' | 'is_rejected' | 'returns_original' | { returns_original_within_ms: number };
  lookup_by: 'nothing' | 'reference' | 'supplier_reference' | 'resend';
  /** When does "no such order" prove that nothing was bought? */
  absence: 'proves_nothing' | { proves_not_bought_after_ms: number };
  callback_trust: 'none' | 'hint' | 'authenticated';
  /** They refuse by themselves above the ceiling we send. */
  cost_guard: boolean;
  reference_format: ReferenceFormat;
  /** A delivered purchase may later be reversed. */
  reversible: boolean;
}
export interface ReferenceFormat {
  /** Longest reference they take. */
  max_length: number;
  alphabet: 'digits' | 'alphanumeric' | 'alphanumeric_dash' | 'uuid';
  prefix?: string;
}
export const PESSIMISTIC: Promises = {
  repeat_reference: 'buys_again',
  lookup_by: 'nothing',
  absence: 'proves_nothing',
  callback_trust: 'none',
  cost_guard: false,
  reference_format: { max_length: 32, alphabet: 'alphanumeric' },
  reversible: false,
};

export interface Limits {
  /** Requests the supplier allows in `per_ms`; null where it names none. */
  requests: number | null;
  per_ms: number;
  concurrency: number;
  /** How long one verb may take before we stop waiting; the outcome is then `unknown`. */
  deadline_ms: number;
  /** They forbid asking about an order earlier than this after it was sent. Left out: whenever we like. */
  first_lookup_after_ms?: number;
}

/** What a status word means. `unknown` is for words the supplier itself explains as "ask us". */
export type StatusMeaning = 'delivered' | 'accepted' | 'unknown' | { refused: Reason };
/** What an error code means; null is an "it may have been bought" code. */
export type RefusalMeaning = Reason | null;

/** One supplier: facts as data, then the verbs. Everything an operator reads about it is printed from here. */
export interface Supplier {
  code: string;
  name: string;
  /** ISO 3166 code of the market, or `global`. */
  region: string;
  delivers: readonly Kind[];
  /** Null where every merchant has an address of its own: then the account must name it. */
  base_urls: { live: string | null; sandbox: string | null };
  /** Name → a sentence that tells what it is and where to get it. */
  credentials: Readonly<Record<string, string>>;
  /** Choices an account may make, each with the safer value as default. */
  options?: Readonly<Record<string, { help: string; default: string }>>;
  limits: Limits;
  /** Currency of costs and balance, null if each reply names it; `unit` is what one unit of a received number is. */
  money: { currency: string | null; unit: 'main' | 'cent' | 'e4' };
  promises: Promises;
  statuses: Readonly<Record<string, StatusMeaning>>;
  refusals: Readonly<Record<string, RefusalMeaning>>;

  /** OAuth and the like: the channel opens it once per account, keeps it, and renews it once on a 401. */
  session?: (wire: Omit<Wire, 'token'>) => Promise<{ token: string; expires_in_ms: number }>;
  prepare?: (purchase: Purchase, wire: Wire) => Promise<{ supplier_reference: string } | Refused>;
  place: (purchase: Purchase, wire: Wire) => Promise<Outcome>;
  lookup?: (purchase: Purchase, wire: Wire) => Promise<Found>;
  listOffers?: (cursor: string | null, wire: Wire) => Promise<OfferPage>;
  /** Asks them to tell of these products from now on, at most 100 at a time. Absent where they tell unasked. */
  watchOffers?: (products: readonly string[], wire: Wire) => Promise<void>;
  readBalance?: (wire: Wire) => Promise<Money>;
  readCallback?: (message: Message, desk: Desk) => Callback | OfferNotice | NotTheirs;
}
