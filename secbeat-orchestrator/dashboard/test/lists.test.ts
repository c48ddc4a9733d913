import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { NO_BAN_FILTERS, bansQuery, isFiltered } from '../src/lib/ban-filters';
import { csv, field, parse } from '../src/lib/csv';
import { histogram } from '../src/lib/histogram';
import { entries, fates, lines } from '../src/lib/lines';
import { textOf } from '../src/lib/log';
import { edits, isThreshold, verdict } from '../src/lib/tried';

test('pasted lists are read line by line', () => {
  const list = lines('# office\n203.0.113.7 # a comment\r\n\n  2001:db8::/48, x\n; old\n10.0.0.0/8;y');
  expect(list.map(({ number, target }) => [number, target])).toEqual([
    [2, '203.0.113.7'],
    [4, '2001:db8::/48'],
    [6, '10.0.0.0/8'],
  ]);
  expect(entries(list.slice(0, 1), '24h', 'n')).toEqual([{ target: '203.0.113.7', duration: '24h', note: 'n' }]);
  expect(entries(list.slice(0, 1), 'permanent', '')).toEqual([{ target: '203.0.113.7', permanent: true, note: '' }]);
});

test('nothing on a line is dropped silently', () => {
  const list = lines('192.0.2.1 192.0.2.2\n192.0.2.3, 2001:db8::/48\n192.0.2.4 - 192.0.2.9 # a range\n192.0.2.5 a scanner\n192.0.2.6;192.0.2.7\n192.0.2.8 ; SBL192\n');
  expect(list.map(({ number, target }) => [number, target])).toEqual([
    [1, '192.0.2.1'],
    [1, '192.0.2.2'],
    [2, '192.0.2.3'],
    [2, '2001:db8::/48'],
    [3, '192.0.2.4 - 192.0.2.9'],
    [4, '192.0.2.5'],
    [5, '192.0.2.6;192.0.2.7'],
    [6, '192.0.2.8'],
  ]);
});

test.each([
  ['192.0.2.0 255.255.255.0', 1],
  ['192.0.2.0, 255.255.240.0', 1],
  ['192.0.2.0 0.0.0.255', 1],
  ['192.0.2.0 192.0.2.255', 1],
  ['192.0.2.1 192.0.2.254', 2],
  ['192.0.2.0/24 198.51.100.255', 2],
  ['2001:db8::1 2001:db8::2', 2],
  ['192.0.2.1 192.0.2.255 192.0.2.3', 3],
])('%s, which may be a network, is not taken for clients', (line, count) => {
  const targets = lines(line).map(({ target }) => target);
  expect(targets.length === 1 ? targets : targets.length).toEqual(count === 1 ? [line] : count);
});

test.each([';', '\t'])('an export that a spreadsheet saved with %j keeps its ends', (separator) => {
  const list = lines(['target,expires_at,note', '192.0.2.1,2026-12-01T00:00:00Z,x', '192.0.2.2,never,'].join('\r\n').replaceAll(',', separator));
  expect(entries(list, '24h', 'mine')).toEqual([
    { target: '192.0.2.1', expires_at: '2026-12-01T00:00:00Z', note: 'x' },
    { target: '192.0.2.2', permanent: true, note: 'mine' },
  ]);
});

test('an export as CSV is read as it was written, with the ends that it names', () => {
  const text = 'target,expires_at,reason,layer,strikes,note\r\n203.0.113.7/32,2026-12-01T00:00:00Z,probe,l7,2,"\'=a ""b"",\nc"\r\n10.0.0.0/8,never,manual,kernel,0,\r\n192.0.2.1,,,,,\r\n';
  const list = lines(text);
  expect(list.map(({ number, target }) => [number, target])).toEqual([
    [2, '203.0.113.7/32'],
    [4, '10.0.0.0/8'],
    [5, '192.0.2.1'],
  ]);
  expect(entries(list, '24h', 'mine')).toEqual([
    { target: '203.0.113.7/32', expires_at: '2026-12-01T00:00:00Z', reason: 'probe', layer: 'l7', strikes: 2, note: '=a "b",\nc' },
    { target: '10.0.0.0/8', permanent: true, reason: 'manual', layer: 'kernel', strikes: 0, note: 'mine' },
    { target: '192.0.2.1', duration: '24h', note: 'mine' },
  ]);
  expect(parse(csv([{ a: 'x,"y"' }], [['a', (row) => row.a]]))).toEqual([
    { line: 1, fields: ['a'] },
    { line: 2, fields: ['x,"y"'] },
  ]);
});

