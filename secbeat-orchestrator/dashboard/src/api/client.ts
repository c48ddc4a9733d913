/** Requests to the daemon's API, with the types of its own description. */
import type { components, paths } from './schema';

export type Schemas = components['schemas'];

/** Why a request was not carried out: a problem of RFC 9457, or no answer at all. */
export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0 where no answer came. */
    readonly status: number,
    /** For programs, in snake case. */
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

type Json<R> = R extends { content: { 'application/json': infer T } } ? T : undefined;
type Answer<O> = O extends { responses: infer R }
  ? Json<R extends { 200: infer T } ? T : R extends { 201: infer T } ? T : R extends { 204: infer T } ? T : never>
  : never;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer T } } } ? T : undefined;
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : undefined;

type Method = 'get' | 'post' | 'put' | 'delete';
type With<M extends Method> = { [P in keyof paths]: paths[P][M] extends object ? P : never }[keyof paths];

interface Options<O> {
  /** What stands for `{name}` in the path. */
  path?: Record<string, string>;
  query?: Query<O>;
  body?: Body<O>;
  signal?: AbortSignal;
  /** The longest wait for the answer, milliseconds. */
  timeoutMs?: number;
}

/** As long as the daemon itself waits for NATS, several times over. */
const TIMEOUT_MS = 30_000;

/** Sends `method` to `path`; the answer's JSON. Throws [`ApiError`]. */
export async function call<M extends Method, P extends With<M>>(
  method: M,
  path: P,
  options: Options<paths[P][M]> = {},
): Promise<Answer<paths[P][M]>> {
  const init: RequestInit = { method: method.toUpperCase(), headers: { Accept: 'application/json' } };
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
  }
  const url = address(path, options.path, options.query as object | undefined);
  const { ok, status, text } = await send(url, init, options.signal, options.timeoutMs ?? TIMEOUT_MS);
  if (!ok) {
    throw problem(status, text);
  }
  return (text === '' ? undefined : JSON.parse(text)) as Answer<paths[P][M]>;
}

async function send(url: string, init: RequestInit, signal: AbortSignal | undefined, timeoutMs: number) {
  const control = new AbortController();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    control.abort();
  }, timeoutMs);
  const stop = () => control.abort();
  signal?.addEventListener('abort', stop);
  try {
    signal?.throwIfAborted();
    const response = await fetch(url, { ...init, signal: control.signal });
    return { ok: response.ok, status: response.status, text: await response.text() };
  } catch (error) {
    if (signal?.aborted === true) {
      throw error;
    }
    throw isLate
      ? new ApiError(0, 'timeout', `No answer within ${timeoutMs / 1000} s: the daemon is busy, or this browser has too many connections to it.`)
      : new ApiError(0, 'no_answer', 'The daemon does not answer. Is it running?');
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** `path` with its parameters and the query, without those that are empty. */
export function address(path: string, parameters: Record<string, string> = {}, query: object = {}): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(parameters[name] ?? ''));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') {
      search.set(name, String(value));
    }
  }
  const text = search.toString();
  return text === '' ? filled : `${filled}?${text}`;
}

/** The error that an answer of `status` and `text` tells of. */
export function problem(status: number, text: string): ApiError {
  try {
    const told = JSON.parse(text) as Partial<Schemas['Problem']>;
    if (typeof told.detail === 'string') {
      return new ApiError(status, told.code ?? '', told.detail);
    }
  } catch {
    // No JSON: something between the daemon and the browser answered.
  }
  return new ApiError(status, '', `The daemon answered with status ${status}.`);
}
