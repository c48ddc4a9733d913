/** The connection to the daemon's stream of server-sent events. */
import { createContext, useContext } from 'react';
import type { AlarmChange, Change, Overview } from '../api/types';
import { START, alarmEvent, eventOf, type Live, type LiveAction } from './state';

/** Events that have an id and are kept. */
const KINDS = ['ban', 'unban', 'finding', 'allow', 'disallow', 'edge-up', 'edge-down', 'edge-drifts', 'edge-agrees'];
/** First and longest wait before the page connects again where the browser does not, milliseconds. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;
/** Silence after which the connection counts as lost: the daemon says something at least every 10 s. */
const SILENCE_MS = 25_000;

export const LiveContext = createContext<Live>(START);
export const useLive = (): Live => useContext(LiveContext);

/** Follows `url` until the function that it returns is called. `refused` is called when the daemon answers, and not with a stream. */
export function follow(url: string, tell: (action: LiveAction) => void, refused: () => void): () => void {
  let source: EventSource;
  let wait = FIRST_WAIT_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastMs = Date.now();
  let hasSeen = false;
  const heard = () => (lastMs = Date.now());

  const connect = () => {
    source = new EventSource(url);
    if (hasSeen) {
      // A new one begins with what comes next.
      tell({ type: 'reset', atMs: lastMs });
    }
    source.onopen = () => {
      wait = FIRST_WAIT_MS;
      hasSeen = true;
      tell({ type: 'open', atMs: heard() });
    };
    const on = <T,>(kind: string, action: (data: T, id: string) => LiveAction) =>
      source.addEventListener(kind, (message: MessageEvent<string>) => tell(action(JSON.parse(message.data) as T, message.lastEventId)));
    on<Overview>('overview', (overview) => ({ type: 'overview', atMs: heard(), overview }));
    on<AlarmChange>('alarm', (change, id) => ({ type: 'event', atMs: heard(), event: alarmEvent(id, change) }));
    for (const kind of KINDS) {
      on<Change>(kind, (change, id) => ({ type: 'event', atMs: heard(), event: eventOf(id, change) }));
    }
    on('reset', () => ({ type: 'reset', atMs: heard() }));
    source.onerror = () => {
      tell({ type: 'lost' });
      // While it is connecting, the browser tries again itself, and says which event it has seen.
      if (source.readyState === EventSource.CLOSED) {
        refused();
        again();
      }
    };
  };
  const again = () => {
    source.close();
    clearTimeout(timer);
    timer = setTimeout(connect, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  };
  const watch = setInterval(() => {
    if (source.readyState === EventSource.OPEN && Date.now() - lastMs > SILENCE_MS) {
      tell({ type: 'lost' });
      again();
    }
  }, 5_000);
  connect();
  return () => {
    clearInterval(watch);
    clearTimeout(timer);
    source.close();
  };
}
