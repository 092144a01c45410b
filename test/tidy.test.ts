// The shape of the house, as a test: which layer may import which, one home file per library, one reader of the
// environment, migrations and phases that exist. It reads the sources as text, so it needs nothing to run.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'adapters', 'vault', 'config'];

interface Source {
  path: string;
  text: string;
  /** Files of ours and packages; `is_type` if only types are taken. */
  imports: { target: string; is_type: boolean }[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

const sources: Source[] = FOLDERS.flatMap(filesBelow).map((path) => {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const imports = [...text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'/gms)].map((match) => ({
    is_type: match[1] !== undefined,
    target: match[2]!.startsWith('.') ? normalize(join(dirname(path), match[2]!)).replace(/\.js$/, '.ts') : match[2]!,
  }));
  return { path, text, imports };
});

/** Layer of a file, by the longest matching beginning. */
const LAYERS: readonly [string, string][] = [
  ['config/', 'config'],
  ['vault/', 'vault'],
  ['adapters/kit/', 'kit'],
  ['adapters/', 'adapters'],
  ['src/errors.ts', 'ground'],
  ['src/log.ts', 'ground'],
  ['src/ids.ts', 'ground'],
  ['src/metrics.ts', 'ground'],
  ['src/metric-words.ts', 'ground'],
  ['src/registry.ts', 'ground'],
  ['src/tracing.ts', 'ground'],
  ['src/version.ts', 'ground'],
  ['src/db/', 'db'],
  ['src/suppliers/', 'suppliers'],
  ['src/storefronts/', 'storefronts'],
  ['src/catalog/', 'catalog'],
  ['src/orders/', 'orders'],
  ['src/reports/', 'reports'],
  ['src/http/', 'http'],
  ['src/jobs.ts', 'jobs'],
  ['src/observe.ts', 'main'],
  ['src/gauges.ts', 'main'],
  ['src/figures.ts', 'main'],
  ['src/publish.ts', 'main'],
  ['src/alerts.ts', 'main'],
  ['src/vault-upkeep.ts', 'main'],
  ['src/sealed-columns.ts', 'main'],
  ['src/main.ts', 'main'],
  ['src/open.ts', 'serve'],
  ['src/serve.ts', 'serve'],
  ['src/demo/', 'cli'],
  ['src/cli/', 'cli'],
  ['src/cli.ts', 'cli'],
];

/** Layer → what it may import besides itself. The contract's types, errors and ids go everywhere in `src`. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  config: [],
  vault: [],
  kit: [],
  adapters: ['kit'],
  ground: [],
  db: ['ground'],
  suppliers: ['ground', 'db', 'kit', 'adapters'],
  storefronts: ['ground', 'db'],
  // `apply` declares storefronts beside accounts and SKUs: one file, one plan, one transaction.
  catalog: ['ground', 'db', 'suppliers', 'storefronts', 'kit', 'config'],
  orders: ['ground', 'db', 'suppliers', 'storefronts', 'catalog', 'vault', 'kit'],
  reports: ['ground', 'db', 'vault'],
  http: ['ground', 'db', 'suppliers', 'storefronts', 'catalog', 'orders', 'reports', 'vault', 'kit'],
  jobs: ['ground', 'db', 'suppliers', 'storefronts', 'catalog', 'orders', 'reports', 'vault'],
  main: [
    'ground',
    'db',
    'suppliers',
    'storefronts',
    'catalog',
    'orders',
    'reports',
    'vault',
    'jobs',
    'kit',
    'adapters',
  ],
  serve: [
    'ground',
    'db',
    'main',
    'http',
    'jobs',
    'vault',
    'kit',
    'adapters',
    'orders',
    'storefronts',
    'suppliers',
    'catalog',
  ],
  cli: ['*'],
};

/** What any layer of `src` may take: the border language, the shape of the settings, and "did you mean". */
const FOR_ALL = new Set(['adapters/kit/contract.ts', 'config/load.ts', 'config/closest.ts']);

function layerOf(path: string): string {
  const found = LAYERS.find(([beginning]) => path.startsWith(beginning));
  return found ? found[1] : `no layer for ${path}`;
}

test('every file belongs to a layer', () => {
  expect(sources.map((source) => layerOf(source.path)).filter((layer) => layer.startsWith('no layer'))).toEqual([]);
});

