/** Fields that narrow down what a page shows. Each is in the page's address. */
import { useEffect, useId, useState, type ReactNode } from 'react';

/** How long after the last key a filter takes effect, milliseconds: a part of an address is none. */
const PAUSE_MS = 300;
/** The same where each part of it is a filter, too. */
const SHORT_PAUSE_MS = 40;

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

export function FilterText({ label, value, set, hint, isFree = false }: {
  label: string;
  value: string;
  set: (value: string) => void;
  hint?: string;
  /** Whether it is any text. */
  isFree?: boolean;
}) {
  const id = useId();
  const [text, setText] = useState(value);
  // Between two words, a space that ends the text is no part of the filter yet.
  useEffect(() => setText((text) => (text.trim() === value ? text : value)), [value]);
  useEffect(() => {
    if (text.trim() === value) {
      return undefined;
    }
    const timer = setTimeout(() => set(text.trim()), isFree ? SHORT_PAUSE_MS : PAUSE_MS);
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
