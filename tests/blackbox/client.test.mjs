/* The page's client (gateway/web/client.js) against the real server: what a browser tab lives through. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { TextClient } from '../../gateway/web/client.js';
import * as text from '../../gateway/web/text.js';
import { Server, sleep, until } from './harness.mjs';
import { Random, contentDelta, contentOf, historyOf, randomDelta, replay } from './oracle.mjs';

const SEED = Number(process.env.SEED || Date.now() % 1e9);
let server;
const opened = [];
before(async () => { server = await Server.start(); });
after(() => {
    for (const tab of opened) tab.close();
    return server.end();
});

/** A tab: the client and what it would show. */
class Tab {
    constructor(id, as, clientId) {
        this.shown = '';
        this.notices = [];
        this.client = new TextClient({
            docId: id,
            clientId,
            openSocket: (query) => new WebSocket(`${server.base.replace('http', 'ws')}/ws/docs/${id}?${query}`, ['penstock.v1', `bearer.${server.token(as)}`]),
            probe: async () => (await server.call('GET', `/docs/${id}`, { as })).status,
            onContent: (content) => { this.shown = content; },
            onRemote: (op) => { this.shown = text.apply(this.shown, op); },
            onNotice: (notice) => this.notices.push(notice),
        });
        this.client.open();
        opened.push(this);
    }
    edit(op) {
        this.shown = text.apply(this.shown, op);
        this.client.edit(op);
    }
    live() {
        return until('the tab is live', () => this.client.state === 'live' || (this.client.state === 'stopped' && assert.fail(this.client.reason)));
    }
    async settled(version) {
        await until(`all is saved at ${version ?? 'rest'}`, () => this.client.state === 'live' && this.client.isSaved && (version === undefined || this.client.version === version));
        assert.equal(this.client.content, this.shown);
    }
    cut() {
        this.client.socket?.terminate();
    }
    close() {
        this.client.close();
    }
}

async function tabs(content, n = 2) {
    const { id } = await server.createDoc('ann', { content });
    await server.share('ann', id, 'bob', 'editor');
    const list = Array.from({ length: n }, (_, i) => new Tab(id, i % 2 ? 'bob' : 'ann', `tab${i}`));
    await Promise.all(list.map((tab) => tab.live()));
    return [id, ...list];
}

describe('two tabs', () => {
    test('see each other\u2019s text', async () => {
        const [id, a, b] = await tabs('hello');
        a.edit([5, ' world']);
        b.edit(['oh, ']);
        await until('both have both', () => a.shown.length === 15 && b.shown.length === 15);
        assert.equal(a.shown, 'oh, hello world');
        assert.equal(b.shown, 'oh, hello world');
        assert.equal((await server.getDoc('ann', id)).content, a.shown);
        a.close();
        b.close();
    });

    test('see each other\u2019s cursors, which move with the text', async () => {
        const [, a, b] = await tabs('hello');
        a.client.setCursor(5, [2, 5]);
        const cursor = await until('b sees a', () => b.client.cursors()[0]);
        assert.deepEqual([cursor.userId, cursor.clientId, cursor.pos, cursor.selection], ['ann', 'tab0', 5, [2, 5]]);
        b.edit(['__']);
        assert.equal(b.client.cursors()[0].pos, 7);
        await b.settled();
        await a.settled(1);
        a.close();
        await until('a left', () => b.client.cursors().length === 0);
        b.close();
    });

    test('converge when both type all the time, and send what was typed meanwhile as one op', async () => {
        const [id, a, b] = await tabs('');
        const random = new Random(SEED);
        for (let i = 0; i < 400; i++) {
            const tab = random.pick([a, b]);
            tab.edit(text.fromWire({ type: 'delta', ops: randomDelta(random, contentDelta(tab.shown), false).ops }));
            if (random.chance(0.2)) await sleep(random.below(4));
        }
        await Promise.all([a.settled(), b.settled()]);
        const { version, content } = await server.getDoc('ann', id);
        await Promise.all([a.settled(version), b.settled(version)]);
        assert.equal(a.shown, content, `SEED=${SEED}`);
        assert.equal(b.shown, content, `SEED=${SEED}`);
        assert.equal(contentOf(replay('', await historyOf(server, 'ann', id)), 'text'), content);
        a.close();
        b.close();
    });
});

