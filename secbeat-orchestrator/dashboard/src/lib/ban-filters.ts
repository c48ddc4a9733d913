/** The filters of the page of bans, and what they ask the daemon for. */
import type { BanQuery } from '../api/types';

export const NO_BAN_FILTERS = {
  reason: '',
  within: '',
  contains: '',
  issuer: '',
  layer: '',
  sort: '-issued',
  after: '',
};
export type BanFilters = typeof NO_BAN_FILTERS;

/** Filters that narrow the list down: not its order, and not the place in it. */
export function isFiltered(filters: BanFilters): boolean {
  return Object.entries(filters).some(([name, value]) => name !== 'sort' && name !== 'after' && value !== '');
}

/** What the filters ask for; a filter that is not set is left out. */
export function bansQuery(filters: BanFilters): BanQuery {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ''));
}
