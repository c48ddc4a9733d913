/** Orders of operators: ban, lift, allow. */
import { useState } from 'react';
import { call } from '../api/client';
import { shown } from '../lib/net';
import { Dialog, Field, TextField } from './dialog';

const DURATIONS = ['1h', '4h', '24h', '7d', '30d', 'permanent'];

interface Props {
  onClose: () => void;
  /** Called once the daemon has done it. */
  onDone: () => void;
}

/** Asks for a ban; of `target`, if it is given. */
export function BanDialog({ target: fixed, onClose, onDone }: Props & { target?: string }) {
  const [target, setTarget] = useState(fixed ?? '');
  const [duration, setDuration] = useState('24h');
  const [note, setNote] = useState('');
  const [shorten, setShorten] = useState(false);
  const order = async () => {
    await call('post', '/api/v1/bans', { body: { target: target.trim(), duration, note, shorten, permanent: false } });
    onDone();
  };
  return (
    <Dialog title={fixed === undefined ? 'Ban' : `Ban ${shown(fixed)}`} act="Ban" danger onAct={order} onClose={onClose} ready={target.trim() !== ''}>
      {fixed === undefined && (
        <TextField label="Address or network" hint="As 198.51.100.7, 2001:db8::/48" value={target} set={setTarget} required focus />
      )}
      <DurationField value={duration} set={setDuration} />
      <TextField label="Note" hint="Why; the audit keeps it" value={note} set={setNote} focus={fixed !== undefined} />
      <label className="check">
        <input type="checkbox" checked={shorten} onChange={(event) => setShorten(event.target.checked)} /> Replace a ban that lasts longer
      </label>
    </Dialog>
  );
}

function DurationField({ value, set }: { value: string; set: (value: string) => void }) {
  return (
    <Field label="For">
      {(id) => (
        <select id={id} value={value} onChange={(event) => set(event.target.value)}>
          {DURATIONS.map((duration) => (
            <option key={duration}>{duration}</option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** Asks whether the ban of `target` is lifted. */
export function LiftDialog({ target, onClose, onDone }: Props & { target: string }) {
  const [keep, setKeep] = useState(false);
  const order = async () => {
    await call('delete', '/api/v1/bans/{target}', { path: { target }, query: { keep_strikes: keep } });
    onDone();
  };
  return (
    <Dialog title={`Lift the ban of ${shown(target)}`} act="Lift the ban" onAct={order} onClose={onClose}>
      <p>Every edge lets its packets through within a second. Its counters start from zero.</p>
      <label className="check">
        <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.target.checked)} /> Count this ban as a repeat offence
        <span className="note"> (it was right, and only too long)</span>
      </label>
    </Dialog>
  );
}

/** Asks for an entry of the fleet's allowlist. */
export function AllowDialog({ target, onClose, onDone }: Props & { target: string }) {
  const [network, setNetwork] = useState(shown(target));
  const [duration, setDuration] = useState('permanent');
  const [comment, setComment] = useState('');
  const order = async () => {
    await call('post', '/api/v1/allowlist', {
      body: { network: network.trim(), comment, ...(duration === 'permanent' ? {} : { duration }) },
    });
    onDone();
  };
  return (
    <Dialog title={`Allow ${shown(target)}`} act="Allow" onAct={order} onClose={onClose} ready={network.trim() !== ''}>
      <p>Allowlisted clients are never banned. A ban in force is not enforced while the entry exists.</p>
      <TextField label="Address or network" value={network} set={setNetwork} required />
      <DurationField value={duration} set={setDuration} />
      <TextField label="Comment" hint="Who that is; refusals and the audit quote it" value={comment} set={setComment} required focus />
    </Dialog>
  );
}
