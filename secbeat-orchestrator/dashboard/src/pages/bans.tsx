/** All bans: pages, order and filters are the server's. */
import { useMemo, useRef, useState, type Dispatch, type SetStateAction } from 'react';
import { call } from '../api/client';
import type { Ban } from '../api/types';
import { exact, plural, visible, whereOf } from '../lib/format';
import { NO_BAN_FILTERS, bansQuery, isFiltered, narrowed, type BanFilters } from '../lib/ban-filters';
import { useLoad } from '../lib/load';
import { shown } from '../lib/net';
import { toSearch } from '../lib/route';
import { navigate, useFilters } from '../lib/router';
import { useMay } from '../lib/session';
import { useLive } from '../live/connect';
import { Ago, Badge, Hostile, Panel, Shown, Target, Until } from '../ui/basic';
import { BanDialog, LiftDialog } from '../ui/orders';
import { Table, type Column } from '../ui/table';
import { FilterBar, FilterSelect, FilterText } from '../ui/filters';
import { ExportLinks } from './bans-export';
import { ImportDialog } from './bans-import';
import { LiftManyDialog } from './bans-lift';

const PAGE = 100;

type Chosen = ReadonlySet<string>;
type Open = 'ban' | 'import' | 'lift' | { lift: string } | undefined;

export function Bans() {
  const [filters, change] = useFilters(NO_BAN_FILTERS);
  const { version } = useLive();
  const [selected, setSelected] = useState<Chosen>(new Set());
  const [open, setOpen] = useState<Open>();
  // Of the narrowing that it is about: only a first page has it.
  const known = useRef<{ of: string; total: number }>(undefined);
  const mayChange = useMay('operate');
  const page = useLoad(
    JSON.stringify(filters),
    async (signal) => {
      const of = JSON.stringify(narrowed(filters));
      const asked = call('get', '/api/v1/bans', { query: { ...bansQuery(filters), limit: PAGE }, signal });
      const counts = filters.after !== '' && known.current?.of !== of;
      const first = counts ? call('get', '/api/v1/bans', { query: { ...narrowed(filters), limit: 1 }, signal }) : undefined;
      const [page, counted] = await Promise.all([asked, first]);
      const total = page.total ?? counted?.total;
      if (total !== undefined && total !== null) {
        known.current = { of, total };
      }
      return { ...page, total: known.current?.of === of ? known.current.total : undefined };
    },
    { version },
  );
  const total = page.isOld ? undefined : page.data?.total;
  const filter = (some: Partial<BanFilters>) => {
    setSelected(new Set());
    change({ after: '', ...some });
  };
  const shownColumns = useMemo(() => columns(mayChange, selected, setSelected, setOpen), [mayChange, selected]);
  const close = () => setOpen(undefined);
  const done = () => {
    setSelected(new Set());
    page.reload();
  };
  return (
    <>
      <div className="page-head">
        <h1>Bans</h1>
        <span className="note" role="status">
          {total !== undefined && `${plural(total, 'ban')}${isFiltered(filters) ? ' with these filters' : ''}`}
        </span>
        <div className="actions">
          {mayChange && (
            <>
              <button type="button" className="primary" onClick={() => setOpen('ban')}>
                Ban
              </button>
              <button type="button" onClick={() => setOpen('import')}>
                Import
              </button>
            </>
          )}
          <ExportLinks filters={filters} />
          {mayChange && (
            <button type="button" onClick={() => setOpen('lift')} disabled={selected.size === 0 && (!isFiltered(filters) || page.data === undefined)}>
              {selected.size > 0 ? `Lift ${exact(selected.size)}` : 'Lift all that are filtered'}
            </button>
          )}
        </div>
      </div>
      <Filters filters={filters} change={filter} />
      <Panel title="Bans in force" wide>
        <Shown of={page}>
          {(bans) => (
            <>
              <Table
                caption="Bans in force"
                columns={shownColumns}
                rows={bans.bans}
                rowKey={targetOf}
                order={{ by: filters.sort, set: (sort) => filter({ sort }) }}
                empty={isFiltered(filters) ? 'No ban matches these filters. Remove one of them.' : 'Nobody is banned.'}
              />
              <nav className="pager" aria-label="Pages of bans">
                <button type="button" disabled={filters.after === ''} onClick={() => (isPaged() ? history.back() : filter({}))}>
                  Back
                </button>
                <button type="button" disabled={bans.next === null || bans.next === undefined} onClick={() => next(filters, bans.next ?? '')}>
                  Next {PAGE}
                </button>
              </nav>
            </>
          )}
        </Shown>
      </Panel>
      {open === 'ban' && <BanDialog onClose={close} onDone={done} />}
      {open === 'import' && <ImportDialog onClose={close} onDone={done} />}
      {open === 'lift' && <LiftManyDialog targets={[...selected]} filters={filters} onClose={close} onDone={done} />}
      {typeof open === 'object' && <LiftDialog target={open.lift} onClose={close} onDone={done} />}
    </>
  );
}