test('a spreadsheet takes nothing for a formula', () => {
  expect(field('=cmd|x')).toBe("'=cmd|x");
  expect(field('-1.5')).toBe('-1.5');
  expect(field('a "b", c')).toBe('"a ""b"", c"');
  expect(csv([{ a: '1' }], [['a', (row) => row.a]])).toBe('a\r\n1\r\n');
});

test('times are counted by how long they took', () => {
  expect(histogram([])).toEqual([]);
  expect(histogram([3, 4, 5, 30, 9000])).toEqual([
    { name: '≤ 5 ms', count: 3 },
    { name: '≤ 10 ms', count: 0 },
    { name: '≤ 20 ms', count: 0 },
    { name: '≤ 50 ms', count: 1 },
    { name: '≤ 100 ms', count: 0 },
    { name: '≤ 200 ms', count: 0 },
    { name: '≤ 500 ms', count: 0 },
    { name: '≤ 1 s', count: 0 },
    { name: '≤ 5 s', count: 0 },
    { name: '> 5 s', count: 1 },
  ]);
});

test('only filters that are set are asked for, and the order is no filter', () => {
  expect(bansQuery(NO_BAN_FILTERS)).toEqual({ sort: '-issued' });
  const filters = { ...NO_BAN_FILTERS, text: 'drop list', after: 'x' };
  expect(bansQuery(filters)).toEqual({ sort: '-issued', text: 'drop list', after: 'x' });
  expect(isFiltered(filters)).toBe(true);
  expect(isFiltered({ ...NO_BAN_FILTERS, after: 'x', sort: 'target' })).toBe(false);
});

test.each(['20x', '1.000', '1,000', '0', '-1', '1e3', '9999999999'])('%s is no threshold', (threshold) => {
  expect(isThreshold(threshold)).toBe(false);
  expect(edits({ probe: { threshold } })).toEqual([]);
});

test('a log may be compressed, and is never longer than allowed', async () => {
  const log = 'GET /\u00e9\n'.repeat(1_000);
  const packed = new Blob([new Uint8Array(gzipSync(log))]);
  expect(await textOf(packed, 20_000)).toBe(log);
  expect(await textOf(new Blob([log]), 20_000)).toBe(log);
  await expect(textOf(packed, 1_000)).rejects.toThrow('once it is unpacked');
});

test('only what a reader typed is different about a rule', () => {
  expect(isThreshold(' 20 ') && isThreshold('')).toBe(true);
  expect(edits({ probe: { threshold: '', window: ' ' }, 'error-flood': { threshold: '20', action: 'observe' } })).toEqual([
    { name: 'error-flood', threshold: 20, action: 'observe' },
  ]);
  const record = { at: '', target: '203.0.113.7/32', rule: 'probe', count: 3, expires_at: null };
  expect(verdict(null)).toBe('nothing');
  expect(verdict(record)).toBe('probe (3): ban');
  expect(verdict({ ...record, suppressed: 'it is allowlisted' })).toBe('probe (3): suppressed: it is allowlisted');
});

test('an import is told line by line, what is left out first', () => {
  const list = lines('198.51.100.1\n198.51.100.2\nnonsense\n198.51.100.3\n');
  const refused = [{ index: 2, target: 'nonsense', why: '`nonsense` is neither an address nor a network', code: 'invalid' }];
  const counts = { banned: 2, longer: 1, kept: 1, ended: 0, new_networks: 0, free_networks: 0 };
  const told = fates(list, { ...counts, refused, fates: ['kept', 'new', 'refused', 'longer'] });
  expect(told.map(({ line, what }) => [line.number, what])).toEqual([
    [3, '`nonsense` is neither an address nor a network'],
    [2, 'banned'],
    [4, 'banned, in place of a shorter ban'],
    [1, 'nothing: another ban of it goes before'],
  ]);
  const [network] = fates(lines('198.51.100.161/24'), { ...counts, refused: [], fates: ['new'] });
  expect(network?.what).toBe('banned: the whole 198.51.100.0/24');
});
