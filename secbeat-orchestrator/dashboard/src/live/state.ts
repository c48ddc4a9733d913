/** What the stream of the daemon told, as state. Pure: times come in with the actions. */
import type { AlarmChange, Change, Overview } from '../api/types';

/** Events that are kept, the latest first. */
export const KEPT = 200;

/** Something that happened, as pages show it. */
export interface LiveEvent {
  id: string;
  at: string;
  kind: string;
  tone: 'plain' | 'ok' | 'warn' | 'bad' | 'info';
  /** A client or a network; undefined where it is about something else. */
  target: string | undefined;
  /** The daemon that it is about, if it is about no client. */
  about: string;
  text: string;
}

/** An event of the stream in words. */
export function eventOf(id: string, change: Change): LiveEvent {
  const { at, kind } = change;
  const of = (tone: LiveEvent['tone'], text: string): LiveEvent => {
    const target = 'target' in change ? change.target : undefined;
    return { id, at, kind, tone, target, about: 'edge_id' in change ? change.edge_id : '', text };
  };
  switch (change.kind) {
    case 'finding':
      return of('warn', `${change.rule}: ${change.count} in ${change.window_ms / 1000} s${change.suppressed ? `; nobody is banned: ${change.suppressed}` : ''}`);
    case 'ban':
      return of('bad', `${change.reason} ${change.note}, by ${change.actor}`);
    case 'unban':
      return of('ok', `by ${change.actor}${change.note === undefined ? '' : `: ${change.note}`}`);
    case 'disallow':
      return of('plain', `by ${change.actor}`);
    case 'allow':
      return of('ok', `${change.comment}, by ${change.actor}`);
    case 'edge-up':
    case 'edge-agrees':
      return of('ok', '');
    case 'edge-down':
    case 'edge-drifts':
      return of('bad', '');
  }
}

/** An alarm that began or ended, in words. */
export function alarmEvent(id: string, change: AlarmChange): LiveEvent {
  const { at, about, what, is_raised: isRaised } = change;
  return { id, at, kind: isRaised ? 'alarm' : 'alarm over', tone: isRaised ? 'bad' : 'ok', target: undefined, about, text: what };
}

export interface Live {
  connection: 'connecting' | 'live' | 'lost';
  /** Why the daemon refuses the connection, if it says so. */
  why: string | undefined;
  /** When the daemon was last heard of, milliseconds since the Unix epoch. */
  lastSeenMs: number | undefined;
  overview: Overview | undefined;
  events: readonly LiveEvent[];
  /** Grows when pages should ask again: bans changed, or events were missed. */
  version: number;
  /** Whether events were missed for good since the page was opened. */
  missed: boolean;
}

export type LiveAction =
  | { type: 'open'; atMs: number }
  | { type: 'lost'; why?: string }
  | { type: 'overview'; atMs: number; overview: Overview }
  | { type: 'event'; atMs: number; event: LiveEvent }
  | { type: 'reset'; atMs: number };

export const START: Live = {
  connection: 'connecting',
  why: undefined,
  lastSeenMs: undefined,
  overview: undefined,
  events: [],
  version: 0,
  missed: false,
};

export function reduce(state: Live, action: LiveAction): Live {
  switch (action.type) {
    case 'open':
      // What was shown meanwhile may be old.
      return { ...state, connection: 'live', why: undefined, lastSeenMs: action.atMs, version: state.version + 1 };
    case 'lost':
      // The reason comes after the loss.
      return state.connection === 'lost' && action.why === undefined ? state : { ...state, connection: 'lost', why: action.why };
    case 'overview':
      return { ...state, connection: 'live', why: undefined, lastSeenMs: action.atMs, overview: action.overview };
    case 'event': {
      if (state.events.some((known) => known.id === action.event.id)) {
        return { ...state, lastSeenMs: action.atMs };
      }
      return {
        ...state,
        connection: 'live',
        why: undefined,
        lastSeenMs: action.atMs,
        events: [action.event, ...state.events].slice(0, KEPT),
        version: state.version + 1,
      };
    }
    case 'reset':
      return { ...state, lastSeenMs: action.atMs, missed: true, version: state.version + 1 };
  }
}
