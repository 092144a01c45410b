// The circuit breaker of one account's purchases. It counts only answers that speak against the supplier's health, by
// number and by share; open, it lets nothing through; after a pause one probe decides. Its state can be read and reset.
import CircuitBreaker from 'opossum';
import type { Found } from '../../adapters/kit/contract.js';
import { tripsBreaker } from './outcome.js';

export interface BreakerState {
  state: 'closed' | 'half_open' | 'open';
  /** When it last changed, in ms. */
  since: number;
  /** The answer that opened it. */
  because: string | null;
}

export interface BreakerOptions {
  /** Fewest calls in the window before a share means anything. */
  volume_min: number;
  error_percent: number;
  window_ms: number;
  /** How long it stays open before it lets a probe through. */
  open_ms: number;
}

/** What a guarded call answers: the outcome, and whether it was given up before anything was sent. */
export interface Guarded {
  found: Found;
  abandoned: boolean;
}

export interface Breaker {
  readonly state: BreakerState;
  /** Runs the call; null if the breaker is open and nothing was run. */
  run<A extends Guarded>(call: () => Promise<A>): Promise<A | null>;
  /** Closes it by hand. */
  reset(): void;
  close(): void;
}

/** Thrown inside the breaker so that it counts; carries the answer out again. */
class Tripped extends Error {
  constructor(readonly answer: Guarded) {
    super('tripped');
  }
}

export function createBreaker(
  options: BreakerOptions,
  deps: { now: () => number; onChange: (state: BreakerState) => void },
): Breaker {
  let state: BreakerState = { state: 'closed', since: deps.now(), because: null };
  const breaker = new CircuitBreaker(
    async (call: () => Promise<Guarded>): Promise<Guarded> => {
      const answer = await call();
      if (answer.abandoned || !tripsBreaker(answer.found)) return answer;
      state.because = describe(answer.found);
      throw new Tripped(answer);
    },
    {
      // The deadline is the wire's: a breaker's timeout would leave the purchase running behind our back.
      timeout: false,
      volumeThreshold: options.volume_min,
      errorThresholdPercentage: options.error_percent,
      rollingCountTimeout: options.window_ms,
      resetTimeout: options.open_ms,
      // What we throw ourselves (a lost lease, a database that is away) says nothing about the supplier.
      errorFilter: (error: unknown) => !(error instanceof Tripped),
    },
  );
  const change = (to: BreakerState['state']) => () => {
    state = { state: to, since: deps.now(), because: to === 'closed' ? null : state.because };
    deps.onChange(state);
  };
  breaker.on('open', change('open'));
  breaker.on('halfOpen', change('half_open'));
  breaker.on('close', change('closed'));

  return {
    get state() {
      return state;
    },
    run: async <A extends Guarded>(call: () => Promise<A>): Promise<A | null> => {
      try {
        return (await breaker.fire(call)) as A;
      } catch (error) {
        if (error instanceof Tripped) return error.answer as A;
        if ((error as { code?: string }).code === 'EOPENBREAKER') return null;
        throw error;
      }
    },
    reset: () => breaker.close(),
    close: () => breaker.shutdown(),
  };
}

/** An outcome in one word, for transcripts and for the reason a breaker opened. */
export function describe(found: Found): string {
  if (found.outcome === 'refused') return `refused:${found.reason}`;
  return found.outcome === 'unknown' ? `unknown:${found.doubt}` : found.outcome;
}
