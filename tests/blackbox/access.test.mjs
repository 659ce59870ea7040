/* Protocol section 4: roles, collaborators, groups and tenants. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, assertError, assertProblem, refused, until } from './harness.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });
const ROLES = ['owner', 'editor', 'commenter', 'viewer'];

/** A document with one user of each role, named after it; made by `owner`. */
async function peopled() {
    const { id } = await server.createDoc('owner', { title: 'T', content: 'abc' });
    for (const role of ROLES.slice(1)) await server.share('owner', id, role, role);
    return id;
}

describe('what each role may do', () => {
    // Each call, the least role that may make it, and the status that it then answers.
    const calls = [
        ['read', 'viewer', (id) => ['GET', `/docs/${id}`]],
        ['read an old version', 'viewer', (id) => ['GET', `/docs/${id}?version=0`]],
        ['read history', 'viewer', (id) => ['GET', `/docs/${id}/history`]],
        ['rename', 'editor', (id) => ['PATCH', `/docs/${id}`, { title: 'U' }]],
        ['edit', 'editor', (id) => ['POST', `/docs/${id}/ops`, { ops: [insert(0, 'x', { version: 0 })] }]],
        ['share', 'owner', (id) => ['PUT', `/docs/${id}/collaborators/somebody`, { role: 'viewer' }]],
        ['delete', 'owner', (id) => ['DELETE', `/docs/${id}`]],
    ];
    for (const [name, least, call] of calls) {
        test(`${name}: ${least} and above; 403 below, 404 to others`, async () => {
            for (const role of [...ROLES].reverse()) {
                const id = await peopled();
                const [method, path, body] = call(id);
                const answer = await server.call(method, path, { as: role, body });
                if (ROLES.indexOf(role) <= ROLES.indexOf(least)) assert.ok(answer.status < 300, `${role}: ${answer.status} ${answer.text}`);
                else assertProblem(answer, 403, 'forbidden');
                if (role === 'viewer') assertProblem(await server.call(method, path, { as: 'eve', body }), 404);
            }
        });
    }

    test('over WebSocket: viewers and commenters read along, their ops are forbidden', async () => {
        const id = await peopled();
        const owner = await server.join(id, { as: 'owner' });
        let version = 0;
        for (const role of ROLES) {
            const socket = await server.join(id, { as: role });
            assert.equal(socket.welcome.role, role);
            const answer = await socket.op(insert(0, 'x', { seq: 1, version }));
            if (role === 'owner' || role === 'editor') assert.equal(answer.new_version, ++version);
            else assertError(answer, 'forbidden');
            await socket.close();
        }
        assert.equal((await owner.find('op', (m) => m.new_version === version)).user_id, 'editor');
        await owner.close();
    });
});

describe('PUT and DELETE /docs/{id}/collaborators/{principal}', () => {
    test('a role given or changed takes effect on open connections at once', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        await server.share('ann', id, 'bob', 'viewer');
        const bob = await server.join(id, { as: 'bob', clientId: 'b' });
        assertError(await bob.op(insert(0, 'x', { seq: 1, version: 0 })), 'forbidden');
        await server.share('ann', id, 'bob', 'editor');
        assert.deepEqual(await bob.next('access'), { type: 'access', role: 'editor' });
        assert.equal((await bob.op(insert(0, 'x', { seq: 1, version: 0 }))).type, 'ack');
        await server.share('ann', id, 'bob', 'commenter');
        assert.deepEqual(await bob.next('access'), { type: 'access', role: 'commenter' });
        assertError(await bob.op(insert(0, 'y', { seq: 2, version: 1 })), 'forbidden');
        await bob.close();
    });

    test('a role withdrawn closes open connections with 4403; the document is 404 after', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'bob', 'editor');
        const bob = await server.join(id, { as: 'bob' });
        const answer = await server.call('DELETE', `/docs/${id}/collaborators/bob`, { as: 'ann' });
        assert.ok([200, 204].includes(answer.status), `${answer.status} ${answer.text}`);
        assert.equal(await bob.closeOf(), 4403);
        assertProblem(await server.call('GET', `/docs/${id}`, { as: 'bob' }), 404);
        assertProblem(await refused(server.upgrade(`/ws/docs/${id}`, { as: 'bob' })), 404);
        assert.deepEqual((await server.getDoc('ann', id)).collaborators, [{ user_id: 'ann', role: 'owner' }]);
    });

    test('anyone may remove himself, and nobody else', async () => {
        const id = await peopled();
        assertProblem(await server.call('DELETE', `/docs/${id}/collaborators/commenter`, { as: 'editor' }), 403, 'forbidden');
        const answer = await server.call('DELETE', `/docs/${id}/collaborators/viewer`, { as: 'viewer' });
        assert.ok([200, 204].includes(answer.status), `${answer.status}`);
        assertProblem(await server.call('GET', `/docs/${id}`, { as: 'viewer' }), 404);
    });

    test('the last owner can\u2019t go: 409', async () => {
        const { id } = await server.createDoc('ann');
        assertProblem(await server.call('DELETE', `/docs/${id}/collaborators/ann`, { as: 'ann' }), 409);
        assertProblem(await server.call('PUT', `/docs/${id}/collaborators/ann`, { as: 'ann', body: { role: 'editor' } }), 409);
        await server.share('ann', id, 'bob', 'owner');
        const left = await server.call('DELETE', `/docs/${id}/collaborators/ann`, { as: 'ann' });
        assert.ok([200, 204].includes(left.status), `${left.status}`);
        assertProblem(await server.call('DELETE', `/docs/${id}/collaborators/bob`, { as: 'bob' }), 409);
        assert.equal((await server.getDoc('bob', id)).role, 'owner');
    });

    test('GET …/collaborators lists them to the owner', async () => {
        const id = await peopled();
        const answer = await server.call('GET', `/docs/${id}/collaborators`, { as: 'owner' });
        assert.equal(answer.status, 200);
        const list = answer.json.items || answer.json.collaborators || answer.json;
        assert.deepEqual([...list].map(({ user_id: who, role }) => [who, role]).sort(), ROLES.map((role) => [role, role]).sort());
    });

    test('refuses an unknown role, a bad principal and a missing body', async () => {
        const { id } = await server.createDoc('ann');
        for (const body of [{ role: 'king' }, { role: 7 }, {}, '[]', '']) {
            const answer = await server.call('PUT', `/docs/${id}/collaborators/bob`, { as: 'ann', body });
            assertProblem(answer, 400);
        }
        for (const principal of ['x'.repeat(129), 'group:', '%00', '%ff']) {
            const { status } = await server.call('PUT', `/docs/${id}/collaborators/${principal}`, { as: 'ann', body: { role: 'viewer' } });
            assert.ok(status === 400 || status === 404, `${principal.slice(0, 10)}: ${status}`);
        }
    });

    test('a user id of any characters works, percent-encoded', async () => {
        const { id } = await server.createDoc('ann');
        const who = 'zoë/ü+@x.org \u{1f600}';
        await server.share('ann', id, who, 'viewer');
        assert.equal((await server.getDoc(who, id)).role, 'viewer');
    });
});

