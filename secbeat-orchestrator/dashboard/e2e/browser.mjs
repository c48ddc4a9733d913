// Debian's Chromium, driven by Playwright.
import { readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Calls `use` with a browser that nobody has used, and fails if a page of it reports an error. */
export async function withBrowser(options, use) {
  const profile = await mkdtemp(join(tmpdir(), 'secbeat-chromium-'));
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS, ...options });
  const errors = [];
  const watch = (page) => {
    page.on('pageerror', (error) => errors.push(`${page.url()}: ${error.message}`));
    page.on('dialog', (dialog) => errors.push(`${page.url()}: a dialog opened: ${dialog.message()}`));
    page.on('console', (message) => {
      // Chromium reports each answer of 401 and 403, and each lost connection.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        errors.push(`${page.url()}: ${message.text()}`);
      }
    });
  };
  context.pages().forEach(watch);
  context.on('page', watch);
  try {
    await use(context);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
  if (errors.length > 0) {
    throw new Error(`the page reported errors:\n${errors.join('\n')}`);
  }
}

/** What axe finds out about `page`, also about controls that are too small to hit. */
export async function axe(page) {
  await page.evaluate(AXE);
  return await page.evaluate(async () => {
    const on = { enabled: true };
    return await globalThis.axe.run({ rules: { 'target-size': on, accesskeys: on } });
  });
}

/** Fails if axe finds something on `page`; `results` are what it found out. */
export async function check(page, results = axe(page)) {
  const { violations } = await results;
  if (violations.length > 0) {
    const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.html}: ${node.failureSummary}`).join(' ')}`);
    throw new Error(`${page.url()}: ${told.join('\n')}`);
  }
}

/** Fails unless `page` fits its width. */
export async function fits(page) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  if (over > 0) {
    throw new Error(`${page.url()} is ${over} pixels wider than the screen`);
  }
}
