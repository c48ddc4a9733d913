/** One screen: is somebody attacking, what is done about it, is every host protected. */
import { useMemo } from 'react';
import type { LatestBan, Overview } from '../api/types';
import { bytes, count, duration, exact, plural, visible } from '../lib/format';
import type { LiveEvent } from '../live/state';
import { useLive } from '../live/connect';
import { Ago, Badge, Bar, Empty, Hostile, Loading, Panel, Stat, Target, Time } from '../ui/basic';
import { Chart, type Series } from '../ui/chart';
import { Nearest } from '../ui/nearest';
import { Table, type Column } from '../ui/table';
import { Link } from '../lib/router';

export function Now() {
  const { overview } = useLive();
  return (
    <>
      <h1 className="unseen">Now</h1>
      {overview === undefined ? <Loading what="Waiting for the daemon" /> : <Shown overview={overview} />}
    </>
  );
}

function Shown({ overview }: { overview: Overview }) {
  return (
    <>
      <Alarms overview={overview} />
      <Numbers overview={overview} />
      <Rates overview={overview} />
      <div className="grid two">
        <Panel title="Latest bans" actions={<Link href="/bans">All bans</Link>}>
          <Table
            caption="Latest bans"
            columns={banColumns}
            rows={overview.latest}
            rowKey={(ban) => ban.command_id}
            empty="Nobody was banned lately."
          />
        </Panel>
        <Panel title="Nearest to a threshold" note="within the rules' windows">
          <Nearest nearest={overview.nearest} />
        </Panel>
        <Panel title="Findings by rule" note="since the orchestrator's start" actions={<Link href="/rules">Rules</Link>}>
          <ByRule overview={overview} />
        </Panel>
        <Panel title="Events" note="since this page was opened">
          <Events />
        </Panel>
        <Panel title="Dropped packets" note="by edge" actions={<Link href="/fleet">Fleet</Link>}>
          <ByEdge overview={overview} />
        </Panel>
      </div>
    </>
  );
}

const eventColumns: Column<LiveEvent>[] = [
  { name: 'When', cell: (event) => <Time at={event.at} clock /> },
  { name: 'What', cell: (event) => <Badge tone={event.tone}>{event.kind}</Badge> },
  { name: 'About', cell: (event) => (event.target === undefined ? visible(event.about) : <Target target={event.target} />) },
  { name: 'Details', cell: (event) => <Hostile text={event.text} />, minor: true },
];

/** What happened while the page was open; what went by while the connection was lost is here, too. */
function Events() {
  const { events } = useLive();
  return (
    <Table
      caption="Events, the latest first"
      columns={eventColumns}
      rows={events.slice(0, 12)}
      rowKey={(event) => event.id}
      empty="Nothing yet: findings, bans, lifted bans and alarms come here as they happen."
    />
  );
}

/** What can be said where no alarm is: an edge that only observes protects nothing, and is no alarm. */
export function wellOf(edges: readonly Pick<Overview['edges'][number], 'edge_id' | 'observe_only'>[]): { lead: string; rest: string } {
  const idle = edges.filter((edge) => edge.observe_only).map((edge) => visible(edge.edge_id));
  if (idle.length === 0) {
    return { lead: 'All is well.', rest: 'Every edge is protected and agrees with the ledger.' };
  }
  const who = idle.length > 3 ? `${exact(idle.length)} of ${plural(edges.length, 'edge')}` : idle.join(', ');
  return { lead: 'No alarm.', rest: `In observe mode, where banned clients are counted and not dropped: ${who}.` };
}

