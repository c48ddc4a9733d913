import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import type { Alarm, Overview } from '../src/api/types';
import { LiveContext } from '../src/live/connect';
import { START } from '../src/live/state';
import { Alarms, wellOf } from '../src/pages/now';

const shown = (alarms: Alarm[], connection = START.connection) => {
  const overview = { alarms, edges: [] } as unknown as Overview;
  return renderToStaticMarkup(createElement(LiveContext, { value: { ...START, connection } }, createElement(Alarms, { overview })));
};

test('each alarm is told in the order of the daemon, as text, and as old once the connection is lost', () => {
  const kinds = ['not-ready', 'safety-limit', 'not-protected', 'log-not-read', 'drift', 'clock-off'];
  const alarms = kinds.map((alert) => ({ alert, about: '<i>web-1</i>\u202e', what: `${alert} <img src=x>` }));
  const html = shown(alarms);
  const told = [...html.matchAll(/([a-z-]+) &lt;img src=x&gt;/g)].map((found) => found[1]);
  expect(told).toEqual(kinds);
  expect(html).toContain('&lt;i&gt;web-1&lt;/i&gt;\\u{202e}');
  expect(html).not.toMatch(/<i>|<img|All is well|last seen/);
  expect(shown(alarms, 'lost')).toContain('As of when the daemon was last seen');
  expect(shown([], 'lost')).toContain('This page does not know what is so now');
  expect(shown([])).toContain('All is well.');
});

const edge = (edge_id: string, observe_only: boolean) => ({ edge_id, observe_only });

test('without an alarm, an edge that only observes is not called protected', () => {
  expect(wellOf([edge('web-1', false)]).rest).toBe('Every edge is protected and agrees with the ledger.');
  const some = wellOf([edge('web-1', false), edge('web-2\u202e', true)]);
  expect(some.lead).toBe('No alarm.');
  expect(some.rest).toMatch(/observe mode.*: web-2\\u\{202e\}\.$/);
  const many = wellOf(Array.from({ length: 9 }, (_, n) => edge(`web-${n}`, n > 0)));
  expect(many.rest).toMatch(/: 8 of 9 edges\.$/);
});
