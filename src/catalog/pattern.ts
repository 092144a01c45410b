// Patterns for recipients' accounts, in the part of regular-expression language that can be matched in linear time.
// An operator's pattern runs on a stranger's text, and JavaScript's own matcher backtracks: `(a+)+$` on thirty
// characters would stop the process. This one walks all possibilities at once (Thompson, 1968), so that a match costs
// at most text length × pattern size. What it takes means the same in JavaScript with the `u` flag, wholly anchored.

/** Whether the whole text fits. */
export type Pattern = (text: string) => boolean;

/** States a pattern may have once its counted repeats are written out. */
const STATES_MAX = 2_000;
const DEPTH_MAX = 20;

/** One state: take a character it fits and go on, or (without `fits`) go on at once. */
interface State {
  fits: ((character: string) => boolean) | null;
  next: number[];
}
type Node =
  | { is: 'character'; fits: (character: string) => boolean }
  | { is: 'sequence' | 'choice'; parts: Node[] }
  | { is: 'repeat'; part: Node; min: number; max: number };

/**
 * Compiles a pattern: literals, `.`, `\d \D \w \W \s \S`, `[…]`, `(…)`, `(?:…)`, `|`, `? * + {n} {n,} {n,m}`, and `^` and `$`
 * at its ends, which change nothing. Throws an `Error` that says what it cannot take.
 */
export function compilePattern(pattern: string): Pattern {
  const node = new Parser(pattern).parse();
  const states: State[] = [];
  const end = addState(states, null, []);
  const start = build(states, node, end);
  return (text) => run(states, start, end, text);
}