export function Alarms({ overview: { alarms, edges } }: { overview: Overview }) {
  const isOld = useLive().connection === 'lost';
  if (alarms.length === 0 && isOld) {
    return (
      <p className="well old">
        <strong>No alarm when the daemon was last seen.</strong> This page does not know what is so now.
      </p>
    );
  }
  if (alarms.length === 0) {
    const { lead, rest } = wellOf(edges);
    return (
      <p className="well">
        <strong>{lead}</strong> {rest}
      </p>
    );
  }
  return (
    <section aria-label="Alarms">
      {isOld && <p className="note">As of when the daemon was last seen:</p>}
      <ul className="alarms">
        {alarms.map((alarm) => (
          <li className="alarm" key={`${alarm.alert} ${alarm.about} ${alarm.what}`}>
            <strong>{visible(alarm.about)}</strong>
            <Hostile text={alarm.what} />
            {alarm.since !== undefined && alarm.since !== null && (
              <span className="note">
                since <Ago at={alarm.since} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

/** The mean of the latest ten seconds. */
function latest(values: readonly number[], stepMs: number): number {
  const last = values.slice(-Math.max(1, Math.round(10_000 / stepMs)));
  return last.length === 0 ? 0 : (sum(last) * 1000) / (last.length * stepMs);
}

function Numbers({ overview }: { overview: Overview }) {
  const { series } = overview;
  const errors = latest(series.errors, series.step_ms);
  const requests = latest(series.requests, series.step_ms);
  const drops = overview.edges.reduce((all, edge) => all + edge.dropped_packets, 0);
  return (
    <dl className="stats">
      <Stat label="Requests per second" value={count(requests)} />
      <Stat label="Errors per second" value={count(errors)} tone={errors > 1 && errors * 2 > requests ? 'warn' : 'plain'} />
      <Stat label="Bans in force" value={exact(overview.active_bans)} />
      <Stat label="Banned, last 5 min" value={exact(sum(series.bans))} tone={sum(series.bans) > 0 ? 'bad' : 'plain'} />
      <Stat label="Lifted, last 5 min" value={exact(sum(series.lifted))} />
      <Stat label="Packets dropped" value={count(drops)} note="all edges" />
    </dl>
  );
}

function Rates({ overview }: { overview: Overview }) {
  const { series } = overview;
  const { at, lines } = useMemo(() => {
    const rate = (values: readonly number[]) => values.map((value) => (value * 1000) / series.step_ms);
    const lines: Series[] = [
      { name: 'requests per second', color: '--c1', values: rate(series.requests) },
      { name: 'errors per second', color: '--c2', values: rate(series.errors) },
    ];
    return { at: series.requests.map((_, index) => (series.end_ms - (series.requests.length - index) * series.step_ms) / 1000), lines };
  }, [series]);
  return (
    <Panel title="Requests and errors" note="the last 5 minutes, all edges" wide>
      <Chart label="Requests and errors per second" at={at} series={lines} height={180} />
    </Panel>
  );
}

const banColumns: Column<LatestBan>[] = [
  { name: 'Client', cell: (ban) => <Target target={ban.target} /> },
  {
    name: 'Why',
    cell: (ban) => (
      <>
        {ban.reason} <span className="note"><Hostile text={ban.note} /></span>
      </>
    ),
  },
  { name: 'When', cell: (ban) => <Ago at={ban.at} /> },
  { name: 'In the kernels', cell: (ban) => <Kernels ban={ban} />, right: true },
];

/** After how long all kernels had a ban. */
function Kernels({ ban }: { ban: LatestBan }) {
  const edges = ban.enforced + ban.pending + ban.failed;
  const { enforced_after_ms: ms } = ban;
  return (
    <>
      {ms === undefined || ms === null ? (
        <span className="note">{ban.failed > 0 ? 'refused' : ban.pending > 0 ? 'on its way' : '–'}</span>
      ) : (
        <>
          {duration(ms)}
          {ban.enforced < edges && <span className="note"> ({`${ban.enforced} of ${edges}`})</span>}
        </>
      )}
      {ban.is_lifted && (
        <>
          {' '}
          <Badge tone="ok">lifted</Badge>
        </>
      )}
    </>
  );
}

function ByRule({ overview }: { overview: Overview }) {
  const rules = overview.rules.map((rule) => ({ ...rule, all: rule.banned + rule.observed + rule.suppressed + rule.already_banned }));
  const found = rules.filter((rule) => rule.all > 0).sort((a, b) => b.all - a.all);
  if (found.length === 0) {
    return <Empty>No rule has found anything.</Empty>;
  }
  const most = Math.max(...found.map((rule) => rule.all));
  return found.map((rule) => (
    <Bar
      key={rule.rule}
      label={rule.rule}
      value={rule.all}
      max={most}
      text={`${plural(rule.all, 'finding')}, ${plural(rule.banned, 'ban')}`}
    />
  ));
}

function ByEdge({ overview }: { overview: Overview }) {
  if (overview.edges.length === 0) {
    return <Empty>No edge was heard of.</Empty>;
  }
  const edges = [...overview.edges].sort((a, b) => b.dropped_packets - a.dropped_packets).slice(0, 20);
  const most = Math.max(1, ...edges.map((edge) => edge.dropped_packets));
  return edges.map((edge) => (
    <Bar
      key={edge.edge_id}
      label={visible(edge.edge_id)}
      value={edge.dropped_packets}
      max={most}
      text={`${count(edge.dropped_packets)} packets, ${bytes(edge.dropped_bytes)}`}
      tone="ok"
    />
  ));
}
