// Drafts an order on the page of a real backend with a real browser, signs it with the real desk, and watches the page show it run and be cancelled.
// Usage: node order_page.mjs DETAILS.json OUTPUT_FOLDER NETSONDE_DESK; DETAILS.json is what `cargo demo --remote --details` writes.
import { chromium } from 'playwright-core';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { strict as assert } from 'node:assert';

const [detailsFile, output, desk] = process.argv.slice(2);
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
const signed = (...arguments_) =>
  execFileSync(desk, arguments_, {
    encoding: 'utf8',
    env: { ...process.env, NETSONDE_DESK_TOKEN: details.desk_token, NETSONDE_ORGANISATION: details.organisation },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

// Three connections one after the other: the page must show the first as done while the second is held, and the second while the third is.
const connection = (id, needs, deadline, hold) =>
  `[[check]]\nid = "${id}"\nkind = "tcp"\n${needs}deadline = "${deadline}"\nwith = { host = "{target.host}", port = "{target.port}", hold_s = ${hold} }\n`;
const SLOW_SET =
  'name = "slow"\nversion = 1\nquestion = "Does a connection stay?"\nbudget = "90s"\ntarget = "url"\n\n' +
  connection('first', '', '5s', 0) + connection('second', 'needs = ["first"]\n', '20s', 10) + connection('third', 'needs = ["second"]\n', '60s', 50);

try {
  // Scripts are off in the browser: what is shown here needs none, but for the page that changes where it stands.
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(details.url + '/cases');
  await page.fill('input[name=user]', 'engineer');
  await page.fill('input[type=password]', details.password);
  await page.click('main button');
  await page.waitForLoadState();

  await check('the fleet page shows both agents', async () => {
    await page.goto(details.url + '/agents');
    assert.match(await page.innerText('body'), new RegExp(details.agent.slice(0, 8)));
    await page.screenshot({ path: `${output}/fleet.png`, fullPage: true });
  });

  let draft;
  await check('a draft is kept, and no agent hears of it', async () => {
    await page.goto(`${details.url}/orders/new?case=${details.case}&agent=${details.agent}`);
    await page.selectOption('select[name=set]', 'web');
    await page.fill('textarea[name=targets]', details.target);
    await page.fill('input[name=requester]', 'Erika');
    await page.fill('input[name=reason]', 'the shop is slow');
    await page.screenshot({ path: `${output}/order-form.png`, fullPage: true });
    await page.click('main form.stack button');
    await page.waitForLoadState();
    draft = (await page.innerText('pre.command')).trim().split(/\s+/).at(-1);
    assert.match(draft, /^[a-z2-7]{16}$/);
    await page.screenshot({ path: `${output}/draft.png`, fullPage: true });
  });

  let order;
  await check('the desk signs it', async () => {
    const said = signed('sign', draft, '--key', details.key, '--yes', '--no-follow');
    order = said.match(/Order ([0-9a-z]{20,})/)[1];
  });

  await check('the page shows what it found, by itself', async () => {
    await page.goto(`${details.url}/orders/${order}`);
    // The page asks for itself anew; nobody presses anything.
    await page.waitForSelector('text=what was found', { timeout: 120_000 });
    const text = await page.innerText('body');
    assert.match(text, /Nothing changes here any more/);
    assert.match(text, /Erika/);
    await page.screenshot({ path: `${output}/order-done.png`, fullPage: true });
  });

  await check('its bundle leads to the finding', async () => {
    await page.click('text=what was found');
    await page.waitForLoadState();
    assert.match(await page.innerText('body'), /tls\.expired/);
    await page.screenshot({ path: `${output}/order-case.png`, fullPage: true });
  });

  let scripted;
  const done = (count) => `tr:has(td[data-label=State] .badge:text-is("running")):has(progress[max="3"][value="${count}"])`;
  const wrong = [];
  await check('the page shows an order run, check by check, by itself', async () => {
    const set = `${output}/slow.toml`;
    writeFileSync(set, SLOW_SET);
    const wanted = ['--agent', details.agent, '--target', details.target, '--case', details.case, '--key', details.key];
    const said = signed('trigger', set, ...wanted, '--yes', '--no-follow');
    await page.goto(`${details.url}/orders/${said.match(/Order ([0-9a-z]{20,})/)[1]}`);
    scripted = await (await browser.newContext({ viewport: { width: 1200, height: 900 }, storageState: await context.storageState() })).newPage();
    scripted.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
    scripted.on('pageerror', (error) => wrong.push(String(error)));
    await scripted.goto(page.url());
    await page.waitForSelector(done(1), { timeout: 60_000 });
    await scripted.waitForSelector(done(1), { timeout: 60_000 });
    await scripted.evaluate(() => (window.isSamePage = true));
    await scripted.focus('text=Cancel the order');
    await page.screenshot({ path: `${output}/order-running.png`, fullPage: true });
    // The page asks for itself anew; nobody presses anything.
    await page.waitForSelector(done(2), { timeout: 60_000 });
    assert.match(await page.innerText(done(2)), /2 of 3/);
    const partial = page.locator('section:has(h2:text("So far from"))');
    assert.equal(await partial.locator('tbody tr:has(.badge:text-is("succeeded"))').count(), 2);
    assert.match(await partial.innerText(), /first[^]*second/);
  });

  await check('with scripts it is the same page that changes, and what has the focus keeps it', async () => {
    await scripted.waitForSelector(done(2), { timeout: 60_000 });
    assert.equal(await scripted.evaluate(() => window.isSamePage), true);
    assert.equal(await scripted.evaluate(() => document.activeElement.textContent), 'Cancel the order');
    assert.equal(await scripted.locator('section:has(h2:text("So far from")) tbody tr:has(.badge:text-is("succeeded"))').count(), 2);
    // It says what the page says that asked for itself anew.
    await page.waitForSelector(done(2));
    assert.equal(await scripted.innerText('main'), await page.innerText('main'));
    await scripted.screenshot({ path: `${output}/order-running-scripted.png`, fullPage: true });
  });

  await check('an engineer cancels it there, and the page shows that it ends', async () => {
    await page.click('text=Cancel the order');
    await page.waitForSelector('text=Nothing changes here any more', { timeout: 60_000 });
    assert.match(await page.innerText('td[data-label=State]'), /cancelled/);
    await scripted.waitForSelector('text=Nothing changes here any more', { timeout: 60_000 });
    assert.deepEqual(wrong, []);
  });

  await check('the count of a state leads to its agents, and back to all', async () => {
    await page.click('a.badge:has-text("cancelled")');
    await page.waitForURL(/\?state=cancelled$/);
    assert.match(await page.innerText('td[data-label=State]'), /cancelled/);
    assert.match(await page.innerText('body'), /1 to 1 of 1/);
    await page.click('dd a:text-is("all")');
    await page.waitForURL((url) => url.search === '');
    assert.equal(await page.locator('button:text("Let the next wave go on")').count(), 0);
  });

  await check('a narrow screen shows the order, too', async () => {
    await page.setViewportSize({ width: 380, height: 800 });
    await page.goto(`${details.url}/orders/${order}`);
    await page.screenshot({ path: `${output}/order-narrow.png`, fullPage: true });
  });
} finally {
  await browser.close();
}
console.log(`${checks.length} passed, 0 failed`);
