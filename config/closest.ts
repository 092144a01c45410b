// "Did you mean": the nearest of the names that would have been right.

/** The candidate nearest to `word`, if it is near enough to be a slip of the hand; else null. */
export function closest(word: string, candidates: Iterable<string>): string | null {
  // A third of the word may be wrong: more and the suggestion is a guess at another word.
  let nearest_distance = Math.max(1, Math.floor(word.length / 3)) + 1;
  let nearest: string | null = null;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < nearest_distance) {
      nearest_distance = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before_last: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const is_same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (is_same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, before_last[j - 2]! + 1);
      row.push(cost);
    }
    before_last = last;
    last = row;
  }
  return last[b.length]!;
}
