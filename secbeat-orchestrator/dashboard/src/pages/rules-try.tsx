/** What other thresholds would have done by a log; nothing is changed. */
import { useState, type FormEvent } from 'react';
import { ApiError, call, type Schemas } from '../api/client';
import type { Rule } from '../api/types';
import { bytes, exact, plural } from '../lib/format';
import { edits, verdict, type Edit, type TriedChange } from '../lib/tried';
import { Badge, Failed, Panel, Stat, Target, Time, type Tone } from '../ui/basic';
import { Field } from '../ui/dialog';
import { Table, type Column } from '../ui/table';

/** What the daemon takes at most, with the JSON around it. */
const MOST = 15 * 1024 * 1024;

export function TryChange({ rules }: { rules: readonly Rule[] }) {
  const [log, setLog] = useState<File>();
  const [changed, setChanged] = useState<Record<string, Edit>>({});
  const [tried, setTried] = useState<Schemas['Tried']>();
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const change = (rule: string, edit: Edit) => setChanged({ ...changed, [rule]: { ...changed[rule], ...edit } });
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (log === undefined) {
      return;
    }
    setBusy(true);
    setError(undefined);
    try {
      setTried(await call('post', '/api/v1/rules/try', { body: { log: await log.text(), rules: edits(changed) } }));
    } catch (failure) {
      setError(failure instanceof ApiError ? failure : new ApiError(0, '', String(failure)));
    }
    setBusy(false);
  };
  const tooLarge = log !== undefined && log.size > MOST;
  return (
    <Panel title="Try a change" note="by a log of yours; nothing is changed, and nobody is banned" wide>
      <form onSubmit={(event) => void submit(event)}>
        <Field label="Access log" hint={tooLarge ? `${bytes(log.size)}, and ${bytes(MOST)} are allowed: cut it` : `Up to ${bytes(MOST)}; its format is found out`}>
          {(id, hint) => (
            <input id={id} type="file" aria-describedby={hint} aria-invalid={tooLarge} onChange={(event) => setLog(event.target.files?.[0])} />
          )}
        </Field>
        <Table caption="Rules to change" columns={columns(changed, change)} rows={rules} rowKey={(rule) => rule.name} />
        <div className="buttons">
          <button type="submit" className="primary" disabled={busy || log === undefined || tooLarge || edits(changed).length === 0}>
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
  return (
    <div role="status">
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
    </div>
  );
}
