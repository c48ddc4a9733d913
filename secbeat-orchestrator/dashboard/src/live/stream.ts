/** The connection to the daemon's stream of server-sent events. */
import { problem } from '../api/client';
import type { AlarmChange, Change, Overview } from '../api/types';
import { alarmEvent, eventOf, type LiveAction } from './state';

/** Events that have an id and are kept. */
const KINDS = ['ban', 'unban', 'finding', 'allow', 'disallow', 'edge-up', 'edge-down', 'edge-drifts', 'edge-agrees'];
/** First and longest wait before the page connects again where the browser does not, milliseconds. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;
/** Silence after which the connection counts as lost: the daemon says something at least every 10 s. */
const SILENCE_MS = 25_000;
/** How long the daemon may take to say why it refuses the stream, milliseconds. */
const REASON_MS = 10_000;

/** What the stream tells, or that nobody is signed in any more. */
export type Told = LiveAction | { type: 'signed-out' };

/** Follows `url` until the function that it returns is called. */
export function follow(url: string, tell: (told: Told) => void): () => void {
  let source: EventSource;
  let wait = FIRST_WAIT_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastMs = Date.now();
  let hasSeen = false;
  let isOver = false;
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
        again();
        void refusal(url).then((told) => {
          if (!isOver && told !== undefined && source.readyState !== EventSource.OPEN) {
            tell(told);
          }
        });
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
    isOver = true;
    clearInterval(watch);
    clearTimeout(timer);
    source.close();
  };
}

/** Why the daemon does not give the stream, which an `EventSource` does not tell; `undefined` where it would. */
async function refusal(url: string): Promise<Told | undefined> {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), REASON_MS);
  try {
    const answer = await fetch(url, { headers: { Accept: 'text/event-stream' }, signal: control.signal });
    if (answer.ok) {
      return undefined;
    }
    return answer.status === 401 ? { type: 'signed-out' } : { type: 'lost', why: problem(answer.status, await answer.text()).message };
  } catch {
    // The daemon is away; the session may still be good.
    return undefined;
  } finally {
    clearTimeout(timer);
    control.abort();
  }
}
