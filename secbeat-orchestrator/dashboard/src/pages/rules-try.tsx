/** What other thresholds would have done by a log; nothing is changed. */
import { useState, type FormEvent } from 'react';
import { ApiError, call, type Schemas } from '../api/client';
import type { Rule } from '../api/types';
import { bytes, exact, plural, visible } from '../lib/format';
import { useLoad } from '../lib/load';
import { textOf } from '../lib/log';
import { turns } from '../lib/pace';
import { edits, isThreshold, verdict, type Edit, type TriedChange } from '../lib/tried';
import { Badge, Failed, Panel, Stat, Target, Time, type Tone } from '../ui/basic';
import { Field, TextField } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

/** Longest log. The daemon takes one MiB more, for bytes that are no UTF-8 and grow. */
const MOST = 15 * 1024 * 1024;
/** Such a log takes a while, milliseconds. */
const TIMEOUT_MS = 300_000;

export function TryChange({ rules }: { rules: readonly Rule[] }) {
  const onHost = useLoad('rule logs', (signal) => call('get', '/api/v1/rules/logs', { signal })).data;
  const [file, setFile] = useState('');
  const [log, setLog] = useState<File>();
  const [format, setFormat] = useState('');
  const [changed, setChanged] = useState<Record<string, Edit>>({});
  const [tried, setTried] = useState<Schemas['Tried']>();
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const [turn] = useState(turns);
  // What came of another log or other rules would look like the outcome of these.
  const forget = () => {
    turn.drop();
    setTried(undefined);
    setError(undefined);
  };
  const asked = <T,>(set: (value: T) => void) => (value: T) => {
    forget();
    set(value);
  };
  const change = (rule: string, edit: Edit) => asked(setChanged)({ ...changed, [rule]: { ...changed[rule], ...edit } });
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (log === undefined && file === '') {
      return;
    }
    setBusy(true);
    forget();
    const isWanted = turn.begin();
    try {
      const by = log === undefined || file !== '' ? { file } : { log: await textOf(log, MOST) };
      const body = { ...by, rules: edits(changed), ...(format.trim() === '' ? {} : { format: format.trim() }) };
      const outcome = await call('post', '/api/v1/rules/try', { body, timeoutMs: TIMEOUT_MS });
      if (isWanted()) {
        setTried(outcome);
      }
    } catch (failure) {
      if (isWanted()) {
        setError(failure instanceof ApiError ? failure : new ApiError(0, '', failure instanceof Error ? failure.message : String(failure)));
      }
    }
    setBusy(false);
  };
  const tooLarge = file === '' && log !== undefined && log.size > MOST;
  const wrong = Object.entries(changed).filter(([, { threshold = '' }]) => !isThreshold(threshold));
  return (
    <Panel title="Try a change" note="by an access log; nothing is changed, and nobody is banned" wide>
      <form onSubmit={(event) => void submit(event)}>
        {onHost !== undefined && typeof onHost.folder === 'string' && (
          <Field
            label="Log on the daemon’s host"
            hint={typeof onHost.unreadable === 'string' ? `${visible(onHost.folder)} cannot be read: ${visible(onHost.unreadable)}` : `Of ${visible(onHost.folder)}`}
          >
            {(id, hint) => (
              <select id={id} aria-describedby={hint} value={file} onChange={(event) => asked(setFile)(event.target.value)}>
                <option value="">none: a file of yours</option>
                {onHost.files.map(({ name, bytes: size }) => (
                  <option key={name} value={name}>
                    {visible(name)}, {bytes(size)}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        <Field label="Access log" hint={tooLarge ? `${bytes(log.size)}, and ${bytes(MOST)} are allowed: cut it` : `Up to ${bytes(MOST)}, also compressed with gzip`}>
          {(id, hint) => (
            <input id={id} type="file" disabled={file !== ''} aria-describedby={hint} aria-invalid={tooLarge} onChange={(event) => asked(setLog)(event.target.files?.[0])} />
          )}
        </Field>
        <TextField label="Format" hint="Found out unless set: a name as combined or nginx-json, or a pattern" value={format} set={asked(setFormat)} />
        <Table caption="Rules to change" columns={columns(changed, change)} rows={rules} rowKey={(rule) => rule.name} />
        {wrong.map(([rule]) => (
          <p key={rule} role="alert" className="failed">
            The threshold of {visible(rule)} is not a whole number of 1 or more, in digits alone.
          </p>
        ))}
        <div className="buttons">
          <button
            type="submit"
            className="primary"
            disabled={busy || (log === undefined && file === '') || tooLarge || wrong.length > 0 || edits(changed).length === 0}
          >
            {busy ? 'Trying …' : 'Try'}
          </button>
        </div>
      </form>
      {error !== undefined && <Failed error={error} />}
      {tried !== undefined && <Outcome tried={tried} />}
    </Panel>
  );
}

function columns(changed: Record<string, Edit>, change: (rule: string, edit: Edit) => void): Column<Rule>[] {
  const text = (rule: Rule, key: 'threshold' | 'window' | 'ban', now: string) => (
    <input
      className="short"
      aria-label={`${key} of ${rule.name}`}
      value={changed[rule.name]?.[key] ?? ''}
      placeholder={now}
      aria-invalid={key === 'threshold' && !isThreshold(changed[rule.name]?.threshold ?? '')}
      inputMode={key === 'threshold' ? 'numeric' : 'text'}
      autoComplete="off"
      onChange={(event) => change(rule.name, { [key]: event.target.value })}
    />
  );
  return [
    { name: 'Rule', cell: (rule) => rule.name },
    { name: 'Threshold', cell: (rule) => text(rule, 'threshold', String(rule.threshold)) },
    { name: 'Window', cell: (rule) => text(rule, 'window', rule.window) },
    { name: 'First ban', cell: (rule) => text(rule, 'ban', rule.ban) },
    {
      name: 'What follows',
      cell: (rule) => (
        <select
          aria-label={`what follows ${rule.name}`}
          value={changed[rule.name]?.action ?? ''}
          onChange={(event) => change(rule.name, { action: event.target.value })}
        >
          <option value="">{rule.action === 'ban' ? 'ban' : 'dry run'}, as now</option>
          <option value="ban">ban</option>
          <option value="observe">dry run</option>
        </select>
      ),
    },
  ];
}

const TONES: Record<string, Tone> = { appears: 'bad', vanishes: 'ok', differs: 'warn' };

const changeColumns: Column<TriedChange>[] = [
  { name: 'Change', cell: ({ change }) => <Badge tone={TONES[change] ?? 'plain'}>{change}</Badge> },
  { name: 'When', cell: ({ before, after }) => <Time at={(after ?? before)?.at ?? ''} /> },
  { name: 'Client', cell: ({ before, after }) => <Target target={(after ?? before)?.target ?? ''} /> },
  { name: 'Now', cell: ({ before }) => verdict(before) },
  { name: 'Then', cell: ({ after }) => verdict(after) },
];

function Outcome({ tried }: { tried: Schemas['Tried'] }) {
  const unseen = tried.appear + tried.vanish + tried.differ - tried.changes.length;
  return (
    <div role="status" className="outcome">
      <dl className="stats">
        <Stat label="More bans" value={exact(tried.appear)} tone={tried.appear > 0 ? 'bad' : 'plain'} />
        <Stat label="Fewer bans" value={exact(tried.vanish)} tone={tried.vanish > 0 ? 'ok' : 'plain'} />
        <Stat label="Otherwise" value={exact(tried.differ)} />
        <Stat label="The same" value={exact(tried.same)} />
        <Stat label="Bans now" value={exact(tried.before.bans)} />
        <Stat label="Bans then" value={exact(tried.after.bans)} />
      </dl>
      <p className="note">
        {plural(tried.read, 'line')} read, {exact(tried.rejected)} of them no requests.
      </p>
      <Table
        caption="What would change"
        columns={changeColumns}
        rows={tried.changes as unknown as TriedChange[]}
        rowKey={(_, index) => String(index)}
        empty="Nothing would change."
      />
      {unseen > 0 && <p className="note">and {plural(unseen, 'later change')}. On the daemon's host, the command replay --diff shows all.</p>}
    </div>
  );
}
