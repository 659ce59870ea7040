/* TLS: --tls-cert and --tls-key. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { Server, WAIT_MS, run, tempDir, within } from './harness.mjs';
import { RawSocket } from './raw.mjs';

const home = tempDir();
const cert = path.join(home, 'cert.pem');
const key = path.join(home, 'key.pem');
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' });
const trust = { ca: readFileSync(cert) };

let server;
before(async () => { server = await Server.start({ tls: { cert, key } }); });
after(() => server.end());

function connect(options) {
    return within(WAIT_MS, 'a TLS handshake', new Promise((resolve, reject) => {
        const socket = tls.connect({ host: server.host, port: server.port, ...trust, servername: 'localhost', ...options }, () => resolve(socket));
        socket.on('error', reject);
    }));
}

describe('TLS', () => {
    test('the ready line says https', () => assert.equal(server.scheme, 'https'));

    for (const version of ['TLSv1.2', 'TLSv1.3']) {
        test(`${version} works`, async () => {
            const socket = await connect({ minVersion: version, maxVersion: version });
            assert.equal(socket.getProtocol(), version);
            socket.destroy();
        });
    }

    test('TLS 1.1 does not', async () => {
        await assert.rejects(connect({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
    });

    test('HTTP and WebSocket work over it, with large content both ways', async () => {
        const content = 'ä'.repeat(300000);
        const doc = await server.ask('POST', '/docs', { as: 'ann', body: { content }, tls: trust });
        assert.equal((await server.ask('GET', `/docs/${doc.id}`, { as: 'ann', tls: trust })).content, content);
        const one = await server.join(doc.id, { as: 'ann', tls: trust });
        const two = await server.join(doc.id, { as: 'ann', tls: trust });
        assert.equal(one.welcome.content, content);
        for (let seq = 1; seq <= 50; seq++) {
            assert.equal((await one.op({ type: 'insert', pos: 0, str: 'x'.repeat(seq * 100), seq, version: seq - 1 })).type, 'ack');
            assert.equal((await two.next('op')).new_version, seq);
        }
        await Promise.all([one.close(), two.close()]);
    });

    test('the same origin is https there', async () => {
        const doc = await server.ask('POST', '/docs', { as: 'ann', body: {}, tls: trust });
        const socket = await server.join(doc.id, { as: 'ann', tls: trust, headers: { origin: server.base } });
        await socket.close();
        await assert.rejects(server.join(doc.id, { as: 'ann', tls: trust, headers: { origin: server.base.replace('https', 'http') } }));
    });

    test('plain HTTP and noise on that port harm nobody', async () => {
        for (const noise of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', Buffer.alloc(5000, 0x16), '']) {
            const raw = await RawSocket.open(server);
            if (noise) raw.write(noise);
            else raw.socket.end();
            assert.equal(await raw.end(20000), true);
        }
        assert.equal((await server.call('GET', '/healthz', { tls: trust })).status, 200);
    });

    test('SIGTERM says goodbye over TLS too', async () => {
        const own = await Server.start({ tls: { cert, key } });
        const doc = await own.ask('POST', '/docs', { as: 'ann', body: {}, tls: trust });
        const socket = await own.join(doc.id, { as: 'ann', tls: trust });
        own.child.kill('SIGTERM');
        await socket.find('goodbye');
        assert.equal(await socket.closeOf(), 1012);
        assert.deepEqual(await own.ended, { code: 0, signal: null });
        await own.end();
    });

    test('a key that is not the certificate\u2019s ends the program with one clear line', async () => {
        const other = path.join(home, 'other.pem');
        execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', other], { stdio: 'ignore' });
        for (const [c, k] of [[cert, other], [key, key], [path.join(home, 'nothing'), key]]) {
            const end = await run(['serve', '--data', path.join(tempDir(), 'd'), '--listen', '127.0.0.1:0', '--jwt-key', server.secretPath, '--tls-cert', c, '--tls-key', k]);
            assert.ok([1, 2].includes(end.code), `${end.code}`);
            assert.equal(end.stderr.trim().split('\n').length, 1, end.stderr);
        }
    });
});
