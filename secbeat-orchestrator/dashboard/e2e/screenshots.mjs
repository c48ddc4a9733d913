// Pictures for the docs:
//   node screenshots.mjs URL ATTACKER LINK FOLDER
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { withBrowser } from './browser.mjs';

const [url, attacker, link, folder] = process.argv.slice(2);
const PAGES = [
  ['now', '/', 'dark'],
  ['client', `/client/${attacker}`, 'light'],
  ['bans', '/bans', 'light'],
  ['fleet', '/fleet', 'light'],
  ['rules', '/rules', 'light'],
  ['audit', '/audit', 'light'],
  ['reports', '/reports', 'light'],
];
/** Bytes that a picture may have. */
const MOST = 150_000;

mkdirSync(folder, { recursive: true });
await withBrowser({ viewport: { width: 1000, height: 680 }, timezoneId: 'Etc/UTC' }, async (context) => {
  const page = context.pages()[0];
  await page.goto(link);
  await page.getByRole('heading', { name: 'Latest bans' }).waitFor();
  for (const [name, path, colorScheme] of PAGES) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.goto(url + path);
    await page.locator('main .panel').first().waitFor();
    await page.waitForFunction(() => document.querySelector('.loading') === null);
    const file = join(folder, `dashboard-${name}.png`);
    await page.screenshot({ path: file });
    const bytes = statSync(file).size;
    if (bytes > MOST) {
      throw new Error(`${file} has ${bytes} bytes, and ${MOST} are allowed`);
    }
    console.log(`wrote ${file} (${bytes} bytes)`);
  }
});
