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

export interface CsvRecord {
  /** Its first line, from 1. */
  line: number;
  fields: string[];
}

/** The records of `text`, without empty ones. Some spreadsheets put another `separator` between fields. */
export function parse(text: string, separator = ','): CsvRecord[] {
  const records: CsvRecord[] = [];
  let fields: string[] = [];
  let now = '';
  let isQuoted = false;
  let line = 1;
  let began = 1;
  const endRecord = () => {
    fields.push(now);
    if (fields.some((field) => field !== '')) {
      records.push({ line: began, fields });
    }
    fields = [];
    now = '';
  };
  for (let at = 0; at < text.length; at += 1) {
    const c = text.charAt(at);
    line += c === '\n' ? 1 : 0;
    if (isQuoted) {
      const isQuote = c === '"';
      isQuoted = !isQuote || text.charAt(at + 1) === '"';
      at += isQuote && isQuoted ? 1 : 0;
      now += isQuote && !isQuoted ? '' : c;
    } else if (c === '"' && now === '') {
      isQuoted = true;
    } else if (c === separator) {
      fields.push(now);
      now = '';
    } else if (c === '\n') {
      endRecord();
      began = line;
    } else if (c !== '\r') {
      now += c;
    }
  }
  endRecord();
  return records;
}
