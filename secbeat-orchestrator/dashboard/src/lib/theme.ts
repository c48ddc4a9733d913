/** Dark or light: as the system says, unless the reader chose. */
import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'secbeat.theme';
const listeners = new Set<() => void>();

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

let theme: Theme = 'system';

/** Takes over what was chosen before. */
export function startTheme(): void {
  apply(stored());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => apply(theme));
  // Paper is light: charts, too, which are drawn with the colours of the theme.
  window.addEventListener('beforeprint', () => show('light'));
  window.addEventListener('afterprint', () => apply(theme));
}

export function setTheme(to: Theme): void {
  try {
    localStorage.setItem(KEY, to);
  } catch {
    // A browser that stores nothing forgets the choice.
  }
  apply(to);
}

function apply(to: Theme): void {
  theme = to;
  const dark = to === 'dark' || (to === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  show(dark ? 'dark' : 'light');
}

function show(shown: 'light' | 'dark'): void {
  document.documentElement.dataset.theme = shown;
  for (const listener of listeners) {
    listener();
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What was chosen. */
export const useTheme = (): Theme => useSyncExternalStore(subscribe, () => theme);

/** What is shown: charts are drawn anew when it changes. */
export const useShownTheme = (): string =>
  useSyncExternalStore(subscribe, () => document.documentElement.dataset.theme ?? 'light');
