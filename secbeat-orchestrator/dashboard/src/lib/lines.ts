/** Lists that people paste: a target on each line, with a comment perhaps. */
import type { BanEntry, Imported } from '../api/types';

export interface Line {
  /** From 1. */
  number: number;
  text: string;
  target: string;
}

/** The lines of `text` that name a target. Comments begin with `#` or `;`, and may follow a target; fields end at a space or comma. */
export function lines(text: string): Line[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    const target = /^\s*([^\s,;#]+)/.exec(line)?.[1];
    return target === undefined ? [] : [{ number: index + 1, text: line.trim(), target }];
  });
}

/** The bans that an import of `list` asks for. */
export function entries(list: readonly Line[], duration: string, note: string): BanEntry[] {
  return list.map(({ target }) => ({ target, note, ...(duration === 'permanent' ? { permanent: true } : { duration }) }));
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
    const why = refused.get(index);
    if (why !== undefined) {
      return { line, what: why, tone: 'bad' };
    }
    switch (imported.fates?.[index]) {
      case 'new':
        return { line, what: 'banned', tone: 'ok' };
      case 'longer':
        return { line, what: 'banned, in place of a shorter ban', tone: 'ok' };
      case 'kept':
        return { line, what: 'nothing: it is banned for as long', tone: 'plain' };
      case 'ended':
        return { line, what: 'nothing: its ban has ended', tone: 'plain' };
      default:
        return { line, what: 'not looked at, since another line cannot be read', tone: 'plain' };
    }
  });
  const order = ['bad', 'ok', 'plain'];
  return all.sort((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone));
}
