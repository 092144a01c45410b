// The guarded line to one account, and the only way out to a supplier: limiter → breaker → adapter → outcome, with a
// scrubbed transcript of every call. Nothing here decides an order's fate.
import {
  type Callback,
  type Code,
  type Desk,
  type Found,
  type Message,
  type Money,
  type NotTheirs,
  type OfferNotice,
  type OfferPage,
  type Outcome,
  type Purchase,
  SaidNo,
  type Supplier,
} from '../../adapters/kit/contract.js';
import { doubtOf } from '../../adapters/kit/doubt.js';
import { scrub } from '../../adapters/kit/scrub.js';
import { GatewayError } from '../errors.js';
import type { OpenAccount } from './accounts.js';
import { type Breaker, type BreakerOptions, type BreakerState, createBreaker, describe } from './breaker.js';
import { createLimiter, type Limiter, LimiterFull, PRIORITY } from './limiter.js';
import { outcomeOfLookup, outcomeOfPlace } from './outcome.js';
import { createPace, type Pace } from './pace.js';
import { createSession, type Session } from './session.js';
import { Lines, type OpenWire, openWire } from './wire.js';

/** The record of one verb: scrubbed of every credential and every code that could be read. */
export interface Transcript {
  verb: 'prepare' | 'place' | 'lookup';
  at: number;
  duration_ms: number;
  outcome: string;
  exchanges: string;
}

/** Whose call it is, for whoever watches. */
export interface CallSubject {
  order_id: string;
  attempt_id: string;
}

/** What the caller wants done inside the limiter's slot, around the one request that can buy. */
export interface PlaceHooks {
  about?: CallSubject;
  /** A create-then-pay supplier named its order; commit it. False: the attempt is no longer ours, go no further. */
  prepared: (supplier_reference: string) => Promise<boolean>;
  /** Commit that bytes may leave from now on. False: the attempt is no longer ours, go no further. */
  beforeSend: () => Promise<boolean>;
}

export interface Answer<T extends Found> {
  found: T;
  transcript: Transcript | null;
  /** The attempt was somebody else's by the time its turn came: nothing was sent, and nothing is to be settled. */
  abandoned: boolean;
}

/** Measures of one call, for metrics; labels are from closed sets. */
export interface CallMeasure {
  account: string;
  operation: 'place' | 'lookup' | 'offers' | 'balance';
  outcome: string;
  duration_ms: number;
  /** For traces; never a label. */
  about?: CallSubject;
}

export interface ChannelOptions {
  now: () => number;
  monotonic: () => number;
  callback_url: (account: string) => string;
  reply_bytes_max: number;
  /** Calls that may wait for the limiter; one more is refused as `not_sent`. */
  waiting_max: number;
  breaker: BreakerOptions;
  onCall: (measure: CallMeasure) => void;
  onBreaker: (account: string, state: BreakerState) => void;
  onClock: (account: string, skew_ms: number) => void;
}

export class Channel {
  readonly #lines: Lines;
  readonly #limiter: Limiter;
  readonly #breaker: Breaker;
  readonly #session: Session | null;
  readonly #pace: Pace | null;

