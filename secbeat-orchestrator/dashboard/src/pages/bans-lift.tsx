/** Lifting many bans at once: first which, then the order. */
import { useState } from 'react';
import { ApiError, call, type Schemas } from '../api/client';
import type { Ban } from '../api/types';
import { narrowed, type BanFilters } from '../lib/ban-filters';
import { plural } from '../lib/format';
import { useLoad } from '../lib/load';
import { Hostile, Shown, Target, Until } from '../ui/basic';
import { Dialog } from '../ui/dialog';
import { NoteField } from '../ui/orders';
import { Table, type Column } from '../ui/table';

/** 10,000 bans take a while, milliseconds. */
const TIMEOUT_MS = 120_000;
/** After how many changes of what matches it can be lifted without another look. */
const CHANGES = 2;

interface Props {
  /** Those that were chosen; none means all that the filters show. */
  targets: string[];
  filters: BanFilters;
  onClose: () => void;
  onDone: () => void;
}

export function LiftManyDialog({ targets, filters, onClose, onDone }: Props) {
  const which = targets.length > 0 ? { targets } : { filter: narrowed(filters) };
  const preview = useLoad('lift', (signal) => call('post', '/api/v1/bans/lift', { body: { ...which, dry_run: true }, signal }));
  const [changes, setChanges] = useState(0);
  const [unseen, setUnseen] = useState(false);
  const [note, setNote] = useState('');
  const lift = async () => {
    const { matched: expected = 0, digest = '' } = preview.data ?? {};
    const seen = unseen ? {} : { expected, digest };
    const { failed } = await call('post', '/api/v1/bans/lift', { body: { ...which, ...seen, note }, timeoutMs: TIMEOUT_MS }).catch((error: unknown) => {
      if (error instanceof ApiError && error.code === 'changed') {
        setChanges((changes) => changes + 1);
        preview.reload();
      }
      throw error;
    });
    onDone();
    if (failed.length > 0) {
      throw new Error(failed.map(({ target, why }) => `${target}: ${why}`).join('; '));
    }
  };
  const lifted = preview.data?.lifted ?? 0;
  return (
    <Dialog title="Lift bans" act={unseen ? 'Lift what matches' : `Lift ${plural(lifted, 'ban')}`} onAct={lift} onClose={onClose} ready={lifted > 0}>
      <p>Every edge lets their packets through within a second, and their counters start from zero. This is what would be lifted:</p>
      <Shown of={preview}>{(told) => <Preview told={told} />}</Shown>
      <NoteField value={note} set={setNote} focus={false} />
      {changes >= CHANGES && (
        <label className="check">
          <input type="checkbox" checked={unseen} onChange={(event) => setUnseen(event.target.checked)} /> Lift what matches now, also what is not shown here
        </label>
      )}
    </Dialog>
  );
}

function Preview({ told }: { told: Schemas['Lifting'] }) {
  const more = told.lifted - told.bans.length;
  return (
    <div className="numbers">
      <Table caption="Bans that would be lifted" columns={columns} rows={told.bans} rowKey={(ban) => ban.target} empty="None." />
      {more > 0 && <p className="note">and {plural(more, 'more ban')}</p>}
      {told.left > 0 && <p className="note">{plural(told.left, 'ban')} would be left: one order lifts 10,000 at most. Repeat it.</p>}
    </div>
  );
}

const columns: Column<Ban>[] = [
  { name: 'Target', cell: (ban) => <Target target={ban.target} /> },
  { name: 'Reason', cell: (ban) => ban.reason },
  { name: 'Note', cell: (ban) => <Hostile text={ban.note} />, minor: true },
  { name: 'Expires', cell: (ban) => <Until at={ban.expires_at} /> },
];
