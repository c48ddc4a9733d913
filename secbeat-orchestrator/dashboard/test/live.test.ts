import { afterEach, expect, test, vi } from 'vitest';
import { ApiError, call } from '../src/api/client';
import type { Overview } from '../src/api/types';
import { failed } from '../src/lib/load';
import { Hub } from '../src/live/shared';
import type { Told } from '../src/live/stream';

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('all pages of a browser share one stream, which ends with the last of them', () => {
  const streams: ((told: Told) => void)[] = [];
  let ended = 0;
  const hub = new Hub((tell) => {
    streams.push(tell);
    return () => (ended += 1);
  });
  const pages = Array.from({ length: 10 }, () => {
    const told: Told[] = [];
    return { told, postMessage: (what: Told) => void told.push(what) };
  });
  const [first, second] = pages as [(typeof pages)[0], (typeof pages)[0]];
  hub.heard(first, 'here');
  streams[0]?.({ type: 'open', atMs: 1 });
  const overview = { at: 'now' } as Overview;
  streams[0]?.({ type: 'overview', atMs: 2, overview });
  pages.forEach((page) => hub.heard(page, 'here'));
  expect(second.told).toEqual([{ type: 'overview', atMs: 2, overview }]);
  streams[0]?.({ type: 'lost', why: 'too many clients' });
  for (const page of pages) {
    expect(page.told.at(-1)).toEqual({ type: 'lost', why: 'too many clients' });
  }
  pages.slice(1).forEach((page) => hub.heard(page, 'gone'));
  expect([streams.length, ended]).toEqual([1, 0]);
  hub.heard(first, 'gone');
  hub.heard(first, 'gone');
  expect(ended).toBe(1);
  hub.heard(second, 'here');
  expect(streams).toHaveLength(2);
  streams[1]?.({ type: 'open', atMs: 3 });
  expect([first.told.at(-1)?.type, second.told.at(-1)?.type]).toEqual(['lost', 'open']);
});

test('a request that nobody answers ends with a reason, and one that is not wanted any more without', async () => {
  vi.useFakeTimers();
  const never = (_: string, { signal }: RequestInit) =>
    new Promise<Response>((_, reject) => signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError'))));
  vi.stubGlobal('fetch', never);
  const late = expect(call('get', '/api/v1/rules', { timeoutMs: 7_000 })).rejects.toMatchObject({ status: 0, code: 'timeout', message: /within 7 s/ });
  await vi.advanceTimersByTimeAsync(7_000);
  await late;
  const control = new AbortController();
  const stopped = expect(call('get', '/api/v1/rules', { signal: control.signal })).rejects.toMatchObject({ name: 'AbortError' });
  control.abort();
  await stopped;
});

test('an error takes away what answered another question, and leaves what answered this one', () => {
  const error = new ApiError(400, 'bad_request', 'within: not a network');
  const held = { key: 'all', data: [1, 2], loading: true };
  expect(failed(held, '10.0.3', error)).toEqual({ key: '10.0.3', error, loading: false });
  expect(failed(held, 'all', error)).toEqual({ key: 'all', data: [1, 2], error, loading: false });
});
