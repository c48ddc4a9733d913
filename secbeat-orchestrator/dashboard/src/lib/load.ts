/** What a page asked the daemon for. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { ApiError } from '../api/client';
import { pace } from './pace';
import { lostSession } from './session';

export interface Loaded<T> {
  /** What came last; it stays while more is asked for. */
  data: T | undefined;
  /** Whether `data` answers another question than the one that is asked now. */
  isOld: boolean;
  error: ApiError | undefined;
  loading: boolean;
  reload: () => void;
}

/** When a page asks the same again. */
export interface Again {
  /** When this changes: soon, and not more often than once in [`CALM_MS`]. */
  version?: number;
  /** Every so many milliseconds, while the page is seen. */
  everyMs?: number;
}

/** How long after a request without an answer the page asks again, milliseconds. */
const RETRY_MS = 5_000;
/** From a question that a change asks to the next one, milliseconds: under attack, something changes all the time. */
const CALM_MS = 1_000;

/** What came of the latest question. */
export interface Held<T> {
  /** The question that `data` answers. */
  key: string;
  data?: T;
  error?: ApiError;
  loading: boolean;
}

/** After an answer to `key` failed: what answered another question goes, it would look like an answer to this one. */
export function failed<T>(before: Held<T>, key: string, error: ApiError): Held<T> {
  return before.key === key ? { ...before, error, loading: false } : { key, error, loading: false };
}

/** Asks with `ask` at once, whenever `key`, the question, changes, and as `again` says. */
export function useLoad<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, { version, everyMs }: Again = {}): Loaded<T> {
  const [state, setState] = useState<Held<T>>({ key, loading: true });
  const latest = useRef(ask);
  latest.current = ask;
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  const isBusy = useRef(false);
  useEffect(() => {
    const control = new AbortController();
    isBusy.current = true;
    setState((before) => ({ ...before, loading: true }));
    latest
      .current(control.signal)
      .then((data) => {
        if (control.signal.aborted) {
          return;
        }
        isBusy.current = false;
        setState({ key, data, loading: false });
      })
      .catch((error: unknown) => {
        if (control.signal.aborted) {
          return;
        }
        isBusy.current = false;
        const told = error instanceof ApiError ? error : new ApiError(0, '', String(error));
        if (told.status === 401) {
          lostSession();
        }
        setState((before) => failed(before, key, told));
      });
    return () => control.abort();
  }, [key, turn]);
  // Where nobody looks, it is asked once somebody does.
  const [changes] = useState(() => pace(reload, () => isBusy.current || document.visibilityState === 'hidden', CALM_MS));
  useEffect(() => changes.stop, [changes]);
  const known = useRef(version);
  useEffect(() => {
    if (known.current !== version) {
      known.current = version;
      changes.ask();
    }
  }, [version, changes]);
  const waitMs = state.error?.status === 0 ? Math.min(everyMs ?? RETRY_MS, RETRY_MS) : everyMs;
  useEffect(() => {
    if (waitMs === undefined) {
      return undefined;
    }
    const timer = setInterval(() => {
      // A slow answer is not asked for anew.
      if (document.visibilityState === 'visible' && !isBusy.current) {
        reload();
      }
    }, waitMs);
    return () => clearInterval(timer);
  }, [waitMs, reload]);
  return { data: state.data, isOld: state.key !== key, error: state.error, loading: state.loading, reload };
}
