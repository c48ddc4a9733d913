/** How often something that is asked for again and again is done. */

/** Asks for it, or gives it up. */
export interface Pace {
  ask: () => void;
  stop: () => void;
}

/** Takes things one by one. */
export interface Gathering<T> {
  add: (one: T) => void;
  stop: () => void;
}

/** Tells answers to what a form asks now from answers to what it asked before. */
export interface Turns {
  /** Asks; returns whether its answer is still wanted. */
  begin: () => () => boolean;
  /** The form has changed: no answer that is on its way is wanted. */
  drop: () => void;
}

/** Only the answer to the last question is wanted, and only until the form changes. */
export function turns(): Turns {
  let now = 0;
  return {
    begin: () => {
      now += 1;
      const own = now;
      return () => own === now;
    },
    drop: () => {
      now += 1;
    },
  };
}

/** Hands what comes within `forMs` to `act` together: a page is then drawn once for all of it. */
export function gather<T>(act: (all: readonly T[]) => void, forMs: number): Gathering<T> {
  let all: T[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const go = () => {
    const gathered = all;
    all = [];
    timer = undefined;
    act(gathered);
  };
  return {
    add: (one) => {
      all.push(one);
      timer ??= setTimeout(go, forMs);
    },
    stop: () => {
      clearTimeout(timer);
      timer = undefined;
      all = [];
    },
  };
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