  constructor(
    readonly account: OpenAccount,
    readonly supplier: Supplier,
    private readonly options: ChannelOptions,
  ) {
    const limits = account.limits;
    this.#pace = createPace(limits, options.monotonic);
    this.#lines = new Lines(Math.max(1, limits.concurrency));
    this.#limiter = createLimiter(limits, options.waiting_max);
    this.#breaker = createBreaker(options.breaker, {
      now: options.now,
      onChange: (state) => options.onBreaker(account.account, state),
    });
    const { session } = supplier;
    this.#session = session
      ? createSession(() => session(this.#wire({ purchases_max: 0, session: null })), options.now)
      : null;
  }

  /** Its breaker is open: routing leaves it out. Half-open counts as closed, so that a probe gets through. */
  get is_open(): boolean {
    return this.#breaker.state.state === 'open';
  }

  get breaker_state(): BreakerState {
    return this.#breaker.state;
  }

  /** Closes the breaker by hand. */
  resetBreaker(): void {
    this.#breaker.reset();
  }

  /** Calls now under way or waiting. */
  get in_flight(): number {
    return this.#limiter.in_flight;
  }

  /**
   * Places one purchase: at most one request that can buy. Never throws for what the supplier or the network does.
   * An open breaker and a full limiter answer `refused: not_sent` before the attempt is marked as sent.
   */
  async place(purchase: Purchase, hooks: PlaceHooks): Promise<Answer<Outcome>> {
    try {
      const answer = await this.#limiter.run(PRIORITY.place, () =>
        this.#breaker.run(() => this.#placeNow(purchase, hooks)),
      );
      if (answer) return answer;
      this.#measure('place', 'breaker_open', this.options.monotonic(), hooks.about);
      return notSent('the circuit breaker is open');
    } catch (error) {
      if (error instanceof LimiterFull) return notSent('the limiter is full');
      throw error;
    }
  }

  /** Asks what became of a purchase. `may_resend` lends a wire that can repeat the purchase under its reference. */
  async lookup(
    purchase: Purchase,
    { may_resend, about }: { may_resend: boolean; about?: CallSubject },
  ): Promise<Answer<Found>> {
    const { lookup } = this.supplier;
    if (!lookup) throw new Error(`${this.supplier.code}: no lookup`);
    return this.#limiter.run(PRIORITY.lookup, async () => {
      const wire = this.#wire({ purchases_max: may_resend ? 1 : 0 });
      const at = this.options.now();
      const started_at = this.options.monotonic();
      const found = await outcomeOfLookup(purchase, () => lookup(purchase, wire));
      this.#measure('lookup', found.outcome === 'unknown' ? found.doubt : found.outcome, started_at, about);
      return { found, transcript: this.#transcript('lookup', wire, found, at, started_at), abandoned: false };
    });
  }

  /** One page of offers. Throws `WireFailure` or `Unreadable`. */
  async listOffers(cursor: string | null): Promise<OfferPage> {
    const { listOffers } = this.supplier;
    if (!listOffers) throw new Error(`${this.supplier.code}: no listOffers`);
    return this.#read('offers', (wire) => listOffers(cursor, wire));
  }

  /** Asks them to tell of these products from now on. Throws `WireFailure`, `Unreadable` or `SaidNo`. */
  async watchOffers(products: readonly string[]): Promise<void> {
    const { watchOffers } = this.supplier;
    if (!watchOffers) throw new Error(`${this.supplier.code}: no watchOffers`);
    return this.#read('offers', (wire) => watchOffers(products, wire));
  }

  /** Our prepaid balance. Throws `WireFailure` or `Unreadable`. */
  async readBalance(): Promise<Money> {
    const { readBalance } = this.supplier;
    if (!readBalance) throw new Error(`${this.supplier.code}: no readBalance`);
    return this.#read('balance', (wire) => readBalance(wire));
  }

  /** Verifies and translates a message of theirs. Pure; nothing is sent. */
  readCallback(message: Message): Callback | OfferNotice | NotTheirs {
    const { readCallback } = this.supplier;
    if (!readCallback) {
      throw new GatewayError('not_found', 'this supplier sends no callbacks', { fix: 'Switch callbacks off there.' });
    }
    return readCallback(message, this.#desk());
  }

  async close(): Promise<void> {
    this.#breaker.close();
    this.#limiter.close();
    await this.#lines.close();
  }

  async #placeNow(purchase: Purchase, hooks: PlaceHooks): Promise<Answer<Outcome>> {
    const at = this.options.now();
    const started_at = this.options.monotonic();
    const wire = this.#wire({ purchases_max: 1 });
    let abandoned = false;
    let own_failure: unknown = null;
    // What our own side throws before sending (the database is away) is no answer of the supplier's.
    const ours = (hook: Promise<boolean>): Promise<boolean> =>
      hook.catch((error: unknown) => {
        own_failure = error;
        return false;
      });
    const found = await outcomeOfPlace(purchase, wire, async () => {
      const ready = await this.#prepare(purchase, wire, (reference) => ours(hooks.prepared(reference)));
      if (ready === null || !(await ours(hooks.beforeSend()))) {
        abandoned = true;
        return { outcome: 'refused', reason: 'not_sent' };
      }
      return 'outcome' in ready ? ready : this.supplier.place(ready, wire);
    });
    if (own_failure) throw own_failure;
    if (abandoned) return { found, transcript: null, abandoned };
    this.#measure('place', wordOf(found), started_at, hooks.about);
    return { found, transcript: this.#transcript('place', wire, found, at, started_at), abandoned };
  }

  /** The purchase to place, with their reference if the supplier wants an order made first; null if not ours. */
  async #prepare(
    purchase: Purchase,
    wire: OpenWire,
    prepared_hook: PlaceHooks['prepared'],
  ): Promise<Purchase | Outcome | null> {
    if (!this.supplier.prepare) return purchase;
    const prepared = await this.supplier.prepare(purchase, wire);
    if ('outcome' in prepared) return prepared;
    return (await prepared_hook(prepared.supplier_reference)) ? { ...purchase, ...prepared } : null;
  }

  async #read<T>(operation: 'offers' | 'balance', read: (wire: OpenWire) => Promise<T>): Promise<T> {
    return this.#limiter.run(PRIORITY[operation], async () => {
      const started_at = this.options.monotonic();
      try {
        const result = await read(this.#wire({ purchases_max: 0 }));
        this.#measure(operation, 'ok', started_at);
        return result;
      } catch (error) {
        this.#measure(operation, error instanceof SaidNo ? error.reason : doubtOf(error).doubt, started_at);
        throw error;
      }
    });
  }

  #wire({ purchases_max, session = this.#session }: { purchases_max: number; session?: Session | null }): OpenWire {
    return openWire({
      desk: this.#desk(),
      lines: this.#lines,
      options: { deadline_ms: this.account.limits.deadline_ms, reply_bytes_max: this.options.reply_bytes_max },
      purchases_max,
      session,
      pace: this.#pace,
      monotonic: this.options.monotonic,
      now: this.options.now,
      onDate: (date) => {
        const theirs = Date.parse(date);
        if (Number.isFinite(theirs)) this.options.onClock(this.account.account, theirs - this.options.now());
      },
    });
  }

  #desk(): Desk {
    const { credentials, options, base_url, account } = this.account;
    return {
      now: this.options.now(),
      base_url,
      callback_url: this.options.callback_url(account),
      credential: (name) => {
        const secret = credentials[name];
        if (!secret) throw new Error(`${this.supplier.code}: account ${account} has no credential ${name}`);
        return secret.reveal();
      },
      option: (name) => {
        const value = options[name] ?? this.supplier.options?.[name]?.default;
        if (value === undefined) throw new Error(`${this.supplier.code}: there is no option ${name}`);
        return value;
      },
    };
  }

  #measure(operation: CallMeasure['operation'], outcome: string, started_at: number, about?: CallSubject): void {
    const duration_ms = this.options.monotonic() - started_at;
    const { account } = this.account;
    this.options.onCall({ account, operation, outcome, duration_ms, ...(about ? { about } : {}) });
  }

  #transcript(verb: Transcript['verb'], wire: OpenWire, found: Found, at: number, started_at: number): Transcript {
    const secrets = Object.values(this.account.credentials).map((secret) => secret.reveal());
    if (this.#session?.held) secrets.push(this.#session.held);
    if ('codes' in found && found.codes) secrets.push(...found.codes.flatMap(textsOf));
    return {
      verb,
      at,
      duration_ms: Math.round(this.options.monotonic() - started_at),
      outcome: describe(found),
      exchanges: scrub(JSON.stringify(wire.exchanges), secrets),
    };
  }
}

/** An answer in one word, for its label: the reason of a refusal, the doubt of an unknown. */
function wordOf(found: Outcome): string {
  if (found.outcome === 'refused') return found.reason;
  return found.outcome === 'unknown' ? found.doubt : found.outcome;
}

function notSent(message: string): Answer<Outcome> {
  return { found: { outcome: 'refused', reason: 'not_sent', message }, transcript: null, abandoned: false };
}

function textsOf(code: Code): string[] {
  return [code.number, code.pin, code.serial, code.link].flatMap((secret) => (secret ? [secret.reveal()] : []));
}
