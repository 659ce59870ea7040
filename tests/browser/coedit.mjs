/*
 * coedit.mjs - two browser windows edit one text through the page, as people would.
 *
 * Debian's Chromium (CHROMIUM names another) is driven by playwright-core. Prints "N passed, M failed,
 * K skipped"; SCREENSHOT=FILE keeps a picture of one window.
 */
import { existsSync } from 'node:fs';
import { Server, until } from '../blackbox/harness.mjs';
import assert from 'node:assert/strict';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

if (!existsSync(CHROMIUM)) {
    console.log(`skipped: there is no ${CHROMIUM} (apt-get install chromium, or set CHROMIUM)`);
    console.log('0 passed, 0 failed, 1 skipped');
    process.exit(0);
}
const { chromium } = await import('playwright-core');

let passed = 0;
let failed = 0;
async function step(name, body) {
    const started = Date.now();
    try {
        await body();
        passed++;
        console.log(`ok: ${name} (${Date.now() - started} ms)`);
    } catch (error) {
        failed++;
        console.log(`failed: ${name}: ${error.stack}`);
    }
}

const text = (page) => page.locator('#text').inputValue();
const isLive = (page) => page.waitForSelector('#editor[data-state=live][data-saved=true]', { timeout: 20000 });
async function bothShow(pages, want) {
    const show = async () => (await Promise.all(pages.map(text))).every((shown) => (typeof want === 'string' ? shown === want : want(shown)));
    await until(`both show ${want}; they show ${JSON.stringify(await Promise.all(pages.map(text)))}`, show, 10000);
}

async function signIn(context, base, name, faults) {
    const page = await context.newPage();
    page.on('pageerror', (error) => faults.push(`${name}: ${error.stack}`));
    page.on('console', (message) => {
        if (message.type() === 'error' && !/WebSocket connection|ERR_CONNECTION|Failed to load resource/.test(message.text())) faults.push(`${name}: ${message.text()}`);
    });
    await page.goto(base);
    await page.fill('#name', name);
    await page.press('#name', 'Enter');
    await page.waitForSelector('#documents:not([hidden])');
    return page;
}

const server = await Server.start({ dev: true });
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const faults = [];
const contexts = await Promise.all([1, 2].map(() => browser.newContext({ viewport: { width: 1000, height: 640 } })));
const [ann, bob] = await Promise.all(contexts.map((context, i) => signIn(context, server.base, ['Ann', 'Bob'][i], faults)));
const both = [ann, bob];

await step('Ann makes a text and shares it with Bob, who opens its address', async () => {
    await ann.fill('#title', 'Our plan \u{1f331}');
    await ann.press('#title', 'Enter');
    await isLive(ann);
    assert.equal(await ann.inputValue('#doc-title'), 'Our plan \u{1f331}');
    await ann.fill('#share-with', 'Bob');
    await ann.press('#share-with', 'Enter');
    await until('Ann is told', () => ann.evaluate(() => document.getElementById('notice').textContent.includes('Bob can edit')));
    await bob.goto(ann.url());
    await isLive(bob);
});

await step('what one types the other sees, emoji and line breaks too', async () => {
    await ann.click('#text');
    await ann.keyboard.type('Hello Bob \u{1f600}\nsecond line');
    await bothShow(both, 'Hello Bob \u{1f600}\nsecond line');
    await bob.click('#text');
    await bob.keyboard.press('Control+Home');
    await bob.keyboard.type('Bob: ');
    await bothShow(both, 'Bob: Hello Bob \u{1f600}\nsecond line');
});

await step('each sees the other\u2019s cursor with his name', async () => {
    // A caret has no width: it is there, though not "visible".
    await ann.waitForSelector('#mirror .caret[data-name=Bob]', { state: 'attached' });
    await bob.waitForSelector('#mirror .caret[data-name=Ann]', { state: 'attached' });
    // Ann's caret stands at the end of the text, behind "second line".
    const before = await bob.evaluate(() => {
        const caret = document.querySelector('#mirror .caret');
        const range = document.createRange();
        range.setStart(document.getElementById('mirror'), 0);
        range.setEndBefore(caret);
        return range.toString();
    });
    assert.equal(before, 'Bob: Hello Bob \u{1f600}\nsecond line');
    assert.deepEqual(await ann.locator('#people li').allTextContents(), ['Bob']);
});

