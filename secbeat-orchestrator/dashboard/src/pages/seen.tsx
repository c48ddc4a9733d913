/** Columns of what was seen of clients. All texts are theirs. */
import type { SeenEvent } from '../api/types';
import { visible } from '../lib/format';
import { Badge, Hostile, Time } from '../ui/basic';
import type { Column } from '../ui/table';

interface Row {
  what: string;
  method: string;
  detail: string;
}

/** An event in words. */
export function seen(event: SeenEvent): Row {
  if ('answer' in event) {
    const { status, method, user_agent: detail } = event.answer;
    return { what: String(status), method, detail };
  }
  if ('unreadable' in event) {
    return { what: 'unreadable', method: event.unreadable.method, detail: event.unreadable.user_agent };
  }
  if ('waf' in event) {
    const { rule, outcome, message } = event.waf;
    return { what: `WAF ${rule ?? ''} ${outcome}`, method: '', detail: message };
  }
  const { service, kind, user } = event.service;
  return { what: `${service} ${kind}`, method: '', detail: user };
}

export const seenColumns: Column<SeenEvent>[] = [
  { name: 'Time', cell: (event) => <Time at={event.at_ms} fine /> },
  { name: 'Edge', cell: (event) => <Hostile text={event.edge} />, minor: true },
  { name: 'What', cell: (event) => <Hostile text={seen(event).what} /> },
  { name: 'Method', cell: (event) => <Hostile text={seen(event).method} />, minor: true },
  { name: 'Host', cell: (event) => <Hostile text={event.host} />, minor: true },
  {
    name: 'Path',
    cell: (event) => (
      <>
        <Hostile text={event.path} />{' '}
        {event.signatures?.map((signature) => (
          <Badge key={signature.id} tone="warn">
            {visible(signature.id)}
          </Badge>
        ))}
      </>
    ),
  },
  { name: 'User agent, user or message', cell: (event) => <Hostile text={seen(event).detail} />, minor: true },
];
