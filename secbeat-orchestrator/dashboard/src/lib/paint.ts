/** What is drawn in two steps. */
import { useEffect, useRef, useState } from 'react';

/** `now`, as it was when the last frame was painted; `first` in the first one. However often `now` changes, each frame takes it up. */
export function useAfterPaint<T>(now: T, first: T): T {
  const [painted, setPainted] = useState(() => first);
  const latest = useRef(now);
  latest.current = now;
  const frame = useRef<number>(undefined);
  useEffect(() => {
    if (painted !== now) {
      // The task behind a frame: what it has to draw is drawn.
      frame.current ??= requestAnimationFrame(() =>
        setTimeout(() => {
          frame.current = undefined;
          setPainted(() => latest.current);
        }),
      );
    }
  }, [painted, now]);
  return painted;
}
