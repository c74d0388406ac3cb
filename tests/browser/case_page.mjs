// Signs in to a real backend with a real browser, opens the case that the demo made, and looks for what was found.
// Usage: node case_page.mjs DETAILS.json OUTPUT_FOLDER; DETAILS.json is what `cargo demo --details` writes.
import { chromium } from 'playwright-core';
import { mkdirSync, readFileSync } from 'node:fs';
import { strict as assert } from 'node:assert';

const [detailsFile, output] = process.argv.slice(2);
const details = JSON.parse(readFileSync(detailsFile, 'utf8'));
mkdirSync(output, { recursive: true });

// The backend's certificate is trusted by the digest of its key, and no other certificate is.
const spki = details.tls_pin.replace(/^sha256:/, '').replaceAll('-', '+').replaceAll('_', '/').replace(/=*$/, '') + '=';
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', `--ignore-certificate-errors-spki-list=${spki}`],
});
const checks = [];
const check = async (name, body) => {
  await body();
  checks.push(name);
  console.log(`ok ${name}`);
};

try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));

  await check('the case page asks for a sign-in first', async () => {
    await page.goto(details.page);
    assert.match(page.url(), /sign-in/);
    await page.screenshot({ path: `${output}/sign-in.png` });
  });

  await check('a wrong password is refused in words', async () => {
    await page.fill('input[type=password]', 'not the password');
    await page.click('main button');
    assert.match(await page.innerText('body'), /password/i);
    assert.match(page.url(), /sign-in/);
  });
  faults.length = 0; // The refusal's own status is reported as an error by the browser.

  await check('the right password leads on', async () => {
    await page.goto(details.page);
    await page.fill('input[type=password]', details.password);
    await page.click('main button');
    await page.waitForLoadState();
    assert.doesNotMatch(page.url(), /sign-in/);
  });

  await check('the list of cases leads to the case', async () => {
    await page.goto(details.url + '/cases');
    await page.screenshot({ path: `${output}/cases.png`, fullPage: true });
    await page.click('a:has-text("DEMO-1")');
    await page.waitForLoadState();
    assert.match(page.url(), /\/cases\/DEMO-1/);
  });

  await check('the case shows the cause, in words, with its code', async () => {
    const text = await page.innerText('body');
    assert.match(text, /tls\.expired/);
    assert.match(text, /expired/i);
    assert.match(text, /intact/i);
    await page.screenshot({ path: `${output}/case.png`, fullPage: true });
  });

  await check('path and waterfall are drawn', async () => {
    assert.ok((await page.locator('svg').count()) >= 1);
  });

  await check('a narrow screen needs no sideways scrolling', async () => {
    await page.setViewportSize({ width: 380, height: 800 });
    const [wide, visible] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(wide <= visible, `the page is ${wide} px wide on a screen of ${visible} px`);
    await page.screenshot({ path: `${output}/case-narrow.png`, fullPage: true });
  });

  await check('no script error and no blocked resource', async () => {
    assert.deepEqual(faults, []);
  });
} finally {
  await browser.close();
}
console.log(`${checks.length} passed, 0 failed`);
