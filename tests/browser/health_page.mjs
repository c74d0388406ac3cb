// Looks at the fleet's health and at an automatic case with a real browser, wide and narrow.
// Usage: node health_page.mjs DETAILS.json OUTPUT_FOLDER; DETAILS.json is what the backend's test `a_fleet_for_a_browser` writes.
import { chromium } from 'playwright-core';
import { mkdirSync, readFileSync } from 'node:fs';
import { strict as assert } from 'node:assert';

const [detailsFile, output] = process.argv.slice(2);
const details = JSON.parse(readFileSync(detailsFile, 'utf8'));
mkdirSync(output, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking'],
});
const checks = [];
const check = async (name, body) => {
  await body();
  checks.push(name);
  console.log(`ok ${name}`);
};
const WIDE = { width: 1200, height: 900 };
const NARROW = { width: 390, height: 800 };

try {
  // Scripts are off in the browser: what is shown here needs none.
  const context = await browser.newContext({ viewport: WIDE, javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(details.url + '/health');
  await page.fill('input[name=user]', 'engineer');
  await page.fill('input[type=password]', details.password);
  await page.click('main button');
  await page.waitForLoadState();

  // In both widths, and without anything that reaches beyond the page.
  const shown = async (name) => {
    for (const [width, viewport] of Object.entries({ wide: WIDE, narrow: NARROW })) {
      await page.setViewportSize(viewport);
      const box = await page.locator('main').boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= viewport.width, `${name} ${width}: ${JSON.stringify(box)}`);
      for (const element of await page.locator('main table, main figure, main section').all()) {
        const part = await element.boundingBox();
        assert.ok(part.x + part.width <= viewport.width + 1, `${name} ${width}: ${JSON.stringify(part)}`);
      }
      await page.screenshot({ path: `${output}/${name}-${width}.png`, fullPage: true });
    }
    await page.setViewportSize(WIDE);
  };

  await check('the fleet has what fails first, and unknown is a state of its own', async () => {
    await page.goto(details.url + '/health');
    const rows = await page.locator('tbody tr').allInnerTexts();
    assert.equal(rows.length, 4);
    assert.match(rows[0], /failing/);
    assert.match(rows[1], /unknown/);
    assert.match(rows[2], /unknown/);
    assert.match(rows[3], /ok/);

    assert.equal(await page.locator('.counts .badge.unknown').innerText(), '2 unknown');
    await shown('health');
  });

  await check('a filter by label and state works without scripts', async () => {
    await page.fill('input[name=labels]', 'site=oslo');
    await page.selectOption('select[name=state]', 'unknown');
    await page.click('main form.filter button');
    await page.waitForLoadState();
    assert.equal(await page.locator('tbody tr').count(), 2);
    await page.goto(details.url + '/health?labels=site%3Drome');
    assert.match(await page.innerText('main'), /Nothing fits/);
  });

  await check('the list of cases says which opened by themselves', async () => {
    await page.goto(details.url + '/cases');
    assert.match(await page.innerText(`tr:has-text("${details.case}")`), /automatic/);
    await shown('cases');
  });

  await check('a case has its time line, its history and its bundle', async () => {
    await page.goto(`${details.url}/cases/${details.case}`);
    const drawing = page.locator('.states svg[role=img]');
    assert.equal(await drawing.count(), 1);
    assert.match(await drawing.getAttribute('aria-label'), /degraded from .* failing from .* ok from .* failing from/);
    assert.ok((await page.locator('.states rect').count()) >= 5);
    assert.equal(await page.locator('ol.changes li').count(), 4);
    assert.equal(await page.locator('.spark svg polyline').count(), 1);
    assert.match(await page.innerText('.spark'), /2 failed/);
    assert.equal(await page.locator('#verification').count(), 1);
    await shown('automatic-case');
  });

  await check('the page of alerts says that nobody is told', async () => {
    await page.goto(details.url + '/alerts');
    assert.match(await page.innerText('main'), /Nobody\./);
    await shown('alerts');
  });

  await check('an engineer closes the case', async () => {
    await page.goto(`${details.url}/cases/${details.case}`);
    await page.click('text=Close the case');
    await page.waitForLoadState();
    assert.match(await page.innerText('#timeline >> xpath=ancestor::section'), /closed/);
  });
  
} finally {
  await browser.close();
}
console.log(`${checks.length} passed, 0 failed`);
