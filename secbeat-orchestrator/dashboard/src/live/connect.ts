/** What a page hears of the daemon as it happens. */
import { createContext, useContext } from 'react';
import type { Said } from './shared';
import { START, type Live } from './state';
import { follow, type Told } from './stream';

export const LiveContext = createContext<Live>(START);
export const useLive = (): Live => useContext(LiveContext);

/** Tells what the stream tells until the function that it returns is called: by the worker of all pages, or alone where there is none. */
export function listen(tell: (told: Told) => void): () => void {
  if (typeof SharedWorker === 'undefined') {
    return alone(tell);
  }
  let worker: SharedWorker;
  try {
    worker = new SharedWorker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'secbeat-stream' });
  } catch {
    // A browser that stores nothing for this site has no workers of it either.
    return alone(tell);
  }
  let stop = () => {};
  const say = (said: Said) => worker.port.postMessage(said);
  const here = () => say('here');
  const gone = () => say('gone');
  worker.onerror = () => {
    // Its script did not come.
    leave();
    stop = alone(tell);
  };
  worker.port.onmessage = ({ data }: MessageEvent<Told>) => tell(data);
  // A page that is left may come back as it was.
  window.addEventListener('pagehide', gone);
  window.addEventListener('pageshow', here);
  const leave = () => {
    window.removeEventListener('pagehide', gone);
    window.removeEventListener('pageshow', here);
    gone();
    worker.port.close();
  };
  here();
  return () => {
    leave();
    stop();
  };
}

/** A stream of this page alone. Only while it is seen: many pages would take all connections that the browser has for a host. */
function alone(tell: (told: Told) => void): () => void {
  let stop: (() => void) | undefined;
  const look = () => {
    if (document.visibilityState === 'visible') {
      stop ??= follow('/api/v1/stream', tell);
    } else {
      stop?.();
      stop = undefined;
    }
  };
  document.addEventListener('visibilitychange', look);
  look();
  return () => {
    document.removeEventListener('visibilitychange', look);
    stop?.();
  };
}
