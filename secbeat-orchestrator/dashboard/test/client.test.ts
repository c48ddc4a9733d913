import { expect, test } from 'vitest';
import type { Propagation, Source } from '../src/api/types';
import { steps } from '../src/pages/client';

test('a timeline has the whole time of what it says, and each kernel where it belongs', () => {
  const events = { at: '2026-11-29T23:59:58.000Z', until: '2026-11-30T00:00:01.500Z', kind: 'events', text: '3 events until 00:00:01.500Z: 404 ×3' };
  const ban = { at: '2026-11-30T00:00:02.000Z', kind: 'ban', text: 'banned' };
  const written = { at: '2026-11-30T00:00:02.100Z', kind: 'written', text: 'the store had the ban' };
  const source = { timeline: [events, ban, written], history: [{ command_id: 'c' }] } as unknown as Source;
  const commands = [
    { command_id: 'c', issued_at: ban.at, enforced: [{ edge_id: 'web-1', after_ms: 16 }] },
    { command_id: 'of another client', issued_at: ban.at, enforced: [{ edge_id: 'web-1', after_ms: 1 }] },
  ];
  const told = steps(source, { commands } as unknown as Propagation);
  expect(told.map(({ kind }) => kind)).toEqual(['events', 'ban', 'enforced', 'written']);
  expect(told[0]?.text).toBe('3 events until 2026-11-30T00:00:01.500Z: 404 ×3');
  expect(told[2]).toMatchObject({ at: '2026-11-30T00:00:02.016Z', text: 'the kernel of web-1 had the ban, 16 ms after the decision' });
});
