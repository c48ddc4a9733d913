/** How often something that is asked for again and again is done. */

/** Asks for it, or gives it up. */
export interface Pace {
  ask: () => void;
  stop: () => void;
}

/**
 * Does `act` when it is asked for: at once, but at most once in `everyMs`, and only once whatever came before is done, so that a flood
 * of questions neither ends each answer nor asks the daemon without a pause.
 */
export function pace(act: () => void, isBusy: () => boolean, everyMs: number): Pace {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastMs = -Infinity;
  const go = () => {
    if (isBusy()) {
      timer = setTimeout(go, everyMs);
      return;
    }
    timer = undefined;
    lastMs = Date.now();
    act();
  };
  return {
    ask: () => {
      timer ??= setTimeout(go, Math.max(0, Math.min(everyMs, lastMs + everyMs - Date.now())));
    },
    stop: () => {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
