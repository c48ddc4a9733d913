/** Addresses and prefixes, as far as the page has to know them. */

/** A target without the length that says only that it is one address: 203.0.113.7/32 → 203.0.113.7. */
export function shown(target: string): string {
  return target.replace(/^([\d.]+)\/32$/, '$1').replace(/^([\da-f:.]+)\/128$/i, '$1');
}

/** The address of a target that is counted as one client (an IPv4 /32, an IPv6 /64 or longer); undefined for a network. */
export function clientOf(target: string): string | undefined {
  const [address, length] = target.split('/');
  if (address === undefined || address === '') {
    return undefined;
  }
  if (length === undefined) {
    return address;
  }
  const bits = Number(length);
  return address.includes(':') ? (bits >= 64 ? address : undefined) : bits === 32 ? address : undefined;
}

/** The network around an address in which others may belong to the same attacker: its /24, or its /48. */
export function neighbourhood(address: string): string | undefined {
  if (address.includes(':')) {
    const groups = expanded(address);
    if (groups === undefined) {
      return undefined;
    }
    return `${written([...groups.slice(0, 3), 0, 0, 0, 0, 0])}/48`;
  }
  const parts = address.split('.');
  return parts.length === 4 ? `${parts.slice(0, 3).join('.')}.0/24` : undefined;
}

/** Eight groups as the first address of a network. */
function written(groups: readonly number[]): string {
  const head = groups.map((group) => group.toString(16));
  while (head[head.length - 1] === '0') {
    head.pop();
  }
  return head.length === 8 ? head.join(':') : `${head.join(':')}::`;
}

/** An address with the length of its network, as 198.51.100.7/24: the two that it may mean. */
export interface Doubt {
  network: string;
  address: string;
}

/** What `target` may mean, if that is not certain; the daemon judges finally. */
export function doubtOf(target: string): Doubt | undefined {
  const [, address = '', length = ''] = /^([^/]+)\/(\d{1,3})$/.exec(target.trim()) ?? [];
  const isV6 = address.includes(':');
  const groups = !isAddress(address) ? undefined : isV6 ? expanded(address) : address.split('.').map(Number);
  const [size, most] = isV6 ? [16, 128] : [8, 32];
  const bits = Number(length);
  // The /64 of an IPv6 address is its client.
  if (groups === undefined || bits > most || (isV6 && bits === 64)) {
    return undefined;
  }
  const first = groups.map((group, index) => {
    const cleared = size - Math.max(0, Math.min(size, bits - index * size));
    return (group >> cleared) << cleared;
  });
  if (first.every((group, index) => group === groups[index])) {
    return undefined;
  }
  return { network: `${isV6 ? written(first) : first.join('.')}/${bits}`, address };
}

/** The eight groups of an IPv6 address. */
function expanded(address: string): number[] | undefined {
  const [head = '', tail, ...more] = address.split('::');
  if (more.length > 0) {
    return undefined;
  }
  const parse = (text: string) => (text === '' ? [] : text.split(':').flatMap(group));
  const front = parse(head);
  const back = tail === undefined ? [] : parse(tail);
  const missing = 8 - front.length - back.length;
  if (tail === undefined ? missing !== 0 : missing < 0) {
    return undefined;
  }
  const groups = [...front, ...Array<number>(missing).fill(0), ...back];
  return groups.some((value) => !Number.isInteger(value) || value < 0 || value > 0xffff) ? undefined : groups;
}

function group(text: string): number[] {
  if (!text.includes('.')) {
    return [/^[\da-f]{1,4}$/i.test(text) ? parseInt(text, 16) : NaN];
  }
  const bytes = text.split('.').map(Number);
  const [a = NaN, b = NaN, c = NaN, d = NaN] = bytes;
  return bytes.length === 4 ? [a * 256 + b, c * 256 + d] : [NaN];
}

/** Whether `text` looks like an address; the daemon judges finally. */
export function isAddress(text: string): boolean {
  if (text.includes(':')) {
    return expanded(text) !== undefined;
  }
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
}

/** An IPv6 address or network in parts, between which a line may break on a narrow screen. */
export function parts(text: string): string[] {
  return text.split(/(?<=:)(?!:)/);
}
