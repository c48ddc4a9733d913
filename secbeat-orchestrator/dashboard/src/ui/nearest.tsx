/** Who is nearest to a ban. */
import type { Near } from '../api/types';
import { duration, exact } from '../lib/format';
import { Badge, Bar, Empty, Target } from './basic';

/** Clients near a threshold, each as a bar against it. */
export function Nearest({ nearest }: { nearest: readonly Near[] }) {
  if (nearest.length === 0) {
    return <Empty>No client is near a threshold.</Empty>;
  }
  return nearest.map((client) => (
    <Bar
      key={`${client.source} ${client.rule}`}
      label={
        <>
          <Target target={client.source} /> <span className="note">{client.rule}</span> {client.observe && <Badge>dry run</Badge>}
        </>
      }
      value={client.count}
      max={client.threshold}
      text={`${exact(client.count)} of ${exact(client.threshold)} in ${duration(client.window_ms)}`}
      tone={client.count * 4 >= client.threshold * 3 ? 'warn' : 'info'}
    />
  ));
}
