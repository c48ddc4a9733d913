/** Events as numbers per hour. */

/** How many of `timesMs` (milliseconds since the Unix epoch) are in each of the `hours` hours up to `hour`, counted from the epoch. */
export function perHour(timesMs: readonly number[], hour: number, hours: number): { at: number[]; values: number[] } {
  const first = hour - hours + 1;
  const at = Array.from({ length: hours }, (_, index) => (first + index) * 3600);
  const values = new Array<number>(hours).fill(0);
  for (const ms of timesMs) {
    const index = Math.floor(ms / 3_600_000) - first;
    if (index >= 0 && index < hours) {
      values[index] = (values[index] ?? 0) + 1;
    }
  }
  return { at, values };
}
