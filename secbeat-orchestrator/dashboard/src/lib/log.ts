/** Logs that are handed to the daemon. */

/** Thrown for a log that is too long once it is unpacked. */
export class TooLong extends Error {}

/** The text of `file`, which may be compressed with gzip, as rotated logs are; at most `most` bytes of it. */
export async function textOf(file: Blob, most: number): Promise<string> {
  const head = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  const bytes: ReadableStream<Uint8Array<ArrayBuffer>> = isGzip ? file.stream().pipeThrough(new DecompressionStream('gzip')) : file.stream();
  const reader = bytes.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > most) {
      await reader.cancel();
      throw new TooLong(`the log is longer than allowed${isGzip ? ' once it is unpacked' : ''}: cut it`);
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}
