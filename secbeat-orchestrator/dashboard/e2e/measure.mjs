// How quick the page is on this host:
//   node measure.mjs URL LINK BANS [TIMES]
// First it bans so many clients. Each time is from the event of the browser until the frame that shows its outcome is painted.
import { withBrowser } from './browser.mjs';

const [url, link, bans, times = '20'] = process.argv.slice(2);
const TIMES = Number(times);
/** Bans in one request at most. */
const MOST = 10_000;

const round = (ms) => `${Math.round(ms)} ms`;

function tell(what, times, limit) {
  const sorted = [...times].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  const verdict = median <= limit ? 'met' : 'missed';
  console.log(`${what}: median ${round(median)}, longest ${round(sorted.at(-1))}, of ${sorted.length}; limit ${limit} ms: ${verdict}`);
}

async function ban(page, count) {
  for (let from = 0; from < count; from += MOST) {
    const addresses = Array.from({ length: Math.min(MOST, count - from) }, (_, n) => from + n);
    const list = addresses.map((n) => ({ target: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, duration: '24h', note: 'measured' }));
    const status = await page.evaluate(async (body) => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch('/api/v1/bans/import', { method: 'POST', headers, body })).status;
    }, JSON.stringify({ bans: list }));
    if (status !== 200) {
      throw new Error(`an import was answered with ${status}`);
    }
  }
}

// Its client alone: the rest of a row tells how long ago something was.
const firstRow = () => document.querySelector('main tbody tr a')?.textContent ?? '';

/** How long it takes from the click or the text of `act` until another row is the first. */
async function change(page, act) {
  const before = await page.evaluate(firstRow);
  await page.evaluate(() => {
    window.began = undefined;
    window.ended = undefined;
    for (const kind of ['click', 'input']) {
      window.addEventListener(kind, (event) => (window.began = event.timeStamp), { capture: true, once: true });
    }
  });
  const shown = page.waitForFunction(
    (before) => {
      const row = document.querySelector('main tbody tr a')?.textContent ?? '';
      if (window.began !== undefined && row !== '' && row !== before && window.ended === undefined) {
        window.ended = 0;
        // The frame that has begun is laid out and painted before the next task.
        setTimeout(() => (window.ended = performance.now()));
      }
      return window.ended > 0 && window.ended - window.began;
    },
    before,
    { polling: 'raf' },
  );
  await act();
  return await (await shown).jsonValue();
}

await withBrowser({ viewport: { width: 1280, height: 800 } }, async (context) => {
  const page = context.pages()[0];
  await page.goto(link);
  await page.getByRole('heading', { name: 'Latest bans' }).waitFor();
  const paints = [];
  for (let n = 0; n < TIMES; n += 1) {
    await page.goto(url);
    await page.getByRole('heading', { name: 'Latest bans' }).waitFor();
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
  }
  tell('first paint of Now', paints, 300);
  await ban(page, Number(bans));
  await page.goto(`${url}/bans`);
  await page.locator('main tbody tr').nth(99).waitFor();
  console.log(await page.locator('.page-head').innerText().then((text) => text.split('\n').find((line) => line.includes('ban')) ?? ''));
  const next = page.getByRole('button', { name: 'Next 100' });
  const pages = [];
  const orders = [];
  for (let n = 0; n < TIMES; n += 1) {
    pages.push(await change(page, () => next.click()));
  }
  tell('next 100 bans', pages, 200);
  await page.goto(`${url}/bans`);
  await page.locator('main tbody tr').nth(99).waitFor();
  // The latest ban is also that of the highest address: the first time, the first row stays.
  const byClient = page.getByRole('button', { name: 'Client' });
  await byClient.click();
  await page.locator('th[aria-sort="descending"]', { hasText: 'Client' }).waitFor();
  for (let n = 0; n < TIMES; n += 1) {
    orders.push(await change(page, () => byClient.click()));
  }
  tell('another order of bans', orders, 200);
  const texts = [];
  for (let n = 0; n < TIMES; n += 1) {
    texts.push(await change(page, () => page.getByLabel('Text', { exact: true }).fill(`10.${n % 2}.${n + 1}.`)));
  }
  tell('bans with a text', texts, 200);
});