/** What is wrong with a pattern, or null. */
export function patternFault(pattern: string): string | null {
  try {
    compilePattern(pattern);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function run(states: readonly State[], start: number, end: number, text: string): boolean {
  let current = new Set<number>();
  enter(states, start, current);
  for (const character of text) {
    const following = new Set<number>();
    for (const at of current) {
      const { fits, next } = states[at]!;
      if (fits?.(character)) for (const step of next) enter(states, step, following);
    }
    if (following.size === 0) return false;
    current = following;
  }
  return current.has(end);
}

/** Adds a state and all that follow it without a character. */
function enter(states: readonly State[], start: number, into: Set<number>): void {
  const open = [start];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (into.has(at)) continue;
    into.add(at);
    const { fits, next } = states[at]!;
    if (!fits) open.push(...next);
  }
}

function addState(states: State[], fits: State['fits'], next: number[]): number {
  if (states.length >= STATES_MAX) throw new Error('is too large: its repeats multiply to too many steps');
  return states.push({ fits, next }) - 1;
}

/** Adds the states of `node` in front of `after` and returns its first. */
function build(states: State[], node: Node, after: number): number {
  switch (node.is) {
    case 'character':
      return addState(states, node.fits, [after]);
    case 'sequence':
      return node.parts.reduceRight((next, part) => build(states, part, next), after);
    case 'choice':
      return addState(
        states,
        null,
        node.parts.map((part) => build(states, part, after)),
      );
    case 'repeat':
      return buildRepeat(states, node, after);
  }
}

function buildRepeat(states: State[], { part, min, max }: Node & { is: 'repeat' }, after: number): number {
  let next = after;
  if (max === Number.POSITIVE_INFINITY) {
    const loop = addState(states, null, [after]);
    states[loop]!.next.push(build(states, part, loop));
    next = loop;
  } else {
    for (let optional = min; optional < max; optional++)
      next = addState(states, null, [build(states, part, next), after]);
  }
  for (let required = 0; required < min; required++) next = build(states, part, next);
  return next;
}

class Parser {
  #at = 0;
  readonly #characters: string[];

  constructor(pattern: string) {
    this.#characters = [...pattern];
  }

  parse(): Node {
    if (this.#peek() === '^') this.#at++;
    if (this.#characters.at(-1) === '$' && !this.#endIsEscaped()) this.#characters.pop();
    const node = this.#choice(0);
    if (this.#at < this.#characters.length) throw new Error('has a ) without its (');
    return node;
  }

  #endIsEscaped(): boolean {
    let slashes = 0;
    for (let at = this.#characters.length - 2; at >= 0 && this.#characters[at] === '\\'; at--) slashes++;
    return slashes % 2 === 1;
  }

  #choice(depth: number): Node {
    if (depth > DEPTH_MAX) throw new Error(`has groups more than ${DEPTH_MAX} deep`);
    const parts = [this.#sequence(depth)];
    while (this.#peek() === '|') {
      this.#at++;
      parts.push(this.#sequence(depth));
    }
    // `^a|b$` would anchor only one branch each in JavaScript; the meaning here is always the whole text.
    return parts.length === 1 ? parts[0]! : { is: 'choice', parts };
  }

  #sequence(depth: number): Node {
    const parts: Node[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      parts.push(this.#repeated(this.#atom(depth)));
    }
    return { is: 'sequence', parts };
  }

  #atom(depth: number): Node {
    const character = this.#take();
    if (character === '(') return this.#group(depth);
    if (character === '[') return { is: 'character', fits: classOf(this.#classSource()) };
    if (character === '\\') return { is: 'character', fits: classOf(escapeSource(this.#peek() && this.#take())) };
    if (character === '.') return { is: 'character', fits: classOf('.') };
    if ('^$'.includes(character)) throw new Error(`has ${character} in its middle; the whole text is matched anyway`);
    if ('?*+{}]'.includes(character))
      throw new Error(`has ${character} where nothing precedes it; write \\${character}`);
    return { is: 'character', fits: (other) => other === character };
  }

  #group(depth: number): Node {
    if (this.#peek() === '?') {
      this.#at++;
      if (this.#peek() !== ':') throw new Error('has a group with (?…; only (?:…) is taken: no look-around, no names');
      this.#at++;
    }
    const node = this.#choice(depth + 1);
    if (this.#peek() !== ')') throw new Error('has a ( without its )');
    this.#at++;
    return node;
  }

  #classSource(): string {
    let source = '[';
    for (let character = this.#peek(); character !== undefined; character = this.#peek()) {
      source += this.#take();
      if (character === ']') return source;
      if (character === '\\' && this.#peek() !== undefined) source += this.#take();
    }
    throw new Error('has a [ without its ]');
  }

  #repeated(part: Node): Node {
    const counts = this.#counts();
    if (!counts) return part;
    const [min, max] = counts;
    if (max < min) throw new Error(`has the repeat {${min},${max}}, whose numbers are the wrong way round`);
    const again = this.#peek();
    if (again !== undefined && '?*+{'.includes(again))
      throw new Error('has two repeats in a row; lazy ones are not taken');
    return { is: 'repeat', part, min, max };
  }

  #counts(): [number, number] | null {
    const sign = this.#peek();
    const simple = { '?': [0, 1], '*': [0, Number.POSITIVE_INFINITY], '+': [1, Number.POSITIVE_INFINITY] } as const;
    if (sign === '?' || sign === '*' || sign === '+') {
      this.#at++;
      return [...simple[sign]];
    }
    if (sign !== '{') return null;
    const rest = this.#characters.slice(this.#at, this.#at + COUNTS_LENGTH_MAX).join('');
    const found = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(rest);
    if (!found) throw new Error('has a { that is not {n}, {n,} or {n,m}; write \\{');
    this.#at += found[0].length;
    const min = Number(found[1]);
    if (found[3] !== undefined) return [min, Number(found[3])];
    return [min, found[2] ? Number.POSITIVE_INFINITY : min];
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(): string {
    return this.#characters[this.#at++]!;
  }
}

/** `{1234,1234}` */
const COUNTS_LENGTH_MAX = 11;

function escapeSource(character: string | undefined): string {
  if (character === undefined) throw new Error('ends in a single \\');
  if (/[dDwWsS]/.test(character) || /[\^$\\.*+?()[\]{}|/]/.test(character)) return `\\${character}`;
  throw new Error(`has \\${character}, which is not taken; a class […] holds any character`);
}

/** A class is JavaScript's own, tried on one character at a time: there is nothing to backtrack over. */
function classOf(source: string): (character: string) => boolean {
  let expression: RegExp;
  try {
    expression = new RegExp(`^${source}$`, 'u');
  } catch {
    throw new Error(`has the class ${source}, which JavaScript does not take`);
  }
  return (character) => expression.test(character);
}
