// Small secrets of the program sealed as text: supplier credentials, webhook secrets, transcripts, callback bodies.
// Written `1.<master key version>.<base64url of nonce, ciphertext and tag>`, so that a rotation can tell what is old.
import { invalid } from './core.js';
import { VaultError } from './errors.js';
import type { Keyring } from './keyring.js';
import { open, seal } from './seal.js';

/** Seals `text` under the current master key version, bound to its purpose and context. See `Vault.sealText`. */
export function sealTextWith(keyring: Keyring, purpose: string, context: string, text: string): string {
  const version = keyring.current_version;
  const sealed = seal(
    textKey(keyring, purpose, version),
    textBinding(purpose, context, version),
    Buffer.from(text, 'utf8'),
  );
  return `1.${version}.${sealed.toString('base64url')}`;
}

/** Opens what `sealTextWith` made. See `Vault.openText`. */
export function openTextWith(keyring: Keyring, purpose: string, context: string, sealed: string): string {
  const version = sealedTextVersion(sealed);
  if (!keyring.is_sealed && version > keyring.current_version) keyring.unseal();
  const bytes = Buffer.from(sealed.slice(sealed.lastIndexOf('.') + 1), 'base64url');
  return open(textKey(keyring, purpose, version), textBinding(purpose, context, version), bytes).toString('utf8');
}

/** The master key version a sealed text is under. Throws `unauthentic` for anything else. */
export function sealedTextVersion(sealed: string): number {
  const [, version] = /^1\.([1-9][0-9]{0,8})\.[A-Za-z0-9_-]+$/.exec(sealed) ?? [];
  if (version !== undefined) return Number(version);
  throw new VaultError('unauthentic', 'this is not a text the vault sealed', {
    fix: 'Set the value again; it was written past the vault or cut short.',
  });
}

function textKey(keyring: Keyring, purpose: string, version: number): Buffer {
  if (!/^[a-z][a-z0-9_-]{0,47}$/.test(purpose)) {
    throw invalid('purpose', 'is not a label', 'Use lower-case letters, digits, _ and -, such as webhook_secret.');
  }
  return keyring.derive(`text/${purpose}`, version);
}

function textBinding(purpose: string, context: string, version: number): Buffer {
  return Buffer.from(JSON.stringify(['kamigate.text', 1, purpose, context, version]), 'utf8');
}
