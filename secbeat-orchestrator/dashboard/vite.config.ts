import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** `SECBEAT_API=http://127.0.0.1:3030 npm run dev` serves the page beside a daemon that runs. */
const api = process.env.SECBEAT_API ?? 'http://127.0.0.1:3030';

/** Bytes that the page may have, compressed: it comes with the daemon, and opens at once. */
const MAX_GZIPPED = 150_000;

/** Fails a build that is too large. */
const size: Plugin = {
  name: 'size',
  generateBundle(_, bundle) {
    const sizes = Object.values(bundle).map((file) => gzipSync(file.type === 'chunk' ? file.code : file.source).length);
    const sum = sizes.reduce((all, bytes) => all + bytes, 0);
    if (sum > MAX_GZIPPED) {
      this.error(`the page has ${sum} bytes when compressed, and ${MAX_GZIPPED} are allowed`);
    }
  },
};

export default defineConfig({
  plugins: [size],
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
