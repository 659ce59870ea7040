/* Protocol section 4: creating, listing, reading, renaming, deleting, restoring documents. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HASH, RFC3339_MS, Server, assertProblem, sleep, until } from './harness.mjs';
import { contentDelta, normal } from './oracle.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

/** One op over HTTP as `as`, from a client of its own. */
const post = (as, id, op) => server.ask('POST', `/docs/${id}/ops`, { as, body: { ops: [op] } });

describe('POST /docs', () => {
    test('answers 201 with Location and the document; the caller is its owner', async () => {
        const answer = await server.call('POST', '/docs', { as: 'ann', body: { title: 'Plan', type: 'text', content: 'héllo \u{1f600}' } });
        assert.equal(answer.status, 201);
        assert.match(answer.headers['content-type'], /^application\/json\b/);
        const doc = answer.json;
        assert.equal(answer.headers.location, `/docs/${doc.id}`);
        assert.equal(doc.title, 'Plan');
        assert.equal(doc.type, 'text');
        assert.equal(doc.content, 'héllo \u{1f600}');
        assert.equal(doc.version, 0, 'a new document is at version 0, also with content');
        assert.match(doc.history_hash, HASH);
        assert.equal(doc.owner_id, 'ann');
        assert.equal(doc.role, 'owner');
        assert.deepEqual(doc.collaborators, [{ user_id: 'ann', role: 'owner' }]);
        assert.match(doc.created, RFC3339_MS);
        assert.match(doc.last_modified, RFC3339_MS);
    });

    test('needs nothing: an empty object makes an empty text with a server-made id', async () => {
        const doc = await server.createDoc('ann');
        assert.equal(doc.type, 'text');
        assert.equal(doc.content, '');
        assert.equal(doc.title, '');
        assert.match(doc.id, /^[A-Za-z0-9_.~-]{1,128}$/);
        // 120 random bits take at least 20 characters of an alphabet of 64.
        assert.ok(doc.id.length >= 20, doc.id);
        assert.notEqual((await server.createDoc('ann')).id, doc.id);
    });

    test('takes any Content-Type or none, no body as an empty object, and null as absence', async () => {
        const types = ['text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'application/octet-stream', 'Application/JSON; charset=utf-8', undefined];
        for (const type of types) {
            const answer = await server.call('POST', '/docs', { as: 'ann', body: '{"title":"any"}', headers: type ? { 'content-type': type } : {} });
            assert.equal(answer.status, 201, `${type}: ${answer.text}`);
            assert.equal(answer.json.title, 'any');
        }
        for (const body of [undefined, '', ' \r\n', '{"title":null,"type":null,"content":null,"id":null}']) {
            const answer = await server.call('POST', '/docs', { as: 'ann', body });
            assert.equal(answer.status, 201, `${JSON.stringify(body)}: ${answer.text}`);
            assert.deepEqual([answer.json.title, answer.json.type, answer.json.content], ['', 'text', '']);
        }
    });

    test('makes no id that a command line would take for an option', async () => {
        for (let i = 0; i < 300; i++) assert.doesNotMatch((await server.createDoc('ids')).id, /^-/);
    });

    test('takes rich content with attributes and embeds', async () => {
        const content = { ops: [{ insert: 'Title', attributes: { bold: true } }, { insert: { image: 'x.png' } }, { insert: '\n' }] };
        const doc = await server.createDoc('ann', { type: 'rich', content });
        assert.equal(doc.type, 'rich');
        assert.equal(normal(contentDelta(doc.content)), normal(contentDelta(content)));
        assert.deepEqual((await server.createDoc('ann', { type: 'rich' })).content, { ops: [] });
    });

    test('takes an id of up to 128 characters of its alphabet, once', async () => {
        const id = `My_doc.~-${'x'.repeat(119)}`;
        assert.equal((await server.createDoc('ann', { id })).id, id);
        assertProblem(await server.call('POST', '/docs', { as: 'ann', body: { id } }), 409);
        assertProblem(await server.call('POST', '/docs', { as: 'bob', body: { id } }), 409);
    });

    for (const id of ['', 'a/b', 'ä', 'a b', 'x'.repeat(129), 7]) {
        test(`refuses the id ${JSON.stringify(id).slice(0, 20)} of ${String(id).length}`, async () => {
            const answer = await server.call('POST', '/docs', { as: 'ann', body: { id } });
            assert.ok(answer.status === 400 || answer.status === 422, `${answer.status}`);
            assertProblem(answer, answer.status);
        });
    }

    const bad = {
        'what is not JSON': '{"title":', 'an array': '[]', 'a string': '"x"', 'an unknown type': '{"type":"sheet"}',
        'a title that is a number': '{"title":7}', 'text content that is an object': '{"type":"text","content":{"ops":[]}}',
        'rich content that is a string': '{"type":"rich","content":"x"}', 'content that deletes': '{"type":"rich","content":{"ops":[{"delete":1}]}}',
        'content that retains': '{"type":"rich","content":{"ops":[{"retain":1}]}}', 'a lone surrogate': '{"content":"\\ud800"}',
        'a NUL': '{"content":"\\u0000"}', 'a null attribute in content': '{"type":"rich","content":{"ops":[{"insert":"x","attributes":7}]}}',
        'text behind the object': '{} x',
    };
    for (const [name, body] of Object.entries(bad)) {
        test(`refuses ${name}`, async () => {
            const answer = await server.call('POST', '/docs', { as: 'ann', body, headers: { 'content-type': 'application/json' } });
            assert.ok(answer.status === 400 || answer.status === 422, `${answer.status} ${answer.text}`);
            assertProblem(answer, answer.status);
        });
    }

    test('a body that is not UTF-8 is refused', async () => {
        const body = Buffer.concat([Buffer.from('{"title":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
        assertProblem(await server.call('POST', '/docs', { as: 'ann', body }), 400, 'bad_message');
    });
});

describe('GET /docs/{id}', () => {
    test('gives every field, to a viewer too, with his own role', async () => {
        const { id } = await server.createDoc('ann', { title: 'T', content: 'abc' });
        await server.share('ann', id, 'vic', 'viewer');
        const doc = await server.getDoc('vic', id);
        assert.deepEqual(Object.keys(doc).sort(), ['collaborators', 'content', 'created', 'history_hash', 'id',
            'last_modified', 'owner_id', 'role', 'title', 'type', 'version']);
        assert.equal(doc.role, 'viewer');
        assert.equal(doc.owner_id, 'ann');
        assert.deepEqual([...doc.collaborators].sort((a, b) => (a.user_id < b.user_id ? -1 : 1)),
            [{ user_id: 'ann', role: 'owner' }, { user_id: 'vic', role: 'viewer' }]);
    });

    test('its ETag is the version, and If-None-Match of it answers 304 without a body', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const first = await server.call('GET', `/docs/${id}`, { as: 'ann' });
        assert.equal(first.headers.etag, '"0"');
        const same = await server.call('GET', `/docs/${id}`, { as: 'ann', headers: { 'if-none-match': '"0"' } });
        assert.equal(same.status, 304);
        assert.equal(same.text, '');
        assert.equal(same.headers.etag, '"0"');
        for (const value of ['"7", "0"', 'W/"0"', '*']) {
            const answer = await server.call('GET', `/docs/${id}`, { as: 'ann', headers: { 'if-none-match': value } });
            assert.equal(answer.status, 304, value);
        }
        await post('ann', id, { type: 'insert', pos: 0, str: 'x', version: 0 });
        const changed = await server.call('GET', `/docs/${id}`, { as: 'ann', headers: { 'if-none-match': '"0"' } });
        assert.equal(changed.status, 200);
        assert.equal(changed.headers.etag, '"1"');
        assert.equal(changed.json.content, 'xabc');
    });

    test('?version gives the content as it was, and 404 above the newest', async () => {
        const { id, history_hash: hash0 } = await server.createDoc('ann', { content: 'a' });
        for (let version = 0; version < 5; version++) await post('ann', id, { type: 'insert', pos: version + 1, str: String(version), version });
        const hashes = new Set();
        for (let version = 0; version <= 5; version++) {
            const doc = await server.getDoc('ann', id, `?version=${version}`);
            assert.equal(doc.content, 'a01234'.slice(0, version + 1));
            assert.equal(doc.version, version);
            hashes.add(doc.history_hash);
        }
        assert.equal(hashes.size, 6, 'every version has its own history hash');
        assert.ok(hashes.has(hash0));
        assertProblem(await server.call('GET', `/docs/${id}?version=6`, { as: 'ann' }), 404);
        for (const version of ['-1', 'x', '1.5', '', '18446744073709551616']) {
            assertProblem(await server.call('GET', `/docs/${id}?version=${version}`, { as: 'ann' }), 400);
        }
    });

    test('?at gives the content as it was at that time, and 404 before the document was made', async () => {
        const { id, created } = await server.createDoc('ann', { content: 'a' });
        await sleep(30);
        await post('ann', id, { type: 'insert', pos: 1, str: 'b', version: 0 });
        const [{ timestamp }] = (await server.ask('GET', `/docs/${id}/history`, { as: 'ann' })).items;
        await sleep(30);
        await post('ann', id, { type: 'insert', pos: 2, str: 'c', version: 1 });
        assert.equal((await server.getDoc('ann', id, `?at=${created}`)).content, 'a');
        assert.equal((await server.getDoc('ann', id, `?at=${timestamp}`)).content, 'ab');
        const later = new Date(Date.parse(timestamp) + 10).toISOString();
        assert.equal((await server.getDoc('ann', id, `?at=${later}`)).version, 1);
        assert.equal((await server.getDoc('ann', id, '?at=2999-01-01T00:00:00.000Z')).content, 'abc');
        assertProblem(await server.call('GET', `/docs/${id}?at=2001-01-01T00:00:00.000Z`, { as: 'ann' }), 404);
        for (const at of ['yesterday', '2024-13-01T00:00:00Z', '2024-02-30T00:00:00.000Z', '']) {
            assertProblem(await server.call('GET', `/docs/${id}?at=${at}`, { as: 'ann' }), 400);
        }
    });

    test('two histories that differ in content, or in one op, have different hashes', async () => {
        const one = await server.createDoc('ann', { content: 'same' });
        const two = await server.createDoc('ann', { content: 'same!' });
        assert.notEqual(one.history_hash, two.history_hash);
        const a = await server.createDoc('ann', { content: 'x' });
        const b = await server.createDoc('ann', { content: 'x' });
        await post('ann', a.id, { type: 'insert', pos: 0, str: 'a', version: 0 });
        await post('ann', b.id, { type: 'insert', pos: 1, str: 'a', version: 0 });
        assert.notEqual((await server.getDoc('ann', a.id)).history_hash, (await server.getDoc('ann', b.id)).history_hash);
    });

    test('a document that does not exist, and one that the caller has no role on, look the same', async () => {
        const { id } = await server.createDoc('ann');
        const [closed, none] = await Promise.all([
            server.call('GET', `/docs/${id}`, { as: 'eve' }), server.call('GET', '/docs/nothing-here', { as: 'eve' })]);
        assert.equal(assertProblem(closed, 404).detail, assertProblem(none, 404).detail);
    });

    test('an id outside the alphabet is answered 404, however it is written', async () => {
        for (const id of ['a%2Fb', '%00', 'x'.repeat(129), '%ff', 'a b'.replace(' ', '%20')]) {
            const { status } = await server.call('GET', `/docs/${id}`, { as: 'ann' });
            assert.ok(status === 404 || status === 400, `${id}: ${status}`);
        }
    });

    test('HEAD answers like GET without a body', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const answer = await server.call('HEAD', `/docs/${id}`, { as: 'ann' });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.etag, '"0"');
        assert.equal(answer.text, '');
    });
});

describe('GET /docs', () => {
    test('lists what the caller has a role on, newest change first, without content', async () => {
        const made = [];
        for (const title of ['one', 'two', 'three']) {
            made.push((await server.createDoc('lis', { title, content: 'x' })).id);
            await sleep(5);
        }
        const shared = (await server.createDoc('ann', { title: 'four' })).id;
        await sleep(5);
        await server.share('ann', shared, 'lis', 'viewer');
        await sleep(5);
        await post('lis', made[0], { type: 'insert', pos: 0, str: 'y', version: 0 });
        const page = await until('the newest change is first', async () => {
            const got = await server.ask('GET', '/docs', { as: 'lis' });
            return got.items.length === 4 && got.items[0].id === made[0] && got;
        });
        assert.equal(page.cursor, null);
        const [first] = page.items;
        assert.equal(first.version, 1);
        assert.equal(first.title, 'one');
        assert.equal(first.type, 'text');
        assert.equal(first.role, 'owner');
        assert.equal(first.owner_id, 'lis');
        assert.match(first.created, RFC3339_MS);
        assert.match(first.last_modified, RFC3339_MS);
        assert.equal(first.content, undefined);
        const times = page.items.map((item) => item.last_modified);
        assert.deepEqual(times, [...times].sort().reverse());
        assert.equal(page.items.find((item) => item.id === shared).role, 'viewer');
    });

    test('pages through with limit and cursor: nothing twice, nothing left out, while others write', async () => {
        const ids = new Set();
        for (let i = 0; i < 23; i++) ids.add((await server.createDoc('pag', { title: `t${i}` })).id);
        await until('all are listed', async () => (await server.ask('GET', '/docs?limit=500', { as: 'pag' })).items.length === 23);
        const seen = [];
        let cursor = null;
        do {
            const page = await server.ask('GET', `/docs?limit=5${cursor ? `&cursor=${cursor}` : ''}`, { as: 'pag' });
            assert.ok(page.items.length <= 5);
            seen.push(...page.items.map((item) => item.id));
            cursor = page.cursor;
            if (cursor) assert.match(cursor, /^[A-Za-z0-9_-]+$/);
            await server.createDoc('other', {});
        } while (cursor);
        assert.equal(seen.length, 23);
        assert.deepEqual(new Set(seen), ids);
    });

    test('gives 50 by default and refuses a limit of 0, over 500, or none', async () => {
        for (let i = 0; i < 52; i++) await server.createDoc('fif', {});
        const page = await until('52 are listed', async () => {
            const all = await server.ask('GET', '/docs?limit=500', { as: 'fif' });
            return all.items.length === 52 && server.ask('GET', '/docs', { as: 'fif' });
        });
        assert.equal(page.items.length, 50);
        assert.ok(page.cursor);
        for (const limit of ['0', '501', 'x', '-1', '']) {
            assertProblem(await server.call('GET', `/docs?limit=${limit}`, { as: 'fif' }), 400);
        }
    });

    test('a cursor that was not given by the server is refused', async () => {
        for (const cursor of ['!!', 'AAAA', 'x'.repeat(300), '%00']) {
            assertProblem(await server.call('GET', `/docs?cursor=${cursor}`, { as: 'ann' }), 400);
        }
    });

    test('a group\u2019s documents are listed to its members', async () => {
        const { id } = await server.createDoc('ann', { title: 'for the team' });
        await server.share('ann', id, 'group:team', 'commenter');
        const token = server.token('mel', { groups: ['other', 'team'] });
        const page = await until('it is listed', async () => {
            const got = await server.ask('GET', '/docs', { token });
            return got.items.length === 1 && got;
        });
        assert.equal(page.items[0].id, id);
        assert.equal(page.items[0].role, 'commenter');
        assert.equal((await server.ask('GET', '/docs', { as: 'mel' })).items.length, 0, 'without the group');
    });

    test('a deleted document is not listed', async () => {
        const { id } = await server.createDoc('del', {});
        await until('it is listed', async () => (await server.ask('GET', '/docs', { as: 'del' })).items.length === 1);
        await server.call('DELETE', `/docs/${id}`, { as: 'del' });
        await until('it is gone', async () => (await server.ask('GET', '/docs', { as: 'del' })).items.length === 0);
    });
});

describe('PATCH /docs/{id}', () => {
    test('renames, tells open connections, and moves no version', async () => {
        const { id, history_hash: hash } = await server.createDoc('ann', { title: 'old' });
        const socket = await server.join(id, { as: 'ann' });
        const answer = await server.call('PATCH', `/docs/${id}`, { as: 'ann', body: { title: 'new \u{1f600}' } });
        assert.ok(answer.status >= 200 && answer.status < 300, answer.text);
        assert.deepEqual(await socket.next('title'), { type: 'title', title: 'new \u{1f600}' });
        const doc = await server.getDoc('ann', id);
        assert.equal(doc.title, 'new \u{1f600}');
        assert.equal(doc.version, 0);
        assert.equal(doc.history_hash, hash);
        await socket.close();
    });

    test('refuses a title that is missing, no string, or too long', async () => {
        const { id } = await server.createDoc('ann', { title: 'old' });
        for (const body of [{}, { title: 7 }, { title: null }, '[]', '{']) {
            assertProblem(await server.call('PATCH', `/docs/${id}`, { as: 'ann', body }), 400);
        }
        const { status } = await server.call('PATCH', `/docs/${id}`, { as: 'ann', body: { title: 'x'.repeat(1025) } });
        assert.ok(status === 400 || status === 413, `${status}`);
        assert.equal((await server.getDoc('ann', id)).title, 'old');
    });
});

describe('DELETE /docs/{id} and POST …/restore', () => {
    test('the trash: 410 with a role, 404 without, the id stays taken, connections close with 4404', async () => {
        const { id } = await server.createDoc('ann', { title: 'T', content: 'abc' });
        await server.share('ann', id, 'vic', 'viewer');
        const socket = await server.join(id, { as: 'vic' });
        const gone = await server.call('DELETE', `/docs/${id}`, { as: 'ann' });
        assert.ok(gone.status === 204 || gone.status === 200, `${gone.status}`);
        assert.equal(await socket.closeOf(), 4404);
        for (const as of ['ann', 'vic']) assertProblem(await server.call('GET', `/docs/${id}`, { as }), 410);
        assertProblem(await server.call('GET', `/docs/${id}`, { as: 'eve' }), 404);
        assertProblem(await server.call('POST', '/docs', { as: 'ann', body: { id } }), 409);
        for (const [method, path, body] of [['PATCH', '', { title: 'x' }], ['GET', '/history'], ['DELETE', ''],
            ['POST', '/ops', { ops: [{ type: 'insert', pos: 0, str: 'x', version: 0 }] }],
            ['PUT', '/collaborators/bob', { role: 'editor' }]]) {
            assertProblem(await server.call(method, `/docs/${id}${path}`, { as: 'ann', body }), 410);
        }
    });

    test('restore brings everything back: content, version, hash, roles, history', async () => {
        const { id } = await server.createDoc('ann', { title: 'T', content: 'abc' });
        await server.share('ann', id, 'vic', 'viewer');
        await post('ann', id, { type: 'insert', pos: 3, str: 'd', version: 0 });
        const was = await server.getDoc('ann', id);
        await server.call('DELETE', `/docs/${id}`, { as: 'ann' });
        const back = await server.call('POST', `/docs/${id}/restore`, { as: 'ann' });
        assert.ok(back.status === 200 || back.status === 204, `${back.status} ${back.text}`);
        const is = await server.getDoc('ann', id);
        assert.deepEqual({ ...is, last_modified: null }, { ...was, last_modified: null });
        assert.equal((await server.getDoc('vic', id)).role, 'viewer');
        assert.equal((await server.ask('GET', `/docs/${id}/history`, { as: 'ann' })).items.length, 1);
    });

    test('only the owner deletes and restores', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'edi', 'editor');
        assertProblem(await server.call('DELETE', `/docs/${id}`, { as: 'edi' }), 403, 'forbidden');
        assertProblem(await server.call('DELETE', `/docs/${id}`, { as: 'eve' }), 404);
        await server.call('DELETE', `/docs/${id}`, { as: 'ann' });
        assertProblem(await server.call('POST', `/docs/${id}/restore`, { as: 'edi' }), 403, 'forbidden');
        assertProblem(await server.call('POST', `/docs/${id}/restore`, { as: 'eve' }), 404);
    });
});

describe('what is no resource', () => {
    test('an unknown path is 404, a known one with another method 405 with Allow', async () => {
        assertProblem(await server.call('GET', '/nothing/here', { as: 'ann' }), 404);
        const { id } = await server.createDoc('ann');
        for (const [method, path] of [['PUT', '/docs'], ['POST', `/docs/${id}`], ['DELETE', `/docs/${id}/ops`], ['POST', '/healthz']]) {
            const answer = await server.call(method, path, { as: 'ann', body: {} });
            assert.equal(answer.status, 405, `${method} ${path}`);
            assert.ok(answer.headers.allow, `${method} ${path} has no Allow`);
        }
    });

    test('every call but health, metrics and pages needs a token: 401 with WWW-Authenticate', async () => {
        for (const [method, path] of [['GET', '/docs'], ['POST', '/docs'], ['GET', '/docs/x'], ['DELETE', '/docs/x'], ['GET', '/docs/x/history']]) {
            const answer = await server.call(method, path, {});
            assertProblem(answer, 401, 'unauthorized');
            assert.match(answer.headers['www-authenticate'] || '', /^Bearer\b/);
        }
    });
});
