import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { size } from '../vite.config';

/** What the check says to a build of one file with `bytes` that cannot be compressed. */
function build(bytes: number): string {
  const told: string[] = [];
  const { handler } = size.generateBundle as unknown as { handler: (this: object, options: object, bundle: object) => void };
  handler.call({ error: (text: string) => told.push(text) }, {}, { 'a.js': { type: 'asset', source: randomBytes(bytes) } });
  return told.join();
}

test('what is copied as it is counts towards the size of the page, too', () => {
  const folder = new URL('../public/', import.meta.url);
  const copied = readdirSync(folder).reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, folder))).length, 0);
  expect(copied).toBeGreaterThan(200);
  expect(build(150_000 - copied - 150)).toBe('');
  expect(build(150_000 - copied)).toMatch(/^the page has 150\d{3} bytes/);
});