/** Goes on to the page that begins at `after`; the browser's way back leads here. */
function next(filters: BanFilters, after: string): void {
  navigate(window.location.pathname + toSearch({ ...filters, after }, NO_BAN_FILTERS), false, { isPaged: true });
}

/** Whether the page before this one is the browser's last step. A page that was opened by its address has none before it. */
function isPaged(): boolean {
  return (history.state as { isPaged?: boolean } | null)?.isPaged === true;
}

function Filters({ filters, change }: { filters: BanFilters; change: (some: Partial<BanFilters>) => void }) {
  const rules = useLoad('rules', (signal) => call('get', '/api/v1/rules', { signal }));
  const edges = useLoad('edges', (signal) => call('get', '/api/v1/edges', { signal }));
  const clear = { ...NO_BAN_FILTERS, sort: filters.sort };
  return (
    <FilterBar onClear={isFiltered(filters) ? () => change(clear) : undefined}>
      <FilterText label="Text" value={filters.text} set={(text) => change({ text })} hint="target, reason, note" isFree />
      <FilterSelect
        label="Reason"
        value={filters.reason}
        set={(reason) => change({ reason })}
        options={[['', 'all'], ['manual', 'manual'], ...(rules.data ?? []).map((rule) => [rule.name, rule.name] as const)]}
      />
      <FilterText label="Network" value={filters.within} set={(within) => change({ within })} hint="198.51.100.0/24" />
      <FilterText label="By" value={filters.issuer} set={(issuer) => change({ issuer })} hint="alice" />
      <FilterSelect
        label="Edge"
        value={filters.edge}
        set={(edge) => change({ edge })}
        options={[['', 'all'], ...(edges.data ?? []).map(({ edge_id: id }) => [id, visible(id)] as const)]}
      />
      <FilterText label="Label" value={filters.label} set={(label) => change({ label })} hint="site=eu" />
      <FilterSelect label="Issued" value={age(filters)} set={(age) => change(ofAge(age))} options={AGES} />
    </FilterBar>
  );
}

const AGES = [
  ['', 'at any time'],
  ['newer_than=1h', 'within the last hour'],
  ['newer_than=24h', 'within the last day'],
  ['newer_than=7d', 'within the last week'],
  ['older_than=24h', 'more than a day ago'],
  ['older_than=7d', 'more than a week ago'],
  ['older_than=30d', 'more than 30 days ago'],
] as const;

/** The filters of age as one choice. */
function age({ newer_than: newer, older_than: older }: BanFilters): string {
  return newer !== '' ? `newer_than=${newer}` : older !== '' ? `older_than=${older}` : '';
}

function ofAge(age: string): Partial<BanFilters> {
  const [name = '', value = ''] = age.split('=');
  return { newer_than: '', older_than: '', ...(name === '' ? {} : { [name]: value }) };
}

const targetOf = (ban: Ban) => ban.target;

/** `chosen` with `target`, or without it if it was there. */
function toggled(chosen: Chosen, target: string): Chosen {
  const next = new Set(chosen);
  if (!next.delete(target)) {
    next.add(target);
  }
  return next;
}

function columns(
  mayChange: boolean,
  selected: Chosen,
  choose: Dispatch<SetStateAction<Chosen>>,
  open: Dispatch<SetStateAction<Open>>,
): Column<Ban>[] {
  const all: Column<Ban>[] = [
    { name: 'Client', cell: (ban) => <Target target={ban.target} />, sort: 'target' },
    {
      name: 'Why',
      cell: (ban) => (
        <>
          {ban.reason} {ban.state === 'pending' && <Badge tone="warn">not written yet</Badge>}{' '}
          <span className="note">
            <Hostile text={ban.note} />
          </span>
        </>
      ),
    },
    { name: 'By', cell: (ban) => visible(ban.issuer), minor: true },
    { name: 'Where', cell: (ban) => (ban.layer === 'kernel' ? 'kernel' : 'HTTP') + (ban.edges ? `: ${whereOf(ban)}` : ''), minor: true },
    { name: 'Offences', cell: (ban) => exact(ban.strikes), right: true, sort: 'strikes', minor: true },
    { name: 'Issued', cell: (ban) => <Ago at={ban.issued_at} />, sort: 'issued', minor: true },
    { name: 'Expires', cell: (ban) => <Until at={ban.expires_at} />, sort: 'expires' },
  ];
  if (!mayChange) {
    return all;
  }
  return [
    {
      name: 'Choose',
      unseen: true,
      cell: (ban) => (
        <input type="checkbox" aria-label={`Choose ${shown(ban.target)}`} checked={selected.has(ban.target)} onChange={() => choose((chosen) => toggled(chosen, ban.target))} />
      ),
    },
    ...all,
    {
      name: 'Orders',
      unseen: true,
      right: true,
      cell: (ban) => (
        <button type="button" className="quiet" onClick={() => open({ lift: ban.target })}>
          Lift<span className="unseen"> the ban of {shown(ban.target)}</span>
        </button>
      ),
    },
  ];
}
