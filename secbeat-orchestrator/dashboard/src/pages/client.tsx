/** All that is known of one address, and what can be done about it. */
import { useState } from 'react';
import { call } from '../api/client';
import type { Ban, PastBan, Propagation, Source, Window } from '../api/types';
import { duration, exact, plural, visible, whereOf } from '../lib/format';
import { useLoad } from '../lib/load';
import { isAddress, neighbourhood, shown } from '../lib/net';
import { useMay } from '../lib/session';
import { useLive } from '../live/connect';
import { Badge, Bar, Empty, Hostile, Panel, Sentence, Shown, Target, Time, Until, type Tone } from '../ui/basic';
import { AllowDialog, BanDialog, LiftDialog } from '../ui/orders';
import { Table, type Column } from '../ui/table';
import { seenColumns } from './seen';

const STANDINGS: Record<Source['standing'], { tone: Tone; name: string }> = {
  banned: { tone: 'bad', name: 'banned' },
  protected: { tone: 'ok', name: 'allowlisted' },
  free: { tone: 'plain', name: 'not banned' },
  unknown: { tone: 'plain', name: 'unknown' },
};

export function Client({ address }: { address: string }) {
  const { version } = useLive();
  const source = useLoad(address, (signal) => call('get', '/api/v1/sources/{address}', { path: { address }, signal }), { version, everyMs: 5_000 });
  const propagation = useLoad('propagation', (signal) => call('get', '/api/v1/propagation', { signal }), { version, everyMs: 2_000 });
  if (!isAddress(address)) {
    return (
      <>
        <h1>Client</h1>
        <Empty>
          <Hostile text={address} /> is not an IPv4 or IPv6 address. Type one into the field at the top.
        </Empty>
      </>
    );
  }
  return (
    <>
      <h1 className="address">{visible(address)}</h1>
      <Shown of={source}>{(source_) => <Told source={source_} propagation={propagation.data} reload={source.reload} />}</Shown>
    </>
  );
}

function Told({ source, propagation, reload }: { source: Source; propagation: Propagation | undefined; reload: () => void }) {
  const standing = source.is_exempt === true ? { tone: 'plain' as Tone, name: 'banned' } : STANDINGS[source.standing];
  return (
    <>
      <div className="lead">
        <Badge tone={standing.tone}>{standing.name}</Badge>
        {source.is_exempt === true && <Badge tone="ok">allowlisted: its packets pass</Badge>}
        <span>
          counted as <code>{source.source}</code>
        </span>
        <span>{source.strikes === 0 ? 'no repeat offence' : plural(source.strikes, 'repeat offence')}</span>
        <Orders source={source} reload={reload} />
      </div>
      <div className="sentences">
        {source.sentences.map((sentence) => (
          <p key={sentence}>
            <Sentence text={sentence} />
          </p>
        ))}
      </div>
      <div className="grid two">
        <Panel title="Windows" note="events within each rule's window, and its threshold">
          <Windows windows={source.windows} />
        </Panel>
        <Panel title="Bans in force">
          <InForce bans={source.bans} propagation={propagation} />
          {source.protected.map((entry) => (
            <p key={entry.network + entry.reason}>
              <Badge tone="ok">allowlisted</Badge> <code>{entry.network}</code>: {entry.reason} {visible(entry.comment ?? '')}
              {entry.until !== undefined && entry.until !== null && (
                <>
                  , until <Time at={entry.until} />
                </>
              )}
            </p>
          ))}
        </Panel>
      </div>
      <Panel title="Timeline" note="evidence, finding, decision, enforcement" wide>
        <Timeline source={source} propagation={propagation} />
      </Panel>
      <Panel title="Requests and events" note={plural(source.events.length, 'event')} wide>
        <Seen source={source} />
      </Panel>
      <div className="grid two">
        <Panel title="Earlier bans">
          <History history={source.history} />
        </Panel>
        <Around source={source} />
      </div>
    </>
  );
}

/** Events that are shown at first. */
const FEW = 20;

function Seen({ source }: { source: Source }) {
  const [all, setAll] = useState(false);
  const events = [...source.events].reverse();
  return (
    <>
      <Table
        caption={`What was seen of ${source.address}, the latest first`}
        columns={seenColumns}
        rows={all ? events : events.slice(0, FEW)}
        rowKey={(event, index) => `${event.at_ms} ${index}`}
        empty="No error response, WAF event or signature is known of this client."
      />
      {events.length > FEW && !all && (
        <button type="button" className="quiet" onClick={() => setAll(true)}>
          Show all {exact(events.length)}
        </button>
      )}
    </>
  );
}

