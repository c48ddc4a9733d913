/** What every page is made of. */
import { Fragment, useId, type ReactNode } from 'react';
import type { ApiError } from '../api/client';
import { useNow } from '../lib/clock';
import * as format from '../lib/format';
import { clientOf, parts, shown } from '../lib/net';
import { clientPath } from '../lib/route';
import { Link } from '../lib/router';

export type Tone = 'plain' | 'ok' | 'warn' | 'bad' | 'info';

/** A part of a page with its heading. */
export function Panel({ title, note, actions, children, wide }: {
  title: string;
  note?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  wide?: boolean;
}) {
  const id = useId();
  return (
    <section className={wide === true ? 'panel wide' : 'panel'} aria-labelledby={id}>
      <header className="panel-head">
        <h2 id={id}>{title}</h2>
        {note !== undefined && <span className="note">{note}</span>}
        {actions !== undefined && <div className="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

export function Stat({ label, value, note, tone = 'plain' }: { label: string; value: ReactNode; note?: ReactNode; tone?: Tone }) {
  return (
    <div className={`stat ${tone}`}>
      <dt>{label}</dt>
      <dd>
        <strong>{value}</strong>
        {note !== undefined && <span className="note">{note}</span>}
      </dd>
    </div>
  );
}

export function Badge({ tone = 'plain', children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}

/** A time in the reader's zone, with UTC as a hint. */
export function Time({ at, fine, clock }: { at: string | number; fine?: boolean; clock?: boolean }) {
  const iso = typeof at === 'number' ? new Date(at).toISOString() : at;
  return (
    <time dateTime={iso} title={format.utc(at)}>
      {clock === true ? format.clock(at) : format.time(at, fine)}
    </time>
  );
}

/** How long ago a time was. */
export function Ago({ at }: { at: string | number }) {
  const now = useNow();
  const ms = typeof at === 'number' ? at : Date.parse(at);
  return (
    <time dateTime={new Date(ms).toISOString()} title={`${format.time(ms)} (${format.utc(ms)})`}>
      {format.ago(ms, now)}
    </time>
  );
}

/** What remains until a time; "never" without one. */
export function Until({ at }: { at: string | null | undefined }) {
  return at === null || at === undefined ? <span>never</span> : <Ago at={at} />;
}

/** An address or a network, which leads to what is known of it. */
export function Target({ target }: { target: string }) {
  const client = clientOf(target);
  const href = client === undefined ? `/bans?within=${encodeURIComponent(target)}` : clientPath(client);
  return (
    <Link className="target" href={href}>
      {parts(format.visible(shown(target))).map((part, index) => (
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </Link>
  );
}

/** What a client chose, as text and nothing else. */
export function Hostile({ text }: { text: string }) {
  return <bdi className="hostile">{format.visible(text)}</bdi>;
}

const TIMES = /(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z)/;

/** A sentence of the daemon, with its times in the reader's zone. */
export function Sentence({ text }: { text: string }) {
  return (
    <span className="hostile">
      {text.split(TIMES).map((part, index) => (index % 2 === 1 ? <Time key={index} at={part} /> : <Hostile key={index} text={part} />))}
    </span>
  );
}

/** A part of a whole as a bar with its numbers beside it. */
export function Bar({ label, value, max, text, tone = 'info' }: {
  label: ReactNode;
  value: number;
  max: number;
  text: string;
  tone?: Tone;
}) {
  const id = useId();
  const share = max > 0 ? Math.min(1, value / max) : 0;
  return (
    <div className="bar">
      <span className="bar-label" id={id}>
        {label}
      </span>
      <span className="bar-text">{text}</span>
      <span
        className={`bar-track ${tone}`}
        role="meter"
        aria-labelledby={id}
        aria-valuemin={0}
        aria-valuemax={Math.max(max, 1)}
        aria-valuenow={Math.min(value, Math.max(max, 1))}
        aria-valuetext={text}
      >
        <span className="bar-fill" style={{ width: `${share * 100}%` }} />
      </span>
    </div>
  );
}

/** Nothing to show, and what that means. */
export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

export function Loading({ what = 'Loading' }: { what?: string }) {
  return (
    <p className="loading" role="status">
      {what} …
    </p>
  );
}

/** What to do about an error, by its code or status; `repeats` if the page asks again by itself. */
function advice(error: ApiError, repeats: boolean): string | undefined {
  switch (error.status) {
    case 0:
      // Without a code it is no request that failed.
      return error.code === '' ? undefined : `${repeats ? 'The page tries again by itself.' : 'Try again.'} If this stays, look at the daemon: systemctl status.`;
    case 401:
      return 'Sign in again.';
    case 403:
      return 'Your role does not allow this. Ask an operator or an admin.';
    case 503:
      return 'Try again in a moment. The alarms on the page Now say what is missing.';
    default:
      return undefined;
  }
}

/** An error. With `retry`, which [`useLoad`] gives, the page asks again by itself, too. */
export function Failed({ error, retry }: { error: ApiError; retry?: (() => void) | undefined }) {
  const what = advice(error, retry !== undefined);
  return (
    <div className="failed" role="alert">
      <p>
        <strong>{format.visible(error.message)}</strong>
        {what !== undefined && <> {what}</>}
      </p>
      {retry !== undefined && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Shows data once it came; before that, that it loads; an error above what came before. */
export function Shown<T>({ of, children }: {
  of: { data: T | undefined; error: ApiError | undefined; loading: boolean; reload: () => void };
  children: (data: T) => ReactNode;
}) {
  return (
    <>
      {of.error !== undefined && <Failed error={of.error} retry={of.reload} />}
      {of.data !== undefined ? children(of.data) : of.error === undefined && <Loading />}
    </>
  );
}
