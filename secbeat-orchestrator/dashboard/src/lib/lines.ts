/** Lists that people paste: a target on each line, with a comment perhaps, or the CSV of an export. */
import type { BanEntry, Imported } from '../api/types';
import { parse } from './csv';
import { doubtOf, isAddress } from './net';

export interface Line {
  /** From 1. */
  number: number;
  target: string;
  /** What a line of an export says itself, its end among it. */
  own?: Omit<BanEntry, 'target'>;
}

/** The first line of an export as CSV, also as a spreadsheet saved it, and what separates its fields. */
const HEADING = /^\s*"?target"?\s*([,;\t]).*\bexpires_at\b/i;
/** What an export says of a ban without end. */
const NEVER = 'never';

/** Where another target, instead of a comment, follows a `;`. */
const AFTER_SEMICOLON = /^;\s*([^\s,;#]+)/;

/** What `text` lists. Comments begin with `#` or `;`, and may follow a target; fields end at a space or comma. */
export function lines(text: string): Line[] {
  const plain = text.replace(/^\ufeff/, '');
  const separator = HEADING.exec(plain)?.[1];
  return separator === undefined ? listed(plain) : exported(plain, separator);
}

function listed(text: string): Line[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    const before = /^[^#;]*/.exec(line)?.[0] ?? '';
    const said = before.trim();
    const [target = '', ...others] = said.split(/[\s,]+/).filter((field) => field !== '');
    const number = index + 1;
    if (target === '') {
      return [];
    }
    const next = AFTER_SEMICOLON.exec(line.slice(before.length))?.[1];
    if (next !== undefined && isTarget(next)) {
      return [{ number, target: line.trim() }];
    }
    if (others.every((other) => isTarget(other)) && !isNetwork(target, others)) {
      return [target, ...others].map((target) => ({ number, target }));
    }
    // Where another target follows and it is not clear what the line means, the daemon refuses it as it is.
    return [{ number, target: others.some((other) => isTarget(other)) ? said : target }];
  });
}

/** Whether an address and one more field may be a network: with its mask, or from its first address to its last. */
function isNetwork(first: string, [second = '', ...more]: readonly string[]): boolean {
  if (more.length > 0 || `${first}${second}`.includes('/') || second.includes(':')) {
    return false;
  }
  const clear = second.split('.').reduce((bits, byte) => bits * 256 + 255 - Number(byte), 0);
  const isMask = Number.isInteger(Math.log2(clear + 1));
  return second !== '' && (isMask || second.endsWith('.255'));
}

function isTarget(text: string): boolean {
  return isAddress(text.replace(/\/\d{1,3}$/, ''));
}

/** The records of an export: `target,expires_at,reason,layer,strikes,note`, in any order. */
function exported(text: string, separator: string): Line[] {
  const [heading, ...records] = parse(text, separator);
  const names = (heading?.fields ?? []).map((name) => name.trim().toLowerCase());
  return records.flatMap(({ line, fields }): Line[] => {
    const of = (name: string) => fields[names.indexOf(name)]?.trim() ?? '';
    const target = of('target');
    return target === '' ? [] : [{ number: line, target, own: ownOf(of) }];
  });
}

function ownOf(of: (name: string) => string): Omit<BanEntry, 'target'> {
  const [end, reason, layer, strikes, note] = ['expires_at', 'reason', 'layer', 'strikes', 'note'].map(of) as [string, string, string, string, string];
  return {
    ...(end === NEVER ? { permanent: true } : end === '' ? {} : { expires_at: end }),
    ...(reason === '' ? {} : { reason }),
    ...(layer === 'kernel' || layer === 'l7' ? { layer } : {}),
    ...(/^\d+$/.test(strikes) ? { strikes: Number(strikes) } : {}),
    // An export puts a quote before what a spreadsheet would take for a formula.
    ...(note === '' ? {} : { note: note.replace(/^'(?='*[=+\-@\t\r])/, '') }),
  };
}

/** The bans that an import of `list` asks for. What a line says itself goes before `duration` and `note`. */
export function entries(list: readonly Line[], duration: string, note: string): BanEntry[] {
  const end = duration === 'permanent' ? { permanent: true } : { duration };
  return list.map(({ target, own = {} }) => {
    const ends = own.permanent === true || (own.expires_at !== undefined && own.expires_at !== null);
    return { target, note, ...(ends ? {} : end), ...own };
  });
}

/** What would happen with a line. */
export interface Fated {
  line: Line;
  what: string;
  tone: 'ok' | 'bad' | 'plain';
}

/** What an import of `list` would do, line by line: first what is left out, then what is banned, then what changes nothing. */
export function fates(list: readonly Line[], imported: Imported): Fated[] {
  const refused = new Map(imported.refused.map((entry) => [entry.index, entry.why]));
  const all = list.map((line, index): Fated => {
    const doubt = doubtOf(line.target);
    const banned = doubt === undefined ? 'banned' : `banned: the whole ${doubt.network}`;
    switch (imported.fates?.[index]) {
      case 'new':
        return { line, what: banned, tone: 'ok' };
      case 'longer':
        return { line, what: `${banned}, in place of a shorter ban`, tone: 'ok' };
      case 'kept':
        return { line, what: 'nothing: another ban of it goes before', tone: 'plain' };
      case 'ended':
        return { line, what: 'nothing: its ban has ended', tone: 'plain' };
      default:
        return { line, what: refused.get(index) ?? 'left out', tone: 'bad' };
    }
  });
  const order = ['bad', 'ok', 'plain'];
  return all.sort((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone));
}
