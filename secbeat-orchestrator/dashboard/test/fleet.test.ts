import { expect, test } from 'vitest';
import type { Edge } from '../src/api/types';
import { matches, problems } from '../src/pages/fleet';

const edge = (record: object, more: object = {}) =>
  ({
    edge_id: 'web-1',
    state: 'up',
    clock_ahead_ms: 0,
    ...more,
    record: { interfaces: [], bans: { unwritten: 0, synced: true }, labels: { site: 'eu' }, ...record },
  }) as unknown as Edge;

test('whatever raises an alarm of an edge is told of beside it', () => {
  const cases: [Edge, string][] = [
    [edge({ interfaces: [{ name: 'eth0', unprotected: 'detached' }] }), 'detached'],
    [edge({ bans: { unwritten: 2, synced: true } }), '2 bans'],
    [edge({ bans: { unwritten: 0, synced: false } }), 'all bans'],
    [edge({ logs: [{ name: 'access.log', trouble: 'no such file' }] }), 'no such file'],
    [edge({ feeds: [{ name: 'drop', trouble: 'no room' }] }), 'no room'],
    [edge({}, { cannot_read: ['Command'] }), 'Command'],
    [edge({}, { drifting_since: '2026-11-20T10:00:00.000Z' }), 'ledger'],
    [edge({}, { clock_ahead_ms: -1000 }), 'clock'],
    [edge({}, { signatures: 'differs' }), 'signatures'],
    [edge({}, { state: 'down' }), ''],
    [edge({}, { state: 'stopped' }), 'stopped'],
  ];
  for (const [of, part] of cases) {
    const told = problems(of);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(part);
    expect(matches(of, { text: 'site=eu', state: 'wrong' })).toBe(true);
  }
  expect(problems(edge({}))).toEqual([]);
  expect(matches(edge({}), { text: '', state: 'wrong' })).toBe(false);
});
