/** Signing in with a token; a one-time link needs no page. */
import { useState, type FormEvent } from 'react';
import { signIn } from '../lib/session';
import { visible } from '../lib/format';
import { Field } from '../ui/dialog';

export function SignIn({ why }: { why: string | undefined }) {
  const [token, setToken] = useState('');
  const [error, setError] = useState(why);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(await signIn({ token: token.trim() }));
    setBusy(false);
  };
  return (
    <main className="signin">
      <form onSubmit={(event) => void submit(event)}>
        <h1>
          <img src="/favicon.svg" alt="" width="28" height="28" /> SecBeat
        </h1>
        {error !== undefined && (
          <p role="alert" className="failed">
            {visible(error)}
          </p>
        )}
        {/* Browsers keep a password under a name. */}
        <input type="text" name="username" autoComplete="username" value="secbeat" readOnly hidden />
        <Field label="Token" hint="From token create NAME --role operate, on the daemon's host">
          {(id, hint) => (
            <input
              id={id}
              type="password"
              aria-describedby={hint}
              value={token}
              required
              autoFocus
              autoComplete="current-password"
              onChange={(event) => setToken(event.target.value)}
            />
          )}
        </Field>
        <button type="submit" className="primary" disabled={busy || token.trim() === ''}>
          {busy ? 'Signing in …' : 'Sign in'}
        </button>
        <p className="note">
          Without a token: run <code>sudo secbeat dashboard</code>, or <code>sudo secbeat-orchestrator dashboard</code> in a fleet, on the
          daemon's host. It prints a link that signs you in once.
        </p>
      </form>
    </main>
  );
}
