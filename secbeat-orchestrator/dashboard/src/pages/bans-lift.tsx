/** Lifting many bans at once: first which, then the order. */
import { useState } from 'react';
import { call } from '../api/client';
import type { Ban } from '../api/types';
import { bansQuery, type BanFilters } from '../lib/ban-filters';
import { plural } from '../lib/format';
import { useLoad } from '../lib/load';
import { Hostile, Shown, Target, Until } from '../ui/basic';
import { Dialog } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

/** Bans that one order lifts at most. */
const MOST = 10_000;

interface Props {
  /** Those that were chosen; none means all that the filters show. */
  targets: readonly string[];
  filters: BanFilters;
  onClose: () => void;
  onDone: () => void;
}

export function LiftManyDialog({ targets, filters, onClose, onDone }: Props) {
  const [keep, setKeep] = useState(false);
  const [sofar, setSofar] = useState(0);
  const found = useLoad('lift', async (signal): Promise<Ban[]> => {
    const page = await call('get', '/api/v1/bans', { query: { ...bansQuery({ ...filters, after: '' }), limit: MOST }, signal });
    return targets.length === 0 ? page.bans : page.bans.filter((ban) => targets.includes(ban.target));
  });
  const bans = found.data ?? [];
  const lift = async () => {
    const list = crypto.randomUUID();
    for (const [index, ban] of bans.entries()) {
      await call('delete', '/api/v1/bans/{target}', {
        path: { target: ban.target },
        query: keep ? { keep_strikes: true } : { list },
      });
      setSofar(index + 1);
    }
    onDone();
  };
  return (
    <Dialog
      title="Lift bans"
      act={sofar === 0 ? `Lift ${plural(bans.length, 'ban')}` : `${sofar} of ${bans.length}`}
      onAct={lift}
      onClose={onClose}
      ready={bans.length > 0}
    >
      <p>Every edge lets their packets through within a second. This is what would be lifted:</p>
      <Shown of={found}>
        {(bans) => (
          <div className="numbers">
            <Table caption="Bans that would be lifted" columns={columns} rows={bans.slice(0, 500)} rowKey={(ban) => ban.target} empty="None." />
            {bans.length > 500 && <p className="note">and {plural(bans.length - 500, 'more')}</p>}
          </div>
        )}
      </Shown>
      <label className="check">
        <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.target.checked)} /> Count them as repeat offences
      </label>
    </Dialog>
  );
}

const columns: Column<Ban>[] = [
  { name: 'Target', cell: (ban) => <Target target={ban.target} /> },
  { name: 'Reason', cell: (ban) => ban.reason },
  { name: 'Note', cell: (ban) => <Hostile text={ban.note} />, minor: true },
  { name: 'Expires', cell: (ban) => <Until at={ban.expires_at} /> },
];
