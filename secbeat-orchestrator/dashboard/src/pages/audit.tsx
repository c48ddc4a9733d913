/** What was decided, and by whom. */
import { address, call } from '../api/client';
import type { Audited } from '../api/types';
import { plural, visible } from '../lib/format';
import { useLoad } from '../lib/load';
import { shown } from '../lib/net';
import { useFilters } from '../lib/router';
import { useLive } from '../live/connect';
import { Badge, Hostile, Panel, Shown, Target, Time, type Tone } from '../ui/basic';
import { FilterBar, FilterSelect, FilterText } from '../ui/filters';
import { Save } from '../ui/save';
import { Table, type Column } from '../ui/table';

const NO_FILTERS = { target: '', actor: '', kind: '', since: '24h', limit: '200' };

const KINDS = [
  ['', 'all'],
  ['ban', 'bans'],
  ['unban', 'lifted bans'],
  ['observed', 'dry runs'],
  ['suppressed', 'suppressed findings'],
  ['allow', 'allowlist entries'],
  ['disallow', 'removed allowlist entries'],
  ['list', 'lists'],
  ['signatures', 'signatures'],
] as const;

const SPANS = [
  ['1h', 'the last hour'],
  ['24h', 'the last day'],
  ['7d', 'the last week'],
  ['30d', 'the last 30 days'],
  ['90d', 'the last 90 days'],
] as const;

export function Audit() {
  const [filters, change] = useFilters(NO_FILTERS);
  const { version } = useLive();
  const query = { ...filters, limit: Number(filters.limit) };
  const audit = useLoad(JSON.stringify(filters), (signal) => call('get', '/api/v1/audit', { query: used(query), signal }), { version });
  return (
    <>
      <div className="page-head">
        <h1>Audit</h1>
        <span className="note" role="status">
          {audit.data !== undefined && plural(audit.data.length, 'record')}
          {audit.data?.length === query.limit && ', and perhaps older ones: narrow it down'}
        </span>
        <div className="actions">
          <Save name="audit" rows={audit.data ?? []} json={address('/api/v1/audit', {}, query)} fields={csvFields} />
        </div>
      </div>
      <FilterBar onClear={JSON.stringify(filters) === JSON.stringify(NO_FILTERS) ? undefined : () => change(NO_FILTERS)}>
        <FilterText label="Target" value={filters.target} set={(target) => change({ target })} hint="198.51.100.7, 10.0.0.0/8" />
        <FilterText label="By" value={filters.actor} set={(actor) => change({ actor })} hint="alice" />
        <FilterSelect label="Kind" value={filters.kind} set={(kind) => change({ kind })} options={KINDS} />
        <FilterSelect label="Since" value={filters.since} set={(since) => change({ since })} options={SPANS} />
        <FilterSelect
          label="At most"
          value={filters.limit}
          set={(limit) => change({ limit })}
          options={[
            ['200', '200'],
            ['1000', '1,000'],
            ['10000', '10,000'],
          ]}
        />
      </FilterBar>
      <Panel title="Decisions" note="the latest first" wide>
        <Shown of={audit}>
          {(records) => (
            <Table caption="Decisions" columns={columns} rows={records} rowKey={(_, index) => String(index)} empty="Nothing was decided: widen the time or remove a filter." />
          )}
        </Shown>
      </Panel>
    </>
  );
}

/** Only what is set: the daemon knows no empty filter. */
function used<Q extends Record<string, string | number>>(query: Q): Partial<Q> {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== '')) as Partial<Q>;
}

const TONES: Record<string, Tone> = { ban: 'bad', unban: 'ok', allow: 'ok', disallow: 'warn', observed: 'info', suppressed: 'warn' };

/** A note behind what is told, if there is one. */
function said(note = ''): string {
  return note === '' ? '' : `: ${note}`;
}

/** What a record says beside its target and actor. */
export function told(record: Audited): string {
  switch (record.kind) {
    case 'ban':
      return `${record.reason}${said(record.note)}${record.strikes > 0 ? ` (${plural(record.strikes, 'repeat offence')})` : ''}`;
    case 'observed':
      return `would have been banned: ${record.reason}: ${record.note}`;
    case 'suppressed':
      return `${record.reason}, nobody was banned: ${record.why}`;
    case 'allow':
      return record.comment;
    case 'unban':
      return record.note ?? '';
    case 'disallow':
      return '';
    case 'list':
      return `${record.name ?? record.id} (${record.format}): ${record.new} new, ${record.longer} longer, ${record.unchanged} unchanged, ${record.left_out} left out${said(record.note)}`;
    default:
      return JSON.stringify(record);
  }
}

const targetOf = (record: Audited): string => ('target' in record ? record.target : '');

const csvFields: [string, (record: Audited) => string][] = [
  ['at', (record) => record.at],
  ['kind', (record) => record.kind],
  ['target', targetOf],
  ['actor', (record) => record.actor],
  ['text', told],
];

const columns: Column<Audited>[] = [
  { name: 'Time', cell: (record) => <Time at={record.at} /> },
  { name: 'Kind', cell: (record) => <Badge tone={TONES[record.kind] ?? 'plain'}>{record.kind}</Badge> },
  { name: 'Target', cell: (record) => (targetOf(record) === '' ? '' : <Target target={shown(targetOf(record))} />) },
  { name: 'By', cell: (record) => visible(record.actor), minor: true },
  { name: 'What', cell: (record) => <Hostile text={told(record)} /> },
];
