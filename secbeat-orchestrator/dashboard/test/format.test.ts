import { expect, test } from 'vitest';
import { ago, bytes, clock, count, date, duration, percent, plural, time, utc, visible } from '../src/lib/format';

test.each([
  [0, '0'],
  [9_999, '9,999'],
  [12_345, '12.3k'],
  [100_000, '100k'],
  [2_500_000, '2.5M'],
  [0.25, '0.3'],
  [Number.NaN, '–'],
])('%d is shown as %s', (n, text) => expect(count(n)).toBe(text));

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [12_540, '12.5 s'],
  [59_999, '59.9 s'],
  [240_000, '4 min'],
  [65_000, '1 min 5 s'],
  [3_600_000, '1 h'],
  [7_500_000, '2 h 5 min'],
  [3 * 86_400_000, '3 d'],
  [49 * 3_600_000, '2 d 1 h'],
])('%d ms last %s', (ms, text) => expect(duration(ms)).toBe(text));

test('times are told from now, in the zone, and in UTC', () => {
  expect(ago(1_000, 1_500)).toBe('now');
  expect(ago(1_500, 200)).toBe('now');
  expect(ago(1_000, 63_700)).toBe('1 min ago');
  expect(ago(63_700, 1_000)).toBe('in 1 min');
  const iso = '2026-11-29T14:05:09.123Z';
  expect(time(iso, true, 'Europe/Berlin')).toBe('29 Nov 2026, 15:05:09.123');
  expect(clock(iso, 'America/New_York')).toBe('09:05:09');
  expect(utc(iso)).toBe('2026-11-29 14:05:09.123 UTC');
  expect(time('no time')).toBe('no time');
  expect(date(Date.UTC(2026, 10, 30))).toBe('30 Nov 2026');
});

test('numbers have their units', () => {
  expect(bytes(1536)).toBe('1.5 KiB');
  expect(percent(0.034)).toBe('3.4 %');
  expect(percent(0.000_01)).toBe('< 0.1 %');
  expect(percent(0)).toBe('0 %');
  expect(percent(1)).toBe('100 %');
  expect(plural(1, 'ban')).toBe('1 ban');
  expect(plural(2_000, 'entry', 'entries')).toBe('2,000 entries');
});

test('what a client chose cannot change how a line reads', () => {
  expect(visible('/a\u202Egnp.exe\n\u001b[31m')).toBe('/a\\u{202e}gnp.exe\\u{a}\\u{1b}[31m');
  expect(visible('a\u00adb\u034fc\u3164d\u{e0041}e\u115ff\ufe0f')).toBe('a\\u{ad}b\\u{34f}c\\u{3164}d\\u{e0041}e\\u{115f}f\\u{fe0f}');
  expect(visible('<script>é 中 😀</script>')).toBe('<script>é 中 😀</script>');
});
