// What every drill returns, and how it is printed.

export interface DrillReport {
  name: string;
  /** What was measured, in the order it is worth reading. */
  figures: Record<string, number | string>;
  /** One sentence for each broken promise; none is a pass. */
  violations: string[];
}

export function printReport({ name, figures, violations }: DrillReport): string {
  const lines = Object.entries(figures).map(([figure, value]) => `  ${figure.padEnd(44)} ${value}`);
  const verdict =
    violations.length === 0 ? ['  no violation'] : violations.map((sentence) => `  VIOLATION: ${sentence}`);
  return [name, ...lines, ...verdict].join('\n');
}

/** Seconds between two `process.hrtime.bigint()`, for rates. */
export function secondsSince(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1e9;
}

export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** A generator of numbers in [0, 1) that the same seed repeats (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
