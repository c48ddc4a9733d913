/** Tables as CSV (RFC 4180), for spreadsheets too. */

/** A field: quoted where it has to be, and never a formula (CWE-1236), whatever a client put into it. */
export function field(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** `rows` with the heading of `fields`. */
export function csv<R>(rows: readonly R[], fields: readonly (readonly [string, (row: R) => string])[]): string {
  const lines = [fields.map(([name]) => field(name)), ...rows.map((row) => fields.map(([, of]) => field(of(row))))];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}
