/** Who is signed in on the web, and how to end it. */
import { useState } from 'react';
import { call } from '../api/client';
import type { Session } from '../api/types';
import { visible } from '../lib/format';
import { useLoad } from '../lib/load';
import { refresh, useMay, useStanding } from '../lib/session';
import { Ago, Badge, Empty, Hostile, Panel, Shown, Time } from '../ui/basic';
import { Dialog } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

export function Sessions() {
  const may = useMay('admin');
  const standing = useStanding();
  return (
    <>
      <h1>Sessions</h1>
      {standing.kind === 'in' && (
        <p>
          You are <strong>{visible(standing.session.name)}</strong> with the role <strong>{standing.session.role}</strong>. This session ends{' '}
          <Ago at={standing.session.expires_at} />.
        </p>
      )}
      {may ? <All /> : <Empty>Admins see and end the sessions of all.</Empty>}
    </>
  );
}

function All() {
  const [open, setOpen] = useState<Session>();
  const sessions = useLoad('sessions', (signal) => call('get', '/api/v1/sessions', { signal }), { everyMs: 10_000 });
  const columns: Column<Session>[] = [
    { name: 'Who', cell: (session) => <>{visible(session.name)} {session.is_current && <Badge tone="info">this one</Badge>}</> },
    { name: 'Role', cell: (session) => session.role },
    { name: 'Began', cell: (session) => <Time at={session.began_at} />, minor: true },
    { name: 'Last used', cell: (session) => <Ago at={session.used_at} /> },
    { name: 'By', cell: (session) => (session.by_link ? 'one-time link' : 'token'), minor: true },
    { name: 'Browser', cell: (session) => <Hostile text={session.agent} />, minor: true },
    { name: 'Ends', cell: (session) => <Ago at={session.ends_unused_at} />, minor: true },
    {
      name: 'Orders',
      unseen: true,
      cell: (session) => (
        <button type="button" className="quiet" onClick={() => setOpen(session)}>
          End<span className="unseen"> the session of {visible(session.name)}</span>
        </button>
      ),
    },
  ];
  return (
    <Panel title="Signed in" wide>
      <Shown of={sessions}>
        {(rows) => <Table caption="Sessions" columns={columns} rows={rows} rowKey={(session) => session.id} empty="Nobody is signed in." />}
      </Shown>
      {open !== undefined && (
        <Dialog
          title={`End the session of ${visible(open.name)}`}
          act="End it"
          danger
          onAct={async () => {
            await call('delete', '/api/v1/sessions/{id}', { path: { id: open.id } });
            sessions.reload();
            await refresh();
          }}
          onClose={() => setOpen(undefined)}
        >
          <p>Its browser has to sign in again. The token itself stays valid: remove it from the config to end that, too.</p>
        </Dialog>
      )}
    </Panel>
  );
}
