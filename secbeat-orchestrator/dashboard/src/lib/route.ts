/** Which page an address of the browser is, and back. */

export type Page = 'now' | 'client' | 'bans' | 'fleet' | 'rules' | 'audit' | 'reports' | 'sessions' | 'unknown';

export interface Route {
  page: Page;
  /** The address of a client's page. */
  client?: string;
  query: URLSearchParams;
}

const PAGES: Record<string, Page> = {
  '': 'now',
  bans: 'bans',
  fleet: 'fleet',
  rules: 'rules',
  audit: 'audit',
  reports: 'reports',
  sessions: 'sessions',
};

export function parse(pathname: string, search: string): Route {
  const query = new URLSearchParams(search);
  const [first = '', ...rest] = pathname.replace(/^\/+|\/+$/g, '').split('/');
  if (first === 'client' && rest.length > 0) {
    return { page: 'client', client: decoded(rest.join('/')), query };
  }
  const page = rest.length === 0 ? PAGES[first] : undefined;
  return { page: page ?? 'unknown', query };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The path of a client's page. An address has nothing that needs an escape; what is none is escaped. */
export function clientPath(address: string): string {
  return `/client/${encodeURIComponent(address).replaceAll('%3A', ':')}`;
}

/** Filters as they stand in the address: only those that are set, in the order of `empty`. */
export function toSearch<F extends Record<string, string>>(filters: F, empty: F): string {
  const search = new URLSearchParams();
  for (const name of Object.keys(empty)) {
    const value = filters[name] ?? '';
    if (value !== '' && value !== empty[name]) {
      search.set(name, value);
    }
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

/** Filters from the address; what it does not set is as in `empty`, and what `empty` does not know is ignored. */
export function fromSearch<F extends Record<string, string>>(query: URLSearchParams, empty: F): F {
  const filters: Record<string, string> = {};
  for (const [name, value] of Object.entries(empty)) {
    filters[name] = query.get(name) ?? value;
  }
  return filters as F;
}
