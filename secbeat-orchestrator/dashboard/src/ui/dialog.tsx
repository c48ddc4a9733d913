/** Questions before something is changed. */
import { useId, useLayoutEffect, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { ApiError } from '../api/client';
import { Failed } from './basic';

interface Props {
  title: string;
  /** What the button says that does it. */
  act: string;
  danger?: boolean;
  /** Does it; what it throws is shown. */
  onAct: () => Promise<unknown>;
  onClose: () => void;
  children: ReactNode;
  /** Whether it can be done now. */
  ready?: boolean;
}

/** A form in a dialog: Escape or Cancel leaves everything as it is. */
export function Dialog({ title, act, danger = false, onAct, onClose, children, ready = true }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  // Closed before it is taken away: then the browser gives the focus back to what opened it.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    // React's `autoFocus` comes too early: before it is shown, nothing in it takes the focus.
    element?.querySelector<HTMLElement>('[data-focus]')?.focus();
    return () => element?.close();
  }, []);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await onAct();
      onClose();
    } catch (failure) {
      setError(failure instanceof ApiError ? failure : new ApiError(0, '', failure instanceof Error ? failure.message : String(failure)));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={onClose} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id={id}>{title}</h2>
        {children}
        {error !== undefined && <Failed error={error} />}
        <div className="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className={danger ? 'danger' : 'primary'} disabled={busy || !ready}>
            {busy ? 'Working …' : act}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** A labelled field; `hint` says what may stand there. */
export function Field({ label, hint, children }: { label: string; hint?: string; children: (id: string, hint: string | undefined) => ReactNode }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id, hint === undefined ? undefined : `${id}-hint`)}
      {hint !== undefined && (
        <span className="note" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

export function TextField({ label, hint, value, set, required, focus }: {
  label: string;
  hint?: string;
  value: string;
  set: (value: string) => void;
  required?: boolean;
  focus?: boolean;
}) {
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })}>
      {(id, hintId) => (
        <input
          id={id}
          aria-describedby={hintId}
          value={value}
          required={required}
          data-focus={focus === true ? '' : undefined}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => set(event.target.value)}
        />
      )}
    </Field>
  );
}
