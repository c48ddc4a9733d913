/** An import: what would happen to each line, then the import itself. */
import { useMemo, useState } from 'react';
import { ApiError, call } from '../api/client';
import type { Imported } from '../api/types';
import { exact, plural } from '../lib/format';
import { entries, fates, lines, type Fated, type Line } from '../lib/lines';
import { turns } from '../lib/pace';
import { Badge, Failed, Hostile } from '../ui/basic';
import { Dialog, Field, TextField } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

/** Bans in one request at most. */
const MOST = 10_000;
/** So many take a while, milliseconds. */
const TIMEOUT_MS = 120_000;
/** Lines of a preview that are shown at first. */
const SHOWN = 200;

interface Preview {
  list: Line[];
  imported: Imported;
}

export function ImportDialog({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [text, setText] = useState('');
  const [duration, setDuration] = useState('24h');
  const [note, setNote] = useState('');
  const [preview, setPreview] = useState<Preview>();
  const [error, setError] = useState<ApiError>();
  const [turn] = useState(turns);
  const list = useMemo(() => lines(text), [text]);
  const send = async (dryRun: boolean) =>
    await call('post', '/api/v1/bans/import', {
      body: { bans: entries(list, duration.trim(), note), dry_run: dryRun, skip_refused: !dryRun },
      timeoutMs: TIMEOUT_MS,
    });
  const change = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    // A preview on its way is of other lines than an import would now send.
    turn.drop();
    setPreview(undefined);
    setError(undefined);
  };
  const look = async () => {
    const isWanted = turn.begin();
    setPreview(undefined);
    setError(undefined);
    try {
      const imported = await send(true);
      if (isWanted()) {
        setPreview({ list, imported });
      }
    } catch (failure) {
      if (!isWanted()) {
        return;
      }
      setError(failure instanceof ApiError ? failure : new ApiError(0, '', String(failure)));
    }
  };
  const act = async () => {
    await send(false);
    onDone();
  };
  return (
    <Dialog
      title="Import bans"
      act={preview === undefined ? 'Import' : `Import ${plural(preview.imported.banned, 'ban')}`}
      onAct={act}
      onClose={onClose}
      ready={preview !== undefined && preview.imported.banned > 0}
    >
      <Field label="Addresses and networks, one a line" hint={`At most ${exact(MOST)}; what follows # is left out. The CSV of an export is read, too`}>
        {(id, hint) => (
          <textarea
            id={id}
            aria-describedby={hint}
            rows={8}
            value={text}
            data-focus=""
            spellCheck={false}
            onChange={(event) => change(setText)(event.target.value)}
          />
        )}
      </Field>
      <Field label="Or a file of such lines">
        {(id) => (
          <input
            id={id}
            type="file"
            accept=".txt,.csv,.netset,.ipset,text/plain"
            onChange={(event) => void event.target.files?.[0]?.text().then(change(setText))}
          />
        )}
      </Field>
      <TextField label="For" hint="As 24h, 7d or permanent; ends in an export go before it" value={duration} set={change(setDuration)} required />
      <TextField label="Note" hint="Where the list is from" value={note} set={change(setNote)} />
      {list.length > MOST && (
        <p role="alert" className="failed">
          These are {exact(list.length)} bans, and one import takes {exact(MOST)}. Split the list, or use the command import on the daemon's host.
        </p>
      )}
      <button type="button" disabled={list.length === 0 || list.length > MOST} onClick={() => void look()}>
        Preview {plural(list.length, 'line')}
      </button>
      {error !== undefined && <Failed error={error} />}
      {preview !== undefined && <Outcome preview={preview} />}
    </Dialog>
  );
}

const columns: Column<Fated>[] = [
  { name: 'Line', cell: ({ line }) => line.number, right: true },
  { name: 'Target', cell: ({ line }) => <Hostile text={line.target} /> },
  { name: 'What would happen', cell: ({ what, tone }) => (tone === 'bad' ? <Hostile text={what} /> : <Badge tone={tone}>{what}</Badge>) },
];

function Outcome({ preview: { list, imported } }: { preview: Preview }) {
  const rows = useMemo(() => fates(list, imported), [list, imported]);
  const [shown, setShown] = useState(SHOWN);
  return (
    <div role="status">
      <p>
        <strong>{plural(imported.banned, 'new ban')}</strong>, {imported.longer} of them in place of shorter ones; {imported.kept} kept as they are;{' '}
        {plural(imported.refused.length, 'line')} left out.
        {(imported.exempting ?? 0) > 0 && ` ${plural(imported.exempting ?? 0, 'network')} hold allowlisted clients, who stay allowed.`}
      </p>
      <Table caption="What would happen to each line" columns={columns} rows={rows.slice(0, shown)} rowKey={({ line }) => `${line.number} ${line.target}`} />
      {rows.length > shown && (
        <button type="button" onClick={() => setShown(shown + 10 * SHOWN)}>
          Show more of {plural(rows.length, 'line')}
        </button>
      )}
    </div>
  );
}
