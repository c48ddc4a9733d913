/** Lists that people paste: a target on each line, with a comment perhaps. */
import type { BanEntry } from '../api/types';

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
