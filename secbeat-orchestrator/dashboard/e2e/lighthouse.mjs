// The checks of Lighthouse 13.5 that count for accessibility and for best practices, with their weights. Both are of its
// core/config/default-config.js: https://github.com/GoogleChrome/lighthouse
import { axe, check } from './browser.mjs';

/** Points of 100 that a page has to have. */
const LEAST = 95;

/** Rules of axe by what they weigh. */
const RULES = {
  10: [
    ...['aria-allowed-attr', 'aria-hidden-body', 'aria-required-attr', 'aria-required-children', 'aria-required-parent', 'aria-roles'],
    ...['aria-valid-attr', 'aria-valid-attr-value', 'button-name', 'duplicate-id-aria', 'image-alt', 'input-button-name', 'input-image-alt'],
    ...['label', 'meta-refresh', 'meta-viewport', 'select-name', 'video-caption'],
  ],
  7: [
    ...['accesskeys', 'aria-command-name', 'aria-conditional-attr', 'aria-dialog-name', 'aria-hidden-focus', 'aria-input-field-name'],
    ...['aria-meter-name', 'aria-progressbar-name', 'aria-prohibited-attr', 'aria-text', 'aria-toggle-field-name', 'aria-tooltip-name'],
    ...['aria-treeitem-name', 'bypass', 'color-contrast', 'definition-list', 'dlitem', 'document-title', 'frame-title', 'html-has-lang'],
    ...['html-lang-valid', 'link-in-text-block', 'link-name', 'list', 'listitem', 'object-alt', 'tabindex', 'target-size', 'td-headers-attr'],
    ...['th-has-data-cells', 'valid-lang'],
  ],
  3: ['form-field-multiple-labels', 'heading-order', 'html-xml-lang-mismatch', 'landmark-one-main', 'skip-link'],
  1: ['aria-deprecated-role', 'autocomplete-valid', 'presentation-role-conflict', 'svg-img-alt'],
};

/** What is wrong in the eyes of the browser's tools, beside cookies of other sites and what is deprecated. */
const ISSUES = ['MixedContentIssue', 'CookieIssue', 'BlockedByResponseIssue', 'HeavyAdIssue', 'ContentSecurityPolicyIssue'];

/** Checks of a page for best practices: the name, the weight, and whether what was seen meets it. */
const PRACTICES = [
  ['is-on-https', 5, ({ urls }) => urls.every((url) => ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname) || url.protocol === 'https:')],
  ['geolocation-on-start', 1, ({ page }) => !page.asked.some((name) => name.endsWith('Position'))],
  ['notification-on-start', 1, ({ page }) => !page.asked.includes('requestPermission')],
  ['paste-preventing-inputs', 3, ({ page }) => page.takesPaste],
  ['image-aspect-ratio', 1, ({ page }) => page.images.every(({ isSvg, ratio }) => isSvg || Math.abs(ratio - 1) < 0.05)],
  ['image-size-responsive', 1, ({ page }) => page.images.every(({ isSvg, scale }) => isSvg || scale >= 1)],
  ['doctype', 1, ({ page }) => page.isStandard],
  ['charset', 1, ({ page }) => page.charset],
  ['deprecations', 5, ({ issues }) => !issues.includes('DeprecationIssue')],
  ['third-party-cookies', 5, ({ issues }) => !issues.includes('CookieIssue')],
  ['errors-in-console', 1, ({ errors }) => errors.length === 0],
  ['inspector-issues', 1, ({ issues }) => !issues.some((code) => ISSUES.includes(code))],
];

/** Follows what `page` loads from now on. Returns what tells the points of the page that is shown, and fails with too few. */
export async function watch(page) {
  const [urls, errors, issues] = [[], [], []];
  page.on('request', (request) => urls.push(new URL(request.url())));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  const tools = await page.context().newCDPSession(page);
  tools.on('Audits.issueAdded', ({ issue }) => issues.push(issue.code));
  await tools.send('Audits.enable');
  await page.addInitScript(noteQuestions);
  return async () => {
    const results = await axe(page);
    const seen = { urls, errors, issues, page: await page.evaluate(look) };
    const told = {
      accessibility: points(accessibility(results)),
      'best practices': points(PRACTICES.map(([name, weight, meets]) => [name, weight, meets(seen)])),
    };
    for (const [category, { of100, failed }] of Object.entries(told)) {
      if (!(of100 >= LEAST)) {
        throw new Error(`${page.url()}: ${of100} points for ${category}: ${failed.join(', ')}: ${JSON.stringify({ errors, issues })}`);
      }
    }
    await check(page, results);
    [urls, errors, issues].forEach((all) => all.splice(0));
    return Object.entries(told).map(([category, { of100 }]) => `${category} ${of100}`).join(', ');
  };
}

/** The rules that apply to the page, each with its weight and whether the page passes it. */
function accessibility({ passes, violations }) {
  const has = (results, wanted) => results.some(({ id }) => id === wanted);
  const all = Object.entries(RULES).flatMap(([weight, ids]) => ids.map((id) => [id, Number(weight), !has(violations, id)]));
  return all.filter(([id, , isMet]) => !isMet || has(passes, id));
}

/** The mean of what is met, by weight. */
function points(checks) {
  const sum = (all) => all.reduce((weights, [, weight]) => weights + weight, 0);
  const of100 = Math.floor((100 * sum(checks.filter(([, , isMet]) => isMet))) / sum(checks));
  const failed = checks.filter(([, , isMet]) => !isMet).map(([name]) => name);
  return { of100, failed };
}

/** Keeps what a page asks its reader for, in the page. */
function noteQuestions() {
  window.asked = [];
  const note = (of, name) => {
    const ask = of[name].bind(of);
    of[name] = (...all) => {
      window.asked.push(name);
      return ask(...all);
    };
  };
  note(navigator.geolocation, 'getCurrentPosition');
  note(navigator.geolocation, 'watchPosition');
  note(Notification, 'requestPermission');
}

/** What the document itself says, asked in the page. */
function look() {
  const fields = [...document.querySelectorAll('textarea, input, select')].filter((field) => !field.readOnly);
  return {
    asked: window.asked,
    takesPaste: fields.every((field) => field.dispatchEvent(new ClipboardEvent('paste', { cancelable: true }))),
    isStandard: document.doctype !== null && document.compatMode === 'CSS1Compat',
    charset: document.querySelector('meta[charset]') !== null && document.characterSet === 'UTF-8',
    images: [...document.images].map(({ src, naturalWidth, naturalHeight, width, height }) => ({
      isSvg: new URL(src).pathname.endsWith('.svg'),
      ratio: width / height / (naturalWidth / naturalHeight),
      scale: naturalWidth / width / devicePixelRatio,
    })),
  };
}
