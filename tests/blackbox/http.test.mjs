/* RFC 9112 as the gateway meets it: exact bytes in, and what must be refused. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, sleep } from './harness.mjs';
import { RawSocket, exchange } from './raw.mjs';

let server;
let auth;
before(async () => {
    server = await Server.start();
    auth = `Authorization: Bearer ${server.token('ann')}\r\n`;
});
after(() => server.end());

const host = 'Host: localhost\r\n';
const get = (target, more = '') => `GET ${target} HTTP/1.1\r\n${host}${more}\r\n`;

describe('a connection', () => {
    test('is kept alive and answers pipelined requests in order', async () => {
        const raw = await RawSocket.open(server);
        const { id } = await server.createDoc('ann', { content: 'abc' });
        raw.write(get('/healthz') + get(`/docs/${id}`, auth) + get('/nothing', auth) + get('/healthz'));
        const statuses = [];
        for (let i = 0; i < 4; i++) statuses.push((await raw.response()).status);
        assert.deepEqual(statuses, [200, 200, 404, 200]);
        raw.destroy();
    });

    test('is closed after Connection: close, and after an HTTP/1.0 request', async () => {
        for (const request of [get('/healthz', 'Connection: close\r\n'), 'GET /healthz HTTP/1.0\r\n\r\n']) {
            const raw = await RawSocket.open(server);
            raw.write(request);
            assert.equal((await raw.response()).status, 200);
            assert.equal(await raw.end(), true);
        }
    });

    test('takes a request byte by byte', async () => {
        const raw = await RawSocket.open(server);
        raw.socket.setNoDelay(true);
        for (const byte of Buffer.from(get('/healthz'))) {
            raw.write(Buffer.from([byte]));
            await new Promise(setImmediate);
        }
        assert.equal((await raw.response()).status, 200);
        raw.destroy();
    });

    test('takes chunked bodies, also cut anywhere, with extensions and trailers', async () => {
        const raw = await RawSocket.open(server);
        const head = `POST /docs HTTP/1.1\r\n${host}${auth}Transfer-Encoding: chunked\r\n\r\n`;
        for (const body of ['a\r\n{"title":"\r\n5;x=y\r\nT"}  \r\n0\r\n\r\n', '9\r\n{"title":\r\n04\r\n"T"}\r\n0\r\nX-Trailer: v\r\n\r\n']) {
            for (const part of (head + body).match(/[^]{1,7}/g)) raw.write(part);
            const answer = await raw.response();
            assert.equal(answer.status, 201, answer.text);
            assert.equal(JSON.parse(answer.text).title, 'T');
        }
        raw.destroy();
    });

    test('answers Expect: 100-continue before the body', async () => {
        const raw = await RawSocket.open(server);
        raw.write(`POST /docs HTTP/1.1\r\n${host}${auth}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
        assert.equal((await raw.response()).status, 100);
        raw.write('{}');
        assert.equal((await raw.response()).status, 201);
        raw.destroy();
    });

    test('that goes away in the middle of a request or a body harms nobody', async () => {
        for (const part of ['GET /hea', `POST /docs HTTP/1.1\r\n${host}${auth}Content-Length: 100\r\n\r\n{"ti`]) {
            const raw = await RawSocket.open(server);
            raw.write(part);
            await sleep(20);
            raw.socket.resetAndDestroy();
        }
        assert.equal((await server.call('GET', '/healthz')).status, 200);
    });

    test('an answer has Content-Length, Content-Type and no way to be taken for HTML', async () => {
        const { id } = await server.createDoc('ann', { title: '<script>' });
        const answer = await server.call('GET', `/docs/${id}`, { as: 'ann' });
        assert.ok(answer.headers['content-length']);
        assert.match(answer.headers['content-type'], /^application\/json\b/);
        assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    });
});

describe('a request is refused', () => {
    const post = (lines, body = '') => `POST /docs HTTP/1.1\r\n${host}${lines}\r\n${body}`;
    const cases = [
        ['that is no HTTP', [400], 'hello\r\n\r\n'],
        ['with a bare LF', [400], 'GET /healthz HTTP/1.1\nHost: x\n\n'],
        ['without Host', [400], 'GET /healthz HTTP/1.1\r\n\r\n'],
        ['with two Hosts', [400], get('/healthz', 'Host: other\r\n')],
        ['of HTTP/2.0', [400, 505], 'GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n'],
        ['with white space before a colon', [400], get('/healthz', 'X : y\r\n')],
        ['with a folded header', [400], get('/healthz', 'X: y\r\n z\r\n')],
        ['with a header without colon', [400], get('/healthz', 'nonsense\r\n')],
        ['with a NUL in a header', [400], get('/healthz', 'X: a\0b\r\n')],
        ['with two spaces in its line', [400], 'GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n'],
        ['with both Content-Length and Transfer-Encoding', [400], post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
        ['with two Content-Lengths', [400], post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}')],
        ['with a Content-Length that is none', [400], post('Content-Length: 2x\r\n', '{}')],
        ['with a negative Content-Length', [400], post('Content-Length: -2\r\n', '{}')],
        ['with a signed Content-Length', [400], post('Content-Length: +2\r\n', '{}')],
        ['with an unknown Transfer-Encoding', [400, 501], post('Transfer-Encoding: gzip\r\n', '{}')],
        ['with chunked not last', [400, 501], post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n')],
        ['with a chunk size that is none', [400], () => `POST /docs HTTP/1.1\r\n${host}${auth}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
        ['with a chunk longer than it says', [400], () => `POST /docs HTTP/1.1\r\n${host}${auth}Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n`],
        ['with a head over its limit', [431], get('/healthz', `X: ${'y'.repeat(30000)}\r\n`)],
        ['with too many headers', [431], get('/healthz', 'X: y\r\n'.repeat(200))],
        ['with a target over its limit', [414, 431], get(`/${'x'.repeat(5000)}`)],
        ['with a body over its limit, by its length alone', [413], () => `POST /docs HTTP/1.1\r\n${host}${auth}Content-Length: 99999999999\r\n\r\n`],
        ['with a Content-Length that no number holds', [400, 413], post('Content-Length: 99999999999999999999999\r\n')],
        ['with an unknown method', [405, 501], () => `BREW /docs HTTP/1.1\r\n${host}${auth}\r\n`],
    ];
    for (const [name, statuses, request] of cases) {
        test(`${name}: ${statuses.join(' or ')}`, async () => {
            const answer = await exchange(server, typeof request === 'string' ? request : request());
            assert.ok(answer, 'it was closed without an answer');
            assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
        });
    }

    test('a head that never ends is given up within its time', { timeout: 30000 }, async () => {
        const raw = await RawSocket.open(server);
        raw.write('GET /healthz HTTP/1.1\r\n');
        assert.equal(await raw.end(20000), true);
    });
});
