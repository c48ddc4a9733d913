// An attack on a real host, as an operator and a reader see it:
//   node scenario.mjs URL ATTACKER LINK OPERATOR_TOKEN READER_TOKEN
// URL is the page's address, LINK an operator's one-time link. What only the host can do, it asks for with a line `do: WHAT`, and goes
// on with the next line of its input.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { check, fits, withBrowser } from './browser.mjs';
import { watch } from './lighthouse.mjs';

const [url, attacker, link, operator, reader] = process.argv.slice(2);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const PAGES = ['/', `/client/${attacker}`, '/bans', '/fleet', '/rules', '/audit', '/reports', '/sessions'];
const TIMEOUT = 10_000;
/** Within so many milliseconds of its decision, a ban is on the screen. */
const SOON = 1_000;

async function ask(what) {
  console.log(`do: ${what}`);
  const { done } = await answers.next();
  assert.ok(!done, `nobody did: ${what}`);
}

async function signIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const nowIsShown = (page) => page.getByRole('heading', { name: 'Latest bans' }).waitFor();

/** When a ban of the attacker is on the screen, milliseconds since the Unix epoch. */
function banIsShown(page) {
  return page.evaluate(([attacker, timeout]) => {
    const isBan = (row) => row.closest('section')?.querySelector('h2')?.textContent === 'Latest bans' || row.cells[1]?.textContent === 'ban';
    return new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error('the ban is not on the screen')), timeout);
      const watch = new MutationObserver(() => {
        if ([...document.querySelectorAll('main tbody tr')].some((row) => row.textContent.includes(attacker) && isBan(row))) {
          watch.disconnect();
          // Behind the frame that shows it.
          requestAnimationFrame(() => setTimeout(() => resolve(Date.now())));
        }
      });
      watch.observe(document.body, { childList: true, subtree: true, characterData: true });
    });
  }, [attacker, TIMEOUT]);
}

/** The attack appears on the screen, soon after its ban. */
async function anAttackAppears(page) {
  await page.goto(link);
  await nowIsShown(page);
  assert.ok(!page.url().includes('link='), 'the code stays in the address');
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  console.log(`first paint after ${Math.round(paint)} ms`);
  const shown = banIsShown(page);
  await ask('attack');
  const shownAt = await shown;
  const decided = await page.evaluate(async (attacker) => {
    const { bans } = await (await fetch(`/api/v1/bans?contains=${attacker}`)).json();
    return Date.parse(bans[0].issued_at);
  }, attacker);
  const after = shownAt - decided;
  console.log(`on the screen ${after} ms after the decision`);
  assert.ok(after <= SOON, `the ban was on the screen ${after} ms after its decision`);
  const latest = page.getByRole('region', { name: 'Latest bans' });
  const row = latest.getByRole('row').filter({ hasText: attacker }).filter({ hasText: /\d m?s$/ });
  await row.first().waitFor();
  console.log(`${await row.first().innerText()}`.replace(/\s+/g, ' '));
  await page.getByRole('link', { name: attacker }).first().click();
}

/** Waits for a text among the events: of these, how many arrived before the ban decides whether all are shown at once. */
async function isListed(requests, text) {
  const listed = requests.getByText(text, { exact: false }).first();
  const showAll = requests.getByRole('button', { name: /^Show all/ });
  while (!(await listed.isVisible())) {
    await listed.or(showAll).first().waitFor();
    if (await showAll.isVisible()) await showAll.click();
  }
}

/** Why, and what was sent: as text, whatever it was. */
async function itIsExplained(page) {
  await page.getByRole('heading', { name: attacker }).waitFor();
  await page.getByText('is banned:').waitFor();
  const timeline = page.getByRole('region', { name: 'Timeline' });
  for (const kind of ['events', 'finding', 'ban', 'enforced']) {
    await timeline.getByText(kind, { exact: true }).first().waitFor();
  }
  const requests = page.getByRole('region', { name: 'Requests and events' });
  await isListed(requests, '<script>');
  await isListed(requests, '<img src=x onerror=');
  assert.equal(await page.locator('script:not([src]), main img, [onerror]').count(), 0, 'a request became a part of the page');
}