await step('a caret is drawn where the text is: mirror and textarea wrap alike', async () => {
    const boxes = await bob.evaluate(() => ['text', 'mirror'].map((id) => {
        const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
        return [x, y, width, height].map(Math.round);
    }));
    assert.deepEqual(boxes[0], boxes[1]);
    const scroll = await bob.evaluate(() => [document.getElementById('text').scrollHeight, document.getElementById('text').clientHeight]);
    assert.ok(scroll[0] <= scroll[1] + 1, `${scroll}`);
});

await step('a remote edit leaves the local caret in its place', async () => {
    await ann.evaluate(() => document.getElementById('text').setSelectionRange(5, 10));
    await bob.keyboard.press('Control+Home');
    await bob.keyboard.type('>> ');
    await bothShow(both, '>> Bob: Hello Bob \u{1f600}\nsecond line');
    const selected = await ann.evaluate(() => { const t = document.getElementById('text'); return t.value.slice(t.selectionStart, t.selectionEnd); });
    assert.equal(selected, 'Hello');
});

await step('both type at once and end with one text', async () => {
    await ann.keyboard.press('Control+End');
    await bob.keyboard.press('Control+Home');
    await Promise.all([ann.keyboard.type(' and Ann writes on and on at the end', { delay: 5 }), bob.keyboard.type('Bob writes at the beginning. ', { delay: 7 })]);
    await bothShow(both, 'Bob writes at the beginning. >> Bob: Hello Bob \u{1f600}\nsecond line and Ann writes on and on at the end');
});

await step('undo takes back one\u2019s own edit alone', async () => {
    await ann.waitForTimeout(800);
    await ann.keyboard.type('!!!');
    await bob.keyboard.type('XY');
    await bothShow(both, (shown) => shown.endsWith('end!!!') && shown.includes('XY'));
    await ann.keyboard.press('Control+z');
    await bothShow(both, (shown) => shown.endsWith('at the end') && shown.includes('XY'));
    await ann.keyboard.press('Control+y');
    await bothShow(both, (shown) => shown.endsWith('end!!!') && shown.includes('XY'));
});

await step('a selection is tinted for the other', async () => {
    await ann.evaluate(() => { const t = document.getElementById('text'); t.focus(); t.setSelectionRange(0, 3); });
    await until('Bob sees it', () => bob.evaluate(() => document.querySelector('#mirror mark')?.textContent === 'Bob'));
});

if (process.env.SCREENSHOT) await bob.screenshot({ path: process.env.SCREENSHOT });

await step('both go on after the server was killed and started again; nothing typed meanwhile is lost', async () => {
    const was = await text(ann);
    await server.kill();
    await ann.keyboard.press('Control+End');
    await ann.keyboard.type(' typed while away');
    await ann.waitForSelector('#editor[data-saved=false]');
    await server.restart({ samePort: true });
    await Promise.all(both.map(isLive));
    await bothShow(both, `${was} typed while away`);
    await bob.keyboard.press('Control+Home');
    await bob.keyboard.type('back ');
    await bothShow(both, (shown) => /back /.test(shown) && shown.endsWith('typed while away'));
});

await step('a reload finds the text and the same identity', async () => {
    const was = await text(ann);
    await ann.reload();
    await isLive(ann);
    await bothShow(both, was);
    await ann.click('#text');
    await ann.keyboard.press('Control+End');
    await ann.keyboard.type(' reloaded');
    await bothShow(both, `${was} reloaded`);
});

await step('a title that one changes is seen by the other', async () => {
    await ann.fill('#doc-title', 'A better plan');
    await ann.press('#doc-title', 'Tab');
    await until('Bob sees it', async () => (await bob.inputValue('#doc-title')) === 'A better plan');
});

await step('the list shows the text; a name that has no role sees that there is none', async () => {
    await ann.click('.brand');
    await ann.waitForSelector('#list a');
    assert.match(await ann.locator('#list').textContent(), /A better plan/);
    const eve = await signIn(contexts[0], server.base, 'Eve', faults);
    await eve.goto(bob.url());
    await eve.waitForSelector('#editor[data-state=stopped]');
    await eve.close();
});

await step('no page had a fault or a breach of its policy', async () => assert.deepEqual(faults, []));

await browser.close();
await server.end().catch((error) => {
    failed++;
    console.log(`failed: ${error.stack}`);
});
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