describe('a lost connection', () => {
    test('loses and doubles nothing, however often it is lost', async () => {
        const [id, a, b] = await tabs('', 2);
        const random = new Random(SEED);
        let typed = 0;
        for (let i = 0; i < 120; i++) {
            const tab = random.pick([a, b]);
            tab.edit([...(tab.shown.length ? [tab.shown.length] : []), `<${typed++}>`]);
            if (random.chance(0.15)) random.pick([a, b]).cut();
            await sleep(random.below(8));
        }
        await Promise.all([a.settled(), b.settled()]);
        const { version, content } = await server.getDoc('ann', id);
        await Promise.all([a.settled(version), b.settled(version)]);
        assert.equal(a.shown, content);
        assert.equal(b.shown, content);
        for (let i = 0; i < typed; i++) assert.equal(content.split(`<${i}>`).length, 2, `<${i}> is there once`);
        a.close();
        b.close();
    });

    test('edits made while the server is away are merged once it is back', async () => {
        const [id, a, b] = await tabs('base');
        await server.kill();
        a.edit([4, ' A']);
        b.edit(['B ']);
        await sleep(300);
        assert.equal(a.client.isSaved, false);
        await server.restart({ samePort: true });
        await Promise.all([a.settled(), b.settled()]);
        await Promise.all([a.settled(2), b.settled(2)]);
        assert.equal(a.shown, 'B base A');
        assert.equal(b.shown, 'B base A');
        assert.equal((await server.getDoc('ann', id)).content, 'B base A');
        a.close();
        b.close();
    });
});

describe('what ends a tab\u2019s work', () => {
    test('access withdrawn, a deleted document, another tab with its identity: it stops and says why', async () => {
        const [id, a, b] = await tabs('x');
        await server.call('DELETE', `/docs/${id}/collaborators/bob`, { as: 'ann' });
        await until('b stopped', () => b.client.state === 'stopped');
        assert.match(b.client.reason, /withdrawn/);
        const twin = new Tab(id, 'ann', 'tab0');
        await until('a stopped', () => a.client.state === 'stopped');
        assert.match(a.client.reason, /elsewhere/);
        await twin.live();
        await server.call('DELETE', `/docs/${id}`, { as: 'ann' });
        await until('the twin stopped', () => twin.client.state === 'stopped');
        assert.match(twin.client.reason, /deleted/);
    });

    test('a document that is not there: it stops', async () => {
        const tab = new Tab('no-such-document', 'ann', 'tab0');
        await until('it stopped', () => tab.client.state === 'stopped');
        assert.match(tab.client.reason, /no such document/);
    });

    test('a role that became less: editing ends, reading goes on', async () => {
        const [id, a, b] = await tabs('x');
        await server.share('ann', id, 'bob', 'viewer');
        await until('b reads only', () => !b.client.canEdit);
        a.edit([1, 'y']);
        await until('b sees it', () => b.shown === 'xy');
        a.close();
        b.close();
    });

    const tooMuch = {
        'that the server refuses': async (a) => {
            const piece = 'z'.repeat(400000);
            a.edit([piece]);
            await a.settled(1);
            a.edit([piece]);
            await a.settled(2);
            a.edit([piece]);
        },
        'that is larger than a message may be': (a) => a.edit([1, 'z'.repeat((1 << 20) - 1)]),
    };
    for (const [name, edit] of Object.entries(tooMuch)) test(`an edit ${name} is taken back, and the text is the server\u2019s again`, async () => {
        const [id, a, b] = await tabs('x');
        await edit(a);
        await until('it was refused', () => a.notices.length > 0);
        await a.settled();
        const { content } = await server.getDoc('ann', id);
        assert.equal(a.shown, content);
        a.close();
        b.close();
    });
});
