/** The browser's address as state. */
import { useCallback, useMemo, useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from 'react';
import { fromSearch, parse, toSearch, type Route } from './route';

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener('popstate', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('popstate', listener);
  };
}

/** Goes to `to`; `replace` leaves no step back. `state` stays with the step. */
export function navigate(to: string, replace = false, state: unknown = null): void {
  if (replace) {
    history.replaceState(state, '', to);
  } else {
    history.pushState(state, '', to);
    window.scrollTo(0, 0);
  }
  for (const listener of listeners) {
    listener();
  }
}

const here = () => window.location.pathname + window.location.search;

export function useRoute(): Route {
  const at = useSyncExternalStore(subscribe, here);
  return useMemo(() => {
    const url = new URL(at, window.location.origin);
    return parse(url.pathname, url.search);
  }, [at]);
}

/** The filters in the address, and how to change some of them. */
export function useFilters<F extends Record<string, string>>(empty: F): [F, (change: Partial<F>) => void] {
  const { query } = useRoute();
  const filters = useMemo(() => fromSearch(query, empty), [query, empty]);
  const change = useCallback(
    (some: Partial<F>) => {
      // As they are when it is called: a field may wait a moment, and others change meanwhile.
      const now = fromSearch(new URLSearchParams(window.location.search), empty);
      navigate(window.location.pathname + toSearch({ ...now, ...some }, empty), true);
    },
    [empty],
  );
  return [filters, change];
}

export function Link({ href, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0;
    if (!event.defaultPrevented && !elsewhere) {
      event.preventDefault();
      navigate(href);
    }
  };
  return <a href={href} onClick={follow} {...rest} />;
}
