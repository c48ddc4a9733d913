/** Tables. */
import { useMemo, type ReactNode } from 'react';
import { useAfterPaint } from '../lib/paint';

export interface Column<R> {
  /** Its heading. */
  name: string;
  cell: (row: R) => ReactNode;
  /** For numbers: to the right. */
  right?: boolean;
  /** Left out on narrow screens. */
  minor?: boolean;
  /** What the server sorts by. */
  sort?: string;
  /** A heading that only screen readers tell. */
  unseen?: boolean;
}

interface Props<R> {
  caption: string;
  columns: Column<R>[];
  rows: readonly R[];
  rowKey: (row: R, index: number) => string;
  /** The present order, as `issued` or `-issued`, and how to ask for another. */
  order?: { by: string; set: (by: string) => void };
  empty?: ReactNode;
}

/** Rows that are drawn at once: more than a screen has. */
const AT_ONCE = 40;
const NONE: readonly never[] = [];

/** A table; it scrolls by itself where it does not fit, also by keyboard. */
export function Table<R>({ caption, columns, rows, rowKey, order, empty }: Props<R>) {
  // What is below the screen follows in the next frame, and keeps its place until then.
  const drawn = useAfterPaint<readonly R[]>(rows.length > AT_ONCE ? rows : NONE, NONE);
  const below = rows.length > AT_ONCE ? drawn : NONE;
  if (rows.length === 0 && empty !== undefined) {
    return <p className="empty">{empty}</p>;
  }
  return (
    <div className="scroll" role="group" aria-label={caption} tabIndex={0}>
      <table>
        <caption className="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.name} column={column} order={order} />
            ))}
          </tr>
        </thead>
        <Rows columns={columns} rows={rows} rowKey={rowKey} from={0} to={AT_ONCE} />
        {below.length > AT_ONCE && <Rows columns={columns} rows={below} rowKey={rowKey} from={AT_ONCE} />}
      </table>
    </div>
  );
}

/** Some of the rows. A page is told again that it loads, and that it has: only new rows cost something. */
function Rows<R>({ columns, rows, rowKey, from, to }: Pick<Props<R>, 'columns' | 'rows' | 'rowKey'> & { from: number; to?: number }) {
  return useMemo(
    () => (
      <tbody>
        {rows.slice(from, to).map((row, index) => (
          <tr key={rowKey(row, from + index)}>
            {columns.map((column) => (
              <td key={column.name} className={classes(column)}>
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    ),
    [rows, columns, rowKey, from, to],
  );
}

function classes<R>(column: Column<R>): string | undefined {
  const names = [column.right === true && 'right', column.minor === true && 'minor'].filter((name) => name !== false);
  return names.length === 0 ? undefined : names.join(' ');
}

function Head<R>({ column, order }: { column: Column<R>; order: Props<R>['order'] }) {
  const name = column.unseen === true ? <span className="unseen">{column.name}</span> : column.name;
  if (column.sort === undefined || order === undefined) {
    return (
      <th scope="col" className={classes(column)}>
        {name}
      </th>
    );
  }
  const up = order.by === column.sort;
  const down = order.by === `-${column.sort}`;
  return (
    <th scope="col" className={classes(column)} aria-sort={up ? 'ascending' : down ? 'descending' : 'none'}>
      <button type="button" className="sort" onClick={() => order.set(down ? column.sort ?? '' : `-${column.sort}`)}>
        {name} <span aria-hidden="true">{up ? '▲' : down ? '▼' : '↕'}</span>
      </button>
    </th>
  );
}
