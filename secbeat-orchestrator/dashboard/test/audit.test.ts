import { expect, test } from 'vitest';
import type { Audited } from '../src/api/types';
import { told } from '../src/pages/audit';

const AT = { at: '2026-11-29T10:00:00Z', at_ms: 0, actor: 'alice' };

test('the audit says why a ban was lifted, where somebody did', () => {
  const lifted = { ...AT, kind: 'unban', target: '203.0.113.7/32', command_id: 'c', strikes: 0 } satisfies Audited;
  expect(told(lifted)).toBe('');
  expect(told({ ...lifted, note: 'our own crawler' })).toBe('our own crawler');
  const counts = { new: 2, longer: 0, unchanged: 1, left_out: 0, complete: true };
  const list = { ...AT, kind: 'list', id: '7', what: 'unban', format: 'api', ...counts } satisfies Audited;
  expect(told(list)).toBe('7 (api): 2 new, 0 longer, 1 unchanged, 0 left out');
  expect(told({ ...list, note: 'a mistaken list' })).toBe('7 (api): 2 new, 0 longer, 1 unchanged, 0 left out: a mistaken list');
});
