import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** `SECBEAT_API=http://127.0.0.1:3030 npm run dev` serves the page beside a daemon that runs. */
const api = process.env.SECBEAT_API ?? 'http://127.0.0.1:3030';

/** Bytes that the page may have, compressed: it comes with the daemon, and opens at once. */
const MAX_GZIPPED = 150_000;
/** Files that the page has beside what is built. */
const PUBLIC = join(import.meta.dirname, 'public');

/** Fails a build that is too large. */
export const size: Plugin = {
  name: 'size',
  // Behind all that adds files.
  generateBundle: {
    order: 'post',
    handler(_, bundle) {
      // What is in `public` goes along as it is.
      const whole = readdirSync(PUBLIC, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      const files = [
        ...whole.map((entry) => readFileSync(join(entry.parentPath, entry.name))),
        ...Object.values(bundle).map((file) => (file.type === 'chunk' ? file.code : file.source)),
      ];
      const sum = files.reduce((all, file) => all + gzipSync(file).length, 0);
      if (sum > MAX_GZIPPED) {
        this.error(`the page has ${sum} bytes when compressed, and ${MAX_GZIPPED} are allowed`);
      }
    },
  },
};

/** Licences that what is in the page may have. */
const ALLOWED = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD'];

/** Puts the licences of all that is in the page beside it, and fails a build with one that is not allowed or has no text. */
const licences: Plugin = {
  name: 'licences',
  generateBundle() {
    const folders = new Set<string>();
    for (const id of this.getModuleIds()) {
      const folder = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
      if (folder !== undefined) {
        folders.add(folder);
      }
    }
    const texts = [...folders].sort().map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>;
      if (!ALLOWED.includes(license ?? '')) {
        this.error(`${name} has the licence ${license}: allowed are ${ALLOWED.join(', ')}`);
      }
      const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
      if (file === undefined) {
        this.error(`${name} has no text of its licence`);
      }
      return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
    });
    const source = `SecBeat's web page holds parts of these packages.\n\n${texts.join(`\n${'-'.repeat(72)}\n\n`)}`;
    this.emitFile({ type: 'asset', fileName: 'licences.txt', source });
  },
};

export default defineConfig({
  plugins: [licences, size],
  esbuild: { jsx: 'automatic' },
  build: {
    target: 'es2022',
    // The page's policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': { target: api } } },
  test: { include: ['test/**/*.test.ts'] },
});
