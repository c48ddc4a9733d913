/** Orders of operators: ban, lift, allow. */
import { useId, useState, type ReactNode } from 'react';
import { call } from '../api/client';
import { doubtOf, shown } from '../lib/net';
import { Dialog, Field, TextField } from './dialog';

const DURATIONS = ['1h', '4h', '24h', '7d', '30d', 'permanent'];

interface Props {
  onClose: () => void;
  /** Called once the daemon has done it. */
  onDone: () => void;
}

/** What `text` means; asked of the reader where that may be two things, and empty until there is an answer. */
function useMeant(text: string): { meant: string; question: ReactNode } {
  const [answer, setAnswer] = useState('');
  const name = useId();
  const doubt = doubtOf(text);
  if (doubt === undefined) {
    return { meant: text.trim(), question: null };
  }
  const choices: [string, string][] = [
    [doubt.network, `The network ${doubt.network}`],
    [doubt.address, `${doubt.address} alone`],
  ];
  const question = (
    <fieldset>
      <legend>What is meant?</legend>
      {choices.map(([choice, label]) => (
        <label key={choice}>
          <input type="radio" name={name} required checked={answer === choice} onChange={() => setAnswer(choice)} /> {label}
        </label>
      ))}
    </fieldset>
  );
  return { meant: choices.some(([choice]) => choice === answer) ? answer : '', question };
}

/** Asks for a ban; of `target`, if it is given. */
export function BanDialog({ target: fixed, onClose, onDone }: Props & { target?: string }) {
  const [target, setTarget] = useState(fixed ?? '');
  const [duration, setDuration] = useState('24h');
  const [note, setNote] = useState('');
  const [shorten, setShorten] = useState(false);
  const { meant, question } = useMeant(target);
  const order = async () => {
    await call('post', '/api/v1/bans', { body: { target: meant, duration, note, shorten, permanent: false } });
    onDone();
  };
  return (
    <Dialog title={fixed === undefined ? 'Ban' : `Ban ${shown(fixed)}`} act="Ban" danger onAct={order} onClose={onClose} ready={meant !== ''}>
      {fixed === undefined && (
        <TextField label="Address or network" hint="As 198.51.100.7, 2001:db8::/48" value={target} set={setTarget} required focus />
      )}
      {question}
      <DurationField value={duration} set={setDuration} />
      <NoteField value={note} set={setNote} focus={fixed !== undefined} />
      <label className="check">
        <input type="checkbox" checked={shorten} onChange={(event) => setShorten(event.target.checked)} /> Replace a ban that lasts longer
      </label>
    </Dialog>
  );
}

/** Why something is ordered. */
export function NoteField(props: { value: string; set: (value: string) => void; focus: boolean }) {
  return <TextField label="Note" hint="Why; the audit keeps it" {...props} />;
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
  const [note, setNote] = useState('');
  const order = async () => {
    await call('delete', '/api/v1/bans/{target}', { path: { target }, query: { keep_strikes: keep, note } });
    onDone();
  };
  return (
    <Dialog title={`Lift the ban of ${shown(target)}`} act="Lift the ban" onAct={order} onClose={onClose}>
      <p>Every edge lets its packets through within a second. Its counters start from zero.</p>
      <NoteField value={note} set={setNote} focus />
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
  const { meant, question } = useMeant(network);
  const order = async () => {
    await call('post', '/api/v1/allowlist', {
      body: { network: meant, comment, ...(duration === 'permanent' ? {} : { duration }) },
    });
    onDone();
  };
  return (
    <Dialog title={`Allow ${shown(target)}`} act="Allow" onAct={order} onClose={onClose} ready={meant !== ''}>
      <p>Allowlisted clients are never banned. A ban in force is not enforced while the entry exists.</p>
      <TextField label="Address or network" value={network} set={setNetwork} required />
      {question}
      <DurationField value={duration} set={setDuration} />
      <TextField label="Comment" hint="Who that is; refusals and the audit quote it" value={comment} set={setComment} required focus />
    </Dialog>
  );
}
