/** An import: what would happen to each line, then the import itself. */
import { useState } from 'react';
import { call } from '../api/client';
import type { Imported } from '../api/types';
import { plural } from '../lib/format';
import { entries, lines, type Line } from '../lib/lines';
import { Badge, Hostile } from '../ui/basic';
import { Dialog, Field, TextField } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

/** Bans in one request at most. */
const MOST = 10_000;

interface Preview {
  list: Line[];
  imported: Imported;
}

export function ImportDialog({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [text, setText] = useState('');
  const [duration, setDuration] = useState('24h');
  const [note, setNote] = useState('');
  const [preview, setPreview] = useState<Preview>();
  const list = lines(text);
  const send = async (dryRun: boolean) =>
    await call('post', '/api/v1/bans/import', {
      body: { bans: entries(list, duration, note), dry_run: dryRun, skip_refused: !dryRun },
    });
  const change = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    setPreview(undefined);
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
      <Field label="Addresses and networks, one a line" hint={`At most ${MOST.toLocaleString('en')}; what follows # is left out`}>
        {(id, hint) => (
          <textarea
            id={id}
            aria-describedby={hint}
            rows={8}
            value={text}
            autoFocus
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
      <TextField label="For" hint="As 24h, 7d or permanent" value={duration} set={change(setDuration)} required />
      <TextField label="Note" hint="Where the list is from" value={note} set={change(setNote)} />
      <button
        type="button"
        disabled={list.length === 0 || list.length > MOST}
        onClick={() => void send(true).then((imported) => setPreview({ list, imported }), reportIn(setPreview, list))}
      >
        Preview {plural(list.length, 'line')}
      </button>
      {preview !== undefined && <Outcome preview={preview} />}
    </Dialog>
  );
}

/** A list that cannot be read at all: its error stands beside the line that it names. */
function reportIn(set: (preview: Preview) => void, list: Line[]) {
  return (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    const [, place = '0', why = message] = /^bans\[(\d+)\]: (.*)$/s.exec(message) ?? [];
    const index = Number(place);
    const refused = [{ index, target: list[index]?.target ?? '', why, code: 'invalid' }];
    set({ list, imported: { banned: 0, longer: 0, kept: 0, ended: 0, refused, new_networks: 0, free_networks: 0, exempting: 0 } });
  };
}

function Outcome({ preview: { list, imported } }: { preview: Preview }) {
  const refused = new Map(imported.refused.map((entry) => [entry.index, entry.why]));
  // The daemon counts what it would keep, and does not name it.
  const good = imported.banned === 0 ? 'valid' : imported.kept + imported.ended > 0 ? 'banned, or kept as it is' : 'banned';
  const columns: Column<Line>[] = [
    { name: 'Line', cell: (line) => line.number, right: true },
    { name: 'Target', cell: (line) => <Hostile text={line.target} /> },
    {
      name: 'What would happen',
      cell: (line) => {
        const why = refused.get(list.indexOf(line));
        return why === undefined ? <Badge tone="ok">{good}</Badge> : <Hostile text={why} />;
      },
    },
  ];
  const wrongFirst = [...list].sort((a, b) => Number(refused.has(list.indexOf(b))) - Number(refused.has(list.indexOf(a))));
  return (
    <div role="status">
      <p>
        <strong>{plural(imported.banned, 'new ban')}</strong>, {imported.longer} of them in place of shorter ones; {imported.kept} kept as they are;{' '}
        {plural(imported.refused.length, 'line')} left out.
        {(imported.exempting ?? 0) > 0 && ` ${plural(imported.exempting ?? 0, 'network')} hold allowlisted clients, who stay allowed.`}
      </p>
      <Table caption="What would happen to each line" columns={columns} rows={wrongFirst.slice(0, 200)} rowKey={(line) => String(line.number)} />
    </div>
  );
}
