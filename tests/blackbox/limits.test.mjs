/* Protocol section 3: limits, slow readers, expiry. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HandshakeError, Server, assertError, assertProblem, nowS, run, sleep, until } from './harness.mjs';
import { RawWebSocket } from './raw.mjs';

let server;
const RATE = 2000;
before(async () => { server = await Server.start({ args: ['--messages-per-second', `${RATE}`] }); });
after(() => server.end());

const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });

describe('too_large', () => {
    test('an op of more components than the limit, over WebSocket and HTTP', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const socket = await server.join(id, { as: 'ann' });
        const n = socket.welcome.limits.op_components;
        // Inserts and deletes in turn: neighbours that can't merge.
        const ops = (count) => Array.from({ length: count }, (_, i) => (i % 2 ? { retain: 1 } : { insert: 'x' }));
        const big = { type: 'delta', ops: ops(n + 1), seq: 1, version: 0 };
        assertError(await socket.op(big), 'too_large', { seq: 1 });
        assertProblem(await server.call('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [{ ...big, client_id: 'h', seq: 1 }] } }), 413, 'too_large');
        assert.equal((await server.getDoc('ann', id)).version, 0);
        await socket.close();
    });

    test('an op that would grow the document past its limit; one up to it is taken', async () => {
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { as: 'ann' });
        const units = socket.welcome.limits.document_units;
        const piece = 'x'.repeat(units >> 3);
        for (let seq = 1; seq <= 8; seq++) assert.equal((await socket.op(insert(0, piece, { seq, version: seq - 1 }))).type, 'ack');
        assertError(await socket.op(insert(0, 'y', { seq: 9, version: 8 })), 'too_large', { seq: 9 });
        assert.equal((await socket.op({ type: 'delete', pos: 0, len: 1, seq: 9, version: 8 })).type, 'ack');
        assert.equal((await socket.op(insert(0, 'y', { seq: 10, version: 9 }))).type, 'ack');
        assert.equal((await server.getDoc('ann', id)).content.length, units);
        await socket.close();
    });

    test('content over the document\u2019s limit, and a body over its own', async () => {
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { as: 'ann' });
        const units = socket.welcome.limits.document_units;
        await socket.close();
        assertProblem(await server.call('POST', '/docs', { as: 'ann', body: { content: 'x'.repeat(units + 1) } }), 413, 'too_large');
        const answer = await server.call('POST', '/docs', { as: 'ann', agent: false, body: '', headers: { 'content-length': 2 ** 40, connection: 'close', expect: '100-continue' } })
            .catch((error) => ({ status: 413, error }));
        assert.equal(answer.status, 413);
        assert.equal((await server.createDoc('ann', { content: 'x'.repeat(units) })).content.length, units);
    });
});

describe('rate limits', () => {
    test('a connection that sends messages without end is rate_limited and told when to come back; its document goes on', async () => {
        const { id } = await server.createDoc('ann');
        const other = await server.join(id, { as: 'ann' });
        const flood = await server.join(id, { as: 'ann', clientId: 'flood' });
        for (let i = 0; i < 10 * RATE; i++) flood.send('{"type":"ping"}');
        const message = await flood.find('error');
        assertError(message, 'rate_limited');
        assert.equal(message.retry, true);
        assert.ok(Number.isInteger(message.retry_after_ms) && message.retry_after_ms > 0);
        assert.equal((await other.op(insert(0, 'x', { seq: 1, version: 0 }))).type, 'ack');
        await sleep(message.retry_after_ms);
        await until('the flood is over', async () => (await server.getDoc('ann', id)).version === 1);
        flood.ws.terminate();
        await other.close();
    });
});

describe('configured limits', () => {
    test('message-bytes, op-components and document-units are told in welcome and hold', async () => {
        const own = await Server.start({ args: ['--message-bytes', '2000', '--op-components', '3', '--document-units', '20'] });
        const { id } = await own.createDoc('ann', { content: '0123456789' });
        const socket = await own.join(id, { as: 'ann' });
        assert.deepEqual(socket.welcome.limits, { message_bytes: 2000, op_components: 3, document_units: 20 });
        assertError(await socket.op({ type: 'delta', ops: [{ insert: 'a' }, { retain: 1 }, { insert: 'b' }, { retain: 1 }, { delete: 1 }], seq: 1, version: 0 }), 'too_large', { seq: 1 });
        assertError(await socket.op(insert(0, 'x'.repeat(11), { seq: 1, version: 0 })), 'too_large', { seq: 1 });
        assert.equal((await socket.op(insert(0, 'x'.repeat(10), { seq: 1, version: 0 }))).type, 'ack');
        assertProblem(await own.call('POST', '/docs', { as: 'ann', body: { content: 'x'.repeat(21) } }), 413, 'too_large');
        socket.send(`{"type":"ping","x":"${'x'.repeat(2000)}"}`);
        assert.equal(await socket.closeOf(), 1009);
        await own.end();
    });

    test('past --connections a handshake is answered with 429, and there is room again after one left', async () => {
        const own = await Server.start({ args: ['--connections', '4'] });
        const { id } = await own.createDoc('ann');
        own.agent.destroy();
        const sockets = [];
        let refusal = null;
        for (let i = 0; i < 6 && !refusal; i++) {
            try {
                sockets.push(await own.join(id, { as: 'ann' }));
            } catch (error) {
                refusal = error;
            }
        }
        assert.ok(refusal instanceof HandshakeError, `${refusal}`);
        assert.equal(refusal.status, 429);
        assert.ok(sockets.length >= 2 && sockets.length <= 4, `${sockets.length}`);
        await sockets.pop().close();
        const again = await until('there is room', () => own.join(id, { as: 'ann' }).catch(() => null));
        await again.close();
        await own.end();
    });

    test('past --connections calls are answered with 429 and closed, but for health and metrics', async () => {
        const own = await Server.start({ args: ['--connections', '4'] });
        const { id } = await own.createDoc('ann');
        own.agent.destroy();
        const sockets = [];
        for (let i = 0; i < 4; i++) sockets.push(await until('there is room', () => own.join(id, { as: 'ann' }).catch(() => null)));
        for (let i = 0; i < 100; i++) {
            const answer = await own.call('GET', `/docs/${id}`, { as: 'ann', agent: false });
            assertProblem(answer, 429, 'rate_limited');
            assert.match(answer.headers['retry-after'], /^[1-9][0-9]*$/);
            assert.equal(answer.headers.connection, 'close');
        }
        for (const page of ['/healthz', '/readyz', '/metrics']) assert.equal((await own.call('GET', page, { agent: false })).status, 200, page);
        assert.equal((await sockets[0].op(insert(0, 'x', { seq: 1, version: 0 }))).type, 'ack');
        await sockets.pop().close();
        await until('there is room', async () => (await own.call('GET', `/docs/${id}`, { as: 'ann', agent: false })).status === 200);
        for (const socket of sockets) await socket.close();
        await own.end();
    });

    test('--jwt-leeway 0 takes no expired token, and more than 60 is refused', async () => {
        const own = await Server.start({ args: ['--jwt-leeway', '0'] });
        assert.equal((await own.call('GET', '/docs', { token: own.token('ann', { exp: nowS() - 2 }) })).status, 401);
        await own.end();
        assert.equal((await run(['serve', '--data', '/nowhere/x', '--listen', '127.0.0.1:0', '--dev', '--jwt-leeway', '61'])).code, 2);
    });
});

describe('a token\u2019s end', () => {
    test('closes the connection with 4401 once leeway is over', async () => {
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { token: server.token('ann', { exp: nowS() - 7 }) });
        assert.equal((await socket.op(insert(0, 'x', { seq: 1, version: 0 }))).type, 'ack');
        assert.equal(await socket.closeOf(9000), 4401);
    });

    test('does not close it where the token was renewed in time', async () => {
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { token: server.token('ann', { exp: nowS() - 7 }) });
        socket.send({ type: 'auth', token: server.token('ann', { exp: nowS() + 60 }) });
        await socket.next('auth_ok');
        await sleep(5000);
        assert.equal((await socket.op(insert(0, 'x', { seq: 1, version: 0 }))).type, 'ack');
        await socket.close();
    });
});

describe('a client that reads too slowly', () => {
    test('is closed with 4408, comes back with its version, and delays nobody', async () => {
        const { id } = await server.createDoc('ann');
        const writer = await server.join(id, { as: 'ann', clientId: 'w' });
        const slow = await RawWebSocket.join(server, `/ws/docs/${id}?client_id=slow`, { token: server.token('ann') });
        slow.socket.pause();
        const piece = 'x'.repeat(60000);
        let version = 0;
        // The kernel's buffers take some megabytes before the server's own bound is reached.
        for (let i = 0; i < 600; i++) {
            const op = i % 2 ? { type: 'delete', pos: 0, len: piece.length } : insert(0, piece);
            const ack = await writer.op({ ...op, seq: i + 1, version });
            assert.equal(ack.type, 'ack');
            version = ack.new_version;
        }
        slow.socket.resume();
        assert.equal(await slow.closeCode(), 4408);
        const back = await server.join(id, { as: 'ann', clientId: 'slow', version: version - 1 });
        assert.equal((await back.next('op')).new_version, version);
        await Promise.all([back.close(), writer.close()]);
    });
});