describe('groups', () => {
    test('a member has the group\u2019s role, or his own where it is higher', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'group:team', 'editor');
        await server.share('ann', id, 'bob', 'viewer');
        const member = (sub) => ({ token: server.token(sub, { groups: ['a', 'team'] }) });
        assert.equal((await server.ask('GET', `/docs/${id}`, member('cem'))).role, 'editor');
        assert.equal((await server.ask('GET', `/docs/${id}`, member('bob'))).role, 'editor');
        assert.equal((await server.getDoc('bob', id)).role, 'viewer');
        assertProblem(await server.call('GET', `/docs/${id}`, { as: 'cem' }), 404);
        assertProblem(await server.call('GET', `/docs/${id}`, { as: 'team' }), 404, 'not_found');
    });

    test('a group whose role goes closes its members\u2019 connections with 4403', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'group:team', 'editor');
        const cem = await server.join(id, { token: server.token('cem', { groups: ['team'] }) });
        await server.call('DELETE', `/docs/${id}/collaborators/group:team`, { as: 'ann' });
        assert.equal(await cem.closeOf(), 4403);
    });

    test('a renewed token without the group withdraws access', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'group:team', 'editor');
        await server.share('ann', id, 'cem', 'viewer');
        const cem = await server.join(id, { token: server.token('cem', { groups: ['team'] }) });
        assert.equal(cem.welcome.role, 'editor');
        cem.send({ type: 'auth', token: server.token('cem') });
        const role = await cem.find('access');
        assert.equal(role.role, 'viewer');
        assertError(await cem.op(insert(0, 'x', { seq: 1, version: 0 })), 'forbidden');
        await cem.close();
    });
});

describe('tenants', () => {
    test('nothing is visible across tenants; ids are free in each', async () => {
        const other = server.token('ann', { tenant: 'other' });
        const { id } = await server.createDoc('ann', { id: 'shared-name', content: 'mine' });
        for (const [method, path, body] of [['GET', ''], ['GET', '/history'], ['PATCH', '', { title: 'x' }], ['DELETE', ''],
            ['POST', '/ops', { ops: [insert(0, 'x', { version: 0 })] }], ['PUT', '/collaborators/ann', { role: 'owner' }]]) {
            assertProblem(await server.call(method, `/docs/${id}${path}`, { token: other, body }), 404);
        }
        const theirs = await server.ask('POST', '/docs', { token: other, body: { id, content: 'theirs' } });
        assert.equal(theirs.content, 'theirs');
        assert.equal((await server.getDoc('ann', id)).content, 'mine');
        assert.notEqual(theirs.history_hash, (await server.getDoc('ann', id)).history_hash);
        const list = await until('theirs is listed', async () => {
            const { items } = await server.ask('GET', '/docs', { token: other });
            return items.length > 0 && items;
        });
        assert.equal(list.length, 1);
        const mine = await server.join(id, { as: 'ann' });
        const far = await server.join(id, { token: other });
        await far.op(insert(0, 'x', { seq: 1, version: 0 }));
        assert.deepEqual(await mine.flush(), []);
        await Promise.all([mine.close(), far.close()]);
    });

    test('a group of one tenant opens nothing in another', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'group:team', 'editor');
        const token = server.token('eve', { tenant: 'other', groups: ['team'] });
        assertProblem(await server.call('GET', `/docs/${id}`, { token }), 404);
    });
});
