/**
 * One stream for all pages of a browser: it opens six connections to a host at most, and each stream takes one. Without a window, for
 * the worker and for tests.
 */
import { START, reduce, type Live } from './state';
import type { Told } from './stream';

/** What a page says to the worker. */
export type Said = 'here' | 'gone';

/** A page, as far as the worker sees it. */
export interface Port {
  postMessage: (told: Told) => void;
}

/** Holds the stream while a page is there, and tells each of them what it tells. */
export class Hub {
  private readonly pages = new Set<Port>();
  private stop: (() => void) | undefined;
  private live: Live = START;

  constructor(private readonly follow: (tell: (told: Told) => void) => () => void) {}

  heard(page: Port, said: Said): void {
    if (said === 'here') {
      this.enter(page);
    } else {
      this.leave(page);
    }
  }

  private enter(page: Port): void {
    this.pages.add(page);
    if (this.stop === undefined) {
      this.live = START;
      this.stop = this.follow((told) => this.tell(told));
      return;
    }
    // What the others know.
    const { connection, overview, lastSeenMs: atMs, why } = this.live;
    if (overview !== undefined && atMs !== undefined) {
      page.postMessage({ type: 'overview', atMs, overview });
    }
    if (connection === 'lost') {
      page.postMessage({ type: 'lost', ...(why === undefined ? {} : { why }) });
    }
  }

  private leave(page: Port): void {
    if (this.pages.delete(page) && this.pages.size === 0) {
      this.stop?.();
      this.stop = undefined;
    }
  }

  private tell(told: Told): void {
    if (told.type !== 'signed-out') {
      this.live = reduce(this.live, told);
    }
    for (const page of this.pages) {
      page.postMessage(told);
    }
  }
}
