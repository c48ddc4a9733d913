import { expect, test } from 'vitest';
import { clientOf, doubtOf, isAddress, neighbourhood, parts, shown } from '../src/lib/net';

test.each([
  ['203.0.113.7/32', '203.0.113.7'],
  ['203.0.113.0/24', '203.0.113.0/24'],
  ['2001:db8::7/128', '2001:db8::7'],
  ['2001:db8:7::/64', '2001:db8:7::/64'],
])('%s is shown as %s', (target, text) => expect(shown(target)).toBe(text));

test.each([
  ['203.0.113.7/32', '203.0.113.7'],
  ['203.0.113.0/24', undefined],
  ['2001:db8:7::/64', '2001:db8:7::'],
  ['2001:db8::/48', undefined],
  ['203.0.113.7', '203.0.113.7'],
])('the client of %s is %s', (target, client) => expect(clientOf(target)).toBe(client));

test.each([
  ['203.0.113.7', '203.0.113.0/24'],
  ['2001:db8:7:1::7', '2001:db8:7::/48'],
  ['2001:db8::7', '2001:db8::/48'],
  ['::1', '::/48'],
  ['::ffff:203.0.113.7', '::/48'],
  ['no address', undefined],
])('%s is in %s', (address, network) => expect(neighbourhood(address)).toBe(network));

test.each(['203.0.113.256', '1.2.3', '1:2:3', '::1::', 'g::1', '', 'example.org', '1:2:3:4:5:6:7:8:9'])('%s is no address', (text) =>
  expect(isAddress(text)).toBe(false),
);

test.each([
  ['198.51.100.161/24', '198.51.100.0/24', '198.51.100.161'],
  [' 10.1.2.3/9 ', '10.0.0.0/9', '10.1.2.3'],
  ['203.0.113.255/31', '203.0.113.254/31', '203.0.113.255'],
  ['2001:db8:1:2::3/48', '2001:db8:1::/48', '2001:db8:1:2::3'],
  ['2001:db8::ff/120', '2001:db8::/120', '2001:db8::ff'],
])('%s may mean %s or %s', (target, network, address) => expect(doubtOf(target)).toEqual({ network, address }));

test.each(['198.51.100.161', '198.51.100.0/24', '198.51.100.7/32', '2001:db8::/48', '2001:db8::1/64', '::1/129', '1.2.3.4/33', 'office/24', '1.2.3.4/24/1', '1.2.3.4/'])(
  '%s means one thing',
  (target) => expect(doubtOf(target)).toBeUndefined(),
);

test.each([
  ['203.0.113.7', ['203.0.113.7']],
  ['2001:db8:7:1::/64', ['2001:', 'db8:', '7:', '1::', '/64']],
  ['::1', ['::', '1']],
])('%s may break into lines', (text, lines) => expect(parts(text)).toEqual(lines));
