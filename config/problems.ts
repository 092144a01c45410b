// What is wrong with what an operator wrote, all of it at once: the words for it, and how it is printed.

export type ProblemKind = 'missing' | 'invalid' | 'unknown' | 'insecure';
const KINDS: readonly ProblemKind[] = ['missing', 'invalid', 'unknown', 'insecure'];

export interface ConfigProblem {
  kind: ProblemKind;
  /** The setting, or the path of the field in a catalog file. */
  name: string;
  /** What is wrong, as the rest of a sentence. Never holds a secret's value. */
  wrong: string;
  /** Where it was written: `env KAMIGATE_PORT`, `kamigate.yaml:3`. */
  origin: string;
  /** What to do, as an instruction. */
  fix: string;
}

/** Everything that is wrong, grouped by kind. The message is ready to print. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], file: string) {
    const sorted = KINDS.flatMap((kind) => problems.filter((problem) => problem.kind === kind));
    super(printProblems(sorted, file));
    this.name = 'ConfigError';
    this.problems = sorted;
  }
}

function printProblems(problems: readonly ConfigProblem[], file: string): string {
  const lines = [`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'} in the configuration (${file})`];
  for (const kind of KINDS) {
    const of_kind = problems.filter((problem) => problem.kind === kind);
    if (of_kind.length > 0) lines.push('', `${kind}:`);
    for (const { name, wrong, origin, fix } of of_kind)
      lines.push(`  ${name}: ${wrong} [${origin}]`, `      fix: ${fix}`);
  }
  return lines.join('\n');
}
