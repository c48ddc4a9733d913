import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import type { Edge, Propagation, SeenEvent, Stats } from '../src/api/types';
import { Others, Times, matches, problems } from '../src/pages/fleet';
import { seenColumns } from '../src/pages/seen';
import { Table } from '../src/ui/table';

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

/** What of a page a reader sees. */
const text = (html: string) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

test('NATS servers are told of with what they lead and how far they are behind', () => {
  const servers = [
    { name: 'nats-1', reached: true, leads: 5, keeps: 9, behind: {} },
    { name: 'nats-2', reached: false, leads: 0, keeps: 9, behind: { secbeat_bans: 4, SECBEAT_AUDIT: 0 } },
  ];
  const stats = { version: '1', bus_connected: true, bus_servers: servers, leases: { instance: 'a', members: ['a'], partitions: [{ holder: 'a' }] } };
  const told = text(renderToStaticMarkup(createElement(Others, { stats: stats as unknown as Stats })));
  expect(told).toContain('nats-1 reached 5 of 9 none');
  expect(told).toContain('nats-2 not reached 0 of 9 secbeat_bans: 4, SECBEAT_AUDIT: some');
  expect(told).toContain('1 of 1');
});

test('the times into the kernels are a histogram with its numbers', () => {
  const enforced = [3, 4, 30].map((after_ms) => ({ edge_id: 'web-1', after_ms }));
  const edges = [{ edge_id: 'web-1', count: 3, p50_ms: 4, p95_ms: 30, p99_ms: 30, max_ms: 30, refused: 0, failed: 0 }];
  const told = (propagation: object) => text(renderToStaticMarkup(createElement(Times, { propagation: propagation as Propagation })));
  const full = told({ commands: [{ enforced }], edges });
  expect(full).toMatch(/≤ 5 ms 2 .*≤ 50 ms 1 /);
  expect(full).toContain('web-1 3 4 ms 30 ms 30 ms 30 ms 0');
  expect(told({ commands: [], edges: [] })).toContain('No ban has been acknowledged');
});

test('the host, path and agent of a client are text', () => {
  const answer = { status: 404, method: 'GET', user_agent: '<img src=x>' };
  const event = { at_ms: 0, edge: 'web-1', host: '<b>evil\u202e.example</b>', path: '/<script>', answer };
  const props = { caption: 'Seen', columns: seenColumns, rows: [event as unknown as SeenEvent], rowKey: () => 'a' };
  const html = renderToStaticMarkup(createElement(Table<SeenEvent>, props));
  expect(html).toContain('&lt;b&gt;evil\\u{202e}.example&lt;/b&gt;');
  expect(html).not.toMatch(/<b>|<script|<img/);
});