function Orders({ source, reload }: { source: Source; reload: () => void }) {
  const [open, setOpen] = useState<'ban' | 'allow' | { lift: string }>();
  const mayBan = useMay('operate');
  const mayAllow = useMay('admin');
  const close = () => setOpen(undefined);
  if (!mayBan) {
    return <span className="note orders">Your role reads only: operators lift and ban.</span>;
  }
  return (
    <span className="orders">
      {source.bans.map((ban) => (
        <button type="button" className="primary" key={ban.target} onClick={() => setOpen({ lift: ban.target })}>
          Lift the ban{source.bans.length > 1 ? ` of ${shown(ban.target)}` : ''}
        </button>
      ))}
      <button type="button" onClick={() => setOpen('ban')}>
        {source.bans.length > 0 ? 'Ban for longer' : 'Ban'}
      </button>
      {mayAllow && (
        <button type="button" onClick={() => setOpen('allow')}>
          Allow
        </button>
      )}
      {open === 'ban' && <BanDialog target={source.address} onClose={close} onDone={reload} />}
      {open === 'allow' && <AllowDialog target={source.source} onClose={close} onDone={reload} />}
      {typeof open === 'object' && <LiftDialog target={open.lift} onClose={close} onDone={reload} />}
    </span>
  );
}

function Windows({ windows }: { windows: readonly Window[] }) {
  if (windows.length === 0) {
    return <Empty>No rule counts.</Empty>;
  }
  return windows.map((window) => (
    <Bar
      key={window.rule}
      label={
        <>
          {window.rule} {window.observe && <Badge>dry run</Badge>}
        </>
      }
      value={window.count}
      max={window.threshold}
      text={`${exact(window.count)} of ${exact(window.threshold)} in ${duration(window.window_ms)}`}
      tone={window.count >= window.threshold ? 'bad' : window.count * 2 >= window.threshold ? 'warn' : 'info'}
    />
  ));
}

function InForce({ bans, propagation }: { bans: readonly Ban[]; propagation: Propagation | undefined }) {
  if (bans.length === 0) {
    return <Empty>None.</Empty>;
  }
  return bans.map((ban) => (
    <dl className="facts" key={ban.command_id}>
      <dt>Target</dt>
      <dd>
        <code>{shown(ban.target)}</code> {ban.state === 'pending' && <Badge tone="warn">not written yet</Badge>}
      </dd>
      <dt>Reason</dt>
      <dd>
        {ban.reason} <Hostile text={ban.note} />
      </dd>
      <dt>By</dt>
      <dd>{visible(ban.issuer)}</dd>
      <dt>Expires</dt>
      <dd>
        <Until at={ban.expires_at} />
      </dd>
      <dt>Where</dt>
      <dd>
        {ban.layer === 'kernel' ? 'kernel: packets are dropped' : 'HTTP: answered with 403'}
        {ban.edges !== undefined && ban.edges !== null && `, on ${whereOf(ban)}`}
      </dd>
      <dt>In the kernels</dt>
      <dd>
        <Enforced command={ban.command_id} propagation={propagation} />
      </dd>
    </dl>
  ));
}

/** Which edges have a command, and after how many milliseconds. */
function Enforced({ command, propagation }: { command: string; propagation: Propagation | undefined }) {
  const told = propagation?.commands.find((known) => known.command_id === command);
  if (told === undefined) {
    return <>not among the latest bans, for which times are kept</>;
  }
  if ([told.enforced, told.pending, told.refused, told.failed].every((edges) => edges.length === 0)) {
    return <>no edge has sent a heartbeat</>;
  }
  return (
    <ul className="list">
      {told.enforced.map((edge) => (
        <li key={edge.edge_id}>
          {visible(edge.edge_id)}: after {duration(edge.after_ms)}
        </li>
      ))}
      {told.pending.map((edge) => (
        <li key={edge}>{visible(edge)}: not acknowledged yet</li>
      ))}
      {[...told.refused, ...told.failed].map((edge) => (
        <li key={edge.edge_id}>
          <Badge tone="bad">not enforced</Badge> {visible(edge.edge_id)}: {visible(edge.why)}
        </li>
      ))}
    </ul>
  );
}

