// Every adapter of the register through every promise and every way a supplier can fail it, with no code for any one of
// them: the inputs come from the adapter's own conversations.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  type Callback,
  DOUBTS,
  type Found,
  type NotTheirs,
  type OfferNotice,
  REASONS,
  type Supplier,
} from '../../adapters/kit/contract.js';
import { type Conversation, purchaseOf, readConversation, VERBS, type Verb } from '../../adapters/kit/conversation.js';
import { parseJson } from '../../adapters/kit/reading.js';
import { type Conclusion, type Replay, replay } from '../../adapters/kit/replay.js';
import { compactJson, fieldText } from '../../adapters/kit/signing.js';
import { template } from '../../adapters/kit/template.js';
import { SUPPLIERS, supplierFor } from '../../adapters/register.js';

const HERE = join(process.cwd(), 'test/adapters');
const ADAPTERS = join(process.cwd(), 'adapters');
const LINES_MAX = 220;
const SECTIONS = ['Facts', 'Verbs', 'Builders', 'Readers'];
/** Texts shorter than this stand in other texts by chance. */
const SECRET_LENGTH = 6;

interface Said {
  file: string;
  conversation: Conversation;
  result: Replay;
}

async function conversationsOf(code: string, supplier: Supplier): Promise<Said[]> {
  const folder = join(HERE, code);
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
  const said: Said[] = [];
  for (const file of files.sort()) {
    const conversation = readConversation(readFileSync(join(folder, file), 'utf8'));
    said.push({ file, conversation, result: await replay(supplier, conversation, { strict: true }) });
  }
  return said;
}

/** What a conclusion is an example of. `garbled` is a reply that nobody can read; a mere failure of transport is none. */
function sortOf(conclusion: Conclusion): 'happy' | 'refused' | 'garbled' | 'other' {
  if ('page' in conclusion) return conclusion.page.offers.length > 0 ? 'happy' : 'other';
  if ('balance' in conclusion || 'watched' in conclusion) return 'happy';
  if ('callback' in conclusion) {
    const { callback } = conclusion;
    if ('rejected' in callback) return callback.rejected === 'unreadable' ? 'garbled' : 'refused';
    if ('products' in callback) return 'happy';
    return callback.outcome.outcome === 'refused' ? 'refused' : 'happy';
  }
  if ('prepared' in conclusion && !('outcome' in conclusion.prepared)) return 'happy';
  return sortOfFound(foundIn(conclusion)!);
}

function sortOfFound(found: Found): 'happy' | 'refused' | 'garbled' | 'other' {
  if (found.outcome === 'delivered' || found.outcome === 'accepted') return 'happy';
  if (found.outcome === 'absent') return 'refused';
  if (found.outcome === 'refused') return found.reason === 'not_sent' ? 'garbled' : 'refused';
  // A question that was answered by a no is a refusal of a reading verb, though it proves nothing.
  if (found.doubt === 'supplier_said') return 'refused';
  return ['deadline', 'reset'].includes(found.doubt) ? 'other' : 'garbled';
}

function foundIn(conclusion: Conclusion): Found | null {
  if ('found' in conclusion) return conclusion.found;
  if ('failed' in conclusion) return conclusion.failed;
  return 'prepared' in conclusion && 'outcome' in conclusion.prepared ? conclusion.prepared : null;
}

/** The conversation with another response at one exchange; what comes after it stays. */
function withResponse(conversation: Conversation, at: number, response: Record<string, unknown>): Conversation {
  const exchanges = conversation.exchanges.map((exchange, index) =>
    index === at ? { ...exchange, response } : exchange,
  );
  return { ...conversation, exchanges };
}

async function conclude(supplier: Supplier, conversation: Conversation): Promise<Conclusion> {
  return (await replay(supplier, conversation)).conclusion;
}
async function outcomeAfter(
  supplier: Supplier,
  said: Said,
  at: number,
  response: Record<string, unknown>,
): Promise<Found> {
  return foundIn(await conclude(supplier, withResponse(said.conversation, at, response)))!;
}

const GARBAGE: Record<string, Record<string, unknown>> = {
  'an empty body': { status: 200, body: '' },
  'an empty object': { status: 200, body: '{}' },
  'an empty list': { status: 200, body: '[]' },
  null: { status: 200, body: 'null' },
  'a page': {
    status: 200,
    headers: { 'content-type': 'text/html' },
    body: '<html><body>Just a moment...</body></html>',
  },
  'a page of a firewall': {
    status: 403,
    headers: { 'content-type': 'text/html' },
    body: '<html><body>Blocked</body></html>',
  },
  'a page for a missing path': {
    status: 404,
    headers: { 'content-type': 'text/html' },
    body: '<html><br>nginx</html>',
  },
  'a bad gateway': { status: 502, body: '<html></html>' },
  'a word': { status: 200, body: 'busy' },
  'bytes that are no text': { status: 200, body_base64: '/////w==' },
};

