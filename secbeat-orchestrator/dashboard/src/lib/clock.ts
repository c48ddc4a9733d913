/** The time of now, as state that changes every second while somebody looks. */
import { useSyncExternalStore } from 'react';

let now = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    if (document.visibilityState === 'visible') {
      now = Date.now();
      for (const told of listeners) {
        told();
      }
    }
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Milliseconds since the Unix epoch, to the second. */
export const useNow = (): number => useSyncExternalStore(subscribe, () => now);
