/** The filters of the page of bans, and what they ask the daemon for. */
import type { BanQuery } from '../api/types';

/** Those that narrow the list down. */
const NO_NARROWING = {
  text: '',
  reason: '',
  issuer: '',
  within: '',
  edge: '',
  label: '',
  newer_than: '',
  older_than: '',
};
/** And its order, and the place in it. */
export const NO_BAN_FILTERS = { ...NO_NARROWING, sort: '-issued', after: '' };
export type BanFilters = typeof NO_BAN_FILTERS;
type Narrowing = { [Name in keyof typeof NO_NARROWING]?: string };

export function isFiltered(filters: BanFilters): boolean {
  return Object.keys(narrowed(filters)).length > 0;
}

/** What narrows the list down, without what is not set. */
export function narrowed(filters: BanFilters): Narrowing {
  return Object.fromEntries(Object.entries(filters).filter(([name, value]) => name in NO_NARROWING && value !== ''));
}

/** What the filters ask for. */
export function bansQuery(filters: BanFilters): BanQuery {
  return { ...narrowed(filters), sort: filters.sort, ...(filters.after === '' ? {} : { after: filters.after }) };
}
