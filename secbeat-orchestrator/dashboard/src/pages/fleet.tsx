/** Every host: what enforces there, and whether it agrees. */
import { call } from '../api/client';
import type { BusServer, Edge, Propagation, Stats } from '../api/types';
import { bytes, count, duration, exact, percent, plural, visible } from '../lib/format';
import { histogram } from '../lib/histogram';
import { useLoad } from '../lib/load';
import { useFilters } from '../lib/router';
import { useLive } from '../live/connect';
import { Ago, Badge, Bar, Empty, Hostile, Panel, Shown, Time, type Tone } from '../ui/basic';
import { FilterBar, FilterSelect, FilterText } from '../ui/filters';
import { Table, type Column } from '../ui/table';

/** From so many milliseconds on a clock is wrong. */
const WRONG_CLOCK_MS = 1000;
const NO_FILTERS = { text: '', state: '' };

export function Fleet() {
  const { version } = useLive();
  const [filters, change] = useFilters(NO_FILTERS);
  const again = { version, everyMs: 5_000 };
  const edges = useLoad('edges', (signal) => call('get', '/api/v1/edges', { signal }), again);
  const stats = useLoad('stats', (signal) => call('get', '/api/v1/stats', { signal }), again);
  const propagation = useLoad('propagation', (signal) => call('get', '/api/v1/propagation', { signal }), again);
  const isFiltered = filters.text !== '' || filters.state !== '';
  return (
    <>
      <h1>Fleet</h1>
      <FilterBar onClear={isFiltered ? () => change(NO_FILTERS) : undefined}>
        <FilterText label="Name or label" value={filters.text} set={(text) => change({ text })} hint="web-1, site=eu" />
        <FilterSelect
          label="State"
          value={filters.state}
          set={(state) => change({ state })}
          options={[
            ['', 'all'],
            ['wrong', 'with a problem'],
            ['up', 'up'],
            ['down', 'down'],
            ['stopped', 'stopped'],
          ]}
        />
      </FilterBar>
      <Panel title="Edges" note={edges.data && plural(edges.data.length, 'edge')} wide>
        <Shown of={edges}>
          {(all) => (
            <Table
              caption="Edges"
              columns={edgeColumns}
              rows={all.filter((edge) => matches(edge, filters))}
              rowKey={(edge) => edge.edge_id}
              empty={
                all.length === 0
                  ? 'No edge was heard of: bans reach no kernel. Start an edge, and look at its credentials.'
                  : 'No edge matches these filters.'
              }
            />
          )}
        </Shown>
      </Panel>
      <div className="grid two">
        <Panel title="From the decision into the kernels" note="latest bans">
          <Shown of={propagation}>{(told) => <Times propagation={told} />}</Shown>
        </Panel>
        <Panel title="Telemetry" note="since the orchestrator's start">
          <Shown of={edges}>{(all) => <Telemetry edges={all} />}</Shown>
        </Panel>
      </div>
      <Panel title="Logs" note="those in trouble first" wide>
        <Shown of={edges}>{(all) => <Logs edges={all} />}</Shown>
      </Panel>
      <Shown of={stats}>{(told) => <Others stats={told} />}</Shown>
    </>
  );
}

/** What is wrong with an edge, in words; none if all is well. */
export function problems(edge: Edge): string[] {
  const told: string[] = [];
  if (edge.state !== 'up') {
    return [edge.state === 'stopped' ? 'was stopped' : 'is not heard of'];
  }
  for (const { name, unprotected } of edge.record.interfaces) {
    if (unprotected !== undefined && unprotected !== null) {
      told.push(`${name} is not protected: ${unprotected}`);
    }
  }
  if (edge.drifting_since !== undefined && edge.drifting_since !== null) {
    told.push('has other bans than the ledger');
  }
  if (edge.record.bans.unwritten > 0) {
    told.push(`its kernel does not take ${plural(edge.record.bans.unwritten, 'ban')}`);
  }
  if (!edge.record.bans.synced) {
    told.push('has not read all bans yet');
  }
  if (edge.cannot_read !== undefined && edge.cannot_read.length > 0) {
    told.push(`its release cannot read these messages: ${edge.cannot_read.join(', ')}`);
  }
  if (Math.abs(edge.clock_ahead_ms) >= WRONG_CLOCK_MS) {
    told.push('its clock is wrong: set it right (NTP)');
  }
  if (edge.signatures === 'differs') {
    told.push('has other signatures than the fleet');
  }
  for (const { name, trouble } of edge.record.feeds ?? []) {
    if (trouble !== undefined && trouble !== null) {
      told.push(`feed ${name} is not in force: ${trouble}`);
    }
  }
  for (const { name, trouble } of edge.record.logs ?? []) {
    if (trouble !== undefined && trouble !== null) {
      told.push(`log ${name}: ${trouble}`);
    }
  }
  return told;
}

