/* Design section 13 and protocol section 3: starting, stopping, restarting, refusing. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Server, refused, run, sleep, tempDir, until } from './harness.mjs';
import { RawSocket, RawWebSocket } from './raw.mjs';
import { historyOf } from './oracle.mjs';

const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });
const serve = (...args) => run(['serve', ...args]);

function oneLine(end, code) {
    assert.equal(end.code, code, end.stderr);
    assert.equal(end.stdout, '');
    assert.equal(end.stderr.trim().split('\n').length, 1, end.stderr);
    assert.match(end.stderr, /^penstock/);
}

describe('SIGTERM', () => {
    test('clients are told goodbye and closed with 1012, everything is stored, the program leaves with 0', async () => {
        const server = await Server.start();
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const sockets = await Promise.all(Array.from({ length: 8 }, (_, i) => server.join(id, { as: 'ann', clientId: `c${i}` })));
        const ack = await sockets[0].op(insert(3, 'd', { seq: 1, version: 0 }));
        assert.equal(ack.new_version, 1);
        server.child.kill('SIGTERM');
        const waits = [];
        for (const socket of sockets) {
            const goodbye = await socket.find('goodbye');
            assert.equal(typeof goodbye.reason, 'string');
            assert.ok(Number.isInteger(goodbye.retry_after_ms) && goodbye.retry_after_ms >= 0, JSON.stringify(goodbye));
            waits.push(goodbye.retry_after_ms);
            assert.equal(await socket.closeOf(), 1012);
        }
        assert.ok(new Set(waits).size > 1, `clients spread out: ${waits}`);
        assert.deepEqual(await server.ended, { code: 0, signal: null });
        await server.restart();
        assert.equal((await server.getDoc('ann', id)).content, 'abcd');
        await server.end();
    });

    test('what was sent before it is answered or refused, never half', async () => {
        const server = await Server.start();
        const { id } = await server.createDoc('ann');
        const socket = await server.join(id, { as: 'ann', clientId: 'c1' });
        for (let seq = 1; seq <= 300; seq++) socket.send({ type: 'op', op: insert(0, 'x', { client_id: 'c1', seq, version: seq - 1 }) });
        server.child.kill('SIGTERM');
        await socket.closed;
        const acked = socket.queue.filter((m) => m.type === 'ack').length;
        assert.deepEqual(await server.ended, { code: 0, signal: null });
        await server.restart();
        const doc = await server.getDoc('ann', id);
        assert.ok(doc.version >= acked, `${acked} acknowledged, ${doc.version} there`);
        assert.equal(doc.content.length, doc.version);
        await server.end();
    });

    test('while it drains, new work is answered 503 with Retry-After, and /readyz says so', async () => {
        const server = await Server.start();
        const { id } = await server.createDoc('ann');
        // A client that does not answer the close frame holds the drain open.
        const deaf = await RawWebSocket.join(server, `/ws/docs/${id}`, { token: server.token('ann') });
        const kept = await RawSocket.open(server);
        const get = (target) => `GET ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.token('ann')}\r\n\r\n`;
        kept.write(get('/readyz'));
        assert.equal((await kept.response()).status, 200);
        server.child.kill('SIGTERM');
        assert.equal(await deaf.closeCode(), 1012);
        kept.write(get('/readyz'));
        const answer = await kept.response();
        // It may also have let go of the idle connection: then nobody was told a lie.
        if (answer) {
            assert.equal(answer.status, 503);
            kept.write(get(`/docs/${id}`));
            const refusal = await kept.response();
            if (refusal) {
                assert.equal(refusal.status, 503);
                assert.match(refusal.headers['retry-after'], /^[0-9]+$/);
            }
        }
        deaf.destroy();
        kept.destroy();
        assert.deepEqual(await server.ended, { code: 0, signal: null });
        await server.end();
    });

    test('an idle server with idle connections leaves at once; SIGINT does the same', async () => {
        for (const signal of ['SIGTERM', 'SIGINT']) {
            const server = await Server.start();
            const raw = await RawSocket.open(server);
            const started = Date.now();
            server.child.kill(signal);
            assert.deepEqual(await server.ended, { code: 0, signal: null });
            assert.ok(Date.now() - started < 10000);
            raw.destroy();
            await server.end();
        }
    });
});

describe('a restart', () => {
    test('brings back documents, roles, titles, history, hashes and clients\u2019 seqs', async () => {
        const server = await Server.start();
        const { id } = await server.createDoc('ann', { title: 'T', content: 'start ' });
        await server.share('ann', id, 'bob', 'commenter');
        const socket = await server.join(id, { as: 'ann', clientId: 'c1' });
        for (let seq = 1; seq <= 20; seq++) await socket.op(insert(0, `${seq} `, { seq, version: seq - 1 }));
        await server.call('PATCH', `/docs/${id}`, { as: 'ann', body: { title: 'U' } });
        const was = await server.getDoc('ann', id);
        const history = await historyOf(server, 'ann', id);
        for (const how of ['kill', 'stop']) {
            await server[how]();
            await server.restart();
            assert.deepEqual(await server.getDoc('ann', id), was, how);
            assert.deepEqual(await historyOf(server, 'ann', id), history, how);
            assert.equal((await server.getDoc('bob', id)).role, 'commenter');
            const again = await server.join(id, { as: 'ann', clientId: 'c1', version: 20, hash: was.history_hash });
            assert.equal(again.welcome.content, undefined);
            assert.equal(again.welcome.last_seq, 20);
            assert.equal(again.welcome.last_seq_version, 20);
            await again.next('synced');
            assert.equal((await again.op(insert(0, '20 ', { seq: 20, version: 19 }))).new_version, 20);
            await again.close();
        }
        await server.end();
    });

    test('a client_id stays its user\u2019s', async () => {
        const server = await Server.start();
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'bob', 'editor');
        const socket = await server.join(id, { as: 'ann', clientId: 'c1' });
        await socket.op(insert(0, 'x', { seq: 1, version: 0 }));
        await server.stop();
        await server.restart();
        assert.equal((await refused(server.upgrade(`/ws/docs/${id}?client_id=c1`, { as: 'bob' }))).status, 403);
        await server.end();
    });

    test('many documents come back, cold, each with its own content', async () => {
        const server = await Server.start();
        const ids = [];
        for (let i = 0; i < 200; i++) ids.push((await server.createDoc('ann', { content: `doc ${i}` })).id);
        await Promise.all(ids.map((id, i) => server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [insert(0, `${i}:`, { version: 0 })] } })));
        await server.stop();
        await server.restart();
        const docs = await Promise.all(ids.map((id) => server.getDoc('ann', id)));
        docs.forEach((doc, i) => assert.equal(doc.content, `${i}:doc ${i}`));
        await server.end();
    });
});

describe('two servers on one data directory', () => {
    test('the second refuses with 1 and one clear line, and the first goes on', async () => {
        const server = await Server.start();
        oneLine(await serve('--data', server.dir, '--listen', '127.0.0.1:0', '--jwt-key', server.secretPath), 1);
        assert.equal((await server.createDoc('ann')).version, 0);
        await server.end();
    });
});

describe('what makes no sense is refused in one clear line', () => {
    const data = () => path.join(tempDir(), 'data');

    test('a port in use: 1', async () => {
        const blocker = net.createServer().listen(0, '127.0.0.1');
        await until('it listens', () => blocker.address());
        const secret = path.join(tempDir(), 's.hs256');
        writeFileSync(secret, Buffer.alloc(32, 1));
        oneLine(await serve('--data', data(), '--listen', `127.0.0.1:${blocker.address().port}`, '--jwt-key', secret), 1);
        blocker.close();
    });

    test('a directory of something else: 1, and nothing in it is touched', async () => {
        const dir = data();
        mkdirSync(dir);
        writeFileSync(path.join(dir, 'holiday.txt'), 'keep');
        oneLine(await serve('--data', dir, '--listen', '127.0.0.1:0', '--dev'), 1);
        assert.deepEqual(readdirSync(dir), ['holiday.txt']);
    });

    test('a data directory with another number of shards than asked for: 1', async () => {
        const server = await Server.start({ args: ['--shards', '2'] });
        await server.stop();
        oneLine(await serve('--data', server.dir, '--listen', '127.0.0.1:0', '--jwt-key', server.secretPath, '--shards', '3'), 1);
        await server.restart();
        await server.end();
    });

    const usage = {
        'no command': [], 'an unknown command': ['fly'], 'an unknown option': ['serve', '--wings', '2'], 'no --data': ['serve', '--listen', '127.0.0.1:0', '--dev'],
        'an address without port': ['serve', '--data', '/nowhere/x', '--listen', '127.0.0.1', '--dev'], 'a port that is none': ['serve', '--data', '/nowhere/x', '--listen', '127.0.0.1:99999', '--dev'],
        'a number that is none': ['serve', '--data', '/nowhere/x', '--listen', '127.0.0.1:0', '--dev', '--shards', 'many'],
        'no key and no --dev': ['serve', '--data', '/nowhere/x', '--listen', '127.0.0.1:0'], '--dev on another than a loopback address': ['serve', '--data', '/nowhere/x', '--listen', '0.0.0.0:0', '--dev'],
        'a certificate without its key': ['serve', '--data', '/nowhere/x', '--listen', '127.0.0.1:0', '--dev', '--tls-cert', '/nowhere/c.pem'],
        'an option without its value': ['serve', '--data'], 'a word too many': ['serve', 'now', '--data', '/nowhere/x', '--listen', '127.0.0.1:0', '--dev'],
    };
    for (const [name, args] of Object.entries(usage)) {
        test(`${name}: 2`, async () => {
            const end = await run(args);
            assert.equal(end.code, 2, `${end.stdout}${end.stderr}`);
            assert.match(end.stderr, /\S/);
        });
    }

    test('--help is 0, on standard output', async () => {
        for (const args of [['--help'], ['serve', '--help'], ['doc', '--help'], ['replay', '--help'], ['token', '--help'], ['log', '--help']]) {
            const end = await run(args);
            assert.equal(end.code, 0, args.join(' '));
            assert.match(end.stdout, /penstock/);
        }
    });
});

describe('configuration', () => {
    test('--config takes the same names in INI form', async () => {
        const home = tempDir();
        const secret = path.join(home, 'k.hs256');
        const config = path.join(home, 'penstock.ini');
        writeFileSync(secret, Buffer.alloc(32, 9));
        writeFileSync(config, `; a comment\njwt-key = ${secret}\nshards = 2\norigin = https://a.example\n`);
        const server = await Server.start({ keys: false, secret: Buffer.alloc(32, 9), args: ['--config', config] });
        assert.equal((await server.createDoc('ann')).version, 0);
        await server.end();
        writeFileSync(config, 'wings = 2\n');
        oneLine(await serve('--data', path.join(home, 'd'), '--listen', '127.0.0.1:0', '--config', config), 2);
    });

    test('several shards and gateways serve one set of documents', async () => {
        const server = await Server.start({ args: ['--shards', '3', '--gateways', '2'] });
        const { id } = await server.createDoc('ann', { content: '' });
        const sockets = await Promise.all(Array.from({ length: 6 }, (_, i) => server.join(id, { as: 'ann', clientId: `c${i}` })));
        await Promise.all(sockets.map((socket, i) => {
            socket.send({ type: 'op', op: insert(0, String(i), { client_id: socket.clientId, seq: 1, version: 0 }) });
            return socket.find('ack');
        }));
        await until('all are in', async () => (await server.getDoc('ann', id)).version === 6);
        const ids = await Promise.all(Array.from({ length: 30 }, () => server.createDoc('bea', {})));
        const list = await until('all are listed', async () => {
            const { items } = await server.ask('GET', '/docs?limit=7', { as: 'bea' });
            return items.length === 7 && items;
        });
        assert.ok(list.every((item) => ids.some((doc) => doc.id === item.id)));
        const seen = new Set();
        let cursor = '';
        do {
            const page = await server.ask('GET', `/docs?limit=7${cursor && `&cursor=${cursor}`}`, { as: 'bea' });
            for (const item of page.items) {
                assert.ok(!seen.has(item.id));
                seen.add(item.id);
            }
            cursor = page.cursor;
        } while (cursor);
        assert.equal(seen.size, 30);
        await server.end();
    });

    test('--metrics-listen binds health and metrics to another port', async () => {
        const probe = net.createServer().listen(0, '127.0.0.1');
        await until('it listens', () => probe.address());
        const { port } = probe.address();
        probe.close();
        await sleep(50);
        const server = await Server.start({ args: ['--metrics-listen', `127.0.0.1:${port}`] });
        const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
        assert.equal(answer.status, 200);
        assert.match(await answer.text(), /^# TYPE /m);
        assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
        assert.equal((await server.call('GET', '/metrics')).status, 404);
        await server.end();
    });
});
