/* Protocol section 3: presence_update and presence_leave. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, assertError, sleep } from './harness.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });

async function pair({ content = '0123456789', role = 'editor' } = {}) {
    const { id } = await server.createDoc('ann', { content });
    await server.share('ann', id, 'bob', role);
    const ann = await server.join(id, { token: server.token('ann', { name: 'Ann Ä.' }) });
    const bob = await server.join(id, { as: 'bob' });
    return { id, ann, bob, close: () => Promise.all([ann.close(), bob.close()]) };
}

describe('presence_update', () => {
    test('reaches the others, not its sender, with every field', async () => {
        const { ann, bob, close } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 3, selection: [1, 3], version: 0 });
        assert.deepEqual(await bob.next('presence_update'), { type: 'presence_update', user_id: 'ann', client_id: ann.clientId, name: 'Ann Ä.',
            cursor_pos: 3, selection: [1, 3], version: 0 });
        await sleep(120);
        assert.deepEqual(await ann.flush(), []);
        await close();
    });

    test('may name only cursor_pos', async () => {
        const { ann, bob, close } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 4 });
        const message = await bob.next('presence_update');
        assert.equal(message.cursor_pos, 4);
        assert.equal(message.selection, null);
        assert.equal(message.version, 0);
        await close();
    });

    test('a selection may run backwards, and null means none', async () => {
        const { ann, bob, close } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 1, selection: [5, 1], version: 0 });
        assert.deepEqual((await bob.next('presence_update')).selection, [5, 1]);
        ann.send({ type: 'presence_update', cursor_pos: 2, selection: null, version: 0 });
        assert.equal((await bob.find('presence_update', (m) => m.cursor_pos === 2)).selection, null);
        await close();
    });

    test('made at an older version arrives carried to the newest', async () => {
        const { ann, bob, close } = await pair();
        await bob.op(insert(0, 'abc', { seq: 1, version: 0 }));
        await ann.next('op');
        ann.send({ type: 'presence_update', cursor_pos: 5, selection: [4, 5], version: 0 });
        const message = await bob.next('presence_update');
        assert.equal(message.version, 1);
        assert.equal(message.cursor_pos, 8);
        assert.deepEqual(message.selection, [7, 8]);
        await close();
    });

    test('is in the welcome of who comes later, carried to the version of the welcome', async () => {
        const { id, ann, bob, close } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 5, selection: null, version: 0 });
        await bob.next('presence_update');
        await bob.op(insert(0, 'abc', { seq: 1, version: 0 }));
        const late = await server.join(id, { as: 'bob' });
        assert.deepEqual(late.welcome.presence, [{ type: 'presence_update', user_id: 'ann', client_id: ann.clientId, name: 'Ann Ä.',
            cursor_pos: 8, selection: null, version: 1 }]);
        await late.close();
        await close();
    });

    test('of a client that types quickly may be merged: the newest counts', async () => {
        const { ann, bob, close } = await pair();
        for (let at = 0; at <= 10; at++) ann.send({ type: 'presence_update', cursor_pos: at, selection: null, version: 0 });
        let n = 0;
        for (;;) {
            const message = await bob.next('presence_update');
            n++;
            if (message.cursor_pos === 10) break;
        }
        assert.ok(n >= 1 && n <= 11);
        await sleep(150);
        assert.deepEqual((await bob.flush()).filter((m) => m.cursor_pos !== 10), [], 'no older one follows');
        await close();
    });

    test('of a viewer is shown too', async () => {
        const { ann, bob, close } = await pair({ role: 'viewer' });
        bob.send({ type: 'presence_update', cursor_pos: 1, selection: null, version: 0 });
        assert.equal((await ann.next('presence_update')).user_id, 'bob');
        await close();
    });

    test('that makes no sense is refused and shown to nobody', async () => {
        const { ann, bob, close } = await pair();
        const bad = [{ cursor_pos: -1 }, { cursor_pos: 'x' }, { cursor_pos: 1.5 }, {}, { cursor_pos: 1, selection: [1] }, { cursor_pos: 1, selection: 'x' },
            { cursor_pos: 1, selection: [1, -2] }, { cursor_pos: 1, version: -1 }, { cursor_pos: null }];
        for (const update of bad) {
            ann.send({ type: 'presence_update', ...update });
            assert.equal((await ann.next()).type, 'error', JSON.stringify(update));
        }
        await sleep(120);
        assert.deepEqual(await bob.flush(), []);
        await close();
    });

    test('at a version that is not there yet is refused or taken as at the newest, never shown ahead', async () => {
        const { ann, bob, close } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 1, version: 5 });
        await sleep(150);
        const told = await ann.flush();
        const shown = await bob.flush();
        if (told.length) assertError(told[0], 'version_ahead');
        assert.equal(told.length + shown.length, 1);
        for (const message of shown) assert.equal(message.version, 0);
        await close();
    });

    test('past the end is taken back to the end or refused, never shown past it', async () => {
        const { ann, bob, close } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 999, selection: [5, 999], version: 0 });
        await sleep(150);
        const shown = (await bob.flush()).filter((m) => m.type === 'presence_update');
        for (const message of shown) {
            assert.ok(message.cursor_pos <= 10);
            assert.ok(Math.max(...message.selection) <= 10);
        }
        await close();
    });
});

describe('presence_leave', () => {
    test('comes when somebody who had shown a cursor leaves', async () => {
        const { ann, bob } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 3, selection: null, version: 0 });
        await bob.next('presence_update');
        await ann.close();
        assert.deepEqual(await bob.next('presence_leave'), { type: 'presence_leave', user_id: 'ann', client_id: ann.clientId });
        await bob.close();
    });

    test('comes also when the connection is cut, and not for who never showed a cursor', async () => {
        const { id, ann, bob } = await pair();
        const silent = await server.join(id, { as: 'ann', clientId: 'silent' });
        ann.send({ type: 'presence_update', cursor_pos: 3, selection: null, version: 0 });
        await bob.next('presence_update');
        silent.ws.terminate();
        ann.ws.terminate();
        assert.equal((await bob.next('presence_leave')).client_id, ann.clientId);
        await sleep(150);
        assert.deepEqual(await bob.flush(), []);
        await bob.close();
    });

    test('the cursor of who left is in no later welcome', async () => {
        const { id, ann, bob } = await pair();
        ann.send({ type: 'presence_update', cursor_pos: 3, selection: null, version: 0 });
        await bob.next('presence_update');
        await ann.close();
        await bob.next('presence_leave');
        const late = await server.join(id, { as: 'ann' });
        assert.deepEqual(late.welcome.presence, []);
        await Promise.all([late.close(), bob.close()]);
    });
});
