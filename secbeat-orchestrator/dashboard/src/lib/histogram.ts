/** How times spread. */

/** Upper bounds of the buckets, milliseconds; the last bucket has none. */
export const BOUNDS = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000] as const;

export interface Bucket {
  /** As "≤ 5 ms" or "> 5 s". */
  name: string;
  count: number;
}

/** Counts `times`, in milliseconds; the empty buckets at both ends are left out. */
export function histogram(times: readonly number[]): Bucket[] {
  const counts = new Array<number>(BOUNDS.length + 1).fill(0);
  for (const time of times) {
    const found = BOUNDS.findIndex((bound) => time <= bound);
    const index = found === -1 ? BOUNDS.length : found;
    counts[index] = (counts[index] ?? 0) + 1;
  }
  const buckets = counts.map((count, index) => ({ name: nameOf(index), count }));
  const first = buckets.findIndex((bucket) => bucket.count > 0);
  const last = buckets.findLastIndex((bucket) => bucket.count > 0);
  return first === -1 ? [] : buckets.slice(first, last + 1);
}

function nameOf(index: number): string {
  const bound = BOUNDS[index];
  const text = (ms: number) => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);
  return bound === undefined ? `> ${text(BOUNDS[BOUNDS.length - 1] ?? 0)}` : `≤ ${text(bound)}`;
}
