/** Fields that narrow down what a page shows. Each is in the page's address. */
import { useEffect, useId, useState, type ReactNode } from 'react';

/** How long after the last key a filter takes effect, milliseconds. */
const PAUSE_MS = 300;

export function FilterBar({ onClear, children }: { onClear: (() => void) | undefined; children: ReactNode }) {
  return (
    <form className="filters" role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      {children}
      {onClear !== undefined && (
        <button type="button" className="quiet" onClick={onClear}>
          Clear filters
        </button>
      )}
    </form>
  );
}

export function FilterText({ label, value, set, hint }: { label: string; value: string; set: (value: string) => void; hint?: string }) {
  const id = useId();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) {
      return undefined;
    }
    const timer = setTimeout(() => set(text.trim()), PAUSE_MS);
    return () => clearTimeout(timer);
    // `set` is new with every drawing, and always does the same.
  }, [text, value]);
  return (
    <div className="filter">
      <label htmlFor={id}>{label}</label>
      <input id={id} type="search" value={text} placeholder={hint} spellCheck={false} autoComplete="off" onChange={(event) => setText(event.target.value)} />
    </div>
  );
}

export function FilterSelect({ label, value, set, options }: {
  label: string;
  value: string;
  set: (value: string) => void;
  /** Values and what they are called; the first is no filter. */
  options: readonly (readonly [string, string])[];
}) {
  const id = useId();
  const known = options.some(([option]) => option === value);
  return (
    <div className="filter">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => set(event.target.value)}>
        {options.map(([option, name]) => (
          <option key={option} value={option}>
            {name}
          </option>
        ))}
        {!known && <option value={value}>{value}</option>}
      </select>
    </div>
  );
}
