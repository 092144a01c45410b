// One account's session token (OAuth and the like): opened when first needed, kept, renewed a little before it ends or
// once after a 401. One request for it at a time, however many calls wait.
export interface Session {
  token(): Promise<string>;
  /** Forgets the token and opens a new one; for a reply that says it is not taken any more. */
  renew(): Promise<void>;
  /** The token now held, for scrubbing. */
  readonly held: string | null;
}

/** Renewed when so much of its life is over, so that a call under way does not see it end. */
const LIFE_USED = 0.9;

export function createSession(
  open: () => Promise<{ token: string; expires_in_ms: number }>,
  now: () => number,
): Session {
  let held: { token: string; expires_at: number } | null = null;
  let opening: Promise<string> | null = null;

  async function openOnce(): Promise<string> {
    const { token, expires_in_ms } = await open();
    held = { token, expires_at: now() + expires_in_ms * LIFE_USED };
    return token;
  }

  async function token(): Promise<string> {
    if (held && held.expires_at > now()) return held.token;
    opening ??= openOnce().finally(() => {
      opening = null;
    });
    return opening;
  }

  return {
    token,
    renew: async () => {
      held = null;
      await token();
    },
    get held() {
      return held?.token ?? null;
    },
  };
}