/** Responses made of a good one: cut in half, and with HTTP 500. */
function damaged(response: Record<string, unknown>): Record<string, Record<string, unknown>> {
  const text = typeof response.body === 'string' ? response.body : compactJson(response.body ?? null);
  return {
    'half of the reply': { ...response, body: text.slice(0, Math.ceil(text.length / 2)) },
    'the reply with HTTP 500': { ...response, status: 500, body: text },
  };
}

type Path = (string | number)[];
/** Every text and number in a body, with where it stands. */
function leaves(node: unknown, path: Path = []): { path: Path; text: string }[] {
  if (node === null || typeof node === 'boolean') return [];
  if (typeof node === 'string' || typeof node === 'number' || isNumberToken(node))
    return [{ path, text: fieldText(node) }];
  return Object.entries(node as object).flatMap(([name, member]) => leaves(member, [...path, name]));
}
function isNumberToken(node: unknown): boolean {
  return typeof node === 'object' && node !== null && 'isLosslessNumber' in node;
}
function withLeaf(node: unknown, [name, ...rest]: Path, value: unknown): unknown {
  if (name === undefined) return value;
  const copy = (Array.isArray(node) ? [...node] : { ...(node as object) }) as Record<string | number, unknown>;
  copy[name] = withLeaf(copy[name], rest, value);
  return copy;
}
function bodyOf(response: Record<string, unknown> | null): unknown {
  try {
    return typeof response?.body === 'string' ? parseJson(response.body) : (response?.body ?? null);
  } catch {
    return null;
  }
}

/** Where a file uses its exchanges in order, the number of the request that can buy; -1 for none. */
function buyingIndex({ result }: Said): number {
  return result.sent.findIndex(({ buys }) => buys);
}

const registered = Object.entries(SUPPLIERS);
const prepared = await Promise.all(
  registered.map(async ([code, supplier]) => ({ code, supplier, said: await conversationsOf(code, supplier) })),
);

describe('the register', () => {
  test('names every file, and every file is named', () => {
    const files = readdirSync(ADAPTERS).filter(
      (name) => name.endsWith('.ts') && !['register.ts', 'simulator.ts'].includes(name),
    );
    expect(Object.keys(SUPPLIERS).sort()).toEqual(files.map((name) => name.slice(0, -3)).sort());
  });
  test('finds by code, and names near ones where it does not', () => {
    expect(supplierFor('simulated')).toBe(SUPPLIERS.simulated);
    expect(() => supplierFor('dujiao_next')).toThrow('did you mean dujiao-next');
    expect(() => supplierFor('simulate')).toThrow('did you mean simulated');
    expect(() => supplierFor('toString')).toThrow('there is no adapter "toString"');
  });
});

