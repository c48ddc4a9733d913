/** The bans that the filters show, all of them, as a file. */
import { address } from '../api/client';
import { narrowed, type BanFilters } from '../lib/ban-filters';

const FORMATS = [
  ['csv', 'CSV'],
  ['json', 'JSON'],
  ['list', 'List'],
] as const;

export function ExportLinks({ filters }: { filters: BanFilters }) {
  return FORMATS.map(([format, name]) => (
    <a
      key={format}
      className="button"
      href={address('/api/v1/bans/export', {}, { ...narrowed(filters), format })}
      download={`bans.${format === 'list' ? 'txt' : format}`}
    >
      {name}
      <span className="unseen"> of the bans</span>
    </a>
  ));
}