/** Every order, as who only reads could send it. */
const ORDERS = [
  ['DELETE', `/api/v1/bans/${attacker}`],
  ['POST', '/api/v1/bans', { target: '198.51.100.9', duration: '1h' }],
  ['POST', '/api/v1/bans/lift', { targets: [attacker] }],
  ['POST', '/api/v1/bans/import', { bans: [] }],
  ['POST', '/api/v1/allowlist', { network: attacker, comment: 'mine' }],
  ['POST', '/api/v1/rules/try', { log: '', rules: [] }],
  ['GET', '/api/v1/sessions'],
];

/** Who only reads is offered no order, and could not give one. */
async function aReaderChangesNothing(options) {
  await withBrowser(options, async (context) => {
    const page = context.pages()[0];
    const points = await watch(page);
    await page.goto(`${url}/client/${attacker}`);
    await page.getByLabel('Token').waitFor();
    console.log(`the page to sign in: ${await points()}`);
    await signIn(page, reader);
    await page.getByText('Your role reads only').waitFor();
    for (const path of PAGES) {
      await page.goto(url + path);
      await page.locator('main > *').first().waitFor();
      await page.waitForFunction(() => document.querySelector('.loading') === null);
      assert.equal(await page.getByRole('button', { name: /^(ban|import|lift|allow|try|end)\b/i }).count(), 0, `${path} offers an order`);
    }
    for (const [method, path, sent] of ORDERS) {
      const status = await page.evaluate(async ([method, path, sent]) => {
        const body = sent === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(sent) };
        return (await fetch(path, { method, ...body })).status;
      }, [method, path, sent]);
      assert.equal(status, 403, `${method} ${path}`);
    }
    await page.goto(`${url}/client/${attacker}`);
    await page.getByText('is banned:').waitFor();
  });
}