/** Whether an edge is one that the filters ask for. */
export function matches(edge: Edge, { text, state }: { text: string; state: string }): boolean {
  const labels = Object.entries(edge.record.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const fits = text === '' || [edge.edge_id, ...labels].some((name) => name.includes(text));
  return fits && (state === '' || (state === 'wrong' ? problems(edge).length > 0 : edge.state === state));
}

const TONES: Record<Edge['state'], Tone> = { up: 'ok', down: 'bad', stopped: 'warn' };

const edgeColumns: Column<Edge>[] = [
  {
    name: 'Edge',
    cell: (edge) => (
      <>
        <strong>{visible(edge.edge_id)}</strong>{' '}
        {Object.entries(edge.record.labels ?? {}).map(([name, value]) => (
          <Badge key={name}>
            {visible(name)}={visible(value)}
          </Badge>
        ))}
      </>
    ),
  },
  {
    name: 'State',
    cell: (edge) => {
      const wrong = problems(edge);
      return (
        <>
          <Badge tone={TONES[edge.state]}>{edge.state}</Badge> {edge.record.observe_only && <Badge tone="warn">dry run</Badge>}
          {wrong.length > 0 && (
            <ul className="list wrong">
              {wrong.map((what) => (
                <li key={what}>
                  <Hostile text={what} />
                </li>
              ))}
            </ul>
          )}
        </>
      );
    },
  },
  { name: 'Heard', cell: (edge) => <Ago at={edge.heard ?? edge.record.at_ms} />, minor: true },
  {
    name: 'Interfaces',
    cell: (edge) => (
      <ul className="list">
        {edge.record.interfaces.map(({ name, mode, unprotected }) => (
          <li key={name}>
            {visible(name)} <span className={unprotected === undefined || unprotected === null ? 'note' : 'note bad'}>{visible(mode)}</span>
          </li>
        ))}
        {edge.record.interfaces.length === 0 && <li className="note">HTTP only</li>}
      </ul>
    ),
  },
  { name: 'Bans', cell: (edge) => exact(edge.record.bans.active), right: true, minor: true },
  {
    name: 'Dropped',
    cell: (edge) => <span title={`${exact(edge.record.drops.packets)} packets`}>{count(edge.record.drops.packets)}</span>,
    right: true,
  },
  { name: 'Bytes', cell: (edge) => bytes(edge.record.drops.bytes), right: true, minor: true },
  {
    name: 'Clock',
    cell: ({ clock_ahead_ms: ms }) => (
      <span className={Math.abs(ms) >= WRONG_CLOCK_MS ? 'bad' : ''}>
        {ms === 0 ? 'right' : `${duration(Math.abs(ms))} ${ms > 0 ? 'ahead' : 'behind'}`}
      </span>
    ),
    minor: true,
  },
  { name: 'Signatures', cell: (edge) => exact(edge.record.signatures?.count ?? 0), right: true, minor: true },
  { name: 'Version', cell: (edge) => visible(edge.record.version), minor: true },
];

export function Times({ propagation }: { propagation: Propagation }) {
  const times = propagation.commands.flatMap((command) => command.enforced.map((edge) => edge.after_ms));
  const buckets = histogram(times);
  const most = Math.max(1, ...buckets.map((bucket) => bucket.count));
  return (
    <>
      {buckets.length === 0 ? (
        <Empty>No ban has been acknowledged since the orchestrator's start.</Empty>
      ) : (
        <div className="histogram">
          {buckets.map((bucket) => (
            <Bar key={bucket.name} label={bucket.name} value={bucket.count} max={most} text={exact(bucket.count)} />
          ))}
        </div>
      )}
      <Table
        caption="Times of each edge"
        columns={timeColumns}
        rows={propagation.edges}
        rowKey={(edge) => edge.edge_id}
        empty="No times yet."
      />
    </>
  );
}

const timeColumns: Column<Propagation['edges'][number]>[] = [
  { name: 'Edge', cell: (edge) => visible(edge.edge_id) },
  { name: 'Bans', cell: (edge) => exact(edge.count), right: true },
  { name: 'Median', cell: (edge) => duration(edge.p50_ms), right: true },
  { name: '95 %', cell: (edge) => duration(edge.p95_ms), right: true, minor: true },
  { name: '99 %', cell: (edge) => duration(edge.p99_ms), right: true },
  { name: 'Most', cell: (edge) => duration(edge.max_ms), right: true },
  { name: 'Refused', cell: (edge) => exact(edge.refused + edge.failed), right: true, minor: true },
];

function Telemetry({ edges }: { edges: readonly Edge[] }) {
  return (
    <Table
      caption="Telemetry of each edge"
      columns={telemetryColumns}
      rows={edges.filter((edge) => edge.telemetry !== undefined && edge.telemetry !== null)}
      rowKey={(edge) => edge.edge_id}
      empty="No telemetry has come: look at the edges' logs ([[access_log]]) or the proxy."
    />
  );
}

const telemetryColumns: Column<Edge>[] = [
  { name: 'Edge', cell: (edge) => visible(edge.edge_id) },
  { name: 'Requests', cell: (edge) => count(edge.telemetry?.requests ?? 0), right: true },
  { name: 'Batches', cell: (edge) => count(edge.telemetry?.batches ?? 0), right: true, minor: true },
  { name: 'Late', cell: (edge) => count(edge.telemetry?.late ?? 0), right: true, minor: true },
  {
    name: 'Lost',
    cell: (edge) => {
      const lost = (edge.telemetry?.lost ?? 0) + edge.record.telemetry_lost;
      return <span className={lost > 0 ? 'bad' : ''}>{count(lost)}</span>;
    },
    right: true,
  },
  { name: 'On disk', cell: (edge) => bytes(edge.record.spool.bytes), right: true },
];

type Followed = NonNullable<Edge['record']['logs']>[number];

/** How edges get on with their logs. */
function Logs({ edges }: { edges: readonly Edge[] }) {
  const all = edges.flatMap(({ edge_id, state, record }) => (state === 'up' ? (record.logs ?? []).map((log) => ({ edge_id, log })) : []));
  const inTrouble = ({ log }: { log: Followed }) => Number(log.trouble !== undefined && log.trouble !== null);
  return (
    <Table
      caption="Logs of each edge"
      columns={logColumns}
      rows={all.sort((a, b) => inTrouble(b) - inTrouble(a))}
      rowKey={({ edge_id, log }) => `${edge_id} ${log.name}`}
      empty="No edge tells of a log that it follows ([[access_log]], [[service_log]])."
    />
  );
}

const logColumns: Column<{ edge_id: string; log: Followed }>[] = [
  { name: 'Edge', cell: ({ edge_id }) => visible(edge_id) },
  { name: 'Log', cell: ({ log }) => <Hostile text={log.name} /> },
  {
    name: 'State',
    cell: ({ log: { trouble, silent_ms } }) => {
      if (trouble !== undefined && trouble !== null) {
        return (
          <span className="bad">
            <Hostile text={trouble} />
          </span>
        );
      }
      return silent_ms === undefined || silent_ms === null ? 'no line yet' : `last line ${duration(silent_ms)} ago`;
    },
  },
  { name: 'Lines', cell: ({ log }) => count(log.lines ?? 0), right: true, minor: true },
  {
    name: 'Not understood',
    cell: ({ log: { lines = 0, not_understood: not = 0, recent = 0, recent_not_understood: recentNot = 0 } }) => (
      <span title={`${exact(recentNot)} of the last ${exact(recent)} lines`} className={2 * recentNot > recent ? 'bad' : ''}>
        {lines === 0 ? '–' : percent(not / lines)}
      </span>
    ),
    right: true,
  },
  {
    name: 'Delay',
    cell: ({ log: { delay_ms: ms } }) => (ms === undefined || ms === null ? '–' : ms < 0 ? 'from the future' : duration(ms)),
    right: true,
    minor: true,
  },
  { name: 'Not read yet', cell: ({ log }) => bytes(log.bytes_behind ?? 0), right: true, minor: true },
];

export function Others({ stats }: { stats: Stats }) {
  const { leases } = stats;
  const members = leases?.members ?? [];
  const owned = (member: string) => leases?.partitions.filter((partition) => partition.holder === member).length ?? 0;
  return (
    <>
      <div className="grid two">
        <Panel title="Orchestrators" note={stats.version}>
          <Table
            caption="Orchestrators"
            columns={[
              { name: 'Name', cell: (member: string) => <>{visible(member)} {member === leases?.instance && <Badge tone="info">answers here</Badge>}</> },
              { name: 'Partitions', cell: (member: string) => `${owned(member)} of ${leases?.partitions.length ?? 0}`, right: true },
              {
                name: 'Config',
                cell: (member: string) => {
                  const keys = leases?.differing?.find((other) => other.orchestrator === member)?.keys;
                  return keys === undefined ? 'as here' : <Badge tone="warn">differs: {keys.join(', ')}</Badge>;
                },
              },
            ]}
            rows={members}
            rowKey={(member) => member}
            empty="This process owns all partitions: it is one host."
          />
        </Panel>
        <Panel title="Message server and audit">
          <p>
            <Badge tone={stats.bus_connected ? 'ok' : 'bad'}>{stats.bus_connected ? 'connected' : 'not connected'}</Badge>
          </p>
          {stats.bus_troubles?.map((trouble) => (
            <p key={trouble.text} className="bad">
              <Hostile text={trouble.text} />
            </p>
          ))}
          {(stats.bus_servers ?? []).length > 0 && (
            <Table
              caption="NATS servers"
              columns={[
                { name: 'NATS server', cell: (server: BusServer) => visible(server.name) },
                {
                  name: 'State',
                  cell: (server: BusServer) => (
                    <Badge tone={server.reached ? 'ok' : 'bad'}>{server.reached ? 'reached' : 'not reached'}</Badge>
                  ),
                },
                { name: 'Leads', cell: (server: BusServer) => `${server.leads} of ${server.keeps}`, right: true },
                {
                  name: 'Writes behind',
                  cell: (server: BusServer) => {
                    const behind = Object.entries(server.behind ?? {});
                    const told = behind.map(([of, writes]) => `${visible(of)}: ${writes === 0 ? 'some' : count(writes)}`);
                    return told.length === 0 ? 'none' : told.join(', ');
                  },
                },
              ]}
              rows={stats.bus_servers ?? []}
              rowKey={(server) => server.name}
            />
          )}
          {stats.audit?.map((part) => (
            <Bar
              key={part.part}
              label={`audit: ${part.part}`}
              value={part.bytes}
              max={part.max_bytes}
              text={`${bytes(part.bytes)} of ${bytes(part.max_bytes)} (${percent(part.bytes / part.max_bytes)})`}
              tone={part.short ? 'bad' : 'info'}
            />
          ))}
          {stats.bus_certificates?.map((certificate) => (
            <p key={certificate.name}>
              {visible(certificate.name)} expires <Time at={certificate.expires_at} /> {certificate.soon && <Badge tone="warn">soon</Badge>}
            </p>
          ))}
        </Panel>
      </div>
    </>
  );
}
