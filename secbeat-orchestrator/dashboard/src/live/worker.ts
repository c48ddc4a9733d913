/** The worker that all pages of a browser share. */
import { Hub, type Said } from './shared';
import { follow } from './stream';

const hub = new Hub((tell) => follow('/api/v1/stream', tell));
// A shared worker's scope, which the types of pages do not have.
const scope = self as unknown as { onconnect: ((event: MessageEvent) => void) | null };
scope.onconnect = (event) => {
  const [port] = event.ports;
  if (port !== undefined) {
    port.onmessage = ({ data }: MessageEvent<Said>) => hub.heard(port, data);
  }
};
