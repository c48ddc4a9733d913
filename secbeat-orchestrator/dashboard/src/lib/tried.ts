/** Rules that are tried on a log. */
import type { Schemas } from '../api/client';

/** What a reader typed for a rule; empty is as now. */
export interface Edit {
  threshold?: string;
  window?: string;
  ban?: string;
  action?: string;
}

/** Whether what a reader typed for a threshold is one: digits alone, as `1.000` may mean two numbers. */
export function isThreshold(text: string): boolean {
  return /^\s*(0*[1-9]\d{0,8})?\s*$/.test(text);
}

/** What came of a client under one set of rules, as `replay -o json` writes it. */
export interface TriedRecord {
  at: string;
  target: string;
  rule: string;
  count: number;
  expires_at: string | null;
  observed?: boolean;
  suppressed?: string;
}

export interface TriedChange {
  change: string;
  before: TriedRecord | null;
  after: TriedRecord | null;
}

/** The rules that are to be different, as the daemon takes them. */
export function edits(changed: Readonly<Record<string, Edit>>): Schemas['RuleEdit'][] {
  return Object.entries(changed).flatMap(([name, { threshold = '', window = '', ban = '', action = '' }]) => {
    const edit: Schemas['RuleEdit'] = { name };
    if (threshold.trim() !== '' && isThreshold(threshold)) {
      edit.threshold = Number(threshold);
    }
    if (window.trim() !== '') {
      edit.window = window.trim();
    }
    if (ban.trim() !== '') {
      edit.ban = ban.trim();
    }
    if (action === 'ban' || action === 'observe') {
      edit.action = action;
    }
    return Object.keys(edit).length > 1 ? [edit] : [];
  });
}

/** A record in words. */
export function verdict(record: TriedRecord | null): string {
  if (record === null) {
    return 'nothing';
  }
  const what = record.suppressed !== undefined ? `suppressed: ${record.suppressed}` : record.observed === true ? 'dry run' : 'ban';
  return `${record.rule} (${record.count}): ${what}`;
}
