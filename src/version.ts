// The version of the package this file belongs to, run from its source or from dist/.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export function version(): string {
  const folders = ['..', '../..'].map((up) => resolve(import.meta.dirname, up));
  const manifest = folders.map((folder) => join(folder, 'package.json')).find((path) => existsSync(path));
  return manifest ? (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version : 'unknown';
}
