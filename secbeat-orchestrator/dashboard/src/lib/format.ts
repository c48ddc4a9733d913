/** Numbers, times and durations as people read them. Pure: the time of now and the zone come in as arguments. */

const NUMBERS = new Intl.NumberFormat('en');
const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
/** To make one takes longer than to use it a hundred times. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

/** How times are said with `options`, in `zone` (the reader's by default). */
function dates(options: Intl.DateTimeFormatOptions, zone?: string): Intl.DateTimeFormat {
  const all = { ...options, ...(zone === undefined ? {} : { timeZone: zone }) };
  const key = JSON.stringify(all);
  let format = FORMATS.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', all);
    FORMATS.set(key, format);
  }
  return format;
}

/** `n` with separators, or with a unit from ten thousand on: 9,999, 12.3k, 4.5M. */
export function count(n: number): string {
  if (!Number.isFinite(n)) {
    return '–';
  }
  const size = Math.abs(n);
  for (const [unit, sign] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (size >= unit && size >= 10_000) {
      return `${trimmed(n / unit)}${sign}`;
    }
  }
  return Number.isInteger(n) ? NUMBERS.format(n) : trimmed(n);
}

/** `n` with all digits and separators. */
export function exact(n: number): string {
  return NUMBERS.format(n);
}

function trimmed(n: number): string {
  return Math.abs(n) >= 100 ? Math.round(n).toString() : n.toFixed(1).replace(/\.0$/, '');
}

/** `n` of something: "1 ban", "2 bans". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${exact(n)} ${n === 1 ? one : many}`;
}

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytes(n: number): string {
  let rest = n;
  let unit = 0;
  while (rest >= 1024 && unit < BYTES.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${trimmed(rest)} ${BYTES[unit]}`;
}

/** A duration of `ms` milliseconds with its two greatest units: "340 ms", "12.5 s", "4 min", "2 h 5 min", "3 d". */
export function duration(ms: number): string {
  const size = Math.max(0, ms);
  if (size < 1000) {
    return `${Math.round(size)} ms`;
  }
  if (size < 60_000) {
    return `${trimmed(Math.floor(size / 100) / 10)} s`;
  }
  const minutes = Math.floor(size / 60_000);
  if (minutes < 60) {
    const seconds = Math.floor((size % 60_000) / 1000);
    return minutes < 10 && seconds > 0 ? `${minutes} min ${seconds} s` : `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  }
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 || days >= 10 ? `${days} d` : `${days} d ${hours % 24} h`;
}

/** How long before `nowMs` it was, or how long after. */
export function ago(atMs: number, nowMs: number): string {
  const past = nowMs - atMs;
  // The clock of the page is a second behind at most, and another one may be off.
  if (past > -2000 && past < 1000) {
    return 'now';
  }
  // Neither seconds nor minutes need a fraction here.
  const unit = Math.abs(past) < 60_000 ? 1000 : 60_000;
  const whole = Math.floor(Math.abs(past) / unit) * unit;
  return past > 0 ? `${duration(whole)} ago` : `in ${duration(whole)}`;
}

/** `iso` in `zone` (the reader's by default), with milliseconds only where `fine`: "29 Nov 2026, 14:05:09". */
export function time(iso: string | number, fine = false, zone?: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) {
    return String(iso);
  }
  const fraction = fine ? { fractionalSecondDigits: 3 as const } : {};
  return dates({ year: 'numeric', month: 'short', day: '2-digit', ...CLOCK, ...fraction }, zone).format(date);
}

/** The clock's time alone, in `zone` (the reader's by default): "14:05:09". */
export function clock(iso: string | number, zone?: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) {
    return String(iso);
  }
  return dates(CLOCK, zone).format(date);
}

/** The hour alone, or the day where it begins: "14:00", "29 Nov". */
export function hour(ms: number, zone?: string): string {
  const text = clock(ms, zone).slice(0, 5);
  return text === '00:00' ? day(ms, zone) : text;
}

/** The day alone: "29 Nov". */
export function day(ms: number, zone?: string): string {
  return dates({ day: 'numeric', month: 'short' }, zone).format(ms);
}

/** A day of UTC with its year: "29 Nov 2026". */
export function date(ms: number): string {
  return dates({ day: 'numeric', month: 'short', year: 'numeric' }, 'UTC').format(ms);
}

/** The time in UTC, as a hint: "2026-11-29 14:05:09.123 UTC". */
export function utc(iso: string | number): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? String(iso) : `${date.toISOString().replace('T', ' ').slice(0, -1)} UTC`;
}

/** A share between 0 and 1 in percent, with a digit below ten. What is there is never "0.0 %". */
export function percent(share: number): string {
  if (!Number.isFinite(share)) {
    return '–';
  }
  const value = share * 100;
  if (value > 0 && value < 0.1) {
    return '< 0.1 %';
  }
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/**
 * Controls, formatting and marks of direction, separators of lines, and what fonts show nothing of: fillers, variation selectors, tags.
 * `printable` of the command line shows the same.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** What a client chose, with what cannot be seen made visible: it must not change how a line reads. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (c) => `\\u{${c.codePointAt(0)?.toString(16) ?? ''}}`);
}

/** The edges that enforce a ban which not all do: ids, and labels in place of the ids of the edges that have them. */
export function whereOf(ban: { edges?: string[] | null; labels?: Record<string, string>[] }): string {
  const labels = (ban.labels ?? []).map((all) =>
    Object.entries(all)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  );
  return [...(ban.edges ?? []), ...labels].join(', ');
}
