// Who is calling, and whether that key may do this.
import { type Authenticator, type Caller, requireScope } from '../storefronts/accounts.js';
import type { Access } from './route.js';

/** The caller by its `Authorization` header. Null on public routes. Throws `unauthorized` and `scope_missing`. */
export async function admit(
  authenticator: Authenticator,
  access: Access,
  authorization: string | undefined,
): Promise<Caller | null> {
  if (access === 'public') return null;
  const caller = await authenticator.authenticate(authorization);
  if (access !== 'any_key') requireScope(caller, access);
  return caller;
}