for (const { code, supplier, said } of [...prepared, { code: 'template', supplier: template, said: [] }]) {
  describe(`${code} declares its facts`, () => {
    test('who it is, and what it needs', () => {
      expect(supplier.code).toBe(code);
      expect(supplier.code).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
      expect(supplier.name.length).toBeGreaterThan(1);
      expect(supplier.region).toMatch(/^([A-Z]{2}|global)$/);
      expect(supplier.delivers.length).toBeGreaterThan(0);
      for (const [name, sentence] of Object.entries(supplier.credentials)) {
        expect(name).toMatch(/^[A-Za-z]\w*$/);
        expect([name, sentence.length > 10]).toEqual([name, true]);
      }
      expect(Object.keys(supplier.credentials).length).toBeGreaterThan(0);
      for (const [name, { help }] of Object.entries(supplier.options ?? {}))
        expect([name, help.length > 10]).toEqual([name, true]);
      for (const url of Object.values(supplier.base_urls)) {
        if (url !== null) expect(new URL(url).href.replace(/\/$/, '')).toBe(url);
      }
    });
    test('limits, money and tables', () => {
      const { limits, money } = supplier;
      expect(limits.requests === null || limits.requests > 0).toBe(true);
      expect(limits.per_ms > 0 && limits.concurrency > 0 && limits.deadline_ms >= 1000).toBe(true);
      expect(money.currency === null || /^[A-Z]{3}$/.test(money.currency)).toBe(true);
      expect(Object.keys(supplier.statuses).length + Object.keys(supplier.refusals).length).toBeGreaterThan(0);
      for (const meaning of Object.values(supplier.statuses)) {
        if (typeof meaning === 'object') expect(REASONS).toContain(meaning.refused);
        else expect(['delivered', 'accepted', 'unknown']).toContain(meaning);
      }
      for (const reason of Object.values(supplier.refusals)) if (reason !== null) expect(REASONS).toContain(reason);
    });
    test('promises that its verbs can keep', () => {
      const { lookup_by, absence, callback_trust, reference_format, repeat_reference } = supplier.promises;
      expect([lookup_by, supplier.lookup !== undefined]).toEqual([lookup_by, lookup_by !== 'nothing']);
      expect([callback_trust, supplier.readCallback !== undefined]).toEqual([
        callback_trust,
        callback_trust !== 'none',
      ]);
      if (absence !== 'proves_nothing') {
        expect(absence.proves_not_bought_after_ms).toBeGreaterThan(0);
        expect(['reference', 'supplier_reference']).toContain(lookup_by);
      }
      // Asking by sending it again is only safe where the original comes back.
      if (lookup_by === 'resend')
        expect(typeof repeat_reference === 'object' || repeat_reference === 'returns_original').toBe(true);
      expect(reference_format.max_length).toBeGreaterThan((reference_format.prefix ?? '').length + 7);
    });
    test(`the file has its sections in order, at most ${LINES_MAX} lines, and imports only the kit`, () => {
      const path = code === 'template' ? join(ADAPTERS, 'kit/template.ts') : join(ADAPTERS, `${code}.ts`);
      const text = readFileSync(path, 'utf8');
      expect(text.split('\n').length).toBeLessThanOrEqual(LINES_MAX + 1);
      expect(text.startsWith('//')).toBe(true);
      expect([...text.matchAll(/^ *\/\/ ── (\w+) ─+$/gm)].map(([, name]) => name)).toEqual(SECTIONS);
      for (const [, from] of text.matchAll(/from '([^']+)'/g))
        expect(from).toMatch(code === 'template' ? /^\.\/[\w-]+\.js$/ : /^\.\/kit\/[\w-]+\.js$/);
      const verbs = [...text.matchAll(/^ {2}(?:async )?(\w+)\(/gm)]
        .map(([, name]) => name!)
        .filter((name) => (VERBS as readonly string[]).includes(name));
      expect(verbs).toEqual(VERBS.filter((verb) => verbs.includes(verb)));
      expect(text).not.toMatch(/Date\.now|new Date\(\)|Math\.random|process\.|console\.|setTimeout/);
    });
  });
  if (code === 'template') continue;

  const of = (verb: Verb, sort: string) =>
    said.filter(({ conversation, result }) => conversation.verb === verb && sortOf(result.conclusion) === sort);
  const declared = VERBS.filter((verb) => supplier[verb] !== undefined);

  describe(`${code} shows each verb`, () => {
    for (const verb of declared) {
      test(`${verb}: a happy, a refused and a garbled conversation`, () => {
        const counts = ['happy', 'refused', 'garbled'].map((sort) => [sort, of(verb, sort).length > 0]);
        expect(counts).toEqual([
          ['happy', true],
          ['refused', true],
          ['garbled', true],
        ]);
      });
    }
    test('and holds no state: a second run says and sends the same', async () => {
      for (const { file, conversation, result } of said) {
        const again = await replay(supplier, conversation);
        const view = ({ conclusion, sent }: Replay) => JSON.stringify([conclusion, sent]);
        expect([file, view(again)]).toEqual([file, view(result)]);
      }
    });
    test('reads without buying', () => {
      for (const { file, conversation, result } of said) {
        const may_buy =
          conversation.verb === 'place' || (conversation.verb === 'lookup' && supplier.promises.lookup_by === 'resend');
        const bought = result.sent.filter(({ buys }) => buys).length;
        expect([file, bought <= (may_buy ? 1 : 0)]).toEqual([file, true]);
      }
    });
    test('marks the one request that can buy', () => {
      for (const one of of('place', 'happy')) expect([one.file, buyingIndex(one) >= 0]).toEqual([one.file, true]);
    });
  });

  describe(`${code} never calls an unknown purchase refused`, () => {
    const happy = of('place', 'happy');
    test('when the buying request fails on the wire', async () => {
      for (const one of happy) {
        const at = buyingIndex(one);
        for (const [failure, outcome] of [
          ['timeout', 'unknown'],
          ['reset', 'unknown'],
          ['too_large', 'unknown'],
          ['redirect', 'unknown'],
          ['refused', 'refused'],
          ['dns', 'refused'],
          ['tls', 'refused'],
        ] as const) {
          const found = await outcomeAfter(supplier, one, at, { failure });
          expect([one.file, failure, found.outcome]).toEqual([one.file, failure, outcome]);
          if (found.outcome === 'refused') expect(found.reason).toBe('not_sent');
        }
      }
    });
    test('when another request of the verb fails', async () => {
      for (const one of happy) {
        const at = buyingIndex(one);
        for (let other = 0; other < one.conversation.exchanges.length; other++) {
          if (other === at) continue;
          const found = await outcomeAfter(supplier, one, other, { failure: 'refused' });
          // Before the buying request it proves that nothing was bought, after it it proves nothing.
          if (other < at)
            expect([one.file, found]).toEqual([one.file, expect.objectContaining({ reason: 'not_sent' })]);
          else expect([one.file, other, found.outcome]).not.toEqual([one.file, other, 'refused']);
        }
      }
    });
    test('when the answer cannot be read', async () => {
      for (const one of happy) {
        const at = buyingIndex(one);
        const replies = { ...GARBAGE, ...damaged(one.conversation.exchanges[at]?.response ?? {}) };
        for (const [what, response] of Object.entries(replies)) {
          const found = await outcomeAfter(supplier, one, at, response);
          expect([one.file, what, found.outcome]).toEqual([one.file, what, 'unknown']);
          expect(DOUBTS).toContain((found as { doubt: string }).doubt);
        }
      }
    });
    test('when the answer holds a status word that no table holds', async () => {
      for (const one of happy) {
        const at = buyingIndex(one);
        const body = bodyOf(one.conversation.exchanges[at]?.response ?? null);
        for (const { path } of leaves(body).filter(({ text }) => Object.hasOwn(supplier.statuses, text))) {
          const response = {
            ...one.conversation.exchanges[at]!.response,
            body: withLeaf(body, path, 'never_seen_word'),
          };
          const found = await outcomeAfter(supplier, one, at, response);
          expect([one.file, path, found.outcome]).not.toEqual([one.file, path, 'refused']);
        }
      }
    });
    test('when the answer holds an error code that no table holds', async () => {
      for (const one of of('place', 'refused')) {
        const at = buyingIndex(one);
        const body = bodyOf(one.conversation.exchanges[at]?.response ?? null);
        const codes = leaves(body).filter(
          ({ text }) => Object.hasOwn(supplier.refusals, text) || Object.hasOwn(supplier.statuses, text),
        );
        if (at < 0 || codes.length === 0) continue;
        const outcomes: string[] = [];
        for (const { path } of codes) {
          const response = { ...one.conversation.exchanges[at]!.response, body: withLeaf(body, path, '987654') };
          outcomes.push((await outcomeAfter(supplier, one, at, response)).outcome);
        }
        expect([one.file, outcomes]).toEqual([one.file, expect.arrayContaining(['unknown'])]);
      }
    });
  });

  describe(`${code} learns nothing from a question that failed`, () => {
    test('a lookup without an answer is unknown: not refused, not absent', async () => {
      for (const one of of('lookup', 'happy')) {
        const first = one.conversation.exchanges.length - 1;
        const replies = { ...GARBAGE, ...damaged(one.conversation.exchanges[first]?.response ?? {}) };
        for (const [what, response] of [
          ...Object.entries(replies),
          ...['timeout', 'reset', 'refused', 'dns'].map((failure) => [failure, { failure }] as const),
        ]) {
          // Codes that are fetched in a second request may be missing; then the purchase is at least not lost.
          const found = await outcomeAfter(supplier, one, first, response);
          const allowed = first === 0 ? ['unknown'] : ['unknown', 'accepted'];
          expect([one.file, what, allowed.includes(found.outcome)]).toEqual([one.file, what, true]);
        }
      }
    });
    test('offers and balance are never made up', async () => {
      for (const one of [...of('listOffers', 'happy'), ...of('readBalance', 'happy')]) {
        const last = one.conversation.exchanges.length - 1;
        for (const what of ['an empty body', 'null', 'a page', 'a bad gateway', 'a word']) {
          const conclusion = await conclude(supplier, withResponse(one.conversation, last, GARBAGE[what]!));
          expect([one.file, what, 'failed' in conclusion]).toEqual([one.file, what, true]);
        }
      }
    });
  });

  describe(`${code} keeps what it declares`, () => {
    test('a reference of full length goes out whole', async () => {
      const [one] = of('place', 'happy');
      const reference = longestReference(supplier);
      const conversation = { ...one!.conversation, input: { ...one!.conversation.input, reference } };
      expect(purchaseOf(conversation, supplier).reference).toBe(reference);
      const { sent } = await replay(supplier, conversation);
      const text = sent.map(({ absolute_url, body }) => `${absolute_url}\n${body ?? ''}`).join('\n');
      expect(decodeURIComponent(text.replace(/%(?![0-9a-fA-F]{2})/g, '%25'))).toContain(reference);
    });
    test('no credential and no code stands in anything it says', async () => {
      for (const { file, conversation, result } of said) {
        const conclusions = [result.conclusion];
        for (const [at, { response }] of conversation.exchanges.entries()) {
          const broken = Object.values(damaged(response ?? {}));
          // Whole, with a tail that spoils it: all its content is there to be quoted.
          broken.push({ ...response, body: `${broken[1]!.body}}` });
          for (const one of broken) conclusions.push(await conclude(supplier, withResponse(conversation, at, one)));
        }
        const secrets = [...Object.values(conversation.credentials), ...codesIn(result.conclusion)].filter(
          (text) => text.length >= SECRET_LENGTH,
        );
        const spoken = JSON.stringify([conclusions, result.differences]);
        for (const secret of secrets)
          expect([file, spoken.includes(JSON.stringify(secret).slice(1, -1))]).toEqual([file, false]);
      }
    });
    if (supplier.readCallback) {
      test('a callback is trusted no further than promised, and a changed or strange one is not', async () => {
        for (const one of said.filter(({ conversation }) => conversation.verb === 'readCallback')) {
          const { callback } = one.result.conclusion as { callback: Callback | OfferNotice | NotTheirs };
          if ('rejected' in callback) continue;
          // A message may deserve less trust than the protocol promises: what it holds may be outside the signature.
          if (!('products' in callback) && callback.trust !== 'hint') {
            expect([one.file, callback.trust]).toEqual([one.file, supplier.promises.callback_trust]);
          }
          for (const strange of strangers(one.conversation, 'products' in callback ? null : callback.reference)) {
            const changed = ((await conclude(supplier, strange)) as { callback: Callback | OfferNotice | NotTheirs })
              .callback;
            const is_trusted = 'products' in changed || ('trust' in changed && changed.trust === 'authenticated');
            expect([one.file, is_trusted]).toEqual([one.file, false]);
          }
        }
      });
      test('a message of anybody is answered, not thrown at', async () => {
        const [one] = of('readCallback', 'happy');
        for (const body of ['', '{', 'null', '[]', '{}', 'a=%zz', '<x/>', '\u0000', '{"sign":{}}']) {
          for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain']) {
            const input = {
              ...one!.conversation.input,
              headers: { 'content-type': type },
              body,
              query: undefined,
              url: '/callbacks/x',
            };
            const { callback } = (await conclude(supplier, { ...one!.conversation, input })) as {
              callback: Callback | OfferNotice | NotTheirs;
            };
            expect([body, type, 'trust' in callback && callback.trust === 'authenticated']).toEqual([
              body,
              type,
              false,
            ]);
          }
        }
      });
    }
  });
}

