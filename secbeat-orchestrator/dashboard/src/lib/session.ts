/** Who is signed in. */
import { useSyncExternalStore } from 'react';
import { ApiError, call, type Schemas } from '../api/client';
import type { Session } from '../api/types';

export type Standing =
  | { kind: 'asking' }
  | { kind: 'in'; session: Session }
  | { kind: 'out'; why: string | undefined };

let standing: Standing = { kind: 'asking' };
const listeners = new Set<() => void>();

function set(to: Standing): void {
  standing = to;
  for (const listener of listeners) {
    listener();
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useStanding = (): Standing => useSyncExternalStore(subscribe, () => standing);

/** The one-time code in the address, which is taken out of it at once. */
export function takeLink(): string | undefined {
  const found = /^#link=(.+)$/.exec(window.location.hash);
  if (found === null) {
    return undefined;
  }
  history.replaceState(null, '', window.location.pathname + window.location.search);
  return found[1];
}

/** Asks who is signed in; first signs in with the link of the address, if it has one. */
export async function start(): Promise<void> {
  // A link that is opened where the page is shown changes the fragment alone: nothing is loaded.
  window.addEventListener('hashchange', () => void follow());
  if (!(await follow())) {
    await refresh();
  }
}

/** Signs in with the link of the address; false if it has none. A link that fails ends no session. */
async function follow(): Promise<boolean> {
  const link = takeLink();
  if (link === undefined) {
    return false;
  }
  const failed = await signIn({ link });
  if (failed !== undefined) {
    await refresh(failed);
  }
  return true;
}

/** Asks the daemon who is signed in; `why` is told if nobody is. */
export async function refresh(why?: string): Promise<void> {
  try {
    // Without a session the answer is empty.
    const session: Session | undefined = await call('get', '/api/v1/session');
    set(session === undefined ? { kind: 'out', why } : { kind: 'in', session });
  } catch (error) {
    const told = error instanceof ApiError ? error : new ApiError(0, '', String(error));
    set({ kind: 'out', why: told.status === 401 ? why : told.message });
  }
}

/** Signs in; why not, if it failed. */
export async function signIn(body: Schemas['SignIn']): Promise<string | undefined> {
  try {
    await call('post', '/api/v1/session', { body });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  await refresh();
  return undefined;
}

export async function signOut(): Promise<void> {
  try {
    await call('delete', '/api/v1/session');
  } finally {
    set({ kind: 'out', why: undefined });
  }
}

/** The daemon does not know the session any more. */
export function lostSession(): void {
  if (standing.kind === 'in') {
    set({ kind: 'out', why: 'The session has ended. Sign in again.' });
  }
}

const RANKS = ['read', 'operate', 'admin'];

/** Whether whoever is signed in has at least the role `role`. */
export function useMay(role: 'read' | 'operate' | 'admin'): boolean {
  const now = useStanding();
  return now.kind === 'in' && RANKS.indexOf(now.session.role) >= RANKS.indexOf(role);
}
