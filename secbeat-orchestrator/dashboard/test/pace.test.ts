import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { gather, pace, turns } from '../src/lib/pace';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a flood of changes asks the daemon once a second, and the last of them is not lost', () => {
  const asked: number[] = [];
  const { ask } = pace(() => asked.push(Date.now() - began), () => false, 1000);
  const began = Date.now();
  for (let n = 0; n < 150; n += 1) {
    ask();
    vi.advanceTimersByTime(20);
  }
  vi.advanceTimersByTime(10_000);
  expect(asked).toEqual([0, 1000, 2000, 3000]);
});

test('a slow answer is waited for, however much changes meanwhile', () => {
  let isBusy = true;
  let asked = 0;
  const { ask, stop } = pace(() => (asked += 1), () => isBusy, 1000);
  for (let n = 0; n < 300; n += 1) {
    ask();
    vi.advanceTimersByTime(20);
  }
  expect(asked).toBe(0);
  isBusy = false;
  vi.advanceTimersByTime(1000);
  expect(asked).toBe(1);
  ask();
  stop();
  vi.advanceTimersByTime(10_000);
  expect(asked).toBe(1);
});

test('what changes while the answer is on its way is asked for after it', () => {
  let isBusy = false;
  let asked = 0;
  const { ask } = pace(
    () => {
      asked += 1;
      isBusy = true;
    },
    () => isBusy,
    1000,
  );
  ask();
  vi.advanceTimersByTime(0);
  expect(asked).toBe(1);
  // Nothing changes after this, and the page is hidden for an hour.
  ask();
  vi.advanceTimersByTime(3_600_000);
  expect(asked).toBe(1);
  isBusy = false;
  vi.advanceTimersByTime(1000);
  expect(asked).toBe(2);
  isBusy = false;
  vi.advanceTimersByTime(10_000);
  expect(asked).toBe(2);
});

test('what comes within a moment is handed over together, and nothing after the end', () => {
  const told: number[][] = [];
  const gathered = gather<number>((all) => told.push([...all]), 50);
  [1, 2].forEach(gathered.add);
  vi.advanceTimersByTime(49);
  expect(told).toEqual([]);
  gathered.add(3);
  vi.advanceTimersByTime(1);
  expect(told).toEqual([[1, 2, 3]]);
  vi.advanceTimersByTime(1_000);
  gathered.add(4);
  vi.advanceTimersByTime(50);
  expect(told).toEqual([[1, 2, 3], [4]]);
  gathered.add(5);
  gathered.stop();
  vi.advanceTimersByTime(1_000);
  expect(told).toHaveLength(2);
});

test('an answer is taken only while it is of what the form still asks', () => {
  const { begin, drop } = turns();
  const first = begin();
  expect(first()).toBe(true);
  const second = begin();
  expect([first(), second()]).toEqual([false, true]);
  drop();
  expect([first(), second()]).toEqual([false, false]);
  expect(begin()()).toBe(true);
});
