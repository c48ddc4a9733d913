/** Lifting many bans at once: first which, then the order. */
import { ApiError, call, type Schemas } from '../api/client';
import type { Ban } from '../api/types';
import { narrowed, type BanFilters } from '../lib/ban-filters';
import { plural, visible } from '../lib/format';
import { useLoad } from '../lib/load';
import { shown } from '../lib/net';
import { Hostile, Shown, Target, Until } from '../ui/basic';
import { Dialog } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

/** 10,000 bans take a while, milliseconds. */
const TIMEOUT_MS = 120_000;

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
  const lift = async () => {
    const expected = preview.data?.matched ?? 0;
    const { failed } = await call('post', '/api/v1/bans/lift', { body: { ...which, expected }, timeoutMs: TIMEOUT_MS }).catch((error: unknown) => {
      if (error instanceof ApiError && error.code === 'changed') {
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
    <Dialog title="Lift bans" act={`Lift ${plural(lifted, 'ban')}`} onAct={lift} onClose={onClose} ready={lifted > 0}>
      <p>Every edge lets their packets through within a second, and their counters start from zero. This is what would be lifted:</p>
      <Shown of={preview}>{(told) => <Preview told={told} targets={targets} />}</Shown>
    </Dialog>
  );
}

function Preview({ told, targets }: { told: Schemas['Lifting']; targets: readonly string[] }) {
  if (told.bans.length === 0 && targets.length > 0) {
    return (
      <ul>
        {targets.map((target) => (
          <li key={target}>{visible(shown(target))}</li>
        ))}
      </ul>
    );
  }
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
