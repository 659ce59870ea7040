/* Protocol section 3: the handshake of /ws/docs/{doc_id}, and `welcome`. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HASH, RFC3339_MS, Server, assertProblem, refused } from './harness.mjs';
import { RawSocket, exchange, handshake } from './raw.mjs';

const ORIGIN = 'https://editor.example';
let server;
before(async () => { server = await Server.start({ args: ['--origin', ORIGIN] }); });
after(() => server.end());

const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });

describe('the handshake is accepted', () => {
    test('with the token in Authorization', async () => {
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { as: 'ann' });
        assert.equal(socket.ws.protocol, '');
        await socket.close();
    });

    test('with the token as a second subprotocol, answered with penstock.v1', async () => {
        const { id } = await server.createDoc('ann');
        const protocols = ['penstock.v1', `bearer.${server.token('ann')}`];
        const socket = await server.join(id, { protocols });
        assert.equal(socket.ws.protocol, 'penstock.v1');
        await socket.close();
    });

    test('with penstock.v1 offered beside Authorization', async () => {
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { as: 'ann', protocols: ['penstock.v1'] });
        assert.equal(socket.ws.protocol, 'penstock.v1');
        await socket.close();
    });

    test('from the same origin and from a configured one', async () => {
        const { id } = await server.createDoc('ann');
        for (const origin of [ORIGIN, server.base]) {
            const socket = await server.join(id, { as: 'ann', headers: { origin } });
            await socket.close();
        }
    });

    test('with the key of RFC 6455\u2019s example answered as there', async () => {
        const { id } = await server.createDoc('ann');
        const request = handshake(server, `/ws/docs/${id}`, { token: server.token('ann'), lines: { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } });
        const answer = await exchange(server, request);
        assert.equal(answer.status, 101);
        assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
        assert.equal(answer.headers.upgrade.toLowerCase(), 'websocket');
        assert.equal(answer.headers.connection.toLowerCase(), 'upgrade');
        assert.equal(answer.headers['sec-websocket-extensions'], undefined);
    });

    test('with header names and values in any case, and Connection as a list', async () => {
        const { id } = await server.createDoc('ann');
        const text = `GET /ws/docs/${id} HTTP/1.1\r\nhost: ${server.host}:${server.port}\r\nUPGRADE: WebSocket\r\n`
            + `connection: keep-alive, UPGRADE\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nSEC-WEBSOCKET-VERSION: 13\r\n`
            + `authorization: bearer ${server.token('ann')}\r\n\r\n`;
        assert.equal((await exchange(server, text)).status, 101);
    });

    test('with a frame sent along with the handshake, which is then answered', async () => {
        const { id } = await server.createDoc('ann');
        const { RawWebSocket, frame, OPCODE } = await import('./raw.mjs');
        const raw = await RawSocket.open(server);
        const head = Buffer.from(handshake(server, `/ws/docs/${id}`, { token: server.token('ann') }));
        raw.write(Buffer.concat([head, frame(OPCODE.text, '{"type":"ping"}')]));
        assert.equal((await raw.response()).status, 101);
        Object.setPrototypeOf(raw, RawWebSocket.prototype);
        assert.equal((await raw.message()).type, 'welcome');
        assert.equal((await raw.message()).type, 'pong');
        raw.destroy();
    });
});

describe('the handshake is refused', () => {
    test('with 400 for a bad client_id, version or history_hash', async () => {
        const { id } = await server.createDoc('ann');
        const bad = ['client_id=', 'client_id=a%20b', 'client_id=%C3%A4', `client_id=${'x'.repeat(65)}`, 'client_id=a/b', 'version=-1', 'version=x',
            'version=1.5', 'version=', 'version=18446744073709551616', 'version=0&history_hash=xyz', 'version=0&history_hash=0123456789ABCDEFF', 'version=0&history_hash='];
        for (const query of bad) {
            assertProblem(await refused(server.upgrade(`/ws/docs/${id}?${query}`, { as: 'ann' })), 400, 'bad_message');
        }
    });

    test('with 400 where a parameter is given twice', async () => {
        const { id } = await server.createDoc('ann');
        const answer = await refused(server.upgrade(`/ws/docs/${id}?client_id=a&client_id=b`, { as: 'ann' }));
        assertProblem(answer, 400);
    });

    test('with 401 without a valid token, also where it stands in the query string', async () => {
        const { id } = await server.createDoc('ann');
        const token = server.token('ann');
        const broken = `${token.slice(0, -6)}AAAAAA`;
        for (const [target, options] of [[`/ws/docs/${id}`, {}], [`/ws/docs/${id}?token=${token}`, {}], [`/ws/docs/${id}?access_token=${token}`, {}],
            [`/ws/docs/${id}`, { token: broken }], [`/ws/docs/${id}`, { protocols: ['penstock.v1', 'bearer.x'] }],
            [`/ws/docs/${id}`, { headers: { authorization: `Basic ${token}` } }], [`/ws/docs/${id}`, { headers: { cookie: `token=${token}` } }]]) {
            assertProblem(await refused(server.upgrade(target, options)), 401, 'unauthorized');
        }
    });

    test('with 403 for a foreign origin', async () => {
        const { id } = await server.createDoc('ann');
        for (const origin of ['https://evil.example', 'null', `${ORIGIN}.evil.example`, `http://${server.host}:1`, ORIGIN.replace('https', 'http')]) {
            assertProblem(await refused(server.upgrade(`/ws/docs/${id}`, { as: 'ann', headers: { origin } })), 403);
        }
    });

    test('with 403 for another user\u2019s client_id', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'bob', 'editor');
        const mine = await server.join(id, { as: 'ann', clientId: 'tab-1' });
        assert.equal((await mine.op(insert(0, 'a', { seq: 1, version: 0 }))).type, 'ack');
        assertProblem(await refused(server.upgrade(`/ws/docs/${id}?client_id=tab-1`, { as: 'bob' })), 403, 'forbidden');
        await mine.close();
        assertProblem(await refused(server.upgrade(`/ws/docs/${id}?client_id=tab-1`, { as: 'bob' })), 403, 'forbidden');
    });

    test('with 404 for no such document, none with a role, and another tenant\u2019s', async () => {
        const { id } = await server.createDoc('ann');
        const stranger = server.token('ann', { tenant: 'elsewhere' });
        for (const [doc, options] of [['nothing', { as: 'ann' }], [id, { as: 'eve' }], [id, { token: stranger }]]) {
            assertProblem(await refused(server.upgrade(`/ws/docs/${doc}`, options)), 404);
        }
    });

    test('with 410 for a deleted document, 404 to those without a role', async () => {
        const { id } = await server.createDoc('ann');
        await server.call('DELETE', `/docs/${id}`, { as: 'ann' });
        assertProblem(await refused(server.upgrade(`/ws/docs/${id}`, { as: 'ann' })), 410);
        assertProblem(await refused(server.upgrade(`/ws/docs/${id}`, { as: 'eve' })), 404);
    });

    test('with 426 and Upgrade for a plain GET', async () => {
        const { id } = await server.createDoc('ann');
        const answer = await server.call('GET', `/ws/docs/${id}`, { as: 'ann' });
        assertProblem(answer, 426);
        assert.equal(answer.headers.upgrade?.toLowerCase(), 'websocket');
    });

    test('with 426 and Sec-WebSocket-Version for another version of WebSocket', async () => {
        const { id } = await server.createDoc('ann');
        const answer = await exchange(server, handshake(server, `/ws/docs/${id}`, { token: server.token('ann'), lines: { 'Sec-WebSocket-Version': '8' } }));
        assert.equal(answer.status, 426);
        assert.equal(answer.headers['sec-websocket-version'], '13');
    });

    test('with 400 for a key that is none', async () => {
        const { id } = await server.createDoc('ann');
        for (const key of ['short', 'x'.repeat(24), '', 'dGhlIHNhbXBsZSBub25jZQ=']) {
            const lines = { 'Sec-WebSocket-Key': key || null };
            const answer = await exchange(server, handshake(server, `/ws/docs/${id}`, { token: server.token('ann'), lines }));
            assert.equal(answer.status, 400, key);
        }
    });

    test('with 405 or 400 where it is a POST', async () => {
        const { id } = await server.createDoc('ann');
        const answer = await exchange(server, handshake(server, `/ws/docs/${id}`, { token: server.token('ann'), method: 'POST', lines: { 'Content-Length': '0' } }));
        assert.ok([400, 405].includes(answer.status), `${answer.status}`);
    });
});

describe('welcome', () => {
    test('is the first message and has every field', async () => {
        const { id, history_hash: hash } = await server.createDoc('ann', { content: 'abc\u{1f600}' });
        const socket = await server.join(id, { as: 'ann', clientId: 'tab_1.a:b-c' });
        const { welcome } = socket;
        assert.deepEqual(Object.keys(welcome).sort(), ['client_id', 'content', 'doc_id', 'doc_type', 'history_hash', 'last_seq',
            'last_seq_version', 'limits', 'presence', 'role', 'session_id', 'type', 'version']);
        assert.equal(welcome.doc_id, id);
        assert.equal(welcome.client_id, 'tab_1.a:b-c');
        assert.equal(welcome.doc_type, 'text');
        assert.equal(welcome.version, 0);
        assert.equal(welcome.history_hash, hash);
        assert.equal(welcome.role, 'owner');
        assert.equal(welcome.last_seq, 0);
        assert.deepEqual(welcome.presence, []);
        assert.equal(welcome.content, 'abc\u{1f600}');
        assert.equal(typeof welcome.session_id, 'string');
        assert.deepEqual(Object.keys(welcome.limits).sort(), ['document_units', 'message_bytes', 'op_components']);
        for (const limit of Object.values(welcome.limits)) assert.ok(Number.isInteger(limit) && limit > 0);
        await socket.close();
    });

    test('carries rich content as ops', async () => {
        const content = { ops: [{ insert: 'a', attributes: { bold: true } }, { insert: { image: 'x' } }] };
        const { id } = await server.createDoc('ann', { type: 'rich', content });
        const { welcome, ...socket } = await server.join(id, { as: 'ann' });
        assert.equal(welcome.doc_type, 'rich');
        assert.deepEqual(welcome.content, content);
        socket.ws.terminate();
    });

    test('names a client_id and a session_id of the server\u2019s making where none is given', async () => {
        const { id } = await server.createDoc('ann');
        const one = await server.join(id, { as: 'ann' });
        const two = await server.join(id, { as: 'ann' });
        assert.match(one.clientId, /^[A-Za-z0-9_.:-]{1,64}$/);
        assert.notEqual(one.clientId, two.clientId);
        assert.notEqual(one.welcome.session_id, two.welcome.session_id);
        await Promise.all([one.close(), two.close()]);
    });

    test('last_seq and last_seq_version tell what of this client was accepted', async () => {
        const { id } = await server.createDoc('ann');
        const first = await server.join(id, { as: 'ann', clientId: 'c1' });
        const other = await server.join(id, { as: 'ann', clientId: 'c2' });
        await first.op(insert(0, 'a', { seq: 1, version: 0 }));
        await first.op(insert(1, 'b', { seq: 2, version: 1 }));
        await other.next('op');
        await other.next('op');
        await other.op(insert(2, 'c', { seq: 1, version: 2 }));
        await first.close();
        const again = await server.join(id, { as: 'ann', clientId: 'c1' });
        assert.equal(again.welcome.last_seq, 2);
        assert.equal(again.welcome.last_seq_version, 2);
        assert.equal(again.welcome.content, 'abc');
        await Promise.all([again.close(), other.close()]);
    });

    test('with version: no content, then the ops since, own ones included, then synced', async () => {
        const { id } = await server.createDoc('ann', { content: '-' });
        const writer = await server.join(id, { as: 'ann', clientId: 'c1' });
        for (let seq = 1; seq <= 5; seq++) await writer.op(insert(seq, String(seq), { seq, version: seq - 1 }));
        await writer.close();
        const doc = await server.getDoc('ann', id);
        for (const [version, clientId] of [[0, 'c1'], [2, 'c2'], [5, 'c1']]) {
            const socket = await server.join(id, { as: 'ann', clientId, version });
            assert.equal(socket.welcome.content, undefined);
            assert.equal(socket.welcome.reset, undefined);
            assert.equal(socket.welcome.last_seq, clientId === 'c1' ? 5 : 0);
            for (let at = version + 1; at <= 5; at++) {
                const message = await socket.next('op');
                assert.equal(message.new_version, at);
                assert.equal(message.user_id, 'ann');
                assert.match(message.timestamp, RFC3339_MS);
                assert.deepEqual(message.op, insert(at, String(at), { client_id: 'c1', seq: at, version: at - 1 }));
            }
            assert.deepEqual(await socket.next('synced'), { type: 'synced', version: 5, history_hash: doc.history_hash });
            await socket.close();
        }
    });

    test('with version and the right history_hash goes on; with another one it starts over', async () => {
        const { id, history_hash: hash0 } = await server.createDoc('ann', { content: '-' });
        await server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [insert(0, 'a', { version: 0 })] } });
        const { history_hash: hash1 } = await server.getDoc('ann', id);
        const good = await server.join(id, { as: 'ann', version: 0, hash: hash0 });
        assert.equal(good.welcome.content, undefined);
        await good.next('op');
        assert.match((await good.next('synced')).history_hash, HASH);
        for (const [version, hash] of [[0, hash1], [1, hash0], [0, '0123456789abcdef']]) {
            const other = await server.join(id, { as: 'ann', version, hash });
            assert.equal(other.welcome.reset, true, `${version} ${hash}`);
            assert.equal(other.welcome.content, 'a-');
            assert.equal(other.welcome.version, 1);
            assert.equal(other.welcome.history_hash, hash1);
            assert.deepEqual(await other.flush(), [], 'no ops and no synced follow a reset');
            await other.close();
        }
        await good.close();
    });

    test('with a version ahead of the server it starts over', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const socket = await server.join(id, { as: 'ann', version: 1 });
        assert.equal(socket.welcome.reset, true);
        assert.equal(socket.welcome.content, 'abc');
        assert.equal(socket.welcome.version, 0);
        await socket.close();
    });

    test('catching up over thousands of ops comes in order, ends in synced, and is live after', async () => {
        const { id } = await server.createDoc('ann');
        const n = 5000;
        for (let at = 0; at < n; at += 500) {
            const ops = Array.from({ length: 500 }, (_, i) => insert(at + i, 'x', { client_id: 'bulk', seq: at + i + 1, version: at }));
            await server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops } });
        }
        const socket = await server.join(id, { as: 'ann', version: 0 });
        for (let version = 1; version <= n; version++) assert.equal((await socket.next('op')).new_version, version);
        assert.equal((await socket.next('synced')).version, n);
        await server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [insert(0, 'y', { version: n })] } });
        assert.equal((await socket.next('op')).new_version, n + 1);
        await socket.close();
    });

    test('a second connection with one client_id replaces the first, which is closed with 4409', async () => {
        const { id } = await server.createDoc('ann');
        const first = await server.join(id, { as: 'ann', clientId: 'tab' });
        const second = await server.join(id, { as: 'ann', clientId: 'tab' });
        assert.equal(await first.closeOf(), 4409);
        assert.equal((await second.op(insert(0, 'a', { seq: 1, version: 0 }))).new_version, 1);
        await second.close();
    });
});
