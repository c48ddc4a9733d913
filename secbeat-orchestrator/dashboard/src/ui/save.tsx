/** What is shown as a file. */
import { csv } from '../lib/csv';

interface Props<R> {
  /** The file's name, without its ending. */
  name: string;
  rows: readonly R[];
  /** The address of the same as the daemon gives it. */
  json: string;
  fields: readonly (readonly [string, (row: R) => string])[];
}

export function Save<R>({ name, rows, json, fields }: Props<R>) {
  return (
    <>
      <button type="button" disabled={rows.length === 0} onClick={() => download(`${name}.csv`, 'text/csv', csv(rows, fields))}>
        CSV
      </button>
      <a className="button" href={json} download={`${name}.json`}>
        JSON
      </a>
    </>
  );
}

/** Hands `text` to the browser as the file `name`. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