function longestReference({ promises: { reference_format } }: Supplier): string {
  const { alphabet, max_length, prefix = '' } = reference_format;
  if (alphabet === 'uuid') return 'a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d';
  const marks = { digits: '1234567890', alphanumeric: 'A1b2C3d4E5', alphanumeric_dash: 'A1b2-C3d4E' }[alphabet];
  return (prefix + marks.repeat(Math.ceil(max_length / 10))).slice(0, max_length);
}

function codesIn(conclusion: Conclusion): string[] {
  const found =
    'callback' in conclusion
      ? !('outcome' in conclusion.callback)
        ? null
        : conclusion.callback.outcome
      : foundIn(conclusion);
  const codes = found && 'codes' in found ? (found.codes ?? []) : [];
  return codes.flatMap(({ number, pin, serial, link }) =>
    [number, pin, serial, link].flatMap((part) => (part ? [part.reveal()] : [])),
  );
}

/** The same message for another account, about another reference, and without what it was signed with. */
function strangers(conversation: Conversation, reference: string | null): Conversation[] {
  const { input, credentials } = conversation;
  const other_keys = Object.fromEntries(
    Object.keys(credentials).map((name) => [name, `another-${name}-0123456789abcdef`]),
  );
  const made: Conversation[] = [{ ...conversation, credentials: other_keys }];
  if (reference !== null) {
    const text = compactJson(input);
    const changed = text.replaceAll(reference, `${reference.slice(0, -1)}${reference.endsWith('9') ? '8' : '9'}`);
    made.push({ ...conversation, input: parseJson(changed) as Conversation['input'] });
  }
  return made;
}
