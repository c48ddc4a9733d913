/** Where the keyboard goes on when what had the focus is gone. */

/** Gives the focus to `main` whenever what had it was taken away or disabled: else the keyboard begins at the top of the page again. */
export function keepFocus(main: HTMLElement): () => void {
  let last: Element | null = null;
  const remember = (event: FocusEvent) => (last = event.target instanceof Element ? event.target : null);
  const forget = () => (last = null);
  const look = () => {
    if (last !== null && document.activeElement === document.body && (!last.isConnected || last.matches(':disabled'))) {
      last = null;
      main.focus({ preventScroll: true });
    }
  };
  const watch = new MutationObserver(look);
  watch.observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['disabled'] });
  document.addEventListener('focusin', remember);
  // A click beside everything means to leave.
  document.addEventListener('pointerdown', forget, true);
  return () => {
    watch.disconnect();
    document.removeEventListener('focusin', remember);
    document.removeEventListener('pointerdown', forget, true);
  };
}
