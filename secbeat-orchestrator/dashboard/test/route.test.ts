import { expect, test } from 'vitest';
import { address, problem } from '../src/api/client';
import { clientPath, fromSearch, parse, toSearch } from '../src/lib/route';

test('addresses of the browser lead to pages, and back', () => {
  expect(parse('/', '').page).toBe('now');
  expect(parse('/bans/', '?reason=manual')).toMatchObject({ page: 'bans' });
  expect(parse('/nothing/here', '').page).toBe('unknown');
  for (const client of ['203.0.113.7', '2001:db8::7', 'a/b?c#d', '<script>']) {
    expect(parse(clientPath(client), '')).toMatchObject({ page: 'client', client });
  }
  expect(parse('/client/%E0%A4%A', '')).toMatchObject({ page: 'client', client: '%E0%A4%A' });
  expect(clientPath('2001:db8::7')).toBe('/client/2001:db8::7');
});

test('filters stand in the address, without those that are as usual', () => {
  const empty = { reason: '', within: '', sort: '-issued' };
  const filters = { ...empty, within: '10.0.0.0/8', reason: 'a&b' };
  const search = toSearch(filters, empty);
  expect(search).toBe('?reason=a%26b&within=10.0.0.0%2F8');
  expect(fromSearch(new URLSearchParams(search), empty)).toEqual(filters);
  expect(fromSearch(new URLSearchParams('other=1'), empty)).toEqual(empty);
  expect(toSearch(empty, empty)).toBe('');
});

test('requests leave out what is empty and escape the rest', () => {
  expect(address('/api/v1/sources/{address}', { address: '2001:db8::7' })).toBe('/api/v1/sources/2001%3Adb8%3A%3A7');
  expect(address('/api/v1/bans', {}, { within: '', limit: 5, after: undefined })).toBe('/api/v1/bans?limit=5');
});

test('errors are what the daemon says, or that something else answered', () => {
  const told = problem(409, '{"title":"Conflict","status":409,"detail":"it is allowlisted","code":"allowlisted"}');
  expect(told).toMatchObject({ status: 409, code: 'allowlisted', message: 'it is allowlisted' });
  expect(problem(502, '<html>').message).toContain('502');
});
