/** What a page asked the daemon for. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { ApiError } from '../api/client';
import { lostSession } from './session';

export interface Loaded<T> {
  /** What came last; it stays while more is asked for. */
  data: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
  reload: () => void;
}

/** Asks with `ask` at once, whenever `key` changes, and every `everyMs` milliseconds while the page is seen. */
export function useLoad<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, everyMs?: number): Loaded<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: ApiError; loading: boolean }>({ key, loading: true });
  const latest = useRef(ask);
  latest.current = ask;
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  useEffect(() => {
    const control = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    latest
      .current(control.signal)
      .then((data) => setState({ key, data, loading: false }))
      .catch((error: unknown) => {
        if (control.signal.aborted) {
          return;
        }
        const told = error instanceof ApiError ? error : new ApiError(0, '', String(error));
        if (told.status === 401) {
          lostSession();
        }
        setState((before) => ({ ...before, key, error: told, loading: false }));
      });
    return () => control.abort();
  }, [key, turn]);
  useEffect(() => {
    if (everyMs === undefined) {
      return undefined;
    }
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') {
        reload();
      }
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, reload]);
  return { data: state.data, error: state.error, loading: state.loading, reload };
}
