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
}

/** Sends `method` to `path`; the answer's JSON. Throws [`ApiError`]. */
export async function call<M extends Method, P extends With<M>>(
  method: M,
  path: P,
  options: Options<paths[P][M]> = {},
): Promise<Answer<paths[P][M]>> {
  const init: RequestInit = { method: method.toUpperCase(), headers: { Accept: 'application/json' } };
  if (options.signal !== undefined) {
    init.signal = options.signal;
  }
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
  }
  const response = await send(address(path, options.path, options.query as object | undefined), init);
  const text = await response.text();
  if (!response.ok) {
    throw problem(response.status, text);
  }
  return (text === '' ? undefined : JSON.parse(text)) as Answer<paths[P][M]>;
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') {
      throw error;
    }
    throw new ApiError(0, 'no_answer', 'The daemon does not answer. Is it running?');
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