test('every arrow between layers is in the table', () => {
  const wrong: string[] = [];
  for (const { path, imports } of sources) {
    const from = layerOf(path);
    for (const { target, is_type } of imports) {
      if (!FOLDERS.some((folder) => target.startsWith(`${folder}/`))) continue;
      const to = layerOf(target);
      const allowed = ARROWS[from] ?? [];
      if (from === to || allowed.includes(to) || allowed.includes('*')) continue;
      if (path.startsWith('src/') && FOR_ALL.has(target) && (is_type || target !== 'config/load.ts')) continue;
      wrong.push(`${path} → ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('every import of ours names a file that exists', () => {
  const missing = sources.flatMap(({ path, imports }) =>
    imports
      .filter(({ target }) => target.endsWith('.ts') && !existsSync(join(ROOT, target)))
      .map(({ target }) => `${path} → ${target}`),
  );
  expect(missing).toEqual([]);
});

/** Library → its home: a folder or file, or several. Replacing it is that place's work. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  express: ['src/http/'],
  libsql: ['src/db/'],
  mysql2: ['src/db/'],
  'mysql2/promise': ['src/db/'],
  opossum: ['src/suppliers/breaker.ts'],
  'p-queue': ['src/orders/fulfil.ts', 'src/suppliers/limiter.ts'],
  'node-forge': ['adapters/kit/legacy.ts', 'vault/pkcs12.ts'],
  'prom-client': ['src/registry.ts'],
  pino: ['src/log.ts'],
  commander: ['src/cli.ts', 'src/cli/'],
  'iconv-lite': ['adapters/kit/', 'vault/'],
  'fast-xml-parser': ['adapters/kit/'],
  'lossless-json': ['adapters/kit/'],
  'csv-parse': ['vault/'],
};

test('each library is imported by its home alone', () => {
  const strays = sources.flatMap(({ path, imports }) =>
    imports
      .filter(
        ({ target, is_type }) => !is_type && HOMES[target] && !HOMES[target].some((home) => path.startsWith(home)),
      )
      .map(({ target }) => `${path} imports ${target}`),
  );
  expect(strays).toEqual([]);
});

test('only config/load.ts reads the environment', () => {
  const readers = sources.filter(({ text }) => /process\.env\b/.test(text)).map(({ path }) => path);
  expect(readers.filter((path) => path !== 'config/load.ts')).toEqual([]);
});

test('no test is skipped or focused', () => {
  const marked = filesBelow('test')
    .filter((path) => path !== 'test/tidy.test.ts')
    .filter((path) => /\b(?:it|test|describe)\.(?:skip|only|todo)\b/.test(readFileSync(join(ROOT, path), 'utf8')));
  expect(marked).toEqual([]);
});

/** One table each, an entry a paragraph: they grow by entries, not by ideas. */
const TABLES = ['config/options.ts', 'src/metrics.ts'];

test('no file of the program outgrows 360 lines, but for the tables', () => {
  const long = sources
    .filter(({ path, text }) => text.split('\n').length > 360 && !TABLES.includes(path))
    .map(({ path }) => path);
  expect(long).toEqual([]);
});

describe('suppliers', () => {
  const register = readFileSync(join(ROOT, 'adapters/register.ts'), 'utf8');
  const adapters = readdirSync(join(ROOT, 'adapters')).filter(
    (name) => name.endsWith('.ts') && !['register.ts', 'simulator.ts'].includes(name),
  );

  test.each(adapters)('%s is registered and has conversations', (name) => {
    expect(register).toContain(`'./${name.replace(/\.ts$/, '.js')}'`);
    const folder = join(ROOT, 'test/adapters', name.replace(/\.ts$/, ''));
    expect(existsSync(folder) && readdirSync(folder).some((file) => file.endsWith('.json'))).toBe(true);
  });
});

test('every migration is registered, in order', () => {
  const files = readdirSync(join(ROOT, 'src/db/migrations'))
    .filter((name) => /^\d{4}_/.test(name))
    .sort();
  const index = readFileSync(join(ROOT, 'src/db/migrations/index.ts'), 'utf8');
  const registered = [...index.matchAll(/name: '(\d{4}_[^']+)'/g)].map((match) => `${match[1]}.ts`);
  expect(registered).toEqual(files);
});

test('documents name only files that exist', () => {
  const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md'].filter((name) =>
    existsSync(join(ROOT, name)),
  );
  const missing = documents.flatMap((name) =>
    [
      ...readFileSync(join(ROOT, name), 'utf8').matchAll(
        /`((?:src|adapters|vault|config|test|grafana)\/[\w./-]+\.(?:ts|json|yaml|md))`/g,
      ),
    ]
      .map((match) => match[1]!)
      .filter((path) => !existsSync(join(ROOT, path)))
      .map((path) => `${name}: ${relative('.', path)}`),
  );
  expect(missing).toEqual([]);
});
