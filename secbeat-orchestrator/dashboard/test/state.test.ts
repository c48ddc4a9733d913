import { expect, test } from 'vitest';
import type { Change, Overview } from '../src/api/types';
import { KEPT, START, alarmEvent, eventOf, reduce, type Live } from '../src/live/state';

const AT = '2026-11-29T14:05:09.123Z';
const unban: Change = { at: AT, kind: 'unban', command_id: 'c', target: '203.0.113.7/32', actor: 'alice' };
const event = (id: number) => eventOf(String(id), unban);

const after = (...actions: Parameters<typeof reduce>[1][]): Live => actions.reduce(reduce, START);

test('what is shown stays when the connection is lost, with the time of its last sign', () => {
  const overview = { at: 'then' } as Overview;
  const live = after({ type: 'open', atMs: 1 }, { type: 'overview', atMs: 2, overview }, { type: 'lost' });
  expect(live).toMatchObject({ connection: 'lost', lastSeenMs: 2, overview });
  expect(reduce(live, { type: 'lost' })).toBe(live);
  const refused = reduce(live, { type: 'lost', why: 'too many clients' });
  expect(refused.why).toBe('too many clients');
  expect(reduce(refused, { type: 'open', atMs: 3 }).why).toBeUndefined();
});

test('pages ask again once the connection is back, and after each event', () => {
  const lost = after({ type: 'open', atMs: 1 }, { type: 'lost' });
  const back = reduce(lost, { type: 'open', atMs: 9 });
  expect(back.connection).toBe('live');
  expect(back.version).toBeGreaterThan(lost.version);
  expect(reduce(back, { type: 'event', atMs: 10, event: event(1) }).version).toBeGreaterThan(back.version);
});

test('an event that comes twice is there once, and the number of events is bounded', () => {
  const once = after({ type: 'event', atMs: 1, event: event(1) });
  const twice = reduce(once, { type: 'event', atMs: 2, event: event(1) });
  expect(twice.events).toEqual(once.events);
  expect(twice.version).toBe(once.version);
  const many = Array.from({ length: KEPT + 5 }, (_, id) => ({ type: 'event', atMs: id, event: event(id) }) as const);
  const live = after(...many);
  expect(live.events).toHaveLength(KEPT);
  expect(live.events[0]?.id).toBe(String(KEPT + 4));
});

test('events that were missed for good are told of', () => {
  expect(after({ type: 'open', atMs: 1 }).missed).toBe(false);
  expect(after({ type: 'reset', atMs: 1 }).missed).toBe(true);
});

test('events are told in words, and lead to their client', () => {
  const finding: Change = { at: AT, kind: 'finding', target: '203.0.113.7/32', rule: 'error-flood', count: 50, window_ms: 60_000, suppressed: 'it is allowlisted' };
  expect(eventOf('1', finding)).toMatchObject({ target: '203.0.113.7/32', text: 'error-flood: 50 in 60 s; nobody is banned: it is allowlisted' });
  expect(eventOf('2', unban)).toMatchObject({ text: 'by alice' });
  expect(eventOf('2', { ...unban, note: 'our own crawler' })).toMatchObject({ tone: 'ok', text: 'by alice: our own crawler' });
  expect(eventOf('2', { at: AT, kind: 'edge-down', edge_id: 'web-1' })).toMatchObject({ target: undefined, about: 'web-1', tone: 'bad' });
  const alarm = { at: AT, alert: 'drift', about: 'web-1', what: 'it has other bans', is_raised: false };
  expect(alarmEvent('3', alarm)).toMatchObject({ kind: 'alarm over', tone: 'ok', about: 'web-1' });
});