/** On a telephone, what was banned, how soon, and how to lift it can be seen without scrolling sideways. */
async function aNarrowScreenIsEnough(page) {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(url);
  await page.getByRole('region', { name: 'Latest bans' }).getByRole('row').filter({ hasText: attacker }).first().waitFor();
  const hidden = await page.evaluate(() => [...document.querySelectorAll('main .scroll')].filter((part) => part.scrollWidth > part.clientWidth).map((part) => part.ariaLabel));
  assert.deepEqual(hidden, [], 'tables are wider than the screen');
  // The longest target that a rule bans.
  const long = '2001:db8:aaaa:bbbb::/64';
  await page.evaluate(async (target) => {
    const body = JSON.stringify({ target, duration: '1h' });
    await fetch('/api/v1/bans', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  }, long);
  await page.goto(`${url}/bans`);
  const others = page.getByRole('button', { name: `Lift the ban of ${long}` });
  await others.waitFor();
  const place = await others.boundingBox();
  assert.ok(place.x + place.width <= 360, 'a long target pushes the button off the screen');
  const lift = page.getByRole('button', { name: `Lift the ban of ${attacker}` });
  await lift.waitFor();
  const { x, width } = await lift.boundingBox();
  assert.ok(x + width <= 360, 'the button is off the screen');
  await page.evaluate((target) => fetch(`/api/v1/bans/${encodeURIComponent(target)}`, { method: 'DELETE' }), long);
  await page.goto(`${url}/client/${attacker}`);
  await page.getByRole('button', { name: 'Lift the ban' }).first().waitFor();
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function anOperatorLiftsIt(page) {
  await page.getByRole('button', { name: 'Lift the ban' }).first().click();
  const dialog = page.getByRole('dialog');
  await check(page);
  await dialog.getByLabel('Note').fill('our <b>own</b> crawler');
  await dialog.getByRole('button', { name: 'Lift the ban' }).click();
  await page.getByText('is not banned.').waitFor();
  await page.getByText(/lifted the ban of .* \(our <b>own<\/b> crawler\)/).first().waitFor();
  await page.goto(`${url}/audit?kind=unban`);
  await page.getByRole('cell', { name: 'our <b>own</b> crawler' }).waitFor();
}

/** A network is banned from the page, found by a filter, and lifted together with others. */
async function listsAreBannedAndLifted(page) {
  await page.goto(`${url}/bans`);
  await page.getByRole('button', { name: 'Import' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Addresses and networks').fill('198.51.100.1\n198.51.100.2 # a comment\nnonsense\n127.0.0.1\n');
  await dialog.getByRole('button', { name: /Preview/ }).click();
  // A line that is no ban hides the fate of no other.
  await dialog.getByText('`nonsense` is').waitFor();
  await dialog.getByText('is never banned').waitFor();
  await dialog.getByText('banned', { exact: true }).nth(1).waitFor();
  // A preview of other lines lets none of these in.
  await dialog.getByLabel('Note').fill('a list');
  assert.ok(await dialog.getByRole('button', { name: 'Import', exact: true }).isDisabled());
  await dialog.getByRole('button', { name: /Preview/ }).click();
  await dialog.getByRole('button', { name: 'Import 2 bans' }).click();
  await page.getByRole('link', { name: '198.51.100.2' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Import', 'the focus is lost after a dialog');
  await page.getByLabel('Network', { exact: true }).fill('198.51.100.0/24');
  await page.waitForURL(/within=198\.51\.100\.0%2F24/);
  await page.getByRole('button', { name: 'Lift all that are filtered' }).click();
  await dialog.getByRole('button', { name: 'Lift 2 bans' }).waitFor();
  // What was not previewed is not lifted.
  const status = await page.evaluate(async () => {
    const body = JSON.stringify({ target: '198.51.100.3', duration: '1h' });
    return (await fetch('/api/v1/bans', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).status;
  });
  assert.equal(status, 201);
  await dialog.getByRole('button', { name: 'Lift 2 bans' }).click();
  await dialog.getByText('3 bans match now, and the preview showed 2').waitFor();
  // As many, and others.
  await dialog.getByRole('button', { name: 'Lift 3 bans' }).waitFor();
  await page.evaluate(async () => {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ target: '198.51.100.4', duration: '1h' });
    await fetch('/api/v1/bans/198.51.100.3', { method: 'DELETE' });
    await fetch('/api/v1/bans', { method: 'POST', headers, body });
  });
  await dialog.getByRole('button', { name: 'Lift 3 bans' }).click();
  await dialog.getByText('are not those that the preview showed').waitFor();
  await dialog.getByRole('link', { name: '198.51.100.4' }).waitFor();
  // What always changes can be lifted as it is.
  await dialog.getByLabel('Lift what matches now').check();
  await dialog.getByLabel('Note').fill('a mistaken list');
  await dialog.getByRole('button', { name: 'Lift what matches' }).click();
  await page.getByText('No ban matches').waitFor();
  await page.goto(`${url}/audit?kind=list`);
  await page.getByRole('cell', { name: /3 new.*: a mistaken list$/ }).waitFor();
  await page.goto(`${url}/bans?within=198.51.100.0%2F24`);
  // Which of two things is meant, is asked.
  await page.getByRole('button', { name: 'Ban', exact: true }).click();
  await dialog.getByLabel('Address or network').fill('198.51.100.161/24');
  assert.ok(await dialog.getByRole('button', { name: 'Ban', exact: true }).isDisabled());
  await dialog.getByLabel('198.51.100.161 alone').check();
  await dialog.getByRole('button', { name: 'Ban', exact: true }).click();
  await page.getByRole('link', { name: '198.51.100.161' }).waitFor();
  await page.evaluate(async () => {
    await fetch('/api/v1/bans/198.51.100.161', { method: 'DELETE' });
  });
  await page.getByText('No ban matches').waitFor();
}

/** Ten pages of one browser share a stream: a browser opens six connections to a host at most. */
async function tenPagesAreOpen(page) {
  const pages = [];
  for (let n = 0; n < 10; n += 1) {
    const another = await page.context().newPage();
    await another.goto(url);
    await nowIsShown(another);
    pages.push(another);
  }
  await page.getByRole('link', { name: 'Rules', exact: true }).click();
  await page.getByRole('table', { name: 'Rules in force' }).waitFor();
  await Promise.all(pages.map((another) => another.close()));
  const licences = await page.evaluate(async () => (await fetch('/licences.txt')).text());
  assert.match(licences, /^react .*\(MIT\)$/m);
  assert.match(licences, /^uplot .*\(MIT\)$/m);
}

/** Another threshold is tried on a log: it would ban one client more, and changes nothing. */
async function aChangeIsTried(page) {
  await page.goto(`${url}/rules`);
  const line = (n) => `203.0.113.9 - - [20/Nov/2026:10:00:${10 + n} +0000] "GET /${n} HTTP/1.1" 404 1 "-" "-"\n`;
  const log = Array.from({ length: 30 }, (_, n) => line(n)).join('');
  await page.getByLabel('Access log').setInputFiles({ name: 'access.log', mimeType: 'text/plain', buffer: Buffer.from(log) });
  await page.getByLabel('threshold of error-flood').fill('20x');
  await page.getByRole('alert').filter({ hasText: 'error-flood is not a whole number' }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Try', exact: true }).isDisabled());
  await page.getByLabel('threshold of error-flood').fill('20');
  await page.getByRole('button', { name: 'Try', exact: true }).click();
  const changes = page.getByRole('table', { name: 'What would change' });
  await changes.getByRole('row').filter({ hasText: '203.0.113.9' }).filter({ hasText: 'appears' }).waitFor();
  await check(page);
  // Another threshold is another question, which nothing has answered yet.
  await page.getByLabel('threshold of error-flood').fill('25');
  await changes.waitFor({ state: 'detached' });
  await page.goto(`${url}/client/203.0.113.9`);
  await page.getByText(/is not banned/).first().waitFor();
}

/** Each log is told of with what was not understood of it. */
async function logsAreToldOf(page) {
  await page.goto(`${url}/fleet`);
  const logs = page.getByRole('table', { name: 'Logs of each edge' });
  await logs.getByRole('row').filter({ hasText: /last line .* ago/ }).first().waitFor();
}

/** Times are the reader's, with UTC as a hint; behind each chart is its table; nothing moves for who asked for that. */
async function timesChartsAndMotion(page) {
  await page.goto(`${url}/client/${attacker}`);
  const time = page.getByRole('region', { name: 'Timeline' }).locator('time').first();
  await time.waitFor();
  const utc = await time.getAttribute('datetime');
  assert.equal(await time.getAttribute('title'), `${utc.replace('T', ' ').slice(0, -1)} UTC`);
  const clock = { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit', second: '2-digit' };
  const here = new Intl.DateTimeFormat('en-GB', clock).format(new Date(utc));
  assert.ok((await time.textContent()).includes(here), `${await time.textContent()} is not ${here}`);
  for (const [path, least] of [['/', 1], ['/rules', 1], ['/reports', 3]]) {
    await page.goto(url + path);
    await page.locator('.plot canvas').first().waitFor();
    const charts = page.locator('figure.chart');
    const number = await charts.count();
    assert.ok(number >= least, `${path} has ${number} charts`);
    for (let n = 0; n < number; n += 1) {
      await charts.nth(n).getByRole('button', { name: /^Table/ }).click();
      await charts.nth(n).getByRole('table').waitFor();
    }
  }
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.goto(`${url}/fleet`);
  const fill = page.locator('.bar-fill').first();
  await fill.waitFor({ state: 'attached' });
  const moves = () => fill.evaluate((part) => getComputedStyle(part).transitionDuration);
  assert.equal(await moves(), '0s');
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  assert.notEqual(await moves(), '0s');
}

/** Every page: nothing for axe, on a narrow screen too, in both colours. */
async function everyPageIsForEverybody(page) {
  const points = await watch(page);
  for (const [colorScheme, width] of [['light', 1280], ['dark', 320]]) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height: 800 });
    for (const path of PAGES) {
      await page.goto(url + path);
      await page.locator('main .panel').first().waitFor();
      await page.waitForFunction(() => document.querySelector('.loading') === null);
      console.log(`${path}, ${width} pixels wide: ${await points()}`);
      await fits(page);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

/** On paper, charts are light, and not cut off where the window was wider. */
async function aReportIsPrinted(page) {
  const paper = await page.context().newPage();
  // Nothing tells a page how wide paper is.
  await paper.addInitScript(() => {
    window.ResizeObserver = class {
      observe() {}
      disconnect() {}
    };
  });
  await paper.setViewportSize({ width: 1280, height: 800 });
  await paper.emulateMedia({ colorScheme: 'dark' });
  await paper.goto(`${url}/reports`);
  await paper.locator('.plot canvas').first().waitFor();
  await paper.evaluate(() => window.addEventListener('beforeprint', () => (window.printed = document.documentElement.dataset.theme)));
  await paper.pdf();
  assert.deepEqual(await paper.evaluate(() => [window.printed, document.documentElement.dataset.theme]), ['light', 'dark']);
  await paper.emulateMedia({ media: 'print' });
  await paper.setViewportSize({ width: 718, height: 1000 });
  const right = () => [...document.querySelectorAll('.plot canvas')].map((chart) => chart.getBoundingClientRect().right);
  const charts = await paper.evaluate(right);
  assert.ok(charts.length > 0 && charts.every((edge) => edge <= 718), `charts are cut off: they end at ${charts.join(', ')}`);
  await paper.close();
}

/** Presses Tab until the focus is on what is called `name`. */
async function tabTo(page, name) {
  for (let n = 0; n < 40; n += 1) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(() => document.activeElement?.textContent)) === name) return;
  }
  assert.fail(`Tab does not lead to ${name}`);
}

async function theKeyboardIsEnough(page) {
  await page.goto(url);
  await nowIsShown(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the page');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  await page.getByLabel('Find an address').focus();
  await page.keyboard.type('no address');
  await page.keyboard.press('Enter');
  await page.getByText('No IPv4 or IPv6 address').waitFor();
  await page.keyboard.press('Control+A');
  await page.keyboard.type(attacker);
  await page.keyboard.press('Enter');
  await page.getByText('is not banned.').waitFor();
  await tabTo(page, 'Ban');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Ban', 'the focus is lost after Escape');
  await page.keyboard.press('Enter');
  await dialog.waitFor();
  await page.keyboard.type('by keyboard');
  await page.keyboard.press('Enter');
  await page.getByText('is banned:').waitFor();
  await tabTo(page, 'Lift the ban');
  await page.keyboard.press('Enter');
  await dialog.waitFor();
  await tabTo(page, 'Lift the ban');
  await page.keyboard.press('Enter');
  await page.getByText('is not banned.').waitFor();
}

/** The daemon goes, and comes back: the page says so, and nobody signs in again. A session that was ended is over. */
async function theConnectionIsLost(page) {
  await page.goto(url);
  await nowIsShown(page);
  await ask('stop');
  await page.getByRole('alert').filter({ hasText: /^Connection lost\..*by itself\.$/ }).waitFor();
  await page.getByText('Last seen', { exact: false }).first().waitFor();
  await nowIsShown(page);
  await ask('start');
  await page.getByRole('alert').filter({ hasText: 'Connection lost' }).waitFor({ state: 'detached', timeout: 20_000 });
  await nowIsShown(page);
  await page.evaluate(() => fetch('/api/v1/session', { method: 'DELETE' }));
  await page.getByText('The session has ended').waitFor({ timeout: 20_000 });
  await signIn(page, operator);
  await nowIsShown(page);
}

/** A link that is opened where the page is shown, which loads nothing, signs in as well, and once. */
async function aLinkIsOpenedInThePage(page) {
  await page.goto(url);
  await nowIsShown(page);
  const answer = await fetch(`${url}/api/v1/session/links`, { method: 'POST', headers: { authorization: `Bearer ${operator}` } });
  const { url: link } = await answer.json();
  await page.getByRole('button', { name: 'olga' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Token').waitFor();
  const open = (link) => page.evaluate((hash) => (window.location.hash = hash), new URL(link).hash);
  await open(link);
  await nowIsShown(page);
  assert.ok(!page.url().includes('link='), 'the code stays in the address');
  await page.evaluate(() => fetch('/api/v1/session', { method: 'DELETE' }));
  await page.getByText('The session has ended').waitFor({ timeout: 20_000 });
  await open(link);
  await page.getByRole('alert').filter({ hasText: 'this link was used before' }).waitFor();
  await signIn(page, operator);
  await nowIsShown(page);
}

const options = { viewport: { width: 1280, height: 800 }, timezoneId: 'Europe/Berlin', locale: 'en-GB' };
await withBrowser(options, async (context) => {
  context.setDefaultTimeout(TIMEOUT);
  const page = context.pages()[0];
  const steps = [
    ...[anAttackAppears, itIsExplained, () => aReaderChangesNothing(options), aNarrowScreenIsEnough, anOperatorLiftsIt],
    ...[listsAreBannedAndLifted, tenPagesAreOpen, aChangeIsTried, logsAreToldOf, aReportIsPrinted, timesChartsAndMotion, everyPageIsForEverybody],
    ...[theKeyboardIsEnough, theConnectionIsLost, aLinkIsOpenedInThePage],
  ];
  for (const step of steps) {
    const began = Date.now();
    await step(page);
    console.log(`${step.name || 'aReaderChangesNothing'}: ${Date.now() - began} ms`);
  }
});

// What asks is done: nothing else keeps the process.
process.stdin.destroy();