interface Step {
  at: string;
  kind: string;
  text: string;
  until?: string | null | undefined;
}

/** The sentence of a step, which says its end by the clock of UTC alone: with the whole time, it is told in the reader's zone. */
function withDay({ text, until }: Step): string {
  const clock = until?.split('T')[1];
  return clock === undefined ? text : text.replace(` until ${clock}`, ` until ${until}`);
}

/** The story of the daemon, with the acknowledgements of each kernel in it. */
export function steps(source: Pick<Source, 'timeline' | 'history'>, propagation: Propagation | undefined): Step[] {
  const all: Step[] = source.timeline.map((step) => ({ ...step, text: withDay(step) }));
  const known = new Set(source.history.map((ban) => ban.command_id));
  for (const command of propagation?.commands ?? []) {
    if (!known.has(command.command_id)) {
      continue;
    }
    for (const edge of command.enforced) {
      const at = new Date(Date.parse(command.issued_at) + edge.after_ms).toISOString();
      all.push({ at, kind: 'enforced', text: `the kernel of ${edge.edge_id} had the ban, ${duration(edge.after_ms)} after the decision` });
    }
  }
  return all.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

function Timeline({ source, propagation }: { source: Source; propagation: Propagation | undefined }) {
  const all = steps(source, propagation);
  if (all.length === 0) {
    return <Empty>{source.audit_missing ?? 'Nothing is known of this client: no event, no finding, no ban.'}</Empty>;
  }
  return (
    <ol className="timeline">
      {all.map((step, index) => (
        <li key={index} className={`step ${step.kind}`}>
          <Time at={step.at} fine />
          <span className="kind">{step.kind}</span>
          <Sentence text={step.text} />
        </li>
      ))}
    </ol>
  );
}

const ENDS: Record<PastBan['end']['how'], string> = {
  'in-force': 'in force',
  expired: 'expired',
  lifted: 'lifted',
  replaced: 'replaced',
};

const historyColumns: Column<PastBan>[] = [
  { name: 'Decided', cell: (ban) => <Time at={ban.decided_at} /> },
  { name: 'Target', cell: (ban) => <code>{shown(ban.target)}</code>, minor: true },
  { name: 'Reason', cell: (ban) => ban.reason },
  { name: 'By', cell: (ban) => visible(ban.actor), minor: true },
  {
    name: 'End',
    cell: ({ end }) => (
      <>
        {ENDS[end.how]}
        {end.how === 'lifted' && ` by ${visible(end.actor)}`}
        {end.how === 'lifted' && end.note !== undefined && (
          <>
            : <Hostile text={end.note} />
          </>
        )}
      </>
    ),
  },
];

function History({ history }: { history: readonly PastBan[] }) {
  return (
    <Table
      caption="Bans that the audit remembers, the latest first"
      columns={historyColumns}
      rows={[...history].reverse()}
      rowKey={(ban) => ban.command_id}
      empty="The audit knows no ban of this client."
    />
  );
}

const neighbourColumns: Column<Ban>[] = [
  { name: 'Target', cell: (ban) => <Target target={ban.target} /> },
  { name: 'Reason', cell: (ban) => ban.reason },
  { name: 'Issued', cell: (ban) => <Time at={ban.issued_at} />, minor: true },
  { name: 'Expires', cell: (ban) => <Until at={ban.expires_at} /> },
];

/** Others of the same network, who may belong together. */
function Around({ source }: { source: Source }) {
  const { version } = useLive();
  const network = neighbourhood(source.address);
  const within = network ?? source.source;
  const bans = useLoad(within, (signal) => call('get', '/api/v1/bans', { query: { within, sort: '-issued', limit: 20 }, signal }), { version });
  return (
    <Panel title="Network around it" note={network}>
      <Shown of={bans}>
        {(page) => (
          <Table
            caption={`Bans within ${network ?? ''}`}
            columns={neighbourColumns}
            rows={page.bans.filter((ban) => ban.target !== source.source)}
            rowKey={(ban) => ban.command_id}
            empty="No other client of this network is banned."
          />
        )}
      </Shown>
    </Panel>
  );
}
