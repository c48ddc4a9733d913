/** The bans that the filters show, all of them, as a file. */
import { useState } from 'react';
import { call } from '../api/client';
import type { Ban } from '../api/types';
import { csv } from '../lib/csv';
import { shown } from '../lib/net';
import { download } from '../ui/save';
import { bansQuery, type BanFilters } from '../lib/ban-filters';

/** Bans that are asked for at once. */
const PAGE = 10_000;

const fields: [string, (ban: Ban) => string][] = [
  ['target', (ban) => ban.target],
  ['reason', (ban) => ban.reason],
  ['issued_at', (ban) => ban.issued_at],
  ['expires_at', (ban) => ban.expires_at ?? ''],
  ['strikes', (ban) => String(ban.strikes)],
  ['issuer', (ban) => ban.issuer],
  ['note', (ban) => ban.note],
  ['layer', (ban) => ban.layer],
];

/** All bans of `filters`, page by page. */
async function all(filters: BanFilters, progress: (sofar: number) => void): Promise<Ban[]> {
  const bans: Ban[] = [];
  let after = '';
  do {
    const page = await call('get', '/api/v1/bans', { query: { ...bansQuery({ ...filters, after }), limit: PAGE } });
    bans.push(...page.bans);
    progress(bans.length);
    after = page.next ?? '';
  } while (after !== '');
  return bans;
}

export function ExportMenu({ filters }: { filters: BanFilters }) {
  const [state, setState] = useState('');
  const save = async (kind: 'csv' | 'json' | 'txt') => {
    try {
      const bans = await all(filters, (sofar) => setState(`${sofar.toLocaleString('en')} …`));
      setState('');
      if (kind === 'csv') {
        download('bans.csv', 'text/csv', csv(bans, fields));
      } else if (kind === 'json') {
        download('bans.json', 'application/json', JSON.stringify(bans, null, 1));
      } else {
        download('bans.txt', 'text/plain', `${bans.map((ban) => shown(ban.target)).join('\n')}\n`);
      }
    } catch (error) {
      setState(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <span className="note" role="status">
        {state}
      </span>
      <button type="button" onClick={() => void save('csv')}>
        CSV
      </button>
      <button type="button" onClick={() => void save('json')}>
        JSON
      </button>
      <button type="button" onClick={() => void save('txt')}>
        List
      </button>
    </>
  );
}
